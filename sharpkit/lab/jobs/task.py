"""A piece of work, named by everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# Raised when the same configuration would no longer give the same result.
REVISION = 1


@dataclass(frozen=True, eq=False)
class Task:
    """One piece of work; tasks of equal `key` are the same work and done once.

    Attributes
    ----------
    kind : str
        The kind of work, one of `sharpkit.lab.jobs.pool.KINDS`.
    config : dict
        What is to be done, ready for JSON.
    seed : int
        The seed of all its random numbers.
    needs : tuple of Task
        The tasks whose results it takes.
    cost : float
        About how long it takes, in arbitrary units: for the bar alone.
    key : str
        The SHA-256 of all of the above but the cost.
    """

    kind: str
    config: dict[str, Any]
    seed: int
    needs: tuple[Task, ...] = ()
    cost: float = 1.0
    key: str = field(init=False)

    def __post_init__(self) -> None:
        described = {
            "revision": REVISION,
            "kind": self.kind,
            "config": self.config,
            "seed": self.seed,
            "needs": [need.key for need in self.needs],
        }
        text = json.dumps(described, sort_keys=True, allow_nan=False)
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest())

    def __repr__(self) -> str:
        return f"<Task {self.kind} {self.key[:8]}, seed {self.seed}>"


def with_needs(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks and all they need, each once, needs first."""
    found: dict[str, Task] = {}

    def visit(task: Task) -> None:
        if task.key not in found:
            for need in task.needs:
                visit(need)
            found[task.key] = task

    for task in tasks:
        visit(task)
    return list(found.values())

"""Names of the arrays of a pytree, and which of them belong together."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from jax.tree_util import GetAttrKey, keystr

Path = tuple[Any, ...]
Filter = str | Iterable[str] | Callable[[str], bool] | None

BOXED = GetAttrKey("value")  # Flax keeps each array as this one attribute of a variable
SHOWN = 8


class Names:
    """What to call each leaf of a pytree and its parent: ``layers.0.weight``.

    Where two leaves would be called the same (a key with a dot; 0 and "0"), all names
    are as in Python: ``['layers'][0]['weight']``.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        beside = Counter(path[:-1] for path in paths)
        self._paths = [
            path[:-1] if path[-1:] == (BOXED,) and beside[path[:-1]] == 1 else path
            for path in paths
        ]
        self._simple = len({_simple(path) for path in self._paths}) == len(paths)

    def __getitem__(self, leaf: int) -> str:
        return self._of(self._paths[leaf])

    def layers(
        self, leaves: Sequence[int], slices: Sequence[slice]
    ) -> dict[str, slice]:
        """Return parent -> slice for the chosen leaves, which lie in this order.

        A leaf of the root is a layer of its own, and so are leaves of one parent
        between which others lie.
        """
        placed = zip(leaves, slices, strict=True)
        runs = [
            (parent, list(run))
            for parent, run in itertools.groupby(
                placed, lambda each: self._paths[each[0]][:-1]
            )
        ]
        times = Counter(parent for parent, _ in runs)
        layers: dict[str, slice] = {}
        for parent, run in runs:
            if parent and times[parent] == 1:
                whole = slice(run[0][1].start, run[-1][1].stop)
                layers[self._of(parent)] = whole
            else:
                layers |= {self[leaf]: part for leaf, part in run}
        return layers

    def _of(self, path: Path) -> str:
        return _simple(path) if self._simple else keystr(path) or "params"


def matching(wanted: Filter, names: Collection[str]) -> list[str]:
    """Return those of ``names`` that a filter chooses.

    Raises
    ------
    ValueError
        If a pattern, or the whole filter, matches none.
    """
    if callable(wanted):
        chosen = [name for name in names if wanted(name)]
        patterns: list[str] = []
    else:
        patterns = [wanted] if isinstance(wanted, str) else list(wanted or ())
        chosen = [name for name in names if any(_fits(name, p) for p in patterns)]
    for pattern in patterns:
        if not any(_fits(name, pattern) for name in names):
            msg = f"parameters: {pattern!r} matches none of {listed(names)}"
            raise ValueError(msg)
    if not chosen:
        msg = f"parameters={wanted!r} chooses none of {listed(names)}"
        raise ValueError(msg)
    return chosen


def listed(names: Collection[str]) -> str:
    """Return the first few names, for an error message."""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, itertools.islice(names, SHOWN))) + rest


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _simple(path: Path) -> str:
    return keystr(path, simple=True, separator=".") or "params"

"""What `compare` may be given, as problems at two points."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sharpkit.problem import ProblemLike, as_problem, at_vector, is_problem
from sharpkit.reports.checkpoints import load

Pairs = dict[
    str, tuple[ProblemLike, ProblemLike]
]  # of each data set, the problem at A and at B

ONLY = "data"  # the name of a data set that has none


def pairs_of(a: Any, b: Any, problem: Any) -> Pairs:
    """Return, for each data set, the problem at A and at B.

    Parameters
    ----------
    a, b, problem
        As `compare` takes them.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    if problem is None:
        one, other = _data_sets("a", a), _data_sets("b", b)
        if list(one) != list(other):
            msg = (
                f"a has the data sets {list(one)}, b {list(other)}; give both the same"
            )
            raise ValueError(msg)
        return {data: (one[data], other[data]) for data in one}
    sets = _data_sets("problem", problem)
    sizes: list[Any] = [getattr(each, "entries", None) for each in sets.values()]
    most = None if None in sizes else max(sizes)
    entries = [_entries(name, each, most) for name, each in (("a", a), ("b", b))]
    return {
        data: (_moved(each, entries[0]), _moved(each, entries[1]))
        for data, each in sets.items()
    }


def _moved(problem: ProblemLike, named: Mapping[str, Any]) -> ProblemLike:
    """Return the problem at a checkpoint, or at a flat vector called "weights"."""
    if list(named) == ["weights"] and _shape(named["weights"]) == problem.weights.shape:
        return at_vector(problem, named["weights"])
    return problem.at(named)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))


def _data_sets(name: str, given: Any) -> dict[str, ProblemLike]:
    """Return data sets by name, each a problem.

    Raises
    ------
    TypeError
        If it is no problem.
    ValueError
        If it is empty.
    """
    if not isinstance(given, Mapping):
        if name != "problem" and not is_problem(given):
            msg = (
                f"{name} is of type {type(given).__name__} and problem=None; give the "
                "problem that checkpoints belong to, or two problems as a and b"
            )
            raise TypeError(msg)
        return {ONLY: as_problem(name, given)}
    if not given:
        msg = f"{name} is empty; give at least one problem"
        raise ValueError(msg)
    return {data: as_problem(f"{name}[{data!r}]", each) for data, each in given.items()}


def _entries(name: str, given: Any, most: int | None) -> Mapping[str, Any]:
    """Return a checkpoint by names, of at most so many entries, roughly.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(given, (str, os.PathLike)):
        return load(given, entries=most)
    if isinstance(given, Mapping) and not any(map(is_problem, given.values())):
        return given
    if len(_shape(given)) == 1:
        return {"weights": given}
    msg = (
        f"{name} is of type {type(given).__name__}; give the path of a checkpoint, a "
        "mapping of names to arrays or a flat vector; problems need problem=None"
    )
    raise TypeError(msg)

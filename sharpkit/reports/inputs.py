"""What `compare` may be given, as problems at two points."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sharpkit.problem import ProblemLike, as_problem, at_vector, is_problem
from sharpkit.reports.checkpoints import load

Side = list[ProblemLike]  # the problem at each checkpoint
Sides = dict[str, tuple[Side, Side]]  # of each data set, those of A and of B

ONLY = "data"  # the name of a data set that has none


def sides_of(a: Any, b: Any, problem: Any) -> Sides:
    """Return, for each data set, the problem at every checkpoint of A and of B.

    Parameters
    ----------
    a, b, problem
        As `compare` takes them.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    named = (("a", a), ("b", b))
    given = [(name, each) for name, side in named for each in _each(name, side)]
    count = sum(name == "a" for name, _ in given)
    if problem is None:
        found = [_data_sets(name, each) for name, each in given]
        sets = list(found[0])
        for (name, _), other in zip(given, found, strict=True):
            if list(other) != sets:
                msg = (
                    f"a has the data sets {sets}, {name} {list(other)}; give both the "
                    "same"
                )
                raise ValueError(msg)
    else:
        at = _data_sets("problem", problem)
        sizes: list[Any] = [getattr(each, "entries", None) for each in at.values()]
        most = None if None in sizes else max(sizes)
        found = []
        for name, each in given:
            entries = _entries(name, each, most)
            found.append({data: _moved(one, entries) for data, one in at.items()})
    return {
        data: ([e[data] for e in found[:count]], [e[data] for e in found[count:]])
        for data in found[0]
    }


def at_checkpoint(problem: Any, checkpoint: Any) -> ProblemLike:
    """Return a problem, the first of a mapping of several, at a checkpoint.

    Parameters
    ----------
    problem
        The problem, or a mapping of names of data sets to problems.
    checkpoint
        The checkpoint, as `compare` takes it.
    """
    first = next(iter(_data_sets("problem", problem).values()))
    most = getattr(first, "entries", None)
    return _moved(first, _entries("checkpoint", checkpoint, most))


def _each(name: str, side: Any) -> list[Any]:
    """Return the checkpoints of one side: a list, or one.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not isinstance(side, (list, tuple)):
        return [side]
    if not side:
        msg = f"{name}={side!r} is empty; give one checkpoint, or a list of several"
        raise ValueError(msg)
    return list(side)


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

"""A measure for each group of weights, the others fixed: which layers are sharp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded
from sharpkit.results.common import Headline, Run
from sharpkit.results.groups import GroupResults

Group = slice | str | Iterable[slice | str]
Groups = Mapping[str, Group] | Iterable[str]
R = TypeVar("R", bound=Headline)


@unsharded
@documented
def by_group(
    measure: Callable[..., R],
    problem: Any,
    groups: Groups | None = None,
    *,
    hvp: Hvp | None = None,
    backend: str | None = None,
    progress: Progress = None,
    **options: Any,
) -> GroupResults[R]:
    r"""Take a measure of each group of weights by itself, all others held fixed.

    ``f(w_1, ..., x, ..., w_k)`` as a function of one group ``x``: its box, or its block
    of the Hessian.

    Parameters
    ----------
    measure
        The measure, such as `sharpness`, `eigenvalues` or `trace`.
    problem
        A problem, as `sharpkit.torch.problem`, `sharpkit.jax.problem` or
        `sharpkit.Problem` make it.
    groups
        What belongs together: a mapping of names to groups, or a list of patterns, each
        of which is a group. A group is a slice of the weights, a pattern of names of
        the problem's layers such as ``"blocks.*"`` (as file names are matched), or
        several of these. None: each of ``problem.layers``.
    hvp
        $hvp
    backend
        $backend
    progress
        Who is told of progress, as in the measures; what is done is a group.
    options
        The options of the measure; a budget is that of one group.

    Returns
    -------
    GroupResults
        The result of each group by its name, with a table and a bar chart.

    Raises
    ------
    TypeError
        If ``measure`` is none.
    ValueError
        If ``groups`` cannot be used; and whatever the measure raises.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(
    ...     np.zeros(5), lambda w: (0.5 * w[:2] @ w[:2] + 2 * w[2:] @ w[2:],
    ...     np.r_[w[:2], 4 * w[2:]]), layers={"body": slice(0, 2), "head": slice(2, 5)}
    ... )
    >>> found = sharpkit.by_group(sharpkit.trace, problem, method="hutchinson")
    >>> {name: round(float(result), 3) for name, result in found.items()}
    {'body': 2.0, 'head': 12.0}
    """
    _require_measure(measure)
    point = Point.of(problem, hvp=hvp, backend=backend)
    places = _places(groups, point)
    if point.loss_fn is not None:
        # Once for all: afterwards only parts of what it is given and returns are seen.
        point.objective().centre(point.weights)
    found: dict[str, R] = {}
    title = f"{getattr(measure, '__name__', 'measure')} by group"
    with reporter(
        progress, len(places), title=title, unit="groups", value="the last {:.4g}"
    ) as report:
        for name, place in places.items():
            result = measure(point.part(place), progress=False, **options)
            found[name] = _with_headline(measure, result)
            report(len(found), float(found[name]))
    sizes = {name: _size(place) for name, place in places.items()}
    return GroupResults(found, sizes, _together(point, found.values()))


def _require_measure(measure: Any) -> None:
    if not callable(measure):
        msg = (
            f"measure={measure!r} is not callable; give a measure, such as "
            "sharpkit.sharpness"
        )
        raise TypeError(msg)


def _with_headline(measure: Any, result: Any) -> Any:
    """Return the result of a measure if one number stands for it.

    Raises
    ------
    TypeError
        If none does.
    """
    if not isinstance(result, Headline):
        msg = (
            f"measure={measure!r} returns a {type(result).__name__}, which no single "
            "number stands for; give a measure such as sharpkit.sharpness"
        )
        raise TypeError(msg)
    return result


def _together(point: Point, results: Iterable[Headline]) -> Run:
    return replace(Run.together(result.run for result in results), n=point.n)


def _size(places: tuple[slice, ...]) -> int:
    return sum(place.stop - place.start for place in places)


def _pattern(value: Any) -> str:
    """Return a pattern of a list of groups.

    Raises
    ------
    TypeError
        If it is no text.
    """
    if not isinstance(value, str):
        msg = (
            f"groups has {value!r} of type {type(value).__name__}; a list is one of "
            "patterns, such as ['blocks.*', 'head']: give a mapping to name others"
        )
        raise TypeError(msg)
    return value


def _places(groups: Groups | None, point: Point) -> dict[str, tuple[slice, ...]]:
    """Return the ranges of each group.

    Raises
    ------
    TypeError
        If the groups are no mapping and no list of patterns.
    ValueError
        If there are none.
    """
    layers = (point.problem and point.problem.layers) or {}
    if groups is None:
        groups = layers
        if not layers:
            msg = (
                "groups=None, and the problem has no layers; give a mapping of names "
                "to slices of the weights"
            )
            raise ValueError(msg)
    single = isinstance(groups, (str, slice)) or getattr(groups, "shape", None) == ()
    if single or not isinstance(groups, Iterable):
        msg = (
            f"groups={groups!r} is of type {type(groups).__name__}; give a mapping of "
            "names to slices of the weights, such as problem.layers, or a list of "
            "patterns of names of layers, such as ['blocks.*', 'head']"
        )
        raise TypeError(msg)
    named: dict[str, Any] = (
        dict(groups)
        if isinstance(groups, Mapping)
        else {_pattern(each): each for each in groups}
    )
    if not named:
        msg = "groups is empty; give at least one name with its slice of the weights"
        raise ValueError(msg)
    return {
        name: _ranges(name, group, layers, point.n) for name, group in named.items()
    }


def _ranges(
    name: str, group: Any, layers: Mapping[str, slice], n: int
) -> tuple[slice, ...]:
    """Return the ranges of one group in order, those that touch made one.

    Raises
    ------
    TypeError
        If a group is none of the three.
    ValueError
        If it fits no layer.
    """
    if isinstance(group, str):
        parts = [layers[each] for each in layers if fnmatchcase(each, group)]
        if not parts:
            msg = (
                f"groups[{name!r}] = {group!r} fits none of the problem's layers: "
                f"{', '.join(map(repr, layers)) or 'there are none'}"
            )
            raise ValueError(msg)
        return _joined(name, [_range(name, part, n) for part in parts])
    if isinstance(group, slice):
        return (_range(name, group, n),)
    if not isinstance(group, Iterable):
        msg = (
            f"groups[{name!r}] is, or holds, a value of type {type(group).__name__}; "
            "give a slice of the weights, such as slice(0, 100), a pattern of names of "
            "layers, or a list of these"
        )
        raise TypeError(msg)
    every = [part for each in group for part in _ranges(name, each, layers, n)]
    return _joined(name, every)


def _joined(name: str, parts: list[slice]) -> tuple[slice, ...]:
    joined: list[slice] = []
    for part in sorted(parts, key=lambda part: int(part.start)):
        if joined and part.start < joined[-1].stop:
            msg = (
                f"groups[{name!r}] has weight {part.start} twice; give ranges that do "
                "not overlap"
            )
            raise ValueError(msg)
        if joined and part.start == joined[-1].stop:
            joined[-1] = slice(joined[-1].start, part.stop)
        else:
            joined.append(part)
    return tuple(joined)


def _range(name: str, part: Any, n: int) -> slice:
    whole = (
        end is None or hasattr(end, "__index__") for end in (part.start, part.stop)
    )
    begin, end, step = part.indices(n) if all(whole) else (0, 0, 1)
    if step != 1 or begin >= end or (part.stop is not None and part.stop > n):
        msg = (
            f"groups[{name!r}] = {part} is no range of the {n} weights; give a slice "
            "without a step that holds at least one of them"
        )
        raise ValueError(msg)
    return slice(begin, end)

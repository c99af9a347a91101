"""A measure for each group of weights, the others fixed: which layers are sharp."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from sharpkit._inputs.checks import checked_weights, require_callable
from sharpkit._inputs.foreign import native, native_hvp, native_loss
from sharpkit._inputs.objective import Objective, ReturnedVector
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit.results import EigenResult, GroupResults, SharpnessResult, TraceResult
from sharpkit.results.groups import headline

Groups = Mapping[str, slice]
P = ParamSpec("P")
R = TypeVar("R", bound=SharpnessResult | EigenResult | TraceResult)
Result = TypeVar(
    "Result", bound=SharpnessResult | EigenResult | TraceResult, covariant=True
)


class Groupable(Protocol[P, Result]):
    """A measure, or with ``groups`` one result for each of them."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def __call__(
        self, weights: Any, loss_fn: Any = None, *, groups: Groups, **options: Any
    ) -> GroupResults[Any]: ...


def groupable(what: str) -> Callable[[Callable[P, R]], Groupable[P, R]]:
    """Give a measure the argument ``groups``; ``what`` names its number, with unit."""

    def decorate(measure: Callable[P, R]) -> Groupable[P, R]:
        @functools.wraps(measure)
        def call(*args: Any, groups: Groups | None = None, **options: Any) -> Any:
            if groups is None:
                return measure(*args, **options)
            return by_group(measure, what, groups, *args, **options)

        return cast("Groupable[P, R]", call)

    return decorate


def by_group(
    measure: Callable[..., R],
    what: str,
    groups: Groups,
    weights: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    progress: Progress = None,
    **options: Any,
) -> GroupResults[R]:
    """Return the measure of each group: ``f`` as a function of its weights alone.

    ``progress`` is told of (groups done, groups, the last one's number).

    Raises
    ------
    TypeError, ValueError
        If ``groups`` is no mapping of names to slices of the weights; and whatever the
        measure raises.
    """
    if loss_fn is not None:
        require_callable("loss_fn", loss_fn)
        # Only asked for where it is used: to find out may take work.
        if hvp is None and "hvp" in inspect.signature(measure).parameters:
            hvp = getattr(loss_fn, "hvp", None)
    weights, kind = native(weights)
    weights = checked_weights(weights)
    ranges = {name: _range(name, part, weights.size) for name, part in _items(groups)}
    loss_fn = None if loss_fn is None else native_loss(loss_fn, kind)
    hvp = None if hvp is None else native_hvp(hvp, kind)
    if loss_fn is not None:
        # Once for all: afterwards only parts of what it is given and returns are seen.
        Objective(loss_fn, weights).centre(weights)
    found: dict[str, R] = {}
    title = f"{measure.__name__} by group"
    with reporter(
        progress, len(ranges), title=title, unit="groups", value="the last {:.4g}"
    ) as report:
        for name, part in ranges.items():
            rest = _Rest(weights, part)
            if loss_fn is not None:
                options["loss_fn"] = rest.loss(loss_fn)
            if hvp is not None:
                options["hvp"] = rest.product(hvp)
            found[name] = measure(weights[part], progress=False, **options)
            report(len(found), headline(found[name])[0])
    sizes = {name: part.stop - part.start for name, part in ranges.items()}
    return GroupResults(found, sizes, what)


class _Rest:
    """All weights, of which one group varies. Memory: one vector, two for products."""

    def __init__(self, weights: Array, part: slice) -> None:
        self._whole, self._part = weights.copy(), part

    def loss(self, loss_fn: LossFn) -> LossFn:
        gradients = ReturnedVector("loss_fn", "gradient", self._whole)

        def call(x: Array) -> Any:
            self._whole[self._part] = x
            returned = loss_fn(self._whole)
            if not (isinstance(returned, tuple) and len(returned) == 2):
                return returned
            return returned[0], gradients.checked(returned[1])[self._part]

        return call

    def product(self, hvp: Hvp) -> Hvp:
        products = ReturnedVector("hvp", "product", self._whole)
        whole = self._whole.copy()
        whole[:] = 0

        def call(x: Array, v: Array) -> Array:
            self._whole[self._part], whole[self._part] = x, v
            return products.checked(hvp(self._whole, whole))[self._part]

        return call


def _items(groups: Any) -> Any:
    if not isinstance(groups, Mapping):
        msg = (
            f"groups is of type {type(groups).__name__}; give a mapping of names to "
            "slices of the weights, such as problem.layers"
        )
        raise TypeError(msg)
    if not groups:
        msg = "groups is empty; give at least one name with its slice of the weights"
        raise ValueError(msg)
    return groups.items()


def _range(name: str, part: Any, n: int) -> slice:
    if not isinstance(part, slice):
        msg = (
            f"groups[{name!r}] is of type {type(part).__name__}; give a slice of the "
            "weights, such as slice(0, 100)"
        )
        raise TypeError(msg)
    begin, end, step = part.indices(n)
    if step != 1 or begin >= end or (part.stop is not None and part.stop > n):
        msg = (
            f"groups[{name!r}] = {part} is no range of the {n} weights; give a slice "
            "without a step that holds at least one of them"
        )
        raise ValueError(msg)
    return slice(begin, end)

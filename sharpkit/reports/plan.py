"""What measures will take, before they run: memory, evaluations, products, time."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import as_float, at_least, one_of
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp, LossFn
from sharpkit._vectors.ranks import Copies, Ranks
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.measures.diagonal import METHODS as DIAGONALS, diagonal
from sharpkit.measures.eigenvalues import eigenvalues
from sharpkit.measures.sharpness import sharpness
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import METHODS as TRACES, trace
from sharpkit.reports.needs import NEEDS, Need, Weights, changes
from sharpkit.reports.session import BY_DIFFERENCES, EXACT
from sharpkit.results.plan import Plan, Planned, size

MEASURES = (sharpness, eigenvalues, spectral_density, trace, diagonal)
NAMES = tuple(measure.__name__ for measure in MEASURES)
ESTIMATES: dict[str, Mapping[str, Any]] = {"trace": TRACES, "diagonal": DIAGONALS}
SIGNATURES = {measure.__name__: inspect.signature(measure) for measure in MEASURES}
DTYPES, PRODUCTS = ("float32", "float64"), ("exact", "differences")
GRADIENT = "loss_fn returns no gradient; let it return (loss, gradient), or give hvp="
KEPT_FREE = 0.9  # of the memory there is: what a plan may fill
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a control group


@documented
@sharded
def plan(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    measures: Iterable[str] | Mapping[str, Mapping[str, Any]] = NAMES,
    hvp: Hvp | None = None,
    dtype: str = "float32",
    products: str = "exact",
    ranks: int = 1,
    memory: float | None = None,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
) -> Plan:
    """Tell what measures will take in memory, evaluations and time, before they run.

    Parameters
    ----------
    problem
        A problem or weights, as every measure takes them, of which one evaluation is
        timed, after a first one that may have to compile; or the number of weights
        alone, of which nothing is evaluated.
    loss_fn
        $gradient_fn
    measures
        The names of the measures, of ``"sharpness"``, ``"eigenvalues"``,
        ``"spectral_density"``, ``"trace"`` and ``"diagonal"``, or a mapping from names
        to their options, such as ``{"eigenvalues": {"ncv": 20}}``.
    hvp
        $hvp
    dtype : {"float32", "float64"}
        The type of the weights' numbers, where only their number is given.
    products : {"exact", "differences"}
        How products are had, where only the number of weights is given: models over
        ranks have differences of gradients.
    ranks
        The number of processes that the weights are spread over, where only their
        number is given.
    memory
        The bytes that each process may take; None asks the system: what is free on
        this machine, or on the device of the weights, at most what a control group
        allows.
    backend
        $backend
    process_group
        $process_group
    comm
        $comm

    Returns
    -------
    Plan
        A row for each measure, and what to change where one does not fit.

    Raises
    ------
    TypeError, ValueError
        $raises

    Notes
    -----
    Memory is that of sharpkit alone: what the callback needs, such as the activations
    of a model, comes on top. Counts are those of measures that need all they may take,
    and of eigenvalues one basis, which is rarely too little; closer looks at the noise
    of a loss that turns out to be noisy are not counted. A search for the
    sharpness holds up to three vectors more, one with ``memory="lean"``, where maxima
    lie off the corners of the box.

    Examples
    --------
    >>> import sharpkit
    >>> found = sharpkit.plan(10**9, memory=64 * 2**30)
    >>> found["sharpness"].fits, found["eigenvalues"].fits
    (True, False)
    """
    wanted = _checked_measures(measures)
    ranks, counted = at_least("ranks", ranks, 1), None
    seconds: float | None = None
    sloped = True
    one_of("dtype", dtype, DTYPES)
    one_of("products", products, PRODUCTS)
    counts = isinstance(problem, (float, numbers.Integral))
    if counts and loss_fn is None and hvp is None:
        if isinstance(problem, float) and problem.is_integer():
            problem = int(problem)  # such as 7e9
        n, kind = at_least("problem", problem, 1), np.dtype(dtype)
        exact = products == "exact"
    else:
        counted = Point.of(problem, loss_fn, hvp=hvp, backend=backend, comm=comm)
        n, kind = counted.space.size, counted.weights.dtype
        exact = counted.hvp is not None
        seconds, sloped = _timed(counted)
        if isinstance(comm, Ranks) and not isinstance(comm, Copies):
            ranks = comm.count
    room = _checked_memory(memory) or _available(counted)
    if comm is not None:  # the slowest, and the one with the least memory
        found = comm.max(np.array([seconds or 0, -math.inf if room is None else -room]))
        seconds, room = float(found[0]), room and int(-found[1])
    alone = counted is not None and counted.loss_fn is None
    weights = Weights(n, kind.itemsize, exact, alone)
    place = _Place(weights, ranks, room, sloped, seconds)
    return Plan(
        n=n,
        dtype=str(kind),
        ranks=ranks,
        available=room,
        source="hvp" if exact else "differences",
        evaluation_seconds=seconds,
        planned=tuple(place.planned(name, given) for name, given in wanted.items()),
    )


class _Place(NamedTuple):
    """What measures are planned for: weights, memory, and the time of an evaluation."""

    weights: Weights
    ranks: int
    room: int | None
    sloped: bool  # the loss has a gradient
    seconds: float | None

    def planned(self, name: str, options: dict[str, Any]) -> Planned:
        """Return the row of a measure."""
        need = NEEDS[name](self.weights, options)
        exact = self.weights.exact
        each, own = (EXACT, 1) if exact else (BY_DIFFERENCES, BY_DIFFERENCES)
        fits, advice = self._fits(need), ""
        if need.products and not (exact or self.sloped):
            fits, advice = False, GRADIENT
        elif not fits:
            advice = self._advice(name, options, need)
        units = need.evaluations + each * need.products
        return Planned(
            measure=name,
            vectors=need.vectors,
            bytes=self._bytes(need),
            evaluations=need.evaluations,
            products=need.products,
            calls=need.evaluations + own * need.products,
            seconds=None if self.seconds is None else units * self.seconds,
            fits=fits,
            advice=advice,
        )

    def _bytes(self, need: Need) -> int:
        local = -(-self.weights.n // self.ranks)
        return math.ceil(need.vectors * local * self.weights.itemsize) + need.buffers

    def _fits(self, need: Need) -> bool:
        return self.room is None or self._bytes(need) <= KEPT_FREE * self.room

    def _advice(self, name: str, options: dict[str, Any], need: Need) -> str:
        """Return what would make a measure fit."""
        assert self.room is not None
        for change in changes(name, self.weights, options):
            if self._fits(NEEDS[name](self.weights, options | change)):
                words = ", ".join(f"{key}={value!r}" for key, value in change.items())
                return f"{size(self._bytes(need))} do not fit; give {words}"
        vectors = need.vectors * self.weights.n * self.weights.itemsize
        left = KEPT_FREE * self.room - need.buffers
        if left <= 0:
            return f"{size(self._bytes(need))} do not fit; give more memory"
        ranks = math.ceil(vectors / left)
        return (
            f"{size(self._bytes(need))} do not fit; spread the weights over {ranks} "
            "such processes, or give each more memory"
        )


def _checked_measures(measures: Any) -> dict[str, dict[str, Any]]:
    """Return the options of each measure, its defaults among them.

    Raises
    ------
    TypeError
        If they are no names, or a measure has no such option.
    """
    if isinstance(measures, str) or not isinstance(measures, Iterable):
        msg = f"measures={measures!r}; give a tuple of names, such as {NAMES[:2]}"
        raise TypeError(msg)
    found = {}
    for name in measures:
        one_of("measures", name, NAMES)
        given = measures[name] if isinstance(measures, Mapping) else {}
        known = SIGNATURES[name].parameters
        if not isinstance(given, Mapping) or set(given) - set(known):
            msg = (
                f"measures[{name!r}]={given!r}; give a mapping of options of "
                f"sharpkit.{name}, such as {{'max_products': 100}}"
            )
            raise TypeError(msg)
        defaults = {each: known[each].default for each in known}
        found[name] = _checked_options(name, defaults | dict(given))
    return found


def _checked_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a measure, which refuses what it would refuse."""
    least = 1
    if name in ESTIMATES:
        methods = ESTIMATES[name]
        one_of("method", options["method"], tuple(methods))
        least = methods[options["method"]][1]
    for count in ("probes", "repeats", "max_evaluations"):
        if options.get(count) is not None:
            options[count] = at_least(count, options[count], 1)
    if "max_products" in options:
        least = max(least, options.get("probes", 1))
        options["max_products"] = at_least(
            "max_products", options["max_products"], least
        )
    if name == "sharpness":
        one_of("memory", options["memory"], ("usual", "lean"))
    return options


def _checked_memory(memory: Any) -> int | None:
    """Return a number of bytes.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not above 0.
    """
    if memory is None:
        return None
    if isinstance(memory, bool) or not isinstance(memory, numbers.Real):
        msg = f"memory={memory!r} is not a number; give bytes, such as 64 * 2**30"
        raise TypeError(msg)
    if not 1 <= as_float(memory) < math.inf:
        msg = f"memory={memory!r}; give bytes above 0, such as 64 * 2**30, or None"
        raise ValueError(msg)
    return int(as_float(memory))


def _timed(point: Point) -> tuple[float, bool]:
    """Return the seconds of one evaluation, and whether there is a gradient.

    Where there is no loss they are a third of those of a product.
    """
    if point.loss_fn is None:
        hvp, before = point.hvp, 0.0
        assert hvp is not None
        operator = point.operator(0, lambda products, value: None)
        v, out = point.space.empty(), point.space.empty()
        point.space.fill_signs(v, 0, 0)
        for _ in range(2):
            before = operator.seconds
            operator.apply(v, out)
        return (operator.seconds - before) / EXACT, False
    objective, before = point.objective(), 0.0
    for _ in range(2):
        before = objective.seconds
        objective(point.weights.copy())
    return objective.seconds - before, bool(objective.has_gradient)


def _available(point: Point | None) -> int | None:
    """Return the bytes that this process may take where the weights live."""
    if point is not None and array_module(point.weights) is not np:
        free: int = array_module(point.weights).cuda.runtime.memGetInfo()[0]
        return free
    found = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    for name in LIMITS:
        used = name.replace("limit", "usage").replace("max", "current")
        limit, now = (_lines(f"/sys/fs/cgroup/{each}") for each in (name, used))
        if limit and now and limit[0].isdigit() and now[0].isdigit():
            found.append(max(int(limit[0]) - int(now[0]), 0))
    return min(found, default=None)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

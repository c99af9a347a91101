"""The core of a monitor: it is told of steps, and records within its budget."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from sharpkit import __version__
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import at_least
from sharpkit._inputs.types import Path
from sharpkit._inputs.warn import collecting, warn
from sharpkit._vectors.streams import Stream
from sharpkit.measures._point import Point
from sharpkit.measures.critical_sharpness import critical_sharpness
from sharpkit.measures.eigenvalues import eigenvalues
from sharpkit.measures.sharpness import sharpness
from sharpkit.monitor.entries import (
    OF_GRADIENT,
    OF_PRODUCTS,
    Entry,
    Reading,
    UnmovedError,
    entries_for,
)
from sharpkit.monitor.moment import Memory, Moment, Watched
from sharpkit.monitor.rows import FORMAT, Row, known
from sharpkit.monitor.schedule import Account, Schedule
from sharpkit.monitor.sinks import JsonLines, Sink, sink_of
from sharpkit.problem import Problem
from sharpkit.results.common import plain

Measures = Sequence[str] | Mapping[str, int]
NOTHING = Reading(math.nan, math.nan, status="failed")


class Monitor:
    """Watches a training: `step` is called once for each of its steps.

    It is made by `sharpkit.torch.monitor`, `sharpkit.jax.monitor` and
    `sharpkit.monitor.loop`. Nothing of the training is written to. It closes the file
    at the end of a ``with`` block, or by `close`.

    Attributes
    ----------
    steps : int
        The steps that it was told of.
    setup : float
        The seconds that were spent before the first step, to try the probe.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        measures: Measures | None = None,
        every: int = 1,
        budget: float | None = 0.05,
        path: Path | None = None,
        sinks: Iterable[Any] = (),
        batch_size: int | None = None,
        epsilon: float = 1e-3,
        first_step: int = 0,
        settings: Mapping[str, Any] | None = None,
        active: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        began = clock()
        self._active = active
        self._clock, self._watched = clock, watched
        self.steps = at_least("first_step", first_step, 0)
        self._sinks: list[Sink] = [sink_of(each) for each in sinks]
        self._said: set[str] = set()
        self._pending: tuple[Moment, list[str]] | None = None
        budget = _checked_budget(budget)
        every = at_least("every", every, 1)
        if batch_size is not None:
            batch_size = at_least("batch_size", batch_size, 1)
        self.setup = 0.0
        self._entries: dict[str, Entry] = {}
        self._schedule = Schedule({}, budget, clock)
        if not active:
            return
        moment = Moment(self.steps, watched, Memory())
        usable = _usable(entries_for(batch_size, epsilon), moment, watched)
        chosen = _chosen(measures, usable, every)
        self._entries = {name: usable[name] for name in chosen}
        self._memory, units = _prepared(moment, self._entries, clock)
        accounts = {}
        for name, entry in self._entries.items():
            cost = entry.evaluations * units[0] + entry.products * units[1]
            first = self.steps + entry.first
            later = entry.later * cost
            accounts[name] = Account(entry.share, chosen[name], first, cost, later)
        self._schedule = Schedule(accounts, budget, clock)
        self.setup = clock() - began
        if path is not None:
            self._sinks.insert(0, JsonLines(path))
        head = {"n": moment.point.n, "budget": budget, "every": chosen}
        origin = {"sharpkit": __version__, "format": FORMAT}
        whole = {**origin, "setup": self.setup, **head, "settings": settings or {}}
        for sink in self._sinks:
            sink.begin(plain(whole))

    @property
    def spent(self) -> float:
        """The seconds that it took since the first step."""
        return self._schedule.spent

    @property
    def share(self) -> float:
        """The share of the wall time since the first step that it took."""
        elapsed = self._schedule.elapsed
        return self.spent / elapsed if elapsed else 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """What is recorded."""
        return tuple(self._entries)

    def step(self, *state: Any, **named: Any) -> tuple[Row, ...]:
        """Record what is due at the weights of now; call it before they are changed.

        Parameters
        ----------
        *state, **named
            What the monitor cannot see by itself: the weights of a bare loop; nothing
            for a model of torch.

        Returns
        -------
        rows
            What was recorded by this call, and written. What belongs to an update is
            recorded by the call that follows it.
        """
        if not self._active:
            self.steps += 1
            return ()
        with self._overhead() as rows:
            self._watched.now(*state, **named)
            rows += self._finished()
            due = self._schedule.due(self.steps)
            if due:
                rows += self._begun(due)
            self.steps += 1
        return tuple(rows)

    def close(self, *state: Any, **named: Any) -> tuple[Row, ...]:
        """Record what belongs to the last update, and close the file.

        Parameters
        ----------
        *state, **named
            What `step` takes, after the last update; without it that is left out where
            the monitor cannot see the weights by itself.

        Returns
        -------
        rows
            What was recorded by this call.
        """
        if not self._active:
            return ()
        with self._overhead() as rows:
            if state or named:
                self._watched.now(*state, **named)
            if state or named or self._watched.sees:
                rows += self._finished()
        end = {"steps": self.steps, "wall": self._schedule.elapsed, "spent": self.spent}
        self._tell(lambda sink: sink.end(end))
        self._sinks.clear()
        return tuple(rows)

    def __enter__(self) -> Self:
        """Return the monitor."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    @contextlib.contextmanager
    def _overhead(self) -> Any:
        """Write the rows that are made inside, and note what it took besides them."""
        self._schedule.start()
        began, before = self._clock(), self._schedule.spent
        rows: list[Row] = []
        yield rows
        if rows:
            self._tell(lambda sink: sink.write(rows))
        charged = self._schedule.spent - before
        self._schedule.overhead += self._clock() - began - charged

    def _begun(self, due: list[str]) -> list[Row]:
        self._watched.settle()
        moment = Moment(self.steps, self._watched, self._memory)
        later = [name for name in due if self._entries[name].follows]
        now = [name for name in due if not self._entries[name].follows]
        rows = [self._taken(name, moment) for name in now]
        if later:
            self._pending = moment, later
        with contextlib.suppress(Exception):  # it is said where it was asked for
            moment.point.release()
        return rows

    def _finished(self) -> list[Row]:
        if self._pending is None:
            return []
        (moment, names), self._pending = self._pending, None
        self._watched.settle()
        return [self._taken(name, moment, follows=True) for name in names]

    def _taken(self, name: str, moment: Moment, *, follows: bool = False) -> Row:
        """Take one measure; whatever goes wrong with it is what is recorded."""
        began, found, reason = self._clock(), NOTHING, ""
        with collecting() as doubts:
            try:
                if follows and moment.update is None:
                    moment.follow()
                found = self._entries[name].take(moment)
            except UnmovedError as error:
                found, reason = NOTHING._replace(status="skipped"), str(error)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                doubts.append(f"it failed at step {moment.step} ({reason})")
        seconds = self._clock() - began
        self._schedule.charge(name, seconds, failed=found is NOTHING)
        self._say(name, doubts)
        return Row(
            step=moment.step,
            wall=self._schedule.elapsed,
            name=name,
            value=known(found.value),
            error=known(found.error),
            threshold=known(found.threshold),
            seconds=seconds,
            calls=found.calls,
            products=found.products,
            status=found.status,
            spent=self._schedule.spent,
            reason=reason or "; ".join(doubts),
        )

    def _say(self, name: str, doubts: list[str]) -> None:
        """Warn of a measure once, of a doubt once; the rows have the rest."""
        if doubts and self._said.isdisjoint({name, doubts[0]}):
            self._said |= {name, doubts[0]}
            warn(
                f"monitor: {name}: {doubts[0]}; the training goes on, and what else "
                "there is to say of it stands in the record alone"
            )

    def _tell(self, what: Callable[[Sink], None]) -> None:
        """Tell all sinks something; what fails is left out from then on."""
        for sink in list(self._sinks):
            try:
                what(sink)
            except Exception as error:
                self._sinks.remove(sink)
                warn(
                    f"monitor: the sink {type(sink).__name__} failed "
                    f"({type(error).__name__}: {error}); the training goes on "
                    "without it"
                )


def _usable(
    entries: dict[str, Entry], moment: Moment, watched: Watched
) -> dict[str, Entry]:
    """Return the entries that the problem and the optimiser have what is needed for."""
    without: set[str] = set()
    if moment.loss[1] is None:
        without |= OF_GRADIENT
    if not watched.has_metric:
        without.add("preconditioned_lambda_max")
    return {name: entry for name, entry in entries.items() if name not in without}


def _chosen(
    measures: Measures | None, usable: Mapping[str, Entry], every: int
) -> dict[str, int]:
    """Return the names to record, each with its least interval.

    Raises
    ------
    ValueError
        If one is not known, or cannot be recorded.
    """
    asked = usable if measures is None else measures
    if isinstance(asked, str):
        asked = [asked]
    for name in asked:
        if name not in usable:
            msg = (
                f"measures has {name!r}, which cannot be recorded here; give some of "
                f"{', '.join(usable)}, or None for all"
            )
            raise ValueError(msg)
    given = measures if isinstance(measures, Mapping) else {}
    return {
        name: at_least(f"measures[{name!r}]", given.get(name, every), 1)
        for name in asked
    }


def _checked_budget(budget: Any) -> float | None:
    if budget is None:
        return None
    number = float(budget)
    if not 0 < number < 1:
        msg = (
            f"budget={budget!r}; give the share of wall time, such as 0.05, or None to "
            "record at every interval whatever it takes"
        )
        raise ValueError(msg)
    return number


def _prepared(
    moment: Moment, entries: Mapping[str, Entry], clock: Callable[[], float]
) -> tuple[Memory, tuple[float, float]]:
    """Return what the start tells, and the seconds of an evaluation and a product.

    What is wrong with the probe is raised here, before the training.
    """
    point: Point = moment.point
    memory = moment.memory
    memory.start = point.weights
    _warm(point, entries)
    objective, space = point.objective(), point.space
    _, gradient, memory.noise = objective.centre(point.weights)
    began = clock()
    _, again = objective(point.weights.copy())
    evaluation = clock() - began
    if gradient is None or again is None:
        return memory, (evaluation, 0.0)
    memory.gap = space.norm(again - gradient) / 2
    if OF_PRODUCTS.isdisjoint(entries):
        return memory, (evaluation, 0.0)
    operator = point.operator(0, lambda done, value: None)
    memory.points["weights"] = point
    v, out = space.empty(), space.empty()
    space.fill_signs(v, 0, Stream.GLANCE)
    operator.apply(v, out)
    began = clock()
    operator.apply(v, out)
    product = clock() - began
    point.release()
    return memory, (evaluation, product)


def _warm(point: Point, names: Iterable[str]) -> None:
    """Have kernels loaded, or compiled, before the training begins."""
    w = array_module(point.weights).ones(8, point.weights.dtype)
    toy = Problem(w, lambda w: (float(w @ w), 2 * w), hvp=lambda w, v: 2 * v)
    with collecting():
        critical_sharpness(toy, progress=False)
        if not OF_PRODUCTS.isdisjoint(names):
            eigenvalues(toy, v0=w, progress=False)
        if "sharpness" in names:
            sharpness(toy, progress=False)

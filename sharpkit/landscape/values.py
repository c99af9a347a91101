"""What is measured at a point: losses and accuracies of one data set or of several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.foreign import native_loss
from sharpkit._inputs.objective import ROUNDINGS, Objective
from sharpkit._inputs.types import Array
from sharpkit._inputs.warn import warn
from sharpkit.landscape.surface import ACCURACY, LOSS, named
from sharpkit.measures._batches import Draws
from sharpkit.measures._given import forward
from sharpkit.measures._point import Point
from sharpkit.reports.evaluate import accuracy

BLOCKS = 10  # of the samples that are taken, whose spread is the sampling error


class Found(NamedTuple):
    """Values at one point and their sampling errors, by name."""

    values: dict[str, float]
    errors: dict[str, float]


class Evaluated:
    """Loss and accuracy of one problem; by one pass, where the problem has that.

    Parameters
    ----------
    point
        The problem.
    """

    def __init__(self, point: Point) -> None:
        self._point, self._share = point, None
        both = getattr(point.problem, "evaluate", None)
        self._both = both is not None
        if both is None:
            self.objective = forward(point)
        else:
            loss_fn = native_loss(self._loss, point.kind)
            self.objective = Objective(loss_fn, point.weights)

    def _loss(self, w: Any) -> Any:
        loss, self._share = self._point.problem.evaluate(w)  # type: ignore[union-attr]
        return loss

    def __call__(self, w: Array) -> dict[str, float]:
        """Return the values at ``w``; there may be no accuracy."""
        found = {LOSS: self.objective(w)[0]}
        share = self._share if self._both else accuracy(self._point, w)
        return found if share is None else found | {ACCURACY: float(share)}


class Sampled:
    """The values of some samples, in blocks of which each is a problem.

    Parameters
    ----------
    point
        The problem of all samples.
    samples
        How many to take.
    seed
        The seed by which they are drawn.
    """

    def __init__(self, point: Point, samples: int, seed: int) -> None:
        count, known = at_least("samples", samples, 2), point.samples
        over = point.subsets(f"samples={count}")
        if known is None or count > known:
            msg = f"samples={count}, and the problem has {known}; give at most as many"
            raise ValueError(msg)
        chosen = Draws(seed).order(known)[:count]
        parts = np.array_split(chosen, min(BLOCKS, count))
        self._blocks = [Evaluated(over(np.sort(part))) for part in parts]
        self._whole = Evaluated(over(np.sort(chosen)))
        self._shares = np.array([len(part) / count for part in parts])
        self._rest = math.sqrt(1 - count / known)
        self.additive = self._adds_up(point.weights)

    def _adds_up(self, w: Array) -> bool:
        """Return whether the mean of the blocks is that of all samples; warn if not."""
        whole, parts = self._whole(w)[LOSS], self(w).values[LOSS]
        rounding = ROUNDINGS * float(np.finfo(w.dtype).eps) * (1 + abs(whole))
        if abs(whole - parts) <= rounding:
            return True
        warn(
            f"the loss of the samples is {whole:.6g}, the mean over parts of them "
            f"{parts:.6g}: samples share statistics, or count differently, so that the "
            "sampling error is unknown; with batch norms give 'running' or 'frozen'"
        )
        return False

    @property
    def objectives(self) -> list[Objective]:
        """What counts the calls."""
        return [each.objective for each in (*self._blocks, self._whole)]

    def __call__(self, w: Array) -> Found:
        """Return the values at ``w``, with errors if the samples add up."""
        if not getattr(self, "additive", True):
            return Found(self._whole(w), {})
        blocks = [block(w) for block in self._blocks]
        values, errors = {}, {}
        for name in blocks[0]:
            each = np.array([block[name] for block in blocks])
            with np.errstate(invalid="ignore"):
                values[name] = float(self._shares @ each)
                spread = self._rest * each.std(ddof=1) / math.sqrt(len(each))
            errors[name] = float(spread)
        return Found(values, errors)


@dataclass
class Values:
    """All values of a point of the landscape, from one data set or several.

    Attributes
    ----------
    parts : dict
        What is asked of each data set, by its name; None for one that has none.
    """

    parts: dict[str | None, Evaluated | Sampled]

    @classmethod
    def of(
        cls, points: Mapping[str | None, Point], samples: int | None, seed: int
    ) -> Values:
        """Return the values of some problems, of all samples or of some.

        Parameters
        ----------
        points
            The problems, by the names of their data sets.
        samples
            How many samples to take of each; None takes all.
        seed
            The seed by which they are drawn.
        """
        if samples is None:
            return cls({name: Evaluated(point) for name, point in points.items()})
        return cls(
            {name: Sampled(point, samples, seed) for name, point in points.items()}
        )

    def __call__(self, w: Array) -> Found:
        """Return the values at some weights."""
        values, errors = dict[str, float](), dict[str, float]()
        for data, part in self.parts.items():
            found = part(w)
            if not isinstance(found, Found):
                found = Found(found, {})
            values |= {named(data, name): each for name, each in found.values.items()}
            errors |= {named(data, name): each for name, each in found.errors.items()}
        return Found(values, errors)

    @property
    def calls(self) -> int:
        """The evaluations so far, in this process."""
        return sum(each.calls for each in self._objectives())

    @property
    def seconds(self) -> float:
        """The seconds inside the callbacks so far, in this process."""
        return sum(each.seconds for each in self._objectives())

    def _objectives(self) -> list[Objective]:
        found: list[Objective] = []
        for part in self.parts.values():
            own = part.objectives if isinstance(part, Sampled) else [part.objective]
            found += own
        return found

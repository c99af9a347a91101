"""What the measures of one point share while they are taken, and what they may cost."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import Any, NamedTuple

from sharpkit._inputs.progress import Progress, reporter
from sharpkit.measures._point import Point
from sharpkit.reports.evaluate import Fitted
from sharpkit.results.common import Run
from sharpkit.results.report import Settings

# In evaluations of loss and gradient. An exact product takes 2 to 3 (of network F1 2.5
# to 2.9); one by differences is two gradients.
EXACT, BY_DIFFERENCES = 3, 2
# Products, at most, that it takes to try an exact one, or to choose a step.
TRIAL = {EXACT: 4, BY_DIFFERENCES: 12}
SLACK = 2.0  # so many times the seconds that were foreseen may be taken


class Work(NamedTuple):
    """Evaluations of loss and gradient, and products with the Hessian."""

    evaluations: int = 0
    products: int = 0


class Cost(NamedTuple):
    """What a measure takes.

    Attributes
    ----------
    least : Work
        The least that gives a number with an error bar.
    usual : Work
        What it takes, at most, where nothing is scarce.
    """

    least: Work = Work()
    usual: Work = Work()


class Session:
    """The measures of one point on their way.

    Parameters
    ----------
    point
        The point.
    settings
        What is asked for.
    progress
        Who is told of progress.
    end
        The time, by `time.perf_counter`, at which all must be over; infinite for never.
    found
        The loss, the accuracy and the gradient at the point.

    Attributes
    ----------
    results : dict of str to result
        The full results so far, by the names of their measures.
    kept : dict of str to Any
        What a measure leaves for those after it.
    waiting : tuple of str
        The names of the measures that have not begun.
    partners : int
        How many points share the time that is left: this one, and others after it.
    tried : bool
        Whether the product has been tried, or the step of the differences chosen.
    start : (n,) or None
        The weights that the training began with, if they are given.
    product : int
        The evaluations that a product counts as.
    spent : float
        What all has cost so far, in calls of the loss.
    """

    def __init__(
        self,
        point: Point,
        settings: Settings,
        progress: Progress,
        end: float,
        found: Fitted,
    ) -> None:
        self.point, self.settings, self.progress = point, settings, progress
        self.end, self.found, self.partners = end, found, 1
        self.results: dict[str, Any] = {}
        self.kept: dict[str, Any] = {}
        self.waiting: tuple[str, ...] = ()
        self.start: Any = None
        self.runs, self.spent = [found.run], float(found.run.calls)
        self.product = EXACT if point.hvp is not None else BY_DIFFERENCES
        self.tried = False
        self._seconds = [found.evaluation_seconds] * 2
        self._seconds[1] *= self.product

    @property
    def n(self) -> int:
        """The number of weights."""
        return self.point.n

    @property
    def unit(self) -> int:
        """The calls that an evaluation takes: many, if by differences of the loss."""
        return 1 if self.found.differentiable else 1 + 2 * self.n

    @property
    def has_products(self) -> bool:
        """Whether there are products with the Hessian."""
        return self.found.differentiable or self.point.hvp is not None

    @cached_property
    def has_samples(self) -> bool:
        """Whether the loss can be had over some of the samples."""
        return self.point.has("subset") and self.point.samples is not None

    @cached_property
    def samples(self) -> int:
        """The number of samples, where it is known."""
        return self.point.samples or 1

    @property
    def options(self) -> dict[str, Any]:
        """The options that all measures take."""
        return {"seed": self.settings.seed, "progress": self.progress}

    def prepare(self) -> None:
        """Try the product, or choose the step of the differences, once for all."""
        self.tried, began = True, time.perf_counter()
        title, unit = "products", "products"
        with reporter(self.progress, None, title=title, unit=unit, value="") as report:
            operator = self.point.operator(self.settings.seed, report)
        exact = operator.source == "hvp"
        self.product = EXACT if exact else BY_DIFFERENCES
        self._seconds[1] = self._seconds[0] * self.product
        run = self.point.run_of_products(operator, began, self.settings.seed)
        self.runs.append(run)
        # Of an exact product, what tries it are mostly products.
        self.spent += run.calls * (self.product if exact else 1)

    def ran(self, run: Run, part: float | None = None) -> None:
        """Count what a measure took, and learn from it how long the next will take.

        Parameters
        ----------
        run
            What it took.
        part
            The share of an evaluation that each of its calls was, of which nothing is
            learnt; None for calls like all others.
        """
        self.runs.append(run)
        more = run.products * (EXACT - 1) if self.product == EXACT else 0
        self.spent += (run.calls + more) * (1.0 if part is None else part)
        if part is not None:
            return
        counts = (0 if run.products else run.calls), run.products
        for index, count in enumerate(counts):
            if count:
                self._seconds[index] = run.seconds / count

    def calls(self, work: Work) -> float:
        """Return what work costs in calls of the loss."""
        return work.evaluations + self.product * work.products

    def seconds(self, work: Work) -> float:
        """Return about what work costs in seconds."""
        each = zip(work, self._seconds, strict=True)
        return sum(count * seconds for count, seconds in each)

    def end_of(self, work: Work | None, waiting: list[Cost]) -> float:
        """Return when a measure is given up, by `time.perf_counter`.

        One that turns out slower than was foreseen may take twice the time that it was
        given, and whatever those after it do not need: twice the least of each.

        Parameters
        ----------
        work
            What it may spend.
        waiting
            What those after it take.
        """
        if work is None or self.end == math.inf:
            return self.end
        own = time.perf_counter() + SLACK * self.seconds(work)
        others = sum(self.seconds(each.least) for each in waiting) * self.partners
        return min(max(own, self.end - SLACK * others), self.end)

    def share(self, own: Cost, waiting: list[Cost]) -> float | str | None:
        """Return how much of what it usually takes, beyond the least, a measure may.

        What is left is shared so that all measures still waiting get as much.

        Parameters
        ----------
        own, waiting
            What the measure, and those after it, take.

        Returns
        -------
        float, str or None
            The share, from 0 to 1; why not even the least can be had; or None where
            nothing limits it.
        """
        found, limits = None, []
        if self.settings.max_evaluations is not None:
            left: float = self.settings.max_evaluations * self.unit - self.spent
            reason = f"max_evaluations={self.settings.max_evaluations} leave no room"
            limits.append((left, self.calls, "evaluations", reason))
        if self.end < math.inf:
            left = (self.end - time.perf_counter()) / self.partners
            reason = f"the time budget of {self.settings.time_budget:g} s leaves none"
            limits.append((left, self.seconds, "s", reason))
        trial = Work()
        if not self.tried and any(each.least.products for each in [own, *waiting]):
            trial = Work(products=TRIAL[self.product])
        for left, price, unit, reason in limits:
            room = left - price(trial)
            least, usual = price(own.least), price(own.usual)
            if least > max(room if own.least.products else left, 0.0):
                return f"not taken: {reason}: it takes at least {least:.3g} {unit}"
            all_least = least + sum(price(each.least) for each in waiting)
            extra = usual - least
            extra += sum(price(each.usual) - price(each.least) for each in waiting)
            share = (room - all_least) / extra if extra else 1.0
            share = min(max(share, 0.0), 1.0)
            found = share if found is None else min(found, share)
        return found


def within(cost: Cost, share: float | None) -> Work | None:
    """Return the work that a share of the usual allows; None where nothing limits."""
    if share is None:
        return None
    pairs = zip(cost.least, cost.usual, strict=True)
    return Work(*(least + int(share * (usual - least)) for least, usual in pairs))

"""One measurement by each method, and how much of its time the loss itself took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize
from threadpoolctl import threadpool_limits

import sharpkit
from sharpkit._box import lbfgsb, search
from sharpkit._box.box import Box
from sharpkit._box.subspace import FullSpace
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

Array = Any  # a NumPy or a CuPy array
Loss = Callable[[Array], tuple[float, Array]]

AUTO, OURS, SCIPY = "auto", "lbfgsb", "scipy"
LEAN = "auto, lean"
METHODS = (AUTO, OURS, SCIPY)
EPSILON, ITERATIONS, EVALUATIONS = 1e-3, 10, 25
SETTINGS: dict[str, dict[str, Any]] = {
    AUTO: {"solver": "auto", "max_evaluations": EVALUATIONS},
    LEAN: {"memory": "lean", "max_evaluations": EVALUATIONS},
    OURS: {"solver": sharpkit.LBFGSB(ITERATIONS, rescale=True)},
}


@dataclass(frozen=True)
class Outcome:
    """What a method found, and its time in seconds: on the wall, and of the CPUs.

    Evaluations are those of the search, two of them at the weights; the two that look
    at the noise before it are timed, and not counted.
    """

    method: str
    n: int
    value: float
    evaluations: int
    wall: float
    cpu: float
    wall_inside: float
    cpu_inside: float
    iterations: int | None = None

    @property
    def wall_outside(self) -> float:
        """Seconds on the wall that passed outside the loss."""
        return self.wall - self.wall_inside

    @property
    def cpu_outside(self) -> float:
        """Seconds that all threads worked outside the loss."""
        return self.cpu - self.cpu_inside

    @property
    def per_weight(self) -> float:
        """CPU seconds outside the loss per evaluation and weight."""
        return self.cpu_outside / self.evaluations / self.n

    @property
    def own_share(self) -> float:
        """Share of the wall time that passed outside the loss."""
        return self.wall_outside / self.wall


def middle(outcomes: list[Outcome]) -> Outcome:
    """Return the median of each time; what was found is that of the first."""
    times = ("wall", "cpu", "wall_inside", "cpu_inside")
    medians = {
        name: statistics.median(getattr(each, name) for each in outcomes)
        for name in times
    }
    return replace(outcomes[0], **medians)


class Clocked:
    """A function with two clocks and a count of its calls.

    ``wait`` is called before the clocks are read: on a device, until it is idle.
    """

    def __init__(
        self, function: Callable[[Array], Any], wait: Callable[[], object] | None
    ) -> None:
        self._function, self._wait = function, wait or (lambda: None)
        self.wall, self.cpu, self.calls = 0.0, 0.0, 0

    def __call__(self, x: Array) -> Any:
        """Call the function; its clocks run meanwhile."""
        self._wait()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return self._function(x)
        finally:
            self._wait()
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu
            self.calls += 1


def solve(method: str, weights: Array, loss: Loss, *, blas: int | None = 1) -> Outcome:
    """Measure the sharpness by one of `METHODS`.

    ``blas`` limits the BLAS threads of SciPy: with several it needs more CPU time.
    """
    if method == SCIPY:
        with threadpool_limits(blas, user_api="blas"):
            return _scipy(weights, loss)
    wait = None
    if (xp := array_module(weights)) is not np:
        wait = xp.cuda.get_current_stream().synchronize
    clocked = Clocked(loss, wait)
    wall, cpu = time.perf_counter(), time.process_time()
    result = sharpkit.sharpness(
        weights, clocked, epsilon=EPSILON, progress=False, **SETTINGS[method]
    )
    return Outcome(
        method,
        weights.size,
        result.value,
        result.evaluations,
        time.perf_counter() - wall,
        time.process_time() - cpu,
        clocked.wall,
        clocked.cpu,
    )


def _scipy(weights: Array, loss: Loss) -> Outcome:
    """Measure the sharpness by SciPy, as a user would write it.

    The time is that of ``minimize`` alone; what the function handed to it does beside
    calling the loss (rounding the weights, the sign) counts as the loss's.
    """
    centre = weights.astype(np.float64)
    radius = EPSILON * (np.abs(centre) + 1)
    before, gradient = loss(weights)
    # As with `LBFGSB(rescale=True)`: the first step has the size of the box.
    scale = float(np.sum(radius**2) / np.sum(radius * np.abs(gradient)))

    def negative(x: Array) -> tuple[float, Array]:
        value, gradient = loss(x.astype(weights.dtype))
        return -scale * value, -scale * gradient

    clocked = Clocked(negative, None)
    wall, cpu = time.perf_counter(), time.process_time()
    found = minimize(
        clocked,
        centre,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(centre - radius, centre + radius),
        options={"maxiter": ITERATIONS, "ftol": 0.0, "gtol": 0.0},
    )
    return Outcome(
        SCIPY,
        weights.size,
        100 * (-found.fun / scale - before) / (1 + before),
        1 + clocked.calls,
        time.perf_counter() - wall,
        time.process_time() - cpu,
        clocked.wall,
        clocked.cpu,
        found.nit,
    )


def profile(method: str, weights: Array, loss: Loss) -> dict[str, Any]:
    """Return what a run on the CPU spends in each kernel: calls, vectors, seconds."""
    space = Space(cpu, weights.size, weights.dtype)
    objective = Objective(loss, weights)
    before, gradient, _ = objective.centre(weights)
    box = Box(
        objective,
        FullSpace(space, weights, EPSILON),
        before,
        gradient,
        budget=EVALUATIONS if method == AUTO else None,
        spent=2,
    )
    wall = time.perf_counter()
    if method == AUTO:
        search.maximise(box, seed=0)
    else:
        lbfgsb.maximise(box, max_iter=ITERATIONS, rescale=True)
    return {
        "method": method,
        "n": weights.size,
        "evaluations": len(box.history),
        # the size of the projected gradient is looked at before every iteration
        "iterations": space.counts["box_residual"].calls if method == OURS else None,
        "seconds": time.perf_counter() - wall,
        "kernels": {
            name: {
                "calls": count.calls,
                "vectors": count.bytes / weights.nbytes,
                "seconds": count.seconds,
            }
            for name, count in space.counts.items()
        },
    }

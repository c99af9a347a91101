"""How far the loss rises on average under random noise on the weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from sharpkit._inputs.checks import at_least, checked_seed, one_of, true_or_false
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn, Matrix, Report, Vector
from sharpkit._spectrum.sampling import quantile
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import NOISE_STREAMS, Stream
from sharpkit.measures._parts import Parts
from sharpkit.measures._point import Point
from sharpkit.measures._rises import (
    Centre,
    checked_radius,
    closer_noise,
    looked_at,
    taken,
)
from sharpkit.measures._sharded import sharded
from sharpkit.results.average import AverageResult, AverageStatus
from sharpkit.results.common import Run

Distribution = Literal["normal", "uniform"]
DIGITS = 24  # binary ones of a uniform number, as many as float32 has
LEAST = 4  # samples, two pairs: one tells nothing of its spread


@sharded
@documented
def average_sharpness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    radius: float = 0.05,
    adaptive: bool = False,
    distribution: Distribution = "normal",
    subset: int | None = None,
    subsets: int | None = None,
    samples: int = 100,
    seed: int = 0,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> AverageResult:
    r"""Measure how far the loss rises on average under noise, with an error bar.

    ``E L(w + d) - L(w)`` with ``d_i = radius c_i x_i``, x standard normal or uniform
    between -1 and 1, and c = 1 or, adaptive, ``|w|``. It is an absolute rise of the
    loss. `AverageResult.mean_loss`, ``E L(w + d)``, is the low-pass filtered loss
    (LPF). For a quadratic the value is ``radius^2 / 2 sum_i c_i^2 H_ii`` on average,
    and a third of that if uniform.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
        Its gradient is not used but to look at the noise.
    radius
        The standard deviation of the noise of each weight, or its bound if uniform,
        relative to ``c``.
    adaptive
        Whether the noise is relative to each weight, ``c = |w|``. Weights of 0 do not
        move.
    distribution : {"normal", "uniform"}
        The law of the noise.
    subset
        The samples m of each of the disjoint random subsets that the mean is taken
        over; None takes all samples at once. For a mean over samples that is the same
        unless the model looks at several at once, as batch norm does; but some of the
        subsets may be enough. It needs a problem with ``samples`` and ``subset``.
    subsets
        The subsets that are measured; None for all of them, up to 100.
    samples
        The displacements d, an even number of at least 4. They come in pairs, d and
        -d, so that the gradient, of which the mean has nothing, adds no error. All
        subsets have the same.
    seed
        $seed
    backend
        $backend
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    AverageResult
        The value, its standard error, and the mean loss.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If the loss is not deterministic or has fewer digits than the weights, or if a
        gradient has another dtype, or is not that of the loss.

    See Also
    --------
    ball_sharpness : The largest rise in place of the mean one.
    trace : The sum of the curvatures, to which the value is proportional for small
        radii.

    Notes
    -----
    It takes ``samples`` evaluations for each subset and one at the weights, four for
    the first, which is looked at for noise. The standard error is that of the means of
    pairs, which are independent; with subsets those of the noise and of the choice of
    subsets are added in squares, which errs to the safe side. Memory beside the
    callback's own, in vectors of the weights' length, at most: 8, 9 if uniform, most of
    them for the look at the noise.

    References
    ----------
    Andriushchenko, Croce, Mueller, Hein, Flammarion, arXiv 2302.07011; Bisla, Wang,
    Choromanska, arXiv 2201.08025 (LPF).

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> def loss(w):
    ...     return 0.5 * np.sum(w**2), w
    >>> result = sharpkit.average_sharpness(np.ones(1000), loss, radius=0.1)
    >>> low, high = result.interval
    >>> bool(low < 5 < high)
    True
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    one_of("distribution", distribution, get_args(Distribution))
    adaptive = true_or_false("adaptive", adaptive)
    radius = checked_radius(radius, point, adaptive=adaptive, spread=False)
    seed = checked_seed(seed)
    pairs = _pairs(samples)
    parts = Parts(point, subset, subsets, seed)
    noise_of = _Noise(point, radius, distribution, seed, adaptive=adaptive)
    rises, evaluations = np.empty((parts.count, pairs)), 0
    losses: list[float] = []
    runs: list[Run] = []
    known: Centre | None = None
    with reporter(
        progress,
        parts.count * 2 * pairs,
        title="average sharpness",
        unit="evaluations",
        value="{:.4g} so far",
    ) as report:
        for row, part in zip(rises, parts.points(), strict=True):
            objective, done = part.objective(), len(losses) * 2 * pairs
            if known is None:
                centre = looked_at(part, objective, radius)
            else:
                centre = taken(part, objective, known)
            _fill(row, objective, noise_of, centre.loss, report, done)
            if known is None:
                noise = closer_noise(part, objective, float(row.mean()), centre)
                known = centre._replace(noise=noise)
            losses.append(centre.loss)
            evaluations += centre.spent + 2 * pairs
            source = "none"
            runs.append(part.run(objective, began, source=source, seed=seed))
    assert known is not None
    return _result(
        rises,
        parts,
        known.noise,
        loss=float(np.mean(losses)),
        radius=radius,
        adaptive=adaptive,
        distribution=distribution,
        samples=2 * pairs,
        evaluations=evaluations,
        run=replace(Run.together(runs), seconds=max(run.seconds for run in runs)),
    )


def _pairs(samples: Any) -> int:
    """Return the pairs of samples.

    Raises
    ------
    ValueError
        If there are too few, or one is left over.
    """
    count = at_least("samples", samples, LEAST)
    if count % 2:
        msg = f"samples={samples}; they come in pairs: give an even number"
        raise ValueError(msg)
    return count // 2


class _Noise:
    """Displaced weights. Memory: two vectors, three if uniform."""

    def __init__(
        self, point: Point, radius: float, law: str, seed: int, *, adaptive: bool
    ) -> None:
        self._weights, self._space, self._radius = point.weights, point.space, radius
        self._law, self._seed, self._adaptive = law, seed, adaptive
        self._d, self._x = self._space.empty(), self._space.empty()
        self._signs = self._space.empty() if law == "uniform" else None

    def draw(self, pair: int) -> None:
        """Draw the displacement of a pair."""
        stream = Stream.NOISE + NOISE_STREAMS * pair
        if self._signs is None:
            self._space.fill_normal(self._d, self._seed, stream)
        else:
            fill_uniform(self._space, self._d, self._signs, self._seed, stream)
        if self._adaptive:
            np.multiply(self._d, self._weights, out=self._d)

    def weights(self, side: float) -> Array:
        """Return the weights on a side, 1 or -1 (a buffer)."""
        self._space.copy(self._weights, self._x)
        self._space.add(self._d, self._x, side * self._radius)
        return self._x


def fill_uniform(
    space: Space, out: Array, signs: Array, seed: int, stream: int
) -> None:
    """Fill with uniform numbers between -1 and 1, a sum of random signs.

    Each sign weighs half of the one before: the binary digits of the number.
    """
    out.fill(0)
    for digit in range(DIGITS):
        space.fill_signs(signs, seed, stream + digit)
        space.add(signs, out, 0.5 ** (digit + 1))


def _fill(
    row: Vector,
    objective: Objective,
    noise: _Noise,
    loss: float,
    report: Report,
    done: int,
) -> None:
    """Write the mean rise of each pair."""
    for pair in range(len(row)):
        noise.draw(pair)
        both = [objective(noise.weights(side))[0] - loss for side in (1.0, -1.0)]
        with np.errstate(invalid="ignore"):
            row[pair] = 0.5 * (both[0] + both[1])
        report(done + 2 * (pair + 1), float(row[: pair + 1].mean()))


def _result(rises: Matrix, parts: Parts, noise: float, **known: Any) -> AverageResult:
    value = stderr = width = math.nan
    status = AverageStatus.NON_FINITE
    if np.isfinite(rises).all():
        value = float(rises.mean())
        with np.errstate(over="ignore"):  # squares of rises that are huge
            stderr, degrees = _spread(rises, parts)
        width = quantile(degrees) * math.hypot(stderr, noise)
        status = AverageStatus.UNCERTAIN
        if abs(value) <= quantile(math.inf) * noise:
            status = AverageStatus.BELOW_NOISE
        elif abs(value) > width:
            status = AverageStatus.CLEAR
    return AverageResult(
        value=value,
        stderr=stderr,
        interval=(value - width, value + width),
        mean_loss=known["loss"] + value,
        values=tuple(rises.mean(axis=1).tolist()),
        noise=noise,
        status=status,
        subset=parts.size,
        subsets=str(parts),
        **known,
    )


def _spread(rises: Matrix, parts: Parts) -> tuple[float, float]:
    """Return the standard error, and its degrees of freedom (Welch, Satterthwaite)."""
    pairs = rises.mean(axis=0)
    errors = [
        (float(np.std(pairs, ddof=1)) / math.sqrt(len(pairs)), len(pairs) - 1),
        (parts.stderr(rises.mean(axis=1)), max(parts.count - 1, 1)),
    ]
    total = math.hypot(*(error for error, _ in errors))
    if total == 0 or math.isinf(total):
        return total, float(len(pairs) - 1)
    shares = sum((error / total) ** 4 / degrees for error, degrees in errors)
    return total, 1 / shares

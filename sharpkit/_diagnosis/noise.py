"""How much of a loss is noise: dropout, threads, or rounding that no repeat shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from sharpkit._diagnosis.line import Line

REACH = 4  # places on each side of the weights
# The first step as a share of 1 + |w|: the size of the boxes that sharpness is
# measured in.
FIRST_STEP = 1e-3
FACTOR = 10.0  # between steps
LONGER = 2  # so many longer steps are tried where the first one shows nothing
PLATEAU = 2.5  # two estimates of the same noise differ by less than this factor
LARGEST_CHANGE = 0.1  # the largest change of the loss over the places, as a share
NODES = 100  # of Gauss's rule for a normal density
ALIKE = 4.0  # three neighbouring columns of the table differ by at most this factor

Answer = Literal["found", "too short", "too long"]


class Table(NamedTuple):
    """What a difference table says.

    Attributes
    ----------
    noise : float
        The standard deviation of the noise of one value; 0 unless it was found.
    answer : {"found", "too short", "too long"}
        Whether the noise was found, and if not, what the step between the values is.
    """

    noise: float
    answer: Answer


class Noise(NamedTuple):
    """How much noise there is; 0 where none was seen.

    Attributes
    ----------
    loss : float
        The standard deviation of the noise of one loss.
    slope : float
        The same of one slope, per unit of t; NaN without a gradient.
    """

    loss: float
    slope: float


@np.errstate(over="ignore", invalid="ignore")  # losses may be 1e200, or infinite
def noise_of(values: Sequence[float], change: float = LARGEST_CHANGE) -> Table:
    r"""Return the noise in values of a smooth function at equally spaced points.

    ``sigma_k^2 = (k!)^2 / (2 k)! mean_i (Delta^k f_i)^2``: differences of order k of a
    smooth function vanish as ``h^k``, those of noise do not. The noise is the first
    ``sigma_k`` that agrees with the two after it to a factor of 4, if the differences
    of its order change their sign. The step is too short if half of the neighbours are
    equal, too long if the values differ by more than the share ``change``, or if there
    is no such k.

    Source: Moré and Wild, *Estimating computational noise*, SIAM J. Sci. Comput. 33
    (2011) 1292, algorithm ECnoise.
    """
    differences = np.array(values, np.float64)
    largest, count = np.abs(differences).max(), len(differences)
    if not np.isfinite(largest):
        return Table(0.0, "too long")
    if np.ptp(differences) > change * largest:
        return Table(0.0, "too long")
    levels, alternates, gamma = [], [], 1.0
    for order in range(1, count):
        differences = np.diff(differences)
        if order == 1 and 2 * np.count_nonzero(differences == 0) >= count:
            return Table(0.0, "too short")
        gamma *= 0.5 * order / (2 * order - 1)
        levels.append(math.sqrt(gamma * float(np.mean(differences**2))))
        alternates.append(differences.min() < 0 < differences.max())
    for k in range(count - 3):
        near = levels[k : k + 3]
        if alternates[k] and max(near) <= ALIKE * min(near):
            return Table(levels[k], "found")
    return Table(0.0, "too long")


def noise_along(line: Line) -> Noise:
    """Return the noise of the loss on a line, at the longest step that shows it.

    Long steps first, because a loss that rounds its weights (bfloat16, TF32) hardly
    feels short ones: its noise falls with the root of the step, while true noise does
    not change with it. Kinks, such as ReLU's, look like noise too, but they fall with
    more than the step, and slopes jump enough to explain them.
    """
    last = _Rung(Noise(0.0, math.nan), kinks=False)
    seen = last.noise
    for rung in _descent(line):
        if last.noise.loss and rung.noise.loss:
            fall = last.noise.loss / rung.noise.loss
            if fall < PLATEAU and not rung.kinks:
                # The slopes of one may still be full of kinks.
                slope = min(last.noise.slope, rung.noise.slope)
                return Noise(max(last.noise.loss, rung.noise.loss), slope)
            if fall < FACTOR**0.75 and not last.kinks:
                return last.noise
        seen = rung.noise if rung.noise.loss else seen
        last = rung
    if seen.loss:
        return seen
    # Whatever changes the loss by so much over the shortest step is noise.
    return _rung(line, line.shortest, change=2.0)[1].noise  # 2: any change


class _Rung(NamedTuple):
    """What one step shows.

    Attributes
    ----------
    noise : Noise
        The noise, or what looks like it.
    kinks : bool
        Whether slopes jump enough to explain it.
    """

    noise: Noise
    kinks: bool


def _descent(line: Line) -> Iterator[_Rung]:
    """Yield what ever shorter steps show, until they are too short.

    Yields
    ------
    _Rung
        What one step shows.
    """
    step = FIRST_STEP * line.scale
    answer, rung = _rung(line, step)
    for _ in range(LONGER):
        if answer != "too short":
            break
        step *= FACTOR
        answer, rung = _rung(line, step)
    while answer != "too short":
        yield rung
        step /= FACTOR
        if step < line.shortest:
            return
        answer, rung = _rung(line, step)


@np.errstate(over="ignore", invalid="ignore")
def _rung(
    line: Line, step: float, change: float = LARGEST_CHANGE
) -> tuple[Answer, _Rung]:
    places = line.sample(step, range(-REACH, REACH + 1))
    losses = np.array([place.loss for place in places])
    slopes = np.array([place.slope for place in places])
    table = noise_of(list(losses), change)
    if not np.isfinite(slopes).all():
        return table.answer, _Rung(Noise(table.noise, math.nan), kinks=False)
    # A kink leaves at most half its jump; the mean is what a wrong gradient leaves.
    left = np.diff(losses) - (slopes[1:] + slopes[:-1]) / 2
    kinks = bool(np.std(left) <= 0.5 * np.sqrt(np.mean(np.diff(slopes) ** 2)))
    # The range is looked at for the loss only: at a minimum slopes change their sign.
    lifted = slopes + 2 / LARGEST_CHANGE * np.abs(slopes).max()
    noise = Noise(table.noise, noise_of(list(lifted)).noise / step)
    return table.answer, _Rung(noise, kinks)


@cache
def spurious_rise(evaluations: int, probability: float = 0.99) -> float:
    r"""Return what the maximum of a constant loss with noise stays below, in sigmas.

    That is the q with ``P(max_i e_i - e_0 <= q) = int phi(x) Phi(x + q)^m dx =
    probability`` for independent standard normal noise e, i from 1 to m.

    Parameters
    ----------
    evaluations
        The number m of evaluations, beside that at the weights.
    probability
        The probability that the maximum stays below.
    """
    x, phi = np.polynomial.hermite_e.hermegauss(NODES)
    phi /= phi.sum()

    def excess(q: float) -> float:
        return float(phi @ ndtr(x + q) ** evaluations) - probability

    return float(brentq(excess, 0, 20))

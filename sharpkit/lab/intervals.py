"""Means of paired differences over trials, and what they decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]

CONFIDENCE = 0.95
TINY = 1e-12  # what a value that is not positive counts as: a zero has a logarithm


@dataclass(frozen=True)
class Interval:
    """Mean of paired differences over trials and its Student interval.

    Attributes
    ----------
    mean, low, high : float
        The mean and the ends of the interval.
    """

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """+1 or -1 where the interval leaves out zero, else 0: not decided."""
        return int(self.low > 0) - int(self.high < 0)


def paired(differences: Values, confidence: float = CONFIDENCE) -> Interval:
    """Return mean and confidence interval of the mean of paired differences.

    With fewer than two trials, or differences that are all equal, the interval is the
    whole line or a point.
    """
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return Interval(mean, -math.inf, math.inf)
    error = float(stats.sem(differences))
    reach = error * float(stats.t.ppf((1 + confidence) / 2, len(differences) - 1))
    return Interval(mean, mean - reach, mean + reach)


def log10(values: Values) -> Values:
    """Return the logarithms; what is not positive counts as `TINY`."""
    return np.log10(np.maximum(values, TINY))


def power(exponent: float) -> str:
    """Write 10^exponent; infinite ends of an interval stay readable."""
    if math.isinf(exponent):
        return "0" if exponent < 0 else "inf"
    return f"{10**exponent:.3g}"


def points(values: object) -> str:
    """Return ``mean ± std`` of accuracies in per cent, to a hundredth as the paper.

    Of a single value it is that alone: its spread is not known.
    """
    sample = np.asarray(values, np.float64)
    if len(sample) == 1:
        return f"{sample[0]:.2f}"
    return f"{sample.mean():.2f} ± {float(sample.std(ddof=1)):.2f}"


def spread(values: object) -> str:
    """Return ``mean ± std`` of the sample, the std to two figures, the mean as far.

    Of a single value it is that alone: its spread is not known.
    """
    sample = np.asarray(values, np.float64)
    mean = float(sample.mean())
    if len(sample) == 1:
        return f"{mean:.4g}"
    deviation = float(sample.std(ddof=1))
    if not deviation:
        return f"{mean:.4g} ± 0"
    decimals = max(1 - math.floor(math.log10(deviation)), 0)
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"

"""The measures of Jiang et al. that are made of a radius: PAC-Bayes and its relatives.

All are ``sqrt(value / m)`` for m samples. N is the number of weights, ``v`` is ``w``
for the names that end in "orig" and ``w - w0`` for those in "init", and e is 1e-3.

- pacbayes-flatness: ``1 / sigma^2``;
  pacbayes-orig, -init: ``|v|^2 / (4 sigma^2) + log(m / sigma) + 10``.
- pacbayes-mag-flatness: ``1 / sigma'^2``; pacbayes-mag-orig, -init: ``1/4 sum_i log[
  (e^2 + (sigma'^2 + 1) |v|^2 / N) / (e^2 + sigma'^2 v_i^2)] + log(m / sigma') + 10``.
- sharpness-flatness: ``1 / alpha^2``; sharpness-orig, -init:
  ``|v|^2 log(2 N) / (4 alpha^2) + log(m / s) + 10``.
- sharpness-mag-flatness: ``1 / alpha'^2``; sharpness-mag-orig, -init: as pacbayes-mag,
  with ``alpha'^2 + 4 log(2 N / delta)`` in the place of ``sigma'^2 + 1`` and alpha' in
  that of the other sigma'; ``log(m / s') + 10``.

Sources disagree, or leave open, at four places. What is done here, and why:

1. pacbayes-mag-orig has ``w_i`` in the denominator. By report the paper prints ``w_i -
   w0_i`` there, as its first re-implementation does; others have ``w_i``. A Gaussian
   posterior of variance ``e^2 + sigma'^2 v_i^2`` around ``v`` gives v in both places.
2. The sum of logarithms is multiplied by 1/4, not by 1/2 as in one code: 1/4 is half of
   that sum's share of the divergence, as ``|w|^2 / (4 sigma^2)`` is of its own.
3. The sigma beside alpha is that at which the first terms agree: ``s = alpha /
   sqrt(log(2 N))`` and ``s' = alpha' / sqrt(4 log(2 N / delta))``.
4. delta is 0.05: the paper only calls it small.
"""

from __future__ import annotations

import math

import numpy as np

from sharpkit._inputs.types import Array
from sharpkit._vectors.space import Space
from sharpkit.results.radius import Bound

EPSILON = 1e-3  # of the magnitude forms
DELTA = 0.05


class Bounds:
    """The measures that can be made of a radius at some weights.

    Parameters
    ----------
    space
        The space of the weights.
    references
        The vectors whose length counts: the weights as "orig", and what they are away
        from the start as "init", if that is known.
    samples
        The number of samples.
    """

    def __init__(
        self, space: Space, references: dict[str, Array], samples: int
    ) -> None:
        self._space, self._references, self._samples = space, references, samples

    def of(
        self, radius: float, interval: tuple[float, float], *, worst: bool, mag: bool
    ) -> dict[str, Bound]:
        """Return the measures by name, with their values at the ends of the interval.

        Parameters
        ----------
        radius, interval
            The radius, and the interval that holds it.
        worst, mag
            Whether it is that of the largest rise, and by magnitude.
        """
        family = ("sharpness" if worst else "pacbayes") + ("-mag" if mag else "")
        here, *ends = (self._values(r, worst, mag) for r in (radius, *interval))
        return {
            f"{family}-{name}": Bound(value, _ordered(*(end[name] for end in ends)))
            for name, value in here.items()
        }

    def _values(self, r: float, worst: bool, mag: bool) -> dict[str, float]:
        usable = 0 < r < math.inf
        found = {"flatness": 1 / r**2 if r > 0 else math.inf * r}
        for name, v in self._references.items():
            term = self._magnitudes if mag else self._plain
            found[name] = term(r, v, worst) if usable else math.nan
        m = self._samples
        return {
            name: math.sqrt(value / m) if value >= 0 else math.nan
            for name, value in found.items()
        }

    def _plain(self, r: float, v: Array, worst: bool) -> float:
        n, m = self._space.size, self._samples
        sigma = r / math.sqrt(math.log(2 * n)) if worst else r
        return self._space.norm(v) ** 2 / (4 * sigma**2) + math.log(m / sigma) + 10

    def _magnitudes(self, r: float, v: Array, worst: bool) -> float:
        n, m = self._space.size, self._samples
        tail = 4 * math.log(2 * n / DELTA) if worst else 1.0
        above = EPSILON**2 + (r**2 + tail) * self._space.norm(v) ** 2 / n
        below = np.log(EPSILON**2 + r**2 * v.astype(np.float64) ** 2).sum()
        below = float(self._space.comm.sum(np.array([float(below)]))[0])
        sigma = r / math.sqrt(tail)
        return (n * math.log(above) - below) / 4 + math.log(m / sigma) + 10


def _ordered(a: float, b: float) -> tuple[float, float]:
    return (b, a) if b < a or math.isnan(a) else (a, b)

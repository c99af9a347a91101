"""How well one number orders another: taus over pairs of runs, and what is left of it.

Every tau here is of pairs: ``S / sqrt(X Y)``, with S the sum over the pairs of the
product of both signs, X and Y the numbers of pairs that are no ties. Over all pairs it
is Kendall's tau-b. A resample of the runs only weighs them anew, so that all resamples
are products with the same matrices of signs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Codes = NDArray[np.int64]

ROWS = 512  # runs whose pairs with all others are taken at once
CONDITIONS = 2  # hyperparameters that are known at the same time, at most


def signs(values: Values, rows: slice) -> Values:
    """Return the signs of the differences of some values to all; infinities tie."""
    mine = values[rows, None]
    return (mine > values).astype(np.float64) - (mine < values)


def ratio(both: Values, first: Values, second: Values) -> Values:
    """Return tau from its sums: 0 if only the measure ties, NaN if the target does."""
    found = np.where(second > 0, 0.0, np.nan)
    decided = (first > 0) & (second > 0)
    np.divide(both, np.sqrt(first * second), out=found, where=decided)
    return found


def taus(measure: Values, target: Values, weights: Values) -> Values:
    """Return tau-b for each row of weights, (samples, runs).

    Parameters
    ----------
    measure, target : (runs,)
        The numbers; none is NaN.
    weights
        How often each run is there. A run is a tie with itself.
    """
    sums = np.zeros((3, len(weights)))
    for start in range(0, len(measure), ROWS):
        rows = slice(start, start + ROWS)
        x, y = signs(measure, rows), signs(target, rows)
        for place, pairs in enumerate((x * y, x * x, y * y)):
            sums[place] += ((weights @ pairs.T) * weights[:, rows]).sum(axis=1)
    return ratio(*sums)


def deciding(measure: Values, target: Values) -> int:
    """Return the number of pairs of runs that differ in both."""
    found = 0.0
    for start in range(0, len(measure), ROWS):
        rows = slice(start, start + ROWS)
        found += np.abs(signs(measure, rows) * signs(target, rows)).sum()
    return int(found) // 2


def along(
    measure: Values, target: Values, axis: Codes, others: Codes, weights: Values
) -> tuple[Values, int]:
    """Return psi for each row of weights, and the number of settings that it is of.

    Parameters
    ----------
    measure, target : (runs,)
        The numbers.
    axis, others : (runs,)
        The value of the hyperparameter, and the setting of all others, by number.
        Pairs of runs that share both are repeats, and do not count.
    weights : (samples, runs)
        How often each run is there.
    """
    total, counted, groups = np.zeros(len(weights)), np.zeros(len(weights)), 0
    for group in _groups(others):
        apart = axis[group, None] != axis[group]
        whole = slice(None)
        x, y = signs(measure[group], whole), signs(target[group], whole) * apart
        x *= apart
        if not y.any():
            continue
        groups += 1
        w = weights[:, group]
        tau = ratio(*(((w @ each) * w).sum(axis=1) for each in (x * y, x * x, y * y)))
        known = ~np.isnan(tau)
        total += np.where(known, tau, 0.0)
        counted += known
    psi = np.full(len(weights), np.nan)
    np.divide(total, counted, out=psi, where=counted > 0)
    return psi, groups


def _groups(codes: Codes) -> Iterator[Codes]:
    """Yield the places of each code that occurs more than once."""
    order = np.argsort(codes, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if len(group) > 1:
            yield group


def independence(
    measure: Values, target: Values, hyperparameters: dict[str, Codes]
) -> tuple[float, tuple[str, ...]]:
    """Return K, and the hyperparameters that leave least of what the measure tells.

    NaN, and none of them, where no pair of runs differs in the target.

    References
    ----------
    Jiang et al., arXiv 1912.02178, section 2.2.2.
    """
    pairs = np.triu_indices(len(measure), 1)
    x, y = (_pair_signs(each, pairs) for each in (measure, target))
    best = math.nan
    given: tuple[str, ...] = ()
    for size in range(min(CONDITIONS, len(hyperparameters)) + 1):
        for names in itertools.combinations(hyperparameters, size):
            known = [hyperparameters[name] for name in names]
            told = _told(x, y, _pair_codes(known, pairs))
            if not math.isnan(told) and not told >= best:
                best, given = told, names
    return best, given


def _pair_signs(values: Values, pairs: Any) -> Codes:
    """Return 0, 1 or 2 for each pair in both orders: the sign and 1."""
    a, b = values[pairs[0]], values[pairs[1]]
    found = (a > b).astype(np.int64) - (a < b)
    return np.concatenate([found, -found]) + 1


def _pair_codes(known: list[Codes], pairs: Any) -> Codes:
    """Return one number for the values that both runs of a pair have, in order."""
    found = np.zeros(2 * len(pairs[0]), np.int64)
    for codes in known:
        a, b = codes[pairs[0]], codes[pairs[1]]
        for side in (np.concatenate([a, b]), np.concatenate([b, a])):
            found = found * (codes.max() + 1) + side
    return np.unique(found, return_inverse=True)[1].reshape(-1)


def _told(x: Codes, y: Codes, known: Codes) -> float:
    """Return the mutual information of x and y, as a share of the entropy of y.

    Both given ``known``; NaN where y has no entropy then.
    """
    size = 9 * (int(known.max(initial=0)) + 1)
    counts = np.bincount(known * 9 + 3 * x + y, minlength=size).reshape(-1, 3, 3)
    p = counts / counts.sum()
    own = p.sum(axis=(1, 2))
    h_x, h_y, h_xy, h = map(_entropy, (p.sum(axis=2), p.sum(axis=1), p, own))
    entropy = h_y - h
    if entropy <= 1e-12:
        return math.nan
    return max(0.0, (h_x + h_y - h_xy - h) / entropy)


def _entropy(p: Values) -> float:
    there = p[p > 0]
    return -float(there @ np.log(there))

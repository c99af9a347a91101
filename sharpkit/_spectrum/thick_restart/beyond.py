"""Whether eigenvalues have been passed over."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from scipy.linalg import null_space

from sharpkit._inputs.types import Matrix
from sharpkit._spectrum.lanczos import Ritz

Which = Literal["LA", "SA", "LM"]

# Numbers that are the larger the more an eigenvalue is wanted.
KEYS: dict[str, Callable[[Any], Any]] = {
    "LA": np.positive,
    "SA": np.negative,
    "LM": np.abs,
}
# An eigenvector passed over has by chance a share of about 1 / sqrt(n) in a random
# vector, and less than a hundredth of that in 1 case of 120: so much it must grow.
OVERLAP = 100.0


def top_outside(
    whole: Matrix, best: Matrix, key: Callable[[Any], Any]
) -> tuple[float, Matrix]:
    """Return the most wanted eigenpair of a matrix in the complement of some columns.

    Parameters
    ----------
    whole : (m, m)
        The operator restricted to all rows.
    best : (m' <= m, k)
        Orthonormal columns, zeros below.

    Returns
    -------
    value, vector : float, (m,)
    """
    m, k = len(whole), best.shape[1]
    padded = np.zeros((m, k))
    padded[: len(best)] = best
    outside = null_space(padded.T)
    values, mix = np.linalg.eigh(outside.T @ whole @ outside)
    top = int(np.argmax(key(values)))
    return float(values[top]), outside @ mix[:, top]


def would_have_shown(
    beyond: Ritz,
    seen: tuple[float, float],
    worst: float,
    which: Which,
    steps: int,
    n: int,
) -> bool:
    """Whether an eigenvalue more wanted than the worst of the best would have shown.

    A polynomial of degree ``steps - 1`` that is at most 1 in magnitude where the
    complement has its eigenvalues, as far as seen, can be as large as Chebyshev's at
    an eigenvalue outside. By that factor Lanczos has at least magnified it.

    Parameters
    ----------
    beyond
        What Lanczos has now in the complement of all that is held.
    seen
        The smallest and the largest value that it has had there.
    worst
        The least key of the best pairs.
    steps, n
        From a random vector in n dimensions.
    """
    low = min(beyond.values[0] - beyond.residuals[0], seen[0])
    high = max(beyond.values[-1] + beyond.residuals[-1], seen[1])
    reach = max(high - low, np.finfo(float).tiny)
    above, below = (worst - high) / reach, (low + worst) / reach
    distances = {"LA": [above], "SA": [below], "LM": [above, below]}[which]
    needed = math.log(2 * OVERLAP * math.sqrt(n))
    return all(
        each > 0 and (steps - 1) * math.acosh(1 + 2 * each) >= needed
        for each in distances
    )

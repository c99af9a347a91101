"""What each measure takes: vectors, bytes beside them, evaluations and products.

The vectors are written down here beside the options that decide of them; a test holds
them against the peaks of real runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sharpkit._box.climbing import CHUNK
from sharpkit._box.columns import SLAB_BYTES as COLUMN_BYTES
from sharpkit._box.search import LEAN_POOL, POOL
from sharpkit._box.solvers import Auto, solver_from
from sharpkit._box.subspace import subspace_from
from sharpkit._spectrum.basis import SLAB_BYTES as BASIS_BYTES
from sharpkit._spectrum.xdiag import SLAB_BYTES as DIAGONAL_BYTES
from sharpkit.measures._searches import CENTRE_EVALUATIONS
from sharpkit.measures.eigenvalues import basis_rows, checked_k
from sharpkit.measures.sharpness import DEFAULT_EVALUATIONS

# Vectors, the copy of the weights among them, while an exact product is tried, or the
# step of differences is chosen; and the evaluations that take.
TRIED, LADDER, TRIAL, CHOICE = 8, 6, 6, 90
LOOKS = 2  # evaluations near the weights, for the noise of the loss


class Need(NamedTuple):
    """What a measure takes: vectors, bytes beside them, and work."""

    vectors: float
    buffers: int = 0
    evaluations: int = 0
    products: int = 0


class Weights(NamedTuple):
    """What is measured, as far as it decides what a measure takes.

    Attributes
    ----------
    n, itemsize : int
        How many weights there are, over all ranks, and the bytes of each.
    exact : bool
        Whether products are exact, and not by differences.
    alone : bool
        Whether there is a product, and no loss to hold it against.
    """

    n: int
    itemsize: int
    exact: bool
    alone: bool

    def of_products(self, need: Need) -> Need:
        """Return what it takes with what products take before the first one."""
        if self.exact:
            before, calls = (0, 0) if self.alone else (TRIED, TRIAL)
            vectors = need.vectors
        else:
            before, calls, vectors = LADDER, CHOICE, need.vectors + 1
        return need._replace(vectors=max(vectors, before), evaluations=calls)


def _sharpness(weights: Weights, options: dict[str, Any]) -> Need:
    solver, repeats = solver_from(options["solver"]), options["repeats"]
    drawn = subspace_from(options["subspace"], weights.n)
    each = options["max_evaluations"] or (
        DEFAULT_EVALUATIONS if isinstance(solver, Auto) else 2 * solver.max_iter
    )
    spent = LOOKS + CENTRE_EVALUATIONS + repeats * (each - CENTRE_EVALUATIONS)
    if drawn is not None:
        held = drawn.columns * weights.n * weights.itemsize <= drawn.memory
        buffers = 0 if held else COLUMN_BYTES
        return Need(3 + (drawn.columns if held else 0), buffers, spent)
    if not isinstance(solver, Auto):
        return Need(27, 0, spent)
    # Beside the vectors two bits a weight for each point that waits, at a corner.
    whole, pool = (5, LEAN_POOL) if options["memory"] == "lean" else (7, POOL)
    vectors = whole + (pool - 1) / (4 * weights.itemsize) + (repeats > 1)
    return Need(vectors, 2 * min(weights.n, CHUNK), spent)


def _eigenvalues(weights: Weights, options: dict[str, Any]) -> Need:
    k = checked_k(options["k"], weights.n)
    rows = basis_rows(options["ncv"], k, weights.n)
    # The error along a pair found takes one more, with the step halved.
    more = 0 if weights.exact else 1
    # It rarely takes more products than a basis holds.
    products = min(options["max_products"], rows)
    need = Need(rows + k + 2 + more, BASIS_BYTES, 0, products)
    return weights.of_products(need)


def _density(weights: Weights, options: dict[str, Any]) -> Need:
    probes = options["probes"]
    steps = options["max_products"] // probes
    kept = min(steps, weights.n) + 3 if options["reorthogonalize"] else 5
    return weights.of_products(Need(kept, 0, 0, steps * probes))


def _trace(weights: Weights, options: dict[str, Any]) -> Need:
    most = options["max_products"]
    vectors = {
        "xtrace": most // 2 + 3,
        "hutch++": most // 3 + 5,
        "hutchinson": 6,
    }[options["method"]]
    return weights.of_products(Need(vectors, 0, 0, most))


def _diagonal(weights: Weights, options: dict[str, Any]) -> Need:
    most, wide = options["max_products"], 8 // weights.itemsize
    if options["method"] == "hutchinson":
        need = Need(3 + 2 * wide, 6 * DIAGONAL_BYTES, 0, most)
    else:
        need = Need(most + 3, 15 * DIAGONAL_BYTES, 0, most)
    return weights.of_products(need)


NEEDS: dict[str, Callable[[Weights, dict[str, Any]], Need]] = {
    "sharpness": _sharpness,
    "eigenvalues": _eigenvalues,
    "spectral_density": _density,
    "trace": _trace,
    "diagonal": _diagonal,
}


def changes(
    name: str, weights: Weights, options: dict[str, Any]
) -> Iterable[dict[str, Any]]:
    """Return options with which a measure takes less memory, the mildest first."""
    if name == "sharpness":
        if options["subspace"] is not None:
            return []
        return [{"memory": "lean", "solver": "auto"}]
    if name == "eigenvalues":
        rows = basis_rows(options["ncv"], options["k"], weights.n)
        return [{"ncv": ncv} for ncv in range(rows - 1, options["k"] + 2, -1)]
    if name == "spectral_density":
        return [{"reorthogonalize": False}]
    return [{"method": "hutchinson"}]

"""The trace on a subspace that is known already, and of the rest by sampling."""

from __future__ import annotations

import math

import numpy as np

from sharpkit._inputs.types import Matrix, Report
from sharpkit._spectrum.basis import Basis
from sharpkit._spectrum.estimate import SpectrumStatus, TraceEstimate
from sharpkit._spectrum.hutchpp import Rest, sampled
from sharpkit._spectrum.operators import Operator
from sharpkit._spectrum.sampling import error_of_products

LEAST_PRODUCTS = 2  # a single sample tells nothing of its error


def estimate(
    operator: Operator,
    products: int,
    *,
    basis: Basis,
    restricted: Matrix,
    seed: int,
    report: Report,
) -> TraceEstimate:
    r"""Estimate the trace of a symmetric operator of which a part is known.

    ``tr(Q^T A Q) + mean_i w_i^T (I - Q Q^T) A (I - Q Q^T) w_i``, as Hutch++ has it,
    with the Krylov space of a search for eigenvalues as Q: every product goes into a
    sample. Unbiased, because the sign probes w_i know nothing of Q.

    Parameters
    ----------
    operator
        The operator. A product that is not finite raises a ValueError.
    products
        The number of products, at least 2.
    basis
        The rows Q.
    restricted : (rows, rows) float64
        The operator restricted to them, ``Q^T A Q``.
    seed
        The seed of the probes.
    report
        A function that is called with (products done, value so far).

    References
    ----------
    Chen and Hallman, *Krylov-aware stochastic trace estimation*, SIAM J. Matrix Anal.
    Appl. 44 (2023); Meyer, Musco, Musco, Woodruff, arXiv 2010.09649 (Hutch++).
    """
    trace, norm = float(np.trace(restricted)), float(np.linalg.norm(restricted))
    error = error_of_products(operator, norm)
    if basis.count == operator.space.size:
        status, history = SpectrumStatus.EXACT, ((0, trace, error),)
        return TraceEstimate(trace, error, math.inf, status, history)
    vectors = operator.space.empty(2)
    rest = Rest(operator, basis, seed, vectors, report, trace)
    return sampled(rest, products, 0, None, error)

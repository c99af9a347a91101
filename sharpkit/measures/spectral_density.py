"""The density of the Hessian's eigenvalues: bulk, outliers and negative tail."""

from __future__ import annotations

from typing import Any

from sharpkit._inputs.checks import at_least, checked_seed, true_or_false
from sharpkit._inputs.journal import resumable_here
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp, LossFn, Path
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.scaled import Scaled
from sharpkit._spectrum.stochastic_quadrature import quadrature
from sharpkit.measures._point import Point, warn_asymmetric
from sharpkit.measures._resumable import resumable
from sharpkit.measures._sharded import sharded
from sharpkit.results.density import DensityResult


@sharded
@resumable
@documented
def spectral_density(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    max_products: int = 400,
    probes: int = 4,
    reorthogonalize: bool = True,
    seed: int = 0,
    backend: str | None = None,
    checkpoint: Path | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> DensityResult:
    r"""Estimate the density of all eigenvalues of the Hessian.

    ``(1 / n) sum_i delta(x - lambda_i)`` by stochastic Lanczos quadrature: from each of
    ``probes`` random normal directions ``m = max_products // probes`` Lanczos steps
    give nodes and weights that are exact for polynomials up to degree ``2 m - 1``.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    hvp
        $hvp
    max_products
        The products that may be done. Each probe takes an equal share of them, which is
        the resolution of the density: 100 steps at the defaults.
    probes
        The number of random directions: the statistical error falls as
        ``1 / sqrt(n probes)``.
    reorthogonalize
        Whether the Lanczos vectors are kept and held orthogonal. Without it the memory
        is 3 vectors in place of one for each step. Eigenvalues that have converged then
        come again as further nodes and share their weight, which the density does not
        feel.
    seed
        $seed
    backend
        $backend
    checkpoint
        $resumed
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    DensityResult
        The nodes and weights, with methods ``density(grid, width)``, ``cdf(x)``,
        ``moment(j)``, ``mean(f)``, ``effective_dimension(alpha)``,
        ``negative_share()``, ``renyi_sharpness(order)``, ``outliers()`` and ``plot()``.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        $asymmetric

    Notes
    -----
    Memory beside the callback's own, in vectors of the weights' length and dtype:
    ``max_products // probes + 2``, or 5 without re-orthogonalisation; with differences
    6 more while the step is chosen, 1 after.

    References
    ----------
    Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38 (2017). For networks: Ghorbani,
    Krishnan and Xiao, arXiv 1901.10159; Papyan, arXiv 1811.07062.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> eigenvalues = np.linspace(0, 1, 1000)
    >>> found = sharpkit.spectral_density(
    ...     np.zeros(1000), hvp=lambda w, v: eigenvalues * v, max_products=120
    ... )
    >>> share = found.cdf(0.25)
    >>> bool(share.low[0] < 0.25 < share.high[0])
    True
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend, comm=comm)
    began = point.begin()
    probes, seed = at_least("probes", probes, 1), checked_seed(seed)
    reorthogonalize = true_or_false("reorthogonalize", reorthogonalize)
    steps = at_least("max_products", max_products, probes) // probes
    with reporter(
        progress,
        steps * probes,
        title="spectral density",
        unit="products",
        value="probe {:.0f} of " + str(probes),
    ) as report:
        operator = point.operator(seed, report)
        scaled = Scaled(operator)
        with resumable_here():
            found = quadrature(
                scaled,
                steps=steps,
                probes=probes,
                reorthogonalize=reorthogonalize,
                seed=seed,
                report=report,
            )
    if found.asymmetric:
        warn_asymmetric(operator)
    return DensityResult(
        nodes=scaled.restored(found.nodes),
        weights=found.weights,
        reorthogonalized=reorthogonalize,
        status=SpectrumStatus.ASYMMETRIC
        if found.asymmetric
        else SpectrumStatus.COMPLETE,
        run=point.run_of_products(operator, began, seed),
    )

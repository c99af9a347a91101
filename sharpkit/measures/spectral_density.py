"""The density of the Hessian's eigenvalues: bulk, outliers and negative tail."""

from __future__ import annotations

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._spectrum.stochastic_quadrature import quadrature
from sharpkit.measures.setup import Setup
from sharpkit.results import DensityResult, SpectrumStatus


def spectral_density(
    weights: Array,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    steps: int = 100,
    probes: int = 4,
    reorthogonalize: bool = True,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> DensityResult:
    r"""Estimate the density of all eigenvalues of the Hessian.

    ``(1 / n) sum_i delta(x - lambda_i)`` by stochastic Lanczos quadrature: from each of
    ``probes`` random normal directions ``steps`` products give nodes and weights that
    are exact for polynomials up to degree ``2 steps - 1``.

    Parameters
    ----------
    weights : (n,) float32 or float64, NumPy, CuPy, torch or JAX
        The point; never written to.
    loss_fn
        ``loss_fn(w) -> (loss, gradient)``. A product is a central difference of the
        gradient (two calls), unless ``loss_fn`` has a method ``hvp(w, v)``.
    hvp
        ``hvp(w, v) -> H v``, (n,): an exact product with the Hessian, or with any
        symmetric operator. ``loss_fn`` is then not needed.
    steps
        Products per probe: the resolution.
    probes
        Random directions: the statistical error falls as ``1 / sqrt(n probes)``.
    reorthogonalize
        False needs 3 vectors of memory in place of ``steps``. Eigenvalues that have
        converged then come again as further nodes and share their weight, which the
        density does not feel.
    seed
        Fixes the random vectors; the same seed gives the same bits.
    backend : {None, "cpu", "cuda", "reference"}
        None: where the weights live.
    progress
        True, False, a callable ``progress(products, budget, probe)``, or None: a line
        on stderr if that is a terminal and it takes over two seconds.

    Returns
    -------
    DensityResult
        With methods ``density(grid, width)``, ``cdf(x)``, ``moment(j)``, ``mean(f)``,
        ``effective_dimension(alpha)``, ``negative_share()``, ``outliers()`` and
        ``plot()``.

    Raises
    ------
    TypeError, ValueError
        If an argument, or what the callback returns, cannot be used.

    Warns
    -----
    SharpkitWarning
        If the products are not those of a symmetric operator.

    Notes
    -----
    Memory beside the callback's own, in vectors of the weights' length and dtype:
    ``steps + 2``, or 5 without re-orthogonalisation; with differences 5 more while the
    step is chosen, 1 after.

    References
    ----------
    Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38 (2017). For networks: Ghorbani,
    Krishnan and Xiao, arXiv 1901.10159; Papyan, arXiv 1811.07062.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> eigenvalues = np.linspace(0, 1, 1000)
    >>> found = sharpkit.spectral_density(
    ...     np.zeros(1000), hvp=lambda w, v: eigenvalues * v, steps=30
    ... )
    >>> share = found.cdf(0.25)
    >>> bool(share.low[0] < 0.25 < share.high[0])
    True
    """
    setup = Setup(weights, loss_fn, hvp, seed=seed, backend=backend)
    steps, probes = at_least("steps", steps, 1), at_least("probes", probes, 1)
    with reporter(
        progress,
        steps * probes,
        title="spectral density",
        unit="products",
        value="probe {:.0f} of " + str(probes),
    ) as report:
        operator = setup.operator(report)
        found = quadrature(
            operator,
            steps=steps,
            probes=probes,
            reorthogonalize=reorthogonalize,
            seed=setup.seed,
            report=report,
        )
    status = SpectrumStatus.COMPLETE
    if found.asymmetric:
        setup.warn_asymmetric()
        status = SpectrumStatus.ASYMMETRIC
    return DensityResult(
        nodes=found.nodes,
        weights=found.weights,
        reorthogonalized=reorthogonalize,
        status=status,
        n=setup.n,
        run=setup.run(),
    )

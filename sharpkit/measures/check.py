"""Whether a loss, its gradient and its products can be believed, and what they cost."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sharpkit._box.box import NUMERICAL_LIMIT
from sharpkit._diagnosis.answers import gradient_answer, noise_answer, product_answer
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit._diagnosis.trial import Trial
from sharpkit._inputs.checks import at_least, checked_seed
from sharpkit._inputs.loading import waited
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp, LossFn
from sharpkit._inputs.warn import SharpkitWarning
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded
from sharpkit.measures.diagonal import diagonal
from sharpkit.measures.eigenvalues import basis_rows
from sharpkit.measures.sharpness import DEFAULT_EVALUATIONS
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import trace
from sharpkit.results.check import CheckResult

SHORT = ("sharpness", "eigenvalues", "trace", "spectral_density")  # of `measure`
SHORT_EVALUATIONS = 300  # that these may cost together
# What `profile` takes at most beside its density, of a model with its samples.
PROFILE_EVALUATIONS, PROFILE_PRODUCTS = 900, 160
PROFILE_DENSITY = {0: 400, 1000: 160}  # products, from so many weights on


@unsharded
@documented
def check(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    directions: int = 3,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> CheckResult:
    r"""Check a loss before it is measured: noise, gradient, products and their cost.

    Deterministic: four calls at the weights. Noise: the difference table of Moré and
    Wild along a random line, which sees the rounding that no repetition shows; ``100 q
    noise / (1 + loss)`` is the smallest sharpness that can be told from zero, q being
    what the rise of a constant loss with normal noise stays below in 99 of 100
    measurements of 100 evaluations. Gradient: ``f(b) - f(a) = int_a^b g.dx`` on random
    lines and along the gradient. Product: ``u.Hv = v.Hu``, and ``H v`` against
    differences of the gradient.

    It takes 100 to 220 evaluations, in the weights' own precision, and four products.
    What it finds is in the result: it does not warn.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
        Without a gradient what is left is checked. Its method ``hvp(w, v)``, if it has
        one, is checked too.
    hvp
        The product to check in place of the problem's own, ``hvp(w, v) -> H v``, (n,).
    directions
        The number of random lines on which the gradient is checked, beside its own.
    seed
        $seed
    backend
        $backend
    progress
        $progress

    Returns
    -------
    CheckResult
        The answers, with what was measured for each.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If a gradient or product has another dtype than the weights.

    Notes
    -----
    Memory beside the callback's own: a dozen vectors of the weights' length and dtype.

    References
    ----------
    Moré and Wild, *Estimating computational noise*, SIAM J. Sci. Comput. 33 (2011).

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.arange(1.0, 101.0)
    >>> def loss(w):
    ...     return 0.5 * np.sum(curvature * w**2), 1.01 * curvature * w
    >>> result = sharpkit.check(np.ones(100), loss)
    >>> result.ok, result.gradient, round(result.gradient_error, 4)
    (False, 'wrong', 0.0099)
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend)
    began = point.begin()
    loss_fn = point.required_loss()
    directions, seed = at_least("directions", directions, 1), checked_seed(seed)
    with (
        _quiet_about_noise(),
        reporter(progress, None, title="check", unit="evaluations", value="") as report,
    ):
        trial = Trial(
            point.space,
            point.weights,
            loss_fn,
            seed,
            lambda calls: report(calls, 0.0),
        )
        before = *waited(), trial.seconds
        answers = _answers(trial, point.hvp, directions)
        answers["loading_share"] = _loading(*before, trial.seconds)
        answers["drawn_difference"] = _drawn_difference(trial, point.redrawn())
        if answers["product"] == "undecided" and not _trusted(trial, point):
            answers["product"] = "wrong"
    products, source = answers.pop("products"), answers["product_source"]
    return CheckResult(
        **answers,
        evaluations=trial.calls,
        run=point.run(trial, began, source=source, seed=seed, products=products),
    )


def _loading(seconds: float, batches: float, before: float, after: float) -> float:
    """Return the share of the time that batches were waited for; NaN without any."""
    now, count = waited()
    if count == batches or not after > before:
        return math.nan
    return min((now - seconds) / (after - before), 1.0)


def _trusted(trial: Trial, point: Point) -> bool:
    """Return whether the measures would take the exact product."""
    found = point.trusted()
    trial.other_calls += found.calls
    trial.other_seconds += found.seconds
    return found.hvp is not None


def _drawn_difference(trial: Trial, redrawn: Objective | None) -> float:
    """Return what another random state changes of the loss, NaN if none can be set."""
    if redrawn is None:
        return math.nan
    loss, _ = redrawn(trial.weights.copy())
    trial.other_calls += redrawn.calls
    trial.other_seconds += redrawn.seconds
    return abs(loss - trial.centre.loss)


def _answers(trial: Trial, hvp: Hvp | None, directions: int) -> dict[str, Any]:
    """Return what was asked, question by question: fields of `CheckResult`."""
    noise, found = noise_answer(trial)
    gradient = gradient_answer(trial, noise, directions)
    product = product_answer(trial, noise, hvp)
    loss = trial.centre.loss
    rise = spurious_rise(DEFAULT_EVALUATIONS - 1) * noise.loss
    return {
        "loss": loss,
        "deterministic": trial.deterministic,
        "loss_difference": trial.loss_difference,
        "gradient_difference": trial.gradient_difference,
        "noise": noise.loss,
        "noise_found": found,
        "smallest_sharpness": 100 * rise / (1 + loss) if loss > -1 else math.nan,
        **gradient._asdict(),
        **product._asdict(),
        "evaluation_seconds": trial.evaluation_seconds,
        "costs": _costs(trial, product.product_seconds),
    }


def _costs(trial: Trial, product_seconds: float) -> dict[str, float]:
    """Return the seconds of each measure at its defaults, at most, where it is had."""
    n, calls, costs = trial.space.size, 1, {}
    if trial.centre.gradient is None:  # differentiated numerically
        calls = 1 + 2 * n
    if trial.centre.gradient is not None or n <= NUMERICAL_LIMIT:
        costs["sharpness"] = DEFAULT_EVALUATIONS * calls * trial.evaluation_seconds
    if math.isfinite(product_seconds):
        for measure, products in _products(n).items():
            costs[measure] = products * product_seconds
    short = [costs[name] for name in SHORT if name in costs]
    if short:
        limit = SHORT_EVALUATIONS * calls * trial.evaluation_seconds
        costs["measure"] = min(sum(short), limit)
        costs["compare"] = 2 * limit  # with the line
        costs["profile"] = PROFILE_EVALUATIONS * calls * trial.evaluation_seconds
        if math.isfinite(product_seconds):
            density = max(least for least in PROFILE_DENSITY if least <= n)
            products = PROFILE_PRODUCTS + PROFILE_DENSITY[density]
            costs["profile"] += products * product_seconds
    return costs


def _products(n: int) -> dict[str, int]:
    """Return the products of each measure of the spectrum at its defaults.

    An eigenvalue rarely takes more than one basis.
    """
    return {
        "eigenvalues": basis_rows(None, 1, n),
        "trace": _defaults(trace)["max_products"],
        "spectral_density": _defaults(spectral_density)["max_products"],
        "diagonal": _defaults(diagonal)["max_products"],
    }


def _defaults(measure: Any) -> dict[str, Any]:
    parameters = inspect.signature(measure).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


@contextmanager
def _quiet_about_noise() -> Iterator[None]:
    """Silence the warnings that the result puts into words."""
    with warnings.catch_warnings():
        for message in (
            "loss_fn is not deterministic",
            "loss_fn returned another gradient",
            "hvp is not the derivative",
        ):
            warnings.filterwarnings("ignore", message, SharpkitWarning)
        yield

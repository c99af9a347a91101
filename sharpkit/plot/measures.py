"""What each result of a measure draws on a pair of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sharpkit._inputs.arrays import to_host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.results import (
        AverageResult,
        BallResult,
        DiagonalResult,
        EigenResult,
        GroupResults,
        SharpnessResult,
        TraceResult,
    )
    from sharpkit.results.batches import Estimate
    from sharpkit.results.common import Headline

BINS = 100  # of a histogram


def draw_sharpness(result: SharpnessResult, ax: Axes) -> None:
    """Draw the best sharpness (per cent) against the evaluations spent.

    A curve that still climbs at its right end says that the search had not converged.
    """
    _draw_search(result, ax, result.solver)
    ax.set_ylabel(f"sharpness, % (ε = {result.epsilon:g})")
    ax.set_title(f"{result.value:.4g} %, {result.status.name.lower()}")
    ax.set_ylim(bottom=0)


def draw_ball(result: BallResult, ax: Axes) -> None:
    """Draw the best rise against the evaluations, or one number over subsets."""
    if not result.history.size:
        draw_number(result, ax)
        return
    _draw_search(result, ax, result.method.replace("_", " "))
    kind = "adaptive " if result.adaptive else ""
    ax.set_ylabel(f"{result.headline} ({kind}{result.norm}, {result.radius:g})")
    status = result.status.name.lower().replace("_", " ")
    ax.set_title(f"{result.value:.4g}, {status}")


def _draw_search(result: SharpnessResult | BallResult, ax: Axes, label: str) -> None:
    evaluations = np.arange(1, len(result.history) + 1)
    ax.step(evaluations, result.history, where="post", label=label)
    if result.noise > 0:
        ax.axhline(result.noise, color="0.6", ls=":", label="noise of the loss")
    ax.set_xlabel("evaluations of loss and gradient")
    ax.legend(frameon=False)


def draw_eigenvalues(result: EigenResult, ax: Axes) -> None:
    """Draw the eigenvalues in order, residuals as error bars; hollow: not converged."""
    from matplotlib.ticker import MaxNLocator

    order = np.arange(1, len(result.values) + 1)
    for good, fill, label in ((True, "full", "converged"), (False, "none", "not yet")):
        chosen = result.converged == good
        if chosen.any():
            ax.errorbar(
                order[chosen],
                result.values[chosen],
                yerr=result.residuals[chosen],
                fmt="o",
                color="C0",
                fillstyle=fill,
                capsize=3,
                label=label,
            )
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel("curvature λ")
    ax.set_title(
        f"{len(order)} eigenvalues ({result.which}), {result.products} products"
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)


def draw_groups(results: GroupResults[Any], ax: Axes) -> None:
    """Draw a horizontal bar per group, from the top in the order given, with errors."""
    figure = ax.get_figure(root=True)
    if figure is not None and len(figure.axes) == 1:
        figure.set_figheight(1.2 + 0.3 * len(results))
    values, errors = zip(*results.numbers().values(), strict=True)
    ax.barh(list(results), values, xerr=errors, capsize=2)
    ax.axvline(0, color="0.6", lw=0.8)
    ax.invert_yaxis()
    ax.set_xlabel(results.headline)
    ax.set_title("each group of weights by itself, the others fixed")


def draw_trace(result: TraceResult, ax: Axes) -> None:
    """Draw the estimates on the way with their standard errors, and the interval."""
    history = result.history or ((result.products, result.value, result.stderr),)
    products, values, errors = np.array(history, np.float64).T
    if np.isfinite(result.interval).all():
        ax.axhspan(*result.interval, alpha=0.2, lw=0, label="95 % interval")
    known = np.where(np.isfinite(errors), errors, 0)
    ax.errorbar(products, values, yerr=known, fmt="o-", capsize=3, label=result.method)
    ax.set_xlabel("products with the Hessian")
    ax.set_ylabel("trace ± standard error")
    ax.set_title(f"{result.value:.4g} ± {result.stderr:.1g}")
    ax.legend(frameon=False)


def draw_number(result: Headline, ax: Axes) -> None:
    """Draw one number with its error."""
    value, error = float(result), result.error
    bar = error if np.isfinite(error) else None
    ax.errorbar([0], [value], yerr=bar, fmt="o", capsize=3)
    ax.set_xticks([])
    ax.set_ylabel(result.headline)
    ax.set_title(f"{value:.4g}" + ("" if bar is None else f" ± {bar:.1g}"))


def draw_estimate(result: Estimate | AverageResult, ax: Axes) -> None:
    """Draw the estimates on the way, if there are any, and the interval."""
    history = getattr(result, "history", ((1, result.value, result.stderr),))
    counts, values, errors = np.array(history, np.float64).T
    if np.isfinite(result.interval).all():
        ax.axhspan(*result.interval, alpha=0.2, lw=0, label="95 % interval")
    known = np.where(np.isfinite(errors), errors, 0)
    ax.errorbar(counts, values, yerr=known, fmt="o-", capsize=3, label=result.headline)
    ax.set_xlabel("batches" if len(history) > 1 else "")
    ax.set_ylabel(f"{result.headline} ± standard error")
    ax.set_title(f"{result.value:.4g} ± {result.stderr:.1g}")
    ax.legend(frameon=False)


def draw_diagonal(result: DiagonalResult, ax: Axes) -> None:
    """Draw how many entries of the diagonal have which size."""
    ax.hist(to_host(result.values), bins=BINS, log=True)
    ax.axvline(0, color="0.6", lw=0.8)
    ax.set_xlabel("diagonal entry of the Hessian")
    ax.set_ylabel("weights")
    ax.set_title(f"mean {float(result):.4g} ± {result.error:.1g}")

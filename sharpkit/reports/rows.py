"""The measures that a profile takes, an entry for each, in the order of its table.

A new measure is one entry: a function that takes it at a point that it shares with all
others, one that makes numbers of the result, and what it takes. Those of the box and of
the spectrum are here, those of balls and noise in `rises`, along an update and from the
start in `along`, and of samples and layers in `sampled`. What one measure
leaves for those after it, such as a basis, goes through `Session.kept`; whole results
through `Session.results`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit.measures.eigenvalues import MAX_PRODUCTS, basis_rows, searched
from sharpkit.measures.sharpness import sharpness
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import trace, trace_beside
from sharpkit.reports import along, rises, sampled
from sharpkit.reports.entry import (
    FIRST,
    WHOLE,
    Entry,
    climbable,
    itself,
    status_word,
)
from sharpkit.reports.session import Cost, Session, Work
from sharpkit.results.report import Quantity

DIRECTIONS = 100  # of the random subspace, as in Keskar et al.
PRODUCT = ("product",)  # what is compiled at its first call
MANY = 1000  # weights, of which few probes tell as much as more of few weights
FEW, MORE = (2, 80), (4, 100)  # probes of the density, and steps of each


def _below(session: Session) -> str:
    loss = session.found.fit.loss
    return f"it divides by 1 + loss, and the loss is {loss:.6g}" if loss <= -1 else ""


def _unsearched(session: Session) -> str:
    return _below(session) or climbable(session)


def _search_cost(session: Session, searches: int) -> Cost:
    calls, least = session.unit, min(searches, 2) * FIRST
    return Cost(Work(least * calls), Work(searches * WHOLE * calls))


def _searches(session: Session, work: Work | None, searches: int) -> dict[str, Any]:
    """Return how often, and how long, may be searched."""
    found = {"epsilon": session.settings.epsilon, **session.options}
    if work is None:
        return found | {"repeats": searches}
    allowed = work.evaluations // session.unit
    repeats = max(min(searches, allowed // FIRST), 1)
    each = allowed // repeats
    most = None if each >= WHOLE else max(each, 3)
    return found | {"repeats": repeats, "max_evaluations": most}


def _sharpness(session: Session, work: Work | None) -> Any:
    options = _searches(session, work, session.settings.repeats)
    return sharpness(session.point, **options)


def _in_subspace(session: Session, work: Work | None) -> Any:
    options = _searches(session, work, 1)
    return sharpness(session.point, subspace=DIRECTIONS, **options)


def _is_small(session: Session) -> str:
    if session.n > DIRECTIONS:
        return _below(session)
    return f"{DIRECTIONS} directions are no fewer than the {session.n} weights"


def _of_search(name: str) -> Callable[[Any], list[Quantity]]:
    def rows(result: Any) -> list[Quantity]:
        spread = float(np.std(result.repeats, ddof=1)) if result.repeats[1:] else 0.0
        error, status = max(spread, result.error), status_word(result.status)
        return [Quantity(name, "%", result.value, error, status)]

    return rows


def _eigenvalues(session: Session, work: Work | None) -> Any:
    found, known = searched(
        session.point,
        k=session.settings.k,
        max_products=MAX_PRODUCTS if work is None else work.products,
        **session.options,
    )
    if found.status is not SpectrumStatus.ASYMMETRIC:
        session.kept["basis"] = known
    return found


def _basis_cost(session: Session) -> Cost:
    rows = basis_rows(None, session.settings.k, session.n)
    return Cost(Work(products=min(24, rows)), Work(products=rows))


def _of_eigenvalues(result: Any) -> list[Quantity]:
    found = []
    pairs = zip(result.values, result.residuals, strict=True)
    for i, (value, residual) in enumerate(pairs):
        name = f"eigenvalue {i + 1}" if i else "largest eigenvalue"
        status = "" if i else status_word(result.status)
        found.append(Quantity(name, "", float(value), float(residual), status))
    return found


def _trace(session: Session, work: Work | None) -> Any:
    products = (work or _trace_cost(session).usual).products
    known = session.kept.pop("basis", None)
    if known is None or session.n <= products:  # which is then exact
        return trace(session.point, max_products=products, **session.options)
    return trace_beside(session.point, known, max_products=products, **session.options)


def _trace_cost(session: Session) -> Cost:
    known = {"eigenvalues", "basis"} & {*session.waiting, *session.kept}
    least, usual = (10, 30) if known else (12, 60)
    if session.n <= 60:  # which makes it exact
        usual = max(session.n, 4)
    if session.n <= 24:
        least = usual
    return Cost(Work(products=min(least, usual)), Work(products=usual))


def _of_trace(result: Any) -> list[Quantity]:
    status = status_word(result.status)
    return [Quantity("trace", "", result.value, result.stderr, status)]


def _density(session: Session, work: Work | None) -> Any:
    products = (work or _density_cost(session).usual).products
    probes, steps = _probes(session)
    probes = min(probes, max(products // (steps // 2), 1))
    return spectral_density(
        session.point, max_products=products, probes=probes, **session.options
    )


def _probes(session: Session) -> tuple[int, int]:
    return FEW if session.n >= MANY else MORE


def _density_cost(session: Session) -> Cost:
    probes, steps = _probes(session)
    return Cost(Work(products=30), Work(products=probes * steps))


def _of_density(result: Any) -> list[Quantity]:
    share, size = result.negative_share(), result.mean(np.abs)
    status = status_word(result.status)
    return [
        Quantity("negative share", "%", 100 * share.value, 100 * share.stderr, status),
        Quantity("mean |eigenvalue|", "", size.value, size.stderr),
    ]


def _frobenius(session: Session, work: Work | None) -> Quantity:
    square = session.results["spectral_density"].moment(2)
    value = math.sqrt(max(session.n * square.value, 0.0))
    error = session.n * square.stderr / (2 * value) if value else 0.0
    return Quantity("Frobenius norm", "", value, error)


def _dimension(session: Session, work: Work | None) -> Quantity:
    found = session.results["spectral_density"].effective_dimension(1.0)
    return Quantity("effective dimension at 1", "", found.value, found.stderr)


def _renyi(session: Session, work: Work | None) -> Quantity:
    found = session.results["spectral_density"].renyi_sharpness()
    return Quantity("Rényi sharpness of order 2", "", found.value, found.stderr)


ENTRIES = (
    along.GRADIENT,
    Entry(
        "sharpness",
        _sharpness,
        _of_search("sharpness"),
        lambda session: _search_cost(session, session.settings.repeats),
        lacks=_unsearched,
    ),
    Entry(
        "subspace_sharpness",
        _in_subspace,
        _of_search("sharpness in a subspace"),
        lambda session: _search_cost(session, 1),
        needs="gradient",
        lacks=_is_small,
    ),
    Entry(
        "eigenvalues",
        _eigenvalues,
        _of_eigenvalues,
        _basis_cost,
        needs="products",
        builds=PRODUCT,
    ),
    Entry("trace", _trace, _of_trace, _trace_cost, needs="products", builds=PRODUCT),
    Entry(
        "spectral_density",
        _density,
        _of_density,
        _density_cost,
        needs="products",
        builds=PRODUCT,
    ),
    Entry("frobenius_norm", _frobenius, itself, after="spectral_density"),
    Entry("effective_dimension", _dimension, itself, after="spectral_density"),
    Entry("renyi_sharpness", _renyi, itself, after="spectral_density"),
    *rises.ENTRIES,
    *along.ENTRIES,
    *sampled.ENTRIES,
)
KNOWN = {entry.name: entry for entry in ENTRIES}

"""Entries of a profile: what single samples tell, and the matrices of layers."""

from __future__ import annotations

import math
from typing import Any

from sharpkit.measures.batch_sharpness import batch_sharpness
from sharpkit.measures.fisher_rao import fisher_rao
from sharpkit.measures.gradient_noise import gradient_noise
from sharpkit.measures.normalized_flatness import normalized_flatness
from sharpkit.measures.relative_flatness import relative_flatness
from sharpkit.reports.entry import SAMPLELESS, Entry, number, quantity, status_word
from sharpkit.reports.session import TRIAL, Cost, Session, Work
from sharpkit.results.report import Quantity

BATCH = 32  # samples of a batch, fewer where there are fewer
BATCHES, FEWEST = 100, 10
CLOSE = 0.02  # a relative standard error of the batch sharpness that is enough
SHORTEST = 0.02  # of an evaluation: what a call takes however few samples it has
FORWARD = 4.0  # evaluations: the passes with a tangent, and a look at a few samples
EACH, LEAST = 12, 4  # products for the relative flatness of a layer
ALL = 60  # products for it, of many layers together
DIAGONAL, SHORT = 30, 12  # products for the normalised flatness


def _batch(session: Session) -> int:
    return min(BATCH, session.samples)


def _of_batch(session: Session) -> float:
    return max(_batch(session) / session.samples, SHORTEST)


def _of_one(session: Session) -> float:
    return max(1 / session.samples, SHORTEST)


def _batch_sharpness(session: Session, work: Work | None) -> Any:
    allowed = BATCHES
    if work is not None:
        allowed = min(int(work.products / _of_batch(session)), BATCHES)
    return batch_sharpness(
        session.point,
        batch_size=_batch(session),
        max_batches=max(allowed, FEWEST),
        rtol=CLOSE,
        **session.options,
    )


def _batch_cost(session: Session) -> Cost:
    trial, part = TRIAL[session.product], _of_batch(session)
    least, most = (
        Work(math.ceil(count * part), math.ceil((count + trial) * part))
        for count in (FEWEST, BATCHES)
    )
    return Cost(least, most)


def _of_batches(result: Any) -> list[Quantity]:
    return [quantity(f"batch sharpness of {result.batch_size} samples", result)]


def _gradient_noise(session: Session, work: Work | None) -> Any:
    allowed = BATCHES
    if work is not None:
        allowed = min(int(work.evaluations / _of_one(session)), BATCHES)
    return gradient_noise(
        session.point, batches=max(allowed, FEWEST), **session.options
    )


def _noise_cost(session: Session) -> Cost:
    part = _of_one(session)
    least, most = (Work(1 + math.ceil(count * part)) for count in (FEWEST, BATCHES))
    return Cost(least, most)


def _of_noise(result: Any) -> list[Quantity]:
    variance = result.gradient_variance, result.gradient_variance_stderr
    return [
        quantity("gradient noise scale, samples", result),
        Quantity("gradient variance", "", *variance),
    ]


def _has_passes(session: Session) -> bool:
    return session.point.has("directional")


def _fisher(session: Session, work: Work | None) -> Any:
    most = None if _has_passes(session) else min(BATCHES, session.samples)
    return fisher_rao(session.point, max_samples=most, **session.options)


def _fisher_cost(session: Session) -> Cost:
    if _has_passes(session):
        work = Work(math.ceil(FORWARD))
    else:
        work = Work(math.ceil(min(BATCHES, session.samples) * _of_one(session)))
    return Cost(work, work)


def _unsampled(session: Session) -> str:
    if session.has_samples or _has_passes(session):
        return ""
    return SAMPLELESS


def _matrices(session: Session) -> Any:
    return getattr(session.point.problem, "matrices", None) or {}


def _shapeless(session: Session) -> str:
    if _matrices(session):
        return ""
    return (
        "the problem does not know the matrices of its layers, as those of PyTorch and "
        "JAX models do: call the measure itself with matrices="
    )


def _relative(session: Session, work: Work | None) -> Any:
    count, most = len(_matrices(session)), _of_each(session)
    each = most if work is None else work.products // count - _trial(session)
    return relative_flatness(
        session.point, max_products=min(max(each, LEAST), most), **session.options
    )


def _of_each(session: Session) -> int:
    """Return the products that a layer takes, fewer where there are many."""
    return min(max(ALL // max(len(_matrices(session)), 1), LEAST), EACH)


def _trial(session: Session) -> int:
    """Return what a layer takes besides its products: the choice of a step."""
    return 0 if session.point.hvp is not None else TRIAL[session.product]


def _relative_cost(session: Session) -> Cost:
    count, trial = len(_matrices(session)), _trial(session)
    return Cost(
        Work(products=count * (LEAST + trial)),
        Work(products=count * (_of_each(session) + trial)),
    )


def _of_layers(result: Any) -> list[Quantity]:
    value = sum(float(each) for each in result.values())
    error = math.hypot(*(each.error for each in result.values()))
    words = dict.fromkeys(status_word(each.status) for each in result.values())
    label = f"relative flatness, sum of {len(result)} layers"
    return [Quantity(label, "", value, error, ", ".join(words))]


def _normalized(session: Session, work: Work | None) -> Any:
    most = DIAGONAL if work is None else work.products
    return normalized_flatness(session.point, max_products=most, **session.options)


ENTRIES = (
    Entry(
        "batch_sharpness",
        _batch_sharpness,
        _of_batches,
        _batch_cost,
        needs="samples",
        part=_of_batch,
        builds=("loss of a batch", "product of a batch"),
    ),
    Entry(
        "gradient_noise",
        _gradient_noise,
        _of_noise,
        _noise_cost,
        needs="samples",
        part=_of_one,
        builds=("loss of a sample",),
    ),
    Entry(
        "fisher_rao",
        _fisher,
        number("Fisher-Rao norm, squared"),
        _fisher_cost,
        needs="gradient",
        lacks=_unsampled,
        builds=("passes", "loss of few samples"),
        part=lambda session: 1.0 if _has_passes(session) else _of_one(session),
    ),
    Entry(
        "relative_flatness",
        _relative,
        _of_layers,
        _relative_cost,
        needs="products",
        lacks=_shapeless,
        builds=("product",),
    ),
    Entry(
        "normalized_flatness",
        _normalized,
        number("normalised flatness"),
        lambda session: Cost(Work(products=SHORT), Work(products=DIAGONAL)),
        needs="products",
        lacks=_shapeless,
        builds=("product",),
    ),
)

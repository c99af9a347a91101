"""How wrong estimates of a Hessian's trace are, against the products they take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench import peers
from bench.peers import Found
from bench.spectra import Record, missing, our_trace
from bench.torch_network import TorchNetwork

METHODS = ("xtrace", "hutch++", "hutchinson")
BEST = METHODS[0]
# Seeds of each number of products, and the most, with which the best method runs once.
POINTS, MOST = {18: 3, 30: 2, 60: 2}, 120
QUICK_POINTS, QUICK_MOST = {18: 2, 30: 2}, 60
SHARE = 0.02  # the standard error that is asked for
PEER_SEEDS = 3


def trace_records(
    network: TorchNetwork, points: Mapping[int, int], most: int
) -> dict[str, Any]:
    """Return the reference, the curves, what 2 % take, and PyHessian's values."""
    wanted = [(name, *point) for point in points.items() for name in METHODS]
    seeds = itertools.count()  # no two runs share one: their errors are independent
    runs = [
        [our_trace(network, name, products, seed=next(seeds)) for _ in range(times)]
        for name, products, times in [*wanted, (BEST, most, 1)]
    ]
    known = reference([found for taken in runs for found in taken])
    curve = [trace_record(taken, known["value"]) for taken in runs]
    return {
        "reference": known,
        "curve": curve,
        "needed": [
            {"method": method, **needed([r for r in curve if r["method"] == method])}
            for method in METHODS
        ],
        "pyhessian": _pyhessian(network, known["value"]),
    }


def reference(estimates: list[Found]) -> Record:
    """Return the mean of all estimates, weighted with their products.

    All are unbiased and their errors are independent. The weights are not the errors
    that they report: those depend on the values.
    """
    products = [found.products for found in estimates]
    total = sum(products)
    sums = zip(products, estimates, strict=True)
    errors = [each * (found.stderr or 0.0) for each, found in sums]
    values = [float(found.values[0]) for found in estimates]
    return {
        "value": float(np.dot(products, values)) / total,
        "stderr": float(np.linalg.norm(errors)) / total,
        "products": total,
    }


def trace_record(taken: list[Found], reference: float) -> Record:
    """Return the errors of one method's estimates, as shares of the trace.

    reported : the standard error that the method itself gives, root mean square;
    error, worst : the true one, root mean square and largest.
    """
    errors = [abs(float(each.values[0]) / reference - 1) for each in taken]
    stderrs = [each.stderr for each in taken if each.stderr is not None]
    return {
        "method": taken[0].method,
        "how": taken[0].how,
        "products": max(each.products for each in taken),
        "all_products": [each.products for each in taken],
        "values": [float(each.values[0]) for each in taken],
        "stderrs": stderrs,
        "cpu": float(np.median([each.cpu for each in taken])),
        "outside": float(np.median([each.outside for each in taken])),
        "error": _rms(errors),
        "worst": max(errors),
        "median": float(np.median(errors)),
        "reported": _rms(stderrs) / abs(reference) if stderrs else None,
    }


def needed(curve: list[Record]) -> Record:
    """Return the fewest products whose reported error is 2 % or less.

    Where none of those tried is enough, the last one's error is taken to fall with the
    root of the products, as Hutchinson's does; ``measured`` is false then.
    """
    curve = sorted(curve, key=lambda record: record["products"])
    for record in curve:
        if record["reported"] <= SHARE:
            return {"products": record["products"], "measured": True}
    last = curve[-1]
    more = last["products"] * (last["reported"] / SHARE) ** 2
    known = math.isfinite(more)
    return {"products": math.ceil(more) if known else None, "measured": False}


def _pyhessian(network: TorchNetwork, reference: float) -> Record:
    if peers.version(peers.PYHESSIAN) is None:
        return missing(peers.PYHESSIAN)
    taken = [peers.pyhessian_trace(network, seed=seed) for seed in range(PEER_SEEDS)]
    return trace_record(taken, reference)


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))

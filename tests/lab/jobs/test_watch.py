"""A watched training is the training, and its curve that of dense Hessians."""

import numpy as np
import pytest

from sharpkit.lab.experiments.common import large
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import trained
from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.problem import Problem

CONFIG = {
    "measures": {"running": ["lambda_max"], "batch": ["lambda_max"]},
    "records": 4,
}


def test_a_watched_training(tiny, carried_out):
    training = large(tiny, 1000)
    run, arrays = carried_out(Task("watch", CONFIG, 1000, (training,)))
    assert run.metrics["same"]
    assert len(arrays) == 0
    path = []
    network, data, found = trained(
        training.config, 1000, [], lambda *here: path.append((here[0].copy(), here[1]))
    )
    assert len(path) == found.epochs * 2  # batches, of the last epoch not all count
    path[found.updates :] = [(found.weights, found.statistics)]
    assert run.metrics["updates"] == found.updates == len(path) - 1
    every = found.updates // 4
    for kind in ("running", "batch"):
        curve = run.metrics["curves"][f"lambda_max, {kind}"]
        assert curve["steps"] == list(range(0, len(path), every))
        for step, value in list(zip(curve["steps"], curve["values"], strict=True))[1:]:
            weights, statistics = path[step]
            loss = Problem(
                network,
                data.x_train.astype(np.float64),
                data.y_train,
                batch_norm=kind,
                statistics=doubled(statistics) if kind == "running" else None,
            )
            assert value == pytest.approx(largest(loss, weights), rel=0.02)


def doubled(statistics):
    return Statistics(
        *(
            tuple(each.astype(np.float64) for each in part)
            for part in (statistics.means, statistics.variances)
        )
    )


def largest(loss, weights):
    """The largest eigenvalue by 60 steps of Lanczos with full orthogonalisation."""
    w = weights.astype(np.float64)
    basis = [np.random.default_rng(0).normal(size=len(w))]
    basis[0] /= np.linalg.norm(basis[0])
    rows = []
    for _ in range(60):
        product = loss.hvp(w, basis[-1])
        rows.append(product)
        for _ in range(2):
            product = product - sum((b @ product) * b for b in basis)
        basis.append(product / np.linalg.norm(product))
    small = np.array(basis[:-1]) @ np.array(rows).T
    return np.linalg.eigvalsh((small + small.T) / 2)[-1]

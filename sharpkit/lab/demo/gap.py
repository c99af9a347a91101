"""Tables 2, 3 and 4: accuracy and sharpness after small and large batches.

One trial trains from one starting point with the small and the large batch to the same
loss and measures both minimisers, with two controls beside them: the large batch at
eight times the learning rate, and both minimisers with equal layer norms. The curvature
at each stands beside its sharpness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

import sharpkit
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.data import Dataset
from sharpkit.lab.demo.curvature import curvature, steps_of
from sharpkit.lab.demo.path import parametric_path
from sharpkit.lab.demo.settings import EPSILONS, FAST, SUBSPACE, Setting
from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.networks.rescale import layer_norms, with_norms
from sharpkit.lab.problem import Problem, frozen_statistics
from sharpkit.lab.training.devices import array_library
from sharpkit.lab.training.loop import TrainingRun, train
from sharpkit.lab.training.regime import Regime

Record = dict[str, Any]
Advance = Callable[[str, int], None]
"""``advance(what, steps)``: called when something is done."""

SOLVERS: tuple[Literal["auto", "lbfgsb"], ...] = ("auto", "lbfgsb")
TRAINED = {"SB": 12, "LB": 4, "LB fast": 4}  # steps of progress, about their cost
RESCALED = ("SB rescaled", "LB rescaled")
MINIMISERS = (*TRAINED, *RESCALED)
MEASUREMENTS = len(EPSILONS) * 2 * len(SOLVERS)
STEPS = sum(TRAINED.values()) + len(MINIMISERS) * (MEASUREMENTS + steps_of(EPSILONS))


def run_trial(
    setting: Setting,
    seed: int,
    *,
    with_path: bool = False,
    advance: Advance = lambda what, steps: None,
) -> Record:
    """Train and measure one pair of minimisers; return a record ready for JSON.

    Runs on one thread, so that its bits do not depend on how many trials run at once;
    on a CUDA device if the setting says so.

    Parameters
    ----------
    seed
        Of starting point, order of samples and random subspace, all three shared by
        the small and the large batch.
    with_path
        Also evaluate the line through both minimisers (`parametric_path`), and the
        density of the eigenvalues at both.
    """
    before = sharpkit.get_num_threads()
    sharpkit.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return _run_trial(setting, seed, with_path, advance)
    finally:
        sharpkit.set_num_threads(before)


def _run_trial(
    setting: Setting, seed: int, with_path: bool, advance: Advance
) -> Record:
    data = setting.load().on(array_library(setting.device))
    network = MLP(setting.sizes(data))
    runs = {
        name: _train(setting, network, data, seed, name, advance) for name in TRAINED
    }
    points = {name: (run.weights, run.statistics) for name, run in runs.items()}
    norms = np.sqrt(
        layer_norms(network, runs["SB"].weights)
        * layer_norms(network, runs["LB"].weights)
    )
    for name, rescaled in zip(("SB", "LB"), RESCALED, strict=True):
        points[rescaled] = with_norms(network, *points[name], norms)
    record: Record = {"setting": setting.name, "seed": seed, "minimisers": {}}
    for name, (weights, statistics) in points.items():
        problem = _problem(setting, network, data, weights, statistics)
        found = _accuracies(network, data, weights, statistics)
        found["sharpness"] = _sharpness(problem, weights, seed, advance)
        found["curvature"] = curvature(
            problem,
            weights,
            epsilons=EPSILONS,
            seed=seed,
            with_density=with_path and name in ("SB", "LB"),
            advance=advance,
        )
        if name in runs:
            found |= _training_record(runs[name]) | {"rate": _rate(setting, name)}
        record["minimisers"][name] = found
    if with_path:
        record["path"] = parametric_path(
            network, data, runs["SB"].weights, runs["LB"].weights
        )
    return record


def _train(
    setting: Setting,
    network: MLP,
    data: Dataset,
    seed: int,
    name: str,
    advance: Advance,
) -> TrainingRun:
    start = network.initial_weights(seed)  # drawn on the host: the same everywhere
    run = train(
        network,
        data.x_train,
        data.y_train,
        Regime(
            setting.small if name == "SB" else setting.large,
            rate=_rate(setting, name),
            until_loss=setting.until_loss,
            max_epochs=setting.max_epochs,
        ),
        start=array_module(data.x_train).asarray(start),
        seed=seed,
    )
    advance(f"trained {name}", TRAINED[name])
    return run


def _rate(setting: Setting, name: str) -> float:
    return setting.rate * (FAST if name == "LB fast" else 1)


def _training_record(run: TrainingRun) -> Record:
    moved = (run.weights - run.start).astype(np.float64)
    return {
        "epochs": run.epochs,
        "updates": run.updates,
        "reached": run.reached,
        "distance": float(array_module(moved).linalg.norm(moved)),
        "training_seconds": run.seconds,
    }


def _accuracies(
    network: MLP, data: Dataset, weights: XpArray, statistics: Statistics
) -> Record:
    record: Record = {}
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        whole = Problem(network, x, y, batch_norm="running", statistics=statistics)
        record[part] = asdict(whole.measure(weights))
    return record


def _sharpness(
    problem: Problem, weights: XpArray, seed: int, advance: Advance
) -> list[Record]:
    records = []
    for epsilon in EPSILONS:
        for subspace in (None, min(SUBSPACE, weights.size)):
            for solver in SOLVERS:
                result = sharpkit.sharpness(
                    weights,
                    problem,
                    epsilon=epsilon,
                    subspace=subspace,
                    solver=solver,
                    seed=seed,
                    progress=False,
                )
                records.append(result.to_dict() | {"solver": solver})
                advance("measured", 1)
    return records


def _problem(
    setting: Setting,
    network: MLP,
    data: Dataset,
    weights: XpArray,
    running: Statistics,
) -> Problem:
    x, y = data.x_train, data.y_train
    fixed: Statistics | None = running
    if setting.batch_norm == "batch":
        fixed = None
    elif setting.batch_norm == "frozen":
        fixed = frozen_statistics(network, weights, x, y)
    return Problem(network, x, y, batch_norm=setting.batch_norm, statistics=fixed)

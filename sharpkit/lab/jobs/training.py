"""Train a network and keep where it ended, and where it passed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.data import Dataset
from sharpkit.lab.data.source import Source
from sharpkit.lab.jobs.minimisers import END, Done, Point, packed, point
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.networks import build
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.problem import Problem
from sharpkit.lab.training.devices import array_library
from sharpkit.lab.training.loop import Snapshots, TrainingRun, train
from sharpkit.lab.training.regime import Regime

Record = dict[str, Any]


def setting_of(config: Record) -> tuple[Network, Dataset]:
    """Return the network and the data that a task names, the data on its device."""
    device = config.get("device", "cpu")
    data = Source(**config["data"]).load().on(array_library(device))
    network = build(
        config["network"]["name"],
        config["network"]["width"],
        features=data.features,
        classes=data.classes,
        definition=config["network"]["definition"],
        depth=config["network"].get("depth"),
    )
    return network, data


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Train as the task says; return the metrics and the points.

    With ``config["start"]`` it starts from that point of the first needed run, else
    from a uniform draw by the seed: the same one for every batch size. With
    ``config["as_many_updates"]`` it goes on for as many epochs as make the updates of
    the last needed run, whatever the loss.
    """
    config = task.config
    network, data, found = trained(config, task.seed, needed)
    end = Point(found.weights, found.statistics)
    metrics = _metrics(found) | measured(network, data, end)
    metrics["n"] = network.n_weights
    if config["curves"]:
        metrics["running_accuracies"] = list(found.running_accuracies)
        metrics["test_accuracies"] = list(found.test_accuracies)
        metrics["test_halves"] = list(map(list, found.test_halves))
    arrays = packed(END, end)
    metrics["snapshots"] = []
    for each in found.snapshots:
        here = Point(each.weights, each.statistics)
        name = snapshot_name(each.epoch, each.threshold)
        arrays |= packed(name, here)
        metrics["snapshots"].append(
            {"name": name, "epoch": each.epoch, "loss": each.loss}
            | measured(network, data, here)
        )
    return metrics, arrays


def trained(
    config: Record,
    seed: int,
    needed: list[Done],
    on_update: Callable[[XpArray, Statistics], object] | None = None,
) -> tuple[Network, Dataset, TrainingRun]:
    """Return the network, the data and the training that a configuration describes.

    ``on_update`` is called before each batch, as `train` does.
    """
    network, data = setting_of(config)
    regime = Regime(**_tuples(config["regime"]))
    if config["as_many_updates"]:
        per_epoch = math.ceil(len(data.x_train) / regime.batch_size)
        epochs = math.ceil(needed[-1].run.metrics["updates"] / per_epoch)
        regime = replace(regime, until_loss=None, patience=None, max_epochs=epochs)
    if config["start"] is not None:
        origin = point(network, data, needed[0], config["start"])
        start, statistics = origin.weights, origin.statistics
    else:
        start, statistics = initial_weights(network, data, seed), None
    wanted = config["snapshots"]
    found = train(
        network,
        data.x_train,
        data.y_train,
        regime,
        start=start,
        seed=seed,
        statistics=statistics,
        shape=data.shape,
        snapshots=Snapshots(tuple(wanted["epochs"]), tuple(wanted["losses"])),
        test=(data.x_test, data.y_test) if config["curves"] else None,
        on_update=on_update,
    )
    return network, data, found


def initial_weights(network: Network, data: Dataset, seed: int) -> XpArray:
    """Return the uniform draw by a seed, where the data are."""
    drawn = network.initial_weights(seed)  # on the host: the same everywhere
    return array_module(data.x_train).asarray(drawn)


def snapshot_name(epoch: int, threshold: float | None) -> str:
    """Return what a snapshot is called: by its threshold, if it was kept for one."""
    return f"epoch-{epoch}" if threshold is None else f"loss-{threshold:g}"


def measured(network: Network, data: Dataset, here: Point) -> Record:
    """Return loss and accuracy on train and test, running batch-norm statistics."""
    record: Record = {}
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        problem = Problem(
            network, x, y, batch_norm="running", statistics=here.statistics
        )
        record[part] = problem.evaluate(here.weights)._asdict()
    return record


def _metrics(found: TrainingRun) -> Record:
    moved = (found.weights - found.start).astype(np.float64)
    return {
        "epochs": found.epochs,
        "updates": found.updates,
        "reached": found.reached,
        "losses": list(found.losses),
        "distance": float(array_module(moved).linalg.norm(moved)),
        "training_seconds": found.seconds,
    }


def _tuples(regime: Record) -> Record:
    """Return a regime from JSON, which has no tuples."""
    return regime | {"growth": tuple(tuple(pair) for pair in regime["growth"])}

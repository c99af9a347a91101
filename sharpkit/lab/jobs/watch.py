"""Train once more as a finished run, and watch the sharpness on the way."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count
from typing import Any

import numpy as np

import sharpkit
from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.types import XpArray
from sharpkit.lab.jobs.minimisers import END, Done
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import setting_of, trained
from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.problem import BatchNorm, Problem

Record = dict[str, Any]


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Repeat the needed run from its start; return the curves, and no arrays.

    ``config["measures"]`` names what `sharpkit.monitor.loop` takes, about
    ``config["records"]`` times, of the loss over all training samples: for each kind
    of batch-norm statistics, ``"running"`` or ``"batch"``. ``same`` says whether the
    run has ended with the weights of the one that was not watched.
    """
    config, done = task.config, needed[0]
    how = done.run.config
    every = max(done.run.metrics["updates"] // config["records"], 1)
    curves: Record = {}
    with ExitStack() as stack:
        watched = [
            stack.enter_context(_Watch(how, task.seed, kind, names, every, curves))
            for kind, names in config["measures"].items()
        ]

        told = count()

        def tell(weights: XpArray, statistics: Statistics) -> None:
            if next(told) < done.run.metrics["updates"]:  # later ones were taken back
                for each in watched:
                    each.step(weights, statistics)

        _, _, found = trained(how, task.seed, [], tell)
        for each in watched:
            each.step(found.weights, found.statistics)
    known = done.arrays[f"{END}/weights"]
    return {
        "curves": curves,
        "updates": found.updates,
        "epochs": found.epochs,
        "same": bool(np.array_equal(to_host(found.weights), known)),
    }, {}


class _Watch:
    """A monitor of the loss with one kind of statistics, on a network of its own."""

    def __init__(
        self,
        how: Record,
        seed: int,
        kind: BatchNorm,
        names: list[str],
        every: int,
        curves: Record,
    ) -> None:
        network, data = setting_of(how)
        weights = array_module(data.x_train).asarray(network.initial_weights(seed))
        own = network.initial_statistics(weights) if kind == "running" else None
        x, y = data.x_train, data.y_train
        self._loss = Problem(network, x, y, batch_norm=kind, statistics=own)
        self._curves, self._kind = curves, kind
        self._monitor = sharpkit.monitor.loop(
            sharpkit.Problem(weights, self._loss, hvp=self._loss.hvp),
            rate=how["regime"]["rate"],
            measures=names,
            every=every,
            budget=None,
            sinks=[self._add],
        )

    def step(self, weights: XpArray, statistics: Statistics) -> None:
        if self._kind == "running":
            self._loss.statistics = statistics
        self._monitor.step(weights)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *exception: object) -> None:
        self._monitor.close()

    def _add(self, row: sharpkit.monitor.Row) -> None:
        empty: Record = {"steps": [], "values": [], "errors": []}
        curve = self._curves.setdefault(f"{row.name}, {self._kind}", empty)
        for name, value in zip(empty, (row.step, row.value, row.error), strict=True):
            curve[name].append(value)

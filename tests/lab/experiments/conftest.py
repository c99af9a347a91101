"""A study small enough to be carried out in a test, and made-up records of runs."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_study import TINY

import sharpkit.results
from sharpkit.lab.experiments import catapult, eos, experiment
from sharpkit.lab.experiments.study import study
from sharpkit.lab.jobs.training import snapshot_name
from sharpkit.lab.store import Run


@pytest.fixture(scope="module", autouse=True)
def short_descents():
    """A few steps of full-batch descent in place of thousands."""
    with pytest.MonkeyPatch.context() as patch:
        short = {
            problem: tuple(way._replace(steps=12) for way in ways)
            for problem, ways in eos.WAYS.items()
        }
        patch.setattr(eos, "WAYS", short)
        patch.setattr(eos, "RECORDS", 6)
        yield


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def made_up():
    """``made_up(name, network, sharp, ...)``: trials whose numbers one can foretell.

    ``sharp(task name)`` is the geometric centre of the sharpness of a measurement, and
    of the curvature, ``test(task name)`` that of the test accuracy of a run,
    ``distance(task name)``.
    """

    def make(
        name,
        network="F1",
        *,
        sharp=lambda task: 1.0,
        test=lambda task: 0.9,
        distance=lambda task: 1.0,
        path=lambda alpha: abs(alpha),
        reached=True,
    ):
        chosen = replace(study(network, "quick"), seeds=(0, 1, 2, 3, 4))
        trials = []
        for seed in chosen.seeds:
            wobble = 1 + 0.01 * (seed - 2)
            found = {}
            for label, task in experiment(name).trial(chosen, seed).items():
                if task.kind == "train":
                    metrics = _training(
                        task, test(label) * wobble, distance(label) * wobble, reached
                    )
                elif task.kind == "sharpness":
                    metrics = _sharpness(task, sharp(label) * wobble**3)
                elif task.kind == "watch":
                    metrics = _watch(sharp, label, wobble)
                elif task.kind == "curvature":
                    metrics = _curvature(task, sharp(label) * wobble)
                elif task.kind == "plane":
                    metrics = _plane()
                else:
                    metrics = _path(path, wobble)
                found[label] = Run(
                    task.key, task.kind, task.config, seed, metrics, {}, 1.0
                )
            trials.append(found)
        return chosen, trials

    return make


def _training(task, accuracy, distance, reached):
    wanted = task.config["snapshots"]
    names = [snapshot_name(epoch, None) for epoch in wanted["epochs"]]
    losses = [1.0] * len(names) + list(wanted["losses"])
    names += [snapshot_name(0, loss) for loss in wanted["losses"]]
    limit = task.config["regime"]["until_loss"] or 1e-3
    measured = {"loss": limit if reached else 2 * limit, "accuracy": 1.0}
    return {
        "n": 1000,
        "epochs": 3,
        "updates": 30,
        "reached": reached,
        "losses": [1.0, 0.1, 1e-3],
        "distance": distance,
        "train": measured,
        "test": {"loss": 0.5, "accuracy": accuracy},
        "running_accuracies": [0.5, 0.8, 0.95],
        "test_accuracies": [0.4, accuracy, accuracy],
        "test_halves": [[0.4, accuracy, accuracy]] * 2,
        "snapshots": [
            {
                "name": each,
                "epoch": epoch,
                "loss": loss,
                "test": {"accuracy": 0.9 * accuracy},
            }
            for epoch, (each, loss) in enumerate(zip(names, losses, strict=True), 1)
        ],
    }


def _sharpness(task, value):
    return {
        "sharpness": [
            # The box of half the size sees a quarter: a quadratic.
            each | {"value": value * (each["epsilon"] / 1e-3) ** 2, "noise": 0.0}
            for each in task.config["measure"]
        ]
    }


def _curvature(task, size):
    """Largest eigenvalue and trace of one size; the model sees half the sharpness."""
    found = {
        "eigenvalues": {"values": [size], "residuals": [0.0], "converged": [True]},
        "trace": {"value": 5 * size, "stderr": 0.1},
        "predicted": [
            {"epsilon": epsilon, "value": 0.5 * (epsilon / 1e-3) ** 2 * size}
            for epsilon in task.config["epsilons"]
        ],
    }
    if task.config["density"]:
        run = sharpkit.results.Run(1000, "hvp", 1, 1.0, 1.0, "cpu", "float32", 0)
        found["density"] = {
            "nodes": [[-0.01, 0.0, 1.0]],
            "weights": [[0.1, 0.8, 0.1]],
            "reorthogonalized": True,
            "status": "COMPLETE",
            "negative_share": {"value": 0.2, "stderr": 0.02},
        } | run.to_dict()
    return found


def _watch(sharp, label, wobble):
    """Curves from 1 up to a peak of 8 in the middle, and down to ``sharp``."""
    shape = np.concatenate([np.geomspace(1, 8, 11), np.geomspace(8, 1, 11)[1:]])
    end = wobble * sharp(label)
    values = [float(v) for v in shape * end ** (np.arange(21) / 20)]
    steps = list(range(0, 210, 10))
    curve = {"steps": steps, "values": values, "errors": [0.0] * len(steps)}
    return {
        "curves": {name: curve for name in catapult.SHOWN},
        "updates": 200,
        "epochs": 10,
        "same": True,
    }


def _plane():
    """A valley along the line; the start lies at (0.5, 2)."""
    x, y = np.linspace(-0.25, 1.25, 5), np.linspace(-0.5, 2.5, 4)
    loss = 1e-3 + x[:, None] ** 2 * (1 - x[:, None]) ** 2 + y**2
    share = np.full((5, 4), 0.5)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "values": {"loss": loss.tolist(), "accuracy": share.tolist()},
        "marks": {"SB": [[0.0, 0.0]], "LB": [[1.0, 0.0]], "start": [[0.5, 2.0]]},
        "distances": [[0.0, 3.0, 6.2], [3.0, 0.0, 6.2], [6.2, 6.2, 0.0]],
    }


def _path(shape, wobble):
    alpha = np.linspace(-1, 2, 25)
    losses = [wobble * float(shape(each)) for each in alpha]
    accuracy = [0.5] * 25
    return {
        "alpha": alpha.tolist(),
        "train_loss": losses,
        "test_loss": losses,
        "train_accuracy": accuracy,
        "test_accuracy": accuracy,
    }

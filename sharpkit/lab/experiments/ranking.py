"""Which measure orders networks by their gap between test and training error.

None of the claims here is the paper's. A trial is a network of a random setting and,
for each hyperparameter, one that differs from it in that alone. All train to one loss.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

import sharpkit
from sharpkit.lab.experiments.common import Findings, Found, Trial, regime
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.jobs.measures import NAMES
from sharpkit.lab.jobs.minimisers import END
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import Claim, Table, decide
from sharpkit.lab.training.regime import OptimizerName

TITLE = "Ranking: which measure orders generalisation"
NETWORKS = ("F1",)
ONLY = ("F1", "F2")
CONTROLS = False  # it has no small and large batch to compare

LOSS = 0.01  # at which training ends, where the study would go further
RATES: dict[OptimizerName, float] = {"adam": 1e-3, "sgd": 0.1, "momentum": 0.02}
DECAY = 1e-4  # the share of each weight that an update takes, at the usual rate
RHO = 0.05
HYPERPARAMETERS: dict[str, tuple[Any, ...]] = {
    "batch": (0.0, 0.5, 1.0),  # of the way from small to large, in logarithms
    "rate": (0.5, 1.0, 2.0),  # times the usual one of the optimiser
    "width": (0.5, 1.0, 2.0),  # times the study's
    "depth": (3, 5, 7),  # hidden layers
    "regulariser": ("none", "decay", "sam"),
    "optimiser": tuple(RATES),
}
SAMPLES = 1000


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of a setting and of its neighbours."""
    found: Trial = {}
    for i, setting in enumerate(settings(seed)):
        run = network(study, seed, setting)
        made = setting | {"batch": batch(study, setting)}
        config = {
            "at": END,
            "batch_norm": study.batch_norm,
            "measures": list(NAMES),
            "made": made,
        }
        found[f"network {i}"] = run
        found[f"network {i} measures"] = Task(
            "measures", config, seed, (run,), cost=run.cost
        )
    return found


def settings(seed: int) -> list[dict[str, Any]]:
    """Return a setting drawn by a seed, and one more for each hyperparameter."""
    random = np.random.default_rng([seed, 4])
    first = {
        name: values[random.integers(len(values))]
        for name, values in HYPERPARAMETERS.items()
    }
    found = [first]
    for name, values in HYPERPARAMETERS.items():
        others = [value for value in values if value != first[name]]
        found.append(first | {name: others[random.integers(len(others))]})
    return found


def batch(study: Study, setting: dict[str, Any]) -> int:
    """Return the batch size of a setting."""
    share = float(setting["batch"])
    return round(float(study.small ** (1 - share) * study.large**share))


def network(study: Study, seed: int, setting: dict[str, Any]) -> Task:
    """Return the task of training the network of a setting."""
    usual = RATES[setting["optimiser"]]
    rate = setting["rate"] * usual
    changes: dict[str, Any] = {"optimizer": setting["optimiser"], "rate": rate}
    if setting["regulariser"] == "decay":
        changes["decay"] = DECAY / usual
    elif setting["regulariser"] == "sam":
        changes["sam"] = RHO
    if study.until_loss is not None:
        changes["until_loss"] = max(study.until_loss, LOSS)
    how = regime(study, batch(study, setting), **changes)
    width = study.width * setting["width"]
    config: dict[str, Any] = {
        "network": {
            "name": study.network,
            "width": width,
            "definition": study.definition,
            "depth": setting["depth"],
        },
        "data": asdict(study.source),
        "regime": how.to_dict(),
        "snapshots": {"epochs": [], "losses": []},
        "curves": False,
        "start": None,
        "as_many_updates": False,
        **study.place,
    }
    return Task("train", config, seed, cost=study.source.train * width / 50)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the ranking of the measures, and whether the sharpness is of use."""
    runs = [run for found in trials for run in found.values() if run.kind == "measures"]
    rows = [
        run.config["made"] | {name: run.metrics[name] for name in (*NAMES, "gap")}
        for run in runs
        if run.metrics["reached"]
    ]
    late = len(runs) - len(rows)
    notes: tuple[str, ...] = ()
    if late:
        many = f"{late} of {len(runs)} networks"
        notes = (f"{many} did not reach the loss, and are left out.",)
    if len(rows) < 3:
        return Findings((), (), notes=(*notes, "Fewer than 3 are left: no ranking."))
    found = sharpkit.ranking(
        rows, measures=NAMES, hyperparameters=HYPERPARAMETERS, samples=SAMPLES
    )
    claims = (
        _claim(found, "tau", "across all networks"),
        _claim(found, "granulated", "within each hyperparameter"),
    )
    return Findings(_tables(found), claims, notes=notes)


def _tables(found: sharpkit.RankingResult) -> tuple[Table, ...]:
    heads = ("", "tau", "granulated", "K", "least given", "pairs")
    ranked = Table(
        f"Order of the generalisation gap, {found.runs} networks",
        heads,
        tuple(map(found.cells, found.measures)),
        f"Intervals of 95 % by resampling the {found.settings} settings. K of an order "
        f"by chance stays below {found.chance:.3f} in 95 of 100.",
    )
    within = Table(
        "Kendall's tau along one hyperparameter, the others fixed",
        ("", *found.hyperparameters),
        tuple(
            (each.name, *(str(each.along[axis]) for axis in found.hyperparameters))
            for each in found.measures
        ),
    )
    return ranked, within


def _claim(found: sharpkit.RankingResult, which: str, where: str) -> Claim:
    tau = getattr(found["sharpness"], which)
    low, high = (0.0 if math.isnan(end) else end for end in (tau.low, tau.high))
    return Claim(
        f"The sharper network has the larger gap between test and training error, "
        f"{where}",
        decide(low, high),
        f"tau {tau}",
        "95 % interval of Kendall's tau by resampling settings, against 0",
    )

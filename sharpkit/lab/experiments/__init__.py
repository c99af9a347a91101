"""The paper's tables and figures, one file each, by name.

Each module has ``TITLE``, the ``NETWORKS`` for which the paper shows it (and perhaps
``ONLY``, those for which it can be run), ``trial(study, seed)``, the tasks of one trial
by name (``OPTIONAL`` are those without which it counts, too), and ``find(study,
trials)``, what the finished ones say.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Sequence
from typing import Any

from sharpkit.lab.data.download import DOWNLOADED
from sharpkit.lab.experiments.common import Findings, Found, control_table
from sharpkit.lab.experiments.study import DATA, Study, study as again
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import Outcome
from sharpkit.lab.store import Store

NAMES = (
    "table2",
    "table3",
    "table4",
    "table6",
    "table7",
    "fig2",
    "fig3",
    "fig4",
    "fig5",
    "fig6",
    "fig7",
    "distance",
    "remedies",
    "optimizers",
    "curvature",
    "ranking",
    "eos",
    "catapult",
)
ASKED = ("ranking", "eos", "catapult")  # no claims of the paper: by their names only


def experiment(name: str) -> Any:
    """Return the module of an experiment.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in NAMES:
        msg = f"experiment={name!r}; give one of {', '.join(NAMES)}, or all"
        raise ValueError(msg)
    return importlib.import_module(f"sharpkit.lab.experiments.{name}")


def choose(
    names: Sequence[str], networks: Sequence[str] | None, data: str | None
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return experiments with the networks to run them on, and what was left out.

    Parameters
    ----------
    names
        The names of experiments, of `NAMES`; ``"all"`` among them means all
        but those of `ASKED`, which are taken if they are named, too.
    networks
        The networks; None stands for those for which the paper shows the experiment, as
        far as the data and the installed libraries allow.
    data
        The data set that was asked for, if any.

    Raises
    ------
    ValueError
        If a name is unknown, or an experiment named is not for the networks named.
    ImportError
        If a network named needs PyTorch and there is none.
    """
    everything = "all" in names
    has_torch = importlib.util.find_spec("torch") is not None
    pairs: list[tuple[str, str]] = []
    left: dict[str, None] = {}
    usual = [name for name in NAMES if name not in ASKED or name in names]
    for name in usual if everything else names:
        module = experiment(name)
        allowed = getattr(module, "ONLY", NETWORKS)
        possible = [each for each in networks or module.NETWORKS if each in allowed]
        if networks and not possible:
            reason = f"{name} is for {', '.join(allowed)}, not {', '.join(networks)}"
            if not everything:
                raise ValueError(reason)
            left[reason] = None
        for network in possible:
            if network.startswith("C") and not has_torch:
                reason = f"{network} needs PyTorch: pip install 'sharpkit[torch]'"
                if networks:
                    raise ImportError(reason)
                left[reason] = None
            elif not networks and data is not None and data not in DATA[network]:
                left[f"{network} cannot be trained on {data}"] = None
            else:
                pairs.append((name, network))
    return pairs, list(left)


def tasks(name: str, study: Study) -> list[Task]:
    """Return the tasks of all trials, trial by trial."""
    trial = experiment(name).trial
    return [task for seed in study.seeds for task in trial(study, seed).values()]


def ask(store: Store, name: str, study: Study) -> None:
    """Note in the store that an experiment was asked for, for the report.

    The same study with more trials takes the place of the one with fewer.
    """
    alike = json.dumps(study.request() | {"seeds": study.seeds[:1]}, sort_keys=True)
    digest = hashlib.sha256(alike.encode()).hexdigest()[:8]
    request = {"experiment": name, "study": study.request()}
    store.remember(f"{name}-{study.network}-{study.preset}-{digest}", request)


def outcomes(store: Store) -> list[Outcome]:
    """Return what the store holds of every experiment that was asked for."""
    found = []
    for request in store.requests().values():
        study = Study.from_request(request["study"])
        found.append(outcome(request["experiment"], study, store))
    return sorted(found, key=lambda each: NAMES.index(each.experiment))


def outcome(name: str, study: Study, store: Store) -> Outcome:
    """Return what the finished trials of an experiment say; a trial counts whole."""
    module = experiment(name)
    trials: list[Found] = []
    for seed in study.seeds:
        wanted = module.trial(study, seed)
        there = {name: task for name, task in wanted.items() if task.key in store}
        if wanted.keys() - there.keys() <= set(getattr(module, "OPTIONAL", ())):
            trials.append({each: store.get(task.key) for each, task in there.items()})
    findings = Findings((), ())
    notes = [f"{len(trials)} of {len(study.seeds)} trials have finished."]
    if trials:
        findings = module.find(study, trials)
        notes = notes[len(trials) == len(study.seeds) :]
        if getattr(module, "CONTROLS", True):
            tables = (*findings.tables, control_table(trials))
            findings = findings._replace(tables=tables)
    return Outcome(
        experiment=name,
        network=study.network,
        preset=described_preset(study),
        title=module.TITLE,
        data=described_data(study),
        settings=getattr(module, "described_settings", settings)(study, trials),
        tables=findings.tables,
        claims=findings.claims,
        charts=findings.charts,
        trials=len(trials),
        wanted=len(study.seeds),
        notes=(*notes, *findings.notes),
    )


def described_preset(study: Study) -> str:
    """Return the preset and what else tells the study from the usual one."""
    usual = again(study.network, study.preset)
    words = [study.preset]
    if study.batch_norm != usual.batch_norm:
        words.append(f"{study.batch_norm} statistics")
    if study.optimizer != usual.optimizer:
        words.append(study.optimizer)
    if study.until_loss is None:
        words.append("to a plateau")
    if study.definition != usual.definition:
        words.append(f"as in the {study.definition}")
    if study.source.name != usual.source.name:
        words.append(study.source.name)
    return ", ".join(words)


def described_data(study: Study) -> str:
    """Say which data it is, and how much of it."""
    source = study.source
    kinds = {
        "digits": "real handwritten digits of 8x8, from UCI",
        "glyphs": "drawn digits of 28x28, a stand-in for MNIST",
        "frames": "drawn frames of 360 features, a stand-in for TIMIT",
        "shapes": "drawn colour images of 32x32, a stand-in for CIFAR",
    }
    where = ", downloaded" if source.folder == DOWNLOADED else f" in {source.folder}"
    kind = kinds.get(source.name, f"files of the original{where}")
    train, test = (f"{n:,}" if n else "all" for n in (source.train, source.test))
    classes = f"{source.classes} classes, " if source.name in kinds else ""
    return (
        f"{source.name} ({kind}): {train} training and {test} test samples, "
        f"{classes}seed {source.seed}"
    )


def settings(study: Study, trials: list[Found]) -> tuple[tuple[str, str], ...]:
    """Return what was chosen, in words."""
    until = "the training loss ceases to improve"
    if study.until_loss is not None:
        until = f"training loss at most {study.until_loss:g}"
        if study.loss_within is not None:
            until += f", at most {100 * study.loss_within:g} % below"
    size = f"{study.width:.4g} of the paper's width"
    if trials and "SB" in trials[0]:
        size += f", {trials[0]['SB'].metrics['n']:,} weights"
    if study.definition == "text":
        size += ", as in the paper's text"
    first, last = study.seeds[0], study.seeds[-1]
    return (
        ("network", f"{study.network}, {size}"),
        ("batches", f"{study.small} (SB) and {study.large} (LB)"),
        ("optimiser", f"{study.optimizer}, rate {study.rate:g} for both batches"),
        ("until", f"{until}, at most {study.max_epochs} epochs"),
        (
            "batch norm",
            f"{study.batch_norm} statistics for the sharpness",
        ),
        ("seeds", f"{first} to {last}"),
        *study.place.items(),
    )

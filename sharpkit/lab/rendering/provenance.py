"""Where a store's runs come from, and the commands that make them again."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

from sharpkit.lab.data.download import DOWNLOADED
from sharpkit.lab.experiments import study as studies
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.rendering.page import Provenance
from sharpkit.lab.store import Store

# An experiment with its study as in `Store.requests`.
Request = dict[str, Any]


def provenance(store: Store) -> Provenance:
    """Return what the store says of its runs; versions and machines are theirs.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    runs = store.runs()

    def each(name: str) -> str:
        found = {run.versions.get(name, "unknown") for run in runs}
        return ", ".join(sorted(found)) or "no runs"

    return Provenance(
        version=each("sharpkit"),
        python=each("python"),
        machine=each("machine"),
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        command=commands(list(store.requests().values()), str(store.folder)),
        store=str(store.folder),
        runs=len(runs),
        seconds=sum(run.seconds for run in runs),
    )


def commands(requests: list[Request], store: str) -> str:
    """Return a command line for the experiments that share networks and options.

    What the command line cannot ask for is said in a comment.
    """
    networks: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    lines = []
    for request in requests:
        name, study = request["experiment"], Study.from_request(request["study"])
        options = _options(study)
        if options is None:
            lines.append(f"# {name} on {study.network}: sizes of its own, not a preset")
        else:
            networks.setdefault((name, options), []).append(study.network)
    names: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (name, options), found in networks.items():
        names.setdefault((tuple(found), options), []).append(name)
    for (on, options), asked in names.items():
        chosen = [word for network in on for word in ("--network", network)]
        words = ["sharpkit", "reproduce", *asked, *chosen, *options, "--store", store]
        lines.append(shlex.join(words))
    return "\n".join(lines)


def _options(study: Study) -> tuple[str, ...] | None:
    """Return the options that lead to the study, or None if none do."""
    source = study.source
    again = studies.study(
        study.network,
        study.preset,
        data=source.name,
        folder=source.folder,
        data_seed=source.seed,
        first_seed=study.seeds[0],
        trials=len(study.seeds),
        optimizer=study.optimizer,
        batch_norm=study.batch_norm,
        stop="plateau" if study.until_loss is None else "loss",
        definition=study.definition,
        device=study.device,
    )
    if again != study:
        return None
    given: dict[str, object] = {
        "--preset": study.preset,
        "--trials": len(study.seeds),
        "--data": source.name,
    }
    if source.folder not in (None, DOWNLOADED):
        given["--folder"] = source.folder
    usual_definition = studies.study(study.network, study.preset).definition
    unless = {  # option -> its value and the command's default
        "--first-seed": (study.seeds[0], 0),
        "--data-seed": (source.seed, 0),
        "--optimizer": (study.optimizer, "adam"),
        "--batch-norm": (study.batch_norm, "running"),
        "--definition": (study.definition, usual_definition),
        "--stop": ("plateau" if study.until_loss is None else "loss", "loss"),
        "--device": (study.device, "cpu"),
    }
    given |= {name: value for name, (value, usual) in unless.items() if value != usual}
    words = [word for name, value in given.items() for word in (name, str(value))]
    return (*words, *(["--download"] if source.folder == DOWNLOADED else []))

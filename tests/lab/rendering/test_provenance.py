import json
import shlex
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from sharpkit.cli.app import app
from sharpkit.lab.experiments import ask
from sharpkit.lab.experiments.study import study
from sharpkit.lab.rendering.provenance import commands, provenance
from sharpkit.lab.store import Run, Store


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "kept") as opened:
        yield opened


def run(number, **changes):
    versions = {"sharpkit": "0.1.0", "python": "3.11.7", "machine": "x86_64"}
    return replace(Run(f"a{number}", "train", {}, 0, {}, versions, 1.5), **changes)


def request(name, made):
    return {"experiment": name, "study": json.loads(json.dumps(made.request()))}


def test_what_the_runs_say(store):
    store.put(run(1))
    store.put(run(2, versions={"sharpkit": "0.2.0", "python": "3.11.7"}))
    ask(store, "table2", study("F1", trials=2))
    found = provenance(store)
    assert (found.version, found.python) == ("0.1.0, 0.2.0", "3.11.7")
    assert found.machine == "unknown, x86_64"
    assert (found.runs, found.seconds) == (2, 3.0)
    assert found.store == str(store.folder)
    assert found.created.endswith(" UTC")
    assert found.command == (
        "sharpkit reproduce table2 --network F1 --preset quick --trials 2 "
        f"--data glyphs --store {store.folder}"
    )


def test_an_empty_store(store):
    found = provenance(store)
    assert (found.version, found.runs, found.command) == ("no runs", 0, "")


def test_experiments_with_the_same_options_share_a_command():
    first, second = study("F1"), study("C1")
    requests = [
        request(name, made) for name in ("table2", "fig3") for made in (first, second)
    ]
    made = replace(study("F1"), width=0.5)
    found = commands([*requests, request("fig4", made)], "a b").splitlines()
    assert found == [
        "# fig4 on F1: sizes of its own, not a preset",
        *(
            f"sharpkit reproduce table2 fig3 --network {each.network} --preset quick "
            f"--trials {len(each.seeds)} --data {each.source.name} --store 'a b'"
            for each in (first, second)
        ),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trials": 4, "first_seed": 7, "data_seed": 3},
        {"data": "mnist", "folder": "/the data"},
        {"optimizer": "momentum", "batch_norm": "frozen", "stop": "plateau"},
        {"data": "digits", "device": "cuda"},
    ],
)
def test_the_command_asks_for_the_same_study(monkeypatch, tmp_path, changes):
    made = study("F1", "medium", **changes)
    asked = []

    def carry_out(console, studies, folder, workers):
        asked.extend([*studies, folder])
        return []

    monkeypatch.setattr("sharpkit.cli.running._carry_out", carry_out)
    monkeypatch.setattr("sharpkit.cli.running._show", lambda *arguments: None)
    line = commands([request("table2", made)], str(tmp_path))
    found = CliRunner().invoke(app, shlex.split(line)[1:])
    assert found.exit_code == 0, found.output
    assert asked == [("table2", made), tmp_path]

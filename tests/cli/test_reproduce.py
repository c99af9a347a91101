"""The command from the outside: what it prints, keeps, refuses, and goes on with."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from sharpkit.cli.app import INTERRUPTED, app
from sharpkit.lab.experiments import study as studies
from sharpkit.lab.store import Store

COMMAND = [sys.executable, "-P", "-c", "from sharpkit.cli import main; main()"]


@pytest.fixture
def run():
    def invoke(*arguments):
        found = CliRunner().invoke(app, ["reproduce", *map(str, arguments)])
        return found.exit_code, " ".join(found.output.split())

    return invoke


@pytest.fixture
def tiny_sizes(monkeypatch):
    """Make the quick preset of F1 a matter of a second, in worker processes, too."""
    sizes = (60, 50, 10, 0.02, 10, 30, 1.0, 60, 2)
    monkeypatch.setitem(studies._SIZES, ("F1", "quick"), sizes)


def test_it_prints_keeps_and_goes_on(run, tiny_sizes, tmp_path):
    folder = tmp_path / "store"
    options = ["--network", "F1", "--store", folder, "--workers", "1"]
    code, output = run("table2", "fig3", *options)
    assert code == 0, output
    for piece in ("Table 2", "98.03 ± 0.07", "Figure 3", "glyphs", "Controls"):
        assert piece in output
    assert any(verdict in output for verdict in ("holds", "not decided here"))
    assert f"sharpkit report {folder}" in output.replace("\n", "")
    assert (
        (folder / "figures" / "fig3-F1-quick.png").read_bytes().startswith(b"\x89PNG")
    )
    with Store(folder) as store:
        before = {run.key: run.created for run in store.runs()}
        assert len(store.requests()) == 2
    assert run("table3", "table2", *options)[0] == 0  # all of it is there already
    with Store(folder) as store:
        assert {run.key: run.created for run in store.runs()} == before


def test_more_trials_go_on_from_fewer(run, tiny_sizes, tmp_path):
    options = ["--network", "F1", "--store", tmp_path, "--workers", "1"]
    assert run("distance", "--trials", "1", *options)[0] == 0
    with Store(tmp_path) as store:
        before = {each.key for each in store.runs()}
    code, output = run("distance", "--trials", "2", *options)
    assert code == 0
    assert "0 to 1" in output
    with Store(tmp_path) as store:
        assert before < {each.key for each in store.runs()}
        assert len(store.requests()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table9"], "experiment='table9'; give one of table2"),
        (["table2", "--network", "F9"], "table2 is for F1, F2, C1"),
        (["table6", "--network", "F1"], "table6 is for C1, C2, C3, C4, not F1"),
        (["table2", "--network", "F1", "--data", "shapes"], "F1 is trained on glyphs"),
        (["table2", "--network", "F1", "--data", "mnist"], "needs the original files"),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(
    run, tmp_path, arguments, message
):
    code, output = run(*arguments, "--store", tmp_path / "store")
    assert code == 2
    assert message in output
    assert not (tmp_path / "store").exists()


def test_files_that_are_missing_are_named(run, tmp_path):
    options = ["--data", "mnist", "--folder", tmp_path, "--store", tmp_path / "store"]
    code, output = run("table2", "--network", "F1", *options)
    assert code == 2
    assert "train-images-idx3-ubyte" in output.replace(" ", "")
    assert not (tmp_path / "store").exists()


def test_a_run_that_fails_is_told_and_the_rest_shown(run, tmp_path, monkeypatch):
    made = studies.study
    monkeypatch.setitem(
        studies._SIZES, ("F1", "quick"), (60, 50, 10, 0.02, 10, 30, 1.0, 60, 1)
    )
    monkeypatch.setattr(
        studies,
        "study",
        lambda *given, **options: replace(made(*given, **options), rate=1e30),
    )
    code, output = run("table2", "--network", "F1", "--store", tmp_path)
    assert code == 1
    assert "FloatingPointError" in output
    assert "0 of 1 trials have finished" in output


@pytest.mark.process
def test_an_interrupt_keeps_what_is_finished(tmp_path, interruptible):
    """Ctrl-C as a terminal sends it: to the whole process group."""
    process = subprocess.Popen(
        [*COMMAND, "reproduce", "table2", "--network", "F1", "--store", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    finished = 0
    while finished < 1 and process.poll() is None:
        time.sleep(0.2)
        if (tmp_path / "runs.sqlite").exists():
            with Store(tmp_path) as store:
                finished = len(store.runs())
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, output
    assert "the same command goes on" in " ".join(output.split())
    with Store(tmp_path) as store:
        assert len(store.runs()) >= finished

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_cupy
import pytest
from typer.testing import CliRunner

import sharpkit
from sharpkit._vectors.parallel import available_cores
from sharpkit.cli import INTERRUPTED, app
from sharpkit.lab.demo import run as reproducing

# -P: the installed package, not the sources that tests may be started from
COMMAND = [sys.executable, "-P", "-c", "from sharpkit.cli import main; main()"]


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_version(run):
    assert run("--version").output == f"sharpkit {sharpkit.__version__}\n"


def test_help_names_the_command(run):
    assert "demo" in run("--help").output


def test_mnist_without_a_folder_says_what_to_do(run):
    found = run("demo", "--data", "mnist")
    assert found.exit_code == 2
    assert "needs the folder" in found.output


def test_mnist_without_files_names_the_folder(run, tmp_path):
    found = run("demo", "--data", "mnist", "--folder", str(tmp_path))
    assert found.exit_code == 2
    assert "train-images-idx3-ubyte" in found.output.replace("\n", "")


def test_without_cuda_nothing_is_begun(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    out = tmp_path / "out"
    found = run("demo", "--device", "cuda", "--out", str(out))
    assert found.exit_code == 2
    assert "Error: device='cuda' needs CuPy" in found.output.replace("\n", " ")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "workers"), [([], 1), (["--workers", "3"], 3), (["cpu"], None)]
)
def test_the_device_reaches_the_trials(run, tmp_path, monkeypatch, arguments, workers):
    seen = {}

    def reproduce(settings, seeds, folder, **options):
        seen.update(options, device={each.device for each in settings})
        return reproducing.Results(folder, settings, [])

    monkeypatch.setattr(reproducing, "reproduce", reproduce)
    monkeypatch.setattr(reproducing, "warm_up", lambda setting: None)
    chosen = ["cuda", *arguments] if arguments != ["cpu"] else arguments
    options = ["--data", "digits", "--out", str(tmp_path)]
    with fake_cupy.installed():
        found = run("demo", "--device", *chosen, *options)
    assert found.exit_code == 0, found.output
    assert seen["device"] == {chosen[0]}
    assert seen["workers"] == (workers or available_cores())


def test_an_interrupt_leaves_what_is_finished(tmp_path, interruptible):
    """Ctrl-C as a terminal sends it: to the whole process group."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "demo", "--data", "digits", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    results = out / "results.json"
    while not results.exists() and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, output
    stored = json.loads(results.read_text())
    assert not stored["complete"]
    assert 1 <= len(stored["trials"]["quick digits"]) < 5
    assert "What was finished is in" in output
    assert "Table 3" in output
    assert not list(Path(out).glob(".*.part"))

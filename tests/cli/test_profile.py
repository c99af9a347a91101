import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sharpkit import Report
from sharpkit.cli.app import INTERRUPTED, app

# -P: the current folder is for the command to add
COMMAND = [sys.executable, "-P", "-c", "from sharpkit.cli import main; main()"]
SOURCE = """
import numpy as np
from sharpkit.problem import Problem

CURVATURE = np.arange(1.0, 21.0)

def made(minimum, factor=1.0, product=lambda w, v: CURVATURE * v):
    def loss(w):
        d = w - minimum
        return 0.5 * float(CURVATURE @ d**2), factor * CURVATURE * d
    return Problem(np.zeros(20), loss, hvp=product)

def problem():
    return made(0.0)

def both():
    return {"train": made(0.0), "test": made(0.5)}

def wrong():
    return made(0.0, 1.5, product=None)

def interrupted():
    def product(w, v):
        raise KeyboardInterrupt
    return made(0.0, product=product)

def failing():
    def product(w, v):
        raise ValueError("of the user")
    return made(0.0, product=product)

def raising():
    raise RuntimeError("no data here")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds to it
    monkeypatch.delitem(sys.modules, "profiled", raising=False)
    (tmp_path / "profiled.py").write_text(SOURCE)
    np.savez("a.npz", weights=np.full(20, 0.1))
    np.save("b.npy", np.ones(3))

    def call(command, *arguments, problem="problem", file="a.npz"):
        place = f"profiled:{problem}"
        given = [command, file, "--problem", place, *arguments]
        found = CliRunner().invoke(app, given)
        return found, " ".join(found.output.split())

    yield call
    sys.modules.pop("profiled", None)


@pytest.mark.parametrize("problem", ["problem", "both"])
def test_a_profile(run, problem):
    found, words = run("profile", "--out", "out.json", problem=problem)
    assert found.exit_code == 0, words
    report = Report.load("out.json")
    assert report.complete
    assert report.loss == pytest.approx(0.5 * 210 * 0.01)
    assert report.quantity("trace").value == pytest.approx(210)
    dimension = report.quantity("effective_dimension")
    exact = (np.arange(1, 21) / np.arange(2, 22)).sum()
    assert abs(dimension.value - exact) < 4 * dimension.error
    assert "100 directions are no fewer than the 20 weights" in words
    assert words.endswith("Results: out.json")


def test_few_measures_and_their_budgets(run):
    found, words = run("measure", "--measures", "trace, gradient_norm", "--seed", "3")
    assert found.exit_code == 0, words
    record = json.loads(Path("sharpkit-profile.json").read_text())
    assert record["settings"] == {
        "epsilon": 1e-3,
        "repeats": 3,
        "measures": ["gradient_norm", "trace"],
        "k": 1,
        "seed": 3,
        "max_evaluations": 300,
        "time_budget": None,
    }
    found, words = run("profile", "--time-budget", "0")
    assert (found.exit_code, "time_budget=0.0; give seconds" in words) == (2, True)
    found, words = run("measure", "--max-evaluations", "20")
    assert "max_evaluations=20 leave no room" in words


def test_an_interrupt_keeps_what_is_finished(run):
    with pytest.warns(match="what was finished is returned"):
        found, words = run("measure", problem="interrupted")
    assert found.exit_code == INTERRUPTED
    assert words.endswith("Stopped. What was finished is kept.")
    assert "interrupted: what was under way is lost" in words
    assert Report.load("sharpkit-profile.json").quantity("sharpness").value > 0


@pytest.mark.process
@pytest.mark.parametrize("command", ["measure", "profile", "check"])
def test_a_real_ctrl_c(run, command, tmp_path):
    stopping = tmp_path / "stopping.py"
    stopping.write_text(
        "import os, signal\nfrom profiled import CURVATURE, made\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def problem():\n"
        "    def product(w, v):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        return CURVATURE * v\n"
        "    return made(0.0, product=product)\n"
    )
    found = subprocess.run(
        [*COMMAND, command, "a.npz", "--problem", "stopping:problem"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=300,
    )
    assert found.returncode == INTERRUPTED, found.stderr
    assert "Traceback" not in found.stderr
    if command == "check":
        assert found.stderr == "Stopped.\n"
    else:
        assert found.stderr == (
            "Warning: interrupted: what was finished is returned; the rest says so\n"
            "Stopped. What was finished is kept.\n"
        )
        assert "sharpness, %" in found.stdout
        assert Report.load("sharpkit-profile.json").quantity("sharpness").value > 0


def test_a_measure_that_fails(run):
    with pytest.warns(
        match=r"trace failed: ValueError: of the user \(.*profiled.py, l"
    ):
        found, words = run(
            "measure", "--measures", "gradient_norm,trace", problem="failing"
        )
    assert found.exit_code == 1
    assert "trace: failed: ValueError: of the user" in words
    assert "gradient norm" in words


def test_check(run):
    found, words = run("check")
    assert found.exit_code == 0
    assert "check: nothing wrong" in words
    found, words = run("check", problem="wrong")
    assert found.exit_code == 1
    assert "gradient: wrong" in words


def test_bad_checkpoints(run):
    for file, message in (
        ("b.npy", "has shape (3,); the problem has 20 weights"),
        ("none.npz", "checkpoint 'none.npz' does not exist"),
    ):
        found, words = run("profile", file=file)
        assert (found.exit_code, message in words) == (2, True), words
    Path("text.pt").write_text("no checkpoint at all")
    found, words = run("measure", file="text.pt")
    assert found.exit_code == 2, words
    assert "text.pt" in words
    found, _ = run("measure", problem="raising")  # whose author wants to see where
    assert str(found.exception) == "no data here"

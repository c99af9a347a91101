import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sharpkit
from sharpkit.cli import compare as command
from sharpkit.cli.app import INTERRUPTED, app
from sharpkit.cli.console import console

# -P: the current folder is for the command to add
COMMAND = [sys.executable, "-P", "-c", "from sharpkit.cli import main; main()"]

# Separable, so that what is measured is known; the test set has another minimum.
SOURCE = """
import os, time
import numpy as np
from sharpkit.problem import Problem

CURVATURE = np.arange(1.0, 21.0)

def made(minimum):
    def loss(w):
        d = w - minimum
        return 0.5 * float(CURVATURE @ d**2), CURVATURE * d

    def product(w, v):
        if "SLOW" in os.environ:
            time.sleep(0.05)
        return CURVATURE * v

    return Problem(np.zeros(20), loss, hvp=product, accuracy=lambda w: 0.8, samples=100)

def problem():
    return made(0.0)

def both():
    return {"train": made(0.0), "test": made(0.1)}

def wrong():
    return 5

def broken():
    raise ValueError("of the user's own")

def fails_later():
    found = made(0.0)
    def product(w, v):
        raise ValueError("of the user's product")
    return Problem(found.weights, found.loss_fn, hvp=product)

def of(path):
    return None


def per_cent():
    found = made(0.0)
    return Problem(found.weights, found.loss_fn, accuracy=lambda w: 80.0)

def interrupted():
    found = made(0.0)
    def product(w, v):
        raise KeyboardInterrupt
    return Problem(found.weights, found.loss_fn, hvp=product)

def interrupted_at_once():
    raise KeyboardInterrupt
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds to it
    for name in ("mine", "needing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "needing.py").write_text("import nowhere_to_be_found")
    np.savez("a.npz", weights=np.full(20, 0.01))
    np.save("b.npy", np.full(20, 0.02, np.float32))
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.fixture
def run(folder):
    def call(*arguments, problem="mine:problem"):
        return CliRunner().invoke(
            app, ["compare", "a.npz", "b.npy", "--problem", problem, *arguments]
        )

    return call


def words(found):
    return " ".join(found.output.split())


def stored(path="sharpkit-compare"):
    return json.loads(
        (Path(path) / "compare.json").read_text(), parse_constant=pytest.fail
    )


def test_two_checkpoints(run):
    found = run("--repeats", "2", "--seed", "4", "--epsilon", "0.01", "--out", "here")
    assert found.exit_code == 0, found.output
    record = stored("here")
    assert record["complete"]
    assert record["sharpkit"] == sharpkit.__version__
    origin = {"a": "a.npz", "b": "b.npy", "problem": "mine:problem"}
    assert record["origin"] == origin
    assert record["settings"] == {
        "epsilon": 0.01,
        "repeats": 2,
        "measures": ["sharpness", "eigenvalues", "trace", "spectral_density"],
        "k": 1,
        "seed": 4,
        "max_evaluations": 287,  # and 13 of the line
        "time_budget": None,
    }
    rows = {row["name"]: row for row in record["rows"]}
    curvature = np.arange(1, 21)
    for side, at in (("a", 0.01), ("b", float(np.float32(0.02)))):
        loss = 0.5 * curvature.sum() * at**2
        top = 0.5 * curvature.sum() * (at + 0.01 * (at + 1)) ** 2
        assert rows["loss"][side]["value"] == pytest.approx(loss)
        assert rows["sharpness"][side]["value"] == pytest.approx(
            100 * (top - loss) / (1 + loss), rel=1e-6
        )
        assert rows["trace"][side]["value"] == pytest.approx(210)
        assert record[side]["sharpness"]["seed"] in (4, 5)
        assert len(record[side]["sharpness_values"]) == 2
    assert len(record["paths"]["data"]["loss"]) == 25
    assert Path("here/compare.png").read_bytes().startswith(b"\x89PNG")
    for shown in ("sharpness, %", "accuracy, %", "80.0 ± 4.0", "b - a", "in errors"):
        assert shown in words(found)
    assert "Figure: here/compare.png Results: here/compare.json" in words(found)
    assert "Stopped" not in found.output


def test_train_and_test_and_few_measures(run):
    found = run("--measures", "trace, eigenvalues", problem="mine:both")
    assert found.exit_code == 0, found.output
    record = stored()
    assert list(record["fits"]) == ["train", "test"]
    assert record["a"]["sharpness"] is None
    assert record["a"]["eigenvalues"]["values"][0] == pytest.approx(20, rel=1e-3)
    assert record["fits"]["test"]["b"]["loss"] == pytest.approx(105 * 0.08**2)
    assert "measured on train" in words(found)


def test_the_file_is_written_after_every_measurement(run, monkeypatch):
    written = []
    keep = command.Kept.keep

    def recorded(kept, comparison):
        keep(kept, comparison)
        assert not list(kept.folder.glob(".*"))
        written.append(stored())

    monkeypatch.setattr(command.Kept, "keep", recorded)
    assert run("--measures", "trace,spectral_density").exit_code == 0
    assert [each["complete"] for each in written] == [False] * 5 + [True]
    assert written[2]["a"]["trace"] is not None
    assert written[2]["b"]["trace"] is None


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("mine", "--problem mine; give module:function"),
        (":problem", "--problem :problem; give module:function"),
        ("nomodule:f", "there is no module 'nomodule' in"),
        ("mine.sub:f", "there is no module 'mine.sub' in"),
        ("mine:nothing", "mine has no function 'nothing'; give one without"),
        ("mine:CURVATURE", "mine has no function 'CURVATURE'"),
        ("mine:wrong", "problem is of type int; give sharpkit.torch.problem("),
        ("mine:of", "missing a required argument: 'path'; give a function without"),
        ("mine:per_cent", "accuracy returned 80.0; return the share"),
    ],
)
def test_bad_problems(run, problem, message):
    found = run(problem=problem)
    assert found.exit_code == 2
    assert f"Error: {message}" in words(found) or message in words(found)
    assert words(found).startswith("Error: ")
    assert not Path("sharpkit-compare").exists()


def test_no_file_in_the_current_folder_hides_a_library(run, folder):
    (folder / "colorsys.py").write_text("raise SystemExit('executed')")
    found = run(problem="colorsys:problem")
    assert found.exit_code == 2
    assert "colorsys has no function 'problem'" in words(found)
    assert "which comes before one of that name in the current" in words(found)


def test_names_and_folders_are_shown_as_they_are(folder):
    names = ("[red]a[1]", "[/]\x1b[2Jb")
    points = np.zeros(3), np.ones(3)
    problem = sharpkit.Problem(points[0], lambda w: (float(w @ w), 2 * w))
    found = sharpkit.compare(
        *points, problem, names=names, measures=("trace",), alphas=[0, 1]
    )
    written = io.StringIO()
    console(file=written, width=200).print(command.table(found))
    assert "[red]a[1]" in written.getvalue()
    assert r"[/]\x1b[2Jb" in written.getvalue()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epsilon", "0"], "epsilon=0.0; give a finite number"),
        (["--measures", "trace,x"], "measures='x'; give one of"),
        (["--measures", ""], "measures=''; give one of"),
    ],
)
def test_bad_options(run, arguments, message):
    found = run(*arguments)
    assert (found.exit_code, message in words(found)) == (2, True), found.output


def test_bad_checkpoints_before_the_problem_is_made(folder):
    np.savez("wrong.npz", weights=np.ones(3))
    for name, problem, message in (
        ("none.npz", "mine:broken", "checkpoint 'none.npz' does not exist"),
        ("mine.py", "mine:broken", "has the suffix '.py'; give one of .npz"),
        ("wrong.npz", "mine:problem", "has shape (3,); the problem has 20 weights"),
    ):
        arguments = ["compare", "a.npz", name, "--problem", problem]
        found = CliRunner().invoke(app, arguments)
        assert (found.exit_code, message in words(found)) == (2, True), found.output


def test_errors_of_the_users_code_come_through(run):
    found = run(problem="mine:broken")
    assert isinstance(found.exception, ValueError)
    assert str(found.exception) == "of the user's own"
    missing = run(problem="needing:f").exception
    assert isinstance(missing, ModuleNotFoundError)
    assert missing.name == "nowhere_to_be_found"


def test_what_is_finished_is_kept_when_the_users_code_fails(run):
    with pytest.warns(
        match=r"failed: ValueError: of the user's product \(.*mine.py, l"
    ):
        found = run(problem="mine:fails_later")
    assert found.exit_code == 1
    assert "eigenvalues failed" in words(found)
    assert "Results: sharpkit-compare/compare.json" in words(found)
    assert len(stored()["b"]["sharpness_values"]) > 0
    assert Path("sharpkit-compare/compare.png").exists()


def test_an_interrupt_keeps_what_is_finished(run):
    with pytest.warns(match="what was finished is returned"):
        found = run(problem="mine:interrupted")
    assert found.exit_code == INTERRUPTED
    assert "not complete" in words(found)
    assert words(found).endswith("Stopped. What was finished is kept.")
    assert not stored()["complete"]
    assert len(stored()["a"]["sharpness_values"]) > 0
    assert Path("sharpkit-compare/compare.png").exists()


def test_an_interrupt_before_anything_is_finished(run):
    found = run(problem="mine:interrupted_at_once")
    assert found.exit_code == INTERRUPTED
    assert "before anything was finished" in words(found)
    assert not Path("sharpkit-compare").exists()


@pytest.mark.process
def test_as_a_user_does_and_ctrl_c(folder, interruptible):
    """A process of its own, the module found in the folder that it is started in."""
    environment = os.environ | {"SLOW": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [*COMMAND, "compare", "a.npz", "b.npy", "--problem", "mine:problem"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    file = Path("sharpkit-compare/compare.json")
    done = 0
    while done < 1 and process.poll() is None:
        time.sleep(0.05)
        done = len(stored()["b"]["taken"]) if file.exists() else 0
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, output
    assert "Traceback" not in output
    assert "Stopped. What was finished is kept." in " ".join(output.split())
    assert stored()["b"]["spectral_density"] is None
    assert not list(file.parent.glob(".*.part"))


def test_the_help_names_the_formats(run):
    shown = " ".join(CliRunner().invoke(app, ["compare", "--help"]).output.split())
    assert "safetensors" in shown
    assert "MODULE:FUNCTION" in shown

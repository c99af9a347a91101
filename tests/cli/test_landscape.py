"""``sharpkit landscape``: lines, planes and files of them."""

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from sharpkit.cli.app import app

SOURCE = """
import numpy as np
from sharpkit import Problem

CURVATURE = np.arange(1.0, 7.0)

def loss(w):
    return 0.5 * float(CURVATURE @ w**2), CURVATURE * w

def problem():
    return Problem(np.zeros(6), loss)

def both():
    return {"train": Problem(np.zeros(6), loss), "test": Problem(np.zeros(6), loss)}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds to it
    (tmp_path / "drawn.py").write_text(SOURCE)
    for index, name in enumerate(("small", "large", "start")):
        np.savez(f"{name}.npz", weights=np.eye(6)[index])

    def call(*arguments, problem="problem"):
        given = ["landscape", *arguments]
        if arguments[0] != "show":
            given += ["--problem", f"drawn:{problem}"]
        found = CliRunner().invoke(app, given)
        return found, " ".join(found.output.split())

    yield call
    sys.modules.pop("drawn", None)


def test_a_line_between_two_files(run):
    ended, said = run(
        "line", "small.npz", "large.npz", "--points", "5", "--out", "line.json",
        "--out", "line.png",
    )  # fmt: skip
    assert ended.exit_code == 0, said
    assert "line of 5 points, x from -0.25 to 1.25, n = 6" in said
    assert "small at (0) large at (1)" in said
    assert "Results: line.json" in said
    ended, said = run("show", "line.json", "--out", "again.npz")
    assert ended.exit_code == 0, said
    assert "small at (0) large at (1)" in said


def test_a_plane_of_both_data_sets(run):
    ended, said = run(
        "plane", "small.npz", "large.npz", "start.npz", "--points", "4",
        "--span=-1,2", "--out", "plane.npz", problem="both",
    )  # fmt: skip
    assert ended.exit_code == 0, said
    assert "plane of 4 x 4 points, x from -1 to 2, y from -1 to 2, n = 6" in said
    assert "train loss" in said
    assert "test loss" in said


def test_directions_and_their_seeds(run):
    ended, said = run(
        "plane", "small.npz", "--directions", "eigenvectors", "--points", "3",
        "--span", "0.5", "--out", "plane.npz",
    )  # fmt: skip
    assert ended.exit_code == 0, said
    assert "x: eigenvector 1, eigenvalue 6, length 1" in said
    ended, said = run(
        "plane", "small.npz", "--directions", "gradient, random", "--points", "3",
        "--seed", "3", "--span-y", "2", "--out", "plane.npz",
    )  # fmt: skip
    assert "y from -2 to 2" in said
    assert "y: random, normalised by vector, seed 3" in said


def test_a_trajectory_and_a_record(run):
    path = [f"--trajectory={name}.npz" for name in ("start", "large", "small")]
    for calls in (10, 1):
        ended, said = run(
            "plane", "small.npz", *path, "--points", "3", "--checkpoint", "p.jsonl",
            "--out", "plane.npz",
        )  # fmt: skip
        assert ended.exit_code == 0, said
        assert "trajectory: 3 points" in said
        assert f" {calls} calls," in said


def test_a_curve_between_two_files(run):
    ended, said = run(
        "curve", "small.npz", "large.npz", "--steps", "20", "--points", "5",
        "--out", "curve.npz",
    )  # fmt: skip
    assert ended.exit_code == 0, said
    assert "barrier" in said
    ended, said = run("show", "curve.npz", "--out", "curve.png")
    assert ended.exit_code == 0, said
    assert "barrier" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("line", "nothing.npz"), "does not exist"),
        (("line", "small.npz", "--span", "a"), "give one number"),
        (("plane", "small.npz", "large.npz"), "takes two checkpoints"),
        (("line", "small.npz", "--direction", "up"), "direction='up'"),
        (("line", "small.npz", "--normalize", "filter"), "needs the shapes"),
    ],
)
def test_what_cannot_be_drawn(run, arguments, message):
    ended, said = run(*arguments)
    assert ended.exit_code == 2
    assert message in said

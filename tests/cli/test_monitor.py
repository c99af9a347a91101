import numpy as np
import pytest
from typer.testing import CliRunner

import sharpkit
from sharpkit.cli.app import app


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.jsonl"
    problem = sharpkit.Problem(np.ones(2), lambda w: (float(w @ w), 2 * w))
    monitor = sharpkit.monitor.loop(
        problem, rate=0.25, budget=None, path=path, measures=["loss", "lambda_max"]
    )
    for number in range(40):
        monitor.step(np.full(2, 0.9**number))
    monitor.close()
    return path


def ran(*arguments):
    found = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
    return found.exit_code, found.output


@pytest.mark.parametrize("option", [[], ["--follow"]])
def test_the_curves_in_the_terminal(file, option):
    code, text = ran(file, *option)
    assert code == 0
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "█" in lines["loss"]
    assert "0.25" in lines["lambda_max"]  # 2 of a threshold of 8
    assert "80 values, ended" in text


def test_a_picture_and_a_page(file, tmp_path):
    picture, page = tmp_path / "curves.png", tmp_path / "page.html"
    code, _ = ran(file, "--plot", picture, "--html", page)
    assert code == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_file_that_is_no_record_is_refused(tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_text("{}\n")
    code, text = ran(path)
    assert code == 2
    assert "no record of a monitor" in " ".join(text.split())


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert ran(tmp_path / "none.jsonl")[0] == 2

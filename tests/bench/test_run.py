import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(load):
    return load("bench.run")


@pytest.fixture
def fake(run, monkeypatch):
    """A case called ``fake`` beside the real ones; what it was called with."""
    table = importlib.import_module("bench.table")
    calls = []

    def case(*, quick):
        calls.append(quick)
        return table.Table(
            "a title", ("what", "ms"), [("step", "1.5")], ("[a] note",), {"ms": 1.5}
        )

    def broken(*, quick):
        raise table.CaseError("nothing to run on")

    for name, function in (("fake", case), ("broken", broken)):
        module = SimpleNamespace(run=function)
        monkeypatch.setitem(sys.modules, f"bench.cases.{name}", module)
    monkeypatch.setattr(run, "known_cases", lambda: {"fake": "a case", "broken": "no"})
    return calls


def test_a_case_is_shown_and_recorded(run, fake, capsys):
    assert run.main(["fake", "--quick"]) == 0
    assert fake == [True]
    *screen, line = capsys.readouterr().out.strip().splitlines()
    for text in ("fake: a title", "step", "1.5", "[a] note"):
        assert text in "\n".join(screen)
    found = json.loads(line)
    assert found["case"] == "fake"
    assert found["quick"] is True
    assert found["data"] == {"ms": 1.5}
    assert found["environment"].keys() >= {
        *("date", "cpu", "cores", "python", "numpy", "scipy", "numba", "torch"),
        *("threads", "commit"),
    }
    assert found["environment"]["numpy"] == np.__version__


def test_out_gathers_lines(run, fake, capsys, tmp_path):
    out = tmp_path / "new" / "results.jsonl"
    for _ in range(2):
        assert run.main(["fake", "--out", str(out)]) == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["case"] for line in lines] == ["fake", "fake"]
    assert "{" not in capsys.readouterr().out


def test_a_case_that_fails_does_not_stop_the_others(run, fake, capsys):
    assert run.main(["broken", "fake"]) == 1
    assert fake == [False]
    assert "broken: nothing to run on" in capsys.readouterr().err


def test_an_unknown_case(run, fake, capsys):
    with pytest.raises(SystemExit) as error:
        run.main(["fake", "nothere"])
    assert error.value.code == 2
    assert "no case nothere; give one of fake, broken" in capsys.readouterr().err
    assert not fake


def test_every_case_has_a_line_and_a_run(run):
    cases = run.known_cases()
    assert {"kernels", "missing", "sharpness", "solvers", "trainer"} <= cases.keys()
    for name, what in cases.items():
        assert what.endswith("."), name
        assert callable(importlib.import_module(f"bench.cases.{name}").run)


def test_trainer_without_torch(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run.main(["trainer", "--quick"]) == 1
    assert "trainer: PyTorch is not installed" in capsys.readouterr().err


def test_trainer_notices_another_step(run):
    trainer = importlib.import_module("bench.cases.trainer")
    network = trainer.MLP((40, 30, 10))
    weights = network.initial_weights(0)
    known = trainer.Taken(2.0, weights, 1.5)
    trainer.check(network, known, known)
    for other in (
        trainer.Taken(2.00001, weights, 1.5),
        trainer.Taken(2.0, weights, 1.6),
        trainer.Taken(2.0, weights * 1.01, 1.5),
    ):
        with pytest.raises(run.CaseError, match="differ"):
            trainer.check(network, known, other)


@pytest.mark.process
def test_it_runs_as_a_script():
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "run.py"), "--list"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "trainer      One Adam step" in done.stdout

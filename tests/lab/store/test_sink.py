"""A training that was watched, as one run of a store."""

import numpy as np
import pytest
from typer.testing import CliRunner

import sharpkit
from sharpkit.cli.app import app
from sharpkit.lab.store import Store, StoreError, StoreSink

H = np.array([1.0, 4.0])


def watch(*sinks, **options):
    """Train a quadratic by four steps under a monitor; return its rows."""
    rows = []
    with sharpkit.monitor.loop(
        sharpkit.Problem(np.ones(2), lambda w: (0.5 * float(H @ w**2), H * w)),
        rate=0.1,
        measures=["loss", "lambda_max"],
        budget=None,
        sinks=[*sinks, rows.append],
        **options,
    ) as monitor:
        w = np.ones(2)
        for _ in range(4):
            monitor.step(w)
            w = w - 0.1 * H * w
    return rows


def test_a_training_is_one_run_with_its_curves(tmp_path):
    rows = watch(StoreSink(tmp_path, seed=3), settings={"name": "quadratic"})
    with Store(tmp_path, create=False) as store:
        (run,) = store.runs()
        arrays = store.arrays(run.key)
    assert (run.kind, run.seed) == ("monitor", 3)
    assert run.config["settings"] == {"name": "quadratic"}
    assert run.config["every"] == {"loss": 1, "lambda_max": 1}
    assert run.metrics["steps"] == 4
    assert run.metrics["lambda_max"] == pytest.approx(4.0)
    assert run.metrics["thresholds"] == {"loss": None, "lambda_max": 20.0}
    assert run.versions["sharpkit"] == sharpkit.__version__
    losses = [row.value for row in rows if row.name == "loss"]
    assert arrays["loss/value"].tolist() == losses
    assert arrays["loss/step"].tolist() == [0, 1, 2, 3]
    assert np.isnan(arrays["loss/threshold"]).all()
    assert arrays["lambda_max/threshold"].tolist() == [20.0] * 4


def test_trainings_of_one_configuration_are_runs_of_their_own(tmp_path):
    sink = StoreSink(tmp_path)
    for _ in range(2):
        watch(sink)
    with Store(tmp_path) as store:
        assert [run.metrics["steps"] for run in store.runs("monitor")] == [4, 4]


def test_the_runs_are_listed_and_ranked(tmp_path):
    for seed in range(2):
        watch(StoreSink(tmp_path, seed=seed), settings={"rate": seed})
    listed = CliRunner().invoke(app, ["runs", str(tmp_path), "--kind", "monitor"])
    assert listed.exit_code == 0, listed.output
    assert "lambda_max 4" in listed.output
    with Store(tmp_path) as store:
        assert [row["config.settings.rate"] for row in store.table()] == [0, 1]


def test_a_record_without_values_is_stored_too(tmp_path):
    sink = StoreSink(tmp_path)
    sink.begin({})
    sink.end({"steps": 0, "spent": 0.0, "wall": 0.0})
    with Store(tmp_path) as store:
        (run,) = store.runs()
    assert run.metrics["steps"] == 0


def test_what_cannot_be_stored_is_said_before_the_training(tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(StoreError, match="give a folder that can be written"):
        watch(StoreSink(file))
    with pytest.raises(StoreError, match=r"head\.settings\.rate"):
        watch(StoreSink(tmp_path), settings={"rate": np.ones(1)})


def test_a_store_that_fails_at_the_end_is_warned_of(tmp_path):
    class Lost(StoreSink):
        def write(self, rows):
            super().write(rows)
            (tmp_path / "runs.sqlite").write_bytes(b"something else" * 100)

    with pytest.warns(sharpkit.SharpkitWarning, match="sink Lost failed"):
        assert len(watch(Lost(tmp_path))) == 8

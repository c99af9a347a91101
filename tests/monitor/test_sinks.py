"""Trackers, as stand-ins with the members that the real ones have."""

from pathlib import Path

import pytest

from sharpkit.monitor import Row
from sharpkit.monitor.sinks import JsonLines, sink_of


def row(step=3, name="lambda_max", value=5.0, threshold=10.0):
    return Row(step, 1.0, name, value, 0.1, threshold, 0.01, 2, 2, "converged", 0.1)


class Recorder:
    def __init__(self, member):
        self.calls = []
        setattr(self, member, self._call)

    def _call(self, *given, **named):
        self.calls.append((given, named))


def test_tensorboard():
    writer = Recorder("add_scalar")
    sink_of(writer).write([row(), row(name="loss", value=None)])
    assert writer.calls == [
        (("sharpkit/lambda_max", 5.0, 3), {}),
        (("sharpkit/lambda_max_threshold", 10.0, 3), {}),
    ]


def test_mlflow():
    module = Recorder("log_metrics")
    sink_of(module).write([row(), row(step=2, name="loss", threshold=None)])
    assert module.calls == [
        (
            ({"sharpkit/lambda_max": 5.0, "sharpkit/lambda_max_threshold": 10.0},),
            {"step": 3},
        ),
        (({"sharpkit/loss": 5.0},), {"step": 2}),
    ]


def test_weights_and_biases_leaves_the_steps_of_the_user_alone():
    run = Recorder("log")
    sink_of(run).write([row(name="loss", threshold=None)])
    assert run.calls == [
        (({"sharpkit/loss": 5.0, "sharpkit/step": 3},), {"commit": False})
    ]


def test_what_has_no_value_is_not_sent():
    run = Recorder("log")
    sink_of(run).write([row(value=None)])
    assert run.calls == []


def test_a_function_gets_every_row():
    seen = []
    sink_of(seen.append).write([row(), row(value=None)])
    assert [each.value for each in seen] == [5.0, None]


def test_the_real_summary_writer(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        sink_of(writer).write([row()])
    place = "tensorboard.backend.event_processing.event_file_loader"
    loader = pytest.importorskip(place).EventFileLoader
    (file,) = tmp_path.iterdir()
    tags = {v.tag for event in loader(str(file)).Load() for v in event.summary.value}
    assert tags == {"sharpkit/lambda_max", "sharpkit/lambda_max_threshold"}


@pytest.mark.filterwarnings("ignore")  # of its own libraries
def test_the_real_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no database is installed
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    with mlflow.start_run() as run:
        sink_of(mlflow).write([row()])
    found = mlflow.get_run(run.info.run_id).data.metrics
    assert found["sharpkit/lambda_max"] == 5.0


@pytest.mark.filterwarnings("ignore")
def test_the_real_wandb(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=tmp_path, project="test") as run:
        sink_of(run).write([row()])
        run.log({"own": 1.0})
        assert run.summary["sharpkit/lambda_max"] == 5.0
        assert run.summary["own"] == 1.0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_file_that_cannot_be_written_is_named_and_closed():
    file = JsonLines("/dev/full")
    with pytest.raises(OSError, match="/dev/full"):
        file.begin({"n": 1})
    file.end({})  # does nothing any more
    file.write([row()])

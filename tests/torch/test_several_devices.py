"""Models over several devices, as `device_map` leaves them."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch_cases import case, direction, truth
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn
HELPERS = Path(__file__).resolve().parents[1] / "helpers"


def test_a_model_over_two_devices_is_measured_as_on_one():
    """Devices are registered for the whole of a process: it has one of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", HELPERS / "split_model.py"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all agree\n"), done.stderr


CURE = "0.weight has no values yet; .*; where accelerate has offloaded it .* device_map"


def test_a_part_without_values_is_refused():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    model[0].to("meta")
    data = torch.randn(9, 4), torch.arange(9) % 3
    with pytest.raises(ValueError, match=f"parameter {CURE}"):
        problem(model, nn.CrossEntropyLoss(), data, parameters="1.*")
    norms = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    norms[1].running_mean = norms[1].running_mean.to("meta")
    with pytest.raises(ValueError, match=r"buffer 1\.running_mean has no values yet"):
        problem(norms, nn.CrossEntropyLoss(), data)


def test_what_accelerate_dispatches(watch):
    accelerate = pytest.importorskip("accelerate")
    own, known = case("layer_norm_mlp"), truth("layer_norm_mlp")
    model = accelerate.dispatch_model(own.model, {"": "cpu"}, force_hooks=True)
    assert hasattr(model, "_hf_hook")
    p = problem(watch(model), own.loss, own.data)
    v = direction(len(known.weights))
    torch.testing.assert_close(p(p.weights)[1], known.at(known.weights)[1])
    torch.testing.assert_close(p.hvp(p.weights, v), known.hessian @ v)


def test_what_accelerate_offloads_is_refused(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    data = torch.randn(9, 4), torch.arange(9) % 3
    for offload in (
        lambda model: accelerate.cpu_offload(model, "cpu"),
        lambda model: accelerate.disk_offload(model, tmp_path, "cpu"),
    ):
        model = offload(nn.Sequential(nn.Linear(4, 3), nn.Tanh()))
        assert model(data[0]).shape == (9, 3)  # it does work
        with pytest.raises(ValueError, match=CURE):
            problem(model, nn.CrossEntropyLoss(), data)

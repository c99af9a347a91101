"""Models under fully_shard where they live: gloo on the CPU, NCCL on devices."""

import pytest
from cuda_device import required
from ranks import on_gloo
from torch_required import torch

pytestmark = pytest.mark.process
PROGRAM = """
import copy, sharpkit, sharpkit.torch
from torch import nn
from torch.distributed.fsdp import fully_shard
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double().to(device)
x, y = torch.randn(12, 5).double().to(device), torch.arange(12).to(device) % 3
cross = nn.CrossEntropyLoss()
alone = sharpkit.torch.problem(copy.deepcopy(model), cross, (x, y))
fully_shard(model[0])
fully_shard(model)
spread = sharpkit.torch.problem(model, cross, (x[rank::ranks], y[rank::ranks]))
found = []
for problem in (sharpkit.Problem(alone.weights, alone), spread):
    found.append([
        sharpkit.sharpness(problem, max_evaluations=8).value,
        sharpkit.critical_sharpness(problem).value,
        sharpkit.gradient_norm(problem).value,
        sharpkit.eigenvalues(problem, tol=1e-4).values[0],
    ])
tell(found=found, lives=spread.weights.device.type)
"""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_values_are_those_of_the_whole_model(device):
    backend, ranks = "gloo", 1
    if device == "cuda":
        if not torch.cuda.is_available():
            assert not required(), (
                "SHARPKIT_REQUIRE names cuda; PyTorch finds no device"
            )
            pytest.skip("PyTorch finds no CUDA device")
        backend, ranks = "nccl", min(torch.cuda.device_count(), 4)
    for told in on_gloo(ranks, PROGRAM, backend).fine():
        whole, spread = told["found"]
        assert told["lives"] == device
        assert spread == pytest.approx(whole, rel=1e-6)

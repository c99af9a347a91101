"""The monitor of a training on several processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch_required import torch

import sharpkit

SCRIPT = Path(__file__).parents[1] / "helpers" / "ddp_training.py"


def trained(folder, how):
    """Train on two processes; return the weights and buffers of each."""
    folder.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), folder / "meeting", folder, how],
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error.decode()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture
def mesh(tmp_path):
    """A group of one process, which is enough for a model to be sharded."""
    place = f"file://{tmp_path}/meeting"
    torch.distributed.init_process_group(
        "gloo", init_method=place, rank=0, world_size=1
    )
    yield torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # of torch's own
@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="needs torch with gloo"
)
@pytest.mark.parametrize("how", ["fully_shard", "tensor", "older"])
def test_a_sharded_model_is_refused_and_its_whole_state_is_not(mesh, how):
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    parallel = pytest.importorskip("torch.distributed.tensor.parallel")
    states = pytest.importorskip("torch.distributed.checkpoint.state_dict")
    torch.manual_seed(0)
    x, y, loss = torch.randn(32, 4), torch.arange(32) % 3, torch.nn.CrossEntropyLoss()
    model, whole = (
        torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3))
        for _ in range(2)
    )
    if how == "fully_shard":
        fsdp.fully_shard(model, mesh=mesh)
    elif how == "tensor":
        parallel.parallelize_module(model, mesh, {"0": parallel.ColwiseParallel()})
    else:
        device = torch.device("cpu")
        model = fsdp.FullyShardedDataParallel(model, device_id=device)
    with pytest.raises(TypeError, match="is sharded: each process holds a part"):
        sharpkit.torch.monitor(model, loss, (x, y))
    options = states.StateDictOptions(full_state_dict=True)
    whole.load_state_dict(states.get_model_state_dict(model, options=options))
    found, _ = (problem := sharpkit.torch.problem(whole, loss, (x, y)))(problem.weights)
    assert found == pytest.approx(float(loss(model(x), y)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="needs torch with gloo"
)
def test_the_first_process_records_and_the_training_is_the_same(tmp_path):
    watched = trained(tmp_path / "watched", "watched")
    alone = trained(tmp_path / "alone", "alone")
    for with_monitor, without in zip(watched, alone, strict=True):
        for name, value in without.items():
            assert torch.equal(with_monitor[name], value), name
    log = sharpkit.read_monitor(tmp_path / "watched" / "0.jsonl")
    assert {row.step for row in log.rows} == set(range(6))
    assert not [row.reason for row in log.rows if row.status == "failed"]
    assert not (tmp_path / "watched" / "1.jsonl").exists()

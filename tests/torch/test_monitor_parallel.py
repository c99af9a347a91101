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

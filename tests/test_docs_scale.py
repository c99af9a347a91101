"""docs/scale.md: its tables are those of plans and of the record, and its lines run."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import sharpkit

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
RESULTS = ROOT / "bench" / "results"
RECORD = RESULTS / "2026-11-30-shards.jsonl"
MODEL = RESULTS / "2026-11-30-sharded_model.jsonl"
TABLES = [
    [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows.split()]
    for rows in (
        table.replace(" ", "") for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.M)
    )
]
MEASURES = {
    "sharpness": {"memory": "lean"},
    "eigenvalues": {"k": 1, "ncv": 10},
    "trace": {"method": "hutchinson"},
    "spectral_density": {"reorthogonalize": False, "probes": 1},
}
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)

NEEDS = "torch", "mpi4py", "transformers"


def test_what_fits_is_what_plans_say():
    for weights, ranks, *cells in TABLES[0][2:]:
        n = int(weights.removesuffix("billion")) * 10**9
        found = sharpkit.plan(
            n, ranks=int(ranks), measures=MEASURES, products="differences"
        )
        gib = [f"{found[name].bytes / 2**30:.1f}GiB" for name in MEASURES]
        assert cells == gib


def test_what_it_takes_is_what_the_record_says():
    data = json.loads(RECORD.read_text(encoding="utf-8").splitlines()[-1])["data"]
    alone = data["ranks"]["1"]["taken"]
    for name, calls, products, passes, reductions, *worlds in TABLES[1][2:]:
        took = alone[name]
        assert [calls, products] == [str(took["calls"]), str(took["products"])]
        assert passes == f"{took['passes']:.0f}"
        assert reductions == str(took["reductions"])
        assert worlds == [str(data["simulated"][world][name]) for world in ("8", "64")]
    for name, *shares, least in TABLES[2][2:]:
        told = [data["ranks"][ranks] for ranks in ("1", "2", "4")]
        took = [each["taken"][name] for each in told]
        assert shares == [f"{t['reducing'] / t['seconds']:.1%}" for t in took]
        ready = took[2]["reductions"] * told[2]["one"] / took[2]["seconds"]
        assert least == f"{ready:.1%}"
    for ranks in ("1", "2", "4"):
        assert f"{1e3 * data['ranks'][ranks]['one']:.2g}" in PAGE


def test_what_was_tried_is_what_the_record_says():
    data = json.loads(MODEL.read_text(encoding="utf-8").splitlines()[-1])["data"]
    assert f"A transformer of {data['n']:,} random weights in bfloat16" in PAGE
    assert len(TABLES[3][2:]) == 3
    for label, value, calls, gib in TABLES[3][2:]:
        name = label.partition("`")[0]
        took = [rank["taken"][name] for rank in data["ranks"]]
        assert value.removesuffix("%") == f"{took[0]['value']:.4g}"
        assert calls == str(took[0]["calls"])
        assert gib == f"{sum(each['peak'] for each in took) / 2**30:.1f}GiB"


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("block", "needs"), list(zip(BLOCKS, NEEDS, strict=True)))
def test_the_lines_run(block, needs, tmp_path):
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"needs {needs}")
    script = tmp_path / "script.py"
    script.write_text(block, encoding="utf-8")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    world |= {"RANK": "0", "WORLD_SIZE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | world,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert done.stdout.startswith("sharpness ")

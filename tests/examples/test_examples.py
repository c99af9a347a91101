"""Every example runs as a user would run it and prints what it promises."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {
    # file: what it needs, and what it prints
    "torch_convnet.py": (
        ["torch"],
        [r"batch 20: accuracy (9|10)\d", r"batch 500: accuracy (9|10)\d", "conv1 +160"],
    ),
    "tiny_gpt2.py": (
        ["torch", "transformers"],
        ["3 eigenvalues, largest", "products by hvp", r"transformer\.wte"],
    ),
    "tiny_llama.py": (
        ["torch", "transformers"],
        ["from parameters in bfloat16", "sharpness", "products by hvp"],
    ),
    "flax_net.py": (["jax", "flax"], ["sharpness", "eigenvalue"]),
    "logistic_regression.py": (
        ["sklearn"],
        [r"C = 100: accuracy 9\d", r"C = 0\.01: accuracy 9\d"],
    ),
}


def test_all_examples_are_listed():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path):
    needs, printed = EXAMPLES[name]
    for module in needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "SharpkitWarning" not in done.stderr
    for pattern in printed:
        assert re.search(pattern, done.stdout), done.stdout

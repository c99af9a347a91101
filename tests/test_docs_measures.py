"""The page on measures names all of them."""

import inspect
import re
from pathlib import Path

import sharpkit

PAGE = Path(__file__).resolve().parents[1] / "docs" / "measures.md"
OTHERS = {
    "backends",
    "by_group",
    "check",
    "compare",
    "get_num_threads",
    "measure",
    "operator",
    "plan",
    "profile",
    "ranking",
    "read_monitor",
    "set_num_threads",
}


def test_every_measure_has_a_row_of_its_own():
    names = set(sharpkit.__all__) - {"jax", "monitor", "torch"}
    functions = {n for n in names if inspect.isfunction(getattr(sharpkit, n))}
    text = PAGE.read_text(encoding="utf-8").split("## ")[1]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    told = {re.match(r"\| `(\w+)", line)[1] for line in rows}
    assert told == functions - OTHERS
    assert {len(re.split(r"(?<!\\)\|", line)) for line in rows} == {8}

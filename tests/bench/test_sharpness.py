import json
from dataclasses import replace

import pytest

MEMORY = [
    "auto, memory at n = 2e+05",
    "auto, lean, memory at n = 2e+05",
    "lbfgsb, memory at n = 2e+05",
    "subspace, memory at n = 2e+03",
]


@pytest.fixture
def sharpness(load):
    return load("bench.cases.sharpness")


@pytest.fixture
def tiny(sharpness, load, monkeypatch):
    """The case on sizes that take no time."""
    trained = load("bench.network").trained_f1(
        epochs=1, samples=300, sizes=(784, 8, 10)
    )
    monkeypatch.setattr(sharpness, "trained_f1", lambda **settings: trained)
    for name, value in {
        "CHECKED": 500,
        "QUICK_TURNS": {200: 2, 500: 1},
        "QUICK_MEMORY": (200_000, 2000),
        "QUICK_NETWORK": (1, 6000, 1),
    }.items():
        monkeypatch.setattr(sharpness, name, value)
    return sharpness


def test_the_whole_case(tiny):
    table = tiny.run(quick=True)
    assert all(len(row) == len(table.columns) for row in table.rows)
    methods = {(record["problem"], record["n"]) for record in table.data["quadratics"]}
    assert methods == {(k, n) for k in ("convex", "concave") for n in (200, 500)}
    assert [target["what"] for target in table.data["targets"]] == [
        "auto, convex, n = 5e+02: CPU time outside",
        "lbfgsb, convex, n = 5e+02: CPU time outside",
        "auto, concave, n = 5e+02: CPU time outside",
        "lbfgsb, concave, n = 5e+02: CPU time outside",
        "auto, F1, 6000: share outside the loss",
        "lbfgsb, F1, 6000: share outside the loss",
        *([] if not tiny.measurable() else MEMORY),
        "auto, first call",
        "lbfgsb, first call",
    ]
    assert json.dumps(table.data)


def test_the_check_passes_and_notices(sharpness, load):
    sharpness.check(n=500)
    problem = load("bench.problems").Quadratic(500, "f8", "convex")
    solve = load("bench.solving").solve
    found = {name: solve(name, problem.w, problem) for name in sharpness.METHODS}
    for name, factor, message in (
        ("auto", 0.99, "auto found"),
        ("lbfgsb", 1 + 1e-5, "SciPy"),
        ("scipy", 1.1, "scipy found .* of"),
    ):
        wrong = replace(found[name], value=found[name].value * factor)
        with pytest.raises(sharpness.CaseError, match=message):
            sharpness.compare_found("x", found | {name: wrong}, problem, 1e-9)


def test_a_target_is_met_or_not(load):
    table = load("bench.sharpness_table")
    found = {
        "quadratics": [
            {"n": 10, "problem": "convex", "method": "auto", "of_scipy": 0.01},
            {"n": 10, "problem": "convex", "method": "lbfgsb", "of_scipy": 0.06},
            {"n": 5, "problem": "convex", "method": "lbfgsb", "of_scipy": 0.01},
        ],
        "network": [{"problem": "F1, 600", "method": "auto", "own_share": 0.5}],
        "memory": [
            {"n": 10, "method": "auto", "bytes_per_weight": 32.001},
            {"n": 10, "method": "auto, lean", "bytes_per_weight": 24.001},
            {"n": 10, "method": "lbfgsb", "bytes_per_weight": 109.9},
            {"n": 10, "method": "subspace", "bytes_per_weight": 9.0, "bytes": 3 << 30},
        ],
        "first_call": [],
    }
    targets = table.judged(found)
    met = [target["met"] for target in targets]
    assert met == [True, False, False, False, True, False]
    assert targets[1]["shown"] == "1/16.7, <= 1/20"


def test_what_fails_in_another_process_is_told(load):
    fresh = load("bench.fresh")
    with pytest.raises(fresh.CaseError, match=r"memory\.peak failed"):
        fresh.in_fresh_process("bench.memory", "peak", method="none", n=10)

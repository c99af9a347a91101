import json
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

NETWORK = (2, 256, (784, 12, 12, 10))


@pytest.fixture(autouse=True)
def one_thread(load):
    """Several threads wait for each other longer than such small work takes."""
    with load("bench.torch_network").one_thread():
        yield


@pytest.fixture
def spectrum(load):
    return load("bench.cases.spectrum")


@pytest.fixture
def table(load):
    return load("bench.spectrum_table")


def timed(method, **more):
    return {
        "method": method,
        "how": "as it is",
        "products": 33,
        "cpu": 1.0,
        "cpu_outside": 0.1,
        "outside": 0.1,
        "scatter": 0.0,
        **more,
    }


@pytest.fixture
def found():
    """Made-up records, all targets just met."""
    eigen = {"residual": 1e-3, "error": 1e-6, "values": [8.25]}
    density = {"top": 8.25, "memory": {"samples": 256}}
    trace = {"error": 0.01, "reported": 0.02, "worst": 0.03}
    theirs = timed("PyHessian", **trace) | {"all_products": [5, 17, 5]}
    exact = {"loss_cpu": 0.1, "scatter": 0.0, "hvp": 2.5, "gauss_newton": 1.5}
    return {
        "network": {
            "sizes": [784, 10],
            "n": 7850,
            "samples": 20,
            "off": {"loss": 1e-7},
            "full": True,
        },
        "truth": [8.25, 7.0],
        "eigenvalues": [
            timed("sharpkit", **eigen),
            timed("PyHessian", **eigen) | {"cpu": 2.0},
            {
                "method": "curvlinops + eigsh",
                "missing": "not installed",
                "package": "x",
            },
        ],
        "density": [
            timed("sharpkit", **density) | {"outside": 0.12, "bytes": 600 << 20},
            timed("sharpkit, plain", **density) | {"outside": 0.5, "bytes": 60 << 20},
            timed("PyHessian", **density) | {"bytes": 700 << 20},
        ],
        "trace": {
            "reference": {"value": 400.0, "stderr": 1.0, "products": 120},
            "curve": [timed("xtrace", **trace)],
            "needed": [
                {"method": "xtrace", "products": 30, "measured": True},
                {"method": "hutchinson", "products": 375, "measured": False},
            ],
            "pyhessian": theirs,
        },
        "exact": [
            {"mode": mode, "off": {"hvp": 1e-6, "gauss_newton": 1e-6}, **exact}
            for mode in ("running", "frozen", "batch")
        ],
    }


def verdicts(targets):
    return [target["met"] for target in targets]


def test_targets_that_are_just_met(table, found):
    targets = table.judged(found)
    assert [(t["measure"], t["method"]) for t in targets] == [
        *[("top 5", "sharpkit")] * 3,
        *[("density", "sharpkit")] * 2,
        ("density", "sharpkit, plain"),
        ("lab", "hvp, running"),
        ("lab", "gauss_newton, running"),
        ("lab", "hvp, frozen"),
        ("lab", "gauss_newton, frozen"),
        ("lab", "hvp, batch"),
        ("lab", "gauss_newton, batch"),
    ]
    assert verdicts(targets) == [True] * 12
    assert targets[2]["shown"] == "0.50 of PyHessian, <= 0.5"


def test_targets_that_are_missed_by_less_than_is_shown(table, found):
    ours = found["eigenvalues"][0]
    ours["products"], ours["residual"], ours["cpu"] = 34, 1.0001e-3, 1.0001
    found["density"][0]["outside"] = 0.12001
    found["density"][0]["bytes"] += 1
    found["density"][1]["bytes"] += 1
    found["exact"][2]["hvp"] = 2.5001
    targets = table.judged(found)
    assert verdicts(targets) == [False] * 6 + [True] * 4 + [False, True]
    shown = table.make_table(found)
    assert shown.rows[0][-1] == "MISSED\nMISSED\nMISSED"
    assert "targets: 5 met, 7 missed, 0 not judged" in shown.notes


def test_what_cannot_be_judged(table, found):
    missing = {"method": "PyHessian", "missing": "not installed", "package": "a"}
    found["eigenvalues"][1] = found["density"][2] = missing
    found["trace"]["pyhessian"] = missing
    found["density"][0]["bytes"] = None
    targets = table.judged(found)
    assert verdicts(targets)[:5] == [True, True, None, True, None]
    shown = table.make_table(found)
    assert shown.rows[0][-1] == "met\nmet\nnot judged"
    cells = [row for row in shown.rows if row[1] == "PyHessian"]
    assert [row[5] for row in cells] == ["not installed"] * 3
    assert shown.notes[1] == "not installed: pip install a x"


def test_the_table(table, found):
    found["network"]["full"] = False
    found["exact"][1]["scatter"] = 0.3
    shown = table.make_table(found)
    assert all(len(row) == len(table.COLUMNS) for row in shown.rows)
    assert "small network" in shown.notes[0]
    assert "BUSY MACHINE: do not trust frozen: the times scatter" in shown.notes
    assert (
        "products for a standard error of 2%: xtrace 30, hutchinson about 375"
        in shown.notes
    )
    assert json.dumps(shown.data)
    assert shown.data["targets"] == table.judged(found)


def test_how_many_products_are_needed(load):
    needed = load("bench.traces").needed
    curve = [
        {"products": 60, "reported": 0.0200001},
        {"products": 120, "reported": 0.02},
        {"products": 30, "reported": 0.04},
    ]
    assert needed(curve) == {"products": 120, "measured": True}
    assert needed(curve[2:]) == {"products": 120, "measured": False}
    endless = [{"products": 30, "reported": float("inf")}]
    assert needed(endless) == {"products": None, "measured": False}


def test_errors_of_traces(load):
    traces = load("bench.traces")

    def found(value, stderr, products=30):
        return traces.Found(
            *("xtrace", "", np.array([value]), products, 2.0, 1.0, None), stderr=stderr
        )

    record = traces.trace_record([found(103.0, 3.0), found(96.0, 4.0)], 100.0)
    assert record["error"] == pytest.approx(np.sqrt(12.5) / 100)
    assert record["reported"] == pytest.approx(np.sqrt(12.5) / 100)
    assert record["worst"] == pytest.approx(0.04)
    assert record["outside"] == 0.5
    assert traces.trace_record([found(103.0, None)], 100.0)["reported"] is None
    known = traces.reference([found(100.0, 4.0, 10), found(104.0, 1.0, 30)])
    assert known == {"value": 103.0, "stderr": 1.25, "products": 40}


def test_wrong_eigenvalues_and_densities_are_noticed(load):
    spectra, densities = load("bench.spectra"), load("bench.densities")
    network = spectra.trained(*NETWORK)[2]
    truth = spectra.true_eigenvalues(network, 2)
    found = spectra.peers.scipy_eigenvalues(network, 2)
    record = spectra.eigenvalue_record(network, truth, [found])
    assert record["error"] < 1e-4
    assert record["residual"] == max(record["residuals"]) < 1e-3
    wrong = replace(found, values=found.values * 1.02)
    with pytest.raises(spectra.CaseError, match=r"eigsh found .* the eigenvalues are"):
        spectra.eigenvalue_record(network, truth, [wrong])
    nodes, weights = np.array([1.0, 8.0]), np.array([0.5, 0.5])
    density = replace(found, values=nodes, weights=weights)
    densities.check_density(density, 8.0)
    for wrong in (
        replace(density, values=0.98 * nodes),
        replace(density, weights=0.99 * weights),
        replace(density, values=nodes * np.nan),
    ):
        with pytest.raises(densities.CaseError, match="the largest node is"):
            densities.check_density(wrong, 8.0)


def test_the_labs_products_are_checked(load, monkeypatch):
    exact = load("bench.exact_products")
    weights, problem, _ = load("bench.spectra").trained(*NETWORK)
    records = exact.exact_records(weights, problem, rounds=1)
    assert [record["mode"] for record in records] == ["running", "frozen", "batch"]
    assert all(max(record["off"].values()) < 1e-4 for record in records)
    assert all(record[name] > 0 for record in records for name in exact.PRODUCTS)
    monkeypatch.setattr(problem, "gauss_newton", problem.hvp, raising=True)
    vector = np.ones_like(weights)
    with pytest.raises(Exception, match=r"problem\.gauss_newton and PyTorch's"):
        exact.check_products(weights, problem, vector)


def test_the_whole_case(spectrum, load, monkeypatch):
    small = spectrum.Setting(NETWORK, 1, {18: 2}, 60, True)
    monkeypatch.setattr(spectrum, "settings", lambda *, quick: small)
    table = spectrum.run(quick=True)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert json.dumps(table.data)
    data = table.data
    assert [record["method"] for record in data["eigenvalues"]] == [
        *("sharpkit", "PyHessian", "hessian-eigenthings"),
        *("curvlinops + eigsh", "eigsh"),
    ]
    methods = ["sharpkit", "sharpkit, plain", "PyHessian"]
    assert [record["method"] for record in data["density"]] == methods
    assert len(data["density"][0]["nodes"]) == 100
    if load("bench.memory").measurable():
        assert data["density"][0]["bytes"] > 0
    assert [each["method"] for each in data["trace"]["curve"]] == [
        *("xtrace", "hutch++", "hutchinson", "xtrace")
    ]
    assert len(data["targets"]) == 12
    assert data["network"]["off"].keys() >= {"loss", "gradient", "lab's product"}


def test_settings(spectrum):
    full, quick = spectrum.settings(quick=False), spectrum.settings(quick=True)
    assert full.network[1:] == (2000, (784, *[512] * 5, 10))
    assert not full.together
    assert quick.together


def test_without_torch(spectrum, load, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(load("bench.table").CaseError, match="PyTorch is not installed"):
        spectrum.run(quick=True)

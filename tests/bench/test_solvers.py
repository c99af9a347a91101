import itertools
import json
import sys

import numpy as np
import pytest

import sharpkit

SMALL = (("digits", (64, 8, 10), (("SB", 50), ("LB", 200))), (3,), 3)


@pytest.fixture
def boxes(load):
    return load("bench.boxes")


@pytest.fixture
def synthetic(load):
    return load("bench.synthetic")


@pytest.fixture
def known(load, monkeypatch, tmp_path):
    """Best known values, kept in a folder of the test's own."""
    known = load("bench.known")
    monkeypatch.setenv(known.FOLDER, str(tmp_path))
    return known


@pytest.fixture
def solvers(load, known):
    return load("bench.cases.solvers")


@pytest.fixture
def trained(boxes, monkeypatch):
    """Minimisers that take no time to train."""
    monkeypatch.setattr(boxes, "MAX_EPOCHS", 2)
    setting, seeds, data_seed = SMALL
    return boxes.minimisers(
        (boxes.Setting(*setting),), seeds, data_seed, subspaces=True
    )


def test_the_maximum_of_a_small_quadratic(synthetic):
    random = np.random.default_rng(0)
    grid = np.array(list(itertools.product(np.linspace(-1, 1, 41), repeat=3)))
    inside = 0
    for _ in range(20):
        matrix, slope = random.standard_normal((3, 3)), random.standard_normal(3) / 2
        hessian = (matrix + matrix.T) / 2 - 0.3 * np.eye(3)
        values = grid @ slope + 0.5 * np.sum((grid @ hessian) * grid, axis=1)
        found = synthetic.highest(hessian, slope)
        assert values.max() <= found + 1e-12
        assert found == pytest.approx(values.max(), abs=1e-3)
        inside += np.any(np.abs(grid[values.argmax()]) < 1)
    assert 3 < inside < 20  # of either kind


def test_the_maximum_of_rosenbrocks_chain(synthetic):
    ends = 1 + synthetic.EPSILON * np.array([-2.0, 2.0])
    corners = np.array(list(itertools.product(ends, repeat=9)))
    highest = max(synthetic.rosenbrock(x)[0] for x in corners)
    box = synthetic._rosenbrock("", "", None, n=9)
    assert box.exact == pytest.approx(100 * highest)
    assert next(synthetic.Synthetic("Rosenbrock", 0).boxes()).exact > 10.45


def test_synthetic_boxes(synthetic, load):
    exact = 0
    for kind in synthetic.KINDS:
        box = next(synthetic.Synthetic(kind, 0).boxes())
        assert box.family in load("bench.cases.solvers").FAMILIES
        direction = np.random.default_rng(0).standard_normal(box.weights.size)
        direction *= box.epsilon / 2
        gradient = box.loss_fn(box.weights + direction)[1]
        slope = (
            box.loss_fn(box.weights + 1.01 * direction)[0]
            - box.loss_fn(box.weights + 0.99 * direction)[0]
        ) / 0.02
        assert slope == pytest.approx(gradient @ direction, rel=1e-3)
        found = box.measure(max_evaluations=20).value  # checks that it is not higher
        exact += box.exact is not None
        assert 0 < found
        if box.exact is not None:
            assert box.exact < 2 * found
    assert exact == 6


def test_wrong_results_are_noticed(boxes, load):
    error = load("bench.table").CaseError
    curvature = np.array([1.0, 2.0])

    def loss_fn(w):
        return 0.5 * float(curvature @ w**2), curvature * w

    box = boxes.Box("a box", "convex", np.zeros(2), loss_fn, 0.1, exact=1.5)
    result = box.measure()
    assert result.value == pytest.approx(1.5)
    other = boxes.Box("smaller", "convex", np.zeros(2), loss_fn, 0.05)
    with pytest.raises(
        error, match=r"smaller: auto claims a loss of .* at 2 of the box"
    ):
        boxes.check(other, result)
    other = boxes.Box("other", "convex", np.zeros(2), lambda w: (1.0, w), 0.1)
    with pytest.raises(error, match="the loss there is 1"):
        boxes.check(other, result)
    other = boxes.Box("low", "convex", np.zeros(2), loss_fn, 0.1, exact=1.4)
    with pytest.raises(error, match=r"low: 1.5.* % found, the maximum is 1.4 %"):
        boxes.check(other, result)


def test_boxes_of_a_minimiser(boxes, trained):
    small, large = trained
    assert [str(each) for each in trained] == ["digits SB 3", "digits LB 3"]
    found = {box.name: box for box in large.boxes()}
    assert [box.family for box in found.values()] == [
        *("LB running", "LB running", "subspaces"),
        *("LB batch", "LB batch", "subspaces"),
    ]
    assert {box.family for box in small.boxes()} == {"SB", "subspaces"}
    whole = found["digits LB 3 running 1e-03"]
    # a box again is the same one, and no two are
    again = next(large.boxes())
    prints = [box.fingerprint("x") for box in (*found.values(), again)]
    assert prints[0] == prints[-1] != again.fingerprint("y")
    assert len(set(prints)) == 6
    assert whole.measure(max_evaluations=5).evaluations == 5


def test_a_subspace_is_the_one_that_is_searched(boxes, trained):
    whole, _, drawn, *_ = trained[0].boxes()
    assert drawn.weights.size == boxes.DIRECTIONS
    theirs = sharpkit.sharpness(
        whole.weights, whole.loss_fn, epsilon=1e-3, subspace=100, seed=3, progress=False
    )
    assert drawn.measure(seed=3).value == pytest.approx(theirs.value, rel=1e-3)


@pytest.mark.parametrize(("kind", "modes"), [("convolutions", 2), ("transformer", 1)])
def test_boxes_of_torch(load, boxes, monkeypatch, kind, modes):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(boxes, "MAX_EPOCHS", 1)
    with load("bench.torch_network").one_thread():
        source = boxes.TorchModel(kind, 10, 3, (1e-3,), samples=20)
        state = torch.get_rng_state()
        found = list(source.boxes())
        assert torch.equal(state, torch.get_rng_state())
        assert [box.family for box in found] == ["torch"] * modes
        assert len({box.fingerprint() for box in found}) == modes
        assert next(source.boxes()).fingerprint() == found[0].fingerprint()
        assert found[-1].measure(max_evaluations=10).value > 0


def test_what_is_missing_is_left_out(boxes, solvers, monkeypatch):
    monkeypatch.delenv(boxes.MNIST_FOLDER, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    lacking = boxes.missing_sources()
    assert lacking.keys() == {"torch", "MNIST"}
    found = solvers.sources(lacking, quick=False)
    assert len({str(each) for each in found}) == len(found)
    networks = [each for each in found if isinstance(each, boxes.Minimiser)]
    assert len(networks) * 4 == 48
    everything = solvers.sources({}, quick=False)
    assert {str(each) for each in everything} > {str(each) for each in found}
    monkeypatch.setenv(boxes.MNIST_FOLDER, "somewhere")
    assert boxes.missing_sources().keys() == {"torch"}


def test_best_known_values_are_kept_and_improve(known, boxes, load, tmp_path):
    calls = []

    def loss_fn(w):
        calls.append(w)
        return 1 - 0.5 * float((w - 0.52) @ (w - 0.52)), 0.52 - w

    box = boxes.Box("a box", "convex", np.full(3, 0.5), loss_fn, 0.1)
    searches = (
        ("short", {"max_evaluations": 3}),
        ("long", {"max_evaluations": 20}),
    )
    first = known.best_known(box, searches, {"column": 1e-6})
    assert (first.by, first.evaluations) == ("long", 23)
    assert first.value == box.measure(max_evaluations=20).value
    calls.clear()
    assert known.best_known(box, searches, {"column": 1e-6}) == first
    assert len(calls) == 1  # of the fingerprint
    better = known.best_known(box, searches, {"a": 1e3, "b": 1.0})
    assert (better.value, better.by, better.evaluations) == (1e3, "a", 23)
    assert known.best_known(box, searches, {"column": 1e-6}) == better
    assert len(list(tmp_path.iterdir())) == 1
    assert known.best_known(box, searches[1:], {"column": 1e-6}).value == first.value
    assert len(list(tmp_path.iterdir())) == 2
    flat = boxes.Box("flat", "convex", np.zeros(2), lambda w: (1.0, 0 * w), 0.1)
    with pytest.raises(load("bench.table").CaseError, match="flat: no solver found"):
        known.best_known(flat, searches[:1], {"column": 0.0})


def test_long_searches_are_long(known):
    budgets = [each.get("max_evaluations", 0) for _, each in known.LONG]
    assert sum(budgets) >= 2400  # some end early
    assert len({each.get("seed") for _, each in known.LONG}) >= 5
    assert "solver" in known.QUICK[1][1]


def test_where_best_known_values_are_kept(known, monkeypatch, tmp_path):
    assert known.cache_folder() == tmp_path
    monkeypatch.delenv(known.FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", "/a/cache")
    assert known.cache_folder().as_posix() == "/a/cache/sharpkit/bench"


def record(solvers, case, family, **fractions):
    values = dict.fromkeys(solvers.COLUMNS, 0.9)
    values |= {solvers.RECIPE: 0.5, solvers.SAME: 0.6}
    return {
        "case": case,
        "family": family,
        "best_by": "long",
        "known_evaluations": 2100,
        "loss": 1e-3,
        "fractions": values | fractions,
        "evaluations": dict.fromkeys(solvers.COLUMNS, 12),
    }


def test_solvers_summary(solvers):
    records = [
        record(solvers, "a", "SB", **{"auto 25": 0.92, "auto 100": 0.97}),
        record(solvers, "b", "LB batch", **{"auto 25": 0.92, "auto 100": 0.99}),
        record(solvers, "c", "convex", **{"auto 25": 0.1, solvers.SAME: 0.4}),
    ]
    found = solvers.summarise(records)
    assert list(found["families"]) == [solvers.ALL, "LB batch", "SB", "convex"]
    assert found["families"][solvers.ALL]["auto 100"] == {
        "boxes": 2,
        "evaluations": 12,
        "worst": 0.97,
        "5th": pytest.approx(0.971),
        "median": pytest.approx(0.98),
        "mean": pytest.approx(0.98),
        "below 0.8": 0,
        "below 0.95": 0,
    }
    assert found["families"]["convex"]["auto 25"]["below 0.8"] == 1
    assert found["below_recipe"] == ["c"]
    verdicts = {(t["solver"], t["of"]): t["met"] for t in found["targets"]}
    assert verdicts == {
        ("auto 25", "mean"): True,
        ("auto 100", "5th"): True,
        ("auto 100", "mean"): True,
        ("auto 100", "below 0.95"): True,
        ("auto 200", "worst"): True,
    }
    assert solvers.table(records, {"MNIST": "why"}).notes[-3:-1] == (
        "lowest of auto 100: b, 0.990",
        "no MNIST boxes: why",
    )
    records[0]["fractions"] |= {"auto 100": 0.949, "auto 200": 0.899}
    worse = solvers.summarise(records)
    assert [t["met"] for t in worse["targets"]] == [True, True, False, False, False]


def test_the_whole_case_of_solvers(solvers, known, synthetic, monkeypatch):
    kinds = ("chained", "indefinite, 10 dimensions", "interior")
    monkeypatch.setattr(
        solvers, "sources", lambda *_, **__: [synthetic.Synthetic(k, 1) for k in kinds]
    )
    monkeypatch.setattr(
        solvers,
        "in_processes",
        lambda sources, work, label: [each for s in sources for each in work(s)],
    )
    table = solvers.run(quick=True)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert len(table.rows) == 3 * len(solvers.SHOWN)
    assert json.dumps(table.data)
    for case in table.data["cases"]:
        assert case["best_by"] == "exact"
        assert case["evaluations"]["auto 25"] <= 25
        assert max(case["fractions"].values()) <= 1 + 1e-6
        same = case["evaluations"][solvers.SAME]
        assert same <= max(case["evaluations"][solvers.RECIPE], 3)


def test_work_is_spread_over_processes(known, synthetic, capsys):
    sources = [synthetic.Synthetic("chained", seed) for seed in (1, 2)]
    assert known.in_processes(sources, named, "a case") == [
        {"name": "chained 1"},
        {"name": "chained 2"},
    ]
    assert "a case: chained 2 done" in capsys.readouterr().err


def named(source):
    return [{"name": str(source)}]


@pytest.fixture
def missing(load, known):
    return load("bench.cases.missing")


def test_runs_are_grouped(missing):
    def run(budget, second, share, space="full"):
        seen = {"starts": [1.0, second], "kin": [False, False]}
        more = {"case": "a", "space": space, "evaluations": 30}
        return {"budget": budget, "share": share, **seen, **more}

    runs = [
        run("default", 1.0, 0.5),
        run("25", 0.5, 0.7),
        run("25", 1.0, 0.96),
        run("25", 0.5, 0.9),
        run("50", 0.5, 0.8, "subspace"),
    ]
    groups = missing.grouped(runs)
    assert list(groups.items()) == [
        (("full", "25", "another start agrees"), [0.96]),
        (("full", "25", "no other start agrees"), [0.7, 0.9]),
        (("full", "default", "another start agrees"), [0.5]),
        (("subspace", "50", "no other start agrees"), [0.8]),
    ]
    table = missing.table(runs)
    assert table.rows[1] == (
        *("full", "25", "no other start agrees", "2"),
        *("0.00", "0.50", "20.0%", "29.0%"),
    )
    assert "the default spent 30 evaluations on average" in table.notes


def test_the_runs_of_a_box(missing, trained):
    box = next(trained[0].boxes())
    runs = missing.runs_of(box, (("short", {"max_evaluations": 30}),))
    assert len(runs) == len(missing.BUDGETS) * len(missing.SOLVER_SEEDS)
    assert max(run["share"] for run in runs) <= 1
    assert all(len(run["starts"]) == len(run["kin"]) > 0 for run in runs)
    assert [run["evaluations"] for run in runs[:4]] == [25, 25, 50, 50]
    assert {run["space"] for run in runs} == {"full"}
    assert json.dumps(missing.table(runs).data)


def test_the_table_that_the_library_looks_up(missing):
    def run(case, seed, share, second):
        more = {"space": "full", "budget": "25", "evaluations": 25, "seed": seed}
        seen = {"starts": [1.0, second], "kin": [False, False]}
        return {"case": case, "share": share, **seen, **more}

    runs = []
    for case in range(12):
        runs += [run(case, 0, 0.7, 0.5), run(case, 1, 1.0, 0.99)]
    groups = missing.tabulated(runs)["groups"]
    found = {(g["searches"], g["agreed"]): (g["runs"], g["share"]) for g in groups}
    assert found == {
        (1, False): (12, pytest.approx(0.3)),
        (1, True): (12, 0),
        (1, None): (24, pytest.approx(0.15)),
        (2, False): (12, 0),  # of two searches the higher one counts
        (2, None): (12, 0),
    }

import dataclasses
import json
import math
import time

import numpy as np
import pytest
from problems import Separable

import sharpkit
from sharpkit.problem import Problem
from sharpkit.reports.compare import compare
from sharpkit.reports.measure import MEASURES, measure
from sharpkit.results.report import Settings

FEW = {"measures": ("trace",), "alphas": [0.0, 1.0]}


def rows(comparison):
    return {row.known.name: row for row in comparison.rows}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_path_is_the_loss_on_the_line(quadratic, ends, kind):
    problem, loss = quadratic(dtype=kind)
    seen = []

    def recorded(w):
        seen.append(w.dtype)
        return loss(w)

    a, b = ends
    found = compare(a, b, dataclasses.replace(problem, loss_fn=recorded), measures=())
    path = found.paths["data"]
    np.testing.assert_array_equal(path.alpha, np.linspace(-1, 2, 25))
    exact = [loss((1 - t) * a + t * b)[0] for t in path.alpha]
    rounding = 1e-6 if kind is np.float32 else 1e-12
    np.testing.assert_allclose(path.loss, exact, rtol=rounding)
    assert set(seen) == {np.dtype(kind)}
    assert path.accuracy is None
    at_ends = np.interp([0, 1], path.alpha, path.loss)
    np.testing.assert_allclose(at_ends, [found.a.loss, found.b.loss], rtol=1e-6)


def test_each_end_is_measured_as_by_measure(quadratic, ends):
    problem, _ = quadratic()
    options = {"repeats": 2, "seed": 3, "k": 2}
    found = compare(*ends, problem, **options, alphas=[0.5])
    for report, end in zip((found.a, found.b), ends, strict=True):
        alone = measure(problem.at({"weights": end}), **options, max_evaluations=299)
        assert report.sharpness_values == alone.sharpness_values
        assert [str(row) for row in report.measured()] == [
            str(row) for row in alone.measured()
        ]
    assert found.complete
    assert found.distance == pytest.approx(np.linalg.norm(ends[1] - ends[0]))
    assert found.settings == Settings(1e-3, 2, MEASURES, 2, 3, 299)


def test_differences_in_units_of_their_errors(ends):
    random = np.random.default_rng(0)
    mixing = random.standard_normal((60, 40))

    def loss(w):  # its curvature depends on w, and is not of few eigenvalues
        z = mixing @ w
        return float(np.logaddexp(0, z).mean()), mixing.T @ (1 / (1 + np.exp(-z))) / 60

    problem = Problem(ends[0], loss, accuracy=lambda w: 0.75 if w @ w < 9 else 0.5)
    problem = dataclasses.replace(problem, samples=300)
    found = compare(0.1 * ends[0], ends[1], problem, alphas=[0.5])
    table = rows(found)
    assert list(table) == [
        "loss",
        "accuracy",
        "sharpness",
        "largest eigenvalue",
        "trace",
        "negative share",
        "mean |eigenvalue|",
        "norm",
    ]
    for name in ("loss", "sharpness", "largest eigenvalue", "mean |eigenvalue|"):
        row = table[name]
        assert row.difference == row.b.value - row.a.value != 0
        error = math.sqrt(row.a.error**2 + row.b.error**2)
        assert row.errors == pytest.approx(row.difference / error)
    density = found.b.spectral_density
    size = density.mean(np.abs)
    assert table["mean |eigenvalue|"].b[2:4] == (size.value, size.stderr)
    share = density.negative_share()
    assert table["negative share"].b[1:3] == ("%", 100 * share.value)
    assert table["trace"].a[2:4] == (found.a.trace.value, found.a.trace.stderr)
    assert table["sharpness"].b.error == found.b.sharpness_error
    top = table["largest eigenvalue"].a
    assert top.error == found.a.eigenvalues.residuals[0]
    accuracy = table["accuracy"]
    assert (accuracy.a.value, accuracy.b.value, accuracy.difference) == (75, 50, -25)
    assert accuracy.a.error == pytest.approx(2.5)
    assert accuracy.b.error == pytest.approx(100 * math.sqrt(0.25 / 300))


def test_several_data_sets(quadratic, ends):
    train, loss = quadratic(0, accuracy=lambda w: float(w[0] > 0), samples=100)
    test, other = quadratic(5, accuracy=lambda w: 0.25, samples=50)
    sets, alphas = {"train": train, "test": test}, [0.0, 0.5, 2.0]
    found = compare(*ends, sets, alphas=alphas, max_evaluations=None)
    assert list(found.fits) == list(found.paths) == ["train", "test"]
    assert list(rows(found))[:4] == [
        "loss (train)",
        "accuracy (train)",
        "loss (test)",
        "accuracy (test)",
    ]
    assert rows(found)["loss (test)"].b.value == other(ends[1])[0]
    assert found.a.trace.value == pytest.approx(loss.h.sum(), rel=1e-6)  # of train
    middle = (ends[0] + ends[1]) / 2
    assert found.paths["test"].loss[1] == pytest.approx(other(middle)[0])
    np.testing.assert_array_equal(found.paths["test"].accuracy, [0.25] * 3)
    assert found.paths["train"].accuracy[1] == float(middle[0] > 0)
    assert "n = 40; measured on train" in repr(found)


def test_each_finished_measurement_is_handed_on(quadratic, ends):
    problem, _ = quadratic()
    found = []
    last = compare(*ends, {"train": problem, "test": problem}, on_result=found.append)
    state = [
        (
            len(each.paths),
            *(len(side.results) for side in (each.a, each.b)),
        )
        for each in found
    ]
    paths = [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    steps = [(2, (i + 2) // 2, (i + 1) // 2) for i in range(8)]
    assert state == paths + steps
    assert [each.complete for each in found] == [False] * 10 + [True]
    assert found[-1] is last
    assert "not complete" in repr(found[-2])
    assert "not complete" not in repr(last)
    for each in found:
        json.dumps(each.to_dict(), allow_nan=False)
        repr(each)


@pytest.mark.parametrize("data", [1, 2])
def test_the_path_alone(quadratic, ends, data):
    sets = {str(index): quadratic(index)[0] for index in range(data)}
    seen = []
    found = compare(*ends, sets, measures=(), on_result=seen.append)
    assert found.complete
    assert found is seen[-1]
    assert [each.complete for each in seen] == [False] * data + [True]


def test_what_is_finished_survives_an_error_in_the_callback(quadratic, ends):
    problem, _ = quadratic()

    def product(w, v):
        raise KeyboardInterrupt

    found = []
    with pytest.warns(sharpkit.SharpkitWarning, match="what was finished is returned"):
        last = compare(
            *ends, dataclasses.replace(problem, hvp=product), on_result=found.append
        )
    assert last is found[-1]
    assert last.b.sharpness is not None
    assert last.a.undefined == {
        "eigenvalues": "interrupted: what was under way is lost"
    }
    assert not last.complete


def test_the_record_is_complete_and_strict_json(quadratic, ends):
    problem, loss = quadratic(accuracy=lambda w: 0.5, samples=10)

    def wall(w):  # not finite beyond B
        value, gradient = loss(w)
        return (value if w[0] < ends[1][0] + 1e-6 else math.inf), gradient

    ends[0][0] = ends[1][0] - 1
    given = dataclasses.replace(problem, loss_fn=wall)
    found = compare(*ends, given, names=("small", "large"), k=2, repeats=1)
    record = found.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert set(record) == {
        "names", "complete", "settings", "rows", "distance", "fits", "paths", "a", "b"
    }  # fmt: skip
    path = record["paths"]["data"]
    assert path["loss"][-1] is None
    assert path["loss"][0] == loss(2 * ends[0] - ends[1])[0]
    assert path["accuracy"] == [0.5] * 25
    assert record["names"] == ["small", "large"]
    assert record["settings"]["measures"] == list(MEASURES)
    assert record["b"]["trace"]["value"] == found.b.trace.value
    assert record["fits"]["data"]["a"]["samples"] == 10
    accuracy, eigenvalue = record["rows"][1], record["rows"][4]
    assert accuracy["a"]["value"] == 50
    assert accuracy["unit"] == "%"
    assert accuracy["difference_in_errors"] == 0
    assert eigenvalue["name"] == "eigenvalue 2"
    assert set(eigenvalue) == {
        "name", "unit", "a", "b",
        "difference", "difference_error", "difference_in_errors",
    }  # fmt: skip


def test_the_table(quadratic, ends):
    problem, _ = quadratic(accuracy=lambda w: float(w[0] > 0))
    found = compare(*ends, problem, names=("small", "large"), **FEW)
    lines = repr(found).splitlines()
    assert lines[0].split() == [
        "small",
        "large",
        "large",
        "-",
        "small",
        "in",
        "errors",
        "of",
        "measurement",
    ]
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "loss", "accuracy, %", "trace", "norm"
    ]  # fmt: skip
    assert lines[2].endswith("unknown")
    assert lines[4].endswith("exact")
    assert lines[5].startswith("  distance of small and large ")
    assert lines[6] == "  how each ended: trace exact"
    assert lines[7].startswith("  one pair decides nothing about how they were trained")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.distance = 1


def test_progress_hears_of_the_path(quadratic, ends):
    heard = []
    compare(
        *ends, quadratic()[0], measures=(), progress=lambda *given: heard.append(given)
    )
    assert [done for done, budget, _ in heard if budget == 25] == list(range(1, 26))


def test_a_difference_that_the_searches_may_have_missed_is_said_to_be_one():
    note = (
        "the sharpness differs by no more than the searches may have missed: search "
        "more often (repeats=2)"
    )
    loss = Separable(np.linspace(0.5, 2, 60), np.zeros(60))
    ends = {"near": 1.02 * np.ones(60), "far": 4 * np.ones(60)}
    options = {"measures": ("sharpness",), "alphas": [0.0], "repeats": 1}
    problem = Problem(np.ones(60), loss)
    for name, end in ends.items():
        found = compare(np.ones(60), end, problem, **options)
        a, b = found.a.sharpness, found.b.sharpness
        reach = math.hypot(a.missing.above(a.value), b.missing.above(b.value))
        assert (note in found.notes()) is (name == "near")
        row = rows(found)["sharpness"]
        assert row.error == pytest.approx(reach / 2)
        assert (abs(row.errors) > 2) is (name == "far")
    same = compare(np.ones(60), np.ones(60), problem, **options)
    assert note not in same.notes()


def test_a_report_is_judged_by_all_its_searches():
    problem = Problem(np.ones(60), Separable(np.linspace(0.5, 2, 60), np.zeros(60)))
    report = measure(problem, measures=("sharpness",), repeats=3)
    assert report.sharpness.missing.evidence.startswith("3 searches, the highest of ")
    assert report.sharpness.repeats == report.sharpness_values


def test_several_checkpoints_of_each_side(quadratic):
    problem, loss = quadratic()
    random = np.random.default_rng(4)
    a, b = ([s * random.standard_normal(40) for _ in range(3)] for s in (1.0, 2.0))
    found = compare(a, b[:2], problem, **FEW, max_evaluations=None)
    of_a, of_b = ([loss(w)[0] for w in side] for side in (a, b[:2]))
    row = rows(found)["loss"]
    assert row.a.value == pytest.approx(np.mean(of_a))
    assert row.a.error == pytest.approx(np.std(of_a, ddof=1) / 3**0.5)
    assert row.b.error == pytest.approx(np.std(of_b, ddof=1) / 2**0.5)
    assert row.errors == pytest.approx(row.difference / row.error)
    assert found.header[-1] == "in standard errors"
    assert "means of 3 and 2 checkpoints" in repr(found)
    assert "one pair" not in repr(found)
    assert found.complete
    record = found.to_dict()
    json.dumps(record, allow_nan=False)
    assert [each["loss"] for each in record["more_a"]] == pytest.approx(of_a[1:])
    assert len(record["more_b"]) == 1
    lone = compare(a, b[0], problem, **FEW)
    assert rows(lone)["loss"].errors is None
    assert rows(lone)["loss"].cells()[-1] == "unknown"
    assert lone.a.loss == of_a[0]


def test_a_side_without_checkpoints(quadratic, ends):
    with pytest.raises(ValueError, match=r"b=\[\] is empty; give one checkpoint"):
        compare(ends, [], quadratic()[0])


def test_a_time_budget_of_a_comparison_is_kept(quadratic, ends, monkeypatch):
    problem, loss = quadratic()
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def slow(w):
        now[0] += 1
        return loss(w)

    def product(w, v):
        now[0] += 3
        return problem.hvp(w, v)

    given = dataclasses.replace(problem, loss_fn=slow, hvp=product)
    options = {"progress": False, "alphas": np.linspace(0, 1, 20)}
    found = compare(*ends, given, time_budget=300, **options)
    assert now[0] <= 304
    assert found.complete
    assert found.a.sharpness is not None
    assert found.b.sharpness is not None
    now[0] = 0.0
    short = compare(*ends, given, time_budget=15, **options)
    assert now[0] <= 20
    assert not short.paths
    assert "the time budget ended before the line was taken" in repr(short)


def test_one_checkpoint_costs_no_more_than_300_evaluations(quadratic, ends):
    problem, loss = quadratic()
    spent = [0]

    def counted(w):
        spent[0] += 1
        return loss(w)

    def product(w, v):
        spent[0] += 3
        return problem.hvp(w, v)

    compare(*ends, dataclasses.replace(problem, loss_fn=counted, hvp=product))
    assert spent[0] <= 600

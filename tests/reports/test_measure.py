import dataclasses
import json
import math

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from problems import TwoBasins, never, per_cent

import sharpkit
from sharpkit.problem import Problem
from sharpkit.reports.measure import MEASURES, measure
from sharpkit.reports.rows import KNOWN


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_measure_is_the_closed_form(quadratic, kind):
    problem, loss = quadratic(dtype=kind)
    report = measure(problem, k=2, epsilon=2e-3, max_evaluations=None)
    top = per_cent(report.loss, loss.maximum(problem.weights, 2e-3))
    assert report.loss == loss(problem.weights)[0]
    assert report.sharpness.value == pytest.approx(top, rel=1e-4)
    np.testing.assert_allclose(report.eigenvalues.values, [30, 5], rtol=2e-3)
    assert report.trace.value == pytest.approx(loss.h.sum(), rel=1e-3)
    low, high = report.spectral_density.nodes.min(), report.spectral_density.nodes.max()
    assert [low, high] == pytest.approx([loss.h.min(), 30], rel=1e-2)
    assert report.norm == pytest.approx(np.linalg.norm(problem.weights), rel=1e-6)
    assert (report.n, report.accuracy, report.fit.samples) == (40, None, None)


def test_each_result_is_that_of_the_measure_itself(quadratic):
    problem, _ = quadratic()
    report = measure(problem, seed=5, repeats=2, k=2, max_evaluations=None)
    w = problem.weights
    alone = sharpkit.sharpness(w, problem, seed=5, repeats=2)
    assert report.sharpness_values == alone.repeats
    assert report.sharpness.value == alone.value
    pairs = sharpkit.eigenvalues(w, problem, k=2, seed=5)
    np.testing.assert_array_equal(report.eigenvalues.values, pairs.values)
    assert report.trace.value == sharpkit.trace(w, problem, seed=5).value
    density = sharpkit.spectral_density(w, problem, seed=5)
    np.testing.assert_array_equal(report.spectral_density.nodes, density.nodes)


def test_the_largest_of_the_repeats_and_their_spread():
    waves = 400 * np.random.default_rng(3).standard_normal((30, 60))

    def loss(w):  # of very many basins
        return float(np.sin(waves @ w).sum()) + 40, waves.T @ np.cos(waves @ w)

    problem = Problem(np.full(60, 0.01), loss)
    report = measure(problem, measures=("sharpness",), repeats=3, epsilon=0.05)
    values = report.sharpness_values
    assert len(set(values)) > 1, "the searches all agree: nothing is tested"
    assert report.sharpness.value == max(values)
    spread, missing = np.std(values, ddof=1), report.sharpness.missing
    lost = max(values) * missing.at_most / (1 - missing.at_most) / 2
    lost = math.hypot(lost, report.sharpness.noise)
    assert report.sharpness_error == pytest.approx(max(spread, lost))
    apart = dataclasses.replace(report.sharpness, repeats=(0.0, 10 * lost))
    (row,) = KNOWN["sharpness"].rows(apart)
    assert row.error == pytest.approx(10 * lost / 2**0.5)
    assert f"{min(values):.4g} to {max(values):.4g} %" in repr(report)


def test_the_noise_where_the_repeats_agree():
    problem = Problem(np.zeros(4), TwoBasins(4, 1e-3))
    for repeats in (1, 3):
        report = measure(problem, measures=("sharpness",), repeats=repeats)
        assert report.sharpness_error == report.sharpness.noise > 0
    assert math.isnan(measure(problem, measures=()).sharpness_error)


@pytest.mark.parametrize("name", MEASURES)
def test_one_measure_alone(quadratic, name):
    report = measure(quadratic()[0], measures=[name])
    found = [each for each in MEASURES if getattr(report, each) is not None]
    assert found == [name]
    assert report.loss > 0.5
    record = report.to_dict()
    assert [each for each in MEASURES if record[each] is not None] == [name]


def test_accuracy_and_its_binomial_error(quadratic):
    problem, _ = quadratic(accuracy=lambda w: 0.9, samples=400)
    report = measure(problem, measures=())
    assert report.accuracy == 0.9
    _, row = report.fit.quantities()
    assert (row.label, row.value) == ("accuracy, %", 90)
    assert row.error == pytest.approx(1.5)
    assert "  accuracy, %  90.0 ± 1.5\n" in repr(report)
    unknown = measure(quadratic(accuracy=lambda w: 0.9)[0], measures=())
    assert unknown.fit.quantities()[1].error is None
    none = measure(quadratic(accuracy=lambda w: None, samples=400)[0], measures=())
    assert none.accuracy is None
    assert len(none.fit.quantities()) == 1


def test_the_noise_of_a_loss_that_is_not_deterministic():
    calls = []

    def loss(w):
        calls.append(0)
        return 1.0 + 1e-3 * (len(calls) % 2), w

    with pytest.warns(sharpkit.SharpkitWarning, match="not deterministic"):
        report = measure(Problem(np.zeros(3), loss), measures=())
    assert report.fit.noise == pytest.approx(1e-3)


def test_the_record_is_complete_and_strict_json(quadratic):
    problem, _ = quadratic(accuracy=lambda w: 1.0, samples=10)
    report = measure(problem, k=2, max_evaluations=None)
    record = report.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["loss"] == report.loss
    assert record["accuracy"] == 1
    assert record["sharpness"]["value"] == report.sharpness.value
    assert record["sharpness_error"] == report.sharpness_error
    assert record["eigenvalues"]["values"] == report.eigenvalues.values.tolist()
    assert record["trace"]["stderr"] == report.trace.stderr
    assert record["spectral_density"]["nodes"] == report.spectral_density.nodes.tolist()
    nothing = measure(problem, measures=()).to_dict()
    assert nothing["sharpness_error"] is None
    json.dumps(nothing, allow_nan=False)


def test_the_table(quadratic):
    report = measure(quadratic()[0], k=2, max_evaluations=None)
    lines = repr(report).splitlines()
    assert lines[0] == "report of n = 40 weights"
    labels = [line[2:].split("  ")[0] for line in lines[1:9]]
    assert labels == [
        "loss",
        "sharpness, %",
        "largest eigenvalue",
        "eigenvalue 2",
        "trace",
        "negative share, %",
        "mean |eigenvalue|",
        "norm",
    ]
    assert lines[2].endswith("converged")
    assert f"{report.trace.value:.6g} ± " in lines[5]
    assert "  40 products, " in lines[5]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.n = 1


def test_a_panel_for_each_measure(quadratic):
    report = measure(quadratic()[0])
    figure = report.plot()
    assert len(figure.axes) == 4
    assert figure.axes[2].get_ylabel() == "trace ± standard error"
    figure.canvas.draw()
    assert len(measure(quadratic()[0], measures=("trace",)).plot().axes) == 1
    with pytest.raises(ValueError, match="no measures to draw"):
        measure(quadratic()[0], measures=()).plot()
    plt.close("all")


def test_progress_hears_of_all(quadratic):
    heard = []
    told = {"progress": lambda *now: heard.append(now), "max_evaluations": None}
    measure(quadratic()[0], **told)
    assert {budget for _, budget, _ in heard} >= {296, 1000, 40, 400}


def test_the_backend_is_passed_on(quadratic):
    report = measure(quadratic()[0], backend="reference")
    used = {report.sharpness.backend, report.trace.run.backend}
    used |= {report.eigenvalues.run.backend, report.spectral_density.run.backend}
    assert used == {"reference"}


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"measures": ("sharpnes",)},
            ValueError,
            "measures='sharpnes'; give one of 'g",
        ),
        ({"measures": "trace"}, TypeError, r"is text; give a tuple: \('trace',\)"),
        ({"epsilon": 0}, ValueError, "epsilon=0; give"),
        ({"repeats": 0}, ValueError, "repeats=0; give"),
        ({"k": 0}, ValueError, "k=0; give"),
        ({"k": 4}, ValueError, "k=4; there are 3 eigenvalues"),
        ({"seed": -1}, ValueError, "seed=-1; give"),
        ({"seed": 2**64 - 2, "repeats": 3}, ValueError, r"at most 18446744073709551"),
        ({"backend": "tpu"}, ValueError, "backend='tpu'"),
    ],
)
def test_bad_options_before_anything_is_called(options, error, match):
    with pytest.raises(error, match=match):
        measure(Problem(np.ones(3), never), **options)


@pytest.mark.parametrize("given", [np.ones(3), lambda w: 0.0, None])
def test_no_problem(given):
    with pytest.raises(TypeError, match=r"problem is of type .*sharpkit\.Problem\("):
        measure(given)


def test_a_loss_alone_has_a_sharpness_only():
    seen = []

    def loss(w):
        seen.append(0)
        return float(w @ w)

    report = measure(Problem(np.zeros(3), loss), measures=("sharpness", "trace"))
    assert report.sharpness.value > 0
    assert report.trace is None
    assert report.undefined == {
        "trace": "undefined: the problem returns no gradient: return (loss, gradient), "
        "or give hvp="
    }


def test_an_accuracy_in_per_cent_is_refused(quadratic):
    with pytest.raises(ValueError, match=r"accuracy returned 89\.5; .*from 0 to 1"):
        measure(quadratic(accuracy=lambda w: 89.5)[0])

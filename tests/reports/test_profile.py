import dataclasses
import io
import json
import math
import time

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import sharpkit
from sharpkit._inputs import progress as progress_module
from sharpkit.measures._point import Point
from sharpkit.problem import Problem
from sharpkit.reports.asked import NAMES, USUAL
from sharpkit.reports.profile import profile
from sharpkit.reports.rows import KNOWN
from sharpkit.reports.steps import INTERRUPTED
from sharpkit.results.common import WIDTH
from sharpkit.results.report import Report

# Those that every problem with a gradient has.
SHARED = (
    *("gradient_norm", "sharpness", "subspace_sharpness", "eigenvalues", "trace"),
    *("spectral_density", "frobenius_norm", "effective_dimension", "renyi_sharpness"),
)
SIGNED = ("spectral_density", "renyi_sharpness")


def test_everything_is_right_within_its_error(logistic):
    problem, h, _ = logistic()
    report = profile(problem, measures=SHARED, k=2)
    values = np.linalg.eigvalsh(h)
    truth = {
        "gradient_norm": np.linalg.norm(problem(problem.weights)[1]),
        "eigenvalues": values[-1],
        "trace": values.sum(),
        "frobenius_norm": np.linalg.norm(h),
        "effective_dimension": (values / (values + 1)).sum(),
        "renyi_sharpness": np.log((values**2).sum() / np.abs(values).sum() ** 2),
    }
    for name, exact in truth.items():
        found = report.quantity(name)
        error = max(4 * found.error, 1e-12 * abs(exact))
        assert abs(found.value - exact) <= error, name
    alone = sharpkit.sharpness(problem, repeats=3)
    assert report.sharpness.value == alone.value
    inside = sharpkit.sharpness(problem, subspace=100)
    assert report.quantity("subspace_sharpness").value == inside.value
    assert report.complete
    assert not report.undefined
    assert tuple(each.name for each in report.taken) == SHARED


def test_what_is_shared_is_done_once(logistic):
    problem, _, calls = logistic()
    report = profile(problem, measures=SHARED[1:])
    in_profile = dict(calls)
    parts = [
        sharpkit.sharpness(problem, repeats=3),
        sharpkit.sharpness(problem, subspace=100),
        sharpkit.eigenvalues(problem),
        sharpkit.trace(problem),
        sharpkit.spectral_density(problem),
    ]
    alone = {name: calls[name] - count for name, count in in_profile.items()}
    assert in_profile["product"] < alone["product"]
    assert in_profile["loss"] + in_profile["product"] == report.calls
    assert in_profile["loss"] <= alone["loss"] - 10
    assert report.trace.method == "deflated"
    assert report.trace.products == 30 < parts[3].products


def test_the_centre_is_kept_as_it_was():
    problem = Problem(np.ones(3), lambda w: (float(w @ w), 2 * w))
    point = Point.of(problem)
    point.share()
    first = point.centre(point.objective())
    first[1][:] = 7
    objective = point.objective()
    point.centre(objective)[1][:] = 5
    assert point.centre(objective)[1].tolist() == [7, 7, 7]
    assert objective.calls == 0
    assert objective.has_gradient


@pytest.mark.parametrize("most", [60, 150, 300, 600])
@pytest.mark.parametrize("product", [True, False])
def test_a_limit_of_evaluations_is_kept_and_gives_the_same_bits(
    logistic, most, product
):
    problem, _, calls = logistic(product=product)
    report = profile(problem, max_evaluations=most)
    weight = 3 if product else 1
    assert calls["loss"] + weight * calls["product"] <= most
    assert report.finished
    again = profile(problem, max_evaluations=most)
    assert [str(row) for row in again.measured()] == [
        str(row) for row in report.measured()
    ]
    if most == 60:
        assert "max_evaluations=60 leave no room: it takes at least" in repr(report)


def test_measure_costs_no_more_than_300_evaluations(logistic):
    problem, _, calls = logistic()
    report = sharpkit.measure(problem)
    assert calls["loss"] + 3 * calls["product"] <= 300
    assert not report.undefined
    assert len(report.sharpness_values) > 1


def test_check_forecasts_a_profile(logistic, monkeypatch):
    clock = Clock(monkeypatch)
    slow = clock.slow(logistic()[0])
    costs = sharpkit.check(slow, progress=False).costs
    for name, take in (("measure", sharpkit.measure), ("profile", profile)):
        began = clock.now
        take(slow, progress=False)
        assert costs[name] / 2 < clock.now - began < costs[name] * 1.1, name


class Clock:
    """A clock that moves by a second with every call of the loss or the product."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def slow(self, problem):
        def loss(w):
            self.now += 1
            return problem.loss_fn(w)

        def hvp(w, v):
            self.now += 3
            return problem.hvp(w, v)

        return dataclasses.replace(problem, loss_fn=loss, hvp=hvp)


@pytest.mark.parametrize("budget", [30.0, 200, 1000, 3000.0])
def test_a_time_budget_is_kept(logistic, monkeypatch, budget):
    clock = Clock(monkeypatch)
    problem = clock.slow(logistic()[0])
    report = profile(problem, measures=SHARED, time_budget=budget, progress=False)
    assert clock.now <= budget + 4  # one call is under way at the end
    assert report.complete
    assert report.quantity("gradient_norm").value > 0
    if budget == 3000:
        assert not report.undefined
    if budget == 30:
        reason = report.undefined["spectral_density"]
        assert reason.startswith("not taken: the time budget of 30 s")


def test_a_measure_that_is_too_slow_is_given_up(logistic, monkeypatch):
    clock = Clock(monkeypatch)
    quick = clock.slow(logistic()[0])

    def hvp(w, v):
        clock.now += 1 if clock.now < 250 else 500
        return quick.hvp(w, v)

    problem = dataclasses.replace(quick, hvp=hvp)
    report = profile(problem, time_budget=500, progress=False)
    ended = "not taken: the time budget of 500 s ended meanwhile"
    assert ended in report.undefined.values()
    assert clock.now < 1100


def test_one_that_turns_slow_leaves_time_for_the_others(logistic, monkeypatch):
    clock = Clock(monkeypatch)
    quick = clock.slow(logistic()[0])

    calls = []

    def loss(w):
        calls.append(0)
        clock.now += 20 * (len(calls) > 10)
        return quick.loss_fn(w)

    problem = dataclasses.replace(quick, loss_fn=loss)
    names = ("sharpness", "trace")
    report = profile(problem, measures=names, time_budget=1000, progress=False)
    assert report.undefined == {
        "sharpness": "not taken: it took longer than its share of the time budget of "
        "1000 s"
    }
    assert report.trace.stderr > 0
    assert clock.now <= 1000


def test_a_short_time_is_not_kept_for_products_that_do_not_fit(logistic, monkeypatch):
    clock = Clock(monkeypatch)
    problem = clock.slow(logistic()[0])  # whose product takes 12 s to be tried
    names = ("gradient_norm", "trace")
    report = profile(problem, measures=names, time_budget=10, progress=False)
    assert report.quantity("gradient_norm").value > 0
    assert report.undefined["trace"].startswith("not taken: the time budget of 10 s")
    short = profile(problem, measures=names, time_budget=1e-9, progress=False)
    assert set(short.undefined) == set(names)
    assert short.complete


def test_a_loss_that_is_no_number_is_refused_at_once():
    problem = Problem(np.ones(5), lambda w: (math.nan, w))
    for take in (profile, sharpkit.measure):
        with pytest.raises(ValueError, match="returned nan at the given weights"):
            take(problem)


def test_a_measure_that_fails_leaves_the_others(logistic):
    problem, _, _ = logistic()

    def hvp(w, v):
        raise RuntimeError("out of memory:\n tried 8 GB")

    given = dataclasses.replace(problem, hvp=hvp)
    with pytest.warns(sharpkit.SharpkitWarning, match="trace failed: RuntimeError"):
        report = sharpkit.measure(given, measures=("trace", "gradient_norm"))
    reason = "failed: RuntimeError: out of memory: tried 8 GB"
    assert report.undefined == {"trace": reason}
    assert report.complete
    assert report.quantity("gradient_norm").value > 0
    assert f"  trace: {reason}" in repr(report).splitlines()


def test_warnings_that_are_errors_come_through():
    def loss(w):  # with a gradient of another loss
        return 0.5 * float(w @ w), 3 * w

    with pytest.raises(sharpkit.SharpkitWarning, match="the gradient is not that of"):
        profile(Problem(np.ones(500), loss), measures=("sharpness",))


def test_what_does_not_apply_says_why():
    report = profile(Problem(np.zeros(3), lambda w: float(w @ w) - 2))
    reasons = report.undefined
    measured = {"average_sharpness", "adaptive_average_sharpness", "flatness_radius"}
    searched = {name for name in USUAL if "ball" in name or "one_step" in name}
    assert set(reasons) == set(USUAL) - measured - searched
    assert reasons["sharpness"] == (
        "undefined: it divides by 1 + loss, and the loss is -2"
    )
    assert "return (loss, gradient), or give hvp=" in reasons["trace"]
    assert reasons["effective_dimension"] == (
        "not taken: it is read off the spectral density"
    )
    table = repr(report)
    assert all(reason in " ".join(table.split()) for reason in reasons.values())
    assert max(map(len, table.splitlines())) <= WIDTH
    json.dumps(report.to_dict(), allow_nan=False)


def test_what_a_measure_is_made_of_is_taken_too(logistic):
    report = profile(logistic()[0], measures=["effective_dimension"])
    assert [each.name for each in report.taken] == [
        "spectral_density",
        "effective_dimension",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_taken_alone(logistic, name):
    problem = logistic()[0]
    report = profile(problem, measures=(name,), start=0 * problem.weights)
    assert report.quantity(name).value > 0 or name in SIGNED
    if name == "trace":
        assert report.trace.method == "xtrace"


def test_an_interrupt_keeps_what_is_finished(logistic):
    problem, _, _ = logistic()

    def hvp(w, v):
        raise KeyboardInterrupt

    kept = []
    given = dataclasses.replace(problem, hvp=hvp)
    with pytest.warns(sharpkit.SharpkitWarning, match="interrupted: what was finished"):
        report = profile(given, on_result=kept.append)
    assert report is kept[-1]
    assert report.sharpness is not None
    assert report.undefined == {"eigenvalues": INTERRUPTED}
    assert not report.complete
    assert "not complete: it was stopped" in repr(report)
    with pytest.raises(KeyboardInterrupt):  # there is nothing to keep
        profile(given, measures=("trace",))


def test_a_report_is_saved_and_read_back(logistic, tmp_path):
    problem, _, _ = logistic(accuracy=lambda w: 0.9)
    report = profile(problem, max_evaluations=400, time_budget=1e6)
    file = tmp_path / "report.json"
    report.save(file)
    again = Report.load(file)
    assert again.to_dict() == report.to_dict()
    assert repr(again) == repr(report)
    assert again.record("trace")["value"] == report.trace.value
    assert (again.trace, again.results) == (None, {})
    assert again.quantity("trace") == report.quantity("trace")
    assert len(again.plot().axes) == 1
    plt.close("all")
    for text in ("{}", "[]", "no JSON"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"path='.*' holds no report; give a file"):
            Report.load(file)


def test_a_profile_is_drawn(logistic):
    report = profile(logistic()[0])
    figure = report.plot()
    assert len(figure.axes) == 5
    names = [tick.get_text() for tick in figure.axes[-1].get_yticklabels()]
    assert "effective dimension at 1" in names
    figure.canvas.draw()
    plt.close("all")


def test_it_says_before_it_begins_what_it_will_take(logistic, monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr(progress_module.sys, "stderr", told)
    monkeypatch.setattr(progress_module, "LOG_SECONDS", math.inf)
    clock = Clock(monkeypatch)
    slow = clock.slow(logistic()[0])
    sharpkit.measure(slow)
    assert told.getvalue() == (
        "sharpkit: sharpness, eigenvalues, trace and 1 more take at most about 5 min, "
        "of 1 s an evaluation\n"
    )
    profile(slow, measures=("trace",), time_budget=60)
    assert told.getvalue().splitlines()[-1] == (
        "sharpkit: trace takes at most about 60 s, which is the time budget"
    )
    compiled = []

    def loss(w):
        clock.now += 0 if compiled else 1000
        compiled.append(0)
        return slow.loss_fn(w)

    late = dataclasses.replace(slow, loss_fn=loss)
    sharpkit.measure(late, measures=("trace",))  # and its product, as late
    assert told.getvalue().splitlines()[-1] == (
        "sharpkit: trace takes at most about 20 min, of 1 s an evaluation"
    )
    before = told.getvalue()
    profile(slow, measures=("trace",), time_budget=60, progress=False)
    assert told.getvalue() == before


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"time_budget": 0}, ValueError, "time_budget=0; give seconds above 0"),
        ({"time_budget": -5.0}, ValueError, "time_budget=-5.0; give seconds above 0"),
        ({"time_budget": math.nan}, ValueError, "time_budget=nan; give seconds"),
        ({"time_budget": math.inf}, ValueError, "time_budget=inf; give seconds"),
        ({"time_budget": "1"}, TypeError, "time_budget='1' is not a number; give"),
        ({"max_evaluations": 0}, ValueError, "max_evaluations=0; give"),
        ({"on_result": 5}, TypeError, "on_result=5 is of type int; give a function"),
        ({"progress": 5}, TypeError, "progress=5 is of type int; give"),
        ({"measures": ("trace", "x")}, ValueError, "measures='x'; give one of"),
    ],
)
def test_bad_options(logistic, options, error, match):
    problem, _, calls = logistic()
    with pytest.raises(error, match=match):
        profile(problem, **options)
    assert not calls["loss"]


def test_every_entry_has_rows_of_its_own(logistic):
    report = profile(logistic()[0])
    names = [row.name for row in report.measured()]
    assert len(set(names)) == len(names)
    missing = "distance", "worst_flatness_radius"
    assert {name for name in KNOWN if name not in missing} == set(report.results)

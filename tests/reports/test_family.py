"""Balls, noise, radii, updates, samples and layers in a profile."""

import dataclasses
import json

import numpy as np
import pytest

import sharpkit
from sharpkit.problem import Problem
from sharpkit.reports.asked import NAMES, USUAL
from sharpkit.reports.profile import profile
from sharpkit.reports.rows import KNOWN

FAMILY = NAMES[NAMES.index("ball_sharpness") :]
RISES = {
    "ball_sharpness": {},
    "adaptive_ball_sharpness": {"radius": 0.5, "adaptive": True},
    "one_step_sharpness": {"method": "one_step"},
    "adaptive_one_step_sharpness": {
        "radius": 0.5, "adaptive": True, "method": "one_step",
    },
}  # fmt: skip


def test_all_are_what_the_functions_return(logistic):
    problem, _, _ = logistic(accuracy=lambda w: 0.9 - 0.01 * float(w @ w))
    start = np.ones_like(problem.weights)
    report = profile(problem, measures=FAMILY, start=start)
    assert not report.undefined
    alone = {
        name: sharpkit.ball_sharpness(problem, **options)
        for name, options in RISES.items()
    } | {
        "average_sharpness": sharpkit.average_sharpness(problem, samples=40),
        "adaptive_average_sharpness": sharpkit.average_sharpness(
            problem, samples=40, adaptive=True
        ),
        "flatness_radius": sharpkit.flatness_radius(problem, max_evaluations=100),
        "worst_flatness_radius": sharpkit.flatness_radius(problem, kind="worst"),
        "directional_sharpness": sharpkit.directional_sharpness(problem),
        "distance": sharpkit.distance(problem, start=start),
        "batch_sharpness": sharpkit.batch_sharpness(
            problem, batch_size=32, max_batches=100, rtol=0.02
        ),
        "gradient_noise": sharpkit.gradient_noise(problem),
        "fisher_rao": sharpkit.fisher_rao(problem, max_samples=100),
        "normalized_flatness": sharpkit.normalized_flatness(problem, max_products=30),
    }
    for name, result in alone.items():
        row = report.quantity(name)
        assert (row.value, row.error or 0) == (
            float(result),
            np.nan_to_num(result.error),
        ), name
    layers = sharpkit.relative_flatness(problem, max_products=12)
    row = report.quantity("relative_flatness")
    assert (row.value, row.error) == (float(layers["layer"]), layers["layer"].error)
    assert any("init" in name for name in report.results["flatness_radius"].bounds)
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_critical_step_begins_where_the_second_order_says(logistic):
    problem, _, _ = logistic()
    both = profile(problem, measures=("directional_sharpness", "critical_sharpness"))
    found = both.results["critical_sharpness"]
    alone = sharpkit.critical_sharpness(problem)
    low, high = found.bracket
    assert low <= alone.bracket[1]
    assert high >= alone.bracket[0]
    assert found.evaluations <= alone.evaluations


def test_what_is_done_at_the_weights_is_done_once(logistic):
    problem, _, calls = logistic()
    report = profile(problem, measures=("gradient_norm", *RISES))
    shared = dict(calls)
    sharpkit.gradient_norm(problem)
    for options in RISES.values():
        sharpkit.ball_sharpness(problem, **options)
    # of each ball two calls at the weights and two looks; of the length two calls
    assert calls["loss"] - 2 * shared["loss"] >= (len(RISES) - 1) * 4 + 2
    assert report.calls == shared["loss"]


@pytest.mark.parametrize("product", [True, False])
@pytest.mark.parametrize("most", [200, 500])
def test_a_limit_is_kept(logistic, most, product):
    problem, _, calls = logistic(product=product)
    report = profile(problem, measures=FAMILY, max_evaluations=most)
    assert calls["loss"] + (3 if product else 1) * calls["product"] <= most
    assert report.finished


def test_a_start_is_looked_at_before_anything_is_called(logistic):
    problem, _, calls = logistic()
    with pytest.raises(ValueError, match=r"start has shape \(3,\); give one entry"):
        profile(problem, start=np.ones(3))
    assert not calls["loss"]
    found = profile(problem, measures=("distance",))
    assert found.undefined["distance"].startswith("undefined: no start is given")


def test_alpha_is_taken_only_if_it_is_asked_for():
    assert set(NAMES) - set(USUAL) == {"worst_flatness_radius"}
    assert KNOWN["worst_flatness_radius"].asked


def test_what_lacks_says_why():
    problem = Problem(np.zeros(3), lambda w: (float(w @ w), 2 * w))
    reasons = profile(problem, measures=FAMILY).undefined
    assert set(reasons) == {
        *("directional_sharpness", "critical_sharpness", "distance"),
        *("batch_sharpness", "gradient_noise", "fisher_rao"),
        *("relative_flatness", "normalized_flatness"),
    }
    assert "the gradient is zero" in reasons["critical_sharpness"]
    assert "no samples to choose from" in reasons["fisher_rao"]
    assert "matrices of its layers" in reasons["relative_flatness"]


def test_a_loss_alone_of_many_weights_is_not_climbed():
    problem = Problem(np.ones(1001), lambda w: float(w @ w))
    names = "sharpness", *RISES, "average_sharpness", "worst_flatness_radius"
    reasons = profile(problem, measures=names).undefined
    assert set(reasons) == {*names} - {"average_sharpness"}
    assert "more than 1000 weights" in reasons["ball_sharpness"]


def test_a_radius_that_rounding_hides_says_so():
    w = np.full(9, 1e7, np.float32)
    problem = Problem(w, lambda w: (float(w @ w) / 1e14, w / np.float32(5e13)))
    reasons = profile(problem, measures=("ball_sharpness",)).undefined
    assert "radius=0.05 is lost in the rounding" in reasons["ball_sharpness"]


def test_an_error_that_cannot_rise_says_so(logistic):
    problem, _, _ = logistic(accuracy=lambda w: 0.05)
    reasons = profile(problem, measures=("flatness_radius",)).undefined
    assert reasons["flatness_radius"] == (
        "undefined: the error is 0.95, and cannot rise by 0.1"
    )


def test_samples_that_fail_leave_the_rest(logistic):
    problem, _, _ = logistic()

    def over(chosen):
        return lambda w: (0.5, 0 * w)

    flat = dataclasses.replace(problem, subset=over)
    report = profile(flat, measures=("batch_sharpness", "fisher_rao"))
    reason = report.undefined["batch_sharpness"]
    assert reason.startswith("undefined: the gradients of all 100 batches are zero")
    assert report.quantity("fisher_rao").value == 0

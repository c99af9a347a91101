"""The Fisher-Rao norm against the gradients of single samples, one by one."""

import math

import numpy as np
import pytest
from softmax_regression import Softmax

import sharpkit
from sharpkit import fisher_rao

MODEL = Softmax(samples=60)
ALONG = MODEL.gradients() @ MODEL.weights
TRUTH = float((ALONG**2).mean())


def test_all_samples_are_exact():
    found = fisher_rao(MODEL.problem())
    assert found.value == pytest.approx(TRUTH, rel=1e-12)
    assert found.norm == pytest.approx(math.sqrt(TRUTH), rel=1e-12)
    assert (found.stderr, found.status.name) == (0, "EXACT")
    assert found.interval == (found.value, found.value)
    assert (found.method, found.taken, found.calls) == ("gradients", 60, 63)


def test_the_derivatives_that_a_problem_has():
    class Whole:
        weights, samples = MODEL.weights, 60

        def __call__(self, w):
            return MODEL.over(slice(None))(w)

        def subset(self, indices):
            return MODEL.over(indices)

        def directional(self, w, v):
            return MODEL.gradients() @ v

    found = fisher_rao(Whole())
    assert found.value == pytest.approx(TRUTH, rel=1e-12)
    assert (found.method, found.calls) == ("forward", 4)


def test_some_samples_and_their_interval():
    found = [fisher_rao(MODEL.problem(), max_samples=40, seed=s) for s in range(60)]
    values = np.array([each.value for each in found])
    assert abs(values.mean() - TRUTH) <= 4 * values.std() / 60**0.5
    spread = (ALONG**2).std(ddof=1) * math.sqrt((1 - 40 / 60) / 40)
    assert np.mean([each.stderr for each in found]) == pytest.approx(spread, rel=0.1)
    assert {each.status.name for each in found} == {"COMPLETE"}


@pytest.mark.slow
def test_coverage():
    model = Softmax(samples=300, steps=5)  # of no long tail: see `fisher_rao`
    squares = (model.gradients() @ model.weights) ** 2
    held = [
        low <= squares.mean() <= high
        for low, high in (
            fisher_rao(model.problem(), max_samples=50, seed=seed).interval
            for seed in range(500)
        )
    ]
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("count", [0, 1, 61])
def test_bad_options(count):
    with pytest.raises(ValueError, match=f"max_samples={count}"):
        fisher_rao(MODEL.problem(), max_samples=count)


def test_a_problem_without_samples():
    plain = sharpkit.Problem(MODEL.weights, MODEL.over(slice(None)))
    with pytest.raises(ValueError, match=r"needs single samples, .*; give"):
        fisher_rao(plain)


def test_its_text():
    found = fisher_rao(MODEL.problem(), max_samples=40)
    assert "40 of 60 samples by gradients" in repr(found)
    assert found.to_dict()["method"] == "gradients"

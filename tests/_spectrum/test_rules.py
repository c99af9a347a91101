"""Rules of fewer steps against those of shorter runs, and of the opposite error."""

import numpy as np
import pytest

from sharpkit import spectral_density
from sharpkit._spectrum import rules

VALUES = np.random.default_rng(3).standard_normal(80)


def run(steps, kept=True):
    return spectral_density(
        np.zeros(80),
        hvp=lambda w, v: VALUES * v,
        max_products=2 * steps,
        probes=2,
        reorthogonalize=kept,
    )


def others(found):
    open_ = np.zeros(len(found.nodes), bool)
    return rules.others(found.nodes, found.weights, open_)


@pytest.mark.parametrize("kept", [True, False])
def test_rules_of_fewer_steps_are_those_of_shorter_runs(kept):
    every = others(run(20, kept))
    assert len(every) == 5
    for (nodes, weights), steps in zip(every, (19, 17, 14, 10), strict=False):
        short = run(steps, kept)
        np.testing.assert_allclose(nodes[:, :steps], short.nodes, atol=1e-9)
        np.testing.assert_allclose(weights[:, :steps], short.weights, atol=1e-9)
        assert not weights[:, steps:].any()


def test_the_last_rule_errs_to_the_other_side():
    """Laurie: by as much as the Gauss rule of a step less, up to degree 2 steps - 1."""
    short, exact = run(5), run(40)
    jacobi = rules._jacobi(short.nodes[0], short.weights[0])
    gauss, *_, opposite = rules._rules(*jacobi)
    for degree in range(10):
        truth = exact.weights[0] @ exact.nodes[0] ** degree
        one, other = (a @ t**degree - truth for t, a in (gauss, opposite))
        assert other == pytest.approx(-one, abs=1e-10, rel=1e-8)
        assert (abs(one) < 1e-10) == (degree < 8)


def test_other_rules_stay_where_eigenvalues_were_seen():
    found = run(6)
    for nodes, _ in others(found):
        assert (nodes >= found.nodes.min(axis=1, keepdims=True)).all()
        assert (nodes <= found.nodes.max(axis=1, keepdims=True)).all()


def test_a_whole_measure_is_every_rule():
    nodes, weights = np.array([[0.0, 1.0, 1.0]]), np.array([[0.4, 0.6, 0.0]])
    for rule in rules.others(nodes, weights, np.array([True])):
        np.testing.assert_array_equal(rule, [nodes, weights])


def test_one_step_and_zero_are_rules_too():
    for value in (0.0, 2.0):
        found = rules.others(np.array([[value]]), np.ones((1, 1)), np.zeros(1, bool))
        for nodes, weights in found:
            np.testing.assert_array_equal([nodes, weights], [[[value]], [[1.0]]])

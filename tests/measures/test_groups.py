"""Measures of groups of weights, the others held fixed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from problems import never, rotated

import sharpkit
from sharpkit.results.groups import headline

N = 12
GROUPS = {"first": slice(0, 3), "second": slice(3, 10), "last": slice(10, None)}


@pytest.fixture
def problem():
    return rotated(np.random.default_rng(4), N)


def blocks(problem):
    return {name: problem.H[part, part] for name, part in GROUPS.items()}


def test_the_sharpness_is_that_of_the_box_of_each_group(problem):
    """Against the highest corner of the group's box: the loss is convex."""
    w = np.zeros(N)
    found = sharpkit.sharpness(w, problem, groups=GROUPS, epsilon=1e-3)
    assert list(found) == list(GROUPS)
    centre = problem(w)[0]
    for name, part in GROUPS.items():
        size = len(range(N)[part])
        signs = np.array(np.meshgrid(*[[-1e-3, 1e-3]] * size)).reshape(size, -1).T
        corners = np.zeros((len(signs), N))
        corners[:, part] = signs
        most = max(problem(corner)[0] for corner in corners)
        assert found[name].value == pytest.approx(100 * (most - centre) / (1 + centre))
        assert found[name].displacement.shape == (size,)


@pytest.mark.parametrize("exact", [True, False])
def test_the_spectrum_is_that_of_the_diagonal_blocks(problem, exact):
    options = {"hvp": lambda w, v: problem.H @ v} if exact else {}
    w, dense = np.zeros(N), blocks(problem)
    top = sharpkit.eigenvalues(w, problem, groups=GROUPS, tol=1e-6, **options)
    trace = sharpkit.trace(w, problem, groups=GROUPS, **options)
    for name, block in dense.items():
        assert float(top[name]) == pytest.approx(np.linalg.eigvalsh(block)[-1])
        assert trace[name].value == pytest.approx(np.trace(block))
        assert trace[name].n == len(block)
        assert (trace[name].run.source == "hvp") == exact


def test_a_product_of_the_loss_is_used(problem):
    class WithProduct:
        def __call__(self, w):
            return problem(w)

        def hvp(self, w, v):
            return problem.H @ v

    found = sharpkit.trace(np.zeros(N), WithProduct(), groups=GROUPS)
    assert {each.run.source for each in found.values()} == {"hvp"}


def test_a_product_needs_no_loss(problem):
    found = sharpkit.trace(np.zeros(N), hvp=lambda w, v: problem.H @ v, groups=GROUPS)
    wanted = {name: np.trace(block) for name, block in blocks(problem).items()}
    assert {name: each.value for name, each in found.items()} == pytest.approx(wanted)


def test_one_group_of_all_weights_is_the_measure_itself(problem):
    w = np.linspace(-1, 1, N)
    found = sharpkit.sharpness(w, problem, groups={"all": slice(None)}, seed=3)
    wanted = sharpkit.sharpness(w, problem, seed=3)
    assert found["all"].value == wanted.value
    np.testing.assert_array_equal(found["all"].displacement, wanted.displacement)


def test_groups_may_overlap(problem):
    groups = {"a": slice(0, 6), "b": slice(4, 8)}
    found = sharpkit.trace(np.zeros(N), problem, groups=groups)
    assert found["b"].value == pytest.approx(np.trace(problem.H[4:8, 4:8]))


def test_it_works_without_a_gradient(problem):
    found = sharpkit.sharpness(
        np.zeros(N), lambda w: problem(w)[0], groups=GROUPS, epsilon=0.1
    )
    wanted = sharpkit.sharpness(np.zeros(N), problem, groups=GROUPS, epsilon=0.1)
    for name in GROUPS:
        assert found[name].value == pytest.approx(wanted[name].value, rel=1e-6)


def test_the_weights_are_not_changed(problem):
    w = np.linspace(-1, 1, N)
    before = w.copy()
    sharpkit.sharpness(w, problem, groups=GROUPS)
    np.testing.assert_array_equal(w, before)


def test_progress_counts_groups(problem):
    seen = []
    sharpkit.trace(
        np.zeros(N), problem, groups=GROUPS, progress=lambda *told: seen.append(told)
    )
    assert [told[:2] for told in seen] == [(1, 3), (2, 3), (3, 3)]
    traces = [np.trace(block) for block in blocks(problem).values()]
    assert [told[2] for told in seen] == pytest.approx(traces)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([slice(0, 2)], TypeError, "groups is of type list; give a mapping"),
        ({}, ValueError, "groups is empty"),
        ({"a": 3}, TypeError, r"groups\['a'\] is of type int; give a slice"),
        ({"a": slice(0, 13)}, ValueError, "is no range of the 12 weights"),
        ({"a": slice(0, 4, 2)}, ValueError, "without a step"),
        ({"a": slice(5, 5)}, ValueError, "holds at least one"),
    ],
)
def test_bad_groups(groups, error, message):
    with pytest.raises(error, match=message):
        sharpkit.sharpness(np.zeros(N), never, groups=groups)


def test_a_wrong_gradient_is_seen_whole():
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\)"):
        sharpkit.sharpness(np.zeros(N), lambda w: (1.0, w[:3]), groups=GROUPS)


def test_the_options_of_the_measure_are_checked(problem):
    with pytest.raises(ValueError, match="epsilon=0"):
        sharpkit.sharpness(np.zeros(N), problem, groups=GROUPS, epsilon=0)


def test_repr_and_record(problem):
    found = sharpkit.eigenvalues(np.zeros(N), problem, groups=GROUPS)
    lines = repr(found).splitlines()
    what = "most extreme eigenvalue"
    assert lines[0] == f"{what} of 3 groups of weights, the others fixed"
    assert lines[1].split()[:3] == ["first", "3", "weights"]
    assert lines[3].endswith("converged")
    assert len({len(line) - len(line.split()[-1]) for line in lines[1:]}) == 1
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["second"]["weights"] == 7
    assert record["second"]["values"] == found["second"].values.tolist()
    assert found.numbers()["last"] == headline(found["last"])


def test_the_plot_has_a_bar_per_group(problem):
    found = sharpkit.trace(np.zeros(N), problem, groups=GROUPS)
    ax = found.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(GROUPS)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [each.value for each in found.values()]
    assert ax.get_xlabel() == "trace"

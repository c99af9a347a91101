"""Measures of groups of weights, the others held fixed."""

import json

import numpy as np
import pytest
from problems import never, rotated

import sharpkit
from sharpkit import by_group, eigenvalues, sharpness, trace

N = 12
GROUPS = {"first": slice(0, 3), "second": slice(3, 10), "last": slice(10, None)}


@pytest.fixture
def problem():
    return rotated(np.random.default_rng(4), N)


def at(w, loss_fn, **options):
    return sharpkit.Problem(w, loss_fn, **options)


def blocks(problem):
    return {name: problem.H[part, part] for name, part in GROUPS.items()}


def test_the_sharpness_is_that_of_the_box_of_each_group(problem):
    """Against the highest corner of the group's box: the loss is convex."""
    w = np.zeros(N)
    found = by_group(sharpness, at(w, problem), GROUPS, epsilon=1e-3)
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
    top = by_group(eigenvalues, at(w, problem), GROUPS, tol=1e-6, **options)
    traces = by_group(trace, at(w, problem), GROUPS, **options)
    for name, block in dense.items():
        assert float(top[name]) == pytest.approx(np.linalg.eigvalsh(block)[-1])
        assert traces[name].value == pytest.approx(np.trace(block))
        assert traces[name].n == len(block)
        assert (traces[name].run.source == "hvp") == exact


def test_a_product_of_the_loss_is_used(problem):
    whole = at(np.zeros(N), problem, hvp=lambda w, v: problem.H @ v)
    found = by_group(trace, whole, GROUPS)
    assert {each.run.source for each in found.values()} == {"hvp"}


def test_a_product_needs_no_loss(problem):
    found = by_group(trace, np.zeros(N), GROUPS, hvp=lambda w, v: problem.H @ v)
    wanted = {name: np.trace(block) for name, block in blocks(problem).items()}
    assert {name: each.value for name, each in found.items()} == pytest.approx(wanted)


def test_one_group_of_all_weights_is_the_measure_itself(problem):
    w = np.linspace(-1, 1, N)
    found = by_group(sharpness, at(w, problem), {"all": slice(None)}, seed=3)
    wanted = sharpness(w, problem, seed=3)
    assert found["all"].value == wanted.value
    np.testing.assert_array_equal(found["all"].displacement, wanted.displacement)


def test_groups_may_overlap(problem):
    groups = {"a": slice(0, 6), "b": slice(4, 8)}
    found = by_group(trace, at(np.zeros(N), problem), groups)
    assert found["b"].value == pytest.approx(np.trace(problem.H[4:8, 4:8]))


def test_it_works_without_a_gradient(problem):
    found = by_group(
        sharpness, at(np.zeros(N), lambda w: problem(w)[0]), GROUPS, epsilon=0.1
    )
    wanted = by_group(sharpness, at(np.zeros(N), problem), GROUPS, epsilon=0.1)
    for name in GROUPS:
        assert found[name].value == pytest.approx(wanted[name].value, rel=1e-6)


def test_the_weights_are_not_changed(problem):
    w = np.linspace(-1, 1, N)
    before = w.copy()
    by_group(sharpness, at(w, problem), GROUPS)
    np.testing.assert_array_equal(w, before)


def test_progress_counts_groups(problem):
    seen = []
    by_group(
        trace,
        at(np.zeros(N), problem),
        GROUPS,
        progress=lambda *told: seen.append(told),
    )
    assert [told[:2] for told in seen] == [(1, 3), (2, 3), (3, 3)]
    traces = [np.trace(block) for block in blocks(problem).values()]
    assert [told[2] for told in seen] == pytest.approx(traces)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (slice(0, 2), TypeError, "is of type slice; give a mapping"),
        (np.array(3), TypeError, "is of type ndarray; give a mapping"),
        (None, ValueError, "groups=None, and the problem has no layers"),
        (
            ["b.*"],
            ValueError,
            "'b.*' fits none of the problem's layers: there are none",
        ),
        ({"a": [slice(0, 4), slice(3, 5)]}, ValueError, "has weight 3 twice"),
        ("b.*", TypeError, r"groups='b\.\*' is of type str; .* a list of patterns"),
        ({}, ValueError, "groups is empty"),
        ({"a": 3}, TypeError, r"groups\['a'\] is, or holds, a value of type int"),
        ({"a": slice(0, 13)}, ValueError, "is no range of the 12 weights"),
        ({"a": slice(0, 4, 2)}, ValueError, "without a step"),
        ({"a": slice(0.5, 4)}, ValueError, r"slice\(0.5, 4, None\) is no range of"),
        ({"a": slice(5, 5)}, ValueError, "holds at least one"),
    ],
)
def test_bad_groups(groups, error, message):
    with pytest.raises(error, match=message):
        by_group(sharpness, at(np.zeros(N), never), groups)


def test_a_wrong_gradient_is_seen_whole():
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\)"):
        by_group(sharpness, at(np.zeros(N), lambda w: (1.0, w[:3])), GROUPS)


def test_the_options_of_the_measure_are_checked(problem):
    with pytest.raises(ValueError, match="epsilon=0"):
        by_group(sharpness, at(np.zeros(N), problem), GROUPS, epsilon=0)


def test_repr_and_record(problem):
    found = by_group(eigenvalues, at(np.zeros(N), problem), GROUPS)
    lines = repr(found).splitlines()
    what = "most extreme eigenvalue"
    assert lines[0] == f"{what} of 3 groups of weights, the others fixed"
    assert lines[1].split()[:3] == ["first", "3", "weights"]
    assert lines[3].endswith("converged")
    assert len({len(line) - len(line.split()[-1]) for line in lines[1:]}) == 1
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["second"]["weights"] == 7
    assert record["second"]["values"] == found["second"].values.tolist()
    assert found.numbers()["last"] == (float(found["last"]), found["last"].error)


def test_the_plot_has_a_bar_per_group(problem):
    found = by_group(trace, at(np.zeros(N), problem), GROUPS)
    (ax,) = found.plot().axes
    assert [label.get_text() for label in ax.get_yticklabels()] == list(GROUPS)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [each.value for each in found.values()]
    assert ax.get_xlabel() == "trace"


def test_layers_are_groups_and_so_are_patterns_of_their_names(problem):
    layers = {"a.1": slice(0, 3), "b": slice(3, 5), "a.2": slice(5, 7)}
    whole = at(np.zeros(N), problem, layers=layers)
    assert list(by_group(trace, whole)) == list(layers)
    found = by_group(trace, whole, ["a.*", "b"])
    place = np.r_[0:3, 5:7]
    block = problem.H[np.ix_(place, place)]
    assert found["a.*"].value == pytest.approx(np.trace(block))
    assert found.sizes == {"a.*": 5, "b": 2}
    named = by_group(eigenvalues, whole, {"mine": ["a.*", slice(7, 9)]}, tol=1e-6)
    place = np.r_[0:3, 5:9]
    wanted = np.linalg.eigvalsh(problem.H[np.ix_(place, place)])[-1]
    assert float(named["mine"]) == pytest.approx(wanted)


def test_the_run_counts_all_groups(problem):
    found = by_group(trace, at(np.zeros(N), problem), GROUPS)
    assert found.run.n == N
    assert found.run.calls == sum(each.calls for each in found.values())
    assert found.run.products == sum(each.products for each in found.values())


def test_what_is_no_measure(problem):
    with pytest.raises(TypeError, match="measure='trace' is not callable; give a meas"):
        by_group("trace", at(np.zeros(N), problem), GROUPS)


def test_a_measure_without_a_number(problem):
    with pytest.raises(TypeError, match="returns a CheckResult, which no"):
        by_group(sharpkit.check, at(np.zeros(N), problem), GROUPS)


def test_names_may_be_anything():
    problem = sharpkit.Problem(np.zeros(4), lambda w: (float(w @ w), 2 * w))
    groups = {None: slice(0, 1), 7: slice(1, 4)}
    shown = repr(sharpkit.by_group(sharpkit.trace, problem, groups))
    assert "  None  1 weights  2 " in shown
    assert "  7     3 weights  6 " in shown

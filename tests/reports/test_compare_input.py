import dataclasses

import numpy as np
import pytest
from problems import never

from sharpkit.problem import Problem
from sharpkit.reports.compare import compare

FEW = {"measures": ("trace",), "alphas": [0.0, 1.0]}


def test_every_way_to_give_the_ends(quadratic, ends, tmp_path):
    problem, _ = quadratic()
    for name, end in zip("ab", ends, strict=True):
        np.savez(tmp_path / f"{name}.npz", w=end)
        np.save(tmp_path / f"{name}.npy", end)
    layered = dataclasses.replace(problem, layers={"x": slice(0, 4), "y": slice(4, 40)})
    moved = [problem.at({"weights": end}) for end in ends]
    expected = repr(compare(*ends, problem, **FEW)).splitlines()[:-1]
    for a, b, given in (
        (str(tmp_path / "a.npz"), tmp_path / "b.npz", problem),
        (tmp_path / "a.npy", ends[1], {"data": problem}),
        (*moved, None),
        ({"data": moved[0]}, moved[1], None),
        (*({"y": end[4:], "x": end[:4].reshape(2, 2)} for end in ends), layered),
    ):
        found = compare(a, b, given, **FEW)
        assert repr(found).splitlines()[:-1] == expected


def test_a_bare_loss_with_weights_takes_flat_vectors(quadratic, ends):
    problem, loss = quadratic()

    class Bare:
        weights = problem.weights
        kept = "kept"

        def __call__(self, w):
            return loss(w)

        def on_line(self):
            return lambdas

    class Line(Bare):
        def __call__(self, w):
            return loss(w)[0] + 7, w

    lambdas = Line()
    found = compare(*ends, Bare(), **FEW)
    assert found.a.loss == loss(ends[0])[0]
    np.testing.assert_allclose(
        found.paths["data"].loss, [loss(end)[0] + 7 for end in ends]
    )
    named = compare({"x": ends[0]}, {"x": ends[1]}, Bare(), **FEW)
    assert named.a.loss == found.a.loss


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"alphas": []}, ValueError, r"alphas=\[\]; give finite numbers in ascending"),
        ({"alphas": [1, 0]}, ValueError, "ascending"),
        ({"alphas": [0, np.nan]}, ValueError, "alphas="),
        ({"alphas": "0"}, ValueError, "alphas='0'"),
        ({"names": ("A", "A")}, ValueError, "names=.*two different names"),
        ({"names": "AB"}, ValueError, "names='AB'"),
        ({"names": ("A", 1)}, ValueError, "names="),
        ({"measures": ("x",)}, ValueError, "measures='x'"),
        ({"epsilon": -1}, ValueError, "epsilon=-1"),
        ({"backend": "x"}, ValueError, "backend='x'"),
        ({"k": 9}, ValueError, "k=9; there are 4"),
    ],
)
def test_bad_options_before_anything_is_called(options, error, match):
    problem = Problem(np.ones(4), never)
    with pytest.raises(error, match=match):
        compare(np.zeros(4), np.ones(4), problem, **options)


def at(n, kind=np.float64):
    return Problem(np.ones(n, kind), never)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("a.npz", "b.npz"), TypeError, "a is of type str and problem=None; give the"),
        ((at(3), np.ones(3)), TypeError, "b is of type ndarray and problem=None"),
        ((at(3), at(4)), ValueError, "of a have size 3, those of b 4; compare two"),
        ((at(3), at(3, "f4")), ValueError, "of a have dtype float64, those of b floa"),
        ((at(3), at(3), at(3)), TypeError, "a is of type Problem.*need problem=None"),
        (({"x": at(3)}, at(3)), ValueError, r"a has the data sets \['x'\], b \['dat"),
        (({}, {}), ValueError, "a is empty; give at least one problem"),
        ((np.ones(3), np.ones(3), {"x": 1}), TypeError, r"problem\['x'\] is of type i"),
        ((np.ones(3), np.ones(2), at(3)), ValueError, r"has shape \(2,\).*3 weights"),
        ((np.ones((3, 1)), np.ones(3), at(3)), TypeError, "a is of type ndarray; give"),
        ((5, np.ones(3), at(3)), TypeError, "a is of type int; give the path"),
        (("no.npz", np.ones(3), at(3)), FileNotFoundError, r"no\.npz' does not exist"),
    ],
)
def test_bad_ends_before_anything_is_called(arguments, error, match):
    with pytest.raises(error, match=match):
        compare(*arguments)

"""Directions: each part scaled as its definition says, restated here one by one."""

import math

import numpy as np
import pytest

import sharpkit
from sharpkit import landscape
from sharpkit.landscape.directions import directions_of, random_direction
from sharpkit.landscape.frames import spanned
from sharpkit.measures._point import Point

SHAPE = (3, 4)  # of the matrix of `two_layers`


def two_layers(dtype=np.float64):
    """Return a bare problem of a matrix (3, 4) and five biases, and its weights."""
    w = np.random.default_rng(0).normal(size=17).astype(dtype)
    return sharpkit.Problem(w, lambda v: (0.5 * float(v @ v), v.copy())), w


def drawn(problem, **options):
    return random_direction(Point.of(problem), **options)


@pytest.mark.parametrize("axis", [0, 1])
def test_each_row_of_an_array_has_the_norm_of_the_weights_there(axis):
    problem, w = two_layers()
    found = drawn(problem, groups={"first": (slice(0, 12), SHAPE, axis)}, seed=3)
    raw = drawn(problem, normalize="none", seed=3).vector
    for i in range(SHAPE[axis]):
        own, made, plain = (
            np.take(v[:12].reshape(SHAPE), i, axis) for v in (w, found.vector, raw)
        )
        wanted = plain / np.linalg.norm(plain) * np.linalg.norm(own)
        np.testing.assert_allclose(made, wanted, rtol=1e-12)
    assert (found.vector[12:] == 0).all()
    assert found.axis.varied == pytest.approx(12 / 17)
    assert found.axis.normalize == "groups"


def test_slices_are_scaled_as_wholes_and_the_rest_does_not_move():
    problem, w = two_layers()
    found = drawn(problem, groups=[slice(0, 12), slice(-2, None)]).vector
    for part in (slice(0, 12), slice(15, 17)):
        assert np.linalg.norm(found[part]) == pytest.approx(np.linalg.norm(w[part]))
    assert (found[12:15] == 0).all()


def test_a_bare_function_has_one_part():
    problem, w = two_layers()
    found = drawn(problem)
    assert found.axis.normalize == "vector"
    assert found.axis.norm == pytest.approx(np.linalg.norm(w), rel=1e-12)
    assert found.axis.varied == 1


def test_what_is_not_normalised_is_normal():
    n = 100_000
    problem = sharpkit.Problem(np.zeros(n), lambda v: (0.0, np.zeros(n)))
    found = drawn(problem, normalize="none").vector
    assert abs(found.mean()) < 5 / math.sqrt(n)
    assert abs(found.var() - 1) < 5 * math.sqrt(2 / n)


def test_weights_that_are_zero_do_not_move():
    w = np.r_[np.zeros(4), np.ones(4)]
    problem = sharpkit.Problem(w, lambda v: (float(v @ v), 2 * v))
    found = drawn(problem, groups=[(slice(0, 8), (2, 4))]).vector
    assert (found[:4] == 0).all()
    assert np.linalg.norm(found[4:]) == pytest.approx(2)


def test_directions_of_one_seed_and_of_others_differ():
    problem, _ = two_layers()
    options = {"normalize": "none"}
    first = drawn(problem, seed=0, **options).vector
    assert (first == drawn(problem, seed=0, **options).vector).all()
    others = [
        drawn(problem, seed=0, index=1, **options).vector,
        drawn(problem, seed=1, **options).vector,
    ]
    for other in others:
        assert not (first == other).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_backends_draw_the_same(dtype):
    problem, _ = two_layers(dtype)
    cpu, reference = (
        random_direction(Point.of(problem, backend=name), seed=7).vector
        for name in ("cpu", "reference")
    )
    # Normal numbers are drawn to the precision of float32.
    np.testing.assert_allclose(cpu, reference, rtol=8 * np.finfo(np.float32).eps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "filter"}, "needs the shapes of the layers"),
        ({"normalize": "row"}, "normalize='row'"),
        ({"normalize": "groups"}, "give groups="),
        ({"normalize": "layer", "groups": [slice(0, 3)]}, "give groups="),
        ({"groups": [(slice(0, 3), (2, 2))]}, "has shape"),
        ({"groups": 3}, "slices of the weights"),
        ({"groups": ["a"]}, r"give \(slice, shape\)"),
        ({"direction": "hessian"}, "direction='hessian'"),
        ({"direction": np.ones(3)}, "has shape"),
        ({"direction": np.zeros(17)}, "has length 0"),
        ({"direction": np.full(17, np.nan)}, "not finite"),
        ({"to": np.ones(17), "direction": "gradient"}, "leave out direction"),
        ({"repeats": 2, "direction": "gradient"}, "only random directions differ"),
        ({"repeats": 0}, "repeats=0"),
        ({"points": 1}, "points=1"),
        ({"span": (1, 0)}, "smaller one first"),
        ({"span": "wide"}, "give a number"),
        ({"span": math.inf}, "two finite ends"),
        ({"samples": 3}, "needs single samples"),
        ({"batch_norm": "running"}, "batch_norm='running'"),
        ({"time_budget": 0}, "time_budget=0"),
        ({"time_budget": "1"}, "is not a number"),
        ({"executor": "two"}, "executor is of type str"),
        ({"seed": -1}, "seed=-1"),
        ({"progress": 3}, "progress=3"),
        ({"to": "nowhere.npz"}, "does not exist"),
    ],
)
def test_bad_arguments_of_lines(options, message):
    problem, w = two_layers()
    before = w.copy()
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        landscape.line(problem, **options)
    assert (w == before).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": "gradient"}, "is one direction"),
        ({"directions": ("random",)}, "has 1 entries"),
        ({"directions": "principal"}, "at least three"),
        ({"directions": (np.ones(17), -np.ones(17))}, "lie on one line"),
        ({"through": [np.ones(17)]}, "two checkpoints"),
        ({"through": [np.ones(17), np.ones(17)]}, "lie on one line"),
        ({"through": [np.ones(17)] * 2, "directions": "random"}, "leave out"),
        ({"trajectory": [np.ones(17), np.zeros(17)]}, "at least three"),
        ({"trajectory": [np.ones(17) * k for k in range(4)]}, "lie on one line"),
        ({"through": [np.eye(17)[0], np.eye(17)[1]], "names": ("A", "B")}, "3 diff"),
    ],
)
def test_bad_arguments_of_planes(options, message):
    w = np.zeros(17)
    problem = sharpkit.Problem(w, lambda v: (float(v @ v), 2 * v))
    with pytest.raises((TypeError, ValueError), match=message):
        landscape.plane(problem, **options)


def test_weights_of_zero_have_no_random_direction():
    with pytest.raises(ValueError, match="normalize"):
        landscape.line(np.zeros(3), lambda v: float(v @ v))


def test_eigenvectors_that_did_not_converge_are_not_drawn():
    n = 400
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    # So close together that the budget of products ends first.
    h = turn @ np.diag(1 + 1e-9 * np.arange(n)) @ turn.T
    problem = sharpkit.Problem(
        np.zeros(n, np.float32),
        lambda v: (0.5 * float(v @ h @ v), (h @ v).astype(np.float32)),
        hvp=lambda w, v: (h @ v + 1e-3 * np.sin(1e3 * v)).astype(np.float32),
    )
    with (
        pytest.warns(sharpkit.SharpkitWarning),
        pytest.raises(ValueError, match="converged"),
    ):
        landscape.plane(problem, directions="eigenvectors", points=3)


def test_eigenvectors_are_of_norm_1_and_ascend_to_nothing():
    h = np.array([5.0, -1.0, 3.0, 0.5])
    problem = sharpkit.Problem(np.zeros(4), lambda v: (0.5 * float(h @ v**2), h * v))
    point = Point.of(problem)
    found = directions_of(
        point, "directions", "eigenvectors",
        normalize=None, groups=None, seed=0, progress=False,
    )  # fmt: skip
    assert [each.axis.curvature for each in found] == pytest.approx([5, 3], abs=1e-6)
    for each, place in zip(found, (0, 2), strict=True):
        assert abs(each.vector[place]) == pytest.approx(1, abs=1e-6)
        assert point.space.norm(each.vector) == pytest.approx(1, rel=1e-12)
    assert abs(spanned(point, found).cosine) < 1e-6

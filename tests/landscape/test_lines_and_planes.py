"""Lines and planes against what is known of quadratics, and against NumPy."""

import math

import numpy as np
import pytest

import sharpkit
from sharpkit import landscape

RNG = np.random.default_rng(1)
N = 6
ROOT = RNG.normal(size=(N, N))
H = ROOT @ ROOT.T
SLOPE = RNG.normal(size=N)
START = RNG.normal(size=N)


def loss(w):
    return 0.5 * float(w @ H @ w) + float(SLOPE @ w), H @ w + SLOPE


def quadratic(dtype=np.float64):
    return sharpkit.Problem(START.astype(dtype), loss)


def at(result, first, second=None):
    """Return the loss at all points of a plane or line, computed here."""
    first = np.asarray(first)
    if second is None:
        return np.array([loss(START + x * first)[0] for x in result.x])
    return np.array(
        [
            [loss(START + x * first + y * np.asarray(second))[0] for y in result.y]
            for x in result.x
        ]
    )


def test_a_line_along_a_vector():
    d = RNG.normal(size=N)
    found = landscape.line(quadratic(), direction=d, points=7, span=(-2, 1))
    np.testing.assert_allclose(found.values["loss"], at(found, d), rtol=1e-13)
    assert found.complete
    assert found.centre == {"loss": loss(START)[0]}
    assert found.axes[0].norm == pytest.approx(np.linalg.norm(d))
    assert found.calls == 8  # and once at the weights


def test_the_gradient_has_its_slope():
    found = landscape.line(quadratic(), direction="gradient", points=3)
    g = loss(START)[1]
    assert found.axes[0].slope == pytest.approx(g @ g)
    np.testing.assert_allclose(found.values["loss"], at(found, g), rtol=1e-12)


def test_the_parabola_of_an_eigenvector_is_the_loss_of_a_quadratic():
    found = landscape.line(quadratic(), direction="eigenvector", points=11)
    np.testing.assert_allclose(found.parabola(), found.values["loss"], atol=1e-5)
    assert found.axes[0].curvature == pytest.approx(np.linalg.eigvalsh(H)[-1])
    assert landscape.line(quadratic(), points=3).parabola() is None


def test_a_plane_of_eigenvectors_is_the_quadratic():
    found = landscape.plane(quadratic(), directions="eigenvectors", points=(9, 5))
    np.testing.assert_allclose(found.quadratic(), found.values["loss"], atol=1e-4)
    known = [axis.curvature for axis in found.axes]
    assert known == pytest.approx(np.linalg.eigvalsh(H)[:-3:-1].tolist())
    assert [axis.norm for axis in found.axes] == [1, 1]


def test_a_plane_along_vectors_is_exact_in_its_order():
    d, e = RNG.normal(size=(2, N))
    found = landscape.plane(
        quadratic(), directions=(d, e), points=(4, 6), span=((-1, 2), 0.5)
    )
    assert found.values["loss"].shape == (4, 6)
    np.testing.assert_allclose(found.values["loss"], at(found, d, e), rtol=1e-12)
    cosine = d @ e / np.linalg.norm(d) / np.linalg.norm(e)
    assert found.cosine == pytest.approx(cosine)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ends_of_a_line_are_the_checkpoints_themselves(dtype):
    other = RNG.normal(size=N).astype(dtype)
    seen = []

    def watched(w):
        seen.append(w.copy())
        return loss(w)[0]

    problem = sharpkit.Problem(START.astype(dtype), watched)
    found = landscape.line(problem, to=other, points=7, span=(-1, 2))
    ends = [loss(problem.weights)[0], loss(other)[0]]
    assert [found.values["loss"][found.x == end] for end in (0, 1)] == ends
    for each in (problem.weights, other):
        assert any((each == w).all() for w in seen)
    assert found.marks["A"].tolist() == [[0]]
    assert found.marks["B"].tolist() == [[1]]


def test_a_plane_through_three_points_is_not_distorted():
    b, c = RNG.normal(size=(2, N))
    found = landscape.plane(
        quadratic(), through=[b, c], names=("SB", "LB", "start"), points=11
    )
    assert [each.norm for each in found.axes] == pytest.approx(
        [np.linalg.norm(b - START)] * 2
    )
    marks = np.concatenate([found.marks[name] for name in ("SB", "LB", "start")])
    assert marks[:2].tolist() == [[0, 0], [1, 0]]
    unit = found.axes[0].norm
    for i, one in enumerate((START, b, c)):
        for k, other in enumerate((START, b, c)):
            apart = np.linalg.norm(marks[i] - marks[k]) * unit
            assert apart == pytest.approx(np.linalg.norm(one - other), abs=1e-12)
    # a quarter beyond on each side
    assert found.x[0] == pytest.approx(marks[:, 0].min() - 0.25 * np.ptp(marks[:, 0]))
    x, y = marks[2]
    there = landscape.plane(
        quadratic(), through=[b, c], points=2, span=((x, 9), (y, 9))
    )
    assert there.values["loss"][0, 0] == pytest.approx(loss(c)[0], rel=1e-12)


def test_principal_components_are_those_of_numpy():
    path = START + np.cumsum(RNG.normal(size=(7, N)), axis=0)[::-1]
    found = landscape.plane(quadratic(), trajectory=list(path), points=5)
    centred = path - path.mean(axis=0)
    _, sizes, rows = np.linalg.svd(centred)
    shares = sizes**2 / (sizes**2).sum()
    assert found.explained == pytest.approx(shares[:2].tolist())
    marks = found.marks["trajectory"]
    wanted = (path - START) @ rows[:2].T
    signs = np.sign(wanted[0])
    assert (marks[0] > 0).all()
    np.testing.assert_allclose(marks, wanted * signs, atol=1e-12)
    loss_at = at(found, signs[0] * rows[0], signs[1] * rows[1])
    np.testing.assert_allclose(found.values["loss"], loss_at, rtol=1e-10)
    assert "explained variance of the trajectory" in repr(found)


def test_a_trajectory_on_other_directions_is_that_of_least_squares():
    d, e = RNG.normal(size=(2, N))
    path = RNG.normal(size=(3, N))
    found = landscape.plane(
        quadratic(), directions=(d, e), trajectory=path, points=3, span=1
    )
    wanted = np.linalg.lstsq(np.c_[d, e], (path - START).T, rcond=None)[0].T
    np.testing.assert_allclose(found.marks["trajectory"], wanted, atol=1e-10)


def test_a_trajectory_on_a_plane_through_checkpoints():
    b, c = RNG.normal(size=(2, N))
    path = [START, b, c, 0.25 * START + 0.5 * c + 0.25 * b]
    found = landscape.plane(quadratic(), through=[b, c], trajectory=path, points=3)
    at_c = found.marks["C"][0]
    wanted = [[0, 0], [1, 0], at_c, 0.5 * at_c + [0.25, 0]]
    np.testing.assert_allclose(found.marks["trajectory"], wanted, atol=1e-12)


def test_what_is_no_number_stays_that():
    def broken(w):
        if w[0] > 0.5:
            return math.inf
        return math.nan if w[0] < -0.5 else float(w @ w)

    problem = sharpkit.Problem(np.zeros(2), broken)
    found = landscape.line(problem, direction=np.ones(2), points=5)
    expected = [math.nan, 0.5, 0, 0.5, math.inf]
    np.testing.assert_array_equal(found.values["loss"], expected)
    assert found.complete
    assert "loss: 2 points are not finite" in repr(found)


def test_several_directions_are_averaged_and_kept():
    found = landscape.line(quadratic(), repeats=3, points=5, seed=4)
    each = [landscape.line(quadratic(), points=5, seed=4 + i) for i in range(3)]
    every = np.array([one.values["loss"] for one in each])
    np.testing.assert_array_equal(found.repeats["loss"], every)
    np.testing.assert_array_equal(found.values["loss"], every.mean(axis=0))
    assert [axis.seed for axis in found.axes] == [4, 5, 6]


def test_several_data_sets_in_one_pass():
    class Classes:
        weights = START
        accuracy = staticmethod(lambda w: 0.25)

        def __call__(self, w):
            return loss(w)

    double = sharpkit.Problem(START, lambda w: (2 * loss(w)[0], 2 * loss(w)[1]))
    found = landscape.line({"train": Classes(), "test": double}, points=3)
    assert list(found.values) == ["train loss", "train accuracy", "test loss"]
    np.testing.assert_allclose(
        found.values["test loss"], 2 * found.values["train loss"], rtol=1e-14
    )
    assert (found.values["train accuracy"] == 0.25).all()
    moved = sharpkit.Problem(START + 1, loss)
    with pytest.raises(ValueError, match="different weights"):
        landscape.line({"train": quadratic(), "test": moved})


def of_samples(count=60):
    data = RNG.normal(size=(count, N))

    def over(indices):
        return lambda w: (
            0.5 * float(((data[indices] @ w - 1) ** 2).mean()),
            data[indices].T @ (data[indices] @ w - 1) / len(indices),
        )

    return data, sharpkit.Problem(
        START, over(np.arange(count)), samples=count, subset=over
    )


def test_a_subset_has_its_sampling_error():
    data, problem = of_samples()
    whole = landscape.line(problem, points=5)
    found = landscape.line(problem, points=5, samples=40, seed=0)
    assert found.samples == 40
    assert whole.errors == {}
    errors = found.errors["loss"]
    assert (errors > 0).all()
    # Over many draws the errors are what the values are off, about.
    off, told = [], []
    for seed in range(60):
        some = landscape.line(
            problem, direction=np.ones(N), points=2, samples=40, seed=seed
        )
        off.append(some.centre["loss"] - whole.centre["loss"])
        told.append(some.errors["loss"][0] ** 2)
    exact = 0.5 * (data @ START - 1) ** 2
    spread = math.sqrt(exact.var(ddof=1) / 40 * (1 - 40 / 60))
    assert np.std(off) == pytest.approx(spread, rel=0.3)
    complete = landscape.line(problem, points=3, samples=60)
    np.testing.assert_allclose(complete.errors["loss"], 0, atol=1e-12)


def test_samples_that_share_statistics_have_no_band():
    _, problem = of_samples()

    def shared(indices):
        own = problem.subset(indices)
        return lambda w: (own(w)[0] / len(indices), own(w)[1] / len(indices))

    mixed = sharpkit.Problem(START, problem, samples=60, subset=shared)
    with pytest.warns(sharpkit.SharpkitWarning, match="samples share statistics"):
        found = landscape.line(mixed, points=3, samples=20)
    assert found.errors == {}


def test_what_was_handed_in_is_as_it_was():
    other, d = RNG.normal(size=(2, N))
    before = [each.copy() for each in (START, other, d)]
    landscape.line(quadratic(), to=other, points=3)
    landscape.plane(quadratic(), directions=(d, "random"), points=3)
    for now, then in zip((START, other, d), before, strict=True):
        assert (now == then).all()

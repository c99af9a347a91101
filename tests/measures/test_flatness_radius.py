"""The radii of Jiang et al. and their bounds, against closed forms and enumeration."""

import itertools
import json
import math
import zlib

import numpy as np
import pytest
from scipy.optimize import brentq

import sharpkit
from sharpkit import Problem, RadiusStatus, flatness_radius
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

TARGET = 0.1


def rotated(curvature, seed=0):
    rng = np.random.default_rng(seed)
    n = len(curvature)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (Q * curvature) @ Q.T


def quadratic(H, w, slope=0.0, **known):
    def loss(x):
        d = x - w
        return float(slope * d.sum() + 0.5 * d @ H @ d), slope + H @ d

    return Problem(w, loss, **known)


def logistic(n=20, samples=400, seed=0):
    """Separable data at a separating vector: an error of zero, and its accuracy."""
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((samples, n)), rng.standard_normal(n)
    y = np.sign(X @ w)

    def loss(v):
        m = y * (X @ v)
        return float(np.logaddexp(0, -m).mean()), -(y / (1 + np.exp(m))) @ X / samples

    def accuracy(v):
        return float((y * (X @ v) > 0).mean())

    return Problem(w, loss, accuracy=accuracy, samples=samples), X, y


CURVATURES = {
    "one direction": np.r_[1.0, np.zeros(29)],
    "slow": 1 / np.arange(1.0, 41),
    "indefinite": np.linspace(-1, 5, 30),
}


@pytest.mark.parametrize("magnitude", [False, True])
def test_sigma_is_the_root_of_the_mean_over_its_own_draws(magnitude):
    """To rounding: with the draws in the place of their expectation."""
    H, w = rotated(CURVATURES["slow"]), np.random.default_rng(1).standard_normal(40)
    found = flatness_radius(quadratic(H, w), of="loss", magnitude=magnitude, seed=3)
    space = Space(cpu, 40, np.float64)
    U = np.empty((found.draws, 40))
    for i, row in enumerate(U):
        space.fill_normal(row, 3, Stream.RADIUS + i)

    def excess(sigma):
        d = U * (np.sqrt(sigma**2 * w**2 + 1e-6) if magnitude else sigma)
        return float(np.einsum("ki,ij,kj->k", d, H, d).mean()) / 2 - TARGET

    tolerance = 1e-5 if magnitude else 1e-12  # a power of sigma is exact for one only
    assert found.value == pytest.approx(brentq(excess, 1e-3, 10), rel=tolerance)
    assert found.draws > 40


def test_the_mean_error_at_sigma_has_risen_by_the_target():
    problem, X, y = logistic()
    found = flatness_radius(problem)
    U = np.random.default_rng(9).standard_normal((20_000, 20))

    def error(sigma):
        return np.mean(y * ((problem.weights + sigma * U) @ X.T) <= 0)

    low, high = found.interval
    assert error(low) < found.centre + TARGET < error(high)
    assert found.rise == pytest.approx(TARGET, rel=0.02)
    assert (found.centre, found.of, found.kind) == (0, "error", "average")
    assert found.evaluations == found.calls <= 200 + 2


def test_it_is_the_rise_and_not_the_value():
    H, w = rotated(CURVATURES["slow"]), np.ones(40)
    lifted = Problem(w, lambda x: (0.5 * float((x - w) @ H @ (x - w)) + 3, H @ (x - w)))
    for kind in ("average", "worst"):
        here = flatness_radius(quadratic(H, w), of="loss", kind=kind)
        there = flatness_radius(lifted, of="loss", kind=kind)
        assert there.value == pytest.approx(here.value, rel=1e-6)
        assert there.centre == 3


@pytest.mark.parametrize("magnitude", [False, True])
def test_alpha_of_a_diagonal_is_its_closed_form(magnitude):
    rng = np.random.default_rng(0)
    h, w = rng.uniform(0, 2, 200), rng.standard_normal(200)
    found = flatness_radius(
        quadratic(np.diag(h), w), of="loss", kind="worst", magnitude=magnitude
    )
    c = w**2 if magnitude else 1.0
    true = math.sqrt(2 * TARGET / float(np.sum(h * c)))
    assert found.value == pytest.approx(true, rel=1e-9)
    assert found.status is RadiusStatus.UPPER_BOUND
    assert math.isnan(found.interval[0])
    assert found.interval[1] == found.value


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_alpha_is_that_of_the_best_of_all_corners(magnitude, slope, seed):
    rng = np.random.default_rng(seed)
    H, w = rotated(rng.uniform(0, 1, 10) ** 4, seed), rng.standard_normal(10)
    found = flatness_radius(
        quadratic(H, w, slope), of="loss", kind="worst", magnitude=magnitude
    )
    corners = np.array(list(itertools.product((-1, 1), repeat=10)))
    corners = corners * (abs(w) if magnitude else 1.0)
    a, b = np.einsum("ki,ij,kj->k", corners, H, corners) / 2, slope * corners.sum(1)
    true = np.min((-b + np.sqrt(b**2 + 4 * a * TARGET)) / (2 * a))
    assert found.value == pytest.approx(true, rel=1e-6)


def test_alpha_of_the_error_is_an_upper_bound_with_a_point_to_show():
    """For linear models |x_i w| / |x_i|_1 says from which alpha a sample is wrong."""
    problem, X, y = logistic()
    reach = np.sort(y * (X @ problem.weights) / abs(X).sum(1))
    found = flatness_radius(problem, kind="worst")
    assert TARGET < found.rise <= TARGET + 2 / len(y)
    assert found.value > reach[int(TARGET * len(y)) - 1]  # all of the nearest at once
    assert found.value < flatness_radius(problem).value  # which no mean needs less for


def restated(family, r, w, v, m):
    """The formulas as they stand in the paper's notation, term by term."""
    N, e2, tail = len(w), 1e-6, 1.0
    if family == "pacbayes":
        return float(v @ v) / (4 * r * r) + math.log(m / r) + 10
    if family == "sharpness":
        s = r / math.sqrt(math.log(2 * N))
        return float(v @ v) * math.log(2 * N) / (4 * r * r) + math.log(m / s) + 10
    if family == "sharpness-mag":
        tail = 4 * math.log(2 * N / 0.05)
    total = 0.0
    for each in v:
        top = e2 + (r * r + tail) * float(v @ v) / N
        total += math.log(top / (e2 + r * r * each * each))
    return total / 4 + math.log(m / (r / math.sqrt(tail))) + 10


@pytest.mark.parametrize("kind", ["average", "worst"])
@pytest.mark.parametrize("magnitude", [False, True])
def test_the_bounds_are_the_formulas(kind, magnitude):
    rng = np.random.default_rng(3)
    w, w0, m = rng.standard_normal(25), rng.standard_normal(25), 700
    problem = quadratic(np.diag(rng.uniform(0.1, 1, 25)), w, samples=m)
    options = {"of": "loss", "kind": kind, "magnitude": magnitude}
    found = flatness_radius(problem, start=w0, **options)
    family = ("pacbayes" if kind == "average" else "sharpness") + "-mag" * magnitude
    assert set(found.bounds) == {f"{family}-{x}" for x in ("flatness", "orig", "init")}
    for name, v in (("orig", w), ("init", w - w0)):
        values = [
            math.sqrt(restated(family, r, w, v, m) / m)
            for r in (found.value, found.interval[1])
        ]
        bound = found.bounds[f"{family}-{name}"]
        assert bound.value == pytest.approx(values[0], rel=1e-12)
        assert bound.interval[0] == pytest.approx(values[1], rel=1e-12)
    flat = found.bounds[f"{family}-flatness"].value
    assert flat == pytest.approx(1 / (found.value * math.sqrt(m)), rel=1e-12)
    without = flatness_radius(problem, **options).bounds
    assert set(without) == {f"{family}-{x}" for x in ("flatness", "orig")}
    assert not flatness_radius(w, problem.loss_fn, **options).bounds
    other = Problem(w0, problem.loss_fn)
    assert flatness_radius(problem, start=other, **options).bounds == found.bounds


@pytest.mark.parametrize("kind", ["average", "worst"])
def test_pure_noise_has_no_radius(kind):
    rng = np.random.default_rng(0)

    def noisy(w):
        return 1 + 0.05 * rng.standard_normal(), 0 * w

    with pytest.warns(sharpkit.SharpkitWarning, match="not deterministic"):
        found = flatness_radius(np.ones(30), noisy, of="loss", kind=kind)
    assert found.status is RadiusStatus.BELOW_NOISE
    assert found.interval == (0, math.inf)


@pytest.mark.parametrize("kind", ["average", "worst"])
def test_a_target_below_the_rounding_of_the_loss(kind):
    w = np.ones(30, np.float32)

    def rounded(x):
        d = x - w
        noise = np.random.default_rng(zlib.crc32(x.tobytes())).standard_normal()
        return 1 + float(d @ d) / 2 + 2e-6 * noise, d

    found = flatness_radius(w, rounded, of="loss", kind=kind, target=4e-6)
    assert found.status is RadiusStatus.BELOW_NOISE
    fine = flatness_radius(w, rounded, of="loss", kind=kind, target=1e-3)
    assert fine.status in (RadiusStatus.CONVERGED, RadiusStatus.UPPER_BOUND)


@pytest.mark.parametrize("kind", ["average", "worst"])
@pytest.mark.parametrize("magnitude", [False, True])
def test_a_loss_that_cannot_rise_so_far(kind, magnitude):
    def bounded(w):
        return 0.05 * float(np.tanh(w @ w)), 0 * w

    found = flatness_radius(
        np.ones(30), bounded, of="loss", kind=kind, magnitude=magnitude
    )
    assert found.status is RadiusStatus.UNREACHED
    assert found.interval == (found.value, math.inf)
    assert found.error == math.inf


def test_a_loss_that_is_infinite_before_it_has_risen():
    def walled(w):
        r = float(w @ w)
        return (math.inf if r > 0.05 else r), 2 * w

    w = np.zeros(40)
    mean = flatness_radius(w, walled, of="loss")
    assert mean.status is RadiusStatus.NON_FINITE
    assert 0.005 < mean.value < math.sqrt(0.05 / 40)
    assert mean.value < mean.interval[1] < 0.1
    worst = flatness_radius(w, walled, of="loss", kind="worst")
    assert worst.value == pytest.approx(math.sqrt(0.05 / 40), rel=1e-3)
    assert worst.status is RadiusStatus.NON_FINITE
    assert json.loads(json.dumps(worst.to_dict(), allow_nan=False))["rise"] is None


def test_a_rise_at_every_size_of_the_box_bounds_nothing():
    w = np.ones(30)

    def jumps(x):
        return float(np.any(x != w)), 0 * w

    found = flatness_radius(w, jumps, of="loss", kind="worst")
    assert found.status is RadiusStatus.BELOW_NOISE
    assert found.interval == (0, math.inf)


def test_magnitudes_whose_floor_is_enough():
    found = flatness_radius(
        quadratic(1e6 * np.eye(20), np.ones(20)), of="loss", magnitude=True
    )
    assert found.status is RadiusStatus.FLOOR
    assert found.interval[0] == 0


def test_a_loss_alone_is_enough():
    H, w = rotated(CURVATURES["slow"]), np.ones(40)
    full = quadratic(H, w)
    for kind in ("average", "worst"):
        alone = flatness_radius(w, lambda x: full(x)[0], of="loss", kind=kind)
        assert alone.value == pytest.approx(
            flatness_radius(full, of="loss", kind=kind).value, rel=1e-3
        )


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    problem, _, _ = logistic()
    for kind in ("average", "worst"):
        one, two = (flatness_radius(problem, kind=kind, seed=4) for _ in range(2))
        assert (one.value, one.interval[1]) == (two.value, two.interval[1])
    assert flatness_radius(problem, seed=5).value != flatness_radius(problem).value


def test_float32_and_a_device_find_what_float64_finds(cupy):
    h = np.linspace(0.1, 1, 50)

    def problem(xp, dtype):
        curvature, w = xp.asarray(h.astype(dtype)), xp.asarray(np.ones(50, dtype))
        return Problem(
            w,
            lambda x: (
                float((curvature * (x - w) * (x - w)).sum()) / 2,
                curvature * (x - w),
            ),
        )

    for kind in ("average", "worst"):
        for magnitude in (False, True):
            options = {"kind": kind, "magnitude": magnitude, "of": "loss"}
            best = flatness_radius(problem(np, np.float64), **options).value
            for xp in (np, cupy):
                found = flatness_radius(problem(xp, np.float32), **options)
                assert found.value == pytest.approx(best, rel=1e-3)
                assert found.dtype == "float32"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "has no accuracy; give"),
        ({"kind": "middle"}, "kind='middle'; give one of 'average', 'worst'"),
        ({"of": "accuracy"}, "of='accuracy'; give one of"),
        ({"of": "loss", "target": 0.0}, "target=0.0; give a finite number above 0"),
        ({"of": "loss", "max_evaluations": 3}, "at least 100"),
        ({"of": "loss", "start": np.zeros(3)}, r"start has shape \(3,\); give one"),
        ({"of": "loss", "start": np.full(40, np.nan)}, "start has entries that are"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_cure(options, words):
    problem = quadratic(np.eye(40), np.ones(40))
    with pytest.raises(ValueError, match=words):
        flatness_radius(problem, **options)


def test_an_error_that_cannot_rise_so_far_is_refused():
    problem = Problem(np.ones(3), lambda w: (0.0, w), accuracy=lambda w: 0.05)
    with pytest.raises(ValueError, match=r"the error is 0\.95 at the weights, and can"):
        flatness_radius(problem)


def test_too_many_dimensions_for_differences():
    with pytest.raises(ValueError, match="no gradient to climb by in 1001 dimensions"):
        flatness_radius(np.zeros(1001), lambda w: float(w @ w), of="loss", kind="worst")


def test_what_it_says():
    problem, _, _ = logistic()
    found = flatness_radius(problem, start=np.zeros(20))
    text = repr(found)
    assert text.startswith(f"sigma {found.value:.4g}  (95 %: ")
    assert f"the mean error rises from 0 by {found.rise:.4g}, asked for 0.1" in text
    assert "pacbayes-orig" in text
    assert found.error == pytest.approx((found.interval[1] - found.interval[0]) / 4)
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["bounds"]["pacbayes-init"]["value"] > 0
    assert (record["status"], record["calls"]) == ("CONVERGED", found.calls)
    worst = repr(flatness_radius(problem, kind="worst", magnitude=True))
    assert worst.startswith("alpha' ")
    assert "(an upper bound)" in worst

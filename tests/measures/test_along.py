"""Critical and directional sharpness, distances and norms, against closed forms."""

import json
import math
import zlib

import numpy as np
import pytest

import sharpkit
from sharpkit import (
    CriticalStatus,
    Problem,
    critical_sharpness,
    directional_sharpness,
    distance,
    gradient_norm,
)

N = 30


def hessian(seed=0):
    A = np.random.default_rng(seed).standard_normal((N, N))
    return A @ A.T / N


H = hessian()
W = np.random.default_rng(1).standard_normal(N)
G = H @ W


def loss(w):
    return 0.5 * float(w @ H @ w), H @ w


PROBLEM = Problem(W, loss, layers={"a": slice(0, 10), "b": slice(10, N)})


def update(seed=2):
    d = np.random.default_rng(seed).standard_normal(N)
    return d * np.sign(d @ G)


@pytest.mark.parametrize("d", [None, *map(update, range(6))])
def test_critical_sharpness_of_a_quadratic(d):
    true = (G @ H @ G / (G @ G)) if d is None else d @ H @ d / (d @ G)
    found = critical_sharpness(PROBLEM, direction=d)
    low, high = found.interval
    assert low <= true <= high
    assert found.value == pytest.approx(true, rel=1 / 30)
    assert found.status is CriticalStatus.CONVERGED
    below, above = found.bracket
    assert (below + above) / 2 == found.step == pytest.approx(2 / found.value)
    assert 1 - below / above < 1 / 16
    assert found.gradients == (d is None)
    assert abs(found.value - true) <= 1.04 * found.error


@pytest.mark.parametrize("drift", [0.0, 0.1, -0.1, 0.2])
def test_five_or_six_forward_passes_from_the_last_step(drift):
    """All passes count, those at the weights too; the loss has changed a little."""
    d, last = update(), critical_sharpness(PROBLEM, direction=update()).step
    calls = []

    def alone(w):
        calls.append(1)
        return 0.5 * (1 + drift) * float(w @ H @ w) - drift * float(w @ G)

    found = critical_sharpness(W, alone, direction=d, guess=last)
    assert found.evaluations == len(calls) == found.calls
    assert len(calls) <= 6 if abs(drift) < 0.15 else len(calls) <= 10
    true = (1 + drift) * (d @ H @ d) / (d @ G)
    low, high = found.interval
    assert low <= true <= high


def test_no_gradient_is_taken_where_the_loss_can_be_had_alone():
    class Both:
        weights = W

        def __call__(self, w):
            raise AssertionError

        def forward(self, w):
            return loss(w)[0]

    found = critical_sharpness(Both(), direction=G)
    assert found.gradients == 0
    assert found.value == critical_sharpness(PROBLEM, direction=G).value
    other = critical_sharpness(PROBLEM)
    assert (other.value, other.gradients) == (found.value, 1)
    assert other.calls == other.evaluations + 1


def test_the_loss_of_one_problem_along_the_update_of_another():
    other = Problem(W, lambda w: (0.5 * float(w @ w), w))
    found = critical_sharpness(PROBLEM, direction=other)
    assert found.value == critical_sharpness(PROBLEM, direction=W).value
    low, high = found.interval
    assert low <= W @ H @ W / (W @ G) <= high
    exact = directional_sharpness(PROBLEM, other)
    assert exact.value == pytest.approx(W @ H @ W / (W @ G), rel=1e-9)


def test_an_update_uphill_is_said():
    found = critical_sharpness(PROBLEM, direction=-G)
    assert found.status is CriticalStatus.NO_DESCENT
    assert found.interval[1] == math.inf
    with pytest.warns(sharpkit.SharpkitWarning, match="the loss does not fall along"):
        uphill = directional_sharpness(PROBLEM, -G)
    assert uphill.value == pytest.approx(-G @ H @ G / (G @ G), rel=1e-9)


def test_a_loss_that_falls_for_ever():
    found = critical_sharpness(W, lambda w: (-1 / (1 + float(w @ G) ** 2), G))
    falling = critical_sharpness(W, lambda w: (float(w @ G), G))
    assert falling.status is CriticalStatus.NO_RISE
    assert falling.interval[0] == 0
    assert found.status is not CriticalStatus.NO_RISE


def test_a_loss_that_becomes_infinite_has_risen():
    def walled(w):
        return (float(w @ G) if w @ G > 0 else math.nan), G

    found = critical_sharpness(W, walled)
    low, high = found.interval
    assert low <= 2 * (G @ G) / (W @ G) <= high


@pytest.mark.parametrize("seed", range(20))
def test_pure_noise_does_not_converge(seed):
    rng = np.random.default_rng(seed)
    with pytest.warns(sharpkit.SharpkitWarning, match="not deterministic"):
        found = critical_sharpness(
            W, lambda w: 1 + 0.05 * rng.standard_normal(), direction=G
        )
    assert found.status is not CriticalStatus.CONVERGED


def test_noise_widens_the_interval():
    d, held = update(), 0
    true, rng = d @ H @ d / (d @ G), np.random.default_rng(0)
    for _ in range(100):
        with pytest.warns(sharpkit.SharpkitWarning, match="not deterministic"):
            found = critical_sharpness(
                W, lambda w: loss(w)[0] + 0.01 * rng.standard_normal(), direction=d
            )
        low, high = found.interval
        held += low <= true <= high
    assert held >= 95


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_no_rise(seed):
    """Two calls are the same here, and yet the loss has noise, of 20 roundings."""
    w = (3e-4 * np.random.default_rng(seed).standard_normal(N)).astype(np.float32)
    A = H.astype(np.float32)

    def rounded(x):
        noise = np.random.default_rng(zlib.crc32(x.tobytes())).standard_normal()
        return 1 + float(x @ A @ x) / 2 + 2e-6 * noise, A @ x

    found = critical_sharpness(w, rounded)
    low, high = found.interval
    g = H @ w
    assert low <= g @ H @ g / (g @ g) <= high
    assert found.noise > 1e-6


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directional_sharpness_is_the_quotient_of_dense_products(exact, dtype):
    A, w, d = H.astype(dtype), W.astype(dtype), update().astype(dtype)

    def own(x):
        return 0.5 * float(x @ A @ x), A @ x

    problem = Problem(w, own, hvp=(lambda x, v: A @ v) if exact else None)
    found = directional_sharpness(problem, d)
    wide = d.astype(np.float64)
    true = wide @ H @ wide / (wide @ G)
    assert abs(found.value - true) <= 3 * found.error
    assert found.error < (1e-3 if dtype == np.float32 else 1e-8) * abs(true)
    assert found.curvature == pytest.approx(wide @ H @ wide, rel=1e-3)
    assert found.slope == pytest.approx(wide @ G, rel=1e-3)
    double = directional_sharpness(problem, 2 * d)
    assert double.value == pytest.approx(2 * found.value, rel=1e-4)
    assert found.products == 1


def test_along_the_gradient_it_is_a_mean_of_eigenvalues():
    found = directional_sharpness(PROBLEM)
    assert found.value == pytest.approx(G @ H @ G / (G @ G), rel=1e-9)
    assert found.value <= np.linalg.eigvalsh(H)[-1]
    exact = directional_sharpness(PROBLEM, hvp=lambda w, v: H @ v)
    assert exact.value == pytest.approx(G @ H @ G / (G @ G), rel=1e-14)


def test_lengths_in_all_and_by_layer():
    start = np.random.default_rng(5).standard_normal(N)
    found = distance(PROBLEM, start=start)
    away = W - start
    assert found.value == pytest.approx(np.linalg.norm(away), rel=1e-14)
    assert found.relative == pytest.approx(found.value / np.linalg.norm(W))
    assert found.layers == pytest.approx(
        {"a": np.linalg.norm(away[:10]), "b": np.linalg.norm(away[10:])}, rel=1e-14
    )
    assert found.calls == 0
    assert distance(W, start=Problem(start, loss)).value == found.value
    slope = gradient_norm(PROBLEM)
    assert slope.value == pytest.approx(np.linalg.norm(G), rel=1e-14)
    assert slope.layers["b"] == pytest.approx(np.linalg.norm(G[10:]), rel=1e-14)
    assert slope.error < 1e-14 * slope.value


def test_the_gradient_of_a_noisy_loss_has_an_error():
    rng = np.random.default_rng(0)
    found = gradient_norm(W, lambda w: (1.0, G + 0.1 * rng.standard_normal(N)))
    assert found.error == pytest.approx(0.1 * math.sqrt(N / 2), rel=0.5)


def test_a_device_finds_what_the_host_finds(cupy):
    A, w, d = (cupy.asarray(each) for each in (H, W, update()))

    def own(x):
        return float(x @ (A @ x)) / 2, A @ x

    problem = Problem(w, own)
    for measure in (critical_sharpness, directional_sharpness):
        found = measure(problem, direction=d)
        here = measure(PROBLEM, direction=update())
        assert found.value == pytest.approx(here.value, rel=1e-9)
    assert float(distance(problem, start=d)) == pytest.approx(
        np.linalg.norm(W - update())
    )
    assert float(gradient_norm(problem)) == pytest.approx(np.linalg.norm(G))


@pytest.mark.parametrize("measure", [critical_sharpness, directional_sharpness])
@pytest.mark.parametrize(
    ("direction", "words"),
    [
        (np.zeros(N), "direction is zero"),
        (np.ones(3), r"direction has shape \(3,\); give one entry per weight"),
        (np.full(N, np.inf), "direction has entries that are not finite"),
        ("g", "direction is 'g' of type str; give a flat vector of 30 numbers"),
        (np.ones(N, complex), "direction has dtype complex128; give real numbers"),
    ],
)
def test_directions_that_cannot_be_used(measure, direction, words):
    with pytest.raises((TypeError, ValueError), match=words):
        measure(PROBLEM, direction=direction)


def test_a_loss_alone_has_no_direction_of_its_own():
    def alone(w):
        return float(w @ w)

    with pytest.raises(ValueError, match="no gradient to step along; return"):
        critical_sharpness(W, alone)
    for measure in (gradient_norm, lambda w, f: directional_sharpness(w, loss_fn=f)):
        with pytest.raises(ValueError, match="this measure needs the gradient"):
            measure(W, alone)


def test_what_they_say():
    found = critical_sharpness(PROBLEM)
    assert repr(found).startswith(f"critical sharpness {found.value:.4g}  (")
    assert f"{found.evaluations} forward passes" in repr(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["step"]
    line = directional_sharpness(PROBLEM)
    assert repr(line).startswith(f"directional sharpness {line.value:.6g} ± ")
    assert (
        json.loads(json.dumps(line.to_dict(), allow_nan=False))["slope"] == line.slope
    )
    far = distance(PROBLEM, start=np.zeros(N))
    assert repr(far).startswith("distance from the start ")
    assert "\n  a " in repr(far)
    assert far.to_dict()["layers"]["a"] == far.layers["a"]
    assert repr(gradient_norm(PROBLEM)).startswith("gradient norm ")


def test_each_number_has_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    for i, found in enumerate((critical_sharpness(PROBLEM), gradient_norm(PROBLEM))):
        figure = found.plot(tmp_path / f"{i}.png")
        assert figure.axes[0].get_ylabel() == found.headline
        assert (tmp_path / f"{i}.png").stat().st_size > 0

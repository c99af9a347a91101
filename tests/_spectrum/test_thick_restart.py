"""Nothing claimed is wrong, and nothing is passed over that would have shown."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from spectra import KINDS, matrix, product
from threadpoolctl import threadpool_limits

from sharpkit import SpectrumStatus, eigenvalues
from sharpkit._spectrum.lanczos import Ritz
from sharpkit._spectrum.thick_restart import KEYS, top_outside, would_have_shown


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    with threadpool_limits(1):
        yield


def draw(rng):
    """Return a matrix and options for `eigenvalues`."""
    n, kind = int(rng.integers(60, 140)), KINDS[rng.integers(len(KINDS))]
    dtype = [np.float32, np.float64][rng.integers(2)]
    A = matrix(kind, int(rng.integers(10**6)), n).astype(dtype)
    k, which = int(rng.integers(1, 9)), ["LA", "SA", "LM"][rng.integers(3)]
    tol = 10 ** rng.uniform(-5.2 if dtype == np.float32 else -11, -1.5)
    return A, {
        "k": k,
        "which": which,
        "tol": tol,
        "ncv": int(rng.integers(k + 3, 60)),
        "max_products": int(rng.integers(1, 400)),
        "verify": bool(rng.integers(2)),
    }


def check(A, options, seed):
    found = eigenvalues(np.zeros(len(A), A.dtype), hvp=product(A), seed=seed, **options)
    A = A.astype(np.float64)
    truth, y = np.linalg.eigvalsh(A), found.vectors.astype(np.float64)
    size = np.abs(truth).max()
    true = np.linalg.norm(y @ A - found.values[:, None] * y, axis=1)
    assert (true <= found.residuals + 1e-14 * size).all()
    limit = options["tol"] * size + 1e-14 * size
    assert (true[found.converged] <= limit).all()
    if found.verified:
        key = {"LA": np.positive, "SA": np.negative, "LM": np.abs}[options["which"]]
        wanted = np.sort(key(truth))[::-1][: options["k"]]
        assert (np.abs(wanted - key(found.values)) <= 2 * limit).all()
    assert found.verified == (
        options["verify"] and found.status is SpectrumStatus.CONVERGED
    )
    return found.status


def test_random_options():
    rng = np.random.default_rng(1)
    seen = [check(*draw(rng), seed=index) for index in range(120)]
    assert {"CONVERGED", "BUDGET", "UNVERIFIED"} <= {each.name for each in seen}


@pytest.mark.parametrize(
    ("seed", "index"),
    [
        # Rows that are kept and not converged hide a part of what is passed over.
        (1, 117),
        # A complement with little in it has small residuals after one step.
        (4, 437),
        (7, 350),
        (11, 592),
    ],
)
def test_what_once_was_passed_over(seed, index):
    rng = np.random.default_rng(seed)
    for _ in range(index):
        draw(rng)
    # Or, in a tight cluster with little memory, that it could not be told.
    known = (SpectrumStatus.CONVERGED, SpectrumStatus.UNVERIFIED)
    assert check(*draw(rng), seed=index) in known


# Whether an eigenvalue would have shown.


def shown(beyond, worst, which, steps, n):
    """With nothing else seen before."""
    ends = beyond.values[0], beyond.values[-1]
    return would_have_shown(beyond, ends, worst, which, steps, n)


def seen(*values, residual=0.0):
    values = np.array(values, float)
    return Ritz(values, np.full(len(values), residual), np.eye(len(values)))


@pytest.mark.parametrize("which", KEYS)
def test_the_top_outside_of_some_columns(which):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((9, 9))
    A = A + A.T
    best = np.linalg.qr(rng.standard_normal((6, 3)))[0]
    value, vector = top_outside(A, best, KEYS[which])
    padded = np.vstack([best, np.zeros((3, 3))])
    rest = np.eye(9) - padded @ padded.T
    # the projector adds eigenvalues 0 for the columns themselves: shift them away
    far = {"LA": -99.0, "SA": 99.0, "LM": 0.0}[which]
    values = np.linalg.eigvalsh(rest @ A @ rest + far * (padded @ padded.T))
    assert KEYS[which](value) == pytest.approx(KEYS[which](values).max())
    np.testing.assert_allclose(padded.T @ vector, 0, atol=1e-14)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert vector @ A @ vector == pytest.approx(value)


def test_what_must_have_grown_shows_and_needs_its_steps():
    beyond = seen(0.0, 1.0)
    told = [shown(beyond, 3.0, "LA", steps, 10**6) for steps in range(20)]
    assert not any(told[:4])
    assert all(told[15:])
    assert told == sorted(told)  # once shown, always


@given(st.floats(0.1, 10), st.floats(-10, 10), st.integers(1, 30))
def test_units_and_places_do_not_matter(scale, shift, steps):
    moved = seen(shift, shift + scale)
    still = seen(0.0, 1.0)
    assert shown(moved, shift + 3 * scale, "LA", steps, 1000) == shown(
        still, 3.0, "LA", steps, 1000
    )
    # mirrored: the smallest eigenvalues
    mirrored = seen(-shift - scale, -shift)
    assert shown(mirrored, shift + 3 * scale, "SA", steps, 1000) == shown(
        still, 3.0, "LA", steps, 1000
    )


def test_inside_of_what_the_complement_has_nothing_can_be_told():
    assert not shown(seen(0.0, 1.0), 0.9, "LA", 99, 1000)
    assert not shown(seen(0.0, 1.0, residual=3.0), 3.0, "LA", 99, 1000)
    assert not shown(seen(-4.0, 1.0), 3.0, "LM", 99, 1000)
    assert shown(seen(-1.0, 1.0), 3.0, "LM", 99, 1000)


def test_what_was_seen_before_a_restart_still_counts():
    now = seen(0.0, 1.0)
    steps = 7
    assert would_have_shown(now, (0.0, 1.0), 3.0, "LA", steps, 1000)
    assert not would_have_shown(now, (-20.0, 1.0), 3.0, "LA", steps, 1000)
    assert not would_have_shown(now, (0.0, 3.5), 3.0, "LA", 99, 1000)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from sharpkit._spectrum.lanczos import Ritz
from sharpkit._spectrum.thick_restart.beyond import (
    KEYS,
    top_outside,
    would_have_shown,
)


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

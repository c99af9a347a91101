"""The Lanczos process against its definition, written out densely."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from spectra import KINDS, matrix, product
from thread_comm import run_ranks

from sharpkit._spectrum.lanczos import Lanczos
from sharpkit._spectrum.operators import Given
from sharpkit._vectors.kernels import cpu, reference
from sharpkit._vectors.space import Space


def process(A, rows, *, seed=0, kernels=cpu):
    space = Space(kernels, len(A), A.dtype)
    return Lanczos(Given(space, np.zeros(len(A), A.dtype), product(A)), rows, seed=seed)


def run(lanczos, steps):
    for _ in range(steps):
        if lanczos.closed and not lanczos.draw():
            return
        lanczos.step()


def check(lanczos, A, slack):
    """Rows are orthonormal, H is V A V^T, residuals are bounds."""
    V = lanczos.block.astype(np.float64)
    H = lanczos.projected[: len(V), : len(V)]
    size = max(np.abs(np.linalg.eigvalsh(A)).max(), 1e-300)
    assert np.abs(V @ V.T - np.eye(len(V))).max() <= slack
    f = lanczos.frozen
    assert np.abs((V @ A @ V.T - H)[f:, f:]).max() <= slack * size
    ritz = lanczos.ritz()
    y = ritz.mix.T @ V[f:]
    true = np.linalg.norm(y @ A - ritz.values[:, None] * y, axis=1)
    assert (true <= ritz.residuals + 1e-14 * size).all()
    return true, ritz


@pytest.mark.parametrize("kernels", [cpu, reference])
@pytest.mark.parametrize("kind", KINDS)
def test_the_definition(kind, kernels, dtype):
    A = matrix(kind, 0, 90).astype(dtype)
    lanczos = process(A, 40, kernels=kernels)
    run(lanczos, 40)
    check(lanczos, A.astype(np.float64), 200 * np.finfo(dtype).eps)


@given(st.integers(0, 99), st.sampled_from(KINDS), st.integers(2, 30), st.data())
@settings(max_examples=40, deadline=None)
def test_restarts_and_frozen_rows(seed, kind, rows, data):
    A = matrix(kind, seed, 50)
    lanczos = process(A, rows, seed=seed)
    for _ in range(3):
        run(lanczos, data.draw(st.integers(0, rows - lanczos.columns)))
        if lanczos.columns == lanczos.frozen:
            continue
        action = data.draw(st.sampled_from(["restart", "freeze", "nothing"]))
        if action == "restart":
            ritz = lanczos.ritz()
            keep = data.draw(st.integers(1, len(ritz.values)))
            lanczos.restart(ritz.mix[:, -keep:])
        elif action == "freeze" and lanczos.columns < rows:
            lanczos.freeze()
            run(lanczos, 1)
        if lanczos.columns > lanczos.frozen:
            check(lanczos, A, 1e-10)


def test_the_residual_is_sharp():
    """A bound that is never reached would be easy: here it is the residual itself."""
    A = matrix("wishart", 1, 100)
    lanczos = process(A, 20)
    run(lanczos, 20)
    true, ritz = check(lanczos, A, 1e-12)
    large = true > 1e-6
    assert large.sum() > 10
    np.testing.assert_allclose(ritz.residuals[large], true[large], rtol=1e-6)


def test_residuals_show_what_is_not_symmetric():
    A = matrix("wishart", 1, 100)
    skew = np.random.default_rng(0).standard_normal((100, 100))
    B = A + 1e-4 * (skew - skew.T)
    lanczos = process(B, 30)
    run(lanczos, 30)
    V = lanczos.block
    ritz = lanczos.ritz()
    y = ritz.mix.T @ V
    true = np.linalg.norm(y @ B.T - ritz.values[:, None] * y, axis=1)
    assert (true <= ritz.residuals * (1 + 1e-9)).all()
    assert not process(A, 30).asymmetric
    C = A + 0.1 * (skew - skew.T)
    lanczos = process(C, 30)
    run(lanczos, 30)
    assert lanczos.asymmetric


def test_two_passes_per_step():
    """Most steps read the basis twice: once for inner products, once to subtract."""
    n, steps = 3000, 60
    curvature = np.concatenate([np.geomspace(1, 100, 30), np.linspace(0, 1, n - 30)])
    space = Space(cpu, n, np.float32)
    operator = Given(
        space, np.zeros(n, np.float32), lambda w, v: (curvature * v).astype(np.float32)
    )
    lanczos = Lanczos(operator, steps, seed=0)
    lanczos.draw()
    space.counts.clear()
    run(lanczos, steps)
    moved = sum(space.counts[name].bytes for name in ("gram", "combine"))
    basis = 4 * n * steps * (steps + 1) / 2  # what one pass per step would read
    assert moved < 2.8 * basis


def test_a_closed_space_goes_on_elsewhere():
    A = np.diag([2.0, 2.0, 2.0, 0.0, 0.0])
    lanczos = process(A, 5)
    lanczos.draw()
    lanczos.step()
    lanczos.step()
    assert lanczos.closed  # two distinct eigenvalues: no third direction
    run(lanczos, 3)
    assert lanczos.columns == 5
    np.testing.assert_allclose(lanczos.ritz().values, [0, 0, 2, 2, 2], atol=1e-14)
    assert not lanczos.draw()  # nothing is left


def test_a_product_that_is_not_finite():
    A = np.eye(5)
    A[2, 2] = np.nan
    lanczos = process(A, 5)
    lanczos.draw()
    with pytest.raises(ValueError, match="a product with the operator is not finite"):
        lanczos.step()


def test_sharded_is_whole():
    A = matrix("hessian", 2, 60)

    def found(comm, piece):
        space = Space(cpu, piece.stop - piece.start, np.float64, comm)

        def hvp(w, v):  # every rank needs the whole vector: gather it by a sum
            whole = np.zeros(60)
            whole[piece] = v
            return np.ascontiguousarray((A @ comm.sum(whole))[piece])

        operator = Given(space, np.zeros(space.n), hvp)
        lanczos = Lanczos(operator, 12, seed=3)
        run(lanczos, 12)
        lanczos.restart(lanczos.ritz().mix[:, -4:])
        run(lanczos, 5)
        return lanczos.ritz().values

    (whole,) = run_ranks([60], found)
    for values in run_ranks([7, 40, 13], found):
        np.testing.assert_allclose(values, whole, rtol=1e-10, atol=1e-10)

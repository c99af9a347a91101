import numpy as np
import pytest

from sharpkit._box.lbfgsb.compact import Compact
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

N = 12


def model(pairs, memory, seed=0):
    """Return a `Compact` of some pairs, and the dense matrix by the BFGS formula."""
    rng = np.random.default_rng(seed)
    space = Space(cpu, N, np.float64)
    compact = Compact(space, np.full((2 * memory, N), np.nan))
    hessian = rng.standard_normal((N, N))
    hessian = hessian @ hessian.T + np.eye(N)
    kept = []
    for _ in range(pairs):
        s = rng.standard_normal(N)
        kept.append((s, hessian @ s))
        pair = compact.next_pair()
        pair[0], pair[1] = kept[-1][1], s
        assert compact.add()
    return compact, dense(kept[-memory:])


def dense(pairs):
    """Return B after the BFGS updates of theta I, one after the other."""
    if not pairs:
        return np.eye(N)
    s, y = pairs[-1]
    B = (y @ y) / (s @ y) * np.eye(N)
    for s, y in pairs:
        Bs = B @ s
        B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (s @ y)
    return B


def matrix(compact):
    W = (compact.scale[:, None] * compact.rows).T
    small = np.stack([compact.middle(row) for row in W], axis=0)
    return compact.theta * np.eye(N) - small @ W.T


@pytest.mark.parametrize("pairs", [0, 1, 2, 3, 5, 9])
@pytest.mark.parametrize("memory", [1, 3, 4])
def test_it_is_the_bfgs_matrix_of_the_last_pairs(pairs, memory):
    compact, B = model(pairs, memory)
    assert len(compact.rows) == 2 * min(pairs, memory)
    np.testing.assert_allclose(matrix(compact), B, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 7, N])
def test_its_inverse_on_free_coordinates(count):
    compact, B = model(5, 3)
    free = np.zeros(N, bool)
    free[np.random.default_rng(1).permutation(N)[:count]] = True
    r = np.random.default_rng(2).standard_normal(N) * free
    W = (compact.scale[:, None] * compact.rows).T * free[:, None]
    v = compact.solve_free(W.T @ r, W.T @ W)
    got = r / compact.theta + W @ v / compact.theta**2
    want = np.zeros(N)
    if count:
        want[free] = np.linalg.solve(B[np.ix_(free, free)], r[free])
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


def test_forgetting():
    compact, _ = model(3, 2)
    compact.forget()
    assert len(compact.rows) == 0
    assert compact.theta == 1.0
    np.testing.assert_array_equal(matrix(compact), np.eye(N))


def test_a_pair_without_curvature_empties_it():
    compact, _ = model(2, 3)
    pair = compact.next_pair()
    pair[0], pair[1] = -1.0, 1.0
    assert not compact.add()
    assert len(compact.rows) == 0


def test_the_oldest_pair_makes_room():
    compact, _ = model(3, 3)
    oldest = compact.rows[:2].copy()
    assert np.shares_memory(compact.next_pair(), compact.rows[:2])
    np.testing.assert_array_equal(compact.next_pair(), oldest)

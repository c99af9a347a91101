import numpy as np
import pytest

from sharpkit._spectrum import basis as module
from sharpkit._spectrum.basis import Basis
from sharpkit._vectors.kernels import cpu, reference
from sharpkit._vectors.space import Space


def filled(rows, capacity=None, kernels=cpu):
    basis = Basis(Space(kernels, rows.shape[1], rows.dtype), capacity or len(rows))
    for row in rows:
        basis.block[basis.count] = row
        yield basis, basis.extend()


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_rows_become_a_qr_decomposition(dtype, kernels):
    rows = np.random.default_rng(0).standard_normal((12, 300)).astype(dtype)
    rows[5] = rows[3] + 1e-3 * rows[5]  # nearly dependent
    eps = np.finfo(dtype).eps
    for index, (basis, (coefficients, norm)) in enumerate(filled(rows)):
        Q = basis.block[: index + 1].astype(np.float64)
        back = coefficients @ Q[:index] + norm * Q[index]
        assert np.abs(back - rows[index]).max() < 20 * eps * np.abs(rows).max()
    assert np.abs(Q @ Q.T - np.eye(12)).max() < 20 * eps


def test_a_dependent_row_is_not_counted():
    rows = np.random.default_rng(0).standard_normal((3, 50))
    rows[2] = 2 * rows[0] - rows[1]
    *_, (basis, (coefficients, norm)) = filled(rows)
    assert (basis.count, norm) == (2, 0.0)
    np.testing.assert_allclose(coefficients @ basis.block[:2], rows[2], atol=1e-13)
    zero = np.zeros((1, 4))
    ((basis, (_, norm)),) = filled(zero)
    assert (basis.count, norm) == (0, 0.0)


def test_random_rows_fill_the_space():
    basis = Basis(Space(cpu, 5, np.float64), 8)
    drawn = [basis.draw(0, stream) for stream in range(7)]
    assert drawn == [True] * 5 + [False] * 2
    np.testing.assert_allclose(
        basis.block[:5] @ basis.block[:5].T, np.eye(5), atol=1e-14
    )
    small = Basis(Space(cpu, 5, np.float64), 1)
    assert [small.draw(0, 0), small.draw(0, 1)] == [True, False]


@pytest.mark.parametrize("slab", [1, 1 << 24])
@pytest.mark.parametrize("first", [0, 2])
def test_rotation_in_place(monkeypatch, slab, first):
    monkeypatch.setattr(module, "SLAB_BYTES", slab)
    rng = np.random.default_rng(0)
    basis = Basis(Space(cpu, 2500, np.float64), 9)
    basis.block[:] = rng.standard_normal(basis.block.shape)
    before = basis.block.copy()
    mix = np.linalg.qr(rng.standard_normal((6, 4)))[0]
    basis.rotate(mix, first)
    assert basis.count == first + 4
    found = basis.block[first : first + 4]
    np.testing.assert_allclose(found, mix.T @ before[first : first + 6], atol=1e-13)
    np.testing.assert_array_equal(basis.block[:first], before[:first])


def test_a_row_that_is_not_finite():
    rows = np.array([[1.0, np.inf]])
    with pytest.raises(ValueError, match="a product with the operator is not finite"):
        next(filled(rows))

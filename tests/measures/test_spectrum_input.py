"""What the estimates of the spectrum say to bad arguments, before any product."""

import numpy as np
import pytest
from problems import never

from sharpkit import diagonal, eigenvalues, spectral_density, trace

W = np.ones(5)


def hvp(w, v):
    raise AssertionError("called")


BAD = [
    ({"k": 0}, ValueError, "k=0; give a whole number of at least 1"),
    ({"k": 6}, ValueError, "k=6; there are 5 eigenvalues, one per weight: give at m"),
    ({"k": 1.5}, TypeError, "k=1.5 is not a whole number"),
    ({"which": "BE"}, ValueError, "which='BE'; give one of 'LA', 'SA', 'LM'"),
    ({"tol": 1e-16}, ValueError, r"tol=1e-16; in float64 residuals can be known to 7e"),
    ({"tol": np.nan}, ValueError, "tol=nan; in float64"),
    ({"tol": "small"}, TypeError, "tol='small' is not a number; give one such as 1e-3"),
    ({"max_products": 0}, ValueError, "max_products=0; give a whole number of at le"),
    ({"ncv": 3}, ValueError, "ncv=3 with k=1; give at least 4 vectors, or None"),
    ({"seed": -1}, ValueError, "seed=-1"),
    ({"backend": "gpu"}, ValueError, "backend='gpu'; give one of"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_options_of_eigenvalues(options, error, message):
    with pytest.raises(error, match=message):
        eigenvalues(W, hvp=hvp, **options)


BAD = [
    ({"max_products": 3}, ValueError, "max_products=3; give a whole number of at le"),
    ({"probes": 0}, ValueError, "probes=0; give a whole number of at least 1"),
    ({"probes": True}, TypeError, "probes=True is not a whole number"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_options_of_the_density(options, error, message):
    with pytest.raises(error, match=message):
        spectral_density(W, hvp=hvp, **options)


@pytest.mark.parametrize("measure", [eigenvalues, spectral_density])
def test_bad_operators(measure):
    with pytest.raises(TypeError, match=r"loss_fn=None beside flat weights; give loss"):
        measure(W)
    with pytest.raises(TypeError, match=r"hvp=3 of type int is not callable"):
        measure(W, hvp=3)
    with pytest.raises(TypeError, match=r"loss_fn=3 of type int is not callable"):
        measure(W, 3)
    with pytest.raises(TypeError, match=r"weights is of type list"):
        measure([1.0], hvp=hvp)
    with pytest.raises(ValueError, match=r"no gradient, and a product needs one"):
        measure(W, lambda w: float(w @ w))
    with pytest.raises(ZeroDivisionError, match="mine"):
        measure(W, failing)
    with pytest.raises(AssertionError, match="called"):  # hvp goes first
        measure(W, never, hvp=hvp)


def failing(w):
    raise ZeroDivisionError("mine")


def test_weights_are_not_written_to_and_half_precision_is_measured_in_single():
    w = np.ones(5, np.float16)
    with pytest.warns(UserWarning, match="weights has dtype float16"):
        found = eigenvalues(w, hvp=lambda w, v: 2 * v)
    assert found.run.dtype == "float32"
    assert found.values[0] == pytest.approx(2)
    assert (w == 1).all()


@pytest.mark.parametrize("measure", [eigenvalues, spectral_density])
def test_progress_is_told(measure):
    told = []
    measure(
        np.zeros(50),
        hvp=lambda w, v: np.linspace(0, 1, 50) * v,
        progress=lambda *now: told.append(now),
    )
    assert [each[0] for each in told] == list(range(1, len(told) + 1))
    budgets = {each[1] for each in told}
    assert budgets == {1000 if measure is eigenvalues else 400}


@pytest.mark.parametrize("measure", [eigenvalues, spectral_density, trace, diagonal])
def test_progress_is_told_while_the_step_of_differences_is_chosen(measure):
    told = []

    def loss_fn(w):
        return 0.25 * float(np.sum(w**4)), w**3

    measure(np.linspace(1, 2, 30), loss_fn, progress=lambda *now: told.append(now[0]))
    first = told.index(1)
    assert first >= 4
    assert told[:first] == [0] * first
    assert 0 not in told[first:]


@pytest.mark.parametrize("measure", [eigenvalues, trace, diagonal, spectral_density])
def test_a_product_of_the_loss_is_used_unless_another_is_given(measure):
    own, other = [], []

    class Problem:
        def __call__(self, w):
            return 2.5 * float(w @ w), 5 * w

        def hvp(self, w, v):
            own.append(1)
            return 5 * v

    def given(w, v):
        other.append(1)
        return 5 * v

    for options, used in (({}, own), ({"hvp": given}, other)):
        found = measure(W, Problem(), **options)
        assert found.run.source == "hvp"
        assert found.to_dict() != {}
        assert len(used) > found.products
        if measure is eigenvalues:
            assert float(found) == pytest.approx(5)
    assert len(own) == len(other)

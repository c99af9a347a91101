"""A single write shows, and so does one that only moves entries."""

import numpy as np
import pytest

from sharpkit import by_group, sharpness, trace
from sharpkit._inputs.seal import LOOKED_AT, Seal

SIZES = [1, 7, LOOKED_AT, LOOKED_AT + 1, 3 * LOOKED_AT + 5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_a_single_write(size, dtype):
    vector = np.random.default_rng(0).standard_normal(size).astype(dtype)
    for where in np.unique(np.linspace(0, size - 1, 40).astype(int)):
        seal = Seal(vector)
        seal.require_intact("loss_fn", "w")
        vector[where] = np.nextafter(vector[where], 9, dtype=dtype)
        with pytest.raises(ValueError, match=r"loss_fn wrote into its argument w"):
            seal.require_intact("loss_fn", "w")


def test_entries_that_change_places():
    vector = np.random.default_rng(0).standard_normal(5 * LOOKED_AT)
    seal = Seal(vector)
    vector.sort()
    with pytest.raises(ValueError, match=r"hvp wrote into its argument v \(v\[0\] bec"):
        seal.require_intact("hvp", "v")


def test_what_is_not_a_number_stays_it():
    vector = np.array([np.nan, np.inf, -0.0])
    Seal(vector).require_intact("hvp", "v")
    vector[2] = 0.0
    seal = Seal(vector)
    vector[2] = -0.0
    with pytest.raises(ValueError, match="hvp wrote"):
        seal.require_intact("hvp", "v")


N = 2 * LOOKED_AT + 1
GROUPS = {"head": slice(0, 3)}


@pytest.mark.parametrize("at", [4, 9])
def test_a_loss_that_writes_outside_the_group(at):
    """It would stay: all other weights are kept from call to call."""
    calls = []

    def writes(w):
        calls.append(1)
        found = 0.5 * float(w @ w), w.copy()
        if len(calls) == at:
            w[N - 2] += 1
        return found

    writes.weights = np.ones(N)
    with pytest.raises(ValueError, match="loss_fn wrote into its argument w"):
        by_group(sharpness, writes, GROUPS)
    assert len(calls) == at


def test_a_product_that_writes_outside_the_group():
    calls = []

    class Loss:
        weights = np.ones(N)

        def __call__(self, w):
            return 0.5 * float(w @ w), w.copy()

        def hvp(self, w, v):
            calls.append(1)
            if len(calls) == 12:
                v[N - 2] += 1
            return v.copy()

    with pytest.raises(ValueError, match="hvp wrote into its argument v"):
        by_group(trace, Loss(), GROUPS, method="hutchinson", max_products=40)

import numpy as np
import pytest
from problems import Separable

from sharpkit.problem import Problem

N = 40


@pytest.fixture
def quadratic():
    """``make(seed)``: a problem whose every measure has a closed form, and its loss."""

    def make(seed=0, dtype=np.float64, **options):
        random = np.random.default_rng(seed)
        h = np.append(random.uniform(0.1, 2, N - 2), [5.0, 30.0])
        loss = Separable(h, random.standard_normal(N), floor=0.5)
        options.setdefault("hvp", lambda w, v: (h * v).astype(dtype))
        weights = (loss.m + 0.3 * random.standard_normal(N)).astype(dtype)
        return Problem(weights, loss, **options), loss

    return make


@pytest.fixture
def ends():
    random = np.random.default_rng(1)
    return [random.standard_normal(N) for _ in range(2)]

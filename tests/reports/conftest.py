from types import MappingProxyType

import numpy as np
import pytest
from problems import Separable

from sharpkit.problem import Problem

N = 40
MANY = 150


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


class Known(Problem):
    """A problem that knows the matrix of its only layer."""

    matrices = MappingProxyType({"layer": (slice(0, MANY), (10, 15))})


@pytest.fixture
def logistic():
    """``make(seed)``: a logistic regression that counts its calls; and its Hessian."""

    def make(seed=0, product=True, accuracy=None):
        random = np.random.default_rng(seed)
        x = random.standard_normal((200, MANY))
        sign = np.where(x[:, 0] > 0, 1.0, -1.0)
        calls = {"loss": 0, "product": 0}

        def over(chosen):
            own, label = x[chosen], sign[chosen]

            def loss(w):
                z = -label * (own @ w)
                mean = float(np.logaddexp(0, z).mean())
                return mean, own.T @ (-label / (1 + np.exp(-z))) / len(z)

            return loss

        whole = over(slice(None))

        def loss(w):
            calls["loss"] += 1
            return whole(w)

        def share(w):
            p = 1 / (1 + np.exp(-(x @ w)))
            return p * (1 - p) / 200

        def hvp(w, v):
            calls["product"] += 1
            return x.T @ (share(w) * (x @ v))

        w = 0.1 * random.standard_normal(MANY)
        problem = Known(
            w,
            loss,
            hvp=hvp if product else None,
            accuracy=accuracy,
            samples=200,
            subset=over,
        )
        return problem, x.T * share(w) @ x, calls

    return make

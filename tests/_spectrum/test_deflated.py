import numpy as np
import pytest
from problems import never

import sharpkit
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit.measures._point import Point
from sharpkit.measures.eigenvalues import searched
from sharpkit.measures.trace import trace_beside


def known_of(h, seed, scale=1.0, k=1):
    w = np.zeros(len(h))
    point = Point.of(w, hvp=lambda w, v: scale * (h @ v))
    return point, searched(point, k=k, seed=seed)[1]


def symmetric(n, seed):
    random = np.random.default_rng(seed)
    q, _ = np.linalg.qr(random.standard_normal((n, n)))
    values = np.append(random.uniform(-1, 1, n - 3), [20.0, 30.0, 50.0])
    return (q * values) @ q.T


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
def test_it_is_right_within_its_error_at_every_scale(scale):
    h = symmetric(300, 0)
    point, known = known_of(h, 0, scale)
    found = trace_beside(point, known, max_products=30, seed=0)
    assert found.products == 30
    assert found.method == "deflated"
    assert abs(found.value - scale * np.trace(h)) < 4 * found.stderr
    plain = sharpkit.trace(np.zeros(300), hvp=lambda w, v: h @ v, max_products=30)
    assert found.stderr < 1.5 * scale * plain.stderr


def test_its_intervals_hold_the_trace_as_often_as_they_say():
    h, held, errors = symmetric(120, 1), 0, []
    exact = np.trace(h)
    for seed in range(200):
        point, known = known_of(h, seed)
        found = trace_beside(point, known, max_products=12, seed=seed)
        low, high = found.interval
        held += low <= exact <= high
        errors.append(found.value - exact)
    assert 0.91 * 200 <= held <= 0.99 * 200
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(200)


def test_a_space_that_is_known_whole_takes_no_products():
    h = symmetric(12, 2)
    point, known = known_of(h, 0, k=12)
    point._operators[0]._hvp = lambda w, v: never(v)
    found = trace_beside(point, known, max_products=12, seed=0)
    assert found.value == pytest.approx(np.trace(h), rel=1e-12)
    assert found.status is SpectrumStatus.EXACT
    assert found.products == 0

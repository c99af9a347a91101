import numpy as np
import pytest

from sharpkit import SharpkitWarning
from sharpkit._spectrum.operators import Differences, Given, is_asymmetric
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space


def differences(w, loss_fn, seed=0):
    return Differences(Space(cpu, w.size, w.dtype), w, loss_fn, seed=seed)


def applied(operator, v):
    out = np.empty_like(v)
    operator.apply(v, out)
    return out


class Smooth:
    """``sum cos(a x) + (sum x)^4 / 24`` with its Hessian."""

    def __init__(self, n, seed=0):
        self.a = np.random.default_rng(seed).uniform(0.5, 2, n)

    def __call__(self, w):
        x = w.astype(np.float64)
        s = x.sum()
        gradient = -self.a * np.sin(self.a * x) + s**3 / 6
        return float(np.cos(self.a * x).sum() + s**4 / 24), gradient.astype(w.dtype)

    def hessian(self, w):
        x = w.astype(np.float64)
        return np.diag(-(self.a**2) * np.cos(self.a * x)) + x.sum() ** 2 / 2


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_differences_are_as_wrong_as_they_say(dtype, scale):
    rng = np.random.default_rng(1)
    n, problem = 50, Smooth(50)
    w = (scale / 7 * rng.standard_normal(n)).astype(dtype)
    operator = differences(w, problem)
    H = problem.hessian(w)
    size = np.abs(np.linalg.eigvalsh(H)).max()
    assert operator.error < (1e-6 if dtype == np.float64 else 3e-2) * size
    for _ in range(10):
        v = rng.standard_normal(n).astype(dtype)
        wrong = np.linalg.norm(applied(operator, v) - H @ v) / np.linalg.norm(v)
        unit = v / np.linalg.norm(v)
        assert wrong < 10 * max(operator.error, operator.error_along(unit))
    assert operator.products == 10
    assert operator.source.startswith("central differences of the gradient, step ")


def test_differences_are_exact_for_a_quadratic():
    A = np.diag(np.arange(1.0, 9))
    operator = differences(np.ones(8), lambda w: (0.5 * float(w @ A @ w), A @ w))
    v = np.random.default_rng(0).standard_normal(8)
    np.testing.assert_allclose(applied(operator, v), A @ v, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_product_is_linear_in_the_length_of_v(factor):
    operator = differences(np.linspace(-1, 1, 20), Smooth(20))
    v = np.random.default_rng(0).standard_normal(20)
    long = applied(operator, factor * v)
    np.testing.assert_allclose(
        long / factor, applied(operator, v), rtol=1e-6, atol=1e-8
    )


def test_callbacks_of_the_same_buffer():
    buffer = np.empty(20)
    problem, w = Smooth(20), np.linspace(-1, 1, 20)

    def reuse(x):
        loss, buffer[:] = problem(x)
        return loss, buffer

    v = np.random.default_rng(0).standard_normal(20)
    one, other = differences(w, reuse), differences(w, problem)
    np.testing.assert_array_equal(applied(one, v), applied(other, v))


def test_a_domain_with_edges():
    """Too long a step leaves the domain: shorter ones are tried."""

    def barrier(w):
        with np.errstate(invalid="ignore"):
            return -float(np.log(w).sum()), np.where(w > 0, -1 / w, np.nan)

    operator = differences(np.full(5, 1e-4), barrier)
    v = np.ones(5)
    np.testing.assert_allclose(applied(operator, v), 1e8 * v, rtol=1e-2)


def test_gradients_that_are_never_finite():
    def spike(w):
        at = bool((w == 1).all())
        return 0.0, np.zeros(3) if at else np.full(3, np.nan)

    with pytest.raises(ValueError, match=r"gradients that loss_fn returns near .*hvp="):
        differences(np.ones(3), spike)


def test_a_loss_alone():
    with pytest.raises(ValueError, match=r"no gradient, .*return \(loss, gradient\)"):
        differences(np.ones(3), lambda w: 1.0)


def test_a_loss_that_is_not_deterministic():
    values = iter(range(99))
    with pytest.warns(SharpkitWarning, match="not deterministic"):
        differences(np.ones(3), lambda w: (float(next(values)), w.copy()))


def given(hvp, n=4, dtype=np.float64):
    w = np.ones(n, dtype)
    return Given(Space(cpu, n, w.dtype), w, hvp)


def test_a_given_product():
    operator = given(lambda w, v: 2 * w * v)
    np.testing.assert_array_equal(applied(operator, np.arange(4.0)), [0, 2, 4, 6])
    assert (operator.products, operator.calls) == (1, 1)
    assert operator.seconds > 0
    assert operator.error == operator.error_along(np.ones(4)) == 0


BAD = [
    (lambda w, v: None, TypeError, "hvp returned None .*as the product; the weights"),
    (lambda w, v: v[:2], ValueError, r"hvp returned a product of shape \(2,\)"),
    (lambda w, v: v.astype(int), TypeError, "hvp returned a product of dtype int64"),
    (
        lambda w, v: np.multiply(v, 2, out=v),
        ValueError,
        "hvp wrote into its argument v",
    ),
]


@pytest.mark.parametrize(("hvp", "error", "message"), BAD)
def test_bad_products(hvp, error, message):
    with pytest.raises(error, match=message):
        applied(given(hvp), np.ones(4))


def test_another_dtype_warns_once():
    operator = given(lambda w, v: v.astype(np.float64), dtype=np.float32)
    v = np.ones(4, np.float32)
    with pytest.warns(SharpkitWarning, match="hvp returns products of dtype float64"):
        applied(operator, v)
    assert applied(operator, v).dtype == np.float32


@pytest.mark.parametrize("kind", [Given, Differences])
def test_a_fresh_operator_counts_anew_and_multiplies_alike(kind):
    w = np.linspace(0.5, 1, 4)
    space, loss_fn = Space(cpu, 4, w.dtype), Smooth(4)
    used = (
        Given(space, w, lambda w, v: 7 * v)
        if kind is Given
        else Differences(space, w, loss_fn, seed=0)
    )
    wanted, spent = applied(used, w), used.calls
    fresh = used.fresh()
    assert (fresh.products, fresh.calls, fresh.seconds) == (0, 0, 0.0)
    np.testing.assert_array_equal(applied(fresh, w), wanted)
    assert (fresh.products, used.products, used.calls) == (1, 1, spent)
    assert (fresh.source, fresh.error) == (used.source, used.error)


def test_what_is_symmetric():
    assert not is_asymmetric(1e-4, 1.0, 10, 0.0)
    assert is_asymmetric(1e-2, 1.0, 10, 0.0)
    assert not is_asymmetric(1e-2, 1.0, 10, 1e-2)

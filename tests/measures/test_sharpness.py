"""Values and properties of the sharpness."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from measures_shared import SOLVERS, inside, same_bits, separable
from problems import Linear, Recorded, Separable, TwoBasins, per_cent, radius, rotated

from sharpkit import Status
from sharpkit.measures.sharpness import sharpness

# Values with a closed form.


@pytest.mark.parametrize("offset", [0.3, 0.0])
@pytest.mark.parametrize("n", [1, 2, 100])
@pytest.mark.parametrize("epsilon", [1e-3, 5e-4, 0.3])
def test_separable_quadratic(backend, dtype, n, epsilon, offset):
    loss_fn, w = separable(n, n, dtype, offset=offset)
    loss_fn.h[0] = 1  # not all flat
    loss_fn.m = loss_fn.m if offset else w.astype(np.float64)
    result = sharpness(w, loss_fn, epsilon=epsilon, backend=backend)
    loss, want = loss_fn(w)[0], loss_fn.maximum(w, epsilon)
    assert result.loss == loss
    assert abs(result.max_loss - want) <= loss_fn.rounding(w, epsilon)
    if dtype == np.float64:
        assert result.max_loss == pytest.approx(want, rel=1e-12)
    assert result.value == float(result) == per_cent(loss, result.max_loss)
    assert result.status is Status.CONVERGED
    assert result.displacement.dtype == dtype
    assert inside(result, w)
    assert (result.backend, result.dtype) == (backend, str(dtype))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rank", [8, 3, 1])
@pytest.mark.parametrize("offset", [0.0, 0.01])
def test_rotated_quadratic_against_all_corners(rank, offset, seed):
    rng = np.random.default_rng(seed)
    loss_fn = rotated(rng, 8, rank=rank)
    w = loss_fn.m + offset * rng.standard_normal(8)
    want = loss_fn.maximum(w, 0.1)
    result = sharpness(w, loss_fn, epsilon=0.1, max_evaluations=60)
    assert result.status is Status.CONVERGED
    # Of a convex loss every maximum is at a corner; with rank 1 there is one basin.
    np.testing.assert_allclose(np.abs(result.displacement), radius(w, 0.1), rtol=1e-14)
    if rank == 1:
        assert result.max_loss == pytest.approx(want, rel=1e-12)
    else:
        assert want / 2 < result.max_loss <= want * (1 + 1e-12)


@pytest.mark.parametrize("options", SOLVERS)
def test_linear(options):
    slope = np.random.default_rng(0).standard_normal(50)
    loss_fn, w = Linear(slope), np.linspace(-1, 1, 50)
    result = sharpness(w, loss_fn, epsilon=0.01, **options)
    assert result.max_loss == pytest.approx(loss_fn.maximum(w, 0.01), rel=1e-12)
    assert result.status is Status.CONVERGED


def test_two_basins():
    loss_fn = TwoBasins(1000, 1e-3)
    result = sharpness(np.zeros(1000), loss_fn)
    assert result.max_loss == pytest.approx(2.4, rel=1e-12)
    assert len(result.starts) == len(result.kin) > 1
    assert not result.kin[0]
    assert result.outside
    assert max(result.starts) == result.value


def test_one_basin_has_starts_too():
    loss_fn, w = separable(0, 40)
    result = sharpness(w, loss_fn)
    assert len(result.starts) > 1
    assert max(result.starts) == result.starts[0] == result.value


# Properties.

PROBLEMS = st.builds(
    separable,
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.sampled_from([np.float32, np.float64]),
    offset=st.sampled_from([0.01, 0.3, 5.0]),
)
EPSILONS = st.floats(1e-4, 0.5)
QUICK = settings(max_examples=30, deadline=None)


@QUICK
@given(PROBLEMS, EPSILONS, st.integers(3, 40))
def test_properties_of_any_separable_problem(problem, epsilon, budget):
    loss_fn, w = problem
    recorded = Recorded(loss_fn)
    result = sharpness(w, recorded, epsilon=epsilon, max_evaluations=budget)
    assert inside(result, w)
    assert loss_fn(w + result.displacement)[0] == result.max_loss
    # Two calls look at the noise between the centre and the search, others after it.
    searched = recorded.losses[:2] + recorded.losses[4 : result.evaluations + 2]
    assert result.max_loss == max(searched)
    assert result.value >= 0
    # A sign step leads to the maximum at once, so budget 3 is enough.
    allowed = loss_fn.rounding(w, epsilon)
    assert abs(result.max_loss - loss_fn.maximum(w, epsilon)) <= allowed
    assert (np.diff(result.history) >= 0).all()
    assert result.history[0] == result.history[1] == 0
    assert result.history[-1] == result.value
    assert len(result.history) == result.evaluations <= budget
    assert len(recorded.seen) == result.calls >= result.evaluations + 2


@QUICK
@given(PROBLEMS, EPSILONS, st.floats(1.01, 3))
def test_monotone_in_epsilon(problem, epsilon, factor):
    loss_fn, w = problem
    small = sharpness(w, loss_fn, epsilon=epsilon, max_evaluations=3)
    large = sharpness(w, loss_fn, epsilon=epsilon * factor, max_evaluations=3)
    if loss_fn.h.any():
        assert large.value > small.value > 0
    else:
        assert large.value == small.value == 0


@QUICK
@given(PROBLEMS, st.randoms(use_true_random=False))
def test_invariant_to_the_order_of_the_weights(problem, random):
    loss_fn, w = problem
    order = list(range(w.size))
    random.shuffle(order)
    shuffled = Separable(loss_fn.h[order], loss_fn.m[order])
    want = sharpness(w, loss_fn)
    got = sharpness(w[order], shuffled)
    assert got.max_loss == pytest.approx(want.max_loss, rel=1e-13)
    np.testing.assert_array_equal(got.displacement, want.displacement[order])


@QUICK
@given(PROBLEMS, st.floats(1e-3, 1e3))
def test_a_scaled_loss_has_the_value_of_the_formula(problem, factor):
    loss_fn, w = problem
    plain = sharpness(w, loss_fn)
    scaled = Separable(loss_fn.h, loss_fn.m, factor=factor)
    want = 100 * factor * (plain.max_loss - plain.loss) / (1 + factor * plain.loss)
    assert sharpness(w, scaled).value == pytest.approx(want, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("sub", [None, 5])
@pytest.mark.parametrize("options", SOLVERS)
def test_the_displacement_reproduces_the_maximum(dtype, sub, options):
    loss_fn, w = separable(3, 200, dtype)
    result = sharpness(w, loss_fn, subspace=sub, **options)
    assert result.value > 0
    again = loss_fn(w + result.displacement)[0]
    if sub is None:
        assert inside(result, w)
        assert again == result.max_loss
    else:
        slope = np.abs(loss_fn(w)[1]) @ (np.abs(w) + 1)
        assert abs(again - result.max_loss) <= np.finfo(dtype).eps * slope


def test_nothing_outside_the_box_is_asked_where_the_user_forbids_it():
    for budget, n in [(25, 100), (100, 100), (25, 10)]:
        recorded = Recorded(TwoBasins(n, 1e-3))
        result = sharpness(
            np.zeros(n), recorded, max_evaluations=budget, stay_inside=True
        )
        searched = recorded.seen[4 : result.evaluations + 2]
        assert np.abs(searched).max() <= 1e-3
        assert not result.outside
        assert result.max_loss == pytest.approx(2.4, rel=1e-12)


# The same bits.


LONG = 100_003  # several chunks of the kernels


class Coupled:
    """A loss with several basins whose sums have one order."""

    def __init__(self, dtype):
        rng = np.random.default_rng(1)
        self.w = rng.standard_normal(LONG).astype(dtype)
        self.u = rng.standard_normal(LONG).astype(dtype)

    def __call__(self, w):
        s = float(np.sum(self.u * (w - self.w), dtype=np.float64)) + 1.0
        return 1e-3 * s**2, (2e-3 * s) * self.u


@pytest.mark.parametrize("sub", [None, 4])
def test_the_same_bits_for_any_number_of_threads(dtype, threads, sub):
    loss_fn = Coupled(dtype)
    results = []
    for count in [1, 2, 4, 2]:
        threads(count)
        results.append(
            sharpness(loss_fn.w, loss_fn, subspace=sub, seed=3, max_evaluations=20)
        )
    assert results[0].value > 0
    for other in results[1:]:
        same_bits(results[0], other)


@pytest.mark.parametrize("sub", [None, 4])
def test_the_reference_gives_the_same_to_rounding(sub):
    loss_fn = Coupled(np.float64)
    one, other = (
        sharpness(loss_fn.w, loss_fn, subspace=sub, max_evaluations=12, backend=name)
        for name in ("cpu", "reference")
    )
    # Normals of the two may differ by some float32 roundings.
    rel = 1e-12 if sub is None else 1e-6
    assert one.value == pytest.approx(other.value, rel=rel)
    np.testing.assert_allclose(one.history, other.history, rtol=rel)


def test_another_seed_is_another_search():
    loss_fn, w = separable(0, 300)
    results = [sharpness(w, loss_fn, subspace=4, seed=seed) for seed in (0, 1)]
    assert results[0].value != results[1].value
    basins = TwoBasins(100, 1e-3)
    seen = [Recorded(basins), Recorded(basins)]
    for seed, recorded in enumerate(seen):
        sharpness(np.zeros(100), recorded, seed=seed)
    assert not np.array_equal(seen[0].seen, seen[1].seen)

import numpy as np
import pytest
from problems import Recorded, Separable, flat, rotated

from sharpkit._box import scipy_lbfgsb
from sharpkit._box.box import Box
from sharpkit._box.subspace import FullSpace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space


def search(loss_fn, w, *, epsilon=0.1, budget=None, max_iter=10, rescale=True):
    recorded = Recorded(loss_fn)
    where = FullSpace(Space(cpu, w.size, w.dtype), w, epsilon)
    objective = Objective(recorded, w)
    loss, gradient, _ = objective.centre(w)
    box = Box(objective, where, loss, gradient, budget=budget, spent=2)
    best, stopped = scipy_lbfgsb.maximise(box, max_iter=max_iter, rescale=rescale)
    return best, stopped, box, recorded


def wavy(w):
    """Many maxima inside the box."""
    x = np.linspace(3, 9, w.size) * w
    return w.size + float(np.sin(x).sum()), np.linspace(3, 9, w.size) * np.cos(x)


@pytest.mark.parametrize("rescale", [False, True])
def test_the_best_point_is_the_best_seen(dtype, rescale):
    w = np.linspace(-1, 1, 20).astype(dtype)

    def loss_fn(x):
        loss, g = wavy(x.astype(np.float64))
        return loss, g.astype(dtype)

    best, _, box, recorded = search(loss_fn, w, epsilon=0.9, rescale=rescale)
    assert best.loss == max(recorded.losses) == box.history[-1] > recorded.losses[0]
    assert best.z.dtype == dtype
    loss, gradient = loss_fn(w + best.z)
    assert loss == best.loss
    np.testing.assert_array_equal(best.gradient, gradient)
    assert (np.abs(best.z) <= box.radius()).all()


def test_the_centre_is_not_paid_for_again():
    w = np.ones(5)
    recorded = search(Separable(np.ones(5), np.zeros(5)), w)[3]
    assert [bool((x == w).all()) for x in recorded.seen[:2]] == [True, True]
    assert not any((x == w).all() for x in recorded.seen[2:])


@pytest.mark.parametrize("budget", [3, 4, 5])
def test_the_budget_ends_it(budget):
    w = np.linspace(-1, 1, 20)
    best, stopped, _, recorded = search(wavy, w, epsilon=0.9, budget=budget)
    assert len(recorded.seen) == budget
    assert not stopped
    assert best.loss == max(recorded.losses)


def test_iterations_end_it():
    w = np.linspace(-1, 1, 20)
    few, stopped, _, _ = search(wavy, w, epsilon=0.9, max_iter=2)
    assert not stopped
    many, stopped, _, _ = search(wavy, w, epsilon=0.9, max_iter=500)
    assert stopped
    assert many.loss > few.loss


@pytest.mark.parametrize("rescale", [False, True])
def test_a_stationary_centre_stops_it(rescale):
    for loss_fn in (flat, Separable(np.ones(3), np.zeros(3))):
        best, stopped, box, _ = search(loss_fn, np.zeros(3), rescale=rescale)
        assert stopped
        assert best.loss == box.history[0]
        assert not best.z.any()
        assert len(box.history) == 2


def test_rescale_first_step_is_of_the_size_of_the_box():
    loss_fn = rotated(np.random.default_rng(0), 20)
    loss_fn.H *= 1e-3
    w = loss_fn.m + 0.01
    for rescale in (False, True):
        _, _, box, recorded = search(loss_fn, w, rescale=rescale)
        steps = [np.abs((x - w) / box.radius()).max() for x in recorded.seen[2:]]
        assert (steps[0] > 0.5) == rescale

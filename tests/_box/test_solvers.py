import dataclasses

import numpy as np
import pytest
from problems import Separable

from sharpkit._box import lbfgsb, scipy_lbfgsb, search
from sharpkit._box.box import Box
from sharpkit._box.solvers import LBFGSB, Auto, ScipyLBFGSB, solver_from
from sharpkit._box.subspace import FullSpace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

LOSS = Separable(np.linspace(1.0, 9.0, 12), np.zeros(12), floor=1.0)


def box(budget=None):
    w = np.linspace(-1.0, 1.0, 12)
    space = Space(cpu, w.size, w.dtype)
    objective = Objective(LOSS, w)
    loss, gradient = objective(w)
    where = FullSpace(space, w, 0.1)
    return Box(objective, where, loss, gradient.copy(), budget=budget, spent=1)


def test_names_stand_for_solvers_with_their_default_options():
    assert solver_from("auto") == Auto()
    assert solver_from("lbfgsb") == LBFGSB() == LBFGSB(max_iter=10, rescale=False)
    assert solver_from("scipy") == ScipyLBFGSB(max_iter=10, rescale=False)
    mine = LBFGSB(max_iter=3)
    assert solver_from(mine) is mine
    assert mine != ScipyLBFGSB(max_iter=3)


def test_what_they_are_called_and_may_spend():
    assert (Auto().name, Auto().default_evaluations) == ("auto", 100)
    assert LBFGSB().name == "L-BFGS-B, 10 iterations"
    assert LBFGSB(3, rescale=True).name == "L-BFGS-B, 3 iterations, scaled"
    assert ScipyLBFGSB(1).name == "scipy L-BFGS-B, 1 iterations"
    assert ScipyLBFGSB(rescale=True).name == "scipy L-BFGS-B, 10 iterations, scaled"
    assert LBFGSB().default_evaluations is ScipyLBFGSB().default_evaluations is None


def test_the_default_solver_spends_the_budget():
    here, there = box(budget=25), box(budget=25)
    found, want = Auto().maximise(here, seed=3), search.maximise(there, seed=3)
    assert (found.best.loss, *found[1:]) == (want.best.loss, *want[1:])
    assert found.best.z.tobytes() == want.best.z.tobytes()
    assert not found.stopped
    assert here.left == 0


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize(
    ("solver", "method"), [(LBFGSB, lbfgsb), (ScipyLBFGSB, scipy_lbfgsb)]
)
def test_options_reach_the_method(solver, method, rescale):
    ended = set()
    for max_iter in (1, 40):
        here, there = box(), box()
        best, reached, _, stopped, _ = solver(max_iter, rescale).maximise(here, seed=0)
        want, early = method.maximise(there, max_iter=max_iter, rescale=rescale)
        assert (best.loss, reached, stopped) == (want.loss, (want.loss,), early)
        assert best.z.tobytes() == want.z.tobytes()
        assert here.history == there.history
        ended.add(stopped)
    assert ended == {False, True}


@pytest.mark.parametrize("solver", [LBFGSB, ScipyLBFGSB])
def test_options_are_checked_when_they_are_given(solver):
    assert type(solver(max_iter=np.int64(4)).max_iter) is int
    assert solver(rescale=np.True_).rescale is True
    with pytest.raises(ValueError, match="max_iter=0; give a whole number of at least"):
        solver(max_iter=0)
    with pytest.raises(TypeError, match=r"max_iter=1\.5 is not a whole number; give"):
        solver(max_iter=1.5)
    with pytest.raises(TypeError, match="rescale=1 is of type int; give True or False"):
        solver(rescale=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver().max_iter = 3


def test_there_is_no_such_solver():
    with pytest.raises(
        ValueError, match="solver='sgd'; give one of 'auto', 'lbfgsb', 'scipy'"
    ):
        solver_from("sgd")
    for wrong, name in ((None, "NoneType"), (3, "int"), (LBFGSB, "type"), ([], "list")):
        with pytest.raises(
            TypeError,
            match=f"of type {name} is no solver; give one of 'auto', 'lbfgsb', 'scipy',"
            r" or LBFGSB\(\.\.\.\) or ScipyLBFGSB",
        ):
            solver_from(wrong)

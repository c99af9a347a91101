"""Measures over real processes: gloo and MPI, and how they go down together."""

import importlib.util

import numpy as np
import pytest
from ranks import mpiexec, on_gloo, on_mpi

import sharpkit

pytestmark = pytest.mark.process
torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs torch"
)
mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or mpiexec() is None,
    reason="needs mpi4py and mpiexec",
)
ENGINES = [pytest.param(on_gloo, marks=torch), pytest.param(on_mpi, marks=mpi)]

PROBLEM = """
import sharpkit
n = 100
ends = [0, *(n // ranks * (i + 1) + 3 for i in range(ranks - 1)), n]
mine = slice(ends[rank], ends[rank + 1])
h = np.linspace(-1.0, 3.0, n)[mine]
w = np.linspace(-2.0, 1.0, n)[mine] ** 3

def loss(w):
    own = 0.5 * (h @ w**2) + 0.25 * (w**4).sum()
    return float(summed([own])[0]), h * w + w**3

def hvp(w, v):
    return (h + 3 * w**2) * v
"""
VALUES = (
    PROBLEM
    + """
tell(
    sharpness=sharpkit.sharpness(w, loss, max_evaluations=10, **KNOWN).value,
    average=sharpkit.average_sharpness(w, loss, samples=4, **KNOWN).value,
    trace=sharpkit.trace(w, loss, hvp=hvp, max_products=10, **KNOWN).value,
    eigenvalue=sharpkit.eigenvalues(w, loss, hvp=hvp, **KNOWN).values[0],
    critical=sharpkit.critical_sharpness(w, loss, **KNOWN).value,
)
"""
)
FAULTS = (
    PROBLEM
    + """
def ended(loss, **known):
    try:
        sharpkit.sharpness(w, loss, **KNOWN, **known)
    except BaseException as error:
        return [type(error).__name__, str(error), *getattr(error, "__notes__", [])]

def late(w):
    found = loss(w)
    if rank == 1:
        raise KeyError("a sample is missing")
    return found

last = ranks - 1
tell(
    callback=ended(late),
    argument=ended(loss, epsilon=-1.0 if rank == last else 1e-3),
    solver=ended(loss, solver=lambda x: x if rank == last else "auto"),
    fine=ended(loss, max_evaluations=4),
)
"""
)
DYING = (
    PROBLEM
    + """
calls = 0

def dying(w):
    global calls
    calls += 1
    if rank == 1 and calls == 4:
        %s
    return loss(w)

sharpkit.sharpness(w, dying, **KNOWN)
"""
)


def alone():
    """Return what `VALUES` tells, without ranks."""
    told = {}
    known = {"rank": 0, "ranks": 1, "KNOWN": {}, "np": np, "sharpkit": sharpkit}
    known |= {"summed": np.array, "tell": lambda **found: told.update(found)}
    exec(VALUES, known)
    return told


@torch
@pytest.mark.parametrize("ranks", [1, 3])
def test_values_on_gloo(ranks):
    first, *others = on_gloo(ranks, VALUES).fine()
    assert first == pytest.approx(alone(), rel=1e-12)
    assert all(other == first for other in others)


@mpi
def test_values_on_mpi():
    (found,) = on_mpi(2, VALUES).fine()
    assert found == pytest.approx(alone(), rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_on_one_rank_end_all(engine):
    told = engine(2, FAULTS).fine()
    if engine is on_gloo:
        first, second = told
        assert first["callback"] == [
            "RankError",
            "rank 1 of 2 raised KeyError: 'a sample is missing'",
        ]
        own = ["KeyError", "'a sample is missing'", "raised on rank 1 of 2"]
        assert second["callback"] == own
    for each in told:
        kind, text, *_ = each["argument"]
        assert kind == "ValueError"
        assert "epsilon is not the same on all ranks: rank 1 and rank 0" in text
        assert "solver" in each["solver"][1]
        assert each["fine"] is None


@pytest.mark.parametrize("end", ["os._exit(3)", 'raise KeyError("a sample")'])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_rank_that_leaves_others_in_the_callback_ends_them(engine, end):
    found = engine(2, DYING % end)
    assert all(found.codes)
    assert ("a sample" in "".join(found.errors)) == ("raise" in end)

"""Measures over real processes: gloo and MPI, and how they go down together."""

import importlib.util
import os

import numpy as np
import pytest
from ranks import mpiexec, on_gloo, on_mpi

import sharpkit

pytestmark = pytest.mark.process


def lacks(library):
    """Tell whether a library is missing, which some tests pretend."""
    try:
        return importlib.util.find_spec(library) is None
    except ModuleNotFoundError:
        return True


torch = pytest.mark.skipif(lacks("torch"), reason="needs torch")
mpi = pytest.mark.skipif(
    lacks("mpi4py")
    or (mpiexec() is None and "mpi4py" not in os.environ.get("SHARPKIT_REQUIRE", "")),
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

def over(indices):
    times = 1.0 + float(np.mean(indices))
    return lambda w: tuple(times * each for each in loss(w))

loss.samples, loss.subset = 8, over
"""
VALUES = (
    PROBLEM
    + """
values = dict(
    sharpness=sharpkit.sharpness(w, loss, max_evaluations=10, **KNOWN).value,
    average=sharpkit.average_sharpness(w, loss, samples=4, **KNOWN).value,
    trace=sharpkit.trace(w, loss, hvp=hvp, max_products=10, **KNOWN).value,
    eigenvalue=sharpkit.eigenvalues(w, loss, hvp=hvp, **KNOWN).values[0],
    critical=sharpkit.critical_sharpness(w, loss, **KNOWN).value,
    radius=sharpkit.flatness_radius(w, loss, of="loss", **KNOWN).value,
    noise=sharpkit.gradient_noise(w, loss, batch_size=2, **KNOWN).gradient_variance,
    fisher=sharpkit.fisher_rao(w, loss, max_samples=5, **KNOWN).value,
)
"""
)
FAULTS = """
def ended(loss, w=w, **known):
    try:
        sharpkit.sharpness(w, loss, **KNOWN, **known)
    except BaseException as error:
        return [type(error).__name__, str(error), *getattr(error, "__notes__", [])]

def late(w):
    found = loss(w)
    if rank == 1:
        raise KeyError("a sample is missing")
    return found

last = rank == ranks - 1
faults = dict(
    callback=ended(late),
    argument=ended(loss, epsilon=-1.0 if last else 1e-3),
    unknown=ended(loss, **({"epsilons": 1} if last else {})),
    weights=ended(loss, w * (np.nan if last else 1)),
    fine=ended(loss, max_evaluations=4),
)
tell(values=values, faults=faults)
"""
KILLED = """
if rank == 1:
    os.kill(os.getpid(), 9)
try:
    sharpkit.trace(w, loss, hvp=hvp, **KNOWN)
except RuntimeError as error:
    tell(values=values, faults=faults, killed=str(error))
    os._exit(0)  # gloo's threads abort some processes that end after one was killed
"""
LEFT = (
    PROBLEM
    + """
import sharpkit._vectors.ranks
sharpkit._vectors.ranks.PATIENCE = 2.0

def dying(w):
    if rank == 1:
        %s
    return loss(w)

sharpkit.trace(w, dying, **KNOWN)
"""
)
RAISES = 'raise KeyError("a sample is missing")'


@pytest.fixture(scope="module")
def alone():
    """What one process finds that has all weights."""
    known = {"rank": 0, "ranks": 1, "KNOWN": {}, "np": np, "sharpkit": sharpkit}
    known["summed"] = np.array
    exec(VALUES, known)
    return known["values"]


@torch
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 5])
def test_gloo_finds_what_one_process_does_and_errors_end_all(ranks, alone):
    found = on_gloo(ranks, VALUES + FAULTS + KILLED)
    assert found.codes == [-9 if rank == 1 else 0 for rank in range(ranks)]
    require_right(found.told, ranks, alone)
    for rank in {*range(ranks)} - {1}:
        start = f"one of the {ranks} ranks has ended, or is not to be reached ("
        assert found.told[rank]["killed"].startswith(start)


@mpi
@pytest.mark.parametrize("ranks", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_mpi_finds_what_one_process_does_and_errors_end_all(ranks, alone):
    require_right(on_mpi(ranks, VALUES + FAULTS).fine(), ranks, alone)


def require_right(told, ranks, alone):
    """Hold what each rank has told against what one process finds."""
    assert len(told) == ranks
    for rank, each in enumerate(told):
        assert each["values"] == told[0]["values"]
        assert each["values"] == pytest.approx(alone, rel=1e-12)
        require_ended(each["faults"], rank, ranks)


def require_ended(faults, rank, ranks):
    """Hold what a rank has raised against what was wrong, on one of all."""
    last = ranks - 1
    if rank == 1:
        raised = ["KeyError", "'a sample is missing'", f"raised on rank 1 of {ranks}"]
    else:
        text = f"rank 1 of {ranks} raised KeyError: 'a sample is missing'"
        raised = ["RankError", text]
    assert faults["callback"] == raised
    kind, text, *_ = faults["argument"]
    assert kind == "ValueError"
    assert f"epsilon is not the same on all ranks: rank {last} and rank 0" in text
    kind, text, *_ = faults["unknown"]
    assert kind == ("TypeError" if rank == last else "RankError")
    assert "unexpected keyword argument 'epsilons'" in text
    kind, text, *_ = faults["weights"]
    assert kind == ("ValueError" if rank == last else "RankError")
    assert "non-finite entries" in text
    assert faults["fine"] is None


@pytest.mark.slow
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", RAISES])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_rank_that_leaves_the_others_in_the_callback_ends_them(engine, end):
    found = engine(2, LEFT % end)
    assert all(found.codes)
    assert ("KeyError: 'a sample is missing'" in found.errors) == (end == RAISES)

"""Whatever is given for an option is accepted, or refused by name with the fix."""

import inspect
import traceback
from pathlib import Path

import numpy as np
import pytest

import sharpkit

CURVATURE = np.linspace(0.5, 2, 6)
W = np.linspace(-1, 1, 6)
PROBLEM = sharpkit.Problem(
    W,
    lambda w: (float(CURVATURE @ (w * w)) / 2, CURVATURE * w),
    hvp=lambda w, v: CURVATURE * v,
)
SAMPLED = sharpkit.Problem(
    W,
    PROBLEM.loss_fn,
    samples=4,
    subset=lambda chosen: lambda w: (float(w @ w) / 2 + chosen.mean(), w.copy()),
)
MATRICES = {"matrices": {"a": (slice(0, 6), (2, 3))}}
RUNS = {"gap": [1, 2, 4], "rise": [2, 1, 3], "batch": [1, 1, 2]}
FAST = {"measures": ("trace",), "alphas": [0, 1]}
CALLS = {
    name: (getattr(sharpkit, name), (PROBLEM,), {})
    for name in (
        *("sharpness", "eigenvalues", "trace", "diagonal", "check"),
        *("measure", "ball_sharpness", "average_sharpness"),
    )
} | {
    "spectral_density": (sharpkit.spectral_density, (PROBLEM,), {"max_products": 12}),
    "flatness_radius": (sharpkit.flatness_radius, (PROBLEM,), {"of": "loss"}),
    "critical_sharpness": (sharpkit.critical_sharpness, (PROBLEM,), {}),
    "directional_sharpness": (sharpkit.directional_sharpness, (PROBLEM,), {}),
    "distance": (sharpkit.distance, (PROBLEM,), {"start": W}),
    "gradient_norm": (sharpkit.gradient_norm, (PROBLEM,), {}),
    "batch_sharpness": (
        sharpkit.batch_sharpness,
        (SAMPLED,),
        {"batch_size": 1, "max_batches": 12},
    ),
    "gradient_noise": (sharpkit.gradient_noise, (SAMPLED,), {"batches": 2}),
    "fisher_rao": (sharpkit.fisher_rao, (SAMPLED,), {}),
    "profile": (sharpkit.profile, (PROBLEM,), {"measures": ("trace", "distance")}),
    "plan": (sharpkit.plan, (PROBLEM,), {}),
    "operator": (sharpkit.operator, (PROBLEM,), {}),
    "relative_flatness": (sharpkit.relative_flatness, (PROBLEM,), MATRICES),
    "normalized_flatness": (sharpkit.normalized_flatness, (PROBLEM,), MATRICES),
    "ranking": (sharpkit.ranking, (RUNS,), {"samples": 2}),
    "compare": (sharpkit.compare, (W, W + 1, PROBLEM), FAST),
    "LBFGSB": (sharpkit.LBFGSB, (), {}),
    "ScipyLBFGSB": (sharpkit.ScipyLBFGSB, (), {}),
    "Subspace": (sharpkit.Subspace, (), {"columns": 3}),
    "set_num_threads": (sharpkit.set_num_threads, (), {}),
}
VALUES = (
    *(None, [], {}, (), set(), object(), "x", b"x", "\x1b[2J", float("nan"), 1j),
    *(
        10**400,
        True,
        -1,
        1.5,
        np.float64("inf"),
        np.array([1, 2]),
        [[]],
        [None],
        {"a": None},
    ),
)
PLACES = {"problem", "table", "a", "b", "loss_fn"}


def options():
    for name, (function, positional, _) in CALLS.items():
        for option in list(inspect.signature(function).parameters):
            if option not in PLACES or not positional:
                yield name, option


@pytest.fixture(autouse=True)
def _as_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a text may be a path
    yield
    sharpkit.set_num_threads(1)


@pytest.mark.parametrize(("name", "option"), list(options()))
@pytest.mark.filterwarnings("ignore::sharpkit.SharpkitWarning")
def test_what_is_no_value_is_refused_by_name(name, option):
    function, positional, others = CALLS[name]
    for value in VALUES:
        try:
            function(*positional, **others | {option: value})
        except (TypeError, ValueError) as error:
            text, [*_, last] = str(error), traceback.extract_tb(error.__traceback__)
            where = Path(last.filename).resolve()
            assert where.is_relative_to(Path(sharpkit.__file__).resolve().parent), text
            assert option in text, text
            assert "give" in text, text
        except ModuleNotFoundError as error:
            text = str(error)
            assert option == "process_group", text
            assert value is True, text
            assert "pip install 'sharpkit[torch]'" in text

import dataclasses
import json
import math

import numpy as np
import pytest

from sharpkit import Missing, SharpnessResult, Status, Subspace
from sharpkit.results import Run

MISSING = Missing(0.9, 0.93, 0.03, 0.2, 39, "25 evaluations, another start ...")


def result(**changes):
    fields = {
        "value": 12.5,
        "loss": 1.0,
        "max_loss": 1.25,
        "displacement": np.array([0.001, -0.002, 0.0], np.float32),
        "evaluations": 4,
        "history": np.array([0, 0, 5, 12.5]),
        "repeats": (12.5,),
        "starts": (12.5, 7.25),
        "kin": (False, True),
        "outside": True,
        "gap": 0.003,
        "noise": 2e-5,
        "missing": MISSING,
        "status": Status.CONVERGED,
        "epsilon": 1e-3,
        "subspace": None,
        "solver": "auto",
        "run": Run(3, "gradient", 4, 3.0, 2.5, "cpu", "float32", 17),
    }
    return SharpnessResult(**fields | changes)


def test_float_is_the_value():
    assert float(result()) == 12.5


def test_repr():
    assert repr(result()) == (
        "sharpness 12.5 %  (noise 2e-05 %)\n"
        "  loss 1 -> 1.25 in the box of epsilon 0.001, full space, n = 3\n"
        "  auto, 4 evaluations, seed 17, cpu float32, 3.00 s "
        "(0.50 s outside the callback)\n"
        "  2 starts reached 7.25 to 12.5 %\n"
        "  chance 0.90 that this is at least 95 % of the maximum, 0.93 for 80 % "
        "(39 runs on boxes of trained networks)\n"
        f"  {Status.CONVERGED.value}"
    )


def test_repr_of_a_subspace_and_one_start():
    text = repr(result(subspace=Subspace(100, "rademacher", "columns"), starts=(12.5,)))
    assert "random subspace of 100 (rademacher, columns), n = 3" in text
    assert "starts" not in text
    assert "chance" not in repr(result(missing=None))


def test_repr_of_several_searches():
    text = repr(result(repeats=(12.5, 12.25, 12.4)))
    assert "  3 searches reached 12.25 to 12.5 %\n  2 starts reached" in text


def test_the_error_has_what_may_be_missing():
    # At most 0.2 of the maximum is missing: it lies at most a quarter above the value.
    assert result(noise=0.0).error == pytest.approx(12.5 / 4 / 2)
    assert result(noise=3.0).error == pytest.approx(math.hypot(3, 12.5 / 8))
    assert result(missing=None).error == 2e-5
    everything = dataclasses.replace(MISSING, at_most=1.0)
    assert everything.above(1.0) == math.inf


def test_every_status_is_advice():
    for status in Status:
        name, advice = status.value.split(": ", 1)
        assert name.replace(" ", "_").replace("-", "_").upper() == status.name
        assert len(advice) > 30


def test_results_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        result().value = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        Subspace(1).columns = 2


def test_to_dict_is_json():
    one = result(subspace=Subspace(100, "rademacher", "columns"))
    record = one.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    names = {field.name for field in dataclasses.fields(one)}
    names |= {field.name for field in dataclasses.fields(one.run)}
    assert set(record) == names - {"displacement", "run"}
    assert record["status"] == "CONVERGED"
    assert record["history"] == [0, 0, 5, 12.5]
    assert record["starts"] == [12.5, 7.25]
    assert record["missing"] == dataclasses.asdict(MISSING)
    assert record["repeats"] == [12.5]
    wanted = {"columns": 100, "distribution": "rademacher", "scale": "columns"}
    assert record["subspace"] == wanted
    assert record["seed"] == 17


def test_to_dict_with_the_displacement():
    record = result().to_dict(displacement=True)
    back = np.array(json.loads(json.dumps(record))["displacement"], np.float32)
    np.testing.assert_array_equal(back, result().displacement)
    assert result().to_dict()["subspace"] is None


def test_to_dict_has_no_number_that_json_lacks():
    record = result(gap=math.nan).to_dict()
    assert record["gap"] is None
    json.dumps(record, allow_nan=False)


def test_equality_is_identity():
    one = result()
    assert {one: 1}[one] == 1
    assert one != result()
    assert len({one, result()}) == 2


def test_the_run_is_at_hand():
    one = result()
    assert (one.n, one.calls, one.products, one.seed) == (3, 4, 0, 17)
    assert (one.source, one.backend, one.dtype) == ("gradient", "cpu", "float32")
    assert (one.seconds, one.callback_seconds) == (3.0, 2.5)


def test_runs_add_up():
    run = result().run
    other = dataclasses.replace(run, source="hvp", products=5, product_error=0.1)
    both = Run.together([Run.together([run, other]), other])
    assert (both.calls, both.products, both.seconds) == (12, 10, 9.0)
    assert (both.source, both.product_error) == ("gradient; hvp", 0.1)
    assert (both.n, both.seed) == (3, 17)

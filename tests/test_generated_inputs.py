"""No silent wrong number and no foreign exception, from generated bad inputs.

Each is a problem whose truth is known in float64 with one thing wrong, or nothing (see
`bad_inputs`). What is known to be missed is counted by kind, and may not grow.
"""

from collections import Counter
from dataclasses import replace

import pytest
from bad_inputs import case, judged
from bad_inputs.missed import MOST, kind
from bad_inputs.verdict import Truth, of_error

import sharpkit

ALL, SAMPLE = 2000, 150


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a text may be the path of a checkpoint


def failures(seeds):
    """Return the ends of all inputs, the known kinds, and what else is wrong."""
    ends, missed, wrong = Counter(), Counter(), []
    for seed in seeds:
        made = case(seed)
        end, found = judged(made)
        ends[end] += 1
        if found is not None:
            name = kind(made, found)
            missed[name] += name is not None
            wrong += [f"{made}\n  {found}"] if name is None else []
    return ends, missed, wrong


def test_a_sample_of_generated_inputs():
    ends, missed, wrong = failures(range(SAMPLE))
    assert not wrong, "\n".join(wrong)
    assert missed.total() <= 10
    assert min(ends["refused"], ends["warned"]) > SAMPLE // 20
    assert ends["right"] > SAMPLE // 3  # the judge has seen numbers


@pytest.mark.slow
def test_all_generated_inputs():
    _, missed, wrong = failures(range(SAMPLE, ALL))
    assert not wrong, "\n".join(wrong)
    assert all(missed[name] <= MOST[name] for name in missed if name), missed


@pytest.mark.parametrize("measure", ["eigenvalues", "trace", "diagonal"])
def test_the_judge_sees_wrong_products(measure):
    problem = case(0).problem
    truth = Truth(problem, problem.weights)
    taken = getattr(sharpkit, measure)
    assert truth.judge(taken(problem.weights, hvp=problem.hvp)) is None
    found = taken(problem.weights, hvp=lambda w, v: problem.hvp(w, v) * v.dtype.type(2))
    assert truth.judge(found).startswith("silent: ")


def test_the_judge_sees_what_is_above_the_maximum():
    problem = case(0).problem
    truth = Truth(problem, problem.weights)
    found = sharpkit.sharpness(problem.weights, problem)
    assert truth.judge(found) is None
    higher = replace(found, value=1.5 * found.value)
    assert truth.judge(higher).startswith("silent: sharpness")


def test_the_judge_knows_foreign_errors():
    own, foreign = KeyError("own"), ZeroDivisionError("division by zero")
    for error in (own, foreign):
        try:
            raise error
        except (KeyError, ZeroDivisionError) as caught:
            verdict = of_error(caught, own, ())
        assert (verdict is None) == (error is own)

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sharpkit._box.lbfgsb.line_search import CURVATURE, SUFFICIENT, Trial, search

dcsrch = pytest.importorskip("scipy.optimize._dcsrch", reason="SciPy has moved it")


class Line:
    """A function on a line, which remembers where it was evaluated."""

    def __init__(self, value, slope):
        self.value, self.slope, self.steps = value, slope, []

    def __call__(self, step):
        self.steps.append(step)
        return Trial(step, self.value(step), self.slope(step))

    @property
    def start(self):
        return Trial(0.0, self.value(0.0), self.slope(0.0))


def wave(a, b, c, d):
    """A falling line plus a wave: many minima."""
    return Line(
        lambda t: -a * t + b * (math.sin(c * t + d) - math.sin(d)),
        lambda t: -a + b * c * math.cos(c * t + d),
    )


def scipys(line, limit):
    """Return the steps that MINPACK's translation in SciPy takes, and the result."""
    steps = []

    def value(t):
        steps.append(t)
        return line.value(t)

    run = dcsrch.DCSRCH(value, line.slope, SUFFICIENT, CURVATURE, 0.1, 0.0, limit)
    run(1.0, line.value(0.0), line.slope(0.0), maxiter=21)
    return steps


@settings(max_examples=300, deadline=None)
@given(
    st.floats(0.01, 10),
    st.floats(0, 5),
    st.floats(0.1, 30),
    st.floats(-3, 3),
    st.sampled_from([1.0, 1.5, 100.0]),
)
def test_it_takes_the_steps_of_minpack(a, b, c, d, limit):
    line = wave(a, b, c, d)
    if line.slope(0.0) >= -1e-6:
        return
    search(line, line.start, lambda: limit)
    np.testing.assert_allclose(line.steps, scipys(line, limit)[:20], rtol=1e-9)


def test_a_good_first_step_is_taken_without_asking_for_the_longest():
    line = Line(lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1))
    found = search(line, line.start, lambda: pytest.fail("asked"))
    assert found.step == 1.0
    assert line.steps == [1.0]


def test_the_longest_step_is_kept_to():
    line = Line(lambda t: -t, lambda t: -1.0)  # falls for ever
    assert search(line, line.start, lambda: 3.0).step == 3.0
    assert search(line, line.start, lambda: 0.5).step == 1.0  # never below the first


def test_it_comes_back_from_where_there_is_no_value():
    line = Line(
        lambda t: (t - 0.2) ** 2 if t < 0.3 else math.inf, lambda t: 2 * (t - 0.2)
    )
    found = search(line, line.start, lambda: 1.0)
    assert line.steps[:3] == [1.0, 0.5, 0.25]
    assert found.value < line.start.value
    assert found.step < 0.3


def test_it_gives_up_after_its_trials():
    line = Line(lambda t: t, lambda t: -1.0)  # the slope is wrong
    assert search(line, Trial(0.0, 0.0, -1.0), lambda: 1.0, trials=5) is None
    assert len(line.steps) <= 5


def test_it_ends_where_nothing_can_be_evaluated():
    assert search(lambda step: None, Trial(0.0, 0.0, -1.0), lambda: 1.0) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_decrease_suffices(seed):
    rng = np.random.default_rng(seed)
    line = wave(rng.uniform(0.5, 2), rng.uniform(0.1, 1), rng.uniform(0.5, 9), 1.5)
    found = search(line, line.start, lambda: 10.0)
    assert found.value <= SUFFICIENT * found.step * line.start.slope

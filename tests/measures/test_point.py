"""The one intake of all measures: `sharpkit.measures._point`."""

import numpy as np
import pytest
from problems import never, rotated

import sharpkit
from sharpkit.measures._point import Point

MEASURES = [
    "sharpness",
    "eigenvalues",
    "spectral_density",
    "trace",
    "diagonal",
    "check",
]


@pytest.fixture
def loss():
    return rotated(np.random.default_rng(4), 8)


def number(result):
    """What a measure finds, without what it took."""
    record = result.to_dict()
    timed = {"seconds", "callback_seconds", "costs"}
    timed |= {"evaluation_seconds", "product_seconds"}
    return {name: value for name, value in record.items() if name not in timed}


@pytest.mark.parametrize("name", MEASURES)
def test_a_problem_is_its_weights_and_its_loss(name, loss):
    measure, w = getattr(sharpkit, name), np.linspace(-1, 1, 8)
    problem = sharpkit.Problem(w, loss, hvp=lambda w, v: loss.H @ v)

    class Callback:
        hvp = staticmethod(problem.hvp)

        def __call__(self, x):
            return loss(x)

    assert number(measure(problem)) == number(measure(w, Callback()))


@pytest.mark.parametrize("name", MEASURES)
def test_a_function_with_weights_is_a_problem(name, loss):
    def own(w):
        return loss(w)

    own.weights = np.linspace(-1, 1, 8)
    measure = getattr(sharpkit, name)
    assert number(measure(own)) == number(measure(own.weights, loss))


@pytest.mark.parametrize("name", [*MEASURES, "measure"])
def test_the_weights_are_asked_for_once(name, loss):
    """A problem of a model copies them each time."""
    asked = []

    class Own(sharpkit.Problem):
        @property
        def weights(self):
            asked.append(1)
            return np.linspace(-1, 1, 8)

        @weights.setter
        def weights(self, value):
            raise AssertionError

        def __init__(self):
            object.__setattr__(self, "loss_fn", loss)

    getattr(sharpkit, name)(Own())
    assert len(asked) == 1


def seven(w, v):
    return 7 * v


def test_the_product_of_the_argument_comes_before_that_of_the_problem(loss):
    problem = sharpkit.Problem(np.zeros(8), loss, hvp=never, gauss_newton=seven)
    top = sharpkit.eigenvalues(problem, hvp=problem.gauss_newton)
    assert float(top) == pytest.approx(7)
    assert top.source == "hvp"


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "problem is of type int; give sharpkit.torch.problem"),
        (never, "problem is of type function; give sharpkit.torch.problem"),
        (np.ones(3), "loss_fn=None beside flat weights; give loss_fn"),
        ({"w": np.ones(3)}, "collection of NumPy arrays"),
    ],
)
def test_what_is_no_problem(name, given, message):
    with pytest.raises(TypeError, match=message):
        getattr(sharpkit, name)(given)


def test_a_problem_and_a_loss_are_too_much(loss):
    problem = sharpkit.Problem(np.zeros(8), loss)
    with pytest.raises(TypeError, match="problem is a Problem, which has its own loss"):
        sharpkit.trace(problem, loss)


def test_the_loss_is_missing_where_it_is_needed():
    with pytest.raises(ValueError, match="this measure needs the loss itself"):
        sharpkit.check(np.ones(3), hvp=lambda w, v: v)


def test_the_step_of_differences_is_looked_for_once(loss):
    point = Point.of(np.linspace(-1, 1, 8), loss)
    first, second = (sharpkit.trace(point, seed=3) for _ in range(2))
    assert first.value == second.value
    assert second.calls == 2 * second.products < first.calls
    other = sharpkit.trace(point, seed=4)  # another direction, another search
    assert other.calls == first.calls


def test_the_first_measurement_counts_the_intake(loss):
    point = Point.of(np.zeros(8), loss)
    began = point.begin()
    assert began < point.begin()


def test_every_result_has_a_run(loss):
    problem = sharpkit.Problem(np.zeros(8), loss)
    for name in [*MEASURES, "measure"]:
        run = getattr(sharpkit, name)(problem, seed=5).run
        assert (run.n, run.seed, run.backend, run.dtype) == (8, 5, "cpu", "float64")
        assert run.calls > 0
        assert 0 < run.callback_seconds < run.seconds
        assert run.source


def test_a_closer_look_is_not_looked_at_more_closely(monkeypatch):
    """Where it is not clear either, it would be repeated within itself."""
    asked = []

    class Widened(sharpkit.Problem):
        def widened(self):
            asked.append(len(asked))
            return Widened(self.weights, self.loss_fn, hvp=self.hvp)

    unclear = "unclear", None
    monkeypatch.setattr("sharpkit.measures._trusted.doubt", lambda *given: unclear)
    problem = Widened(
        np.ones(3), lambda w: (float(w @ w), 2 * w), hvp=lambda w, v: 2 * v
    )
    assert Point.of(problem).trusted().hvp is not None
    assert asked == [0]

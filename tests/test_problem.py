import dataclasses

import numpy as np
import pytest
from problems import Separable

import sharpkit
from sharpkit.problem import Problem, at_vector, required_subset


def square(w):
    return float(w @ w), 2 * w


LAYERS = {"first": slice(0, 6), "last": slice(6, 10)}


@pytest.fixture
def problem():
    return Problem(np.arange(10, dtype=np.float32), square, layers=LAYERS)


def test_it_is_a_loss_function(dtype):
    loss = Separable(np.arange(1.0, 6), np.zeros(5))
    problem = Problem(
        np.ones(5, dtype), loss, hvp=lambda w, v: loss.h.astype(dtype) * v
    )
    value, gradient = problem(problem.weights)
    assert value == 7.5
    np.testing.assert_array_equal(gradient, np.arange(1, 6))
    found = sharpkit.eigenvalues(problem.weights, problem)
    assert found.run.source == "hvp"
    assert float(found) == pytest.approx(5, abs=5e-3)


def test_without_a_product_the_gradient_is_differentiated(problem):
    assert problem.hvp is None
    found = sharpkit.eigenvalues(problem.weights, problem)
    assert "differences" in found.run.source


def test_the_weights_are_a_copy():
    w = np.zeros(3)
    problem = Problem(w, square)
    w[0] = 1
    assert problem.weights[0] == 0


def test_it_is_frozen_and_says_what_it_is(problem):
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.samples = 3
    assert repr(problem) == "Problem of n = 10 weights, float32"
    assert problem.on_line() is problem


@pytest.mark.parametrize("name", ["weights", "w"])
@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
def test_at_a_flat_vector(problem, name, given):
    vector = np.linspace(0, 1, 10).astype(given)
    moved = problem.at({name: vector})
    assert moved.weights.dtype == np.float32
    np.testing.assert_array_equal(moved.weights, vector.astype(np.float32))
    assert problem.weights[9] == 9
    assert moved.layers == LAYERS
    assert moved.loss_fn is square


def test_at_weights_beside_other_entries(problem):
    moved = problem.at({"weights": np.ones(10), "step": np.array(3)})
    np.testing.assert_array_equal(moved.weights, np.ones(10))


def test_at_its_layers(problem):
    last, first = np.array([[1.0, 2], [3, 4]]), np.arange(6.0).reshape(2, 3)
    moved = problem.at({"last": last, "first": first})
    np.testing.assert_array_equal(moved.weights, [0, 1, 2, 3, 4, 5, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("named", "error", "match"),
    [
        (
            {"weights": np.ones(9)},
            ValueError,
            r"'weights' has shape \(9,\).*10 weights",
        ),
        ({"weights": np.ones((2, 5))}, ValueError, r"shape \(2, 5\).*flattened"),
        ({"first": np.ones(6), "last": np.ones(3)}, ValueError, r"'last'.*\(3,\).*4 w"),
        (
            {"first": np.ones(6), "x": np.ones(4)},
            ValueError,
            "first, x; .*: first, last",
        ),
        ({}, ValueError, "the entries are none; .*'weights', one flat vector"),
        ({"weights": np.arange(10)}, TypeError, "'weights' is of type int64; give"),
        ({"weights": [1.0] * 10}, TypeError, "'weights' is of type list; give"),
        (np.ones(10), TypeError, "named is of type ndarray; give a mapping"),
        ({"w": np.full(10, np.nan)}, ValueError, "weights has 10 non-finite"),
    ],
)
def test_at_refuses(problem, named, error, match):
    with pytest.raises(error, match=match):
        problem.at(named)


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ({"a": slice(0, 6), "b": slice(5, 10)}, "weight 5 2 times"),
        ({"a": slice(0, 6), "b": slice(7, 10)}, "weight 6 0 times"),
    ],
)
def test_layers_must_have_each_weight_once_to_be_put_together(layers, match):
    problem = Problem(np.ones(10), square, layers=layers)
    named = {name: np.ones(10)[where] for name, where in layers.items()}
    with pytest.raises(ValueError, match=match):
        problem.at(named)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (([1.0], square), {}, TypeError, "weights is of type list"),
        ((np.ones((2, 2)), square), {}, ValueError, r"weights has shape \(2, 2\)"),
        ((np.ones(3), 5), {}, TypeError, "loss_fn=5 of type int is not callable"),
        ((np.ones(3), square), {"hvp": 1}, TypeError, "hvp=1 .* not callable"),
        ((np.ones(3), square), {"accuracy": 0.9}, TypeError, "accuracy=0.9"),
        ((np.ones(3), square), {"samples": 0}, ValueError, "samples=0; give"),
        (
            (np.ones(3), square),
            {"layers": [slice(3)]},
            TypeError,
            "layers is of type l",
        ),
    ],
)
def test_bad_arguments(arguments, options, error, match):
    with pytest.raises(error, match=match):
        Problem(*arguments, **options)


def test_with_torch_tensors():
    torch = pytest.importorskip("torch")
    weights = torch.arange(4, dtype=torch.float32)
    problem = Problem(weights, lambda w: (float(w @ w), 2 * w))
    moved = problem.at({"weights": torch.full((4,), 1.5, dtype=torch.bfloat16)})
    assert moved.weights.dtype == torch.float32
    assert moved.weights.tolist() == [1.5] * 4
    moved.weights[0] = 9
    assert problem.weights.tolist() == weights.tolist() == [0, 1, 2, 3]
    assert repr(problem) == "Problem of n = 4 weights, float32"
    assert problem.at({"w": np.ones(4)}).weights.tolist() == [1] * 4


X, Y = np.random.default_rng(0).standard_normal((12, 10)), np.arange(12.0)


def of_samples(chosen=slice(None)):
    """The mean square of some samples, with its exact product."""
    x, y = X[chosen], Y[chosen]

    def loss_fn(w):
        rest = x @ w - y
        return float(rest @ rest) / len(y), 2 * (x.T @ rest) / len(y)

    loss_fn.hvp = lambda w, v: 2 * (x.T @ (x @ v)) / len(y)
    return loss_fn


def as_problem_of_samples(chosen):
    return Problem(np.full(10, 7.0), of_samples(chosen))


@pytest.mark.parametrize("given", [of_samples, as_problem_of_samples])
def test_a_subset_is_the_problem_over_these_samples(given):
    whole = Problem(np.ones(10), of_samples(), samples=12, subset=given)
    moved = whole.at({"weights": np.linspace(0, 1, 10)})
    for problem in (whole, moved):
        part = problem.subset([7, 2, 5])
        np.testing.assert_array_equal(part.weights, problem.weights)
        found, own = part(part.weights), of_samples([7, 2, 5])(part.weights)
        assert found[0] == own[0]
        np.testing.assert_array_equal(found[1], own[1])
    assert (part.samples, part.subset) == (
        (3, None) if given is of_samples else (None, None)
    )
    if given is of_samples:
        np.testing.assert_array_equal(
            part.hvp(part.weights, Y[:10]),
            of_samples([7, 2, 5]).hvp(part.weights, Y[:10]),
        )


def test_the_parts_of_a_moved_problem_are_at_its_weights():
    whole = Problem(np.ones(10), of_samples(), samples=12, subset=of_samples)
    part = at_vector(whole, np.full(10, 3.0)).subset(range(4))
    np.testing.assert_array_equal(part.weights, np.full(10, 3.0))
    assert at_vector(Problem(np.ones(10), square), np.zeros(10)).subset is None


@pytest.mark.parametrize(
    ("indices", "error", "match"),
    [
        ([], ValueError, r"shape \(0,\); give at least one sample"),
        ([[1, 2]], ValueError, r"indices has shape \(1, 2\)"),
        ([0, 12], ValueError, "indices holds 12, and there are 12 samples; .* 0 to 11"),
        ([-1], ValueError, "indices holds -1"),
        ([1.0], TypeError, "indices are of type float64; give whole numbers$"),
        (np.ones(12, bool), TypeError, r"of type bool; .*numpy.flatnonzero\(indices\)"),
        ([3, 1, 3], ValueError, "indices holds 3 more than once; give each sample"),
        (3, TypeError, "indices is of type int; give"),
        ([[1], [1, 2]], TypeError, "indices is of type list; give"),
        (slice(3), TypeError, "indices is of type slice; give"),
    ],
)
def test_indices_that_are_none(indices, error, match):
    problem = Problem(np.ones(10), of_samples(), samples=12, subset=of_samples)
    with pytest.raises(error, match=match):
        problem.subset(indices)


def test_a_bad_subset():
    with pytest.raises(ValueError, match="samples=None; give the number"):
        Problem(np.ones(10), of_samples(), subset=of_samples)
    with pytest.raises(TypeError, match=r"subset=1 .* not callable"):
        Problem(np.ones(10), of_samples(), samples=12, subset=1)
    problem = Problem(np.ones(10), of_samples(), samples=12, subset=lambda i: 3.0)
    with pytest.raises(TypeError, match="subset returned float; return the loss_fn"):
        problem.subset([1])
    with pytest.raises(ValueError, match=r"subset=4 needs .*; give a model's problem"):
        required_subset(Problem(np.ones(10), square), "subset=4")


def test_a_line_from_another_vector_begins_there():
    class Elsewhere(Problem):
        def on_line(self):
            return Problem(self.weights, lambda w: (1.0, 0 * w))

    for kind, loss in ((Problem, 4.0), (Elsewhere, 1.0)):
        given = kind(np.zeros(2), lambda w: (float(w @ w), 2 * w))
        moved = at_vector(given, np.array([2.0, 0.0]))
        line = moved.on_line()
        assert line.weights.tolist() == [2, 0]
        assert line(line.weights)[0] == loss

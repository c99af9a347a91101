"""Models and collections of parameters, recognised where a vector of weights is wanted.

No framework is imported here: whoever holds one of its objects has loaded it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, ValuesView
from itertools import islice
from types import GeneratorType
from typing import Any

import numpy as np

LOOKED_AT = 100  # entries of a collection, which may be a long list of numbers
TORCH = "sharpkit.torch.problem(model, loss, data)"
JAX = "sharpkit.jax.problem(loss, params, data)"
OF_TENSORS = (
    f"Make a problem of the model that they belong to: {TORCH}; at the weights of a "
    "checkpoint it is problem.at(state_dict)"
)

# Where a class is defined, its name, what an instance is, and what to do with it. The
# first that fits is taken: a class stands before the classes it is derived from.
MODELS = (
    (
        "transformers.modeling_utils",
        "PreTrainedModel",
        "a Hugging Face model",
        f"Make a problem of it, {TORCH}, for instance sharpkit.torch.problem(model, "
        "lambda model, batch: model(**batch).loss, batches, loss_takes='model')",
    ),
    (
        "torch.nn",
        "Module",
        "a PyTorch model",
        f"Make a problem of it: {TORCH}",
    ),
    (
        "flax.linen",
        "Module",
        "a Flax Linen model",
        "Make a problem of it and of the parameters that its init returned: "
        "sharpkit.jax.problem(loss, params, data, model=model.apply)",
    ),
    (
        "flax.nnx",
        "Module",
        "a Flax NNX model",
        "Split it, graph, params, rest = nnx.split(model, nnx.Param, ...), and make a "
        "problem: sharpkit.jax.problem(loss, params, data, "
        "model=lambda params, x: nnx.merge(graph, params, rest)(x))",
    ),
    (
        "equinox",
        "Module",
        "an Equinox model",
        "Make a problem of it, for it is its own parameters: sharpkit.jax.problem("
        "loss, params, data, model=lambda params, x: jax.vmap(params)(x)) with "
        "params=model",
    ),
    (
        "haiku",
        "Transformed",
        "a Haiku model",
        "Make a problem of it and of the parameters that its init returned: "
        "sharpkit.jax.problem(loss, params, data, "
        "model=lambda params, x: network.apply(params, None, x))",
    ),
    (
        "haiku",
        "TransformedWithState",
        "a Haiku model with state",
        "Make a problem of it and of the parameters that its init returned: "
        "sharpkit.jax.problem(loss, params, data, "
        "model=lambda params, x: network.apply(params, state, None, x)[0])",
    ),
)
# The same of the arrays in a collection.
ARRAYS = (
    (
        "torch",
        "Tensor",
        "torch tensors",
        OF_TENSORS,
    ),
    (
        "jax",
        "Array",
        "JAX arrays",
        f"Make a problem of them: {JAX}, with loss(params, batch), or "
        "sharpkit.jax.problem(loss, params, data, model=...), with "
        "loss(outputs, targets)",
    ),
    (
        "numpy",
        "ndarray",
        "NumPy arrays",
        "Give one flat vector, for instance numpy.concatenate([part.ravel() for part "
        f"in arrays]); if the loss is written in JAX, make a problem of them: {JAX}",
    ),
)


def model_message(value: object) -> str | None:
    """Return what to do with a model that was given as weights.

    Parameters
    ----------
    value
        What was given as ``weights``. Nothing is taken from it, even if it can be
        passed over only once.

    Returns
    -------
    message : str or None
        The text of an error, in whole sentences without the last full stop, if
        ``value`` is a model of PyTorch, Flax, Equinox or Haiku, or a collection of
        parameters; None if it is none of these, such as an array or a list of numbers.
    """
    for module, name, what, advice in MODELS:
        if _is_instance(value, module, name):
            return _message(value, what, advice)
    if _looks_like_parameters(value):
        return _message(value, "a generator, as model.parameters() is", OF_TENSORS)
    if _is_array(value):
        return None
    found = list(islice(_entries(value), LOOKED_AT))
    for module, name, what, advice in ARRAYS:
        if any(_is_instance(entry, module, name) for entry in found):
            return _message(value, f"a collection of {what}", advice)
    return None


def _message(value: object, what: str, advice: str) -> str:
    return (
        f"weights is {what} (of type {type(value).__name__}), and a measure takes one "
        f"flat vector of weights, or a problem. {advice}"
    )


def _is_instance(value: object, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_array(value: object) -> bool:
    return any(_is_instance(value, module, name) for module, name, *_ in ARRAYS)


def _looks_like_parameters(value: object) -> bool:
    """Return whether a value may be ``model.parameters()``, without a look inside."""
    return isinstance(value, GeneratorType | filter | map) and "torch" in sys.modules


def _entries(value: Any) -> Iterator[object]:
    # The entries of nested collections, those that JAX knows included.
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, list | tuple | ValuesView):
        for part in value:
            yield from _entries(part)
        return
    jax = sys.modules.get("jax")
    if jax is None or isinstance(value, np.ndarray | np.generic | float | int | str):
        yield value
    else:
        yield from jax.tree_util.tree_leaves(value)

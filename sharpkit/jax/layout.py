"""Which arrays of a pytree are weights, and where each lies in the flat vector."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from sharpkit._inputs.types import XpArray
from sharpkit._inputs.warn import warn
from sharpkit.jax.names import Filter, Names, listed, matching

LINEN_STATISTICS = "batch_stats"
ENABLE_X64 = 'jax.config.update("jax_enable_x64", True)'


class Layout:
    """How a pytree is flattened; holds its structure, and none of its arrays.

    size, dtype
        Of the flat vector: float64 if a chosen array is, else float32.
    slices, layers
        Name of each chosen array, and of each parent, -> its slice; see `Names.layers`.

    Parameters
    ----------
    params : pytree
    parameters
        Which of the float arrays to choose, by name; None: all that are trained.

    Raises
    ------
    TypeError, ValueError
        If nothing is chosen, or something that cannot be a weight.

    Warns
    -----
    SharpkitWarning
        If a chosen array is half precision.
    """

    def __init__(self, params: Any, parameters: Filter) -> None:
        found, self._treedef = tree_flatten_with_path(params)
        self._names, leaves = Names([path for path, _ in found]), [v for _, v in found]
        self._static = [None if is_array(leaf) else leaf for leaf in leaves]
        self._chosen = self._choose(params, leaves, parameters)
        arrays = {i for i, leaf in enumerate(leaves) if is_array(leaf)}
        self._constant = sorted(arrays - set(self._chosen))
        self.dtype = _dtype({self._names[i]: leaves[i] for i in self._chosen})
        self._shapes = [tuple(leaves[i].shape) for i in self._chosen]
        ends = [*itertools.accumulate(math.prod(shape) for shape in self._shapes)]
        parts = [*itertools.starmap(slice, itertools.pairwise([0, *ends]))]
        self.size = ends[-1]
        names = [self._names[i] for i in self._chosen]
        self.slices = dict(zip(names, parts, strict=True))
        self.layers = self._names.layers(self._chosen, parts)

    def flat(self, leaves: Sequence[Any]) -> tuple[XpArray, list[XpArray]]:
        """Return the weights (n,) and the constants among the leaves, copied.

        Copies, because NumPy's arrays may be written to later, and JAX's given away.
        """
        parts = [jnp.array(leaves[i], self.dtype).ravel() for i in self._chosen]
        constants = [widened(jnp.array(leaves[i]), self.dtype) for i in self._constant]
        return jnp.concatenate(parts), constants

    def tree(self, w: XpArray, constants: Sequence[XpArray]) -> Any:
        """Return the pytree at flat weights (n,), its chosen arrays in their dtype."""
        leaves = list(self._static)
        places = zip(self._chosen, self.slices.values(), self._shapes, strict=True)
        for i, part, shape in places:
            leaves[i] = w[part].reshape(shape)
        for i, constant in zip(self._constant, constants, strict=True):
            leaves[i] = constant
        return jax.tree_util.tree_unflatten(self._treedef, leaves)

    def at(
        self, named: Any, constants: Sequence[XpArray]
    ) -> tuple[XpArray, list[XpArray]]:
        """Return weights and constants from ``named``, which has all float arrays.

        Raises
        ------
        TypeError, ValueError
            If an array is missing, unknown, or of another shape.
        """
        if not isinstance(named, Mapping):
            msg = (
                f"named is of type {type(named).__name__}; give a mapping of names to "
                f"arrays, the names being {listed(self.slices)}"
            )
            raise TypeError(msg)
        held = dict(zip(self._constant, constants, strict=True))
        shapes = dict(zip(self._chosen, self._shapes, strict=True))
        shapes |= {i: constant.shape for i, constant in held.items()}
        known = {self._names[i]: i for i in shapes}
        needed = [n for n, i in known.items() if i not in held or is_float(held[i])]
        _require_names(named, needed, known)
        leaves: list[Any] = [held.get(i) for i in range(len(self._static))]
        for name, i in known.items():
            if name in named:
                value = as_array(f"named[{name!r}]", named[name])
                _require_shape(name, value, shapes[i])
                exact = i in held and jnp.issubdtype(held[i].dtype, jnp.number)
                leaves[i] = jnp.array(value, held[i].dtype) if exact else value
        return self.flat(leaves)

    def _choose(self, params: Any, leaves: list[Any], wanted: Filter) -> list[int]:
        floats = {
            self._names[i]: i
            for i, leaf in enumerate(leaves)
            if is_array(leaf) and is_float(leaf)
        }
        untrained = _untrained(params)
        if wanted is not None:
            return [floats[name] for name in matching(wanted, floats)]
        chosen = [i for i in floats.values() if i not in untrained]
        if not chosen:
            msg = (
                f"params of type {type(params).__name__} holds no float array that is "
                "trained; give a pytree of JAX or NumPy arrays"
            )
            raise ValueError(msg)
        return chosen


def is_array(leaf: object) -> bool:
    """Return whether ``leaf`` is an array, or a scalar of NumPy's, of numbers."""
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind not in "OSUMm"
    return isinstance(leaf, jax.Array)


def is_float(array: XpArray) -> bool:
    """Return whether ``array`` is real or complex floating-point."""
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))


def as_array(name: str, value: Any) -> XpArray:
    """Return JAX's and NumPy's arrays as they are, others (torch's, say) by NumPy.

    Raises
    ------
    TypeError
        If ``value`` is no array of numbers.
    """
    foreign = hasattr(value, "__array__") and not isinstance(value, jax.Array)
    array = np.asarray(value) if foreign else value
    if not is_array(array):
        kind = f"dtype {array.dtype}" if foreign else f"type {type(value).__name__}"
        msg = f"{name} is of {kind}; give an array of numbers"
        raise TypeError(msg)
    return array


def widened(array: XpArray, dtype: Any) -> XpArray:
    """Return an array of half precision in ``dtype``, any other as it is."""
    return array.astype(dtype) if is_half(array) else array


def is_half(array: XpArray) -> bool:
    """Return whether ``array`` has floats of less than 32 bits."""
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return bool(floating and array.dtype.itemsize < 4)


def _dtype(chosen: Mapping[str, XpArray]) -> Any:
    for name, leaf in chosen.items():
        if leaf.dtype.itemsize > 8 or not jnp.issubdtype(leaf.dtype, jnp.floating):
            msg = (
                f"params[{name!r}] has dtype {leaf.dtype}; a weight is a real number "
                "of at most 64 bits: hold it constant with parameters=, or split it "
                "into real arrays"
            )
            raise TypeError(msg)
        if leaf.dtype == np.float64 and not jax.config.jax_enable_x64:
            msg = (
                f"params[{name!r}] has dtype float64, which JAX has switched off; call "
                f"{ENABLE_X64} first, or convert params to float32"
            )
            raise TypeError(msg)
    halves = [name for name, leaf in chosen.items() if is_half(leaf)]
    if halves:
        warn(
            f"params[{halves[0]!r}] has dtype {chosen[halves[0]].dtype}, in which a "
            "step of epsilon (|w| + 1) does not exist; measuring a float32 copy"
        )
    double = any(leaf.dtype == np.float64 for leaf in chosen.values())
    return np.dtype(np.float64 if double else np.float32)


def _untrained(params: Any) -> set[int]:
    """Return the leaves that Flax does not train, such as batch-norm statistics."""
    nnx = sys.modules.get("flax.nnx")

    def is_variable(node: object) -> bool:
        return nnx is not None and isinstance(node, nnx.Variable)

    found: set[int] = set()
    start = 0
    for path, node in tree_flatten_with_path(params, is_leaf=is_variable)[0]:
        stop = start + len(jax.tree_util.tree_leaves(node))
        boxed = (
            nnx is not None and is_variable(node) and not isinstance(node, nnx.Param)
        )
        if boxed or keystr(path[:1], simple=True) == LINEN_STATISTICS:
            found |= set(range(start, stop))
        start = stop
    return found


def _require_names(
    named: Mapping[str, XpArray], needed: Sequence[str], known: Mapping[str, int]
) -> None:
    missing = [name for name in needed if name not in named]
    unknown = [str(name) for name in named if name not in known]
    for words, names in (("lacks", missing), ("has unknown names", unknown)):
        if names:
            msg = f"named {words} {listed(names)}; params has {listed(known)}"
            raise ValueError(msg)


def _require_shape(name: str, value: XpArray, shape: tuple[int, ...]) -> None:
    if tuple(value.shape) != shape:
        msg = (
            f"named[{name!r}] has shape {tuple(value.shape)}; params has {shape} there"
        )
        raise ValueError(msg)

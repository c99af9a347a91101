"""Which arrays are measured, where each lies in the flat vector, and by what name.

A `Layout` turns a pytree, or a checkpoint of it, into flat weights, and flat weights
into the pytree.
"""

from __future__ import annotations

import copy
import itertools
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.tree_util import (
    GetAttrKey,
    keystr,
    tree_flatten_with_path,
    tree_leaves,
    tree_unflatten,
)

from sharpkit._inputs.names import Choice, chosen_names, listed
from sharpkit._inputs.state_names import renamed, require_mapping
from sharpkit._inputs.types import XpArray
from sharpkit._inputs.warn import warn

Path = tuple[Any, ...]  # the keys that lead to a leaf of a pytree

LINEN_STATISTICS = "batch_stats"
BOXED = GetAttrKey("value")  # Flax keeps an array as this one attribute of a variable
ENABLE_X64 = 'jax.config.update("jax_enable_x64", True)'


class Layout:
    """How the chosen arrays of a pytree lie in one flat vector.

    Parameters
    ----------
    params
        The pytree. Its structure is kept, and none of its arrays.
    choice
        The names or patterns of the float arrays to choose, or a function of the name;
        None chooses all that are trained.

    Attributes
    ----------
    n : int
        The length of the vector.
    dtype : numpy.dtype
        The dtype of the vector: float64 if a chosen array is, else float32.
    slices : dict of str to slice
        Where each chosen array lies, by its name.
    layers : dict of str to slice
        Where the chosen arrays of each parent lie, by the name of the parent; see
        `Names.layers`.
    entries : int
        The number of entries of all arrays.

    Warns
    -----
    SharpkitWarning
        If a chosen array is in half precision.
    """

    def __init__(self, params: Any, choice: Choice | None) -> None:
        found, self._treedef = tree_flatten_with_path(params)
        self._names, leaves = Names([path for path, _ in found]), [v for _, v in found]
        self._static = [None if is_array(leaf) else leaf for leaf in leaves]
        self._chosen = self._choose(params, leaves, choice)
        self._picked = choice is not None
        arrays = {i for i, leaf in enumerate(leaves) if is_array(leaf)}
        self._constant = sorted(arrays - set(self._chosen))
        self.dtype = _dtype({self._names[i]: leaves[i] for i in self._chosen})
        self._shapes = [tuple(leaves[i].shape) for i in self._chosen]
        self._shardings = [_sharding(leaves[i]) for i in self._chosen]
        meshes = [each.mesh for each in self._shardings if each is not None]
        self._sharding = NamedSharding(meshes[0], PartitionSpec()) if meshes else None
        ends = [*itertools.accumulate(math.prod(shape) for shape in self._shapes)]
        parts = [*itertools.starmap(slice, itertools.pairwise([0, *ends]))]
        self.n = ends[-1]
        names = [self._names[i] for i in self._chosen]
        self.slices = dict(zip(names, parts, strict=True))
        self.layers = self._names.layers(self._chosen, parts)
        self.entries = sum(math.prod(leaves[i].shape) for i in arrays)

    def matrices(self) -> dict[str, tuple[slice, tuple[int, ...], int]]:
        """Return where each matrix lies, its shape, and the axis of its outputs."""
        places = zip(self.slices.items(), self._shapes, strict=True)
        return {
            name: (place, shape, 0 if name.endswith("weight") else len(shape) - 1)
            for (name, place), shape in places
            if len(shape) > 1
        }

    def widened(self) -> Layout:
        """Return the same layout in float64."""
        other = copy.copy(self)
        other.dtype = np.dtype(np.float64)
        return other

    def flat(self, leaves: Sequence[Any]) -> tuple[XpArray, list[XpArray]]:
        """Return copies of the weights, (n,), and of the constants among the leaves.

        They are copied because an array of NumPy may be written to later, and one of
        JAX may be given away.
        """
        arrays = [jnp.array(leaves[i], self.dtype) for i in self._chosen]
        parts = [_placed(array, self._sharding).ravel() for array in arrays]
        constants = [widened(jnp.array(leaves[i]), self.dtype) for i in self._constant]
        return jnp.concatenate(parts), constants

    def tree(self, w: XpArray, constants: Sequence[XpArray]) -> Any:
        """Return the pytree at flat weights, (n,), whose dtype its arrays then have.

        They are spread over devices as those that the layout was made of.
        """
        leaves = list(self._static)
        places = zip(self._chosen, self.slices.values(), self._shapes, strict=True)
        for (i, part, shape), sharding in zip(places, self._shardings, strict=True):
            leaves[i] = _placed(w[part].reshape(shape), sharding)
        for i, constant in zip(self._constant, constants, strict=True):
            leaves[i] = constant
        return tree_unflatten(self._treedef, leaves)

    def at(
        self, named: Any, constants: Sequence[XpArray]
    ) -> tuple[XpArray, list[XpArray]]:
        """Return the weights and the constants that a checkpoint holds.

        Parameters
        ----------
        named
            The arrays of the checkpoint by their names: all float arrays of the pytree,
            and perhaps others of its constants; or the measured ones alone.
        constants
            The constants so far.

        Raises
        ------
        TypeError
            If ``named`` is no mapping.
        """
        require_mapping(named, f"with the names {listed(self.slices)}")
        held = dict(zip(self._constant, constants, strict=True))
        shapes = dict(zip(self._chosen, self._shapes, strict=True))
        shapes |= {i: constant.shape for i, constant in held.items()}
        known = {self._names[i]: i for i in shapes}
        needed = [n for n, i in known.items() if i not in held or is_float(held[i])]
        named = renamed(named, {name: [name] for name in known}, list(self.slices))
        others = known.keys() - self.slices.keys()
        if self._picked and not named.keys() & others:
            # What was chosen is there alone, as of adapters: the rest is our own.
            needed = list(self.slices)
        _require_names(named, needed, known)
        leaves: list[Any] = [held.get(i) for i in range(len(self._static))]
        for name, i in known.items():
            if name in named:
                value = as_array(f"named[{name!r}]", named[name])
                _require_shape(name, value, shapes[i])
                exact = i in held and jnp.issubdtype(held[i].dtype, jnp.number)
                leaves[i] = jnp.array(value, held[i].dtype) if exact else value
        return self.flat(leaves)

    def checked(self, name: str, vector: Any) -> XpArray:
        """Return a vector of this layout as an array of JAX.

        Raises
        ------
        TypeError
            If it is no array, or has another dtype.
        ValueError
            If it has another shape.
        RuntimeError
            If JAX has no float64 any more.
        """
        if not isinstance(vector, jax.Array | np.ndarray):
            msg = (
                f"{name} is of type {type(vector).__name__}; give a JAX or NumPy "
                f"vector of {self.n} entries, such as problem.weights"
            )
            raise TypeError(msg)
        if vector.shape != (self.n,):
            msg = (
                f"{name} has shape {vector.shape}; give a vector of shape ({self.n},), "
                "one entry for each weight, such as problem.weights"
            )
            raise ValueError(msg)
        if vector.dtype != self.dtype:
            msg = (
                f"{name} has dtype {vector.dtype}, and the problem {self.dtype}; give "
                f"{name}.astype({str(self.dtype)!r})"
            )
            raise TypeError(msg)
        if self.dtype == np.float64 and not jax.config.jax_enable_x64:
            msg = (
                "the problem was made in float64, which JAX has switched off since; "
                f"call {ENABLE_X64}"
            )
            raise RuntimeError(msg)
        return _placed(jnp.asarray(vector), self._sharding)

    def _choose(
        self, params: Any, leaves: list[Any], choice: Choice | None
    ) -> list[int]:
        floats = {
            self._names[i]: i
            for i, leaf in enumerate(leaves)
            if is_array(leaf) and is_float(leaf)
        }
        if choice is not None:
            chosen = chosen_names(choice, {name: [name] for name in floats})
            return [floats[name] for name in chosen]
        untrained = _untrained(params)
        trained = [i for i in floats.values() if i not in untrained]
        if not trained:
            msg = (
                f"params of type {type(params).__name__} holds no float array that is "
                "trained; give a pytree of JAX or NumPy arrays"
            )
            raise ValueError(msg)
        return trained


class Names:
    """What each leaf of a pytree is called, such as ``layers.0.weight``.

    Where two leaves would be called the same, for instance because a key has a dot in
    it, all names are spelt as in Python: ``['layers'][0]['weight']``.

    Parameters
    ----------
    paths
        The path of each leaf, in the order of the tree.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        beside = Counter(path[:-1] for path in paths)
        self._paths = [
            path[:-1] if path[-1:] == (BOXED,) and beside[path[:-1]] == 1 else path
            for path in paths
        ]
        self._simple = len({_simple(path) for path in self._paths}) == len(paths)

    def __getitem__(self, leaf: int) -> str:
        return self._of(self._paths[leaf])

    def layers(
        self, leaves: Sequence[int], slices: Sequence[slice]
    ) -> dict[str, slice]:
        """Return where the chosen leaves of each parent lie, by the parent's name.

        A leaf of the root is a layer by itself. So is each leaf of a parent between
        whose leaves others lie.

        Parameters
        ----------
        leaves, slices
            The chosen leaves and where each lies, in the order of the vector.
        """
        placed = zip(leaves, slices, strict=True)
        runs = [
            (parent, list(run))
            for parent, run in itertools.groupby(
                placed, lambda each: self._paths[each[0]][:-1]
            )
        ]
        times = Counter(parent for parent, _ in runs)
        layers: dict[str, slice] = {}
        for parent, run in runs:
            if parent and times[parent] == 1:
                whole = slice(run[0][1].start, run[-1][1].stop)
                layers[self._of(parent)] = whole
            else:
                layers |= {self[leaf]: part for leaf, part in run}
        return layers

    def _of(self, path: Path) -> str:
        return _simple(path) if self._simple else keystr(path) or "params"


def is_array(leaf: object) -> bool:
    """Return whether ``leaf`` is an array of numbers, or a scalar of NumPy."""
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind not in "OSUMm"
    return isinstance(leaf, jax.Array)


def is_float(array: XpArray) -> bool:
    """Return whether ``array`` is real or complex floating-point."""
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))


def as_array(name: str, value: Any) -> XpArray:
    """Return arrays of JAX and NumPy as they are, and others through NumPy.

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


def _sharding(leaf: Any) -> NamedSharding | None:
    """Return how an array is spread over several devices; None where it is not."""
    found = getattr(leaf, "sharding", None)
    spread = isinstance(found, NamedSharding) and found.num_devices > 1
    return found if spread else None


def _placed(array: XpArray, sharding: NamedSharding | None) -> XpArray:
    """Return an array spread over devices, also where this is compiled."""
    if sharding is None:
        return array
    traced = isinstance(array, jax.core.Tracer)
    if traced and AxisType.Explicit not in sharding.mesh.axis_types:
        return jax.lax.with_sharding_constraint(array, sharding)
    return jax.device_put(array, sharding)


def _dtype(chosen: Mapping[str, XpArray]) -> Any:
    for name, leaf in chosen.items():
        if leaf.dtype.itemsize > 8 or not jnp.issubdtype(leaf.dtype, jnp.floating):
            msg = (
                f"params[{name!r}] has dtype {leaf.dtype}; a weight is a real number "
                "of at most 64 bits: choose the other arrays with parameters=, or "
                "split it into real arrays"
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
            "step of epsilon (|w| + 1) does not exist; a float32 copy is measured"
        )
    double = any(leaf.dtype == np.float64 for leaf in chosen.values())
    return np.dtype(np.float64 if double else np.float32)


def _untrained(params: Any) -> set[int]:
    """Return the indices of the leaves that Flax does not train, such as statistics."""
    nnx = sys.modules.get("flax.nnx")

    def is_variable(node: object) -> bool:
        return nnx is not None and isinstance(node, nnx.Variable)

    found: set[int] = set()
    start = 0
    for path, node in tree_flatten_with_path(params, is_leaf=is_variable)[0]:
        stop = start + len(tree_leaves(node))
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
    for words, names in (("lacks", missing), ("has the unknown names", unknown)):
        if names:
            msg = (
                f"named {words} {listed(names)}; give the arrays of params, which are "
                f"{listed(known)}"
            )
            raise ValueError(msg)


def _require_shape(name: str, value: XpArray, shape: tuple[int, ...]) -> None:
    if tuple(value.shape) != shape:
        msg = (
            f"named[{name!r}] has shape {tuple(value.shape)}; give an array of shape "
            f"{shape}, as params has there"
        )
        raise ValueError(msg)


def _simple(path: Path) -> str:
    return keystr(path, simple=True, separator=".") or "params"

"""A problem: weights, their loss, and what else is known, in one object.

`measure`, `compare` and the command take problems. `sharpkit.torch.problem` and
`sharpkit.jax.problem` make them from models; `Problem` makes one from a function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.checks import at_least, checked_weights, require_callable
from sharpkit._inputs.foreign import native
from sharpkit._inputs.linear import as_product
from sharpkit._inputs.models import model_message
from sharpkit._inputs.names import listed
from sharpkit._inputs.samples import checked_indices
from sharpkit._inputs.types import XpArray

Product = Callable[[XpArray, XpArray], XpArray]
Subset = Callable[[Any], "ProblemLike"]


class ProblemLike(Protocol):
    """What every measure takes: weights, a loss, and what else is known of both.

    `Problem`, `sharpkit.torch.Problem` and `sharpkit.jax.Problem` are such. Members
    that a problem has nothing for are None.
    """

    @property
    def weights(self) -> XpArray:
        """The weights, (n,), flattened."""
        ...

    @property
    def hvp(self) -> Product | None:
        """The exact product with the Hessian, ``hvp(w, v) -> H v``."""
        ...

    @property
    def gauss_newton(self) -> Product | None:
        """The exact product with the Gauss-Newton matrix."""
        ...

    @property
    def layers(self) -> Mapping[str, slice] | None:
        """Which weights belong to which layer."""
        ...

    @property
    def accuracy(self) -> Callable[[XpArray], float | None] | None:
        """The share of right answers at some weights, from 0 to 1."""
        ...

    @property
    def samples(self) -> int | None:
        """The number of samples that the loss and the accuracy are means of."""
        ...

    @property
    def subset(self) -> Subset | None:
        """The same problem over some of its samples, ``subset(indices)``.

        It is at the same weights, and it is what a problem made of these samples alone
        would be; statistics that are constant stay what they are. Indices are whole
        numbers from 0 to ``samples - 1``, each once.
        """
        ...

    def __call__(self, w: XpArray) -> Any:
        """Return the loss at ``w``, or the loss and its gradient."""
        ...

    def at(self, named: Mapping[str, XpArray]) -> ProblemLike:
        """Return the same problem at the weights of a checkpoint."""
        ...

    def on_line(self) -> ProblemLike:
        """Return the problem with which straight lines are evaluated."""
        ...

    def release(self) -> None:
        """Free what is kept for further products at the same weights."""
        ...


FUNCTIONS = ("hvp", "gauss_newton", "accuracy")
MEMBERS = (
    *("hvp", "gauss_newton", "layers", "accuracy", "samples", "subset"),
    *("at", "on_line", "release"),
)


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Weights and a loss as a bare function; called like ``loss_fn``.

    Attributes
    ----------
    weights : (n,) float32 or float64, NumPy, CuPy, torch or JAX
        The weights, of which a copy is kept.
    loss_fn : callable
        The mean loss over the samples, ``loss_fn(w) -> (loss, gradient)``.
    hvp, gauss_newton : callable or None
        The exact products with the Hessian and with the Gauss-Newton matrix, where
        there are any: ``hvp(w, v) -> H v``, or a linear operator of SciPy or
        curvlinops, or a matrix, made at these very weights: products at others are then
        refused.
    layers : mapping of str to slice, or None
        Which weights belong to which layer.
    accuracy : callable or None
        The share of right answers, from 0 to 1: ``accuracy(w) -> float``.
    samples : int or None
        The number of samples that the loss and the accuracy are means of.
    subset : callable or None
        The loss over some of the samples, ``subset(indices) -> loss_fn``: a function
        that is given their indices, (k,) int64, and returns the ``loss_fn`` of these
        alone, with its ``hvp`` as an attribute if it has one, or a problem. It needs
        ``samples``. ``problem.subset(indices)`` is then the problem over them.

    Raises
    ------
    TypeError, ValueError
        If a value cannot be used; the message names it and the fix.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(2), lambda w: (float(w @ w), 2 * w))
    >>> float(problem.at({"weights": np.ones(2)}).weights.sum())
    2.0
    """

    weights: XpArray
    loss_fn: Callable[[XpArray], Any]
    hvp: Product | None = field(default=None, kw_only=True)
    gauss_newton: Product | None = field(default=None, kw_only=True)
    layers: Mapping[str, slice] | None = field(default=None, kw_only=True)
    accuracy: Callable[[XpArray], float] | None = field(default=None, kw_only=True)
    samples: int | None = field(default=None, kw_only=True)
    subset: Callable[[NDArray[np.int64]], Any] | None = field(
        default=None, kw_only=True
    )

    def __post_init__(self) -> None:
        own, kind = native(self.weights)
        own = checked_weights(own)
        object.__setattr__(self, "weights", own if kind is None else kind.given(own))
        require_callable("loss_fn", self.loss_fn)
        for name in ("hvp", "gauss_newton"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, as_product(name, given, self.weights))
        for name in FUNCTIONS:
            given = getattr(self, name)
            if given is not None:
                require_callable(name, given)
        if self.samples is not None:
            at_least("samples", self.samples, 1)
        if self.subset is not None:
            object.__setattr__(self, "subset", _Subset.of(self, self.subset))
        if self.layers is not None:
            _require_mapping("layers", self.layers, "slices, such as slice(0, 100)")
            given_layers: Mapping[str, Any] = self.layers
            for name, where in given_layers.items():
                if not isinstance(where, slice):
                    msg = (
                        f"layers[{name!r}] is of type {type(where).__name__}; give a "
                        "slice of the weights, such as slice(0, 100)"
                    )
                    raise TypeError(msg)

    @property
    def entries(self) -> int:
        """The number of entries that a checkpoint holds at the most."""
        return int(self.weights.shape[0])

    def __call__(self, w: XpArray) -> Any:
        """Return what ``loss_fn`` returns at w."""
        return self.loss_fn(w)

    def __repr__(self) -> str:
        n, dtype = self.weights.shape[0], str(self.weights.dtype)
        return f"Problem of n = {n:,} weights, {dtype.removeprefix('torch.')}"

    def at(self, named: Mapping[str, XpArray]) -> Problem:
        """Return the same problem at other weights.

        They are converted to the dtype of its own.

        Parameters
        ----------
        named
            One flat vector, as ``"weights"`` or the only entry; or one array for each
            of the `layers`, raveled into its slice.

        Raises
        ------
        TypeError
            If the entries are no arrays.
        ValueError
            If they do not fit.
        """
        own, kind = native(self.weights)
        xp = array_module(own)
        flat = xp.empty_like(own)
        for name, where in self._slices(named).items():
            entry = _floating(name, named[name])
            if entry.size != flat[where].size or (
                where == slice(None) and entry.ndim != 1
            ):
                msg = (
                    f"entry {name!r} has shape {entry.shape}; the problem has "
                    f"{flat[where].size} weights there: give as many"
                    f"{', flattened' if where == slice(None) else ''}"
                )
                raise ValueError(msg)
            here = to_host(entry) if xp is np else xp.asarray(entry)
            flat[where] = here.ravel()
        return replace(self, weights=flat if kind is None else kind.given(flat))

    def on_line(self) -> Problem:
        """Return the problem to evaluate straight lines with: itself."""
        return self

    def release(self) -> None:
        """Do nothing: a bare function keeps nothing that could be freed."""

    def _slices(self, named: Mapping[str, XpArray]) -> dict[str, slice]:
        """Return where each entry belongs.

        Raises
        ------
        ValueError
            If they fit neither one vector nor the layers.
        """
        _require_mapping("named", named, "arrays, such as {'weights': vector}")
        if self.layers and set(self.layers) == set(named):
            self._require_cover(self.layers)
            return dict(self.layers)
        if "weights" in named:
            return {"weights": slice(None)}
        if len(named) == 1:
            return {next(iter(named)): slice(None)}
        wanted = "'weights', one flat vector"
        if self.layers:
            wanted += f", or all of the layers: {listed(self.layers)}"
        msg = f"the entries are {listed(named)}; the problem needs {wanted}"
        raise ValueError(msg)

    def _require_cover(self, layers: Mapping[str, slice]) -> None:
        times = np.zeros(self.weights.shape[0], np.int64)
        for where in layers.values():
            times[where] += 1
        if (times != 1).any():
            first = int((times != 1).argmax())
            msg = (
                f"layers have weight {first} {times[first]} times; to put a checkpoint "
                "together they must have each weight once: give {'weights': vector}"
            )
            raise ValueError(msg)


def is_problem(value: Any) -> bool:
    """Return whether ``value`` is a loss function that has its weights with it."""
    if not callable(value):
        return False
    # A problem of a model copies its weights when it is asked for them.
    known = inspect.getattr_static(value, "weights", None) is not None
    own = known or hasattr(value, "weights")
    return own and model_message(value) is None  # a module may call a layer "weights"


def as_problem(name: str, value: Any) -> ProblemLike:
    """Return ``value`` as a problem with all its members.

    A loss function with an attribute ``weights`` is enough: what else it lacks is
    added.

    Parameters
    ----------
    name
        The name of the argument.
    value
        What was given for it.

    Raises
    ------
    TypeError
        If it is no problem; the message says how to make one.
    """
    if not is_problem(value):
        msg = model_message(value) or (
            f"{name} is of type {type(value).__name__}; give "
            "sharpkit.torch.problem(model, loss, data), sharpkit.jax.problem(...) or "
            "sharpkit.Problem(weights, loss_fn); or flat weights and loss_fn="
        )
        raise TypeError(msg)
    has_all = all(hasattr(type(value), member) for member in MEMBERS)
    if has_all or isinstance(value, _Completed):
        problem: ProblemLike = value
        return problem
    return cast("ProblemLike", _Completed(value, value.weights))


def at_vector(problem: ProblemLike, vector: Any) -> ProblemLike:
    """Return a problem at another flat vector; all else is the problem's own.

    Parameters
    ----------
    problem
        The problem.
    vector : (n,)
        The weights, which are converted to the kind and dtype of the problem's own.
    """
    plain = Problem(problem.weights, problem).at({"weights": vector})
    return cast("ProblemLike", _Completed(problem, plain.weights))


def required_subset(problem: Any, why: str) -> Subset:
    """Return the member ``subset`` of a problem.

    Parameters
    ----------
    problem
        The problem, or what else a measure was given.
    why
        What needs it, such as ``"subset=128"``.

    Raises
    ------
    ValueError
        If it has none.
    """
    found: Subset | None = getattr(problem, "subset", None)
    if found is None:
        msg = (
            f"{why} needs single samples, and problem.subset is None; give a model's "
            "problem its data as tensors or arrays, as a list of batches, or as a "
            "DataLoader over a data set with a length; or give sharpkit.Problem(..., "
            "samples=n, subset=function of indices)"
        )
        raise ValueError(msg)
    return found


class _Subset:
    """The member `subset` of a `Problem`: what the user gave, behind checks."""

    def __init__(self, given: Callable[[Any], Any], problem: Problem) -> None:
        self._given, self._samples = given, problem.samples
        self._weights, self._layers = problem.weights, problem.layers

    @classmethod
    def of(cls, problem: Problem, given: Any) -> _Subset:
        """Return it for a problem, whose own copies hand it on."""
        if isinstance(given, cls):
            return cls(given._given, problem)
        require_callable("subset", given)
        if problem.samples is None:
            msg = "subset is given and samples=None; give the number of samples, too"
            raise ValueError(msg)
        return cls(given, problem)

    def __call__(self, indices: Any) -> ProblemLike:
        assert self._samples is not None  # `of` sees to it
        chosen = checked_indices(indices, self._samples)
        part = _part(self._given(chosen), self._weights)
        if isinstance(part, Problem):
            return replace(part, layers=self._layers, samples=chosen.size)
        return part


def _part(made: Any, weights: XpArray) -> ProblemLike:
    """Return what a user's ``subset`` returned as a problem at some weights.

    Raises
    ------
    TypeError
        If it is no loss.
    """
    if is_problem(made):
        return at_vector(as_problem("subset", made), weights)
    if not callable(made):
        msg = (
            f"subset returned {type(made).__name__}; return the loss_fn of the chosen "
            "samples, or a problem"
        )
        raise TypeError(msg)
    known = {name: getattr(made, name, None) for name in FUNCTIONS}
    return Problem(weights, made, **known)


class _Completed:
    """A loss function at some weights, with the members of a problem that it lacks."""

    def __init__(self, given: Any, weights: XpArray) -> None:
        self._given, self.weights = given, weights

    def __call__(self, w: XpArray) -> Any:
        return self._given(w)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for before there is anything, by copies
            raise AttributeError(name)
        if name not in MEMBERS:
            return getattr(self._given, name)
        own = getattr(self._given, name, None)
        if own is not None and name == "on_line":
            return lambda: self._with(own())
        if own is None and name in ("at", "on_line", "release"):
            own = getattr(Problem(self.weights, self._given), name)
        if own is not None and name == "subset":  # the given one has weights of its own
            return lambda indices: _part(own(indices), self.weights)
        return own

    def _with(self, given: Any) -> _Completed:
        """Return another loss at the same weights."""
        return self if given is self._given else _Completed(given, self.weights)


def _require_mapping(name: str, value: Any, what: str) -> None:
    if not isinstance(value, Mapping):
        msg = f"{name} is of type {type(value).__name__}; give a mapping to {what}"
        raise TypeError(msg)


def _floating(name: str, value: Any) -> NDArray[Any]:
    """Return an entry of a checkpoint as a NumPy or CuPy array of real numbers.

    Raises
    ------
    TypeError
        If it is none.
    """
    if "bfloat16" in str(getattr(value, "dtype", "")):  # NumPy has no such dtype
        value = value.float() if hasattr(value, "float") else value.astype("float32")
    array, _ = native(value)
    if getattr(getattr(array, "dtype", None), "kind", "") != "f":
        kind = getattr(array, "dtype", type(array).__name__)
        msg = f"entry {name!r} is of type {kind}; give an array of real numbers"
        raise TypeError(msg)
    entry: NDArray[Any] = array
    return entry

"""What the user hands in, checked once: the point at which everything is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from sharpkit._inputs.arrays import is_array, to_host
from sharpkit._inputs.checks import checked_weights, require_callable
from sharpkit._inputs.foreign import Kind, native, native_hvp
from sharpkit._inputs.linear import as_product
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.samples import Indices
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._inputs.warn import warn
from sharpkit._spectrum.operators import Differences, Given, Operator
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.comm import Comm
from sharpkit._vectors.ranks import Ranks
from sharpkit._vectors.space import Space
from sharpkit.measures._looks import Looks
from sharpkit.measures._rest import Rest
from sharpkit.measures._sharded import (
    LOSSES,
    alike_over,
    native_loss_over,
    native_product_over,
    not_sharded,
    require_alike,
    require_equal,
    require_one_rank,
    require_samples_over,
)
from sharpkit.measures._trusted import Trusted, tried
from sharpkit.problem import ProblemLike, as_problem, is_problem, required_subset
from sharpkit.results.common import Run

# Products of a problem with other matrices than the Hessian, beside those that say so
# by an attribute `hessian`.
OTHERS = ("gauss_newton", "empirical_fisher")


class Counted(Protocol):
    """What counts the calls of a callback: an objective or an operator."""

    @property
    def calls(self) -> int:
        """The calls so far."""
        ...

    @property
    def seconds(self) -> float:
        """The seconds inside the callback so far."""
        ...


class Point:
    """Weights, their loss and its products, as every measure sees them.

    Inside there are NumPy or CuPy arrays only; the callbacks are given, and return,
    arrays of the library that the weights came from. `of` makes a point of what users
    hand in, `part` of a group of its weights.

    Attributes
    ----------
    weights : (n,) float32 or float64, NumPy or CuPy
        The weights, a copy.
    loss_fn : callable or None
        The loss, ``w -> loss`` or ``w -> (loss, gradient)``; None where only products
        are known.
    space : Space
        The vectors of the weights' length and dtype, and the kernels that run.
    backend : str
        The name of the kernels.
    kind : Kind or None
        The library that the weights came from; None for NumPy and CuPy.
    problem : ProblemLike or None
        The problem that was handed in, if it was one.
    comm : Comm or None
        The ranks that the weights are spread over; None where they are all here.
    looks : Looks
        What looks near the weights have told of the loss.
    """

    def __init__(
        self,
        weights: Array,
        loss_fn: LossFn | None,
        product: Callable[[], Hvp | None],
        *,
        backend: str | None,
        kind: Kind | None = None,
        problem: ProblemLike | None = None,
        compared: bool = True,
        comm: Comm | None = None,
    ) -> None:
        self._made: float | None = time.perf_counter()
        self.weights, self.loss_fn, self._product = weights, loss_fn, product
        self.backend, kernels = kernels_for(backend, weights)
        self.space = Space(kernels, weights.size, weights.dtype, comm)
        self.comm = comm
        self.kind, self.problem = kind, problem
        self._operators: dict[int, Operator] = {}
        self.looks = Looks(self.space, weights)
        self._redrawn: Any = None  # makes a problem of another random state
        self._widened: Any = None  # makes a problem in which little is hidden
        self._source: Any = problem  # the loss as it was handed in
        self._compared = compared  # whether the product is to be that of the loss
        self._trusted: Trusted | None = None
        self._shared = False
        self._centre: tuple[float, Array | None, float] | None = None

    @classmethod
    def of(
        cls,
        problem: Any,
        loss_fn: LossFn | None = None,
        *,
        hvp: Hvp | None = None,
        backend: str | None = None,
        comm: Comm | None = None,
    ) -> Point:
        """Return the point that the arguments of a measure mean.

        Parameters
        ----------
        problem
            A problem, flat weights, or a point, which is returned as it is.
        loss_fn
            The loss at flat weights.
        hvp
            The product that takes the place of the loss's own.
        backend
            The name of the kernels; None chooses by where the weights live.
        comm
            The ranks that the weights are spread over; None says that all are here.

        Raises
        ------
        TypeError
            If one of them cannot be used; other exceptions come from their checks.
        """
        if isinstance(problem, Point):
            assert (loss_fn, hvp) == (None, None)  # it has its own
            return problem
        began = time.perf_counter()
        if comm is None:
            require_one_rank(problem, "this")
        whole = None
        if is_problem(problem) and loss_fn is None:
            whole = as_problem("problem", problem)
            problem, loss_fn = whole.weights, whole
        elif loss_fn is None and hvp is None:
            _refuse(problem)
        elif is_problem(problem):
            msg = (
                f"problem is a {type(problem).__name__}, which has its own loss, and "
                "loss_fn is given; give the problem alone, or problem.weights and "
                "loss_fn"
            )
            raise TypeError(msg)
        if hvp is not None:
            hvp = as_product("hvp", hvp, problem)
        for name, given in (("loss_fn", loss_fn), ("hvp", hvp)):
            if given is not None:
                require_callable(name, given)
        if is_problem(loss_fn) and (stale := getattr(loss_fn, "warn_if_stale", None)):
            stale(problem)
        weights, kind = native(problem)
        weights = checked_weights(weights, empty=comm is not None)
        if comm is not None:
            require_alike(comm, weights, loss_fn is None, hvp is None)
        if isinstance(comm, Ranks):
            comm.place(weights.size, getattr(whole, "pieces", None))
        point = cls(
            weights,
            None if loss_fn is None else native_loss_over(loss_fn, kind, comm),
            lambda: native_product_over(loss_fn, hvp, kind, comm),
            backend=backend,
            kind=kind,
            problem=whole,
            compared=hvp is None
            or (
                getattr(hvp, "hessian", True)
                and all(hvp != getattr(whole, name, None) for name in OTHERS)
            ),
            comm=comm,
        )
        point._made = began
        if hvp is None:
            point._widened = getattr(whole or loss_fn, "widened", None)
        point._redrawn = getattr(whole or loss_fn, "redrawn", None)
        point._source = whole or loss_fn
        return point

    @property
    def n(self) -> int:
        """The number of weights."""
        return self.space.size

    @property
    def hvp(self) -> Hvp | None:
        """The exact product, where there is one; finding that out may take work."""
        return self._product()

    def required_loss(self) -> LossFn:
        """Return the loss.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.loss_fn is None:
            msg = (
                "loss_fn=None; this measure needs the loss itself: give loss_fn, a "
                "function of the weights that returns the loss, or (loss, gradient)"
            )
            raise ValueError(msg)
        return self.loss_fn

    def redrawn(self) -> Objective | None:
        """Return the loss from another random state, where one can be set."""
        if self._redrawn is None:
            return None
        return self.checked(self._redrawn())

    def checked(self, loss_fn: LossFn, words: tuple[str, str] = LOSSES) -> Objective:
        """Return another loss at these weights behind checks and a count.

        Parameters
        ----------
        loss_fn
            The loss.
        words
            What is said where ranks do not agree on it: see `agreed`.
        """
        own = native_loss_over(loss_fn, self.kind, self.comm, words)
        return Objective(own, self.weights)

    def objective(self) -> Objective:
        """Return the loss behind checks and a count of its own."""
        return Objective(self.required_loss(), self.weights)

    def share(self) -> None:
        """Keep loss and gradient at the weights for all measures: a vector."""
        self._shared = True

    def centre(self, objective: Objective) -> tuple[float, Array | None, float]:
        """Return loss, gradient and noise at the weights: see `Objective.centre`.

        Parameters
        ----------
        objective
            The loss, which is not called where a measure before has done so.
        """
        if self._centre is None:
            found = objective.centre(self.weights)
            self._centre = found if self._shared else None
            return found
        loss, gradient, noise = self._centre
        objective.has_gradient = gradient is not None
        return loss, None if gradient is None else gradient.copy(), noise

    def operator(self, seed: int, report: Callable[[int, float], None]) -> Operator:
        """Return the Hessian as an operator whose counts begin at 0.

        It is the exact product if there is one. Otherwise differences of the gradient
        are tried out, once for all measures of a seed, which takes calls; ``report`` is
        told of 0 products meanwhile.

        Parameters
        ----------
        seed
            The seed of the direction in which the step of the differences is chosen.
        report
            The function that is told of progress.
        """
        known = self._operators.get(seed)
        if known is not None:
            return known.fresh()
        return self._operators.setdefault(seed, self._new_operator(seed, report))

    def _new_operator(
        self, seed: int, report: Callable[[int, float], None]
    ) -> Operator:
        found = self.trusted()
        if found.hvp is not None:
            spent = found.calls, found.seconds
            return Given(self.space, self.weights, found.hvp, found.error, spent)
        assert self.loss_fn is not None  # `of` sees to one of both
        return Differences(
            self.space,
            self.weights,
            self.loss_fn,
            seed=seed,
            preparing=lambda: report(0, 0.0),
        )

    def trusted(self) -> Trusted:
        """Return the exact product, or None in its place if it cannot be trusted.

        Warns
        -----
        SharpkitWarning
            If it is not the derivative of the gradient.
        """
        if self._trusted is None:
            hvp = self.hvp
            self._trusted = Trusted(None)
            if hvp is not None:
                loss_fn = self.loss_fn if self._compared else None
                closer = self._closer if self._widened is not None else None
                self._trusted = tried(self.looks, hvp, loss_fn, closer)
            self.looks.forget()
        return self._trusted

    def inherit(self, earlier: Point) -> None:
        """Take over what has been found out of the product at an earlier point.

        It is not tried again, and differences keep their step, with its error.

        Parameters
        ----------
        earlier
            A point of the same loss, at weights nearby.
        """
        known = earlier._trusted
        if known is not None:
            self._trusted = Trusted(known.hvp and self.hvp, known.error)
        for seed, operator in earlier._operators.items():
            if isinstance(operator, Differences):
                moved = operator.over(self.required_loss(), self.weights)
                self._operators[seed] = moved

    def _closer(self) -> Trusted | None:
        """Try the product where kinks and rounding hide less; None if it is not there.

        Models need not work in float64, nor on so few samples: exceptions come through.
        """
        wide = Point.of(self._widened(), comm=self.comm)
        wide._widened = None  # nothing is seen more closely than there
        return None if wide.hvp is None else wide.trusted()

    def begin(self) -> float:
        """Return when a measurement began: the first began with the intake."""
        began, self._made = self._made or time.perf_counter(), None
        return began

    def run(self, counted: Counted, began: float, **known: Any) -> Run:
        """Return the record of a measurement that has ended.

        Parameters
        ----------
        counted
            What counted the calls of the callback.
        began
            When the measurement began.
        known
            The other fields of the record, such as ``source`` and ``seed``.
        """
        return Run(
            n=self.n,
            calls=counted.calls,
            seconds=time.perf_counter() - began,
            callback_seconds=counted.seconds,
            backend=self.backend,
            dtype=str(self.weights.dtype),
            **known,
        )

    def run_of_products(self, operator: Operator, began: float, seed: int) -> Run:
        """Return the record of a measurement of the spectrum that has ended.

        Parameters
        ----------
        operator
            The operator that the measurement has multiplied with.
        began
            When the measurement began.
        seed
            The seed of its random vectors.
        """
        return self.run(
            operator,
            began,
            seed=seed,
            source=operator.source,
            products=operator.products,
            product_error=operator.error,
        )

    def part(self, places: tuple[slice, ...]) -> Point:
        """Return the point of a group of the weights, all others held fixed.

        Parameters
        ----------
        places
            The ranges of the weights that make up the group.
        """
        if self.comm is not None:
            raise NotImplementedError(not_sharded("a measure of a group of weights"))
        rest = Rest(self.weights, places)
        return Point(
            rest.taken(self.weights).copy(),
            None if self.loss_fn is None else rest.loss(self.loss_fn),
            lambda: None if (hvp := self.trusted().hvp) is None else rest.product(hvp),
            backend=self.backend,
            compared=False,
        )

    @property
    def samples(self) -> int | None:
        """The number of samples that the loss is a mean of, where it is known."""
        found: int | None = getattr(self._source, "samples", None)
        return found

    def has(self, name: str) -> bool:
        """Return whether the loss as it was handed in has a member."""
        return getattr(self._source, name, None) is not None

    def directional(self, vector: Array) -> Array | None:
        """Return the derivatives of the losses of samples along a vector, (k,).

        They are None where the problem has no member for them.
        """
        along = getattr(self._source, "directional", None)
        if self.comm is not None:
            require_equal(self.comm, "whether there is directional", along is not None)
        if along is None:
            return None
        found: Array = to_host(native_hvp(along, self.kind)(self.weights, vector))
        return found if self.comm is None else alike_over(found, self.comm)

    def subsets(self, why: str) -> Callable[[Indices], Point]:
        """Return the function that returns the point over some of the samples.

        Parameters
        ----------
        why
            What needs it, such as ``"subset=128"``.

        Raises
        ------
        ValueError
            If the problem has no samples to choose from.
        NotImplementedError
            If it is that of a model over ranks.
        """
        require_samples_over(self._source, why)
        chosen = required_subset(self._source, why)

        def over(indices: Indices) -> Point:
            loss_fn: Any = chosen(indices)
            part = Point(
                self.weights,
                native_loss_over(loss_fn, self.kind, self.comm),
                lambda: native_product_over(loss_fn, None, self.kind, self.comm),
                backend=self.backend,
                kind=self.kind,
                problem=loss_fn if is_problem(loss_fn) else None,
                comm=self.comm,
            )
            part._source = loss_fn
            return part

        return over

    def release(self) -> None:
        """Have the problem free what it keeps for products at these weights."""
        if self.problem is not None:
            self.problem.release()


def _refuse(problem: Any) -> NoReturn:
    """Raise for what is no problem and stands alone.

    Raises
    ------
    TypeError
        Always.
    """
    if native(problem)[1] is None and not is_array(problem):
        as_problem("problem", problem)  # says what to give
    msg = (
        "loss_fn=None beside flat weights; give loss_fn, a function of the weights "
        "that returns (loss, gradient), or a problem in place of the weights"
    )
    raise TypeError(msg)


def warn_asymmetric(operator: Operator) -> None:
    """Warn that the products are not those of a symmetric operator."""
    warn(
        f"{operator.source}: the products are not those of a symmetric operator; u.Hv "
        "must equal v.Hu: check hvp, and that the loss is deterministic"
    )

"""The solvers that may be asked for by name, each an object with options of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sharpkit._box import lbfgsb, scipy_lbfgsb, search
from sharpkit._box.box import Box, Outcome
from sharpkit._inputs.checks import at_least, one_of, true_or_false


@dataclass(frozen=True)
class Auto:
    """Starts from outside the box, a race and crosses; see `sharpkit._box.search`.

    Attributes
    ----------
    lean : bool
        Whether fewer points are kept at a time: six vectors in all, not eight.
    """

    lean: bool = False
    default_evaluations: ClassVar[int] = 100
    first: ClassVar[int] = 25  # ends there by default if another start agrees

    @property
    def name(self) -> str:
        """The solver and its option, in words."""
        return "auto, lean" if self.lean else "auto"

    def maximise(self, box: Box, *, seed: int) -> Outcome:
        """Return what was found once the budget is spent."""
        return search.maximise(box, seed=seed, lean=self.lean)


@dataclass(frozen=True)
class LBFGSB:
    """The paper's recipe: L-BFGS-B from the weights, on sharpkit's own kernels.

    The paper runs ten iterations and leaves the rest open. Here the memory is ten
    pairs of steps, as in SciPy, and the iterates are those of SciPy to rounding.

    Attributes
    ----------
    max_iter : int
        The largest number of iterations; one takes one evaluation or a few.
    rescale : bool
        Whether the loss is scaled so that the first step has the size of the box, and
        no tolerances are used. The default, False, is the recipe as published scripts
        run it: the first step has the size of the gradient, and close to a minimum,
        where that is small, L-BFGS-B may stop at once.
    """

    max_iter: int = 10
    rescale: bool = False
    default_evaluations: ClassVar[int | None] = None  # the iterations are the limit

    def __post_init__(self) -> None:
        _check_options(self)

    @property
    def name(self) -> str:
        """The solver and its options, in words."""
        return f"L-BFGS-B, {_options(self)}"

    def maximise(self, box: Box, *, seed: int) -> Outcome:
        """Return the best point, and whether the method stopped by itself.

        By itself, that is, with evaluations and iterations left. ``seed`` is not used.
        """
        best, stopped = lbfgsb.maximise(
            box, max_iter=self.max_iter, rescale=self.rescale
        )
        return Outcome(best, (best.loss,), (False,), stopped)


@dataclass(frozen=True)
class ScipyLBFGSB:
    """The paper's recipe as SciPy runs it: slow, on the host, and a judge of `LBFGSB`.

    Attributes
    ----------
    max_iter : int
        The largest number of iterations; one takes one evaluation or a few.
    rescale : bool
        Whether the loss is scaled so that the first step has the size of the box, and
        no tolerances are used, as in `LBFGSB`.
    """

    max_iter: int = 10
    rescale: bool = False
    default_evaluations: ClassVar[int | None] = None  # the iterations are the limit

    def __post_init__(self) -> None:
        _check_options(self)

    @property
    def name(self) -> str:
        """The solver and its options, in words."""
        return f"scipy L-BFGS-B, {_options(self)}"

    def maximise(self, box: Box, *, seed: int) -> Outcome:
        """Return the best point, and whether SciPy stopped by itself.

        By itself, that is, with evaluations and iterations left. ``seed`` is not used.
        """
        best, stopped = scipy_lbfgsb.maximise(
            box, max_iter=self.max_iter, rescale=self.rescale
        )
        return Outcome(best, (best.loss,), (False,), stopped)


Solver = Literal["auto", "lbfgsb", "scipy"] | LBFGSB | ScipyLBFGSB

_NAMED: dict[str, type[Auto | LBFGSB | ScipyLBFGSB]] = {
    "auto": Auto,
    "lbfgsb": LBFGSB,
    "scipy": ScipyLBFGSB,
}


def solver_from(solver: Any) -> Auto | LBFGSB | ScipyLBFGSB:
    """Return the solver that is meant, given its name or an object with its options.

    Raises
    ------
    TypeError
        If it is neither a name nor an object with options. An unknown name is a
        ValueError.
    """
    if isinstance(solver, str):
        one_of("solver", solver, tuple(_NAMED))
        return _NAMED[solver]()
    if not isinstance(solver, LBFGSB | ScipyLBFGSB):
        msg = (
            f"solver={solver!r} of type {type(solver).__name__} is no solver; give one "
            f"of {', '.join(map(repr, _NAMED))}, or LBFGSB(...) or ScipyLBFGSB(...) "
            "with options of their own"
        )
        raise TypeError(msg)
    return solver


def _check_options(solver: LBFGSB | ScipyLBFGSB) -> None:
    # The objects are frozen, and a whole number of NumPy's becomes a plain one.
    object.__setattr__(solver, "max_iter", at_least("max_iter", solver.max_iter, 1))
    object.__setattr__(solver, "rescale", true_or_false("rescale", solver.rescale))


def _options(solver: LBFGSB | ScipyLBFGSB) -> str:
    return f"{solver.max_iter} iterations{', scaled' if solver.rescale else ''}"

"""Generated inputs: a known problem, one thing wrong with it or nothing, a measure."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

import sharpkit
from bad_inputs import arguments, callbacks, products, verdict
from bad_inputs.known import known

METHODS = ("xtrace", "hutch++", "hutchinson")


def _sharpness(rng, n):
    options: dict[str, Any] = {"epsilon": float(10.0 ** rng.integers(-6, 0))}
    if rng.random() < 0.2:
        options["subspace"] = int(rng.integers(1, 5))
    options["solver"] = ["auto", "auto", "auto", "lbfgsb", "scipy"][rng.integers(5)]
    return options


def _eigenvalues(rng, n):
    return {
        "which": ["LA", "SA", "LM"][rng.integers(3)],
        "k": int(rng.integers(1, min(n, 4) + 1)),
        "tol": [1e-2, 1e-3, 1e-4][rng.integers(3)],
    }


def _trace(rng, n):
    return {
        "method": METHODS[rng.integers(3)],
        "max_products": int(rng.choice([12, 24, 60])),
    }


def _diagonal(rng, n):
    return {
        "method": ["xdiag", "hutchinson"][rng.integers(2)],
        "max_products": int(rng.choice([12, 24, 60])),
    }


def _density(rng, n):
    return {
        "max_products": int(rng.choice([40, 80])),
        "probes": int(rng.choice([2, 4])),
    }


def _none(rng, n):
    return {}


MEASURES = {
    sharpkit.sharpness: _sharpness,
    sharpkit.eigenvalues: _eigenvalues,
    sharpkit.trace: _trace,
    sharpkit.diagonal: _diagonal,
    sharpkit.spectral_density: _density,
    sharpkit.check: _none,
    sharpkit.measure: lambda rng, n: {"repeats": 1},
    sharpkit.by_group: _none,
}
SHARES = (0.26, 0.16, 0.12, 0.08, 0.1, 0.1, 0.1, 0.08)  # of the measures
WHERE = ("gradient", "loss", "manners", "hvp", "weights", "option", "nothing")
HESSIAN = (sharpkit.eigenvalues, sharpkit.trace, sharpkit.diagonal)


@dataclass
class Case:
    """One input: what is measured, of what, and what is wrong with it."""

    seed: int
    measure: Any
    problem: Any
    where: str
    defect: str
    arguments: tuple
    options: dict[str, Any]
    changed: str = ""

    def __str__(self) -> str:
        options = ", ".join(f"{k}={v!r}"[:60] for k, v in self.options.items())
        return (
            f"seed {self.seed}: {self.measure.__name__}({options}) of "
            f"{self.problem.kind}; {self.where}: {self.defect}"
        )


def case(seed: int) -> Case:
    """Return the input of a seed."""
    rng = np.random.default_rng([14, seed])
    problem = known(rng)
    measure = list(MEASURES)[rng.choice(len(MEASURES), p=SHARES)]
    where = WHERE[rng.choice(len(WHERE), p=(0.2, 0.18, 0.12, 0.18, 0.08, 0.14, 0.1))]
    if where == "hvp" and measure is sharpkit.sharpness:
        measure = HESSIAN[rng.integers(3)]
    w, n = problem.weights, problem.weights.size
    options, loss_fn, hvp, defect, changed = (
        MEASURES[measure](rng, n),
        problem,
        None,
        "",
        "",
    )
    problem.own, problem.share = None, None
    exact = rng.random() < 0.3
    if where == "hvp":
        make = products.DEFECTS[rng.integers(len(products.DEFECTS))]
        defect, hvp = make.__name__, make(rng, problem)
    elif exact:
        hvp = problem.hvp
    if where in callbacks.DEFECTS:
        kinds = callbacks.DEFECTS[where]
        make = kinds[rng.integers(len(kinds))]
        defect, loss_fn = make.__name__, callbacks.counted(make)(rng, problem)
    elif where == "weights":
        defect = list(arguments.WEIGHTS)[rng.integers(len(arguments.WEIGHTS))]
        with np.errstate(all="ignore"):
            w = arguments.WEIGHTS[defect](w)
    elif where == "option":
        changed, value = arguments.odd_option(rng, measure)
        defect = f"{changed}={value!r}"[:60]
        options[changed] = value
    problem.layers = {"first": slice(0, max(n // 2, 1)), "second": slice(n // 2, n)}
    return Case(
        seed, measure, problem, where, defect, (w, loss_fn, hvp), options, changed
    )


def _call(case: Case) -> Any:
    w, loss_fn, hvp = case.arguments
    options = dict(case.options)
    if case.measure in (sharpkit.measure, sharpkit.by_group):
        bare = case.problem
        whole = sharpkit.Problem(w, loss_fn, hvp=hvp, layers=bare.layers)
        if case.measure is sharpkit.measure:
            return sharpkit.measure(whole, **options)
        inner = [sharpkit.trace, sharpkit.eigenvalues, sharpkit.sharpness]
        return sharpkit.by_group(inner[case.seed % 3], whole, **options)
    if case.measure is not sharpkit.sharpness and hvp is not None:
        options["hvp"] = hvp
    return case.measure(w, loss_fn, **options)


def judged(case: Case) -> tuple[str, str | None]:
    """Return how the input ended, and what is wrong with that, or None.

    It ends "refused", "warned", or "right".
    """
    names = (*case.options, *(("columns",) if case.changed == "subspace" else ()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = _call(case)
            repr(result)
            result.to_dict()
        except Exception as error:
            own = case.problem.own
            if case.changed == "progress" and callable(case.options["progress"]):
                own = error  # of what is no function to tell of progress
            return "refused", verdict.of_error(error, own, names)
    if wrong := verdict.of_warnings(caught):
        return "warned", wrong
    if verdict.is_warned(caught):
        return "warned", None
    return "right", _wrong(case, result)


def _wrong(case: Case, result: Any) -> str | None:
    if case.where == "option" and case.changed == "groups":
        return None
    if case.measure is sharpkit.check:
        return checked(case, result)
    w = np.asarray(case.arguments[0])
    w = w.astype(w.dtype.newbyteorder("="))
    return verdict.Truth(case.problem, w).judge(result)


WRONG = {  # what a check is to find
    "gradient": {"scaled", "stale", "accumulated", "of_another_loss", "wrong_block"},
}


def checked(case: Case, result: Any) -> str | None:
    """Judge a check: no false alarm, and no wrong gradient called right."""
    honest = case.where in ("nothing", "weights", "option")
    honest |= case.defect in ("one_buffer", "strided", "keeps", "right")
    if honest and not result.ok:
        return verdict.Wrong(f"false alarm: {result!r}")
    wrong = case.where == "gradient" and case.defect in WRONG["gradient"]
    if wrong and result.ok and result.gradient == "right":
        return verdict.Wrong(f"silent: check passes {case.defect}")
    return None

"""Kinds that are known to be missed, and how many of 2,000 inputs each may be.

Nothing is filtered in silence: an input counts here only if it has been judged wrong,
and each figure is what was measured, and half as many again.
"""

from __future__ import annotations

import numpy as np

# Gradients that are those of some loss, though not of this one: their derivative is a
# Hessian in good order. `check` finds them, and so does a search for the sharpness.
CONSISTENT = {"scaled", "zero", "of_another_loss", "wrong_block", "accumulated"}
# One call of many is of another loss, and the search believes it.
ONE_CALL = {"noisy_at_times", "of_other_weights", "other_loss"}
MOST = {
    "a gradient of another loss": 50,
    "roundings of differences": 18,
    "a product that lacks little": 17,
    "a single wrong call": 11,
    "kinks in float32": 2,
    "rough products in few dimensions": 2,
    "a loss in decimal digits": 2,
}
SHARE = 2e-2  # products that lack less, by norm, may pass for right ones


def kind(case, wrong):
    """Return the kind of a wrong verdict that is known, or None."""
    spectral = "sharpness" not in wrong and "check" not in wrong
    silent = wrong.startswith("silent")
    consistent = case.defect in CONSISTENT or " 0 ± 0 " in wrong  # float16 has no 1e-8
    if silent and spectral and case.where == "gradient" and consistent:
        return "a gradient of another loss"
    if silent and not spectral and case.defect in ONE_CALL:
        return "a single wrong call"
    if silent and case.where == "hvp" and case.problem.share is not None:
        if case.problem.share < SHARE:
            return "a product that lacks little"
    if silent and case.defect == "rounded_loss" and not spectral:
        return "a loss in decimal digits"
    single = case.problem.weights.dtype == np.float32
    if silent and case.where == "hvp" and single and "kinked" in case.problem.kind:
        return "kinks in float32"
    if (
        silent
        and case.defect in ("noisy", "rounded")
        and (case.problem.weights.size <= 3 or "one" in case.problem.kind)
    ):
        return "rough products in few dimensions"
    few = 1e-2 if single or case.defect in ("half", "single", "other_vector") else 1e-6
    if silent and spectral and wrong.share < few:
        return "roundings of differences"
    return None

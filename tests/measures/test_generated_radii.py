"""Radii and measures along updates on the generated bad inputs: nothing foreign."""

import warnings
from collections import Counter

import numpy as np
import pytest
from bad_inputs import case, verdict

import sharpkit
from sharpkit import CriticalStatus

CALLS = {
    "average": lambda w, f: sharpkit.flatness_radius(w, f, of="loss"),
    "worst": lambda w, f: sharpkit.flatness_radius(
        w, f, of="loss", kind="worst", magnitude=True, max_evaluations=120
    ),
    "critical": sharpkit.critical_sharpness,
    "directional": lambda w, f: sharpkit.directional_sharpness(w, loss_fn=f),
    "gradient norm": sharpkit.gradient_norm,
}
WHERE = {"gradient", "loss", "manners", "weights", "nothing"}
NAMES = ("loss_fn", "direction", "target", "gradient")


def truth_of(name, known, w, found):
    """Return the true value and what may be lacking, or None where it is not known."""
    wide = np.asarray(w).astype("f8")
    loss, g = known.exact(wide)
    h = known.hessian(wide)
    eps = float(np.finfo(found.dtype).eps)
    if name == "gradient norm":
        size = np.linalg.norm(g) + np.linalg.norm(abs(h) @ abs(wide))
        return np.linalg.norm(g), 64 * eps * size + 6 * found.error
    if name == "directional" and "quadratic" in known.kind:
        d = np.linalg.norm(g)
        value = g @ h @ g / d**2
        size = np.linalg.norm(abs(h) @ abs(wide)) / d * np.abs(h).sum(1).max()
        return value, 6 * found.error + 256 * eps * size
    if name == "critical" and "quadratic" in known.kind:
        if found.status is CriticalStatus.CONVERGED:
            value = g @ h @ g / (g @ g)
            fall = (g @ g) / 2 / max(value, 1e-300)
            doubt = 64 * eps * (1 + abs(loss)) / max(fall, 1e-300)
            return value, abs(value) * (1 / 8 + doubt)
    return None


def end_of(name, made):
    """Return how the input ended, and what is wrong with that."""
    w, loss_fn, _ = made.arguments
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = CALLS[name](w, loss_fn)
            repr(found)
            found.to_dict()
        except Exception as error:
            return "refused", verdict.of_error(error, made.problem.own, NAMES)
    if wrong := verdict.of_warnings(caught):
        return "warned", wrong
    if verdict.is_warned(caught):
        return "warned", None
    if made.where not in ("nothing", "weights"):
        return "right", None
    with np.errstate(all="ignore"):
        known = truth_of(name, made.problem, w, found)
    if known and not abs(float(found) - known[0]) <= known[1]:
        return "right", f"silent: {float(found)} for {known[0]}, {found!r}"
    return "right", None


@pytest.mark.parametrize("name", CALLS)
def test_generated_inputs(name):
    ends, wrong = Counter(), []
    for seed in range(60):
        made = case(seed)
        if made.where not in WHERE:
            continue
        end, found = end_of(name, made)
        ends[end] += 1
        wrong += [] if found is None else [f"{made}\n  {found}"]
    assert not wrong, "\n".join(wrong)
    assert min(ends["refused"], ends["right"]) > 5

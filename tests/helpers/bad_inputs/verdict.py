"""Is what a measure returned, raised or warned of right, or honest?

Each function returns None, or what is wrong in words.
"""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np

import sharpkit
from sharpkit import SharpkitWarning, SpectrumStatus, Status

HOME = Path(sharpkit.__file__).resolve().parent
KNOWN = (TypeError, ValueError)
ERRORS = 6.0  # so many stated errors are still honest
NOTABLE = 1e-2  # a sharpness whose noise is a smaller share is not looked at closely
NAMED = ("loss_fn", "hvp", "weights", "problem", "groups", "measure", "gauss_newton")
# What these say does not take back a number.
ONLY_TOLD = (
    "they are converted at every call",
    "measuring a float32 copy",
    "compiling",
)
UNTRUSTED = {Status.BELOW_NOISE, Status.WRONG_GRADIENT, Status.NON_FINITE}
TRUSTED = {SpectrumStatus.CONVERGED, SpectrumStatus.EXACT, SpectrumStatus.COMPLETE}


def of_error(error, own, names):
    """Judge an exception: sharpkit's own, by name, or the callback's, unchanged."""
    if own is not None and error is own:
        return None
    text, [*_, last] = str(error), traceback.extract_tb(error.__traceback__)
    where = Path(last.filename).resolve()
    what = f"foreign: {type(error).__name__}: {text[:200]} ({where.name}:{last.lineno})"
    # A device that is not there, and a library that is not installed.
    known = (*KNOWN, RuntimeError) if "backend" in names else KNOWN
    known = (*known, ModuleNotFoundError) if "process_group" in names else known
    if type(error) not in known or not where.is_relative_to(HOME):
        return Wrong(what)
    if not any(name in text for name in (*NAMED, *names)):
        return Wrong(f"unnamed: {text[:200]}")
    return None


def of_warnings(caught):
    """Judge warnings: all are sharpkit's own."""
    for each in caught:
        if not issubclass(each.category, SharpkitWarning):
            at = f"{Path(each.filename).name}:{each.lineno}"
            return Wrong(f"foreign: {each.category.__name__}: {each.message} ({at})")
    return None


def is_warned(caught):
    """Whether a warning takes back the number."""
    texts = [str(each.message) for each in caught]
    return any(not any(told in text for told in ONLY_TOLD) for text in texts)


class Wrong(str):
    """What is wrong in words, and how far a number is off, as a share of its size."""

    share = float("inf")

    @classmethod
    def number(cls, name, found, error, truth, size, status=""):
        """Return that a number is off by more than its error allows."""
        size = max(float(size), float(np.finfo("f8").tiny))
        wrong = cls(
            f"silent: {name} {found:.8g} ± {error:.1g} for {truth:.8g} {status}"
        )
        wrong.share = float(abs(found - truth) / size)
        return wrong


class Truth:
    """What is right at some weights: the loss in the box and the dense Hessian."""

    def __init__(self, known, weights, places=None):
        self.known, self.weights = known, np.array(weights)
        self.wide = self.weights.astype("f8")
        self.places = np.arange(self.wide.size) if places is None else places
        self.eps = float(np.finfo(self.weights.dtype).eps)

    @property
    def hessian(self):
        return self.known.hessian(self.wide)[np.ix_(self.places, self.places)]

    def judge(self, result):
        """Return what is silently wrong in a result, or None."""
        name = type(result).__name__
        with np.errstate(all="ignore"):
            return getattr(self, f"of_{name}")(result)

    def of_SharpnessResult(self, found):
        """The value is at most what the clean loss has at the displacement."""
        if found.status in UNTRUSTED:
            return None
        z = np.zeros_like(self.weights)
        z[self.places] = found.displacement
        there = (self.weights + z).astype("f8")
        limit = found.epsilon * (np.abs(self.wide) + 1) * (1 + 4 * self.eps)
        if found.subspace is None and (np.abs(z.astype("f8")) > limit).any():
            return Wrong("silent: outside the box")
        here, g = self.known.exact(self.wide)
        above, slope = self.known.exact(there)
        value = 100 * (above - here) / (1 + here)
        steep = np.maximum(np.abs(g), np.abs(slope))
        size = max(abs(above), abs(here)) + steep @ (np.abs(there) + np.abs(z))
        rounding = 100 * 8 * self.eps * size / (1 + here) + NOTABLE * abs(value)
        if found.value - value > ERRORS * found.noise + rounding:
            name = found.status.name
            return Wrong.number(
                "sharpness", found.value, found.noise, value, found.value, name
            )
        return None

    def of_EigenResult(self, found):
        h, every = self.hessian, np.linalg.eigvalsh(self.hessian)
        order = {"LA": -every, "SA": every, "LM": -np.abs(every)}[found.which]
        truth = every[np.argsort(order, kind="stable")][: len(found.values)]
        values, sizes = found.values, np.abs(every)
        if found.which == "LM":
            values, truth = np.abs(values), np.abs(truth)
        allowed = ERRORS * found.residuals + self.rounding(h)
        wrong = found.converged & ~(np.abs(values - truth) <= allowed)
        if found.status is SpectrumStatus.CONVERGED and wrong.any():
            i = int(wrong.argmax())
            return Wrong.number(
                "eigenvalue", values[i], found.residuals[i], truth[i], sizes.max()
            )
        return None

    def rounding(self, h):
        """Return some roundings of the largest eigenvalue, or what bounds it."""
        return 32 * self.eps * np.abs(h).sum(axis=1).max()

    def of_TraceResult(self, found):
        h = self.hessian
        low, high = found.interval
        allowed = max(ERRORS * found.stderr, 1.5 * (high - low))
        allowed += self.rounding(h) * len(h)
        truth, name = np.trace(h), found.status.name
        if found.status in TRUSTED and not abs(found.value - truth) <= allowed:
            size = np.abs(np.diag(h)).sum()
            return Wrong.number("trace", found.value, found.stderr, truth, size, name)
        return None

    def of_DiagonalResult(self, found):
        h, name = self.hessian, found.status.name
        truth = np.diag(h)
        allowed = max(ERRORS, 3 * found.quantile) * found.stderr + self.rounding(h)
        gap = np.abs(found.values - truth)
        if found.status in TRUSTED and not (gap <= allowed).all():
            i = int((gap - allowed).argmax())
            return Wrong.number(
                f"diagonal[{i}]",
                *(found.values[i], found.stderr[i], truth[i], np.abs(h).max(), name),
            )
        return None

    def of_DensityResult(self, found):
        if found.status not in TRUSTED:
            return None
        h = self.hessian
        (value, stderr), truth = found.moment(1), np.trace(h) / len(h)
        largest = np.abs(np.linalg.eigvalsh(h)).max()
        error = ERRORS * found.run.product_error + self.rounding(h)
        # Of few probes the spread itself is random: Student's t, at three times 95 %.
        factor = {2: 39.0, 3: 13.0, 4: 9.6}.get(len(found.nodes), 8.4)
        if not abs(value - truth) <= factor * stderr + error:
            return Wrong.number("mean eigenvalue", value, stderr, truth, largest)
        node = np.abs(found.nodes).max()
        if not node <= largest + error:
            product_error = found.run.product_error
            return Wrong.number("a node", node, product_error, largest, largest)
        return None

    def of_Report(self, found):
        parts = (
            found.sharpness,
            found.eigenvalues,
            found.trace,
            found.spectral_density,
        )
        return next((w for p in parts if p is not None and (w := self.judge(p))), None)

    def of_GroupResults(self, found):
        for name, part in self.known.layers.items():
            own = Truth(self.known, self.weights, self.places[part])
            if name in found and (wrong := own.judge(found[name])):
                return wrong
        return None

"""The result of `sharpkit.check`: what can be believed, how far, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from sharpkit._inputs.objective import ROUNDINGS
from sharpkit.results.common import Recorded, Run, finite, wrapped

Gradient = Literal["right", "wrong", "undecided", "no gradient"]
Product = Literal["right", "wrong", "undecided", "differences", "no product"]

MOSTLY = 0.5  # a larger share of the time is the loader's
NOT_DETERMINISTIC = (
    "switch off dropout and sampling, fix its seed, and choose the batch-norm "
    "statistics"
)
GRADIENTS: dict[Gradient, str] = {
    "right": "",
    "wrong": (
        "it is not that of this loss: compare the mean with the sum, the batch-norm "
        "statistics, weight decay, each layer's share, and whether it is that of the "
        "call before"
    ),
    "undecided": "noise or kinks hide too much: use float64, or a larger share of data",
    "no gradient": "return (loss, gradient) for anything beyond 1000 dimensions",
}
PRODUCTS: dict[Product, str] = {
    "right": "",
    "wrong": (
        "check hvp: H(w) v, linear in v, symmetric, of the mean loss, and all of it: a "
        "backward pass with saved results for constants leaves a part out"
    ),
    "undecided": (
        "noise or kinks of the loss (ReLU) hide whether hvp is the derivative of the "
        "gradient: use float64"
    ),
    "differences": "give hvp= for exact products",
    "no product": "return (loss, gradient), or give hvp=",
}


@dataclass(frozen=True, eq=False, repr=False)
class CheckResult(Recorded):
    """What is sound about a loss at given weights; `ok` if nothing was found wrong.

    Attributes
    ----------
    loss : float
        The loss at the weights.
    deterministic : bool
        Whether loss and gradient are the same at every call, but for rounding.
    loss_difference, gradient_difference : float
        The largest differences between calls at the weights: of the loss, and of the
        gradient as a share of its norm; NaN without a gradient.
    drawn_difference : float
        The difference of the loss from another random state, where one can be set: it
        tells of dropout or sampling that each evaluation repeats; otherwise NaN.
    noise : float
        The standard deviation of the noise of one evaluation of the loss.
    noise_found : bool
        Whether that noise was seen; otherwise it is one rounding of ``1 + |loss|``.
    smallest_sharpness : float
        The smallest sharpness that can be told from zero, in per cent: what noise alone
        stays below in 99 of 100 measurements of a flat loss with the default budget;
        NaN where the loss is at most -1.
    gradient : {"right", "wrong", "undecided", "no gradient"}
        Whether the gradient is that of the loss.
    gradient_error, gradient_tolerance : float
        The error ``|f(b) - f(a) - int g.dx|`` as a share of ``int |g.dx|``, in the
        direction in which it is worst against what noise, rule and kinks explain: the
        tolerance. NaN where nothing could be compared.
    product : {"right", "wrong", "undecided", "differences", "no product"}
        Whether the exact product is that of the Hessian; "differences" where there is
        none and the measures would use differences of the gradient.
    asymmetry, asymmetry_tolerance : float
        The asymmetry ``|u.Hv - v.Hu| / ||H v||`` for random u and v, and what rounding
        explains; NaN without exact products.
    product_error, product_tolerance : float
        The error ``||H v - D v|| / ||H v||`` with D v from differences of the gradient,
        and what their error explains; for "differences" the error they say they have,
        and NaN.
    product_source : str
        Where products come from: ``"hvp"``, or differences of the gradient and their
        step.
    evaluation_seconds, product_seconds : float
        The median time of one evaluation and of one product; NaN where none was made.
    loading_share : float
        The share of the evaluations' time that batches were waited for, which is the
        loader's, not the model's; NaN where no loader is known.
    costs : dict of str to float
        The seconds that each measure would take inside the callback at its defaults,
        and `measure` and `compare` of two checkpoints, at most; those that cannot be
        had are missing.
    evaluations : int
        The calls of ``loss_fn``.
    run : Run
        How the result was obtained: products, seconds, backend, dtype, seed.
    """

    loss: float
    deterministic: bool
    loss_difference: float
    gradient_difference: float
    drawn_difference: float
    noise: float
    noise_found: bool
    smallest_sharpness: float
    gradient: Gradient
    gradient_error: float
    gradient_tolerance: float
    product: Product
    asymmetry: float
    asymmetry_tolerance: float
    product_error: float
    product_tolerance: float
    product_source: str
    evaluation_seconds: float
    product_seconds: float
    loading_share: float
    costs: dict[str, float]
    evaluations: int
    run: Run

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong; what is undecided is not wrong."""
        sound = self.deterministic and not self._draws
        return sound and "wrong" not in (self.gradient, self.product)

    @property
    def _draws(self) -> bool:
        """Whether another random state gives another loss."""
        rounding = ROUNDINGS * float(np.finfo(self.dtype).eps)
        return self.drawn_difference > rounding * (1 + abs(self.loss))

    def __repr__(self) -> str:
        own = max(self.seconds - self.callback_seconds, 0.0)
        lines = [
            f"check: {'nothing wrong' if self.ok else 'WRONG'}  (loss {self.loss:.6g})",
            f"  deterministic: {self._determinism()}",
            f"  noise of the loss: {self._noise()}",
            f"  gradient: {self._gradient()}",
            f"  product: {self._product()}",
            f"  cost: {self._cost()}",
            *self._forecast(),
            f"  {self.evaluations} evaluations, {self.products} products, n = "
            f"{self.n:,}, seed {self.seed}, {self.backend} {self.dtype}, "
            f"{self.seconds:.2f} s ({own:.2f} s outside the callback)",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        # `product_error` is here the answer of the check, not that of the run.
        record = self.run.to_dict() | record
        del record["run"]
        record = {
            name: finite(value) if isinstance(value, float) else value
            for name, value in record.items()
        }
        return {**record, "ok": self.ok, "costs": dict(self.costs)}

    def _determinism(self) -> str:
        if self.deterministic and self._draws:
            return (
                "only from one random state: another changes the loss by "
                f"{self.drawn_difference:.2g}; switch off dropout and sampling in the "
                "loss, or take the number for one draw"
            )
        if not self.loss_difference and not self.gradient_difference > 0:
            return "yes, to the last bit"
        size = f"{self.loss_difference:.2g} in the loss"
        if self.gradient != "no gradient":
            size += f", {self.gradient_difference:.2g} of the gradient"
        if self.deterministic:
            return f"yes, to rounding: calls differ by {size}"
        return f"no: calls differ by {size}; {NOT_DETERMINISTIC}"

    def _noise(self) -> str:
        seen = "" if self.noise_found else " (not seen: one rounding)"
        if self.loss <= -1:
            return (
                f"{self.noise:.2g}{seen}; the sharpness, which divides by 1 + loss, is "
                "undefined"
            )
        return (
            f"{self.noise:.2g}{seen}; a sharpness below {self.smallest_sharpness:.2g} "
            "% cannot be told from zero"
        )

    def _gradient(self) -> str:
        text: str = self.gradient
        if finite(self.gradient_tolerance) is not None:
            text += (
                f", relative error {self.gradient_error:.2g} (tolerance "
                f"{self.gradient_tolerance:.2g})"
            )
        elif self.gradient == "undecided":
            return "undecided: the loss is constant, or not finite, near the weights"
        return _sentence(text, GRADIENTS[self.gradient])

    def _product(self) -> str:
        if self.product == "differences":
            source = f"{self.product_source}, relative error {self.product_error:.2g}"
            return _sentence(source, PRODUCTS["differences"])
        text: str = self.product
        if finite(self.product_tolerance) is not None:
            text += (
                f", relative error {self.product_error:.2g} (tolerance "
                f"{self.product_tolerance:.2g})"
            )
        if finite(self.asymmetry) is not None:
            text += (
                f", asymmetry {self.asymmetry:.2g} (tolerance "
                f"{self.asymmetry_tolerance:.2g})"
            )
        return _sentence(text, PRODUCTS[self.product])

    def _cost(self) -> str:
        spent = f"{_seconds(self.evaluation_seconds)} an evaluation"
        if finite(self.product_seconds) is not None:
            spent += f", {_seconds(self.product_seconds)} a product"
        if self.loading_share > MOSTLY:
            spent += (
                f", {self.loading_share:.0%} of which the loader takes, not the model: "
                "give it workers, or hold the batches in memory"
            )
        return spent

    def _forecast(self) -> list[str]:
        each = [f"{name} {_seconds(value)}" for name, value in self.costs.items()]
        return wrapped(f"at their defaults: {', '.join(each)}") if each else []


def _sentence(text: str, advice: str) -> str:
    return f"{text}; {advice}" if advice else text


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value / 3600:.2g} h"

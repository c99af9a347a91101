"""What every estimate of the spectrum begins and ends with."""

from __future__ import annotations

import time
from collections.abc import Callable

from sharpkit._inputs.checks import checked_seed, checked_weights, require_callable
from sharpkit._inputs.foreign import native, native_hvp, native_loss
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._inputs.warn import warn
from sharpkit._spectrum.operators import Operator, operator_for
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.space import Space
from sharpkit.results import Run


class Setup:
    """Checked arguments, the operator, and the clock.

    Parameters
    ----------
    weights, loss_fn, hvp, seed, backend
        As the user gave them.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        If one of them cannot be used.
    """

    def __init__(
        self,
        weights: Array,
        loss_fn: LossFn | None,
        hvp: Hvp | None,
        *,
        seed: int,
        backend: str | None,
    ) -> None:
        self._began = time.perf_counter()
        if loss_fn is None and hvp is None:
            msg = (
                "loss_fn=None and hvp=None; give loss_fn, a function of the weights "
                "that returns (loss, gradient), or hvp, the product hvp(w, v)"
            )
            raise ValueError(msg)
        for name, given in (("loss_fn", loss_fn), ("hvp", hvp)):
            if given is not None:
                require_callable(name, given)
        own = getattr(loss_fn, "hvp", None) if hvp is None else hvp
        weights, kind = native(weights)
        self.weights = checked_weights(weights)
        self._loss_fn = None if loss_fn is None else native_loss(loss_fn, kind)
        self._hvp = None if own is None else native_hvp(own, kind)
        self.seed = checked_seed(seed)
        self._backend, kernels = kernels_for(backend, self.weights)
        self.space = Space(kernels, self.weights.size, self.weights.dtype)
        self.n = self.space.size

    def operator(self, report: Callable[[int, float], None]) -> Operator:
        """Return the operator; differences are tried out here, which takes calls.

        ``report`` is told of 0 products meanwhile.
        """
        self._operator = operator_for(
            self.space,
            self.weights,
            self._loss_fn,
            self._hvp,
            seed=self.seed,
            preparing=lambda: report(0, 0.0),
        )
        return self._operator

    def run(self) -> Run:
        """Return what it took, once the work is done."""
        operator = self._operator
        return Run(
            products=operator.products,
            calls=operator.calls,
            source=operator.source,
            product_error=operator.error,
            backend=self._backend,
            dtype=str(self.weights.dtype),
            seed=self.seed,
            seconds=time.perf_counter() - self._began,
            callback_seconds=operator.seconds,
        )

    def warn_asymmetric(self) -> None:
        """Warn that the products are not those of a symmetric operator."""
        warn(
            f"{self._operator.source}: the products are not those of a symmetric "
            "operator; u.Hv must equal v.Hu: check hvp, and that the loss is "
            "deterministic"
        )

"""Adam, Adagrad and SGD, with or without momentum, on one flat weight vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.steps import steps_for
from sharpkit.lab.training.regime import Regime


class Optimizer(Protocol):
    """Anything that changes the weights in place for a gradient."""

    def step(self, weights: XpArray, gradient: XpArray) -> None:
        """Apply one update to ``weights``, (n,), in place."""
        ...


@dataclass
class Adam:
    """Adam (Kingma and Ba, arXiv 1412.6980); the defaults are every framework's."""

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    updates: int = field(default=0, init=False)
    _moments: tuple[XpArray, XpArray] | None = field(
        default=None, init=False, repr=False
    )

    def step(self, weights: XpArray, gradient: XpArray) -> None:
        """Apply one update to ``weights``, (n,), in place."""
        if self._moments is None:
            zeros = array_module(weights).zeros_like
            self._moments = zeros(weights), zeros(weights)
        self.updates += 1
        steps_for(weights).adam(
            weights,
            gradient,
            *self._moments,
            rate=self.rate,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            step=self.updates,
        )


@dataclass
class SGD:
    """Stochastic gradient descent with (heavy-ball) momentum, PyTorch's convention."""

    rate: float = 1e-1
    momentum: float = 0.9
    _velocity: XpArray | None = field(default=None, init=False, repr=False)

    def step(self, weights: XpArray, gradient: XpArray) -> None:
        """Apply one update to ``weights``, (n,), in place."""
        if self._velocity is None:
            self._velocity = array_module(weights).zeros_like(weights)
        steps_for(weights).momentum(
            weights,
            gradient,
            self._velocity,
            rate=self.rate,
            momentum=self.momentum,
        )


@dataclass
class Adagrad:
    """Adagrad (Duchi, Hazan and Singer, JMLR 12, 2011), PyTorch's convention.

    ``s <- s + g^2`` from 0, ``w <- w - rate g / (sqrt(s) + eps)``.
    """

    rate: float = 1e-2
    eps: float = 1e-10
    _squares: XpArray | None = field(default=None, init=False, repr=False)

    def step(self, weights: XpArray, gradient: XpArray) -> None:
        """Apply one update to ``weights``, (n,), in place."""
        xp = array_module(weights)
        if self._squares is None:
            self._squares = xp.zeros_like(weights)
        self._squares += gradient * gradient
        weights -= self.rate * gradient / (xp.sqrt(self._squares) + self.eps)


def optimizer_for(regime: Regime) -> Optimizer:
    """Return a fresh optimiser of a regime's name and rate."""
    if regime.optimizer == "adam":
        return Adam(regime.rate)
    if regime.optimizer == "adagrad":
        return Adagrad(regime.rate)
    return SGD(regime.rate, momentum=0.9 if regime.optimizer == "momentum" else 0.0)

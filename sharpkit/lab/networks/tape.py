"""What passes over a network leave for the passes that follow them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Layer, Statistics
from sharpkit.lab.networks.mlp import Buffers, Norm


class Pass(NamedTuple):
    """What a forward pass was made of, and its normalisations."""

    weights: XpArray
    x: XpArray
    statistics: Statistics | Literal["batch"]
    norms: list[Norm]

    def is_of(self, weights: XpArray, x: XpArray, statistics: Any) -> bool:
        """Whether another pass would be the same."""
        return (
            x is self.x
            and statistics is self.statistics
            and weights.dtype == self.weights.dtype
            and bool((weights == self.weights).all())
        )


class Memory(NamedTuple):
    """Blocks of rows for `Tape`, kept between products."""

    z: list[XpArray]
    rz: list[XpArray]
    pairs: list[XpArray]
    extra: XpArray


class Tape(NamedTuple):
    """What the forward pass leaves for the backward one, layer by layer.

    ``pairs`` hold ``h, R{h}`` of the hidden layers at first, and in the backward pass
    ``R{dz}, dz``; the last one, which has no h, has these from the beginning.
    """

    layers: list[Layer]
    directions: list[Layer]
    norms: list[Norm]
    rnorms: list[NormTangent]
    z: list[XpArray]
    rz: list[XpArray]
    pairs: list[XpArray]
    extra: XpArray

    def primal(self) -> Buffers:
        """Return the buffers of the network's own passes."""
        return Buffers(self.z, [pair[0] for pair in self.pairs[:-1]], self.pairs[-1][0])

    def extra_like(self, block: XpArray) -> XpArray:
        """Return scratch memory of the shape of ``block``."""
        return self.extra[: block.size].reshape(block.shape)


class NormTangent(NamedTuple):
    """R of one layer's normalisation; ``rmean`` is ``R{z} - R{z - mean}``."""

    rmean: XpArray
    rrstd: XpArray
    rscale: XpArray

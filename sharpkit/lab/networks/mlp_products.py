"""Exact products of a network's curvature with a vector, by the R-operator.

``R{u} = d/dt u(w + t v)`` at ``t = 0`` (Pearlmutter, Fast Exact Multiplication by the
Hessian, Neural Computation 6, 1994). Applied to the forward pass it gives the tangent
of the logits, ``R{logits} = J v``; applied to the backward pass, the Hessian times v.
The Gauss-Newton product needs the plain backward pass only: ``J^T (H_L (J v))``, with
``H_L`` the Hessian of the loss in the logits (Schraudolph, Fast Curvature
Matrix-Vector Products, Neural Computation 14, 2002).

A hidden layer costs eight matrix products for the Hessian and five for Gauss-Newton,
where the gradient takes three; the first layer three and three, where it takes two.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Layer, Statistics
from sharpkit.lab.networks.mlp import MLP, Buffers, Norm, require_one_place
from sharpkit.lab.steps import product_steps_for, steps_for
from sharpkit.lab.steps.logits import Normalized


class Pass(NamedTuple):
    """What a forward pass was made of, and its normalisations.

    Attributes
    ----------
    weights, x, statistics
        What the pass was given.
    norms : list of Norm
        The normalisations that it made.
    """

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
    """Blocks of rows, kept between products: `Tape` says of what."""

    z: list[XpArray]
    rz: list[XpArray]
    pairs: list[XpArray]
    extra: XpArray


class Tape(NamedTuple):
    """What the forward pass leaves for the backward one, layer by layer.

    Attributes
    ----------
    layers, directions : list of Layer
        The weights, and the vector of the product.
    norms, rnorms : list of Norm and of NormTangent
        The normalisations and their tangents.
    z, rz : list of (rows, width)
        The sums before each norm and their tangents.
    pairs : list of (2, rows, width)
        ``h, R{h}`` of the hidden layers at first, and in the backward pass
        ``R{dz}, dz``; the last one, which has no h, has these from the beginning.
    extra : (rows * largest width,)
        Scratch memory.
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
    """R of one layer's normalisation.

    Attributes
    ----------
    rmean : (width,)
        ``R{z} - R{z - mean}``.
    rrstd, rscale : (width,)
        R of the norm's ``rstd`` and ``scale``.
    """

    rmean: XpArray
    rrstd: XpArray
    rscale: XpArray


class Products:
    """Curvature products of one network, summed over the rows they are given.

    Not safe for two threads at once: buffers are kept between calls, twice what the
    gradient needs of as many rows. With them what does not depend on the vector: a
    product at equal weights, and of the very same array of samples, which must not have
    changed, spares the forward pass its matrix products.
    """

    def __init__(self, network: MLP) -> None:
        self.network = network
        self._held: Memory | None = None
        self._last: Pass | None = None

    def hessian(
        self,
        weights: XpArray,
        v: XpArray,
        x: XpArray,
        y: XpArray,
        *,
        statistics: Statistics | Literal["batch"],
        out: XpArray,
        scale: float = 1.0,
        normalize_logits: bool = False,
    ) -> None:
        """Write ``scale H v`` to ``out``, with H the Hessian of the summed loss.

        Parameters
        ----------
        weights, v, out : (n,) float32 or float64, of one dtype
            The weights, the vector, and where the product is written.
        x, y, statistics, scale, normalize_logits
            Those of `Network.evaluate`; with ``"batch"`` the derivatives flow through
            the mean and the variance of these rows, to second order.

        Raises
        ------
        ValueError, TypeError
            If ``v`` is not of the weights' shape, dtype and place.
        """
        taped = self._forward(weights, v, x, statistics)
        logits, (rdlogits, dlogits) = taped.z[-1], taped.pairs[-1]
        moved, unit = taped.rz[-1], None
        if normalize_logits:
            unit = Normalized.of(logits)
            logits, moved = unit.unit, unit.tangent(moved)
        steps_for(x).softmax_cross_entropy(logits, y, dlogits, scale)
        product_steps_for(x).softmax_hessian(logits, moved, rdlogits, scale)
        if unit is not None:
            rdlogits[...] = unit.pulled_tangent(dlogits, rdlogits, taped.rz[-1])
            dlogits[...] = unit.pulled(dlogits)
        _backward(taped, x, self.network.layers(out))

    def gauss_newton(
        self,
        weights: XpArray,
        v: XpArray,
        x: XpArray,
        *,
        statistics: Statistics | Literal["batch"],
        out: XpArray,
        scale: float = 1.0,
        normalize_logits: bool = False,
    ) -> None:
        """Write ``scale J^T H_L J v`` to ``out``: the generalised Gauss-Newton product.

        ``J`` is the Jacobian of all logits with respect to the weights, ``H_L`` the
        Hessian of the summed loss with respect to the logits, which no label changes.
        Parameters and errors are those of `hessian`.
        """
        taped = self._forward(weights, v, x, statistics)
        dlogits, logits, moved = taped.pairs[-1][0], taped.z[-1], taped.rz[-1]
        unit = None
        if normalize_logits:  # which counts as a part of the network
            unit = Normalized.of(logits)
            logits, moved = unit.unit, unit.tangent(moved)
        product_steps_for(x).softmax_hessian(logits, moved, dlogits, scale)
        if unit is not None:
            dlogits[...] = unit.pulled(dlogits)
        self.network.backward(
            taped.layers, self.network.layers(out), x, taped.norms, taped.primal()
        )

    def _forward(
        self,
        weights: XpArray,
        v: XpArray,
        x: XpArray,
        statistics: Statistics | Literal["batch"],
    ) -> Tape:
        """Run the forward pass and its tangent: ``R{h W} = h V + R{h} W``."""
        require_one_place(weights=weights, v=v, x=x)
        _require_alike(weights, v)
        xp = array_module(x)
        layers, directions = self.network.layers(weights), self.network.layers(v)
        z, rz, pairs, extra = self._memory_for(weights, len(x))
        taped = Tape(layers, directions, [], [], z, rz, pairs, extra)
        taped.norms.extend(self._primal(taped, weights, x, statistics))
        h: XpArray = x
        rh: XpArray | None = None  # the samples do not move
        for index, layer in enumerate(layers):
            xp.matmul(h, directions[index].weight, out=rz[index])
            more = None
            if rh is not None:
                more = xp.matmul(rh, layer.weight, out=taped.extra_like(rz[index]))
            if layer.gamma is None:
                rz[index] += directions[index].bias
                if more is not None:
                    rz[index] += more
            else:
                h, rh = pairs[index]
                _norm_forward(taped, index, more, rh)
        return taped

    def _primal(
        self,
        taped: Tape,
        weights: XpArray,
        x: XpArray,
        statistics: Statistics | Literal["batch"],
    ) -> list[Norm]:
        """Fill z and h; of the last pass z is still there, and only h used up."""
        last = self._last
        if last is not None and last.is_of(weights, x, statistics):
            for norm, z, pair in zip(last.norms, taped.z, taped.pairs, strict=False):
                steps_for(x).scale_shift_relu(z, norm.scale, norm.shift, pair[0])
            return last.norms
        self._last = None  # z is overwritten, and the pass may fail
        norms = self.network.forward(taped.layers, x, statistics, taped.primal())
        self._last = Pass(weights.copy(), x, statistics, norms)
        return norms

    def _memory_for(self, weights: XpArray, rows: int) -> Memory:
        held, widths = self._held, self.network.sizes[1:]
        xp = array_module(weights)
        fits = (
            held is not None
            and len(held.z[0]) >= rows
            and held.extra.dtype == weights.dtype
            and array_module(held.extra) is xp
        )
        if not fits:
            self._last = None
            # A pair is (2, rows, width) without a gap: two blocks in one product.
            held = self._held = Memory(
                [xp.empty((rows, width), weights.dtype) for width in widths],
                [xp.empty((rows, width), weights.dtype) for width in widths],
                [xp.empty(2 * rows * width, weights.dtype) for width in widths],
                xp.empty(rows * max(widths), weights.dtype),
            )
        assert held is not None
        return Memory(
            [z[:rows] for z in held.z],
            [rz[:rows] for rz in held.rz],
            [
                pair[: 2 * rows * width].reshape(2, rows, width)
                for pair, width in zip(held.pairs, widths, strict=True)
            ],
            held.extra,
        )


def _norm_forward(taped: Tape, index: int, more: XpArray | None, rh: XpArray) -> None:
    """Complete ``R{z}`` by ``more``, differentiate the normalisation, fill ``R{h}``.

    Batch statistics move with z: ``R{mean} = mean(R{z})``, ``R{var} = 2 mean((z -
    mean) R{z})``, ``R{rstd} = -rstd^3 R{var} / 2``. Of the fixed ones, taken without
    b, only the mean moves, by ``-R{b}``.
    """
    z, rz, norm = taped.z[index], taped.rz[index], taped.norms[index]
    layer, direction = taped.layers[index], taped.directions[index]
    steps = product_steps_for(z)
    if norm.batch:
        total, moment = steps.tangent_sums(z, rz, more, norm.mean)
        more = None
        rmean = total / z.dtype.type(len(z))
        rrstd = -norm.rstd * norm.rstd * norm.rstd * moment / z.dtype.type(len(z))
    else:
        rmean, rrstd = -direction.bias, direction.bias * 0
    rscale = direction.gamma * norm.rstd + layer.gamma * rrstd
    offset = direction.beta - norm.scale * rmean
    taped.rnorms.append(NormTangent(rmean, rrstd, rscale))
    steps.tangent_relu(
        z, rz, more, norm.scale, norm.shift, norm.mean, rscale, offset, rh
    )


def _backward(taped: Tape, x: XpArray, out: list[Layer]) -> None:
    """Run the backward pass together with its tangent, which is written to ``out``."""
    xp, pairs = array_module(x), taped.pairs
    out[-1].bias[...] = pairs[-1][0].sum(axis=0)
    for index in reversed(range(1, len(out))):
        dz = pairs[index][1]
        rows_dz, rows_h = _rows(pairs[index]), _rows(pairs[index - 1])
        # R{h^T dz} = h^T R{dz} + R{h}^T dz
        xp.matmul(rows_h.T, rows_dz, out=out[index].weight)
        # R{dz W^T} = R{dz} W^T + dz V^T. h and R{h} are not needed any more: their
        # buffer takes R{dh} and dh.
        xp.matmul(rows_dz, taped.layers[index].weight.T, out=rows_h)
        more = taped.extra_like(pairs[index - 1][0])
        xp.matmul(dz, taped.directions[index].weight.T, out=more)
        _norm_backward(taped, index - 1, more, out[index - 1])
    xp.matmul(x.T, pairs[0][0], out=out[0].weight)


def _norm_backward(taped: Tape, index: int, more: XpArray, out: Layer) -> None:
    """Turn a layer's ``R{dh}, dh`` into ``R{dz}, dz``; write R of its own gradients.

    The formulas of the network's own `_norm_backward`, each differentiated by the
    product rule.
    """
    z, rz, norm = taped.z[index], taped.rz[index], taped.norms[index]
    rmean, rrstd, rscale = taped.rnorms[index]
    mean, rstd, scale, shift = norm.mean, norm.rstd, norm.scale, norm.shift
    rdh, dh = taped.pairs[index]
    steps = product_steps_for(z)
    total, moment, rtotal, rmoment = steps.reverse_sums(
        dh, rdh, more, z, rz, scale, shift, mean, rmean
    )
    assert out.gamma is not None
    assert out.beta is not None
    out.beta[...] = rtotal
    out.gamma[...] = rmoment * rstd + moment * rrstd
    roffset = scale * rtotal + rscale * total
    if norm.batch:
        rows = z.dtype.type(len(z))
        out.bias[...] = 0  # batch statistics cancel a constant
        # slope = -scale rstd^2 moment / rows, offset = -scale total / rows
        slope = -scale * rstd * rstd * moment / rows
        offset = -scale * total / rows
        rslope = -(rscale * rstd + 2 * scale * rrstd) * rstd * moment / rows
        rslope -= scale * rstd * rstd * rmoment / rows
        roffset = -roffset / rows
    else:
        out.bias[...] = roffset
        slope = offset = rslope = roffset = total * 0
    steps.reverse(
        dh, rdh, z, rz, scale, shift, mean, slope, offset, rscale, rmean, rslope,
        roffset,
    )  # fmt: skip


def _rows(pair: XpArray) -> XpArray:
    """Return the two blocks of a pair as one of twice as many rows, a view."""
    return pair.reshape(-1, pair.shape[2])


def _require_alike(weights: XpArray, v: XpArray) -> None:
    """Raise unless ``v`` is a vector like the weights."""
    if v.shape != weights.shape:
        msg = f"v has shape {v.shape}; give {weights.shape}, that of the weights"
        raise ValueError(msg)
    if v.dtype != weights.dtype:
        msg = (
            f"v has dtype {v.dtype}; give v.astype({str(weights.dtype)!r}), as the "
            "weights are"
        )
        raise TypeError(msg)

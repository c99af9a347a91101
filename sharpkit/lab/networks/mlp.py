"""The batch-normalised multilayer perceptron of the paper (networks F1 and F2).

Each hidden layer computes ``h' = relu(BN(h W + b))`` and the last one ``h W + b``; the
loss is the mean softmax cross-entropy (arXiv 1609.04836, Appendix B). All weights lie
in one contiguous vector, of which the layers are views, so that an optimiser or a
sharpness measure touches a single array.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import BATCH_NORM_EPS, Evaluation, Layer, Statistics
from sharpkit.lab.steps import steps_for
from sharpkit.lab.steps.logits import Normalized


class MLP:
    """A multilayer perceptron with batch normalisation and ReLU.

    Not safe for two threads at once: buffers are kept between calls.

    Parameters
    ----------
    sizes
        The widths from input to output, such as ``(784, 512, 512, 512, 512, 512, 10)``.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            msg = f"sizes={sizes!r}: give at least two positive widths"
            raise ValueError(msg)
        self.sizes = tuple(sizes)
        self.features, self.classes = sizes[0], sizes[-1]
        self.block_rows: int | None = None
        self.n_weights = sum(
            inputs * outputs + outputs * (1 if last else 3)
            for inputs, outputs, last in self._shapes()
        )
        self._buffers: Buffers | None = None

    def _shapes(self) -> list[tuple[int, int, bool]]:
        last = len(self.sizes) - 2
        return [
            (self.sizes[i], self.sizes[i + 1], i == last)
            for i in range(len(self.sizes) - 1)
        ]

    def layers(self, vector: XpArray) -> list[Layer]:
        """Return the layers of a weight or gradient vector, as views.

        Raises
        ------
        ValueError
            If the vector is not of the network's length.
        """
        if vector.shape != (self.n_weights,):
            msg = f"vector has shape {vector.shape}, the network needs " + (
                f"({self.n_weights},)"
            )
            raise ValueError(msg)
        layers, start = [], 0
        for inputs, outputs, last in self._shapes():
            weight = vector[start : start + inputs * outputs].reshape(inputs, outputs)
            start += inputs * outputs
            rows = vector[start : start + outputs * (1 if last else 3)]
            start += len(rows)
            bias, *norm = rows.reshape(-1, outputs)
            gamma, beta = (None, None) if last else norm
            layers.append(Layer(weight, bias, gamma, beta))
        return layers

    def initial_weights(self, seed: int, dtype: Any = np.float32) -> XpArray:
        """Draw a starting point: Glorot uniform weights, zero biases, unit gammas.

        ``W_ij ~ U(-a, a)``, ``a = sqrt(6 / (inputs + outputs))``: the paper's uniform
        start (arXiv 1609.04836, section 2.2) in the default law of its framework.
        """
        generator = np.random.default_rng([seed, 0])
        vector = np.zeros(self.n_weights, dtype)
        for layer in self.layers(vector):
            bound = np.sqrt(6 / sum(layer.weight.shape))
            layer.weight[...] = generator.uniform(-bound, bound, layer.weight.shape)
            if layer.gamma is not None:
                layer.gamma[...] = 1
        return vector

    def initial_statistics(self, like: XpArray) -> Statistics:
        """Return zero means and unit variances, where ``like`` lives, in its dtype."""
        xp, widths = array_module(like), self.sizes[1:-1]
        return Statistics(
            tuple(xp.zeros(width, like.dtype) for width in widths),
            tuple(xp.ones(width, like.dtype) for width in widths),
        )

    def counts(self, rows: int) -> tuple[int, ...]:
        """Return how many numbers each layer's statistics of so many rows are of."""
        return (rows,) * (len(self.sizes) - 2)

    def evaluate(
        self,
        weights: XpArray,
        x: XpArray,
        y: XpArray,
        *,
        statistics: Statistics | Literal["batch"],
        gradient: XpArray | None = None,
        scale: float = 1.0,
        input_gradient: XpArray | None = None,
        dropout: int | None = None,
        normalize_logits: bool = False,
    ) -> Evaluation:
        """Return summed loss, right answers and batch statistics over the rows of x.

        The parameters are those of `Network.evaluate`; there is no dropout in these
        networks.

        Raises
        ------
        TypeError
            If weights and samples do not live in one place, host or device.
        """
        layers = self.layers(weights)
        require_one_place(weights=weights, x=x, y=y)
        buffers = self._buffers_for(weights, len(x))
        norms = self.forward(layers, x, statistics, buffers)
        dlogits = None if gradient is None else buffers.dlogits
        steps = steps_for(weights)
        unit = Normalized.of(buffers.z[-1]) if normalize_logits else None
        logits = buffers.z[-1] if unit is None else unit.unit
        loss_sum, right = steps.softmax_cross_entropy(logits, y, dlogits, scale)
        if unit is not None and dlogits is not None:
            dlogits[...] = unit.pulled(dlogits)
        if gradient is not None:
            self.backward(layers, self.layers(gradient), x, norms, buffers)
            if input_gradient is not None:  # the first layer's is left in its buffer
                dz = buffers.h[0] if len(layers) > 1 else buffers.dlogits
                array_module(x).matmul(dz, layers[0].weight.T, out=input_gradient)
        means = tuple(
            norm.mean + layer.bias for norm, layer in zip(norms, layers, strict=False)
        )
        return Evaluation(
            loss_sum, right, Statistics(means, tuple(norm.var for norm in norms))
        )

    def forward(
        self,
        layers: list[Layer],
        x: XpArray,
        statistics: Statistics | Literal["batch"],
        buffers: Buffers,
    ) -> list[Norm]:
        """Fill the buffers from x to the logits; return the normalisations."""
        xp, steps = array_module(x), steps_for(x)
        norms, h = [], x
        for index, layer in enumerate(layers):
            z = buffers.z[index]
            xp.matmul(h, layer.weight, out=z)
            if layer.gamma is None:
                z += layer.bias
                break
            # z is kept without its bias: batch statistics take it out again, and
            # fixed ones absorb it in the mean. One pass over memory less.
            if isinstance(statistics, str):
                mean, var = steps.column_statistics(z)
            else:
                mean = statistics.means[index] - layer.bias
                var = statistics.variances[index]
            rstd = 1 / xp.sqrt(var + z.dtype.type(BATCH_NORM_EPS))
            scale = layer.gamma * rstd
            shift = layer.beta - mean * scale
            batch = isinstance(statistics, str)
            norms.append(Norm(mean, var, rstd, scale, shift, batch))
            h = buffers.h[index]
            steps.scale_shift_relu(z, scale, shift, h)
        return norms

    def backward(
        self,
        layers: list[Layer],
        gradients: list[Layer],
        x: XpArray,
        norms: list[Norm],
        buffers: Buffers,
    ) -> None:
        """Write the gradients that follow from ``buffers.dlogits``, and use up h."""
        xp, steps = array_module(x), steps_for(x)
        dz = buffers.dlogits
        gradients[-1].bias[...] = dz.sum(axis=0)
        for index in reversed(range(len(layers))):
            h = buffers.h[index - 1] if index else x
            xp.matmul(h.T, dz, out=gradients[index].weight)
            if index == 0:
                return
            # h is not needed any more: its buffer takes the gradient with respect to it
            xp.matmul(dz, layers[index].weight.T, out=h)
            _norm_backward(
                h, buffers.z[index - 1], norms[index - 1], gradients[index - 1], steps
            )
            dz = h

    def _buffers_for(self, weights: XpArray, rows: int) -> Buffers:
        held = self._buffers
        xp = array_module(weights)
        fits = (
            held is not None
            and len(held.z[0]) >= rows
            and held.z[0].dtype == weights.dtype
            and array_module(held.z[0]) is xp
        )
        if not fits:
            widths = self.sizes[1:]
            held = self._buffers = Buffers(
                [xp.empty((rows, width), weights.dtype) for width in widths],
                [xp.empty((rows, width), weights.dtype) for width in widths[:-1]],
                xp.empty((rows, widths[-1]), weights.dtype),
            )
        assert held is not None
        return Buffers(
            [z[:rows] for z in held.z], [h[:rows] for h in held.h], held.dlogits[:rows]
        )


def require_one_place(**arrays: XpArray) -> None:
    """Raise a TypeError unless all arrays live on the host, or all on the device."""
    modules = {name: array_module(array) for name, array in arrays.items()}
    if len(set(modules.values())) > 1:
        found = ", ".join(f"{name}: {xp.__name__}" for name, xp in modules.items())
        msg = f"the arrays live in different places ({found}); move all to one"
        raise TypeError(msg)


class Buffers(NamedTuple):
    """Blocks of rows that a pass fills.

    Attributes
    ----------
    z, h : list of (rows, width)
        The sums before and the values after each layer's norm and ReLU.
    dlogits : (rows, classes)
        The gradient with respect to the logits.
    """

    z: list[XpArray]
    h: list[XpArray]
    dlogits: XpArray


class Norm(NamedTuple):
    """One layer's batch normalisation of ``h W`` (without b) as an affine map.

    Attributes
    ----------
    mean, var, rstd : (width,)
        The statistics, and one over the root of the variance.
    scale, shift : (width,)
        The map: ``scale z + shift``.
    batch : bool
        Whether the statistics are those of the rows themselves.
    """

    mean: XpArray
    var: XpArray
    rstd: XpArray
    scale: XpArray
    shift: XpArray
    batch: bool


def _norm_backward(dh: XpArray, z: XpArray, norm: Norm, out: Layer, steps: Any) -> None:
    """Turn ``dh`` into the gradient with respect to ``z``, in place (1502.03167, p. 4).

    With ``da`` the gradient behind the ReLU and ``xhat = (z - mean) rstd``:
    ``dz = scale (da - mean(da) - xhat mean(da xhat))`` for batch statistics,
    ``dz = scale da`` for fixed ones.
    """
    scale, shift, mean = norm.scale, norm.shift, norm.mean
    total, moment = steps.relu_backward_sums(dh, z, scale, shift, mean)
    assert out.gamma is not None
    assert out.beta is not None
    out.beta[...] = total
    out.gamma[...] = moment * norm.rstd
    if norm.batch:
        slope = -scale * norm.rstd * norm.rstd * moment / z.dtype.type(len(z))
        offset = -scale * total / z.dtype.type(len(z))
        out.bias[...] = 0  # batch statistics cancel a constant
    else:
        slope = offset = total * 0
        out.bias[...] = scale * total
    steps.relu_backward(dh, z, scale, shift, mean, slope, offset)

"""The same function with other layer norms: what Keskar's box does and should not see.

A batch-normalised layer does not change when its weights and bias are multiplied by a
positive number, if its statistics are multiplied too; ReLU lets a factor wander from
one layer's gamma and beta into the next one's weights. Sharpness in the box is not
invariant to either (Dinh, Pascanu, Bengio and Bengio, arXiv 1703.04933, section 5), so
two minimisers should also be compared at equal norms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import BATCH_NORM_EPS, Network, Statistics


def layer_norms(network: Network, weights: XpArray) -> NDArray[np.float64]:
    """Return the Frobenius norm of each layer's weight matrix, (layers,) float64."""
    return np.array(
        [
            float((layer.weight.astype(np.float64) ** 2).sum()) ** 0.5
            for layer in network.layers(weights)
        ]
    )


def with_norms(
    network: Network,
    weights: XpArray,
    statistics: Statistics,
    norms: NDArray[np.float64],
) -> tuple[XpArray, Statistics]:
    """Return weights and statistics of the same function with these layer norms.

    Hidden layers: ``W, b, mean <- c W, c b, c mean`` and ``var <- c^2 (var + eps) -
    eps``, which makes the batch norm's output exactly the same. Last layer:
    ``W <- c W``, and gamma and beta before it are divided by c.

    Parameters
    ----------
    network, weights, statistics
        The network, and the point that is changed; it stays as it is.
    norms : (layers,)
        The Frobenius norms wanted.
    """
    changed = weights.copy()
    layers = network.layers(changed)
    factors = np.asarray(norms, np.float64) / layer_norms(network, weights)
    means, variances = [], []
    for layer, factor in zip(layers, factors, strict=True):
        c = weights.dtype.type(factor)
        layer.weight[...] *= c
        if layer.gamma is not None:
            layer.bias[...] *= c
    for mean, var, factor in zip(
        statistics.means, statistics.variances, factors[:-1], strict=True
    ):
        c, eps = mean.dtype.type(factor), mean.dtype.type(BATCH_NORM_EPS)
        means.append(c * mean)
        variances.append(c * c * (var + eps) - eps)
    before = layers[-2]
    before.gamma[...] /= weights.dtype.type(factors[-1])  # type: ignore[index]
    before.beta[...] /= weights.dtype.type(factors[-1])  # type: ignore[index]
    return changed, Statistics(tuple(means), tuple(variances))

"""A small convolutional network in Flax, and how sharp its minimum is, by layers.

It is trained on real handwritten digits with Adam, until the loss over the whole set is
small. The batch norm uses its running statistics. This needs JAX and Flax (with Optax).
"""

import jax
import numpy as np
import optax
from flax import nnx

import sharpkit
from sharpkit.lab.data import load_digits

UNTIL_LOSS, MOST_EPOCHS, BATCH = 1e-2, 60, 50

digits = load_digits()
inputs = digits.x_train.reshape(-1, 8, 8, 1)
labels = digits.y_train


class Network(nnx.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.second = nnx.Conv(8, 16, (3, 3), strides=2, rngs=rngs)
        self.last = nnx.Linear(16 * 4 * 4, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits."""
        x = nnx.relu(self.norm(self.first(x)))
        x = nnx.relu(self.second(x))
        return self.last(x.reshape(len(x), -1))


def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@nnx.jit
def step(
    network: Network, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array
) -> None:
    """Take one step on a batch."""
    slope = nnx.grad(lambda network: loss(network(x), y))(network)
    optimizer.update(network, slope)


def trained() -> Network:
    """Return the network after training, switched to inference."""
    network = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, optax.adam(1e-3), wrt=nnx.Param)
    whole = nnx.jit(lambda network: loss(network(inputs), labels))
    random = np.random.default_rng(0)
    for _ in range(MOST_EPOCHS):
        network.train()
        for rows in random.permutation(len(inputs)).reshape(-1, BATCH):
            step(network, optimizer, inputs[rows], labels[rows])
        network.eval()
        if whole(network) <= UNTIL_LOSS:
            break
    return network


def main() -> None:
    """Train, measure, print."""
    problem = sharpkit.jax.problem(
        loss, trained(), (inputs, labels), model=lambda network, x: network(x)
    )
    print(f"{problem}: accuracy {problem.accuracy(problem.weights):.1%}")
    print(sharpkit.sharpness(problem))
    print(sharpkit.eigenvalues(problem))
    print(sharpkit.by_group(sharpkit.sharpness, problem))


if __name__ == "__main__":
    main()

"""The paper's six networks: F1 and F2 are sharpkit's own, C1 to C4 PyTorch modules."""

from __future__ import annotations

from typing import Literal

from sharpkit.lab.networks.base import Network
from sharpkit.lab.networks.mlp import MLP

__all__ = ["DEFINITIONS", "NETWORKS", "Definition", "build"]

Definition = Literal["code", "text"]
DEFINITIONS: tuple[Definition, ...] = ("code", "text")

# Hidden layers of the multilayer perceptrons; the others are convolutional.
_HIDDEN = {"F1": 5, "F2": 7}
_UNITS = 512  # in each hidden layer of the paper's
NETWORKS = ("F1", "F2", "C1", "C2", "C3", "C4")


def build(
    name: str,
    width: float,
    *,
    features: int,
    classes: int,
    definition: Definition = "code",
    depth: int | None = None,
) -> Network:
    """Return one of the paper's networks, all its layers at a share of their width.

    Parameters
    ----------
    name : {"F1", "F2", "C1", "C2", "C3", "C4"}
        The paper's name of the network.
    width
        The share of the paper's width: 0.25 has a quarter of the units and filters.
    features, classes
        The numbers of inputs and of classes of the data. Convolutional networks take
        images of 32x32 in three colours.
    definition : {"code", "text"}
        Which one counts where the authors' published code and the paper's text differ
        on a convolutional network: on its strides and its dropout.
    depth
        The number of hidden layers of F1 or F2; None stands for the paper's.

    Raises
    ------
    ValueError
        If the name is unknown, the width or the depth not positive or not of this
        network, or the data do not fit.
    ImportError
        If a convolutional network is asked for without PyTorch.
    """
    if name not in NETWORKS:
        msg = f"network={name!r}; give one of {', '.join(NETWORKS)}"
        raise ValueError(msg)
    if not width > 0:
        msg = f"width={width}: give a positive share of the paper's width"
        raise ValueError(msg)
    if depth is not None and (depth < 1 or name not in _HIDDEN):
        msg = f"network={name!r}, depth={depth}: give F1 or F2 at least 1, or no depth"
        raise ValueError(msg)
    if name in _HIDDEN:
        hidden = (max(round(_UNITS * width), 4),) * (depth or _HIDDEN[name])
        return MLP((features, *hidden, classes))
    if features != 3 * 32 * 32:
        msg = (
            f"network={name!r} takes colour images of 32x32, the data have {features} "
            "features; give shapes, cifar10 or cifar100"
        )
        raise ValueError(msg)
    try:
        from sharpkit.lab.networks import convnets
        from sharpkit.lab.networks.torch_network import TorchNetwork
    except ImportError as error:
        msg = f"network={name!r} needs PyTorch: pip install 'sharpkit[torch]' ({error})"
        raise ImportError(msg) from error
    paper = definition == "text"
    module = getattr(convnets, name)(classes=classes, width=width, paper=paper)
    return TorchNetwork(module)

"""The paper's convolutional networks C1 to C4 for images of 3 x 32 x 32.

Where the paper's text (arXiv 1609.04836, Appendix B) and the authors' published code
differ, the code is followed: it is what their results were made with. ``paper=True``
gives the text's networks.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import Any

from torch import nn

from sharpkit.lab.networks.base import BATCH_NORM_EPS

Module = Any  # a torch.nn.Module

IMAGE = (3, 32, 32)  # channels, height and width
LEAST_UNITS = 4  # of a narrowed layer


def C1(classes: int = 10, width: float = 1.0, *, paper: bool = False) -> Module:
    """Make the shallow network, after AlexNet: two convolutions, two dense layers.

    Twice 64 filters of 5 x 5, each with max-pooling over 3 x 3; then 384 and 192 dense
    units, of which dropout keeps half. In the code a convolution has stride 1 and its
    pooling stride 2; in the text, stride 2 and (none is given) the window's 3.

    Parameters
    ----------
    classes
        The number of classes.
    width
        The factor of all numbers of filters and dense units, which are rounded and at
        least 4; 1 is the paper's.
    paper
        Whether the text decides where it and the authors' code differ.

    Returns
    -------
    torch.nn.Sequential
        For (rows, 3, 32, 32). Layers are convolution or dense, batch norm, ReLU,
        dropout, in this order; all edges are padded as TensorFlow's ``'same'``.

    Raises
    ------
    ValueError
        If ``classes`` is no whole number of at least 2, or ``width`` not positive.
    """
    layers = _Layers(width)
    for _ in range(2):
        layers.convolution(64, 5, stride=2 if paper else 1)
        layers.pool(3, stride=3 if paper else 2)
    layers.flatten()
    layers.dense(384, dropout=0.5)
    layers.dense(192, dropout=0.5)
    return layers.classifier(classes)


def C2(classes: int = 10, width: float = 1.0, *, paper: bool = False) -> Module:
    """Make the deep network, after VGG: thirteen convolutions, a dense layer.

    Five stacks of 2 x 64, 2 x 128, 3 x 256, 3 x 512 and 3 x 512 filters of 3 x 3, each
    followed by max-pooling over 2 x 2; then 512 dense units. The code has dropout,
    which the text has not: of 0.3 after the first convolution, of 0.4 in the other
    stacks after all but the last, of 0.5 before and after the dense units.

    Parameters, returned module and exceptions are those of `C1`.
    """
    layers = _Layers(width)
    for stack, (count, filters) in enumerate(
        ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    ):
        between = 0.0 if paper else 0.4 if stack else 0.3
        for index in range(count):
            layers.convolution(filters, 3, dropout=between if index < count - 1 else 0)
        layers.pool(2, stride=2)
    dropout = 0.0 if paper else 0.5
    layers.flatten(dropout=dropout)
    layers.dense(512, dropout=dropout)
    return layers.classifier(classes)


def C3(classes: int = 100, width: float = 1.0, *, paper: bool = False) -> Module:
    """Make `C1` for a hundred classes."""
    return C1(classes, width, paper=paper)


def C4(classes: int = 100, width: float = 1.0, *, paper: bool = False) -> Module:
    """Make `C2` for a hundred classes."""
    return C2(classes, width, paper=paper)


class _Layers:
    """Named layers one after another, and the shape of what leaves the last."""

    def __init__(self, width: float) -> None:
        if not (width > 0 and math.isfinite(width)):
            msg = f"width={width!r}; give a positive number, 1 for the paper's networks"
            raise ValueError(msg)
        self._width = width
        self._modules: OrderedDict[str, Any] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._channels, self._size = IMAGE[:2]

    def convolution(
        self, filters: int, kernel: int, *, stride: int = 1, dropout: float = 0.0
    ) -> None:
        before, after = self._pass(kernel, stride)
        padding = before if before == after else 0
        if before != after:
            self._add("pad", nn.ZeroPad2d((before, after) * 2))
        channels = self._scaled(filters)
        self._add(
            "conv", nn.Conv2d(self._channels, channels, kernel, stride, padding=padding)
        )
        self._add("norm", nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS))
        self._channels = channels
        self._activate(dropout)

    def pool(self, kernel: int, *, stride: int) -> None:
        before, after = self._pass(kernel, stride)
        # one more at the end is what torch's ceil_mode gives, none of it is padding
        assert after - before in (0, 1)
        self._add(
            "pool", nn.MaxPool2d(kernel, stride, before, ceil_mode=after > before)
        )

    def dense(self, units: int, *, dropout: float) -> None:
        units = self._scaled(units)
        self._add("dense", nn.Linear(self._channels, units))
        self._add("norm", nn.BatchNorm1d(units, eps=BATCH_NORM_EPS))
        self._channels = units
        self._activate(dropout)

    def flatten(self, *, dropout: float = 0.0) -> None:
        self._add("flatten", nn.Flatten())
        self._channels *= self._size**2
        self._dropout(dropout)

    def classifier(self, classes: int) -> Any:
        if int(classes) != classes or classes < 2:
            msg = f"classes={classes!r}; give a whole number of at least 2"
            raise ValueError(msg)
        self._add("dense", nn.Linear(self._channels, classes))
        return nn.Sequential(self._modules)

    def _activate(self, dropout: float) -> None:
        self._add("relu", nn.ReLU())
        self._dropout(dropout)

    def _dropout(self, rate: float) -> None:
        if rate:
            self._add("dropout", nn.Dropout(rate))

    def _scaled(self, number: int) -> int:
        return max(LEAST_UNITS, round(number * self._width))

    def _pass(self, kernel: int, stride: int) -> tuple[int, int]:
        """Go through a window with ``'same'`` padding; return that of both ends."""
        size = -(-self._size // stride)
        total = max((size - 1) * stride + kernel - self._size, 0)
        self._size = size
        return total // 2, total - total // 2

    def _add(self, kind: str, module: Any) -> None:
        self._counts[kind] += 1
        self._modules[f"{kind}{self._counts[kind]}"] = module

"""A plane of a residual network: its time over that of bare forward passes.

A filter-normalised plane of ResNet-20 on 1,000 images. After every point the same
forward pass is made by hand, with its loss and its accuracy and nothing else, so that a
busy machine slows both alike. The images are photographs of CIFAR-10 where the variable
SHARPKIT_CIFAR10 names the folder of its binary version, and drawn ones elsewhere.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

import sharpkit
from bench.resnet import resnet20
from bench.table import CaseError, Table
from bench.torch_network import load_torch, one_thread
from sharpkit.lab.data import draw_shapes, load_cifar10

POINTS, QUICK_POINTS = 9, 3  # along each axis
IMAGES, QUICK_IMAGES, BATCH = 1000, 100, 250
MOST = 1.05  # of the time of the forward passes
SAME = 1e-6  # relative; the loss at the weights by hand


def run(*, quick: bool) -> Table:
    points = QUICK_POINTS if quick else POINTS
    with one_thread():
        model, data, name = _made(QUICK_IMAGES if quick else IMAGES)
        bare = _Bare(model, data)
        loss = load_torch().nn.CrossEntropyLoss()
        problem = sharpkit.torch.problem(model, loss, data)
        sharpkit.landscape.line(problem, points=2)  # what is built once
        bare()
        began = time.perf_counter()
        found = sharpkit.landscape.plane(
            problem, points=points, progress=lambda *told: bare()
        )
        whole = time.perf_counter() - began
    ours, by_hand = whole - sum(bare.seconds), sum(bare.seconds)
    if abs(bare.loss - found.centre["loss"]) > SAME * bare.loss:
        msg = f"the loss is {found.centre['loss']}, by hand {bare.loss}"
        raise CaseError(msg)
    # One evaluation at the weights, and as many reports as points and one.
    share = ours / by_hand
    rows = [
        ("points of the plane", f"{points} x {points}"),
        ("weights", f"{found.n:,}"),
        ("images", f"{len(data[0][1]) * len(data):,} {name}"),
        ("one forward pass", f"{np.median(bare.seconds):.3g} s"),
        ("time over that of as many passes", f"{share:.4f}"),
    ]
    return Table(
        title="a plane of ResNet-20",
        columns=("what", "value"),
        rows=rows,
        notes=(f"target: at most {MOST:g}; loss and accuracy at every point",),
        data={
            "points": points,
            "ours": ours,
            "by_hand": by_hand,
            "share": share,
            "images": name,
            "targets": {f"at most {MOST:g}": share <= MOST},
        },
    )


class _Bare:
    """The forward pass as one would write it."""

    def __init__(self, model: Any, data: list[Any]) -> None:
        self._model, self._data, self._torch = model, data, load_torch()
        self.seconds: list[float] = []
        self.loss = 0.0

    def __call__(self) -> None:
        began = time.perf_counter()
        loss = right = count = 0.0
        entropy = self._torch.nn.functional.cross_entropy
        with self._torch.no_grad():
            for x, y in self._data:
                output = self._model(x)
                loss += float(entropy(output, y)) * len(y)
                right += int((output.argmax(1) == y).sum())
                count += len(y)
        self.loss, self.accuracy = loss / count, right / count
        self.seconds.append(time.perf_counter() - began)


def _made(count: int) -> tuple[Any, list[Any], str]:
    """Return the model, untrained but for its averages, batches, and what they are."""
    torch = load_torch()
    torch.manual_seed(0)
    folder = os.environ.get("SHARPKIT_CIFAR10")
    drawn = folder is None
    images = draw_shapes(train=count, test=10) if drawn else load_cifar10(str(folder))
    x = torch.tensor(images.x_train[:count], dtype=torch.float32)
    x = x.reshape(count, 3, 32, 32)
    y = torch.tensor(images.y_train[:count], dtype=torch.int64)
    data = [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, count, BATCH)]
    model = resnet20()
    with torch.no_grad():
        for part, _ in data:
            model(part)
    return model.eval(), data, "drawn images" if drawn else "photographs"

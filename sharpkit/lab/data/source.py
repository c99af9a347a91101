"""Data sets by name, so that a setting can name them and a process can load them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit.lab.data.cifar import load_cifar10, load_cifar100
from sharpkit.lab.data.dataset import Dataset
from sharpkit.lab.data.digits import load_digits
from sharpkit.lab.data.download import DOWNLOADED, RELEASES, download
from sharpkit.lab.data.frames import draw_frames
from sharpkit.lab.data.glyphs import draw_glyphs
from sharpkit.lab.data.mnist import load_mnist
from sharpkit.lab.data.shapes import draw_shapes
from sharpkit.lab.data.timit import load_timit

READ: dict[str, Callable[[Path], Dataset]] = {
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "timit": load_timit,
}
DRAWN = ("digits", "glyphs", "frames", "shapes")
NAMES = (*DRAWN, *READ)


@dataclass(frozen=True)
class Source:
    """A data set by name and size.

    Attributes
    ----------
    name : str
        The name, one of `NAMES`.
    train, test : int
        The numbers of samples. Of files it is a random part, and 0 stands for all.
    classes : int
        The number of classes, of drawn data that can have several.
    seed : int
        The seed by which the data are drawn, or the part is chosen.
    folder : str or None
        The folder with the files, or `DOWNLOADED`; None for data that need none.

    Raises
    ------
    ValueError
        If the name is unknown, data that are read have no folder, or cannot be
        downloaded.
    """

    name: str
    train: int
    test: int
    classes: int = 10
    seed: int = 0
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            msg = f"data={self.name!r}; give one of {', '.join(NAMES)}"
            raise ValueError(msg)
        if self.name in READ and self.folder is None:
            other = " or download=True" if self.name in RELEASES else ""
            msg = (
                f"data={self.name!r} needs the original files: give their folder{other}"
            )
            raise ValueError(msg)
        if self.folder == DOWNLOADED and self.name not in RELEASES:
            msg = (
                f"data={self.name!r} cannot be downloaded: that goes for "
                f"{', '.join(RELEASES)}"
            )
            raise ValueError(msg)

    def load(self) -> Dataset:
        """Return the data, on the host; kept, so that a process loads them once.

        Raises
        ------
        ValueError, OSError
            If files cannot be used, or had.
        """
        return _load(self)


@lru_cache(maxsize=4)
def _load(source: Source) -> Dataset:
    sizes = {"train": source.train, "test": source.test, "seed": source.seed}
    if source.name == "digits":
        return load_digits(train=source.train, seed=source.seed)
    if source.name == "glyphs":
        return draw_glyphs(**sizes)
    if source.name == "frames":
        return draw_frames(classes=source.classes, **sizes)
    if source.name == "shapes":
        return draw_shapes(classes=source.classes, **sizes)
    folder = source.folder
    assert folder is not None
    root = download(source.name) if folder == DOWNLOADED else Path(folder)
    return _part(READ[source.name](root), source)


def _part(data: Dataset, source: Source) -> Dataset:
    """Return random parts of the samples, as many as the source asks for."""
    random = np.random.default_rng(source.seed)
    parts: dict[str, Any] = {}
    for part, count in (("train", source.train), ("test", source.test)):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        chosen = random.permutation(len(x))
        if 0 < count < len(x):
            parts |= {f"x_{part}": x[chosen[:count]], f"y_{part}": y[chosen[:count]]}
    return replace(data, **parts, seed=source.seed) if parts else data

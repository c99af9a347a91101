"""The settings in which the gap is looked for: data, network, batches, stopping."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sharpkit.lab.data import Dataset, draw_glyphs, load_digits, load_mnist
from sharpkit.lab.problem import BatchNorm
from sharpkit.lab.training.devices import DEVICES, Device

HIDDEN_LAYERS = 5  # of the paper's network F1
EPSILONS = (1e-3, 5e-4)  # the paper's
SUBSPACE = 100  # the paper's
FAST = 8  # the learning-rate control multiplies the rate of the large batch by this
PRESETS = ("quick", "standard", "paper")
DATA = ("digits", "glyphs", "mnist")


@dataclass(frozen=True)
class Setting:
    """One comparison of a small batch with a large one.

    Both train by Adam at the same rate, from the same starting points, until the mean
    loss over the training set is at most ``until_loss``.

    name : str
        Such as ``"quick glyphs"``.
    data : {"digits", "glyphs", "mnist"}
    train, test : int
        Samples; 0 means all there are.
    width : int
        Of the five hidden layers.
    small, large : int
        Batch sizes.
    data_seed : int
        Draws or splits the data.
    batch_norm : {"running", "batch", "frozen"}
        The statistics used when the sharpness is measured.
    folder : str or None
        Where the MNIST files are.
    device : {"cpu", "cuda"}
        Where training and measuring run. The starts, the order of the samples and the
        directions are the same; results differ by rounding, which training amplifies.
    """

    name: str
    data: str
    train: int
    test: int
    width: int
    small: int
    large: int
    rate: float = 1e-3
    until_loss: float = 1e-3
    max_epochs: int = 500
    data_seed: int = 0
    batch_norm: BatchNorm = "running"
    folder: str | None = None
    device: Device = "cpu"

    def load(self) -> Dataset:
        """Return the data, on the host; the same for every trial.

        Raises
        ------
        ValueError, FileNotFoundError
            If the files of MNIST cannot be used, or hold less than a large batch.
        """
        if self.data == "digits":
            return load_digits(train=self.train, seed=self.data_seed)
        if self.data == "glyphs":
            return draw_glyphs(train=self.train, test=self.test, seed=self.data_seed)
        assert self.folder is not None
        data = _part(load_mnist(Path(self.folder)), self.train, self.data_seed)
        if len(data.x_train) < self.large:
            msg = (
                f"the training set in {self.folder} has {len(data.x_train)} samples, "
                f"fewer than the large batch of {self.large}; use the original files"
            )
            raise ValueError(msg)
        return data

    def sizes(self, data: Dataset) -> tuple[int, ...]:
        """Return the widths of the network from input to output."""
        return (data.features, *(self.width,) * HIDDEN_LAYERS, data.classes)


_SETTINGS = {
    ("digits", "quick"): Setting("", "digits", 1000, 797, 128, 10, 100),
    ("digits", "standard"): Setting("", "digits", 1000, 797, 256, 10, 100),
    ("digits", "paper"): Setting("", "digits", 1000, 797, 512, 10, 100),
    ("glyphs", "quick"): Setting("", "glyphs", 2000, 5000, 100, 20, 200),
    ("glyphs", "standard"): Setting("", "glyphs", 5000, 10000, 128, 32, 500),
    ("glyphs", "paper"): Setting("", "glyphs", 60000, 10000, 512, 256, 6000),
    ("mnist", "quick"): Setting("", "mnist", 2000, 0, 100, 20, 200),
    ("mnist", "standard"): Setting("", "mnist", 5000, 0, 128, 32, 500),
    ("mnist", "paper"): Setting("", "mnist", 60000, 0, 512, 256, 6000),
}


def setting(
    data: str,
    preset: str = "quick",
    *,
    batch_norm: BatchNorm = "running",
    data_seed: int = 0,
    folder: str | None = None,
    device: Device = "cpu",
) -> Setting:
    """Return the setting of a data set at a preset.

    ``paper`` is the paper's network F1 (width 512) with its batches, 256 and 6000 of
    60,000 samples; ``quick`` and ``standard`` keep the shape and the large batch at a
    tenth of the data, at a size that two cores train in seconds.

    Raises
    ------
    ValueError
        If a name is unknown, or MNIST is asked for without a folder.
    """
    known = _SETTINGS.get((data, preset))
    if known is None:
        msg = (
            f"data={data!r}, preset={preset!r}: data is one of {', '.join(DATA)} and "
            f"preset one of {', '.join(PRESETS)}"
        )
        raise ValueError(msg)
    if device not in DEVICES:
        msg = f"device={device!r}; give one of {', '.join(map(repr, DEVICES))}"
        raise ValueError(msg)
    if data == "mnist" and folder is None:
        msg = "data='mnist' needs the folder with the four original IDX files"
        raise ValueError(msg)
    return replace(
        known,
        name=f"{preset} {data}",
        batch_norm=batch_norm,
        data_seed=data_seed,
        folder=folder,
        device=device,
    )


def _part(data: Dataset, train: int, seed: int) -> Dataset:
    """Return ``data`` with a random part of its training samples."""
    if train >= len(data.x_train):
        return data
    chosen = np.random.default_rng(seed).permutation(len(data.x_train))[:train]
    return replace(
        data, x_train=data.x_train[chosen], y_train=data.y_train[chosen], seed=seed
    )

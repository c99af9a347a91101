"""Real handwritten digits, 8x8 pixels, embedded in the package."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab.data.dataset import Dataset

IMAGES = 1797
_FULL_INK = 16  # a pixel counts the inked ones among the 4x4 it was reduced from


def load_digits(*, train: int = 1000, seed: int = 0) -> Dataset:
    """Return 1797 real handwritten digits of 8x8 pixels, split at random.

    Parameters
    ----------
    train : int
        The number of training images, 1 to 1796; the others are the test set.
    seed : int
        The seed of the permutation that splits them, at least 0.

    Returns
    -------
    Dataset
        ``x`` of shape (images, 64), float32 in [0, 1]; ``y`` int64 in 0..9.

    Raises
    ------
    ValueError
        If ``train`` leaves either part empty, or ``seed`` is negative.

    Notes
    -----
    The images are the test set of the *Optical Recognition of Handwritten Digits* data
    of the UCI Machine Learning Repository (E. Alpaydin and C. Kaynak, 1998,
    https://doi.org/10.24432/C50P49), licensed CC BY 4.0, in the order in which
    scikit-learn ships them. Here they are only scaled, by 1/16.
    """
    if not 1 <= train < IMAGES:
        msg = f"train is {train}; expected 1 to {IMAGES - 1} of the {IMAGES} images"
        raise ValueError(msg)
    if seed < 0:
        msg = f"seed is {seed}; expected a whole number of at least 0"
        raise ValueError(msg)
    images, labels = _embedded()
    order = np.random.default_rng(seed).permutation(IMAGES)
    x = images[order].astype(np.float32) / np.float32(_FULL_INK)
    y = labels[order].astype(np.int64)
    return Dataset(
        name="digits",
        x_train=x[:train],
        y_train=y[:train],
        x_test=x[train:],
        y_test=y[train:],
        classes=10,
        description=(
            "Optical Recognition of Handwritten Digits, test set "
            "(Alpaydin and Kaynak 1998, UCI, CC BY 4.0)"
        ),
        shape=(8, 8),
        seed=seed,
    )


def _embedded() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    source = resources.files("sharpkit.lab.data").joinpath("digits.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return stored["images"], stored["labels"]

"""CIFAR-10 and CIFAR-100 from the original binary files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sharpkit.lab.data.dataset import Dataset, Images, Labels

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32  # bytes: all red, then all green, then all blue, row by row


@dataclass(frozen=True)
class _Release:
    """What the binary distribution of one of the two data sets holds."""

    title: str
    classes: int
    label_bytes: int  # before each image; the last of them is the class
    subfolder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    pickles: tuple[str, ...]  # names in the Python distribution


_CIFAR10 = _Release(
    title="CIFAR-10",
    classes=10,
    label_bytes=1,
    subfolder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    train=tuple(f"data_batch_{part}.bin" for part in range(1, 6)),
    test=("test_batch.bin",),
    pickles=("data_batch_1", "cifar-10-batches-py"),
)
_CIFAR100 = _Release(
    title="CIFAR-100",
    classes=100,
    label_bytes=2,
    subfolder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    train=("train.bin",),
    test=("test.bin",),
    pickles=("train", "cifar-100-python"),
)


def load_cifar10(folder: str | os.PathLike[str]) -> Dataset:
    """Return the images of CIFAR-10's binary version, stored in a folder.

    Parameters
    ----------
    folder : path
        The folder that holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and
        ``test_batch.bin``, itself or in its subfolder ``cifar-10-batches-bin``. Nothing
        is downloaded, and the pickles of the Python version are never read.

    Returns
    -------
    Dataset
        ``x`` of shape (images, 3072), float32 in [0, 1]: the bytes over 255, the
        paper's only preprocessing; channels first, each of 32 rows of 32. ``y`` int64
        in 0..9.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files is missing.
    ValueError
        If a file is empty, truncated, or holds a label out of range.

    Notes
    -----
    The format is described at https://www.cs.toronto.edu/~kriz/cifar.html
    (A. Krizhevsky, *Learning multiple layers of features from tiny images*, 2009).
    """
    return _load(Path(folder), _CIFAR10)


def load_cifar100(folder: str | os.PathLike[str]) -> Dataset:
    """Return the images of CIFAR-100's binary version with their fine labels.

    Parameters
    ----------
    folder : path
        The folder that holds ``train.bin`` and ``test.bin``, itself or in its subfolder
        ``cifar-100-binary``. Nothing is downloaded, and the pickles of the Python
        version are never read.

    Returns
    -------
    Dataset
        ``x`` as of `load_cifar10`; ``y`` int64 in 0..99, the fine labels. The coarse
        ones, the first byte of each row, are not kept.

    Raises
    ------
    FileNotFoundError, ValueError
        As of `load_cifar10`.

    Notes
    -----
    The format is described in the same place.
    """
    return _load(Path(folder), _CIFAR100)


def _load(folder: Path, release: _Release) -> Dataset:
    root = _root(folder, release)
    x_train, y_train = _part(root, release.train, release)
    x_test, y_test = _part(root, release.test, release)
    return Dataset(
        name=release.title.lower().replace("-", ""),
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=release.classes,
        description=f"{release.title}, read from {root}",
        shape=_SHAPE,
    )


def _root(folder: Path, release: _Release) -> Path:
    """Return the folder that holds all files: the one given or its subfolder."""
    wanted = f"{release.title}'s binary version ({release.archive})"
    if not folder.is_dir():
        msg = f"{folder} is not a folder; give the one that holds {wanted}"
        raise FileNotFoundError(msg)
    names = (*release.train, *release.test)
    inner = folder / release.subfolder
    root = inner if inner.is_dir() and not (folder / names[0]).is_file() else folder
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        msg = f"{root} lacks {', '.join(missing)} of {wanted}"
        if any((root / name).exists() for name in release.pickles):
            msg += "; it holds the Python version, whose pickles are never read"
        raise FileNotFoundError(msg)
    return root


def _part(
    root: Path, names: tuple[str, ...], release: _Release
) -> tuple[Images, Labels]:
    row = release.label_bytes + _PIXELS
    parts = []
    for name in names:
        raw = np.fromfile(root / name, np.uint8)
        if raw.size == 0 or raw.size % row:
            msg = (
                f"{root / name} is truncated or of another kind: expected rows of "
                f"{row} bytes, found {raw.size} bytes"
            )
            raise ValueError(msg)
        rows = raw.reshape(-1, row)
        labels = rows[:, release.label_bytes - 1]
        if labels.max() >= release.classes:
            at = int(np.argmax(labels >= release.classes))
            msg = (
                f"{root / name}: label {at} is {labels[at]}; "
                f"expected 0 to {release.classes - 1}"
            )
            raise ValueError(msg)
        parts.append(rows)
    whole = np.concatenate(parts)
    x = np.divide(whole[:, release.label_bytes :], np.float32(255), dtype=np.float32)
    return x, whole[:, release.label_bytes - 1].astype(np.int64)

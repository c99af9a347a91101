"""MNIST from the original IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab.data.dataset import Dataset, Images, Labels

_CLASSES = 10
_IMAGES_MAGIC = 0x0803  # unsigned bytes, three dimensions
_LABELS_MAGIC = 0x0801  # unsigned bytes, one dimension


def load_mnist(folder: str | os.PathLike[str]) -> Dataset:
    """Return the digits stored in a folder of MNIST's original IDX files.

    Parameters
    ----------
    folder : path
        The folder that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each under this name
        or with a dot for the last dash but one (``train-images.idx3-ubyte``), plain or
        gzipped with ``.gz`` at the end. Nothing is downloaded.

    Returns
    -------
    Dataset
        ``x`` of shape (images, height * width), float32 in [0, 1] (the bytes over 255);
        ``y`` int64 in 0..9. Other data in the same format and of at most ten classes
        (Fashion-MNIST) load as well.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files is missing; the message lists the names tried.
    ValueError
        If a file is damaged, is of another kind or does not fit the others; the message
        names the file and what was expected and found.

    Notes
    -----
    The format is described at the end of Y. LeCun, C. Cortes and C. Burges, *The MNIST
    database of handwritten digits*, http://yann.lecun.com/exdb/mnist/.
    """
    root = Path(folder)
    if not root.is_dir():
        msg = f"{root} is not a folder; give the one that holds MNIST's IDX files"
        raise FileNotFoundError(msg)
    x_train, y_train, train_shape = _part(root, "train")
    x_test, y_test, test_shape = _part(root, "t10k")
    if train_shape != test_shape:
        msg = (
            f"{root}: the train images are {train_shape[0]}x{train_shape[1]} pixels "
            f"but the t10k images are {test_shape[0]}x{test_shape[1]}"
        )
        raise ValueError(msg)
    return Dataset(
        name="mnist",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=_CLASSES,
        description=f"MNIST, read from {root}",
        shape=train_shape,
    )


def _part(root: Path, part: str) -> tuple[Images, Labels, tuple[int, int]]:
    image_path = _find(root, f"{part}-images", "idx3-ubyte")
    label_path = _find(root, f"{part}-labels", "idx1-ubyte")
    images = _read_idx(image_path, _IMAGES_MAGIC)
    labels = _read_idx(label_path, _LABELS_MAGIC)
    if len(images) != len(labels):
        msg = (
            f"{image_path} holds {len(images)} images "
            f"but {label_path} holds {len(labels)} labels"
        )
        raise ValueError(msg)
    if labels.max() >= _CLASSES:
        row = int(np.argmax(labels >= _CLASSES))
        msg = (
            f"{label_path}: label {row} is {labels[row]}; expected 0 to {_CLASSES - 1}"
        )
        raise ValueError(msg)
    _, height, width = images.shape
    flat = images.reshape(len(images), height * width)
    x = np.divide(flat, np.float32(255), dtype=np.float32)
    return x, labels.astype(np.int64), (height, width)


def _find(root: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{dot}{kind}{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (root / name).is_file():
            return root / name
    msg = f"{root} has none of {', '.join(names)}"
    raise FileNotFoundError(msg)


def _read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    raw = _read_bytes(path)
    dimensions = magic & 0xFF
    header = 4 * (1 + dimensions)
    found = int.from_bytes(raw[:4], "big")
    if len(raw) >= 4 and found != magic:
        msg = f"{path}: expected the magic number {magic}, found {found}"
        raise ValueError(msg)
    if len(raw) < header:
        msg = f"{path} is truncated: expected a header of {header} bytes, found "
        msg += f"{len(raw)}"
        raise ValueError(msg)
    shape = struct.unpack_from(f">{dimensions}I", raw, 4)
    size = math.prod(shape)
    if size == 0:
        msg = f"{path} is empty: its header gives the dimensions {shape}"
        raise ValueError(msg)
    if len(raw) != header + size:
        what = "truncated" if len(raw) < header + size else "too long"
        msg = (
            f"{path} is {what}: expected {header + size} bytes for the dimensions "
            f"{shape}, found {len(raw)}"
        )
        raise ValueError(msg)
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        msg = f"{path} is not a complete gzip file: {error}"
        raise ValueError(msg) from error

"""The one shape in which every loader hands over its samples and labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.arrays import array_module, is_array

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
_T = TypeVar("_T", np.float32, np.int64)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and labels of one classification task, train and test.

    Arrays are stored C-contiguous and read-only, so that an experiment cannot change
    the data of the next one by accident. An array that already has the right type and
    layout is not copied. On a CUDA device (`on`) they are CuPy arrays, which cannot be
    made read-only.

    Parameters
    ----------
    name : str
        The short name, for titles and file names.
    x_train, x_test : ndarray, shape (M, d), float32
        The samples, one per row, flattened; ink or colour in [0, 1] where it is an
        image.
    y_train, y_test : ndarray, shape (M,), int64
        The class of each row, in ``range(classes)``.
    classes : int
        The number of classes.
    description : str
        Where the data come from, in a sentence.
    shape : tuple of int
        The shape of a sample, d numbers in all: ``(height, width)`` of grey images,
        ``(channels, height, width)`` of coloured ones, ``(d,)`` where samples are no
        images.
    seed : int or None
        The seed that drew or split the data, None where none was needed.

    Raises
    ------
    ValueError
        If the shapes do not fit together or a label is out of range.
    """

    name: str
    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels
    classes: int
    description: str
    shape: tuple[int, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x = _frozen(getattr(self, f"x_{part}"), np.float32)
            y = _frozen(getattr(self, f"y_{part}"), np.int64)
            self._check(part, x, y)
            object.__setattr__(self, f"x_{part}", x)
            object.__setattr__(self, f"y_{part}", y)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        seed = "" if self.seed is None else f", seed {self.seed}"
        return (
            f"<Dataset {self.name}: {len(self.x_train)} train + {len(self.x_test)} "
            f"test samples of {size}, {self.classes} classes{seed}>"
        )

    @property
    def features(self) -> int:
        """Numbers in a sample, d."""
        return math.prod(self.shape)

    def on(self, xp: ModuleType) -> Dataset:
        """Return the same data as arrays of ``xp``: of NumPy, or of CuPy on a device.

        NumPy's own stay as they are; CuPy's are copies.
        """
        names = ("x_train", "y_train", "x_test", "y_test")
        return replace(
            self, **{name: xp.asarray(getattr(self, name)) for name in names}
        )

    def _check(self, part: str, x: Images, y: Labels) -> None:
        if x.ndim != 2 or x.shape[1] != self.features:
            msg = (
                f"x_{part} has shape {x.shape}; expected (samples, {self.features}) "
                f"for samples of {'x'.join(map(str, self.shape))}"
            )
            raise ValueError(msg)
        if y.shape != (len(x),):
            msg = f"y_{part} has shape {y.shape}; expected ({len(x)},), one per sample"
            raise ValueError(msg)
        if len(y) and not (0 <= y.min() and y.max() < self.classes):
            msg = (
                f"y_{part} has labels from {y.min()} to {y.max()}; "
                f"expected 0 to {self.classes - 1}"
            )
            raise ValueError(msg)


def _frozen(array: NDArray[_T], dtype: type[_T]) -> NDArray[_T]:
    if is_array(array) and array_module(array) is not np:
        xp = array_module(array)
        return cast("NDArray[_T]", xp.ascontiguousarray(array, dtype))
    # A view, so that the caller's own array stays as writable as it was.
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view

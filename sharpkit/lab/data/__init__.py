"""Data sets, one file each; every loader returns a `Dataset`."""

from sharpkit.lab.data.cifar import load_cifar10, load_cifar100
from sharpkit.lab.data.dataset import Dataset
from sharpkit.lab.data.digits import load_digits
from sharpkit.lab.data.frames import draw_frames
from sharpkit.lab.data.glyphs import draw_glyphs
from sharpkit.lab.data.mnist import load_mnist
from sharpkit.lab.data.shapes import draw_shapes
from sharpkit.lab.data.timit import load_timit

__all__ = [
    "Dataset",
    "draw_frames",
    "draw_glyphs",
    "draw_shapes",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_mnist",
    "load_timit",
]

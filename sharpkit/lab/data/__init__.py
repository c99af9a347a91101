"""Data sets, one file each; every loader returns a `Dataset`."""

from sharpkit.lab.data.dataset import Dataset
from sharpkit.lab.data.digits import load_digits
from sharpkit.lab.data.glyphs import draw_glyphs
from sharpkit.lab.data.mnist import load_mnist

__all__ = ["Dataset", "draw_glyphs", "load_digits", "load_mnist"]

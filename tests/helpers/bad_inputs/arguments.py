"""What is wrong with the other arguments: weights, and the options of measures."""

from __future__ import annotations

import inspect
from decimal import Decimal
from fractions import Fraction

import numpy as np

import sharpkit

WEIGHTS = {  # "harmless" are those that are to give the right number
    "masked": lambda w: np.ma.array(w, mask=w > 0),
    "empty": lambda w: w[:0],
    "2-d": lambda w: w[None],
    "0-d": lambda w: w[0],
    "harmless strided": lambda w: np.repeat(w, 2)[::2],
    "harmless reversed": lambda w: w[::-1].copy()[::-1],
    "harmless swapped": lambda w: w.astype(w.dtype.newbyteorder()),
    "harmless read-only": lambda w: np.frombuffer(w.tobytes(), w.dtype),
    "half": lambda w: w.astype("f2"),
    "int": lambda w: w.astype(int),
    "bool": lambda w: w > 0,
    "object": lambda w: w.astype(object),
    "complex": lambda w: w.astype(complex),
    "long": lambda w: w.astype(np.longdouble),
    "text": lambda w: w.astype(str),
    "NaN": lambda w: np.append(w[:-1], np.nan).astype(w.dtype),
    "inf": lambda w: np.append(w[:-1], np.inf).astype(w.dtype),
    "list": np.ndarray.tolist,
    "tuple": lambda w: tuple(w.tolist()),
    "None": lambda w: None,
    "string": lambda w: "weights",
    "dict": lambda w: {"w": w},
    "column": lambda w: w[:, None],
    "records": lambda w: np.array([(1.0, 2.0)], dtype=[("a", "f8"), ("b", "f8")]),
    "generator": lambda w: (x for x in w),
    "huge": lambda w: np.full_like(w, np.finfo(w.dtype).max),
}

VALUES = (
    *(None, [], {}, (), set(), object(), "x", "", b"x", "\x1b[2J", 1j, True, np.True_),
    *(float("nan"), float("inf"), -float("inf"), -1, 0, 1, 2, 3, 1.5, 2.0, -0.0),
    *(1e-300, 1e300, 5e-324, 1e-17, 10**400, 2**63, 2**64, -(2**63), np.float32(1e-3)),
    *(np.int8(3), np.uint64(2**64 - 1), Fraction(1, 1000), Decimal("0.001"), "1e-3"),
    *(np.array(1e-3), np.array([1, 2]), np.array([]), np.array(3), [[]], [None]),
    *({"a": None}, lambda: 1, lambda *a: None, int, print, range(3), slice(0, 2)),
    *("trace", ("trace",), ["trace", "trace"], "LA", "auto", "cpu", "cuda", "scipy"),
    *(np.ma.masked, NotImplemented, ..., np.datetime64("2020-01-01"), np.str_("LA")),
    *(sharpkit.LBFGSB, sharpkit.LBFGSB(), sharpkit.Subspace(2), sharpkit.sharpness),
    *({"a": slice(0, 1)}, {"a": slice(5, 2)}, {1: slice(0, 1)}, {"a": "*"}, ["*"]),
    *({"a": slice(None, None, 2)}, {"a": slice(0.5, 1)}, {None: slice(0, 1)}),
)
UNTOUCHED = {"problem", "loss_fn", "hvp", "options", "measure"}


def options_of(measure):
    """Return the names of the options of a public measure."""
    return [
        each for each in inspect.signature(measure).parameters if each not in UNTOUCHED
    ]


def odd_option(rng, measure):
    """Return the name of an option and a value that is rarely right for it."""
    names = options_of(measure)
    return names[rng.integers(len(names))], VALUES[rng.integers(len(VALUES))]

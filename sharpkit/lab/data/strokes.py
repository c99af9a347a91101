"""Stroke skeletons of the ten digits, several handwriting styles each.

A style is written as the pen moves: points ``x,y`` in a box of 100 by 100 (x to the
right, y down), ``|`` where the pen is lifted, ``*`` after a point where it turns a
corner. The points of a stroke are later joined by a smooth curve through all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STYLES: tuple[tuple[str, ...], ...] = (
    (  # 0: oval; slanted with a tail; open at the top
        "50,5 28,18 20,50 28,82 50,95 72,82 80,50 72,18 50,5",
        "62,10 42,6 24,30 22,64 38,93 60,92 77,66 76,30 58,8 44,14",
        "40,8 24,28 20,60 34,92 60,94 78,68 76,34 62,10",
    ),
    (  # 1: bare; with a flag; with flag and base; slanted
        "50,5 50,50 50,95",
        "30,26 52,5* 52,50 52,95",
        "30,26 52,5* 52,50 52,95 | 28,95 76,95",
        "62,5 52,50 42,95",
    ),
    (  # 2: sharp foot; looped foot; wavy foot
        "24,28 34,9 56,5 74,18 70,40 48,66 22,94* 78,94",
        "24,26 40,6 66,8 74,28 60,56 34,84 20,90 26,78 44,84 62,94 80,86",
        "22,22 46,5 72,18 64,48 24,92* 50,86 80,92",
    ),
    (  # 3: two bows; flat top; without a corner between the bows
        "24,18 46,5 70,16 66,38 44,47* 70,56 77,76 54,95 22,84",
        "24,8* 74,8* 46,42* 72,54 76,78 52,95 22,84",
        "26,14 52,5 72,22 58,44 46,48 66,54 76,74 56,94 24,88",
    ),
    (  # 4: open; closed in one stroke; open and curved; closed and slanted
        "32,6 22,54* 78,54 | 66,26 62,60 60,95",
        "62,95 62,50 62,5* 18,64* 84,64",
        "28,8 22,40 30,56 56,54 70,44 | 72,8 66,50 62,95",
        "58,5 20,60* 82,62 | 60,34 58,64 56,95",
    ),
    (  # 5: one stroke; separate roof; nearly an S
        "74,7* 32,7* 28,44* 52,38 74,52 74,78 50,95 22,86",
        "34,8 28,46* 50,40 72,52 74,76 52,94 24,88 | 34,8 78,6",
        "74,10 44,8 28,24 34,42 60,48 76,66 66,90 40,95 22,86",
    ),
    (  # 6: curved back; straight back; hooked top
        "66,6 40,26 24,58 30,86 52,95 72,82 72,62 54,50 34,58 25,72",
        "58,5 34,34 24,70 40,94 64,92 76,72 62,54 40,58 28,74",
        "74,16 58,5 36,18 22,56 30,88 54,95 74,80 68,58 46,52 26,68",
    ),
    (  # 7: plain; with a bar; with a serif; with a wavy roof
        "22,8* 78,8* 58,52 44,95",
        "22,8* 78,8* 60,52 46,95 | 38,50 76,48",
        "22,24 24,8* 76,8* 54,42 44,95",
        "22,12 50,8 78,10* 58,46 50,95",
    ),
    (  # 8: one S closed by a stroke back; two rings; open at the top
        "70,16 50,5 30,16 34,38 66,58 74,80 50,95 26,80 34,58 66,38 70,16",
        "50,46 32,36 32,14 50,5 68,14 68,36 50,46 28,60 26,84 50,95 74,84 72,60 50,46",
        "72,12 46,6 28,24 48,46 72,68 62,92 38,94 26,74 46,52 68,36 76,16",
    ),
    (  # 9: short stem; curved tail; straight stem of its own
        "72,26 54,6 32,12 26,34 42,50 64,42 73,22* 72,60 66,95",
        "72,24 50,5 28,20 34,46 58,48 72,24 74,60 58,90 30,92",
        "70,28 50,8 28,24 32,46 54,52 70,34 | 70,8 70,50 70,95",
    ),
)


class Skeletons(NamedTuple):
    """All styles of all digits as flat tables that a compiled kernel can read.

    Attributes
    ----------
    points : ndarray, shape (P, 2), float64
        Every control point, in heights of a digit from its centre.
    corner : ndarray, shape (P,), bool
        Whether the pen turns a corner at the point.
    starts : ndarray, shape (P,), bool
        Whether the point begins a stroke.
    first : ndarray, shape (S + 1,), int64
        Style s owns the points ``first[s]`` to ``first[s + 1] - 1``.
    styles : ndarray, shape (11,), int64
        Digit c owns the styles ``styles[c]`` to ``styles[c + 1] - 1``.
    """

    points: NDArray[np.float64]
    corner: NDArray[np.bool_]
    starts: NDArray[np.bool_]
    first: NDArray[np.int64]
    styles: NDArray[np.int64]


def skeletons() -> Skeletons:
    """Return the tables of `STYLES`."""
    points: list[tuple[float, float]] = []
    corner: list[bool] = []
    starts: list[bool] = []
    first, styles = [0], [0]
    for digit in STYLES:
        for style in digit:
            for stroke in style.split("|"):
                for place, word in enumerate(stroke.split()):
                    x, y = word.rstrip("*").split(",")
                    points.append((float(x) / 100 - 0.5, float(y) / 100 - 0.5))
                    corner.append(word.endswith("*"))
                    starts.append(place == 0)
            first.append(len(points))
        styles.append(len(first) - 1)
    return Skeletons(
        np.array(points),
        np.array(corner),
        np.array(starts),
        np.array(first),
        np.array(styles),
    )

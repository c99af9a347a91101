"""What the tests of the kernels share: vectors' lengths, and the box that is tried."""

from __future__ import annotations

import numpy as np

from sharpkit._vectors.kernels import cpu, reference

CHUNK = cpu.CHUNK
# Around the lengths that vector registers, random blocks, pieces and chunks have.
SIZES = (0, 1, 2, 3, 7, 127, 128, 129, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7)
EPS = 1e-3


def radius(w):
    """Return the half widths of the box of `EPS`."""
    r = np.empty_like(w)
    reference.box_radius(w, EPS, r)
    return r

"""The streams of random numbers: one for each purpose, so that no two correlate."""

from __future__ import annotations

import enum


@enum.unique
class Stream(enum.IntEnum):
    """Where the random vectors of each purpose begin; a vector adds its index to that.

    The numbers are part of every measurement: another number means other bits.
    """

    SUBSPACE = 1 << 32
    """The columns of a random subspace."""
    CORNERS = 1 << 33
    """Corners of the box from which the ascent starts."""
    BASIS = 1 << 34
    """Vectors with which a basis begins, or goes on where it has spanned a space."""
    PROBES = 1 << 35
    """Probes of the stochastic estimators."""
    SPARE_PROBES = (1 << 35) + (1 << 20)
    """Normal probes that tell whether sign probes have spanned an operator's range."""
    RECURRENCE = 1 << 36
    """Probes of the Lanczos recurrence that keeps no basis."""
    STEP = 1 << 37
    """The direction in which the step of differences is chosen."""
    CHECK = 1 << 38
    """The directions in which a loss is checked."""
    GLANCE = 1 << 39
    """The direction of the first look at a loss."""
    RADIUS = 1 << 42
    """The perturbations over which a rise is averaged."""
    OUTWARD = 1 << 44
    """The corner along which a first point with a rise is looked for."""
    SAMPLES = 1 << 43
    """Which samples make up a batch."""
    DIRECTIONS = 1 << 46
    """The directions of lines and planes."""
    NOISE = 1 << 45
    """Noise that a rise is averaged over, with `NOISE_STREAMS` for each vector."""
    CURVE = 1 << 47
    """How far off the chord a curve begins, and the points where it is tried."""


NOISE_STREAMS = 32  # a uniform number is made of so many signs at most

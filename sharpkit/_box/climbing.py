"""Points on their way up, and the step that takes them there.

A step is one of Frank and Wolfe (1956) on the box: towards the corner ``radius
sign(gradient)``, all the way while that helps. Where it fails, the gradient at its end
says why: over a quadratic the loss changes by the step times the mean of the gradients
at both ends. So the next try keeps only the flips that this mean is for; and goes half
as far once that fails as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sharpkit._box.box import Box, Found
from sharpkit._box.flips import Flips, gathered
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.journal import tracked
from sharpkit._inputs.types import Array, Vector

CHUNK = 1 << 20  # coordinates whose signs are packed at a time
FLIPPED = 4096  # dimensions up to which flips of single coordinates are judged
SMALLEST = 0.02  # a climb ends when it would move by less than this share of the way


class Signs(NamedTuple):
    """A corner in two bits per coordinate, which is at a wall, or in the middle."""

    above: Array
    below: Array


@dataclass(eq=False)
class Track:
    """A point on its way up.

    Attributes
    ----------
    gradient : vector of the search space
        The gradient there, a vector of the track's own.
    loss : float
        The loss there.
    share : float
        The share of the way towards a corner that the next step tries.
    corner : bool
        Whether each coordinate is at a wall, or in the middle.
    kin : bool
        Whether it owes its direction to others.
    start : int
        The number of the start, from 0; -1 before it has begun.
    partners : set of int
        The starts that it has been crossed with.
    """

    gradient: Array
    loss: float = -np.inf
    share: float = 1.0
    corner: bool = True
    kin: bool = False
    start: int = -1
    partners: set[int] = field(default_factory=set)
    place: Signs | Array | None = field(default=None, repr=False)


class Climber:
    """Moves tracks in a box, one at a time.

    Memory: one vector, the place of the track that moves. The places of the others are
    kept as signs, two bits per coordinate, while they are at corners.

    Parameters
    ----------
    box
        The problem.
    centre
        The track that begins at the centre of the box.

    Attributes
    ----------
    z : vector of the search space
        The place of the track that moved last.
    radius : (n,) float64 or None
        The half widths of the box, on the host; None if it has many dimensions.
    flips : Flips
        The places seen, of a box of few dimensions.
    """

    def __init__(self, box: Box, centre: Track) -> None:
        self.box, self.space = box, box.space
        self.z = box.centre.z
        self._at: Track | None = centre
        few = self.space.size <= FLIPPED
        self.radius = gathered(self.space, box.radius()) if few else None
        self.flips = Flips()
        if few:
            self.flips.saw(*self.cube(centre))

    def place(self, track: Track) -> Array:
        """Return where a track is: a vector that the next track overwrites."""
        if self._at is not track:
            self.leave()
            assert track.place is not None
            self._at = track
            if isinstance(track.place, Signs):
                unpacked(track.place, self.z)
                self.box.corner(self.z, self.z)
            else:
                self.space.copy(track.place, self.z)
            track.place = None
        return self.z

    def free(self) -> Array:
        """Return the vector of places, which no track is in any more."""
        self.leave()
        return self.z

    def leave(self) -> None:
        """Keep the place of the track that has moved last."""
        track, self._at = self._at, None
        if track is None:
            return
        if track.corner:
            track.place = packed(self.z)
        else:
            track.place = self.space.empty()
            self.space.copy(self.z, track.place)

    def drop(self, track: Track) -> Array:
        """Return the vector of a track that is no longer needed."""
        if self._at is track:
            self._at = None
        track.place = None
        return track.gradient

    def arrive(self, track: Track) -> None:
        """Evaluate at the corner that a track's gradient points to; begin there."""
        self.leave()
        self._at, track.share, track.corner = track, 1.0, True
        self.box.corner(track.gradient, self.z)
        self._take(track, self.box.evaluate(self.z, self.z, 0.0))

    def climb(self, track: Track, evaluations: int, *, finish: bool = False) -> None:
        """Spend so many evaluations on steps.

        It ends before that where the steps have become short, with ``finish`` only
        where they are next to nothing.
        """
        end = self.box.left - evaluations
        while self.box.left > max(end, 0):
            if not self.space.dot(track.gradient, track.gradient) > 0:
                break
            if track.share < (SMALLEST**2 if finish else SMALLEST):
                break
            self._step(track, self.box.left - end)

    def flip(self, track: Track, indices: Array) -> bool:
        """Flip some coordinates if that is higher; return whether it was."""
        z, flipped, box = self.place(track), self.space.empty(), self.box
        self.space.copy(z, flipped)
        local = indices - self.space.comm.offset
        flipped[local[(local >= 0) & (local < len(z))]] *= -1
        found = box.evaluate(flipped, flipped, 0.0)
        gained = found.loss > track.loss
        if gained:
            self.space.copy(flipped, z)
            self._take(track, found)
        return gained

    def cube(self, track: Track) -> tuple[Vector, Vector]:
        """Return place and slope of a track in the box as the cube, on the host."""
        assert self.radius is not None
        place = gathered(self.space, self.place(track)) / self.radius
        return place, gathered(self.space, track.gradient) * self.radius

    def _step(self, track: Track, evaluations: int) -> None:
        z, g, box = self.place(track), track.gradient, self.box
        found = box.evaluate_toward(z, g, track.share)
        if found.loss > track.loss:
            box.toward(z, g, track.share, z)
            self._take(track, found)
            track.corner &= track.share == 1
            return
        masked = track.share == 1 and evaluations > 1 and np.isfinite(found.loss)
        if not (masked and self._masked_step(track, found.gradient)):
            track.share /= 2

    def _masked_step(self, track: Track, there: Array) -> bool:
        """Go to the corner where the gradient at it agrees; return whether that is up.

        The way there is half the sum of the corners of the mean gradient and of the
        one here: one half of the box, or nothing where they disagree. The step is twice
        as long, and cut at the walls.
        """
        z, space, box = self.place(track), self.space, self.box
        way = box.scratch()  # the evaluation writes the weights over it
        space.copy(there, way)
        space.add(track.gradient, way)
        box.corner(way, way)
        box.toward(way, track.gradient, 0.5, way)
        kept = packed(way)
        found = box.evaluate(z, way, 2.0)
        if not found.loss > track.loss:
            return False
        space.copy(found.gradient, track.gradient)  # it may be written over the way
        unpacked(kept, way)
        box.corner(way, way)
        box.step(z, way, 2.0, z)
        self._take(track, found._replace(gradient=track.gradient))
        return True

    def _take(self, track: Track, found: Found) -> None:
        track.loss = found.loss
        if found.gradient is not track.gradient:
            self.space.copy(found.gradient, track.gradient)
        if self.radius is not None:
            self.flips.saw(*self.cube(track))


def packed(vector: Array) -> Signs:
    """Return the signs of a vector."""
    xp, n = array_module(vector), len(vector)
    above, below = (tracked(xp.empty(-(-n // 8), np.uint8)) for _ in range(2))
    for begin in range(0, n, CHUNK):
        part = vector[begin : begin + CHUNK]
        to = slice(begin // 8, begin // 8 + -(-len(part) // 8))
        above[to], below[to] = xp.packbits(part > 0), xp.packbits(part < 0)
    return Signs(above, below)


def unpacked(signs: Signs, out: Array) -> None:
    """Write 1, -1 and 0 to ``out``."""
    xp, n = array_module(out), len(out)
    for begin in range(0, n, CHUNK):
        part = out[begin : begin + CHUNK]
        of = slice(begin // 8, begin // 8 + -(-len(part) // 8))
        above, below = (xp.unpackbits(each[of])[: len(part)] for each in signs)
        part[...] = above
        part -= below

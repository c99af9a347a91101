"""The maximiser of small boxes: the corners of a quadratic model of all that was seen.

Each gradient that was evaluated tells how the loss curves along the way to the best
point. The symmetric model of least curvature that fits all of them is exact for a
quadratic once as many were seen as there are dimensions. Its corners are climbed by
single flips, from the best point and from random ones, at no evaluation; the highest
corner that was not evaluated yet is. Where the model has nothing to gain, single flips
of the best corner are tried, each an evaluation. Numbers are those of the box as a
cube, on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sharpkit._box.agreement import confirmed
from sharpkit._box.box import Box, Outcome
from sharpkit._box.flips import Flips, gathered, settled
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import Array, Matrix, Vector

LARGEST = 128  # dimensions of a small box
EXHAUSTED = 40  # dimensions up to which single flips come before other starts
OUTWARDS = (16.0, 4.0, 2.0)  # times the box: where the gradients of a far start are
LAST, FEWEST = 0.15, 3  # share of the budget for the last flips, or so many
FAILS = 2  # a climb ends when so many evaluations in a row gained nothing
PACE = 5  # or when so many gains as its last one would not lead to the best point
SLOW, MANY = (
    0.03,
    50,
)  # of the rise: gains that are left to the end of so large a budget
IN_VAIN = 300  # the search ends when so many evaluations in a row found nothing more
CLIMBS = 32  # random corners that are climbed over the model
DOUBT = 4.0  # a coordinate may curve so many times as much as the model says
LEAST = 1e-6  # of the rise: a gain below that is none
GAP, HALVINGS = 1e-3, 8  # of the rise: the slope's gain that is followed, and how far
SAME = 1e-4  # of the half width: closer places are the same one
RCOND = 1e-7  # of the steps; a direction shorter than that is rounding


class _Base(NamedTuple):
    """Where the search stands: a place in the cube, slope and loss, and its start."""

    at: Vector
    slope: Vector
    loss: float
    start: int = 0


Try = Callable[[], Vector | None]


class Corners:
    """A search over the corners of a small box.

    Parameters
    ----------
    box
        The problem.
    seed
        The seed of the random corners.
    """

    def __init__(self, box: Box, seed: int) -> None:
        self._box, self._best = box, box.centre
        self._random = np.random.default_rng(seed)
        self._radius = gathered(box.space, box.radius())
        slope = self._radius * gathered(box.space, box.centre.gradient)
        self._here = self._top = _Base(np.zeros(box.space.size), slope, self._best.loss)
        self._seen = {self._key(self._here.at)}
        self._flips = Flips()
        self._flips.saw(self._here.at, slope)
        self._trial = box.space.empty()
        self._reached: list[float] = []
        self._settled = False

    def run(self) -> Outcome:
        """Spend the budget, or less where the box has no corner left."""
        kin: list[bool] = []
        while self._box.left:
            self._search()
            kin = [False] * len(self._reached)
            rises = [reached - self._box.history[0] for reached in self._reached]
            agreed = self._box.space.size > EXHAUSTED and confirmed(rises, kin)
            if agreed or self._settled or not self._box.extend():
                break
        starts = tuple(self._reached), tuple(kin)
        return Outcome(self._best, *starts, settled=self._settled)

    def _search(self) -> None:
        if self._box.space.size > EXHAUSTED:
            self._bases()
        gained, vain = True, 0
        while self._box.left and vain < IN_VAIN:
            place = self._next(gained, self._flipped)
            self._settled = place is None
            if place is None:
                place = self._elsewhere()
            if place is None:
                return
            gained = self._evaluate(place, start=self._settled)
            vain = 0 if gained else vain + 1
        if self._box.space.size > EXHAUSTED:  # too many to have tried all
            gains = self._flips.gains(self._top.at, self._top.slope)
            self._settled = settled(gains, self._best_rise)
        else:
            self._settled = self._next(gained, self._flipped) is None

    def _bases(self) -> None:
        """Climb from the centre, then from one start far outside after the other.

        Flips are left to the end: they are too many to be tried everywhere.
        """
        budget = self._box.left + len(self._box.history)
        last = max(int(LAST * budget), FEWEST)
        while True:
            self._ascend(last, SLOW if budget >= MANY else 0.0)
            if self._box.left <= last + len(OUTWARDS) + FAILS:
                break
            self._far()
        self._here = self._top

    def _ascend(self, last: int, slow: float) -> None:
        """Climb until the model has failed, or its gains are slow or lead nowhere."""
        fails = 0
        while self._box.left > last and fails < FAILS:
            place, before = self._next(fails == 0), self._here.loss
            if place is None:
                return
            fails = 0 if self._evaluate(place) else fails + 1
            gain = self._here.loss - before
            enough = max(
                (self._best.loss - self._here.loss) / PACE, slow * self._best_rise
            )
            if 0 < gain < enough:
                return

    def _far(self) -> None:
        """Go where the gradients lead from a random corner far outside the box."""
        space, way = self._box.space, self._trial
        self._write(self._random.choice([-1.0, 1.0], space.size), way)
        for scale in OUTWARDS:
            found = (
                self._box.evaluate_outside(way, scale) if self._box.outside else None
            )
            if found is not None:
                space.copy(found.gradient, way)
        place = np.where(gathered(space, way) > 0, 1.0, -1.0)
        self._here = _Base(place, np.zeros(space.size), -np.inf, len(self._reached))
        self._evaluate(place, start=True)

    def _next(self, gained: bool, *others: Try) -> Vector | None:
        """Return what the model proposes, or where the slope points, inside the box.

        The slope comes first where the last proposal has failed: the model may be one
        of far away.
        """
        tries = [self._proposed, self._inward, *others]
        if not gained:
            tries[:2] = tries[1::-1]
        return next((place for each in tries if (place := each()) is not None), None)

    def _evaluate(self, place: Vector, *, start: bool = False) -> bool:
        """Evaluate; return whether it is higher than here, and go there if so."""
        box, z = self._box, self._trial
        self._write(self._radius * place, z)
        found = box.evaluate(z, z, 0.0, z)
        self._seen.add(self._key(place))
        slope = self._radius * gathered(box.space, found.gradient)
        if np.isfinite(found.loss):
            self._flips.saw(place, slope)
        if start or not self._reached:
            self._reached.append(found.loss)
        gained = found.loss > self._here.loss
        if gained:
            begun = len(self._reached) - 1 if start else self._here.start
            self._here = _Base(place, slope, found.loss, begun)
            self._reached[begun] = max(self._reached[begun], found.loss)
        if found.loss > self._best.loss:
            self._top, self._best.loss = self._here, found.loss
            box.space.copy(z, self._best.z)
            box.space.copy(found.gradient, self._best.gradient)
        return gained

    def _write(self, whole: Vector, out: Array) -> None:
        """Write this rank's part of a vector on the host to ``out``."""
        for here, there in self._box.space.places():
            out[here] = array_module(out).asarray(whole[there])

    def _proposed(self) -> Vector | None:
        """Return the highest place of the model not yet seen, if it is above here."""
        places, gains = self._maxima()
        high = gains > max(LEAST * self._best_rise, 0.0)
        return self._unseen(places[high])

    def _maxima(self) -> tuple[Matrix, Vector]:
        """Return maxima of the model, the highest first, and their gains."""
        curvature, (at, slope, *_) = self._model(), self._here
        starts = self._random.choice([-1.0, 1.0], (CLIMBS, len(at)))
        starts[0] = at
        starts[1] = np.where(slope == 0, starts[1], np.sign(slope))
        places = _climbed(starts, at, slope, curvature)
        away = places - at
        gains = away @ slope + 0.5 * ((away @ curvature) * away).sum(axis=1)
        order = np.argsort(-gains, kind="stable")
        return places[order], gains[order]

    def _unseen(self, places: Matrix) -> Vector | None:
        return next((p for p in places if self._key(p) not in self._seen), None)

    @property
    def _best_rise(self) -> float:
        """The rise from the centre to the best point."""
        return self._best.loss - self._box.history[0]

    def _inward(self) -> Vector | None:
        """Return a place on the way that the slope points, if it points inside."""
        at, slope, *_ = self._here
        way = np.where(slope == 0, at, np.sign(slope)) - at
        if way @ slope <= GAP * self._best_rise:
            return None
        for halvings in range(HALVINGS):
            place = at + way / 2**halvings
            if self._key(place) not in self._seen:
                return np.asarray(place)
        return None

    def _flipped(self) -> Vector | None:
        """Return the neighbour not yet seen that loses least to first order.

        There is none where curvature `DOUBT` times that of the model would not pay.
        """
        curvature = np.diag(self._model())
        doubt = DOUBT * np.maximum(curvature, curvature.mean())
        loss = self._here.at * self._here.slope
        for index in np.argsort(loss, kind="stable"):
            place = self._here.at.copy()
            place[index] *= -1
            if loss[index] < doubt[index] and self._key(place) not in self._seen:
                return np.asarray(place)
        return None

    def _elsewhere(self) -> Vector | None:
        """Return a place where another basin may begin, or go on.

        That is the mirrored one, where the last slope points, a lower maximum of the
        model, and a random corner.
        """
        last, slope = self._flips.places[-1], self._flips.slopes[-1]
        near = [-self._here.at, np.where(slope == 0, last, np.sign(slope))]
        random = self._random.choice([-1.0, 1.0], (CLIMBS, len(self._here.at)))
        return self._unseen(np.concatenate([near, self._maxima()[0], random]))

    def _model(self) -> Matrix:
        """Return the least symmetric curvature that fits the gradients."""
        steps = np.array(self._flips.places) - self._here.at
        changes = np.array(self._flips.slopes) - self._here.slope
        far = (steps**2).sum(axis=1, keepdims=True)
        weights = np.divide(1.0, far, out=np.zeros_like(far), where=far > 0)
        steps, changes = weights * steps, weights * changes  # the closest count most
        inverse = np.linalg.pinv(steps, rcond=RCOND)
        mapped = (inverse @ changes).T  # exact on the span of the steps
        outside = np.eye(len(self._here.at)) - inverse @ steps
        curvature = mapped + mapped.T @ outside
        spanned = float(np.trace(np.eye(len(outside)) - outside))
        mean = np.trace(mapped) / spanned if spanned > 0.5 else 0.0
        return np.asarray(0.5 * (curvature + curvature.T) + max(mean, 0.0) * outside)

    @staticmethod
    def _key(place: Vector) -> bytes:
        return np.rint(place / SAME).astype(np.int32).tobytes()


def _climbed(starts: Matrix, at: Vector, slope: Vector, curvature: Matrix) -> Matrix:
    """Climb a quadratic in the cube, each time along the axis that gains most."""
    places = starts.copy()
    slopes = slope + (places - at) @ curvature
    diagonal, rows = np.diag(curvature), np.arange(len(places))
    concave = diagonal < 0
    inside = np.where(concave, diagonal, -1.0)
    floor = 1e-9 * np.abs(slopes).max()
    for _ in range(4 * places.shape[1]):
        far = np.where(slopes - diagonal * places > 0, 1.0, -1.0)
        top = np.clip(places - slopes / inside, -1, 1)
        moves = np.where(concave, top, far) - places
        gains = moves * (slopes + 0.5 * diagonal * moves)
        axes = gains.argmax(axis=1)
        going = gains[rows, axes] > floor
        if not going.any():
            break
        on, axis = rows[going], axes[going]
        move = moves[on, axis]
        slopes[on] += move[:, None] * curvature[axis]
        places[on, axis] += move
    return places

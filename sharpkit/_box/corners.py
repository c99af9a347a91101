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

import numpy as np

from sharpkit._box.box import Box
from sharpkit._box.climbing import gathered
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import Matrix, Vector

LARGEST = 40  # dimensions of a small box
IN_VAIN = 300  # the search ends when so many evaluations in a row found nothing more
CLIMBS = 32  # random corners that are climbed over the model
KEPT = 256  # points of which the model is made, the last ones
DOUBT = 4.0  # a coordinate may curve so many times as much as the model says
LEAST = 1e-6  # of the rise: a gain below that is none
GAP, HALVINGS = 1e-3, 8  # of the rise: the slope's gain that is followed, and how far
SAME = 1e-4  # of the half width: closer places are the same one
RCOND = 1e-7  # of the steps; a direction shorter than that is rounding


class Corners:
    """A search over the corners of a small box.

    Parameters
    ----------
    box
        The problem.
    seed
        The seed of the random corners.

    Attributes
    ----------
    best : Point
        The best point, whose vectors are those of the box's centre.
    reached : list of float
        The loss of each corner that was no step from another one.
    settled : bool
        Whether neither the model nor any single flip of the best corner has more.
    """

    def __init__(self, box: Box, seed: int) -> None:
        self.box, self.best = box, box.centre
        self._random = np.random.default_rng(seed)
        self._radius = gathered(box.space, box.radius())
        self._at = np.zeros(box.space.size)
        self._slope = self._radius * gathered(box.space, box.centre.gradient)
        self._seen = {self._key(self._at)}
        self._places, self._slopes = [self._at], [self._slope]
        self._trial = box.space.empty()
        self.reached: list[float] = []
        self.settled = False

    def search(self) -> None:
        """Spend the budget, or less where the box has no corner left."""
        gained, vain = True, 0
        while self.box.left and vain < IN_VAIN:
            place = self._next(gained)
            self.settled = place is None
            if place is None:
                place = self._elsewhere()
            if place is None:
                return
            before = self.best.loss
            self._evaluate(place)
            gained = self.best.loss > before
            vain = 0 if gained else vain + 1
        self.settled = self._next(gained) is None

    def _next(self, gained: bool) -> Vector | None:
        """Return what to try; the model's own proposals first if the last one gained.

        Where it did not and the slope leads inside, the model may be one of far away.
        """
        tries = [self._proposed, self._inward, self._flipped]
        if not gained:
            tries[:2] = tries[1::-1]
        return next((place for each in tries if (place := each()) is not None), None)

    def _evaluate(self, place: Vector) -> None:
        box, z = self.box, self._trial
        begin = box.space.comm.offset
        local = (self._radius * place)[begin : begin + len(z)]
        z[...] = array_module(z).asarray(local)
        found = box.evaluate(z, z, 0.0, z)
        self._seen.add(self._key(place))
        self.reached.append(found.loss)
        slope = self._radius * gathered(box.space, found.gradient)
        if np.isfinite(found.loss):
            self._places = [*self._places, place][-KEPT:]
            self._slopes = [*self._slopes, slope][-KEPT:]
        if found.loss > self.best.loss:
            self._at, self._slope, self.best.loss = place, slope, found.loss
            box.space.copy(z, self.best.z)
            box.space.copy(found.gradient, self.best.gradient)

    def _proposed(self) -> Vector | None:
        """Return the highest place of the model not yet seen, if it is above here."""
        places, gains = self._maxima()
        high = gains > max(LEAST * self.best_rise, 0.0)
        return self._unseen(places[high])

    def _maxima(self) -> tuple[Matrix, Vector]:
        """Return maxima of the model, the highest first, and their gains."""
        curvature = self._model()
        starts = self._random.choice([-1.0, 1.0], (CLIMBS, len(self._at)))
        starts[0] = self._at
        starts[1] = np.where(self._slope == 0, starts[1], np.sign(self._slope))
        places = _climbed(starts, self._at, self._slope, curvature)
        away = places - self._at
        gains = away @ self._slope + 0.5 * ((away @ curvature) * away).sum(axis=1)
        order = np.argsort(-gains, kind="stable")
        return places[order], gains[order]

    def _unseen(self, places: Matrix) -> Vector | None:
        return next((p for p in places if self._key(p) not in self._seen), None)

    @property
    def best_rise(self) -> float:
        """The rise from the centre to the best point."""
        return self.best.loss - self.box.history[0]

    def _inward(self) -> Vector | None:
        """Return a place on the way that the slope points, if it points inside."""
        way = np.where(self._slope == 0, self._at, np.sign(self._slope)) - self._at
        if way @ self._slope <= GAP * self.best_rise:
            return None
        for halvings in range(HALVINGS):
            place = self._at + way / 2**halvings
            if self._key(place) not in self._seen:
                return np.asarray(place)
        return None

    def _flipped(self) -> Vector | None:
        """Return the neighbour not yet seen that loses least to first order.

        There is none where curvature `DOUBT` times that of the model would not pay.
        """
        curvature = np.diag(self._model())
        doubt = DOUBT * np.maximum(curvature, curvature.mean())
        loss = self._at * self._slope
        for index in np.argsort(loss, kind="stable"):
            place = self._at.copy()
            place[index] *= -1
            if loss[index] < doubt[index] and self._key(place) not in self._seen:
                return np.asarray(place)
        return None

    def _elsewhere(self) -> Vector | None:
        """Return a place where another basin may begin, or go on.

        That is the mirrored one, where the last slope points, a lower maximum of the
        model, and a random corner.
        """
        last, slope = self._places[-1], self._slopes[-1]
        near = [-self._at, np.where(slope == 0, last, np.sign(slope))]
        random = self._random.choice([-1.0, 1.0], (CLIMBS, len(self._at)))
        return self._unseen(np.concatenate([near, self._maxima()[0], random]))

    def _model(self) -> Matrix:
        """Return the least symmetric curvature that fits the gradients."""
        steps = np.array(self._places) - self._at
        changes = np.array(self._slopes) - self._slope
        far = (steps**2).sum(axis=1, keepdims=True)
        weights = np.divide(1.0, far, out=np.zeros_like(far), where=far > 0)
        steps, changes = weights * steps, weights * changes  # the closest count most
        inverse = np.linalg.pinv(steps, rcond=RCOND)
        mapped = (inverse @ changes).T  # exact on the span of the steps
        outside = np.eye(len(self._at)) - inverse @ steps
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

"""The maximiser of round balls: ascents over the span of the places seen, and starts.

Differences between gradients tell how the loss curves along the differences between
their places, the centre among them: over their span a quadratic is known exactly, and
its maximum in the ball is that of a small trust-region problem. The gradient there,
which the same numbers foretell, adds the one direction that promises most; its own
curvature is guessed, as high as any that was seen, and known once it was tried. On a
quadratic this is Lanczos's method with one evaluation for each product (Gould, Lucidi,
Roma and Toint, SIAM J. Optim. 9 (1999) 504), and restarts of it where the places kept
run out. Where the loss is no quadratic a step may fail; the next ones then go where
the gradient points, all the way round and less and less of it, in turns with those of
the model, which has learnt from the failures.

The gradient at the centre starts one ascent, the opposite of the best place one: loss
and slope of a trained network are nearly the same on both sides of it. The others start
where gradients outside the ball point, as in `sharpkit._box.search`: from a random
place far outside over nearer ones. Many starts climb a little, those that might catch
up with the best more, and the best to the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sharpkit._box.agreement import confirmed
from sharpkit._box.ball import Ball
from sharpkit._box.box import Found, Outcome
from sharpkit._box.trust import maximum
from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._vectors.streams import Stream

KEPT = 3  # places, and the gradients there
GAP = 1e-2  # of the rise: an ascent to which no more is promised has come to its end
FINE = 1e-6  # the same of the best one
OUTWARDS = 16.0, 4.0, 2.0  # times the ball: where a start's gradients are taken
RACE, CHUNK = 6, 3  # evaluations of a start before it is judged, and again
LONGEST = 0.4  # of the budget, for one start
PACE = 4  # a start goes on while so many gains as its last one would reach the best
FAILS = 9  # an ascent ends when so many steps in a row have failed
IN_VAIN = 12  # the search ends when so many starts in a row have led no higher
NEXT = 1e-4  # of the slope at the maximum foretold: less of it is no new direction
WRONG = 0.02  # of a gain: so far a quadratic may miss the loss and be believed in
SAME = 1e-3  # of the radius: closer to the sphere is on it
LAST = 0.4  # of the budget, for the best place


class _Model(NamedTuple):
    """A quadratic over the span of the places, in an orthonormal basis of it.

    Attributes
    ----------
    basis : (k, rows) float64
        The basis, each vector by its factors of the rows kept.
    curvature : (k, k) float64
        The curvature.
    at, slope : (k,) float64
        The best place, and the slope there.
    turned : (k, rows) float64
        The curvature times each vector of the basis, by its factors.
    """

    basis: Matrix
    curvature: Matrix
    at: Vector
    slope: Vector
    turned: Matrix


class Ascents:
    """One search of a ball.

    Memory: ``2 KEPT + 4`` vectors.

    Parameters
    ----------
    box
        The ball, evaluated at its centre.
    seed
        The seed of the starts.
    """

    def __init__(self, box: Ball, seed: int) -> None:
        self.box, self.space, self.seed = box, box.space, seed
        self.loss, self.radius = box.centre.loss, box.epsilon
        self.rows = self.space.empty(2 * KEPT + 1)
        self.rows.fill(0)
        self.space.copy(box.centre.gradient, self.rows[-1])
        self.gram = self.space.gram(self.rows, self.rows)
        self.losses: list[float] = [-np.inf] * KEPT
        self.order: list[int] = []  # of the rows in use, the oldest first
        self.trial, self.best = self.space.empty(), box.centre
        self.reached: list[float] = []
        self.kin: list[bool] = []
        self.sure = float(np.finfo(self.space.dtype).eps) ** 0.5

    def run(self) -> Outcome:
        """Spend the budget, or less where starts agree."""
        drawn = vain = 0
        if self.gram[-1, -1] > 0:
            self.space.copy(self.rows[-1], self.trial)
            self._start()
        while True:
            last = int(LAST * self.box.left)
            while self.box.left > last and vain < IN_VAIN and not self._sure():
                before = self.best.loss
                self._start(kin=self._elsewhere(drawn))
                drawn += 1
                vain = 0 if self.best.loss > before else vain + 1
            self._finish()
            more = bool(self.box.left) and vain < IN_VAIN
            if self._sure() or not (more or self.box.extend()):
                break
        stopped = bool(self.box.left)
        return Outcome(self.best, tuple(self.reached), tuple(self.kin), stopped)

    def _elsewhere(self, drawn: int) -> bool:
        """Write where the next start points; return whether it is kin to others."""
        mirrored = drawn == 1 and self.best.loss > self.loss
        if mirrored:
            self.space.copy(self.best.z, self.trial, -1.0)
        else:
            self.space.fill_signs(self.trial, self.seed, Stream.CORNERS + drawn)
            for scale in OUTWARDS:
                self._outward(scale)
        return mirrored

    def _outward(self, scale: float) -> None:
        """Replace the trial by the gradient so many times as far out.

        It is kept where that points back, as where the loss falls outwards, where
        there is none, and where few evaluations are left.
        """
        if self.box.outside and self.box.left > RACE:
            found = self.box.evaluate_outside(self.trial, scale)
            if found is not None and self.space.dot(found.gradient, self.trial) > 0:
                self.space.copy(found.gradient, self.trial)

    def _sure(self) -> bool:
        """Return whether starts agree, unless all evaluations were asked for."""
        return self.box.kept_back and self._agreed()

    def _agreed(self) -> bool:
        """Return whether another start that is no kin came close to the best one."""
        rises = [reached - self.loss for reached in self.reached]
        return max(rises, default=0) > 0 and confirmed(rises, self.kin)

    # Ascents.

    def _start(self, *, kin: bool = False) -> None:
        """Begin where the trial points; climb while that may lead to the best."""
        self.order = []
        self.box.corner(self.trial, self.trial)
        self.reached.append(-np.inf)
        self.kin.append(kin)
        self._evaluate()
        end = self.box.left - int(LONGEST * (self.box.left + len(self.box.history)))
        more = self._climb(RACE - 1, GAP)
        while more and self.order and self.box.left > max(end, 0):
            before = self.reached[-1]
            if before >= self.best.loss and not self.box.kept_back:
                return  # `_finish` goes on from there; few evaluations go to one start
            more = self._climb(CHUNK, GAP)
            gain = self.reached[-1] - before
            if gain * PACE < self.best.loss - self.reached[-1]:
                return

    def _finish(self) -> None:
        """Climb from the best place to the end."""
        if not self.best.loss > self.loss:
            return
        if not (self.order and self.losses[self._top()] == self.best.loss):
            self.order = []
            self._keep(self.best.z, Found(self.best.loss, self.best.gradient))
        self._climb(self.box.left, FINE)

    def _climb(self, evaluations: int, gap: float) -> bool:
        """Spend so many evaluations; return whether there is more to be gained."""
        end, fails = max(self.box.left - evaluations, 0), 0
        while self.box.left > end and self.order:
            if not self._propose(fails, gap):
                return False
            before = self.losses[self._top()]
            self._evaluate()
            fails = 0 if self.losses[self._top()] > before else fails + 1
            if fails > FAILS:
                return False
        return True

    def _top(self) -> int:
        return max(self.order, key=self.losses.__getitem__)

    def _evaluate(self) -> None:
        """Evaluate at the trial, and keep what is found."""
        found = self.box.evaluate(self.trial, self.trial, 0.0, self.trial)
        self.reached[-1] = max(self.reached[-1], found.loss)
        if not np.isfinite(found.loss):
            return
        self._keep(self.trial, found)
        if found.loss > self.best.loss:
            self.best.loss = found.loss
            self.space.copy(self.trial, self.best.z)
            self.space.copy(found.gradient, self.best.gradient)

    def _keep(self, place: Array, found: Found) -> None:
        free = [row for row in range(KEPT) if row not in self.order]
        if not free:
            free = [next(row for row in self.order if row != self._top())]
            self.order.remove(free[0])
        row = free[0]
        self.space.copy(place, self.rows[row])
        self.space.copy(found.gradient, self.rows[KEPT + row])
        self.losses[row] = found.loss
        self.order.append(row)
        for changed in (row, KEPT + row):
            new = self.space.gram(self.rows[changed : changed + 1], self.rows)[0]
            self.gram[changed], self.gram[:, changed] = new, new

    # The model.

    def _propose(self, fails: int, gap: float) -> bool:
        """Write the next place to the trial; return whether it promises anything."""
        top = self._top()
        model = self._model(top)
        u = _highest(model, self.radius)
        gain = _rise(model, u)
        there = self._unit(KEPT + top) + model.turned.T @ (u - model.at)
        length = self._length(there)
        rise = max(self.losses[top] + gain - self.loss, 0.0)
        if fails % 2:
            if gain <= FINE * rise or self._missed(top) > WRONG * gain:
                return self._turn(top, 2.0 ** (1 - fails))
            self._write(model.basis.T @ u)
            return True
        left = self.radius * length - there @ self.gram @ (model.basis.T @ u)
        values, vectors = np.linalg.eigh(model.curvature)
        inside = np.linalg.norm(u) < self.radius * (1 - SAME)
        ended = not fails and left <= gap * rise
        guess = float(values[-1]) if len(values) else 0.0
        if inside and len(values):
            guess = float(values[0])
            if left <= gap * rise:  # is the loss a maximum all around?
                there = model.turned.T @ vectors[:, -1]
                length, guess = self._length(there), float(np.abs(values).max())
                ended = False
        new = there - model.basis.T @ (model.basis @ self.gram @ there)
        size = self._length(new)
        if ended and gain <= gap * rise:
            return False
        if ended or size <= NEXT * length:
            self._write(model.basis.T @ u)
            return bool(gain > 0 or not inside)
        slope = float(new @ self.gram[KEPT + top]) / size
        wider = _widened(model, new / size, slope, self.gram, guess)
        self._write(wider.basis.T @ _highest(wider, self.radius))
        return True

    def _missed(self, top: int) -> float:
        """Return how far a quadratic misses the loss at the place seen last."""
        last = self.order[-1]
        way = self._unit(last) - self._unit(top)
        mean = 0.5 * (self._unit(KEPT + last) + self._unit(KEPT + top))
        change = self.losses[last] - self.losses[top]
        return abs(change - float(way @ self.gram @ mean))

    def _turn(self, top: int, share: float) -> bool:
        """Write a share of the way to where the gradient points."""
        steep = self._length(self._unit(KEPT + top))
        if steep > 0:
            far = share * self.radius / steep
            place, slope = self._unit(top), self._unit(KEPT + top)
            self._write((1 - share) * place + far * slope)
        return steep > 0

    def _length(self, factors: Vector) -> float:
        return float(max(float(factors @ self.gram @ factors), 0.0) ** 0.5)

    def _model(self, top: int) -> _Model:
        """Return what the places in use tell, from the highest one on."""
        count = len(self.rows)
        steps, changes = [], []
        for row in self.order:
            if row != top:
                steps.append(self._unit(row) - self._unit(top))
                changes.append(self._unit(KEPT + row) - self._unit(KEPT + top))
        steps.append(-self._unit(top))
        changes.append(self._unit(count - 1) - self._unit(KEPT + top))
        s, t = np.array(steps), np.array(changes)
        values, vectors = np.linalg.eigh(s @ self.gram @ s.T)
        clear = values > (self.sure * self.radius) ** 2
        mix = (vectors[:, clear] / np.sqrt(values[clear])).T
        basis, turned = mix @ s, mix @ t
        curvature = basis @ self.gram @ turned.T
        onto = basis @ self.gram
        return _Model(
            basis,
            0.5 * (curvature + curvature.T),
            onto @ self._unit(top),
            onto @ self._unit(KEPT + top),
            turned,
        )

    def _unit(self, row: int) -> Vector:
        unit = np.zeros(len(self.rows))
        unit[row] = 1.0
        return unit

    def _write(self, factors: Vector) -> None:
        self.space.combine(factors[None], self.rows, self.trial[None])


def _highest(model: _Model, radius: float) -> Vector:
    slope = model.slope - model.curvature @ model.at
    return maximum(model.curvature, slope, radius)


def _rise(model: _Model, u: Vector) -> float:
    way = u - model.at
    return float(model.slope @ way + 0.5 * way @ model.curvature @ way)


def _widened(
    model: _Model, new: Vector, slope: float, gram: Matrix, guess: float
) -> _Model:
    """Return the model with one more direction, orthogonal to its basis."""
    cross = model.turned @ gram @ new
    return model._replace(
        basis=np.concatenate([model.basis, new[None]]),
        curvature=np.block([[model.curvature, cross[:, None]], [cross, guess]]),
        at=np.append(model.at, 0.0),
        slope=np.append(model.slope, slope),
    )

"""The default maximiser: starts from gradients outside the box, a race, and crossing.

A box of a trained network has many basins. A gradient taken inside it is that of the
few samples that are hard already, so that most starts end in the same basins; the
samples that make the highest one speak up only *outside*. A start therefore takes its
direction from the gradient at a random corner of a box many times as large, follows it
over boxes of four and two times the size, and begins at the corner it has come to.
Nothing outside the box is ever a result. Two evaluations inside tell which starts are
worth more of them; the best are then crossed in pairs: the sum of their normalised
gradients, corrected by the gradient at twice the corner it points to, leads on average
higher than either. Where two starts have come to one basin, a trap for most of them
perhaps, what lies along it is removed from where the next ones begin (deflation).

Where the loss cannot be asked outside the box, a start takes the gradient at a random
corner inside, and removes what lies along the best point and its gradient.
"""

from __future__ import annotations

import itertools

import numpy as np

from sharpkit._box.agreement import confirmed
from sharpkit._box.box import Box, Outcome, Point
from sharpkit._box.climbing import Climber, Track
from sharpkit._box.corners import LARGEST, Corners
from sharpkit._box.flips import settled
from sharpkit._inputs.types import Array
from sharpkit._vectors.streams import Stream

# Evaluations: below the one a single climb, from the other on a pool.
FEW, MANY = 20, 50
OUTWARDS = (4.0, 2.0)  # times the box: where a start's gradients are taken
# Times the box, of a random start's first one: to begin with, at least and at most.
FAR, NEAREST, FARTHEST = 16.0, 4.0, 64.0
USUAL = (0.02, 0.3)  # of the best rise: what the loss should rise by that far away
# Evaluations inside before a start is judged, and of one that is crossed.
RACE, CLIMB = 2, 3
ALIGNED = 0.0, 0.5  # shares of those gradients that must point to where they are taken
FROM_CENTRE, INSIDE_SHARE = 10, 0.2  # evaluations there, or of the budget, if none does
# Evaluations of a start that no gradient outside has led to: each time that it has not
# settled, and that so many times its last gain would lead to the best.
ELSEWHERE, SETTLED, PACE = 5, 2e-3, 5
POOL, LEAN_POOL = 4, 2  # tracks that are kept, and with lean memory
RACERS = 0.12  # random starts per evaluation of the budget
PROMISING = 0.02  # tracks per evaluation of the budget that climb on after the race
LAST, LEAST = 0.15, 7  # share of the budget for the last climbs, or so many
MOST = 100  # random starts of the race, evaluations of the last climb, at most
IN_VAIN = 100  # the search ends when so many starts in a row have led no higher
MIRRORED = 0.15  # of the best rise: what the mirrored corner reaches in some boxes
TWIN = 0.7  # overlap of the gradients of two tracks in one basin
DEFLATED = 1e-5  # of a gradient's length; what is left below that is rounding


def maximise(box: Box, *, seed: int, lean: bool = False) -> Outcome:
    """Return the best point found and the starts.

    Spends the budget of the box, so there must be one, unless no start leads higher.
    Takes over the vectors of ``box.centre``. Memory: a gradient and two bits per
    coordinate for each of up to `POOL` tracks, and a place.

    Parameters
    ----------
    box
        The problem, evaluated at its centre.
    seed
        The seed of the starts; the same seed gives the same bits.
    lean
        Whether only `LEAN_POOL` tracks are kept.
    """
    if box.space.size <= LARGEST:
        return Corners(box, seed).run()
    return _Search(box, seed, lean=lean).run()


class _Search:
    """One search: its tracks, and what every start has reached."""

    def __init__(self, box: Box, seed: int, *, lean: bool) -> None:
        self.box, self.space, self.seed = box, box.space, seed
        self.loss = box.centre.loss
        self.centre = Track(box.centre.gradient, box.centre.loss)
        self.climber = Climber(box, self.centre)
        self.pool = LEAN_POOL if lean else POOL
        self.tracks, self.free = [self.centre], list[Array]()
        self.reached: list[float] = []
        self.kin: list[bool] = []
        self.leads, self.far, self.drawn, self.vain = True, FAR, 0, 0
        self.trap: Track | None = None  # where starts have met
        self.settled = True

    def run(self) -> Outcome:
        self._plan()
        while not self._confirmed() and self.box.extend():
            self._plan()
        while self.box.left and self.vain < IN_VAIN:
            self._random()
        best = self.ranked()[0]
        place = Point(self.climber.place(best), best.loss, best.gradient)
        starts = tuple(self.reached), tuple(self.kin)
        return Outcome(place, *starts, settled=self.settled)

    def ranked(self) -> list[Track]:
        """Return the tracks, the highest first."""
        return sorted(self.tracks, key=lambda track: -track.loss)

    # Starts.

    def _first(self) -> bool:
        """Start as the centre's gradient says; return whether gradients outside lead.

        They do not where they turn away from the corners that they have led to: there
        the loss falls outwards from a maximum inside, or curves both ways.
        """
        if not self.space.dot(self.centre.gradient, self.centre.gradient) > 0:
            return True
        track, corner = self._new(), self.climber.free()
        self.space.copy(self.centre.gradient, track.gradient)
        for scale, least in zip(OUTWARDS, ALIGNED, strict=True):
            self.box.corner(track.gradient, corner)
            self._outward(track, scale)
            along = self.space.dot(corner, track.gradient)
            self.box.corner(track.gradient, corner)
            if along < least * self.space.dot(corner, track.gradient):
                self.leads = False
                self._drop(track)
                return False
        self._begin(track, RACE)
        return True

    def _random(self) -> None:
        """Start from a random corner far outside the box."""
        if not self.box.left:
            return
        track = self._new()
        self.space.fill_signs(track.gradient, self.seed, Stream.CORNERS + self.drawn)
        self.drawn += 1
        if not (self.leads and self.box.outside):
            self._elsewhere(track)
            return
        rise = self._outward(track, self.far) - self.loss
        best = self.box.history[-1] - self.loss
        if not rise <= USUAL[1] * best:
            self.far = max(self.far / 2, NEAREST)
        elif rise < USUAL[0] * best:
            self.far = min(2 * self.far, FARTHEST)
        if self.trap is not None:
            known = self.trap if self.trap in self.tracks else self.ranked()[0]
            self._without(track, known)
        for scale in OUTWARDS:
            self._outward(track, scale)
        self._begin(track, RACE)
        self.trap = self._part(track) or self.trap

    def _elsewhere(self, track: Track) -> None:
        """Start as the gradient at a corner says, but for what is known already.

        It climbs on while so many times its last gain would reach the best.
        """
        best = self.ranked()[0]
        self._begin(track, 1)
        if self.box.left and track.loss <= best.loss:
            self._again(track, best, ELSEWHERE)
        while self.box.left > self.last:
            before = track.loss
            self._climb(track, ELSEWHERE)
            gain = track.loss - before
            settled = gain <= SETTLED * (track.loss - self.loss)
            if settled or gain * PACE < best.loss - track.loss:
                return

    def _cross(self, a: Track, b: Track, evaluations: int) -> None:
        """Start between two tracks."""
        space, between = self.space, self.box.scratch()
        lengths = space.norm(a.gradient), space.norm(b.gradient)
        if not min(lengths) > 0:
            return
        space.copy(a.gradient, between, 1 / lengths[0])
        space.add(b.gradient, between, 1 / lengths[1])
        track = self._new(*(a, b)[: self.pool - 1])
        space.copy(between, track.gradient)
        self._outward(track, OUTWARDS[-1])
        self._begin(track, evaluations, kin=True)
        self._part(track)

    def _part(self, track: Track) -> Track | None:
        """Keep the higher one of a track and its twin, and return it, if there is one.

        A twin has come to the same basin.
        """
        if track not in self.tracks:
            return None
        for other in self.tracks:
            if other is not track and self._twins(track, other):
                lower, upper = sorted((track, other), key=lambda each: each.loss)
                self._drop(lower)
                return upper
        return None

    def _twins(self, a: Track, b: Track) -> bool:
        """Return whether two tracks have come to one basin, as their gradients say."""
        overlap = self.space.dot(a.gradient, b.gradient)
        lengths = self.space.norm(a.gradient) * self.space.norm(b.gradient)
        return overlap > TWIN * lengths

    # Plans.

    def _plan(self) -> None:
        """Spend what the box allows, most of it as its amount says."""
        self.budget = self.box.left + len(self.box.history)
        self.last = min(max(int(LAST * self.budget), LEAST), MOST)
        if self.budget < FEW:
            self._climb(self.centre, self.box.left, finish=True)
        elif not (self.leads and (self.reached or self._first())):
            self._inside()
        elif self.budget < MANY:
            self._few()
        else:
            self._many()
        self._finish()

    def _confirmed(self) -> bool:
        """Return whether another start that is no kin came close to the best one."""
        rises = [reached - self.loss for reached in self.reached]
        return max(rises, default=0) > 0 and confirmed(rises, self.kin)

    def _inside(self) -> None:
        """Climb from the centre, and by a large budget from elsewhere in the box."""
        share = INSIDE_SHARE if self.budget >= MANY else 1.0
        self._climb(self.centre, max(FROM_CENTRE, int(share * self.box.left)))
        while self.box.left > self.last + ELSEWHERE and self.vain < IN_VAIN:
            self._random()

    def _few(self) -> None:
        """Spend a small budget, on both sides of the box if both are high."""
        best = self.ranked()[0]
        if best is not self.centre:
            mirrored = self._new()
            self.space.copy(self.climber.place(best), mirrored.gradient, -1.0)
            self._begin(mirrored, 1)
            if mirrored.loss - self.loss > MIRRORED * (best.loss - self.loss):
                self._again(mirrored, best, CLIMB)
                self._third(best, mirrored)
                return
        cost = len(OUTWARDS) + 1 + RACE
        self._random()
        while True:
            self._cross_next(RACE)
            if self.box.left < self.last + cost:
                return
            self._random()

    def _third(self, *known: Track) -> None:
        """Start as the gradient far along the centre's says, but for what is known."""
        if not all(track in self.tracks for track in (self.centre, *known)):
            return
        track = self._new(*known)
        self.space.copy(self.centre.gradient, track.gradient)
        self._outward(track, OUTWARDS[0])
        for each in (*known, *known):
            self._deflate(track, each)
        self._begin(track, CLIMB)

    def _many(self) -> None:
        """Spend a large budget: half of it on a race, most of the rest on crosses."""
        if self.centre in self.tracks:
            self.centre.kin = bool(self.reached)  # the first start has its gradient
            self._climb(self.centre, CLIMB)
        while self.drawn < min(round(RACERS * self.budget), MOST) and self.box.left:
            self._random()
        for track in self.ranked()[: int(PROMISING * self.budget)]:
            self._climb(track, CLIMB)
        while self.box.left > self.last + CLIMB + 1 and self.vain < IN_VAIN:
            if not self._cross_next(CLIMB):
                self._random()

    def _cross_next(self, evaluations: int) -> bool:
        """Cross the best pair that has not been; return whether there was one."""
        tracks = [each for each in self.ranked() if each.loss > self.loss]
        for a, b in itertools.combinations(tracks, 2):
            if b.start not in a.partners:
                a.partners.add(b.start)
                b.partners.add(a.start)
                self._cross(a, b, evaluations)
                return True
        return False

    def _finish(self) -> None:
        """Climb from the two best points, and then from the best one to the end."""
        for track in self.ranked()[:2]:
            self._climb(track, min(self.box.left // 3, MOST))
        self._flip(self.ranked()[0])
        self._climb(self.ranked()[0], min(self.box.left, MOST), finish=True)

    def _flip(self, track: Track) -> None:
        """Flip all coordinates that seem to gain, half as many after each failure."""
        if self.climber.radius is None or track.start < 0:
            return
        tried: list[int] = []
        count, end = self.space.size, self.box.left // 2
        while True:
            gains = self.climber.flips.gains(*self.climber.cube(track))
            gains[tried] = 0  # they are known to gain nothing
            self.settled = settled(gains, track.loss - self.loss)
            count = min(count, int(np.sum(gains > 0)))
            if not count or self.box.left <= end:
                break
            best = np.argsort(-gains, kind="stable")[:count]
            if self.climber.flip(track, best):
                tried.clear()
            elif count == 1:
                tried += best.tolist()
            else:
                count //= 2
        self._record(track)

    # Tracks.

    def _new(self, *keep: Track) -> Track:
        """Return a track of no place, with the vector of the worst one if need be."""
        if len(self.tracks) == self.pool:
            ranked = reversed(self.ranked())
            self._drop(next(each for each in ranked if each not in keep))
        return Track(self.free.pop() if self.free else self.space.empty())

    def _drop(self, track: Track) -> None:
        """Forget a track, and keep its vector for another one."""
        if track in self.tracks:
            self.tracks.remove(track)
        self.free.append(self.climber.drop(track))

    def _begin(self, track: Track, evaluations: int, *, kin: bool = False) -> None:
        """Start at the corner that the track's gradient points to."""
        if not self.box.left:
            return
        track.kin, before = kin, self.box.history[-1]
        self.climber.arrive(track)
        if track not in self.tracks:
            self.tracks.append(track)
        self._record(track)
        self._climb(track, evaluations - 1)
        self.vain = 0 if self.box.history[-1] > before else self.vain + 1

    def _again(self, track: Track, best: Track, evaluations: int) -> None:
        """Start a track that has arrived anew, without what is known of the best."""
        self._without(track, best)
        self.climber.drop(track)
        self._begin(track, evaluations)

    def _climb(self, track: Track, evaluations: int, *, finish: bool = False) -> None:
        before = self.box.left
        self.climber.climb(track, evaluations, finish=finish)
        if self.box.left < before:
            self._record(track)

    def _record(self, track: Track) -> None:
        if track.start < 0:
            track.start = len(self.reached)
            self.reached.append(track.loss)
            self.kin.append(track.kin)
        self.reached[track.start] = max(track.loss, self.reached[track.start])

    def _outward(self, track: Track, scale: float) -> float:
        """Replace a gradient by that at ``scale`` times its corner; return the loss.

        It is kept, and the loss is NaN, where there is nothing finite.
        """
        if not (self.box.outside and self.box.left):
            return np.nan
        found = self.box.evaluate_outside(track.gradient, scale)
        if found is None:
            return np.nan
        self.space.copy(found.gradient, track.gradient)
        return found.loss

    def _without(self, track: Track, best: Track) -> None:
        """Take what is known of the best out of a track's gradient.

        If nothing is left of it, the other side of the box takes its place.
        """
        if not self._deflate(track, best):
            self.space.copy(self.climber.place(best), track.gradient, -1.0)

    def _deflate(self, track: Track, best: Track) -> bool:
        """Take the best place and its gradient out of a track's gradient.

        Returns whether more than rounding is left of it.
        """
        space, direction = self.space, track.gradient
        before = space.dot(direction, direction)
        known = (self.climber.place(best), best.gradient)
        lengths = np.array([space.norm(each) for each in known])
        scale = np.divide(1.0, lengths, out=np.zeros(2), where=lengths > 0)
        overlap = space.dot(*known) * scale[0] * scale[1]
        along = [space.dot(each, direction) for each in known] * scale
        matrix = np.array([[1.0, overlap], [overlap, 1.0]])
        parts = np.linalg.lstsq(matrix, along, rcond=1e-10)[0] * scale
        for part, each in zip(parts, known, strict=True):
            space.add(each, direction, -part)
        return space.dot(direction, direction) > DEFLATED**2 * before

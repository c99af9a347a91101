"""The default maximiser: sign steps with backtracking, and restarts.

Each step is one of Frank and Wolfe (1956) on the box: towards the corner
``radius sign(gradient)``, all the way while that helps (then it is a *sign step*), half
as far after each failure. The loss therefore never falls. Such steps are large from the
first one on, so nothing has to be scaled and a near-stationary centre does no harm.

The box of a trained network has several basins, and the one that the centre's gradient
leads to is often not the highest. From a random corner one mostly falls back into a
basin one knows: the gradient there is dominated by the same few directions of large
curvature. A restart therefore takes another gradient (the centre's first, then one at a
random corner), removes what lies along the best point and along the gradient there
(deflation), and starts at the corner that the rest points to. On the hard ones among
the boxes of trained networks two such restarts of three reach a higher basin. Every
third restart flips the signs of random runs of the best point's coordinates instead (of
whole layers, as it were).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sharpkit._box.box import Box, Point
from sharpkit._inputs.types import Array
from sharpkit._vectors.streams import Stream

CENTRE_STEPS = 10  # at least so many evaluations belong to the start at the centre
CENTRE_SHARE = 0.2  # of a larger budget
POLISH_SHARE = 0.1  # of the budget, kept to finish the climb from the best point
FEWEST_STEPS = 6  # a restart gets so many evaluations before it is judged
PACE = 5  # a restart goes on while so many steps like its last would reach the best
SETTLED = 2e-3  # a climb ends when one step gains less than this share of the rise
LAST = 100  # evaluations of the climb that finishes, at most
SMALLEST = 0.02  # ... or when it would move by less than this share of the way
IN_VAIN = 100  # the search ends when so many restarts in a row have led no higher
DEFLATED = 1e-5  # of a gradient's length; what is left below that is rounding
RUNS = 32  # flipped or not, of each restart
FLIPPED = 0.7  # probability of a run to be flipped


def maximise(box: Box, *, seed: int) -> tuple[Point, tuple[float, ...]]:
    """Return the best point found, and the best loss of each start.

    Spends what is left of the box's budget, unless no restart leads higher any more.
    Takes over the vectors of ``box.centre``. Memory: four vectors of the search space,
    place and gradient of two points. The place of a step that is being tried is not
    stored: it is computed again, in place, once the step has proved good.

    Parameters
    ----------
    box
        The problem, evaluated at its centre.
    seed
        The seed of the restarts; the same seed gives the same bits.
    """
    budget = box.left + len(box.history)
    # Until the first restart uses it, the second point keeps the centre's gradient.
    other = _Track(Point(box.space.empty(), -np.inf, _copy(box, box.centre.gradient)))
    best = _Track(box.centre)
    before = box.left
    _climb(box, best, max(CENTRE_STEPS, int(CENTRE_SHARE * budget)))
    # Where the gradient vanishes the centre leads nowhere and is no start.
    reached = [best.point.loss] if box.left < before else []
    reserve = int(POLISH_SHARE * budget)
    tries = vain = 0
    # Without a start so far, one evaluation elsewhere is worth more than any reserve.
    while box.left > (reserve + FEWEST_STEPS if reached else 0) and vain < IN_VAIN:
        tries, vain = tries + 1, vain + 1
        _restart(box, other, best.point, seed, tries)
        _climb(box, other, box.left - reserve, target=best.point.loss)
        reached.append(other.point.loss)
        if other.point.loss > best.point.loss:
            best, other, vain = other, best, 0
    _climb(box, best, min(box.left, LAST), finish=True)
    if reached:
        reached[int(np.argmax(reached))] = best.point.loss
    return best.point, tuple(reached)


@dataclass
class _Track:
    """A point on its way up.

    Attributes
    ----------
    point : Point
        The best place so far.
    share : float
        The share of the way towards a corner that its last step went, and that the next
        one tries first.
    """

    point: Point
    share: float = 1.0


def _restart(box: Box, track: _Track, best: Point, seed: int, index: int) -> None:
    """Go to the first point of the index-th restart, far from ``best``; evaluate."""
    point, track.share = track.point, 1.0
    moved = box.space.dot(best.z, best.z) > 0
    if index % 3 == 0 and moved:
        _flip_runs(box, best.z, seed, index, point.z)
        _evaluate(box, point)
        return
    if index > 1 or not moved:  # the first one has the centre's gradient at hand
        box.space.fill_signs(point.gradient, seed, Stream.CORNERS + index)
        box.toward(best.z, point.gradient, 1.0, point.z)
        _evaluate(box, point)
        if not box.left or point.loss > best.loss:
            return
    if _deflate(box, point.gradient, best):
        box.toward(best.z, point.gradient, 1.0, point.z)
    else:  # all directions are known ones: what is left is their other side
        box.space.copy(best.z, point.z, -1.0)
    _evaluate(box, point)


def _evaluate(box: Box, point: Point) -> None:
    found = box.evaluate(point.z, point.z, 0.0)
    point.loss = found.loss
    box.space.copy(found.gradient, point.gradient)


def _climb(
    box: Box,
    track: _Track,
    limit: int,
    *,
    target: float = -np.inf,
    finish: bool = False,
) -> None:
    """Climb for up to ``limit`` evaluations, or until it has settled or lags.

    A climb has settled when its last step gained next to nothing, and lags when it is
    below ``target`` and at its last step's pace would not reach it soon. With
    ``finish`` only the limit ends it.
    """
    here = track.point
    if not box.space.dot(here.gradient, here.gradient) > 0:
        return  # no direction to go in
    for step in range(1, min(limit, box.left) + 1):
        found = box.evaluate_toward(here.z, here.gradient, track.share)
        gain = found.loss - here.loss
        if not gain > 0:
            track.share /= 2
            if track.share < SMALLEST and not finish:
                return
            continue
        box.toward(here.z, here.gradient, track.share, here.z)
        here.loss = found.loss
        box.space.copy(found.gradient, here.gradient)
        behind = target - here.loss
        lagging = step >= FEWEST_STEPS and gain * PACE < behind
        settled = behind < 0 and gain < SETTLED * (here.loss - box.history[0])
        if (lagging or settled) and not finish:
            return


def _copy(box: Box, vector: Array) -> Array:
    out = box.space.empty()
    box.space.copy(vector, out)
    return out


def _deflate(box: Box, direction: Array, best: Point) -> bool:
    """Take the best point and its gradient out of ``direction``.

    Returns whether more than rounding is left of it.
    """
    space = box.space
    known = (best.z, best.gradient)
    before = space.dot(direction, direction)
    lengths = np.array([space.norm(each) for each in known])
    scale = np.divide(1.0, lengths, out=np.zeros(2), where=lengths > 0)
    overlap = space.dot(*known) * scale[0] * scale[1]
    along = [space.dot(each, direction) for each in known] * scale
    matrix = np.array([[1.0, overlap], [overlap, 1.0]])
    parts = np.linalg.lstsq(matrix, along, rcond=1e-10)[0] * scale
    for part, each in zip(parts, known, strict=True):
        space.add(each, direction, -part)
    return space.dot(direction, direction) > DEFLATED**2 * before


def _flip_runs(box: Box, best: Array, seed: int, index: int, out: Array) -> None:
    """Write ``best`` to ``out``, the signs of random runs of coordinates flipped."""
    random = np.random.default_rng([seed, index])
    total = box.space.size
    runs = min(RUNS, total)
    cuts = np.sort(random.choice(total, runs - 1, replace=False))
    signs = np.where(random.random(runs) < FLIPPED, -1.0, 1.0)
    local = np.clip(np.array([0, *cuts, total]) - box.space.comm.offset, 0, len(out))
    for sign, begin, end in zip(signs, local[:-1], local[1:], strict=True):
        if begin < end:
            box.space.copy(best[begin:end], out[begin:end], sign)

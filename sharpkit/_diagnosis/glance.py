"""A first look by two evaluations: the loss's noise, and whether products fit it.

Where it shows something, a second look tells what it is.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from sharpkit._diagnosis.gradient import LONGEST, Agreement, agreement
from sharpkit._diagnosis.line import Centre, Evaluate, Line
from sharpkit._diagnosis.noise import noise_along
from sharpkit._diagnosis.product import Product, Rung, consistency, distance, rung
from sharpkit._inputs.types import Array
from sharpkit._spectrum.basis import finite_norm
from sharpkit._vectors.space import Space

STEP = 1e-3  # the usual size of the boxes that sharpness is taken in
# In float64 so short a step crosses next to no kink, and rounding still hides little.
SHORT = 1e-9
FACTOR = 10.0  # between two such steps
CLEAR = 0.1  # differences whose second differences are larger shares tell nothing
CURVED = 10.0  # times the square of that share the third derivative may explain
CLOSE = 5e-3  # so much of a product may always be the differences' error
ASTRAY = 0.1  # a gradient is suspected that leaves such a share of a change unexplained
MISSED = 4.0  # a first look may overestimate noise by this factor, by chance
FAITHFUL = 64.0  # so many roundings of a product are nothing to be reported

Verdict = Literal["agree", "differ", "unclear"]


class Glance(NamedTuple):
    """What a first look tells.

    Attributes
    ----------
    noise : float
        The standard deviation of one loss by what its slopes leave unexplained, which
        kinks are part of; 0 where they explain all.
    rounding : float
        One rounding of the losses, where that is coarser than their dtype's; else 0.
    astray : bool
        Whether the slopes leave so much of it unexplained that they may not be its own.
    step : Rung or None
        The differences it was seen in, where they are kept.
    """

    noise: float
    rounding: float
    astray: bool
    step: Rung | None


class Doubt(NamedTuple):
    """How far a product is from differences of the gradient, as a share.

    Attributes
    ----------
    error, explained : float
        The distance, and how much of it the differences' own error explains.
    """

    error: float
    explained: float


def glance(
    space: Space,
    centre: Centre,
    evaluate: Evaluate,
    v: Array,
    step: float,
    *,
    keep: bool,
) -> Glance:
    r"""Look at both sides of the weights, a step along v, whose entries are about 1.

    ``f(w + d) - f(w - d)`` is the integral of the slopes, by Simpson's rule, and the
    trapezoidal rule's difference from that bounds what the rule leaves of a smooth
    loss. If more is left, it is noise, as is what is then left of ``f(w + d) - 2 f(w) +
    f(w - d)``. Losses of fewer digits than the weights have at least their rounding.

    Parameters
    ----------
    space
        The space of the weights.
    centre
        The weights, with the loss and the gradient there.
    evaluate
        The loss, ``w -> (loss, gradient)``.
    v : (n,)
        The direction.
    step
        The step.
    keep
        Whether the differences of the gradient are kept, to hold a product against.
    """
    kept = None
    with np.errstate(all="ignore"):  # the loss may be infinite there
        if keep:
            kept = rung(space, centre, evaluate, v, step)
            left, here, right = kept.places
        else:
            line = Line(space, centre, v, evaluate)
            left, here, right = line.sample(step, (-1, 0, 1))
    rise = right.loss - left.loss
    odd = abs(rise - (left.slope + 4 * here.slope + right.slope) / 3)
    bent = right.loss - 2 * here.loss + left.loss
    even = abs(bent - (right.slope - left.slope) / 2)
    losses = left.loss, here.loss, right.loss
    noise = coarse = grain(losses, space.dtype) if odd or even else 0.0
    rule = abs(left.slope - 2 * here.slope + right.slope) / 6
    bend = abs(right.slope - left.slope)
    astray = odd > max(ASTRAY * max(abs(rise), 2 * abs(here.slope)), rule, bend)
    if odd > rule:
        # One value's noise is in the first with variance 2, in the second with 6.
        noise = max(noise, math.hypot(odd / 2, even / math.sqrt(12)))
    return Glance(noise if math.isfinite(noise) else 0.0, coarse, astray, kept)


def grain(losses: tuple[float, ...], dtype: Any) -> float:
    """Return one rounding of the losses, if all have fewer digits than their dtype.

    That three losses end in the zeros of float32, or bfloat16, is not by chance.
    """
    largest = max(map(abs, losses))
    for digits in (8, 11, 24):  # of bfloat16, float16 and TF32, float32
        whole = [math.frexp(loss)[0] * 2**digits for loss in losses]
        if all(part.is_integer() for part in whole):
            coarse = 2.0 ** (1 - digits)
            return coarse * largest if coarse > np.finfo(dtype).eps else 0.0
    return 0.0


class Closer(NamedTuple):
    """What a second look tells.

    Attributes
    ----------
    noise : float
        The standard deviation of the noise of one loss; 0 where none was seen.
    gradient : Agreement or None
        How far the gradient is from that of the loss, where that is asked: noise does
        not explain what the first look has seen.
    """

    noise: float
    gradient: Agreement | None


def look_closely(
    space: Space, centre: Centre, evaluate: Evaluate, v: Array, suspected: float
) -> Closer:
    """Tell noise from kinks, and from a gradient that is not that of the loss.

    It takes some 20 to 80 evaluations.

    Parameters
    ----------
    space
        The space of the weights.
    centre
        The weights, with the loss and perhaps the gradient there.
    evaluate
        The loss, ``w -> (loss, gradient or None)``.
    v : (n,)
        A direction whose entries are about 1.
    suspected
        The noise that a first look has seen.
    """
    line = Line(space, centre, v, evaluate)
    noise = noise_along(line)
    if centre.gradient is None or suspected <= MISSED * noise.loss:
        return Closer(noise.loss, None)
    return Closer(noise.loss, agreement(line, noise, LONGEST * line.scale))


def doubt(
    space: Space,
    centre: Centre,
    evaluate: Evaluate,
    product: Product,
    v: Array,
    hv: Array,
    seen: Rung | None = None,
) -> tuple[Verdict, Doubt]:
    """Hold a product against differences of the gradient, more closely if need be.

    A step of the usual size settles it for a smooth loss. Otherwise, in float64, one so
    short that no kink lies in it does; two of them must agree, for a loss that rounds
    its weights hardly feels them. In float32 kinks hide what they may.

    Parameters
    ----------
    space
        The space of the weights.
    centre
        The weights, with the loss and the gradient there.
    evaluate
        The loss, ``w -> (loss, gradient)``.
    product
        The product, ``v -> H v``.
    v, hv : (n,)
        A direction whose entries are about 1, and the product with it.
    seen
        The differences along v that `glance` has seen; None takes them anew.

    Returns
    -------
    Verdict
        Whether they agree, differ by more than noise and kinks explain, or cannot be
        told apart for these.
    Doubt
        How far apart they are.
    """
    scale = 1 + space.norm(centre.weights) / math.sqrt(space.size)
    first = seen or rung(space, centre, evaluate, v, STEP)
    verdict, found = judged(space, first, hv)
    if verdict == "agree":
        return verdict, found
    if space.dtype == np.float64:
        short = rung(space, centre, evaluate, v, SHORT * scale)
        closely, sure = judged(space, short, hv)
        if closely == "agree":
            return closely, sure
        if closely == "differ":
            again = rung(space, centre, evaluate, v, FACTOR * SHORT * scale)
            if distance(space, short.first, again.first) <= CLEAR * sure.error * (
                space.norm(again.first)
            ):
                return closely, sure
    if verdict == "unclear":
        return verdict, found
    near = consistency(space, centre, evaluate, product, v)
    if near is None or not near.wrong:
        return "unclear", found
    return verdict, Doubt(near.error, near.tolerance)


def judged(space: Space, seen: Rung, hv: Array) -> tuple[Verdict, Doubt]:
    """Return whether differences agree with a product, and how far apart they are.

    Parameters
    ----------
    space
        The space of the weights.
    seen
        The differences.
    hv : (n,)
        The product with the same vector.
    """
    size = max(space.norm(hv), space.norm(seen.first))
    if size == 0:
        return "agree", Doubt(0.0, 0.0)
    error, second = distance(space, seen.first, hv) / size, seen.bound / size
    explained = CURVED * second**2 + CLOSE
    found = Doubt(error, explained)
    if not second <= CLEAR:  # or not a number
        return "unclear", found
    return ("agree" if error <= explained else "differ"), found


def roughness(space: Space, product: Product, hv: Array) -> float:
    """Return how far the product with a unit vector is from a linear one.

    ``||H(3 p) - 3 H p|| / 3`` for p = H v of norm 1, in which large eigenvalues count:
    what has been rounded to few digits on the way is rounded otherwise for 3 p. It is 0
    where the dtype's own rounding explains it.

    Parameters
    ----------
    space
        The space of the weights.
    product
        The product, ``v -> H v``.
    hv : (n,)
        The product with some vector, which is overwritten.
    """
    size = finite_norm(space, hv)
    if size == 0:
        return 0.0
    space.scale(hv, 1 / size)
    once = product(hv)
    space.scale(hv, 3.0)
    thrice = product(hv)
    rounding = FAITHFUL * float(np.finfo(space.dtype).eps) * finite_norm(space, once)
    space.add(once, thrice, -3.0)
    error = finite_norm(space, thrice) / 3
    return error if error > rounding else 0.0

"""What an experiment found, as data: tables, charts and verdicts, drawn elsewhere.

An experiment fills these in from the records of finished runs; the terminal, the
pictures and the page only render them. Nothing here is computed a second time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sharpkit.lab.intervals import Interval, Values, log10, paired, power

Decision = Literal["holds", "does not hold", "not decided here"]
HOLDS: Decision = "holds"
FAILS: Decision = "does not hold"
OPEN: Decision = "not decided here"
MARGIN = 1.25  # the factor within which a ratio counts as 1


@dataclass(frozen=True)
class Table:
    """Rows of finished text.

    Attributes
    ----------
    title, caption : str
        What stands above and below.
    columns : tuple of str
        The heads; the first column names the row.
    rows : tuple of tuple of str
        The cells, as many in each row as there are heads.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes
    ----------
    label : str
        Its title.
    log : bool
        Whether it is logarithmic.
    reverse : bool
        Whether its values fall to the right.
    linear_within : float or None
        An x axis over all orders of magnitude and both signs is linear between plus and
        minus this and logarithmic beyond: it has the places of asinh(x / this).
    """

    label: str
    log: bool = False
    reverse: bool = False
    linear_within: float | None = None


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes
    ----------
    name : str
        Its name in the legend; series of one name in one chart share a colour.
    x, y : tuple of float
        Its places, not-a-number where there is nothing to draw.
    low, high : tuple of float or None
        A band around y, such as the smallest and the largest of the trials.
    right : bool
        Whether it belongs to the right axis.
    paper : bool
        Whether it is the paper's own curve, drawn behind ours in grey.
    dashed : bool
        Whether it is dashed; test curves are, as in the paper.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    right: bool = False
    paper: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves over one x axis, with one or two y axes.

    Attributes
    ----------
    title : str
        The title.
    x, y : Axis
        The lower and the left axis.
    series : tuple of Series
        The curves.
    y_right : Axis or None
        The right axis, if there is one.
    alt : str
        What one sees, in words.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    y_right: Axis | None = None
    alt: str = ""


@dataclass(frozen=True)
class Plane:
    """Values over a plane, the first of them in colour, and places marked on it.

    Attributes
    ----------
    title : str
        The title.
    x, y : Axis
        The lower and the left axis, of one scale.
    at_x, at_y : tuple of float
        The coordinates of the points along each axis.
    values : dict of str to (x, y) tuples of float
        What was found at each point, by name.
    marks : dict of str to (float, float)
        Places by their names.
    alt : str
        What one sees, in words.
    log : bool
        Whether the colours are on a logarithmic scale.
    """

    title: str
    x: Axis
    y: Axis
    at_x: tuple[float, ...]
    at_y: tuple[float, ...]
    values: dict[str, tuple[tuple[float, ...], ...]]
    marks: dict[str, tuple[float, ...]]
    alt: str = ""
    log: bool = False

    @property
    def shown(self) -> str:
        """The name of the value that is drawn."""
        return next(iter(self.values))


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and what these runs say of it.

    Attributes
    ----------
    text : str
        The claim, with its place in the paper.
    decision : {"holds", "does not hold", "not decided here"}
        The verdict.
    detail : str
        The figures that decide.
    criterion : str
        The rule by which they do.
    """

    text: str
    decision: Decision
    detail: str
    criterion: str


@dataclass(frozen=True)
class Outcome:
    """Everything one experiment found for one network.

    Attributes
    ----------
    experiment, network, preset : str
        Names such as ``"table3"``, ``"F1"``, ``"quick"``. After the preset stands what
        else tells the study from the usual one, as in ``"quick, batch statistics"``.
    title : str
        The heading, such as ``"Table 3: sharpness in the full space"``.
    data : str
        The data it was made on, in a sentence.
    settings : tuple of (str, str)
        What was chosen: batches, optimiser, stopping, statistics, seeds.
    tables, claims, charts : tuple
        What was found.
    trials, wanted : int
        The numbers of finished trials and of those asked for; a preliminary outcome
        has fewer.
    notes : tuple of str
        What a reader must know besides: what was cut, which runs came late.
    """

    experiment: str
    network: str
    preset: str
    title: str
    data: str
    settings: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    charts: tuple[Chart | Plane, ...]
    trials: int
    wanted: int
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what tells it from others, such as ``"table3-F1-quick"``."""
        return "-".join(
            (self.experiment, self.network, *self.preset.replace(",", "").split())
        )


def decide(low: float, high: float, least: float = 0.0) -> Decision:
    """Judge "the quantity is greater than ``least``" by its 95 % interval.

    It holds where the whole interval lies above, does not where it lies below.
    """
    if low > least:
        return HOLDS
    return FAILS if high < least else OPEN


def decide_within(found: Interval, low: float, high: float) -> Decision:
    """Judge "the quantity lies between low and high" by its interval."""
    if low <= found.low and found.high <= high:
        return HOLDS
    return FAILS if found.high < low or found.low > high else OPEN


def below_claim(
    text: str, differences: Values, *, most: float, unit: str = "points"
) -> Claim:
    """Return the claim that a mean paired difference is less than ``most``."""
    found = paired(differences)
    return Claim(
        text,
        decide(-found.high, -found.low, -most),
        f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}] {unit}",
        f"95 % Student interval of the mean over trials, against {most:g}",
    )


def difference_claim(
    text: str, differences: Values, *, least: float = 0.0, unit: str = "points"
) -> Claim:
    """Return the claim that a mean paired difference is greater than ``least``."""
    found = paired(differences)
    return Claim(
        text,
        decide(found.low, found.high, least),
        f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}] {unit}",
        f"95 % Student interval of the mean difference paired by trial, against "
        f"{least:g}",
    )


def equal_claim(
    text: str, differences: Values, *, within: float, unit: str = "points"
) -> Claim:
    """Return the claim that a mean paired difference is smaller than ``within``.

    It holds where the whole 95 % interval lies within, does not where all of it lies
    outside on one side.
    """
    found = paired(differences)
    inside = found.low > -within and found.high < within
    outside = found.low > within or found.high < -within
    return Claim(
        text,
        HOLDS if inside else FAILS if outside else OPEN,
        f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}] {unit}",
        f"95 % Student interval of the mean difference paired by trial, within "
        f"±{within:g}",
    )


def ratio_claim(
    text: str, upper: Values, lower: Values, *, least: float = 1.0
) -> Claim:
    """Return the claim that a geometric mean ratio is greater than ``least``."""
    found = paired(log10(upper) - log10(lower))
    return Claim(
        text,
        decide(found.low, found.high, math.log10(least)),
        f"ratio {ratio_text(found)}",
        f"95 % Student interval of the mean logarithm of the ratio paired by trial, "
        f"against {least:g}",
    )


def equivalence_claim(
    text: str, upper: Values, lower: Values, *, margin: float = MARGIN
) -> Claim:
    """Return the claim that a geometric mean ratio is 1, to within a factor.

    Two one-sided tests of 5 % each: it holds where the whole 90 % interval lies within
    the margin, does not where all of it lies outside; few trials leave it open.
    """
    found = paired(log10(upper) - log10(lower), confidence=0.90)
    reach = math.log10(margin)
    return Claim(
        text,
        decide_within(found, -reach, reach),
        f"ratio {ratio_text(found)} at 90 %",
        f"two one-sided tests of 5 %, paired by trial: the 90 % Student interval of "
        f"the mean logarithm of the ratio, within a factor of {margin:g} (equal), "
        "outside it (not equal) or neither",
    )


def ratio_text(found: Interval) -> str:
    """Write an interval of log10 of a ratio as ``mean [low, high]`` of the ratio."""
    return f"{power(found.mean)} [{power(found.low)}, {power(found.high)}]"


def band(
    name: str,
    x: Values,
    trials: Values,
    *,
    right: bool = False,
    dashed: bool = False,
    logarithmic: bool = False,
) -> Series:
    """Return the mean over trials, (trials, len(x)), with its smallest and largest.

    The mean is geometric if ``logarithmic``: where the axis is.
    """
    values = np.asarray(trials, np.float64)
    mean = 10 ** log10(values).mean(axis=0) if logarithmic else values.mean(axis=0)
    return Series(
        name,
        floats(x),
        floats(mean),
        floats(values.min(axis=0)),
        floats(values.max(axis=0)),
        right=right,
        dashed=dashed,
    )


def floats(values: Iterable[float]) -> tuple[float, ...]:
    """Return plain floats, for a `Series`."""
    return tuple(map(float, values))

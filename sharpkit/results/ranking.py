"""The result of `ranking`: how well each measure orders a table of runs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sharpkit._inputs.files import replacing
from sharpkit._inputs.names import printable
from sharpkit._inputs.types import Path as PathLike
from sharpkit.results.common import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics."  # what begins the names of results in the export of a store
HEADS = ("measure", "tau", "granulated", "K", "least given", "pairs")


class Coefficient(NamedTuple):
    """A coefficient between -1 and 1, with what the runs leave open.

    Attributes
    ----------
    value : float
        The coefficient; NaN where no pair decides.
    low, high : float
        The interval of 95 % by the bootstrap; NaN where it is not known.
    groups : int
        The number of settings of the other hyperparameters that it is a mean over; 0
        where it is of all runs at once.
    """

    value: float
    low: float
    high: float
    groups: int = 0

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class RankedMeasure:
    """How well one measure orders the runs.

    Attributes
    ----------
    name : str
        The name of its column.
    tau : Coefficient
        Kendall's tau-b over all pairs of runs: across hyperparameters.
    along : dict of str to Coefficient
        For each hyperparameter the mean tau of runs that differ in it alone: within.
    granulated : Coefficient
        The mean of these: Jiang's granulated coefficient.
    independence : float
        The score K, from 0 (it tells nothing that two hyperparameters do not tell) to
        1; NaN where no pair decides. It is never negative, and its `chance` is not 0.
    given : tuple of str
        The hyperparameters that explain most of it, those at which K is reached.
    runs, missing : int
        The runs that were ranked, and those left out since the measure or the target
        is not there.
    pairs : int
        The pairs of runs that decide: they differ in the measure and in the target.
    """

    name: str
    tau: Coefficient
    along: dict[str, Coefficient]
    granulated: Coefficient
    independence: float
    given: tuple[str, ...]
    runs: int
    missing: int
    pairs: int


@dataclass(frozen=True, repr=False)
class RankingResult:
    """Which measure orders the runs as the target does, best first by `tau`.

    Attributes
    ----------
    measures : tuple of RankedMeasure
        The measures, the largest tau first.
    target : str
        The column that they are to order.
    hyperparameters : tuple of str
        The columns that say how a run was made.
    runs, settings : int
        The runs of the table, and the settings of hyperparameters that they have. Where
        there are more runs than settings, some are repeats.
    chance : float
        The score K that 95 of 100 random orders of the runs stay below; NaN without
        hyperparameters.
    samples, seed : int
        The number of resamples of the bootstrap, and their seed.
    columns : dict of str to tuple
        The numbers of the target and the measures, NaN where there is none, and the
        values of the hyperparameters.
    """

    measures: tuple[RankedMeasure, ...]
    target: str
    hyperparameters: tuple[str, ...]
    runs: int
    settings: int
    chance: float
    samples: int
    seed: int
    columns: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> RankedMeasure:
        """Return one measure by its name, or by the end of it.

        Raises
        ------
        KeyError
            If there is none.
        """
        for each in self.measures:
            if each.name in (name, f"{METRICS}{name}") or name == self.label(each.name):
                return each
        raise KeyError(name)

    def label(self, name: str) -> str:
        """Return the shortest end of a dotted name that no other column shares."""
        names = {each.name for each in self.measures}
        names |= {self.target, *self.hyperparameters}
        parts = name.split(".")
        for count in range(1, len(parts)):
            end = ".".join(parts[-count:])
            if not any(f".{other}".endswith(f".{end}") for other in names - {name}):
                return printable(end)
        return printable(name)

    def cells(self, measure: RankedMeasure) -> tuple[str, ...]:
        """Return the row of a measure in the table, as text."""
        unknown = math.isnan(measure.independence)
        given = ", ".join(map(self.label, measure.given)) or "nothing"
        return (
            self.label(measure.name),
            str(measure.tau),
            str(measure.granulated) if measure.along else "",
            "" if unknown else f"{measure.independence:.3f}",
            "" if unknown else given,
            f"{measure.pairs:,}",
        )

    def __repr__(self) -> str:
        return f"<RankingResult of {len(self.measures)} measures, {self.runs} runs>"

    def __str__(self) -> str:
        """Return the table, what it is of, and the taus along each hyperparameter."""
        units = f"{self.settings} settings" if self.hyperparameters else "them"
        lines = [
            f"{self.runs} runs ranked by {self.label(self.target)}; intervals of 95 % "
            f"from {self.samples} resamples of {units}",
            "",
            *_aligned([HEADS, *map(self.cells, self.measures)]),
        ]
        if self.hyperparameters:
            heads = ("tau along", *map(self.label, self.hyperparameters))
            rows = [
                (
                    self.label(each.name),
                    *(_along(each.along[name]) for name in each.along),
                )
                for each in self.measures
            ]
            lines += ["", *_aligned([heads, *rows])]
            lines += [
                "",
                f"K of an order by chance: below {self.chance:.3f} in 95 of 100; least "
                "given: the hyperparameters that explain most",
            ]
        lines += [
            f"{self.label(each.name)}: {each.missing} runs left out, without a number"
            for each in self.measures
            if each.missing
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        record = asdict(self)
        for each, measure in zip(record["measures"], self.measures, strict=True):
            each["tau"] = measure.tau._asdict()
            each["granulated"] = measure.granulated._asdict()
            each["along"] = {n: c._asdict() for n, c in measure.along.items()}
        found: dict[str, Any] = plain(record)
        return found

    def save(self, path: PathLike) -> None:
        """Write `to_dict` to a JSON file; one that is there is replaced.

        Parameters
        ----------
        path
            The file.
        """
        with replacing(Path(path)) as part:
            text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
            part.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: PathLike) -> RankingResult:
        """Return the result that `save` has written.

        Parameters
        ----------
        path
            The file.
        """
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        measures = tuple(_measure(each) for each in record["measures"])
        names = tuple(record["hyperparameters"])
        columns = {
            name: tuple(cells if name in names else map(_number, cells))
            for name, cells in record["columns"].items()
        }
        chance = _number(record["chance"])
        changed = {"measures": measures, "hyperparameters": names, "chance": chance}
        return cls(**record | changed | {"columns": columns})

    def plot(self, path: PathLike | None = None, *, colour: str = "") -> Figure:
        """Draw the taus with their intervals, and each measure against the target.

        Parameters
        ----------
        path
            The file that the picture is saved to, of a type that matplotlib writes.
        colour
            The hyperparameter whose values have a colour each; the first one if empty.

        Returns
        -------
        Figure
            The figure that was drawn on.

        Raises
        ------
        ValueError
            If there is no such hyperparameter.
        """
        from sharpkit.plot.ranking import draw_ranking

        known = {self.label(name): name for name in self.hyperparameters}
        if colour and colour not in (*known, *self.hyperparameters):
            msg = f"colour={colour!r}; give one of {', '.join(known) or 'none'}"
            raise ValueError(msg)
        first = self.hyperparameters[0] if self.hyperparameters else ""
        return draw_ranking(self, known.get(colour, colour or first), path)


def _along(found: Coefficient) -> str:
    if math.isnan(found.value):
        return "undefined"
    return f"{found} of {found.groups}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(map(str.ljust, row, widths)).rstrip()
        for row in ([rows[0], tuple("-" * w for w in widths), *rows[1:]])
    ]


def _number(cell: float | None) -> float:
    return math.nan if cell is None else cell


def _measure(record: dict[str, Any]) -> RankedMeasure:
    def of(one: dict[str, Any]) -> Coefficient:
        value, low, high = (_number(one[name]) for name in ("value", "low", "high"))
        return Coefficient(value, low, high, one["groups"])

    changed = {
        "tau": of(record["tau"]),
        "granulated": of(record["granulated"]),
        "along": {name: of(one) for name, one in record["along"].items()},
        "independence": _number(record["independence"]),
        "given": tuple(record["given"]),
    }
    return RankedMeasure(**record | changed)

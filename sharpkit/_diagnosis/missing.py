"""What a search may have missed, looked up by what it saw of other basins.

A start, or a whole search, that comes from elsewhere and ends as high says that the
highest basin is no rare one. Starts between two others say nothing of that: they are
kin to both. The table holds how much of the largest value known was missing in runs
that saw the same; `tabulate` makes it, of runs whose maxima long searches have found.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from sharpkit._box.agreement import close, confirmed
from sharpkit._box.corners import EXHAUSTED
from sharpkit._box.solvers import Auto
from sharpkit.results.missing import Missing
from sharpkit.results.sharpness import SharpnessResult, Status

BUDGETS = (0, 20, 50, 100, 200)  # evaluations with which each class of budgets begins
ENOUGH = 10  # runs; smaller groups are judged with those that disagree with them
SPACES = ("full", "subspace")
# A maximum may lie above these; of the others something else must be mended first.
SEARCHED = (Status.CONVERGED, Status.UNCONFIRMED, Status.BUDGET)


class Group(NamedTuple):
    """Runs that are judged together.

    Attributes
    ----------
    space : str
        The kind of the search space, one of `SPACES`.
    evaluations : int
        The least number of evaluations of a search: one of `BUDGETS`.
    searches : int
        One search, or 2 for the highest of two or more with seeds of their own.
    agreed : bool or None
        Whether another start, of several searches another search, came as high; None
        for both together.
    """

    space: str
    evaluations: int
    searches: int
    agreed: bool | None


Rows = dict[Group, dict[str, Any]]


class Evidence(NamedTuple):
    """What a run saw of how many basins there are.

    Attributes
    ----------
    evaluations : int
        The evaluations that the search that reached highest had spent.
    starts : tuple of float
        The rise that each of its starts reached, in any unit.
    kin : tuple of bool
        Of each of these starts, whether it owes its direction to others.
    repeats : tuple of float
        The rise that each search, with a seed of its own, reached.
    subspace : bool
        Whether a random subspace was searched.
    """

    evaluations: int
    starts: tuple[float, ...]
    kin: tuple[bool, ...]
    repeats: tuple[float, ...]
    subspace: bool

    @classmethod
    def of(
        cls, result: SharpnessResult, repeats: tuple[float, ...], evaluations: int
    ) -> Evidence:
        """Return the evidence of the search that reached highest, and of the others.

        Parameters
        ----------
        result
            Its result.
        repeats
            The sharpness that each search found.
        evaluations
            The evaluations that it spent itself.
        """
        return cls(
            evaluations,
            result.starts,
            result.kin,
            repeats,
            result.subspace is not None,
        )

    @property
    def starts_agree(self) -> bool:
        """Whether another start that is no kin came close to the best one."""
        return confirmed(self.starts, self.kin)

    @property
    def searches_agree(self) -> bool:
        """Whether another search came close to the best one."""
        return sum(close(each, max(self.repeats)) for each in self.repeats) > 1

    @property
    def confirmed(self) -> bool:
        """Whether another start came close to the best one, in this search or another.

        Some starts are the same with every seed. They end at the same value to the bit,
        which another search does not confirm.
        """
        best = max(self.repeats)
        others = [each for each in self.repeats if each != best]
        return self.starts_agree or any(close(each, best) for each in others)

    def groups(self) -> list[Group]:
        """Return the group of the run, and the next coarser one."""
        space = SPACES[self.subspace]
        least = BUDGETS[bisect_right(BUDGETS, self.evaluations) - 1]
        searches = min(len(self.repeats), 2)
        agreed = self.searches_agree if searches > 1 else self.starts_agree
        return [Group(space, least, searches, each) for each in (agreed, None)]

    def __str__(self) -> str:
        many = len(self.repeats) > 1
        agreed = self.searches_agree if many else self.starts_agree
        which = "another" if agreed else "no other"
        if not many:
            return f"{self.evaluations} evaluations, {which} start ended within 3 %"
        return (
            f"{len(self.repeats)} searches, the highest of {self.evaluations} "
            f"evaluations, {which} search ended within 3 %"
        )


def missing(evidence: Evidence, table: Rows | None = None) -> Missing | None:
    """Return what runs with such evidence missed; None where there were too few.

    The highest of several searches misses no more than one of them, so that they are
    judged as one where there were too few runs of several.

    Parameters
    ----------
    evidence
        What the run saw. It must have risen.
    table
        The table to look it up in; None is the one that comes with the library.
    """
    groups, table = evidence.groups(), table or _table()
    if len(evidence.repeats) > 1:
        highest = max(evidence.repeats)
        groups += evidence._replace(repeats=(highest,)).groups()
    row = next((table[group] for group in groups if group in table), None)
    return None if row is None else Missing(**row, evidence=str(evidence))


def judged(
    result: SharpnessResult, repeats: tuple[float, ...], evaluations: int
) -> SharpnessResult:
    """Return a result with what it may have missed, as all searches together say.

    Parameters
    ----------
    result
        The result of the search that reached highest.
    repeats
        The sharpness that each search found.
    evaluations
        The evaluations that the highest one of them spent.
    """
    dimensions = result.n if result.subspace is None else result.subspace.columns
    if not result.solver.startswith("auto") or dimensions <= EXHAUSTED:
        return result  # of those nothing is known
    evidence = Evidence.of(result, repeats, evaluations)
    status = result.status
    if status in (Status.CONVERGED, Status.UNCONFIRMED):
        agreed = evidence.confirmed
        status = Status.CONVERGED if agreed else Status.UNCONFIRMED
    known = status in SEARCHED and result.outside and result.solver == Auto().name
    return replace(result, status=status, missing=missing(evidence) if known else None)


def tabulate(runs: Iterable[tuple[Evidence, float]], source: str) -> dict[str, Any]:
    """Return the table of what runs missed, ready for JSON.

    Parameters
    ----------
    runs
        The evidence of each run, and what it found as a share of the largest value
        known in its box.
    source
        Where the runs come from, in words.

    Raises
    ------
    ValueError
        If a share is not above 0: a run without a rise has no evidence.
    """
    shares: dict[Group, list[float]] = defaultdict(list)
    for evidence, share in runs:
        if not share > 0:
            msg = f"share={share}; leave out runs that found no rise"
            raise ValueError(msg)
        for group in evidence.groups():
            shares[group].append(share)
    kept = [group for group, found in shares.items() if len(found) >= ENOUGH]
    kept.sort(key=lambda group: (*group[:3], str(group.agreed)))
    rows = [group._asdict() | _figures(shares[group]) for group in kept]
    return {"source": source, "groups": rows}


def _figures(shares: list[float]) -> dict[str, Any]:
    """Return the figures of a group; a quantile is the safe one of so few runs."""
    runs = len(shares)
    lost = sorted(max(1 - share, 0.0) for share in shares)
    rank = min(math.ceil(0.95 * (runs + 1)), runs)
    return {
        "runs": runs,
        "within_95": _chance(shares, 0.95),
        "within_80": _chance(shares, 0.80),
        "share": sum(lost) / runs,
        "at_most": lost[rank - 1],
    }


def _chance(shares: list[float], least: float) -> float:
    return (sum(share >= least for share in shares) + 1) / (len(shares) + 2)


@cache
def _table() -> Rows:
    place = resources.files("sharpkit._diagnosis") / "missing.json"
    return rows_of(json.loads(place.read_text(encoding="utf-8")))


def rows_of(record: dict[str, Any]) -> Rows:
    """Return what `tabulate` has made by group, as it is looked up."""
    names = Group._fields
    return {
        Group(*map(row.get, names)): {
            name: value for name, value in row.items() if name not in names
        }
        for row in record["groups"]
    }

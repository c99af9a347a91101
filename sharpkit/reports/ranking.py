"""Which measure orders a table of runs as their generalisation does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least, checked_seed
from sharpkit.reports.concordance import (
    Codes,
    Values,
    along,
    deciding,
    independence,
    taus,
)
from sharpkit.reports.tables import (
    Columns,
    columns,
    may_be_measure,
    measured,
    resolved,
    settings,
)
from sharpkit.results.ranking import METRICS, Coefficient, RankedMeasure, RankingResult

LEAST = 3  # runs: two have one pair
LEVELS = (2.5, 97.5)
SHUFFLES = 60  # random orders for the chance of K


def ranking(
    table: Any,
    *,
    measures: Iterable[str] | None = None,
    target: str = "gap",
    hyperparameters: Iterable[str] = (),
    samples: int = 1000,
    seed: int = 0,
) -> RankingResult:
    r"""Rank measures by how well they order runs: Kendall's tau, within and across.

    ``tau`` is Kendall's tau-b over all pairs of runs. For each hyperparameter
    :math:`\psi_i` is the mean, over the settings of all others, of tau between the runs
    that differ in it alone, and their mean :math:`\Psi` is the granulated coefficient.
    K is the least share of what the target's order holds that the measure's order
    tells, given at most two hyperparameters:
    :math:`\min_{|S| \le 2} I(V_\mu, V_g | U_S) / H(V_g | U_S)`, where V are the signs
    of the differences of the pairs of runs, and U the values of S that both runs have.

    Runs that share all hyperparameters are repeats. They count as pairs in tau and K,
    not along a hyperparameter. The bootstrap resamples settings, each with all its
    repeats; without hyperparameters it resamples runs. The intervals along a
    hyperparameter tend to be too wide where a setting has few neighbours.

    A run without a number (NaN, or an empty cell) for the target is left out, and one
    without a measure is left out for this measure; the result says how many. An
    infinite number is larger than all others. A measure that is the same for all runs
    has tau 0, and where the target is, there is none.

    Parameters
    ----------
    table
        The runs: the path of a CSV, such as ``sharpkit runs --csv`` writes, a list of
        one dict for each run, as ``Store.table`` of the lab returns, a mapping of names
        to columns, or a DataFrame. Of a dotted name as in ``config.regime.rate`` the
        end is enough.
    measures
        The columns to rank. None stands for all others that hold numbers, not all the
        same; of a store's export for those among its ``metrics``.
    target
        The column that is to be ordered: the larger, the worse the run generalises.
    hyperparameters
        The columns that say how a run was made; each value is one of its own.
    samples
        The number of resamples of the bootstrap.
    seed
        The seed of the resamples.

    Returns
    -------
    RankingResult
        The measures, the largest tau first.

    Raises
    ------
    TypeError
        If the table or an option is of no type that can be used.
    ValueError
        If it has too few runs, lacks a column, or has a cell that is no number.

    References
    ----------
    Jiang et al., Fantastic generalization measures, arXiv 1912.02178, section 2.2.

    Examples
    --------
    >>> import sharpkit
    >>> runs = {"batch": [1, 2, 3, 4], "sharpness": [1, 3, 2, 4], "gap": [1, 2, 3, 4]}
    >>> found = sharpkit.ranking(runs, hyperparameters=["batch"])
    >>> round(found["sharpness"].tau.value, 3)
    0.667
    """
    samples, seed = at_least("samples", samples, 1), checked_seed(seed)
    every = columns(table)
    goal = resolved("target", target, every)
    made = _names("hyperparameters", hyperparameters, every)
    ranked = _measures(measures, goal, made, every)
    wanted = measured("target", goal, every)
    there = ~np.isnan(wanted)
    if there.sum() < LEAST:
        msg = (
            f"table has {there.sum()} runs with a number for target={goal!r}; give at "
            f"least {LEAST}"
        )
        raise ValueError(msg)
    known = {name: settings(name, every) for name in made}
    codes = {name: numbers[there] for name, (numbers, _) in known.items()}
    numbers = {name: measured("measures", name, every) for name in ranked}
    one = _numbered(list(codes.values()), int(there.sum()))
    weights = _resamples(one, samples, seed)
    missing = len(there) - int(there.sum())
    rows = [
        _rank(name, numbers[name][there], wanted[there], codes, weights, missing)
        for name in ranked
    ]
    shown = {name: tuple(v[c] for c in cells) for name, (cells, v) in known.items()}
    shown |= {goal: tuple(wanted.tolist())}
    shown |= {name: tuple(cells.tolist()) for name, cells in numbers.items()}
    return RankingResult(
        measures=tuple(sorted(rows, key=_tau, reverse=True)),
        target=goal,
        hyperparameters=tuple(made),
        runs=len(there),
        settings=int(one.max()) + 1,
        chance=_chance(wanted[there], codes, seed),
        samples=samples,
        seed=seed,
        columns=shown,
    )


def _tau(row: RankedMeasure) -> float:
    return -math.inf if math.isnan(row.tau.value) else row.tau.value


def _names(argument: str, given: Any, table: Columns) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        msg = f"{argument}={given!r}; give a list of names of columns"
        raise TypeError(msg)
    return list(dict.fromkeys(resolved(argument, name, table) for name in given))


def _measures(given: Any, goal: str, made: list[str], table: Columns) -> list[str]:
    if given is None:
        others = [name for name in table if name not in (goal, *made)]
        results = [name for name in others if name.startswith(METRICS)]
        chosen = [n for n in results or others if may_be_measure(n, table)]
    else:
        chosen = _names("measures", given, table)
    if not chosen:
        msg = (
            f"measures={given!r}: there is nothing to rank; give columns with numbers "
            "that differ, besides the target and the hyperparameters"
        )
        raise ValueError(msg)
    for name in chosen:
        if name == goal or name in made:
            what = "target" if name == goal else "a hyperparameter"
            msg = f"measures has {name!r}, which is {what}, too; leave it out of one"
            raise ValueError(msg)
    return chosen


def _numbered(codes: list[Codes], runs: int) -> Codes:
    """Return a number for each run's setting; without hyperparameters one per run."""
    if not codes:
        return np.arange(runs)
    return np.unique(np.stack(codes), axis=1, return_inverse=True)[1].reshape(-1)


def _resamples(one: Codes, samples: int, seed: int) -> Values:
    """Return how often each run is there: once as a whole, then in each resample."""
    count = int(one.max()) + 1
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=samples)
    whole = np.ones((1, count), np.int64)
    return np.concatenate([whole, drawn])[:, one].astype(np.float64)


def _rank(
    name: str,
    measure: Values,
    target: Values,
    codes: dict[str, Codes],
    weights: Values,
    missing: int,
) -> RankedMeasure:
    """Return the row of one measure."""
    there = ~np.isnan(measure)
    missing += int(len(there) - there.sum())
    measure, target, weights = measure[there], target[there], weights[:, there]
    codes = {each: numbers[there] for each, numbers in codes.items()}
    psi: dict[str, tuple[Values, int]] = {}
    for axis in codes:
        rest = [numbers for each, numbers in codes.items() if each != axis]
        others = _numbered(rest, len(measure)) if rest else np.zeros_like(codes[axis])
        psi[axis] = along(measure, target, codes[axis], others, weights)
    score = math.nan
    given: tuple[str, ...] = ()
    if codes and len(measure) > 1:
        score, given = independence(measure, target, codes)
    return RankedMeasure(
        name=name,
        tau=_coefficient(taus(measure, target, weights)),
        along={axis: _coefficient(*found) for axis, found in psi.items()},
        granulated=_granulated(psi, len(weights)),
        independence=score,
        given=given,
        runs=len(measure),
        missing=missing,
        pairs=deciding(measure, target),
    )


def _granulated(psi: dict[str, tuple[Values, int]], samples: int) -> Coefficient:
    """Return the mean over the hyperparameters along which there is a tau."""
    axes = [found for found, groups in psi.values() if groups]
    if not axes:
        return _coefficient(np.full(samples, np.nan))
    known = ~np.isnan(axes)
    total, count = np.where(known, axes, 0.0).sum(axis=0), known.sum(axis=0)
    mean = np.full(samples, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return _coefficient(mean, sum(groups for _, groups in psi.values()))


def _coefficient(found: Values, groups: int = 0) -> Coefficient:
    """Return the first number with the interval of the others, its resamples."""
    value, drawn = float(found[0]), found[1:][~np.isnan(found[1:])]
    if math.isnan(value) or not drawn.size:
        return Coefficient(value, math.nan, math.nan, groups)
    low, high = np.percentile(drawn, LEVELS)
    return Coefficient(value, float(low), float(high), groups)


def _chance(target: Values, codes: dict[str, Codes], seed: int) -> float:
    """Return the K below which 95 of 100 random orders stay."""
    if not codes:
        return math.nan
    random = np.random.default_rng([seed, 1])
    orders = [random.permutation(len(target)).astype(float) for _ in range(SHUFFLES)]
    found = [independence(order, target, codes)[0] for order in orders]
    return float(np.percentile(found, 95))

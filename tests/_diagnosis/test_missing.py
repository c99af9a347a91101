"""What a search may have missed, and the table that says it."""

import json
from importlib import resources

import pytest

from sharpkit._diagnosis import missing as module
from sharpkit._diagnosis.missing import (
    BUDGETS,
    ENOUGH,
    SPACES,
    Evidence,
    Group,
    missing,
    tabulate,
)

ALONE, AGREED = (2.0, 1.0), (2.0, 1.95)


def evidence(starts=ALONE, kin=None, *, evaluations=25, repeats=None, sub=False):
    kin = (False,) * len(starts) if kin is None else kin
    repeats = (max(starts, default=2.0),) if repeats is None else repeats
    return Evidence(evaluations, starts, kin, repeats, sub)


@pytest.fixture
def table(monkeypatch):
    """``table(runs)``: what is known are these runs."""

    def use(runs):
        record = json.loads(json.dumps(tabulate(runs, "a test")))
        monkeypatch.setattr(module, "_table", lambda: module.rows_of(record))
        return record["groups"]

    return use


@pytest.mark.parametrize(
    ("starts", "kin", "agree"),
    [
        ((2.0, 1.95), (False, False), True),
        ((2.0, 1.93), (False, False), False),
        ((2.0, 2.0), (False, False), True),
        ((2.0, 1.95), (False, True), False),
        ((1.95, 2.0), (False, True), True),  # another than the best one
        ((2.0, 1.0, 1.99), (False, False, True), False),
        ((2.0,), (False,), False),
        ((), (), False),
    ],
)
def test_a_start_agrees_that_was_not_crossed(starts, kin, agree):
    found = evidence(starts, kin)
    assert found.starts_agree is found.confirmed is agree
    assert ("another" in str(found)) is agree


def test_another_search_agrees():
    near, far = evidence(repeats=(1.95, 2.0)), evidence(repeats=(1.9, 2.0))
    assert (near.searches_agree, far.searches_agree) == (True, False)
    assert (near.confirmed, far.confirmed) == (True, False)
    same = evidence(repeats=(2.0, 2.0))  # by the start that no seed changes
    assert (same.searches_agree, same.confirmed) == (True, False)
    assert evidence(AGREED, repeats=(1.0, 2.0)).confirmed
    assert str(near) == (
        "2 searches, the highest of 25 evaluations, another search ended within 3 %"
    )
    assert str(evidence()) == "25 evaluations, no other start ended within 3 %"


@pytest.mark.parametrize(
    ("spent", "least"),
    [(3, 0), (19, 0), (20, 20), (49, 20), (50, 50), (100, 100), (10**6, 200)],
)
def test_the_class_of_a_budget(spent, least):
    fine, coarse = evidence(AGREED, evaluations=spent, sub=True).groups()
    assert fine == Group("subspace", least, 1, True)
    assert coarse == Group("subspace", least, 1, None)
    several = evidence(evaluations=spent, repeats=(1.0, 1.5, 2.0)).groups()[0]
    assert several == Group("full", least, 2, False)


def test_the_figures_of_a_group(table):
    both, row = table([(evidence(AGREED), 1 - (i + 0.5) / 100) for i in range(31)])
    assert (row["agreed"], row["runs"], both["agreed"]) == (True, 31, None)
    assert row["within_95"] == pytest.approx(6 / 33)
    assert row["within_80"] == pytest.approx(21 / 33)
    assert row["share"] == pytest.approx(0.155)
    assert row["at_most"] == pytest.approx(0.305)  # of so few runs the largest
    many = table([(evidence(AGREED), 1 - i / 1000) for i in range(999)])
    assert many[0]["at_most"] == pytest.approx(0.949)
    found = missing(evidence(AGREED))
    assert found.runs == 999
    assert found.evidence == "25 evaluations, another start ended within 3 %"


def test_no_chance_is_0_or_1_and_more_than_all_is_not_missing_less(table):
    row, _ = table([(evidence(), 1.01)] * 10)
    assert row["within_95"] == row["within_80"] == 11 / 12
    assert row["share"] == row["at_most"] == 0
    row, _ = table([(evidence(), 0.1)] * 10)
    assert row["within_95"] == row["within_80"] == 1 / 12


def test_a_small_group_is_judged_with_those_that_disagree(table):
    runs = [(evidence(AGREED), 1.0)] * ENOUGH + [(evidence(), 0.5)] * (ENOUGH - 1)
    assert [(row["agreed"], row["runs"]) for row in table(runs)] == [
        (None, 2 * ENOUGH - 1),
        (True, ENOUGH),
    ]
    assert missing(evidence(AGREED)).within_80 == (ENOUGH + 1) / (ENOUGH + 2)
    assert missing(evidence()).within_80 == (ENOUGH + 1) / (2 * ENOUGH + 1)
    assert missing(evidence(evaluations=50)) is None
    assert missing(evidence(sub=True)) is None
    assert table(runs[: ENOUGH - 1]) == []
    assert missing(evidence(AGREED)) is None


def test_several_searches_are_judged_as_one_where_no_runs_of_several_are(table):
    table([(evidence(AGREED), 1.0)] * 20 + [(evidence(), 0.5)] * 30)
    assert missing(evidence(AGREED, repeats=(2.0, 2.0))).runs == 20
    assert missing(evidence(repeats=(2.0, 2.0))).runs == 30
    table([(evidence(), 0.5)] * 30 + [(evidence(repeats=(2.0, 1.0)), 1.0)] * 15)
    found = missing(evidence(repeats=(2.0, 2.0)))  # the others that are several
    assert (found.runs, found.share) == (15, 0)


def test_a_run_without_a_rise_is_refused():
    with pytest.raises(ValueError, match=r"share=0\.0; leave out runs that found no"):
        tabulate([(evidence(), 0.0)], "a test")


def test_the_table_that_ships():
    place = resources.files("sharpkit._diagnosis") / "missing.json"
    record = json.loads(place.read_text(encoding="utf-8"))
    assert record["source"]
    for row in record["groups"]:
        assert row["space"] in SPACES
        assert row["evaluations"] in BUDGETS
        assert row["runs"] >= ENOUGH
        assert 0 < row["within_95"] <= row["within_80"] < 1
        assert 0 <= row["share"] <= row["at_most"] < 1
    found = missing(evidence(AGREED))
    assert missing(evidence()).within_95 < found.within_95
    assert set(tabulate([(evidence(), 0.9)] * 10, "")["groups"][0]) == set(row)

"""The share of a clock that does what it is told."""

import itertools

import pytest

from sharpkit.monitor.schedule import Account, Schedule


def trained(schedule, clock, costs, *, steps, seconds, failing=()):
    """Return the steps at which each measure was taken."""
    taken = {name: [] for name in costs}
    schedule.start()
    for step in range(steps):
        for name in schedule.due(step):
            cost = costs[name](step) if callable(costs[name]) else costs[name]
            clock.tick(cost)
            schedule.charge(name, cost, failed=name in failing)
            taken[name].append(step)
        clock.tick(seconds)
    return taken


def made(clock, budget, **accounts):
    named = {
        name: Account(share, every, 0, expected)
        for name, (share, every, expected) in accounts.items()
    }
    return Schedule(named, budget, clock)


def test_the_share_is_kept_and_used(clock):
    schedule = made(clock, 0.05, cheap=(1, 1, 0.1), dear=(1, 1, 8.0))
    trained(schedule, clock, {"cheap": 0.1, "dear": 8.0}, steps=20_000, seconds=0.1)
    share = schedule.spent / schedule.elapsed
    waiting = 8.1 / schedule.elapsed  # of one time more of each
    assert 0.05 - waiting < share <= 0.05


def test_it_is_kept_at_every_step_where_costs_are_as_expected(clock):
    schedule = made(clock, 0.05, one=(1, 1, 0.5))
    schedule.start()
    for step in range(2000):
        for name in schedule.due(step):
            clock.tick(0.5)
            schedule.charge(name, 0.5)
        clock.tick(0.01)
        assert schedule.spent <= 0.05 * (schedule.elapsed + 1e-9)


def test_a_cost_that_was_not_expected_is_made_up_for(clock):
    schedule = made(clock, 0.1, one=(1, 1, 1e-6))
    costs = {"one": lambda step: 30.0 if step == 1 else 0.01}
    taken = trained(schedule, clock, costs, steps=8000, seconds=0.1)["one"]
    assert taken[:2] == [1, 2700] or taken[1] > 2500
    assert schedule.spent / schedule.elapsed <= 0.1


def test_intervals_stretch_with_costs(clock):
    schedule = made(clock, 0.05, one=(1, 1, 1.0))
    costs = {"one": lambda step: 1.0 if step < 5000 else 4.0}
    taken = trained(schedule, clock, costs, steps=20_000, seconds=0.1)["one"]
    early = [b - a for a, b in itertools.pairwise(taken) if b < 5000]
    late = [b - a for a, b in itertools.pairwise(taken) if a > 8000]
    assert max(early) <= 200
    assert min(late) >= 700


def test_what_the_monitor_takes_besides_is_taken_off(clock):
    schedule = made(clock, 0.05, one=(1, 1, 0.1))
    schedule.start()
    for step in range(10_000):
        schedule.overhead += 0.004  # of 0.1: already 4 %
        clock.tick(0.004)
        for name in schedule.due(step):
            clock.tick(0.1)
            schedule.charge(name, 0.1)
        clock.tick(0.096)
    assert 0.048 < schedule.spent / schedule.elapsed <= 0.05


def test_intervals_hold_without_a_budget(clock):
    schedule = made(clock, None, one=(1, 3, 0.0), other=(1, 5, 0.0))
    taken = trained(schedule, clock, {"one": 9, "other": 9}, steps=11, seconds=0.1)
    assert taken == {"one": [0, 3, 6, 9], "other": [0, 5, 10]}


def test_shares_are_as_they_are_given(clock):
    schedule = made(clock, 0.06, one=(2, 1, 0.5), other=(1, 1, 0.5))
    costs = {"one": 0.5, "other": 0.5}
    taken = trained(schedule, clock, costs, steps=20_000, seconds=0.1)
    assert len(taken["one"]) == pytest.approx(2 * len(taken["other"]), rel=0.02)


def test_what_fails_is_tried_less_and_less_often(clock):
    schedule = made(clock, None, one=(1, 1, 0.0))
    taken = trained(schedule, clock, {"one": 0}, steps=200, seconds=1, failing=["one"])
    assert taken["one"] == [0, 2, 6, 14, 30, 62, 126, 190]


def test_a_measure_waits_for_its_first_step(clock):
    schedule = Schedule({"one": Account(1, 1, 4, 0.0)}, None, clock)
    assert [schedule.due(step) for step in (0, 3, 4)] == [[], [], ["one"]]


def test_the_first_time_is_paid_by_all_as_soon_as_there_is_room(clock):
    accounts = {"dear": Account(1, 1, 0, 2.0, 0.1), "cheap": Account(9, 1, 0, 0.01)}
    schedule = Schedule(accounts, 0.05, clock)
    taken = []

    def dear(step):
        taken.append(step)
        return 2.0 if len(taken) == 1 else 0.1

    found = trained(
        schedule, clock, {"dear": dear, "cheap": 0.01}, steps=3000, seconds=0.1
    )
    # Alone, a tenth of 5 % of the time would have paid for it after 4000 steps.
    assert 600 < found["dear"][0] < 900
    assert len(found["dear"]) > 5
    assert schedule.spent / schedule.elapsed <= 0.05

import pytest


@pytest.fixture
def timing(load):
    return load("bench.timing")


class Work:
    """Candidates on a clock that only they move."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def takes(self, name, *seconds):
        left = list(seconds)

        def call():
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call

    def clock(self):
        return self.now


def test_candidates_take_turns_in_both_orders(timing):
    work = Work()
    found = timing.interleaved(
        {"a": work.takes("a", 1.0), "b": work.takes("b", 2.0)},
        rounds=3,
        clock=work.clock,
    )
    assert "".join(work.order) == "ba" + "abbaab"
    assert found["a"].seconds == (1.0,) * 3
    assert found["b"].seconds == (2.0,) * 3
    assert timing.ratio(found["a"], found["b"]) == 0.5


def test_the_first_round_and_settling_calls_do_not_count(timing):
    work = Work()
    # settling, two of the first round; the same of the second
    slow = work.takes("a", 90.0, 80.0, 70.0, 60.0, 1.0, 3.0)
    found = timing.interleaved(
        {"a": slow}, rounds=1, turn=2, settle=1, clock=work.clock
    )
    assert found["a"].seconds == (1.0, 3.0)


def test_median_and_spread(timing):
    found = timing.Timing((0.004, 0.001, 0.002, 0.003, 0.1))
    assert found.median == 0.003
    assert found.spread == pytest.approx((0.004 - 0.002) / 0.003)
    assert str(found) == "3.00 ms ±33 %"


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"rounds": 1, "turn": 0}])
def test_bad_counts(timing, settings):
    with pytest.raises(ValueError, match="give at least 1 of each"):
        timing.interleaved({}, **settings)


def test_what_candidates_give_is_kept_in_order(timing):
    given = iter(range(6))
    found = timing.in_turns({"a": lambda: next(given), "b": lambda: next(given)}, 3)
    assert found == {"a": [1, 2, 5], "b": [0, 3, 4]}

"""When what is measured: the share of wall time is kept, intervals stretch."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping

REMEMBERED = 3  # costs, of which the median is expected next
SAVING = 0.5  # of its share is for each while another waits for its first time
PATIENCE = 6  # doublings of the interval of what fails again and again


class Account:
    """What one measure has spent, and when it was last taken.

    Attributes
    ----------
    share : float
        Its share of the budget.
    every : int
        The least number of steps from one time to the next.
    first : int
        The first step at which it can be taken.
    spent : float
        The seconds it took so far, but for the first time.
    times : int
        How often it was taken.
    """

    def __init__(
        self,
        share: float,
        every: int,
        first: int,
        expected: float,
        later: float | None = None,
    ) -> None:
        self.share, self.every, self.first, self.spent = share, every, first, 0.0
        self._expected, self._later, self.times = expected, later, 0
        self._costs = deque[float](maxlen=REMEMBERED)
        self._last: int | None = None
        self._failures = 0

    @property
    def expected(self) -> float:
        """The seconds that it is expected to take next."""
        if self._costs:
            return statistics.median(self._costs)
        return self._later if self.times and self._later else self._expected

    def waits(self, step: int) -> bool:
        """Return whether its interval is not over yet."""
        if self._last is None:
            return step < self.first
        return step - self._last < self.every << self._failures

    def taken(self, step: int) -> None:
        """Note that it is taken at a step."""
        self._last = step

    def charge(self, seconds: float, *, failed: bool) -> None:
        """Note what it took; what fails is taken less and less often."""
        self.times += 1
        if self.times > 1:
            self.spent += seconds
        if self.times > 1 or not self._later:  # the first time tells of no other
            self._costs.append(seconds)
        self._failures = min(self._failures + 1, PATIENCE) if failed else 0


class Schedule:
    """The accounts of all measures, which share one budget of wall time.

    A measure is due when what it has spent, with what it is expected to take, is within
    its share of the time that will have passed then. What was expected wrongly is so
    made up for by waiting, and what the monitor takes besides is taken off beforehand.
    The first time of each, which may be far dearer, is paid by all, who save for it: it
    is due as soon as the whole budget has room.

    Parameters
    ----------
    accounts
        The account of each measure, by name.
    budget
        The share of wall time, from 0 to 1; None keeps intervals alone.
    clock
        The function that returns the time in seconds.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        budget: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._accounts, self._budget, self._clock = dict(accounts), budget, clock
        self._whole = math.fsum(each.share for each in self._accounts.values())
        self._began: float | None = None
        self.overhead = 0.0

    def start(self) -> None:
        """Begin to count time, at the first step."""
        if self._began is None:
            self._began = self._clock()

    @property
    def elapsed(self) -> float:
        """The seconds since the first step."""
        return 0.0 if self._began is None else self._clock() - self._began

    @property
    def spent(self) -> float:
        """The seconds that the monitor took since then."""
        return self.overhead + math.fsum(x.spent for x in self._accounts.values())

    def due(self, step: int) -> list[str]:
        """Return the names of what is due at a step; they count as taken at it."""
        elapsed = self.elapsed
        found: list[str] = []
        planned = 0.0
        for name, account in self._accounts.items():
            if account.waits(step) or not self._affords(account, elapsed, planned):
                continue
            account.taken(step)
            found.append(name)
            planned += account.expected
        return found

    def charge(self, name: str, seconds: float, *, failed: bool = False) -> None:
        """Note what a measure took."""
        account = self._accounts[name]
        account.charge(seconds, failed=failed)
        if account.times == 1:
            self.overhead += seconds

    def _affords(self, account: Account, elapsed: float, planned: float) -> bool:
        if self._budget is None:
            return True
        whole = self._budget * (elapsed + account.expected) - self.overhead
        if not account.times:
            spent = self.spent - self.overhead + planned
            return spent + account.expected <= whole
        share = account.share / self._whole
        if any(not each.times for each in self._accounts.values()):
            share *= SAVING
        return account.spent + account.expected <= share * whole

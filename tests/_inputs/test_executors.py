"""Executors that lose calls, that are no executors, and that cannot count workers."""

import multiprocessing
import pickle
import time
import traceback
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import pytest

from sharpkit import SharpkitWarning
from sharpkit._inputs import executors
from sharpkit._inputs.executors import Sent, checked_executor, opened


class KilledWorkerError(Exception):
    """As Dask raises it."""


class Losing(Executor):
    """Loses the first calls: each is told of as lost, whether it was done or not."""

    def __init__(self, losses, error=None):
        self.losses, self.error = losses, error or KilledWorkerError("gone")
        self.calls = []

    def submit(self, function, /, *arguments):
        future = Future()
        self.calls.append(arguments)
        if len(self.calls) <= self.losses:
            future.set_exception(self.error)
        else:
            future.set_result(function(*arguments))
        return future


class Job:
    """What submitit's executors give: no future, done after it was asked twice."""

    def __init__(self, call):
        self.call, self.asked = call, 0

    def done(self):
        self.asked += 1
        return self.asked > 2

    def result(self):
        return self.call()


class Cluster:
    def submit(self, function, *arguments):
        return Job(lambda: function(*arguments))


class TwoError(Exception):
    """Can be pickled, and not read again."""

    def __init__(self, one, two):
        super().__init__(one)


def raises(error):
    raise error


def all_of(sent):
    found = []
    while sent:
        found += sent.arrived()
    return found


def test_what_is_lost_is_sent_again():
    sent = Sent(executor := Losing(2))
    sent.send("a", pow, 2, 5)
    with pytest.warns(SharpkitWarning, match=r"worker was lost \(KilledWorkerError"):
        assert all_of(sent) == [("a", 32)]
    # Dask takes equal calls for one, whose loss it would tell at once.
    assert len({arguments[0] for arguments in executor.calls}) == 3


def test_what_is_always_lost_is_given_up():
    sent = Sent(executor := Losing(99))
    sent.send("a", pow, 2, 5)
    with pytest.warns(SharpkitWarning, match="done again"):
        [(name, raised)] = all_of(sent)
    assert (name, len(executor.calls)) == ("a", executors.TRIES)
    with pytest.raises(RuntimeError, match=r"its worker 3 times, .* Killed.*: gone"):
        raised.again()


def test_an_error_of_the_call_is_no_loss():
    sent = Sent(executor := Losing(0))
    sent.send("a", raises, KeyError("mine"))
    [(_, raised)] = all_of(sent)
    assert len(executor.calls) == 1
    with pytest.raises(KeyError, match="mine"):
        raised.again()


def test_a_broken_executor_ends_it():
    sent = Sent(Losing(1, BrokenExecutor("dead")))
    sent.send("a", pow, 2, 5)
    with pytest.raises(BrokenExecutor, match="dead"):
        sent.arrived()


def test_jobs_that_are_no_futures_are_asked(monkeypatch):
    monkeypatch.setattr(executors, "_POLL_SECONDS", 0.01)
    sent = Sent(Cluster())
    for name in range(3):
        sent.send(name, pow, 2, name)
    assert all_of(sent) == [(0, 1), (1, 2), (2, 4)]


def test_errors_come_back_from_processes_whatever_they_are():
    for error in (ValueError("a"), TwoError(1, 2)):
        sent = Sent(Losing(0))
        sent.send("a", raises, error)
        [(_, raised)] = all_of(sent)
        assert raised.error is error
        there = pickle.loads(pickle.dumps(raised))
        # Dask brings tblib, which pickles any error, with its traceback.
        with pytest.raises((type(error), RuntimeError), match=r"^a$|1") as caught:
            there.again()
        assert "in raises" in "".join(traceback.format_exception(caught.value))


def test_the_workers_are_counted_where_an_executor_tells():
    class Client:
        def nthreads(self):
            return {"here": 1, "there": 1}

    class OfDask(Executor):
        _client = Client()

    class OfMPI(Executor):
        num_workers = 5

    with ThreadPoolExecutor(3) as threads:
        for executor, count in (
            (threads, 3),
            (OfDask(), 2),
            (OfMPI(), 5),
            (Cluster(), 0),
        ):
            with opened(checked_executor(executor), {}) as (pool, workers):
                assert (pool, workers) == (executor, count)


def test_a_client_of_dask_gives_its_executor():
    class Client(Cluster):
        def get_executor(self):
            return "its executor"

    assert checked_executor(Client()) == "its executor"
    assert checked_executor(4) == 4
    assert checked_executor(None) is None
    with pytest.raises(TypeError, match="executor is of type str"):
        checked_executor("four")


@pytest.mark.process
def test_processes_of_others_are_left_alone():
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    ended = opened(1, {})
    pool, _ = ended.__enter__()
    pool.submit(pow, 2, 3).result()
    [ours] = pool._processes.values()
    assert not ended.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    ours.join(30)
    assert ours.exitcode is not None
    assert other.is_alive()
    other.kill()
    other.join()

import subprocess
import sys
import threading

import pytest

from sharpkit._vectors import parallel


@pytest.fixture(autouse=True)
def _restore():
    yield
    parallel._threads, parallel._pool = None, None


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("chunks", [0, 1, 2, 5, 64])
def test_ranges_cover_all_chunks_once(threads, chunks):
    parallel.set_num_threads(threads)
    ranges = []
    parallel.run(lambda first, last: ranges.append((first, last)), chunks)
    covered = sorted(i for first, last in ranges for i in range(first, last))
    assert covered == list(range(chunks))
    assert len(ranges) == max(1, min(threads, chunks))


def test_ranges_run_at_the_same_time():
    parallel.set_num_threads(3)
    barrier = threading.Barrier(3, timeout=10)
    parallel.run(lambda first, last: barrier.wait(), 3)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_exceptions_come_through(bad):
    parallel.set_num_threads(3)

    def task(first, last):
        if first == bad:
            raise ZeroDivisionError(first)

    with pytest.raises(ZeroDivisionError, match=str(bad)):
        parallel.run(task, 3)
    parallel.run(lambda first, last: None, 3)


def test_two_callers_at_once():
    parallel.set_num_threads(2)
    done = []

    def caller():
        for _ in range(50):
            parallel.run(lambda first, last: done.append(last - first), 4)

    callers = [threading.Thread(target=caller) for _ in range(3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(timeout=30)
    assert sum(done) == 3 * 50 * 4


@pytest.mark.parametrize("bad", [0, -1, "many", "4", 1.5, None, [], {}, True, 10**400])
def test_bad_numbers(bad):
    match = r"threads=.*; give (one|a whole number) of at least 1"
    with pytest.raises((TypeError, ValueError), match=match):
        parallel.set_num_threads(bad)


def test_the_environment_names_a_number(monkeypatch):
    monkeypatch.setenv("SHARPKIT_NUM_THREADS", "3")
    assert parallel.get_num_threads() == 3
    parallel.set_num_threads(2)
    assert parallel.get_num_threads() == 2


def test_a_bad_environment_is_said(monkeypatch):
    monkeypatch.setenv("SHARPKIT_NUM_THREADS", "zero")
    match = "SHARPKIT_NUM_THREADS='zero', in the environment; give a whole"
    with pytest.raises(ValueError, match=match):
        parallel.get_num_threads()


FORK = """
import os, signal, warnings
import numpy as np
from sharpkit._vectors import parallel
from sharpkit._vectors.kernels import cpu

parallel.set_num_threads(2)
a = np.ones((1, 1_000_000))
assert cpu.gram(a, a)[0, 0] == 1e6
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads
child = os.fork()
if child == 0:
    signal.alarm(30)  # a dead pool would wait for ever
    right = cpu.gram(a, a)[0, 0] == 1e6
    os._exit(0 if right else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert cpu.gram(a, a)[0, 0] == 1e6
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(parallel.os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_its_own_threads():
    # -P: the installed package, not the sources that tests may be started from
    subprocess.run([sys.executable, "-P", "-c", FORK], check=True, timeout=120)

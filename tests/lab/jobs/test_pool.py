"""Worker processes: order, failures, and what survives their death."""

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest
from tasks_here import work

from sharpkit.lab.experiments.common import large, sharpness, small
from sharpkit.lab.jobs import pool
from sharpkit.lab.jobs.pool import carry_out
from sharpkit.lab.jobs.task import with_needs
from sharpkit.lab.store import Store, StoreError

KILLS = 10
MANY, FEW = 2000, 40  # seeds: more than there is time for, and to the end


def boxes(study, seeds=(1000,)):
    return [
        sharpness(study, make(study, seed)) for seed in seeds for make in (small, large)
    ]


def test_needs_are_carried_out_first_and_once(tiny, tmp_path):
    advanced = []
    tasks = boxes(tiny)
    failures = carry_out(tasks, tmp_path, executor=2, advance=advanced.append)
    assert failures == []
    everything = with_needs(tasks)
    assert {task.key for task in advanced} == {task.key for task in everything}
    order = [task.key for task in advanced]
    for task in everything:
        assert all(order.index(n.key) < order.index(task.key) for n in task.needs)
    with Store(tmp_path) as store:
        assert len(store.runs()) == len(everything) == 4


def test_what_is_stored_is_not_done_again(tiny, tmp_path, monkeypatch):
    task = small(tiny, 1000)
    work(task, tmp_path)
    monkeypatch.setattr(pool, "opened", None)  # would be called
    advanced = []
    assert carry_out([task], tmp_path, executor=1, advance=advanced.append) == []
    assert [each.key for each in advanced] == [task.key]


def test_the_bits_do_not_depend_on_the_workers(tiny, tmp_path):
    task = sharpness(tiny, small(tiny, 1000))
    carry_out([task], tmp_path / "there", executor=2)
    for each in with_needs([task]):
        work(each, tmp_path / "here")
    with Store(tmp_path / "there") as there, Store(tmp_path / "here") as here:
        ours, theirs = (
            store.get(task.key).metrics["sharpness"][0]["value"]
            for store in (here, there)
        )
        assert ours == theirs


def test_a_task_that_fails_leaves_the_others(tiny, other, tmp_path):
    bad, good = boxes(other), boxes(tiny)
    failures = carry_out([*bad, *good], tmp_path, executor=1)
    # What needs a failed run is left out, not reported as well.
    assert [failure.task.kind for failure in failures] == ["train", "train"]
    assert all("FloatingPointError" in failure.reason for failure in failures)
    with Store(tmp_path) as store:
        assert all(task.key in store for task in with_needs(good))
        assert not any(task.key in store for task in with_needs(bad))


def test_a_killed_worker_is_told_and_what_is_finished_kept(tiny, tmp_path):
    tasks = boxes(tiny, range(1000, 1040))

    def kill(task):
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(StoreError, match="a worker process was killed"):
        carry_out(tasks, tmp_path, executor=1, advance=kill)
    with Store(tmp_path) as store:
        assert 1 <= len(store.runs()) < len(with_needs(tasks))
        for run in store.runs():
            store.arrays(run.key)


CODE = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from sharpkit.lab.data.source import Source
from sharpkit.lab.experiments.common import sharpness, small
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.jobs.pool import carry_out

if __name__ == "__main__":
    tiny = {tiny!r}
    tasks = [sharpness(tiny, small(tiny, seed)) for seed in range(int(sys.argv[1]))]
    failures = carry_out(tasks, Path({folder!r}), executor=2)
    assert not failures, failures
"""


@pytest.mark.slow
def test_kill_9_at_ten_moments_loses_the_run_in_progress_at_most(tiny, tmp_path):
    """The parent dies; the same command goes on; nothing finished is lost."""
    chosen = replace(tiny, seeds=())
    script, folder = tmp_path / "go.py", tmp_path / "store"
    text = CODE.format(path=sys.path, tiny=chosen, folder=str(folder))
    script.write_text(text)
    moments = random.Random(0)
    kept = {}
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, script, str(MANY)],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        while _count(folder) <= len(kept):  # it has begun to work
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5 * moments.random())
        process.kill()
        process.wait()
        now = _stored(folder)
        assert kept.items() < now.items()
        kept = now
    _wait_for_orphans(folder)
    subprocess.run([sys.executable, script, str(FEW)], check=True, timeout=120)
    finished = _stored(folder)
    assert kept.items() <= finished.items()
    assert len(finished) >= 2 * FEW


def _count(folder):
    if not (folder / "runs.sqlite").exists():
        return 0
    with Store(folder) as store:
        return len(store.runs())


def _stored(folder):
    """Every run's metrics, after looking at the whole of database and weights."""
    if not (folder / "runs.sqlite").exists():
        return {}
    with closing(sqlite3.connect(folder / "runs.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Store(folder) as store:
        for run in store.runs():
            store.arrays(run.key)
        return {run.key: repr(run.metrics) for run in store.runs()}


def _wait_for_orphans(folder):
    """Workers end within a second or so of their parent's death."""
    time.sleep(2.5)
    before = _stored(folder)
    time.sleep(1)
    assert _stored(folder) == before

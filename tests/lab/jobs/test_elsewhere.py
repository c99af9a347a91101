"""Tasks on executors of every kind: the same results as here, each stored once."""

import multiprocessing
import os
import re
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from tasks_here import work

import sharpkit
from sharpkit.lab import reproduce
from sharpkit.lab.experiments import study as studies
from sharpkit.lab.experiments.common import sharpness, small
from sharpkit.lab.jobs import pool as jobs
from sharpkit.lab.jobs.pool import carry_out
from sharpkit.lab.jobs.task import with_needs
from sharpkit.lab.store import Store, StoreError

pytestmark = pytest.mark.process


def boxes(study, count):
    return [sharpness(study, small(study, seed)) for seed in range(count)]


def here(tasks, folder):
    for task in with_needs(tasks):
        work(task, folder)
    return folder


def found(folder):
    """Everything but the times, of runs that are there once."""
    with Store(folder) as store:
        runs = store.runs()
        assert len({run.key for run in runs}) == len(runs)
        return {
            run.key: (
                re.sub(r"seconds\': [0-9.e-]+", "", repr(run.metrics)),
                {name: each.tobytes() for name, each in store.arrays(run.key).items()},
                run.config,
            )
            for run in runs
        }


def test_threads_take_turns_and_give_the_same(tiny, tmp_path, monkeypatch):
    tasks, before = boxes(tiny, 3), sharpkit.get_num_threads()
    expected = found(here(tasks, tmp_path / "here"))
    train, alone = jobs.KINDS["train"], threading.Lock()

    def watched(task, needs):
        assert alone.acquire(blocking=False)
        try:
            time.sleep(0.05)
            return train(task, needs)
        finally:
            alone.release()

    monkeypatch.setitem(jobs.KINDS, "train", watched)
    with ThreadPoolExecutor(3) as pool:
        assert carry_out(tasks, tmp_path / "there", executor=pool) == []
    assert found(tmp_path / "there") == expected
    assert len(expected) == 6
    assert sharpkit.get_num_threads() == before


def test_a_pool_of_processes_of_the_user(tiny, tmp_path):
    tasks = boxes(tiny, 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert carry_out(tasks, tmp_path / "there", executor=pool) == []
        os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
        with pytest.raises(StoreError, match="a worker process was killed"):
            carry_out(boxes(tiny, 2), tmp_path / "there", executor=pool)
    assert found(tmp_path / "there") == found(here(tasks, tmp_path / "here"))


def test_only_the_coordinator_opens_the_store(tiny, tmp_path, monkeypatch):
    opened = []

    class Noted(Store):
        def __init__(self, *arguments, **options):
            opened.append(threading.current_thread())
            super().__init__(*arguments, **options)

    monkeypatch.setattr(jobs, "Store", Noted)
    with ThreadPoolExecutor(1) as pool:
        assert carry_out(boxes(tiny, 1), tmp_path, executor=pool) == []
    assert opened == [threading.current_thread()]


def test_what_is_sent_is_bounded_by_the_workers(tiny, tmp_path):
    held = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function, /, *arguments):
            future = super().submit(function, *arguments)
            held.append(future)
            assert sum(not each.done() for each in held) <= 2
            return future

    with Counting(1) as pool:
        carry_out(boxes(tiny, 4), tmp_path, executor=pool)
    assert len(held) == 8


def test_what_another_process_stored_meanwhile_is_not_done(tiny, tmp_path):
    tasks = boxes(tiny, 2)
    everything, advanced = with_needs(tasks), []

    def meanwhile(task):
        if not advanced:
            here(tasks, tmp_path)
        advanced.append(task.key)

    with ThreadPoolExecutor(1) as pool:
        assert carry_out(tasks, tmp_path, executor=pool, advance=meanwhile) == []
    assert sorted(advanced) == sorted(task.key for task in everything)
    assert len(found(tmp_path)) == 4


def test_experiments_are_reproduced_on_an_executor(tmp_path, monkeypatch):
    sizes = (60, 50, 10, 0.02, 10, 30, 1.0, 60, 1)
    monkeypatch.setitem(studies._SIZES, ("F1", "demo"), sizes)
    with ThreadPoolExecutor(1) as pool:
        [outcome] = reproduce(
            "distance", networks=["F1"], preset="demo", store=tmp_path, executor=pool
        )
    assert (outcome.experiment, outcome.trials, outcome.wanted) == ("distance", 1, 1)
    assert outcome.tables


def test_runs_that_fail_are_told(tmp_path, monkeypatch):
    sizes = (60, 50, 10, 0.02, 10, 30, 1.0, 60, 1)
    monkeypatch.setitem(studies._SIZES, ("F1", "demo"), sizes)
    monkeypatch.setitem(jobs.KINDS, "train", lambda task, needs: 1 / 0)
    options = {"networks": ["F1"], "preset": "demo", "store": tmp_path}
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.warns(sharpkit.SharpkitWarning, match="train .* failed: ZeroDivision"),
    ):
        [outcome] = reproduce("distance", executor=pool, **options)
    assert outcome.trials == 0


@pytest.mark.slow
def test_submitit_gives_the_same(tiny, tmp_path):
    submitit = pytest.importorskip("submitit")
    tasks = boxes(tiny, 1)
    executor = submitit.AutoExecutor(folder=tmp_path / "log", cluster="local")
    executor.update_parameters(timeout_min=5)
    assert carry_out(tasks, tmp_path / "there", executor=executor) == []
    assert found(tmp_path / "there") == found(here(tasks, tmp_path / "here"))


@pytest.mark.slow
@pytest.mark.parametrize("failures", [0, 3])
def test_dask_with_a_worker_killed_in_mid_run(tiny, tmp_path, failures):
    """Dask tells of the loss at once (0), or does it again by itself (3)."""
    distributed = pytest.importorskip("distributed")
    tasks, killed = boxes(tiny, 6), []
    told = pytest.warns(sharpkit.SharpkitWarning, match="a worker was lost .Killed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"allowed_failures": failures},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def kill(task):
            busy = [name for name, keys in client.processing().items() if keys]
            if busy and len(killed) < 2:
                killed.extend(client.run(os.getpid, workers=busy[:1]).values())
                os.kill(killed[-1], signal.SIGKILL)

        with told if failures == 0 else nullcontext():
            there = tmp_path / "there"
            assert carry_out(tasks, there, executor=client, advance=kill) == []
        plane = sharpkit.landscape.plane
        problem = sharpkit.Problem(np.arange(1.0, 9.0), np.linalg.norm)
        found_there = plane(problem, points=5, executor=client).values["loss"]
    assert killed
    found_here = plane(problem, points=5).values["loss"]
    np.testing.assert_array_equal(found_there, found_here)
    expected = found(here(tasks, tmp_path / "here"))
    assert found(there) == expected
    assert len(expected) == 12

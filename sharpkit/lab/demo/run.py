"""Run the trials of one or more settings side by side, and keep what is finished."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import queue
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import sharpkit
from sharpkit.lab.demo.figures import draw_densities, draw_paths
from sharpkit.lab.demo.gap import STEPS, run_trial
from sharpkit.lab.demo.settings import Setting
from sharpkit.lab.training.devices import array_library

Record = dict[str, Any]

RESULTS, FIGURE, DENSITY = "results.json", "parametric.png", "density.png"
_POLL_SECONDS = 0.2


@dataclass
class Results:
    """Finished trials by setting, and where they are kept."""

    folder: Path
    settings: list[Setting]
    seeds: list[int]
    trials: dict[str, list[Record]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every trial of every setting has finished."""
        return all(
            len(self.trials.get(setting.name, ())) == len(self.seeds)
            for setting in self.settings
        )

    def add(self, trial: Record) -> None:
        """Keep a finished trial, and write everything to disk at once."""
        kept = self.trials.setdefault(trial["setting"], [])
        kept.append(trial)
        kept.sort(key=lambda each: each["seed"])
        self.save()

    def save(self) -> None:
        """Write ``results.json`` so that a crash leaves the old or the new file."""
        record = {
            "sharpkit": sharpkit.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "complete": self.complete,
            "seeds": self.seeds,
            "settings": [asdict(setting) for setting in self.settings],
            "trials": self.trials,
        }
        part = self.folder / f".{RESULTS}.part"
        part.write_text(json.dumps(record, indent=1, allow_nan=False))
        os.replace(part, self.folder / RESULTS)

    def draw(self) -> list[Path]:
        """Draw what the first trial of a setting has for it; return the files."""
        firsts = {
            setting.name: trial
            for setting in self.settings
            for trial in self.trials.get(setting.name, ())
            if "path" in trial
        }
        if not firsts:
            return []
        path, density = self.folder / FIGURE, self.folder / DENSITY
        draw_paths({name: trial["path"] for name, trial in firsts.items()}, path)
        draw_densities(
            {
                name: {
                    batch: trial["minimisers"][batch]["curvature"]["density"]
                    for batch in ("SB", "LB")
                }
                for name, trial in firsts.items()
            },
            density,
        )
        return [path, density]


def reproduce(
    settings: list[Setting],
    seeds: list[int],
    folder: Path,
    *,
    workers: int,
    advance: Callable[[str, int], None],
) -> Results:
    """Run every trial of every setting in worker processes of one thread each.

    Parameters
    ----------
    folder
        Created if needed; ``results.json`` is written after each finished trial.
    advance
        ``advance(setting name, steps)`` as work proceeds; a trial has `STEPS` steps.

    Raises
    ------
    DeviceError
        If the device of a setting cannot be used; nothing has been done then.

    Returns
    -------
    Results
        The finished trials. On KeyboardInterrupt the workers are stopped and what is
        finished is returned: `Results.complete` tells.
    """
    for setting in settings:
        array_library(setting.device)
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder, settings, seeds)
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=(messages,)
    )
    futures: set[Future[Record]] = set()
    try:
        for index, seed in enumerate(seeds):  # all settings early: a picture of each
            for setting in settings:
                futures.add(pool.submit(_work, setting, seed, index == 0))
        while futures:
            done, futures = wait(
                futures, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED
            )
            _pass_on(messages, advance)
            for future in done:
                results.add(future.result())
        pool.shutdown()
        _pass_on(messages, advance)  # what was still on its way
    except BaseException as stopped:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        if not isinstance(stopped, KeyboardInterrupt):
            raise
    return results


def warm_up(setting: Setting) -> None:
    """Compile the kernels once, before several processes would do it at a time."""
    small = replace(setting, train=40, test=20, small=10, large=20, max_epochs=1)
    run_trial(replace(small, width=16), seed=0, with_path=True)


_messages: Any = None


def _begin_worker(messages: Any) -> None:
    global _messages
    _messages = messages
    # Ctrl-C reaches the whole process group; only the parent decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(setting: Setting, seed: int, with_path: bool) -> Record:
    def advance(what: str, steps: int) -> None:
        _messages.put((setting.name, steps))

    return run_trial(setting, seed, with_path=with_path, advance=advance)


def _pass_on(messages: Any, advance: Callable[[str, int], None]) -> None:
    while True:
        try:
            advance(*messages.get_nowait())
        except queue.Empty:
            return


def total_steps(seeds: list[int]) -> int:
    """Return the steps of progress of one setting."""
    return STEPS * len(seeds)

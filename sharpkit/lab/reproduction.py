"""Experiments asked for and carried out: what the commands and scripts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sharpkit._inputs.warn import warn
from sharpkit._vectors.parallel import available_cores
from sharpkit.lab.experiments import ask, choose, outcome, tasks
from sharpkit.lab.experiments.study import Study, study
from sharpkit.lab.jobs.pool import Failure, carry_out
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import Outcome
from sharpkit.lab.store import Store
from sharpkit.lab.training.devices import array_library

Asked = list[tuple[str, Study]]


def reproduce(
    names: str | Sequence[str],
    *,
    networks: Sequence[str] | None = None,
    data: str | None = None,
    store: str | Path = "sharpkit-store",
    executor: Any = None,
    **options: Any,
) -> list[Outcome]:
    """Run experiments of the paper on an executor, as ``sharpkit reproduce`` does.

    Every finished run is in the store at once, which this process alone writes; the
    same call goes on where it was stopped, and ``sharpkit report STORE`` makes a page.

    Parameters
    ----------
    names
        The experiments, such as ``"table3"`` or ``"ranking"``, or ``"all"``.
    networks
        The networks, such as ``["F1"]``. None stands for all that the paper has.
    data
        The data set. None takes the drawn one. Files of the originals (``folder=``)
        must be where every worker finds them.
    store
        The folder of the store.
    executor
        Where the runs are carried out: an executor as of `concurrent.futures`, such as
        Dask's ``client.get_executor()``, mpi4py's ``MPIPoolExecutor()`` or submitit's
        ``AutoExecutor``, with workers of one core each, or a number of processes. None
        takes a process for each core here, and a single one on a CUDA device. What a
        worker lost with its life is done again; only executors that break with a
        worker, as those of local processes do, end the call.
    **options
        What else `sharpkit.lab.experiments.study.study` takes, such as ``preset=``
        and ``trials=``.

    Returns
    -------
    list of Outcome
        What each experiment found, with its tables and claims.

    Raises
    ------
    ValueError
        If a name or an option is unknown, or they do not fit each other.
    StoreError
        If the store cannot be used, or a local process was killed.

    Warns
    -----
    SharpkitWarning
        If something was left out, a worker was lost, or a run failed.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    pairs, left = choose(wanted, networks, data)
    for reason in left:
        warn(f"left out: {reason}")
    asked = [(name, study(each, data=data, **options)) for name, each in pairs]
    folder = Path(store)
    begin(asked, folder)
    everything = [task for name, its in asked for task in tasks(name, its)]
    for failure in run(asked, everything, folder, executor):
        warn(f"{failure.task} failed: {failure.reason}")
    with Store(folder, create=False) as opened:
        return [outcome(name, its, opened) for name, its in asked]


def begin(asked: Asked, folder: Path) -> None:
    """Try devices and data, and note in the store what is asked for."""
    for device in {its.device for _, its in asked}:
        array_library(device)
    for source in {its.source for _, its in asked}:
        source.load()
    with Store(folder) as opened:
        for name, its in asked:
            ask(opened, name, its)


def run(
    asked: Asked,
    everything: list[Task],
    folder: Path,
    executor: Any,
    advance: Callable[[Task], None] = lambda task: None,
) -> list[Failure]:
    """Carry tasks out; without an executor in as many processes as serve them."""
    if executor is None:
        # Processes would take turns on a device, and each hold memory of its own.
        on_cpu = all(its.device == "cpu" for _, its in asked)
        executor = available_cores() if on_cpu else 1
    return carry_out(everything, folder, executor=executor, advance=advance)

"""A sink of monitors: each training that was watched is one run of a store."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit.lab.store.run import Run, to_json
from sharpkit.lab.store.store import Store
from sharpkit.lab.store.versions import versions
from sharpkit.monitor.rows import Row

COLUMNS = ("step", "value", "error", "threshold")


class StoreSink:
    """Leaves what a monitor records in a store, when the monitor is closed.

    The run is of the kind ``"monitor"``: its configuration is the head of the record,
    its metrics are the last values with errors and thresholds, its arrays the curves:
    ``lambda_max/step``, ``lambda_max/value``, ``lambda_max/error`` and
    ``lambda_max/threshold``, NaN where something is not known. A store holds finished
    runs alone: of a training that is killed only the file of the monitor is left.

    Parameters
    ----------
    folder
        The folder of the store, which is made where there is none.
    seed
        The seed of the training, by which runs are told apart.
    """

    kind = "monitor"

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self._folder, self._seed = folder, seed
        self._head: dict[str, Any] = {}
        self._rows: list[Row] = []

    def begin(self, head: Mapping[str, Any]) -> None:
        """Note the head, and try the store before the training begins.

        Raises
        ------
        StoreError
            If it cannot be used, or the settings cannot be stored.
        """
        self._head, self._rows = dict(head), []
        to_json(self._head, "head")  # says what cannot be stored
        Store(self._folder).close()

    def write(self, rows: Sequence[Row]) -> None:
        """Keep the rows."""
        self._rows += rows

    def end(self, end: Mapping[str, Any]) -> None:
        """Store the run."""
        last: dict[str, Row] = {}
        curves = {}
        for name in dict.fromkeys(row.name for row in self._rows):
            rows = [row for row in self._rows if row.name == name]
            last[name] = next((x for x in rows[::-1] if x.value is not None), rows[-1])
            for each in COLUMNS:
                values = [getattr(row, each) for row in rows]
                curves[f"{name}/{each}"] = np.array(values, dtype=np.float64)
        metrics = {
            **{name: row.value for name, row in last.items()},
            "errors": {name: row.error for name, row in last.items()},
            "thresholds": {name: row.threshold for name, row in last.items()},
            "steps": end["steps"],
            "spent": end["spent"],
        }
        run = Run(
            # Trainings of one configuration are runs of their own.
            key=uuid.uuid4().hex,
            kind=self.kind,
            config=self._head,
            seed=self._seed,
            metrics=metrics,
            versions=versions(),
            seconds=end["wall"],
        )
        with Store(self._folder) as store:
            store.put(run, curves)

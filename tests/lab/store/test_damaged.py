"""Damaged rows and links: refused by name, and never followed."""

import os
import re
import shutil
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from stored_runs import arrays_of, run_of

from sharpkit.lab.store import Store, StoreError


def filled(folder, runs=6):
    with Store(folder) as store:
        for seed in range(runs):
            store.put(run_of(seed), arrays_of(seed, 50))
        store.remember("table2-F1", {"trials": 2})
    return folder / "runs.sqlite"


def content(folder):
    with Store(folder, create=False) as store:
        return (
            store.runs(),
            store.requests(),
            [run.key in store for run in store.runs()],
        )


def test_bits_that_flip(tmp_path):
    file = filled(tmp_path / "store")
    good, known = file.read_bytes(), content(file.parent)
    random, refused = np.random.default_rng(0), 0
    for place in random.choice(8 * len(good), 400, replace=False).tolist():
        bad = bytearray(good)
        bad[place // 8] ^= 1 << (place % 8)
        file.write_bytes(bad)
        try:
            found = content(file.parent)
        except StoreError as error:
            assert str(file) in str(error)  # noqa: PT017
            refused += 1
        else:
            assert found == known
        for beside in file.parent.glob("runs.sqlite-*"):  # of a flipped mode
            beside.unlink()
    assert refused > 50


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ("runs SET metrics = replace(metrics, '0.125', '0.126')", 3),
        ("runs SET seed = 7", 3),
        ("runs SET weights = NULL", 3),
        ("runs SET seconds = 2.5", 3),
        ("runs SET config = x'00'", 3),
        ("requests SET request = '{\"trials\": 3}'", 1),
    ],
)
def test_a_row_that_was_changed_is_named(tmp_path, change, row):
    file = filled(tmp_path / "store")
    table = change.split()[0]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"UPDATE {change} WHERE position = {row}")
    match = (
        rf"{file}: row {row} of the table {table} is damaged: its checksum does not "
        rf"fit; .*, DELETE FROM {table} WHERE position = {row}, and run the same"
    )
    with Store(file.parent) as store:
        with pytest.raises(StoreError, match=match):
            store.runs() if table == "runs" else store.requests()
        if table == "runs":
            for ask in (store.get, store.arrays):
                with pytest.raises(StoreError, match=match):
                    ask(run_of(2).key)
            with pytest.raises(StoreError, match=match):
                store.copy_records(tmp_path / "copy")
            assert store.get(run_of(0).key).seed == 0
    assert not (tmp_path / "copy").exists()
    with closing(sqlite3.connect(file)) as database, database:  # the cure
        database.execute(f"DELETE FROM {table} WHERE position = {row}")
    assert len(content(file.parent)[0]) == (5 if table == "runs" else 6)


@pytest.fixture
def elsewhere(tmp_path):
    """A folder of others that is the same afterwards."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("a.npz", "b.npz"):
        (folder / name).write_text("of others")
        os.utime(folder / name, (0, 0))
    yield folder
    assert sorted(path.name for path in folder.iterdir()) == ["a.npz", "b.npz"]
    assert {path.read_text() for path in folder.iterdir()} == {"of others"}


def test_links_are_not_followed(tmp_path, elsewhere):
    file = filled(tmp_path / "store")
    weights = file.parent / "weights"
    with Store(file.parent) as store:
        (weights / "z.npz").symlink_to(elsewhere / "a.npz")
        assert store.prune() == 0
        (weights / f"{run_of(7).key}.npz").symlink_to(elsewhere / "a.npz")
        part = weights / f".{run_of(8).key}.{os.getpid()}.part.npz"
        part.symlink_to(elsewhere / "a.npz")
        for seed in (7, 8):
            store.put(run_of(seed), arrays_of(seed, 50))
            np.testing.assert_equal(store.arrays(run_of(seed).key), arrays_of(seed, 50))
        shutil.rmtree(weights)
        weights.symlink_to(elsewhere)
        match = re.escape(f"{weights} is a link, which is not followed; put what it")
        for write in (
            store.prune,
            lambda: store.put(run_of(9), arrays_of(9)),
            lambda: store.remember("a", {}),
        ):
            with pytest.raises(StoreError, match=match):
                write()


def test_a_store_is_made_through_no_link(tmp_path, elsewhere):
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "runs.sqlite").symlink_to(elsewhere / "new")
    with pytest.raises(StoreError, match=r"runs\.sqlite is a link, which is not"):
        Store(folder)
    file = filled(tmp_path / "other")
    with Store(file.parent) as store, pytest.raises(StoreError, match="exists; give"):
        store.copy_records(folder)


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    assert len(content(filled(tmp_path / "store").parent)[0]) == 6


def test_brackets_in_a_path(tmp_path):
    folder = tmp_path / "[a-z] store [1]"
    assert len(content(filled(folder).parent)[0]) == 6
    old = folder / "weights" / "left.npz"
    old.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    with Store(folder) as store:
        assert store.prune() == 1

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from stored_runs import arrays_of, assert_whole, finish, run_of, start

from sharpkit.lab.store import Store, StoreError

# Root writes everywhere but for its capabilities, of which this gives up all.
READ_ONLY = """
import ctypes, os, sys
from stored_runs import arrays_of, assert_whole, run_of
from sharpkit.lab.store import Store, StoreError

folder = sys.argv[1]
with Store(f"{folder}/store") as store:
    store.put(run_of(0), arrays_of(0))
for path in (folder, f"{folder}/store/weights", f"{folder}/store"):
    os.chmod(path, 0o555)
if os.geteuid() == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
assert assert_whole(f"{folder}/store") == {0}
with Store(f"{folder}/store") as store:
    store.put(run_of(0), arrays_of(0))
    for refused in (
        lambda: store.put(run_of(1), arrays_of(1)),
        lambda: store.put(run_of(1)),
        lambda: store.remember("table2", {}),
        lambda: Store(f"{folder}/new"),
    ):
        try:
            refused()
        except StoreError as error:
            print(error)
assert assert_whole(f"{folder}/store") == {0}
for path in (f"{folder}/store", f"{folder}/store/weights", folder):
    os.chmod(path, 0o755)
"""


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "a folder?#%" / "store") as opened:
        yield opened


def test_a_table_has_a_dict_of_dotted_names_for_each_run(store):
    for seed in range(2):
        store.put(run_of(seed))
    table = store.table()
    assert [row["seed"] for row in table] == [0, 1]
    assert table[0]["config.network.name"] == "F1"
    assert store.table("none") == []


def test_a_run_comes_back_as_it_was_put(store):
    before = datetime.now(UTC)
    store.put(run_of(3), arrays_of(3))
    found = store.get(run_of(3).key)
    created = datetime.fromisoformat(found.created)
    assert timedelta(milliseconds=-1) <= created - before < timedelta(minutes=1)
    weights = f"weights/{found.key}.npz"
    assert (store.folder / weights).is_file()
    assert found == run_of(3, created=found.created, weights=weights)
    assert list(found.config) == list(run_of(3).config)
    assert_whole(store.folder, [3])


def test_a_run_without_arrays(store):
    store.put(run_of(0))
    assert store.get(run_of(0).key).weights is None
    assert store.arrays(run_of(0).key) == {}


def test_awkward_but_valid_entries(store):
    config = {"": None, "Größe.a": [True, 2**70, -0.0, 5e-324], "s": "'; DROP \ud800"}
    store.put(run_of(0, config=config, metrics={}))
    found = store.get(run_of(0).key).config
    assert found == config
    assert [type(entry) for entry in found["Größe.a"]] == [bool, int, float, float]


def test_what_is_not_there(store):
    assert "nothing" not in store
    assert None not in store
    for look in (store.get, store.arrays):
        with pytest.raises(KeyError, match="nothing"):
            look("nothing")
    assert (store.runs(), store.requests(), store.prune()) == ([], {}, 0)


def test_a_key_that_is_there_is_left_as_it_is(store):
    store.put(run_of(0), arrays_of(0))
    before = store.get(run_of(0).key)
    store.put(replace(run_of(0), seconds=9.0), arrays_of(1))
    assert store.get(run_of(0).key) == before
    assert_whole(store.folder, [0])
    assert len(list((store.folder / "weights").iterdir())) == 1


def test_runs_come_in_the_order_they_were_put(store):
    seeds = np.random.default_rng(0).permutation(30).tolist()
    for seed in seeds:
        store.put(run_of(seed, kind="path" if seed % 3 else "train"))
    assert [run.seed for run in store.runs()] == seeds
    thirds = [seed for seed in seeds if seed % 3 == 0]
    assert [run.seed for run in store.runs("train")] == thirds
    assert store.runs("other") == []


def test_the_last_request_counts_at_the_place_of_the_first(store):
    store.remember("table3", {"network": ["F1"]})
    store.remember("fig2", {"trials": 5})
    store.remember("table3", {"network": ["F1", "F2"]})
    assert list(store.requests().items()) == [
        ("table3", {"network": ["F1", "F2"]}),
        ("fig2", {"trials": 5}),
    ]
    with pytest.raises(StoreError, match=re.escape("request.a[1]=inf; give a finite")):
        store.remember("fig2", {"a": [0, float("inf")]})
    with pytest.raises(StoreError, match="name=''; give a printable str"):
        store.remember("", {})


def test_a_refused_run_leaves_nothing(store):
    bad = run_of(0, metrics={"train": {"loss": float("nan")}})
    with pytest.raises(StoreError, match=r"metrics\.train\.loss=nan; give a finite"):
        store.put(bad, arrays_of(0))
    with pytest.raises(StoreError, match=r"'w'.* holds Python objects"):
        store.put(run_of(0), {"w": np.array([None])})
    assert store.runs() == []
    assert [path.name for path in store.folder.iterdir()] == ["runs.sqlite"]


def test_a_damaged_file_is_detected(store):
    store.put(run_of(0), arrays_of(0))
    path = store.folder / store.get(run_of(0).key).weights
    good = path.read_bytes()
    for position in (0, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 1
        path.write_bytes(bad)
        with pytest.raises(StoreError, match=f"{path.name} is damaged: .*from a copy"):
            store.arrays(run_of(0).key)
    path.write_bytes(good[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        store.arrays(run_of(0).key)
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name}: No such file .*; restore it"):
        store.arrays(run_of(0).key)


def test_closed(store):
    store.close()
    store.close()
    with pytest.raises(StoreError, match=r"runs.sqlite: Cannot operate on a closed"):
        store.runs()


def test_none_where_none_is_to_be_made(tmp_path):
    with pytest.raises(StoreError, match=r"there holds no store \(no runs.sqlite\)"):
        Store(tmp_path / "there", create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs.sqlite").touch()
    with pytest.raises(StoreError, match="is no store of sharpkit; give another"):
        Store(tmp_path, create=False)
    assert (tmp_path / "runs.sqlite").stat().st_size == 0


@pytest.mark.parametrize("create", [True, False])
def test_files_that_are_no_store(tmp_path, create):
    (tmp_path / "runs.sqlite").write_bytes(b"something else altogether " * 100)
    with pytest.raises(
        StoreError, match=r"file is not a database .*give another folder"
    ):
        Store(tmp_path, create=create)
    (tmp_path / "runs.sqlite").unlink()
    with closing(sqlite3.connect(tmp_path / "runs.sqlite")) as database:
        database.execute("CREATE TABLE runs (key TEXT)")
    with pytest.raises(StoreError, match="is no store of sharpkit"):
        Store(tmp_path, create=create)


def test_another_layout(tmp_path):
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "runs.sqlite")) as database:
        database.execute("PRAGMA user_version = 1")
    with pytest.raises(
        StoreError, match=r"has layout 1, this sharpkit uses 2; open it"
    ):
        Store(tmp_path)


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: File exists; give a folder that can"):
        Store(tmp_path / "file")
    with pytest.raises(StoreError, match="file holds no store"):
        Store(tmp_path / "file", create=False)
    with Store(tmp_path) as store:
        (tmp_path / "weights").touch()
        with pytest.raises(StoreError, match="weights: File exists; give a folder"):
            store.put(run_of(0), arrays_of(0))
        assert store.runs() == []


def test_a_folder_that_cannot_be_written(tmp_path):
    lines = finish(start(READ_ONLY, tmp_path)).splitlines()
    starts = [
        rf"{tmp_path}/store/weights/\.{run_of(1).key}\.\S*\.npz: Permission denied",
        rf"{tmp_path}/store/runs.sqlite: attempt to write a readonly database \(.*\)",
        rf"{tmp_path}/store/runs.sqlite: attempt to write a readonly database \(.*\)",
        rf"{tmp_path}/new: Permission denied",
    ]
    assert len(lines) == len(starts)
    for line, begun in zip(lines, starts, strict=True):
        assert re.fullmatch(f"{begun}; give a folder that can be written, .*", line)


def test_another_process_holds_it_for_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("sharpkit.lab.store.store.PATIENCE", 0.05)
    with Store(tmp_path) as store, Store(tmp_path) as other:
        with other._writing():
            assert store.runs() == []  # it can be read meanwhile
            with pytest.raises(StoreError, match=r"database is locked .*; try again"):
                store.put(run_of(0), arrays_of(0))
        assert list((tmp_path / "weights").iterdir()) == []
        store.put(run_of(0), arrays_of(0))
    assert_whole(tmp_path, [0])


def test_pruning_leaves_what_is_not_its_own(store):
    store.put(run_of(0), arrays_of(0))
    (store.folder / "weights" / "notes.txt").touch()
    assert store.prune() == 0
    assert len(list((store.folder / "weights").iterdir())) == 2


def test_records_are_a_store_without_arrays(store, tmp_path):
    store.put(run_of(0), arrays_of(0))
    store.put(run_of(1), arrays_of(1))
    store.remember("table2-F1", {"trials": 2})
    store.copy_records(tmp_path / "copy")
    with Store(tmp_path / "copy", create=False) as copy:
        assert copy.requests() == store.requests()
        for ours, theirs in zip(copy.runs(), store.runs(), strict=True):
            assert ours == replace(theirs, weights=None)
            assert copy.arrays(ours.key) == {}
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["runs.sqlite"]
    assert len(store.arrays(run_of(0).key)) == 2  # as they were
    with pytest.raises(StoreError, match="exists; give another folder"):
        store.copy_records(tmp_path / "copy")

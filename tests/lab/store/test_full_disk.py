import pytest
from stored_runs import arrays_of, assert_whole, finish, run_of, start

from sharpkit.lab.store import Store, StoreError

# The system refuses to let any file grow beyond a limit, as a full disk would.
LIMITED = """
import os, resource, sys
from stored_runs import arrays_of, assert_whole, run_of
from sharpkit.lab.store import Store, StoreError

def limit(size):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

def files():
    return sorted(os.listdir(f"{folder}/weights"))

folder, size = sys.argv[1], int(sys.argv[2])
with Store(folder) as store:
    store.put(run_of(0), arrays_of(0))
    before, seed = files(), 0
    limit(size)
    try:
        while seed < 10_000:
            seed += 1
            store.put(run_of(seed), arrays_of(seed))
    except StoreError as error:
        reason = str(error)
    assert run_of(seed).key not in store
    assert len(files()) == seed
    assert assert_whole(folder) == set(range(seed))
    limit(resource.RLIM_INFINITY)
    for again in range(seed, seed + 3):
        store.put(run_of(again), arrays_of(again))
assert assert_whole(folder) == set(range(seed + 3))
print(seed, reason, sep="\\n")
"""

KEPT = "make room on its disk and run the same command again; what was stored is kept"


def test_no_room_for_the_weights(tmp_path):
    seed, reason = finish(start(LIMITED, tmp_path, 50_000)).splitlines()
    assert seed == "1"
    weights = tmp_path / "weights" / f"{run_of(1).key}.npz"
    assert reason == f"{weights}: File too large; {KEPT}"


def test_no_room_for_the_database(tmp_path):
    seed, reason = finish(start(LIMITED, tmp_path, 90_000)).splitlines()
    assert int(seed) > 10
    database = tmp_path / "runs.sqlite"
    assert reason == f"{database}: disk I/O error (SQLITE_IOERR_WRITE); {KEPT}"


def test_the_database_is_full(tmp_path):
    with Store(tmp_path) as store:
        store.put(run_of(0), arrays_of(0))
        store._opened.execute("PRAGMA max_page_count = 10")
        writes = (store.put(run_of(n), arrays_of(n)) for n in range(1, 1000))
        with pytest.raises(StoreError, match="database or disk is full") as refusal:
            list(writes)
        seed = len(store.runs())
        full = "runs.sqlite: database or disk is full (SQLITE_FULL)"
        assert str(refusal.value).endswith(f"{full}; {KEPT}")
        assert assert_whole(tmp_path) == set(range(seed))
        assert len(list((tmp_path / "weights").iterdir())) == seed
        with pytest.raises(StoreError, match="database or disk is full"):
            store.remember("table2", {"text": "x" * 100_000})
        assert store.requests() == {}
        store._opened.execute("PRAGMA max_page_count = 10000")
        store.put(run_of(seed), arrays_of(seed))
    assert assert_whole(tmp_path) == set(range(seed + 1))

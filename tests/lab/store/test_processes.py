import os

import numpy as np
from stored_runs import assert_whole, finish, start

from sharpkit.lab.store import Store

# Own seeds, and the same ones as the other process, in the other order.
WRITES = """
import os, sys, time
from stored_runs import arrays_of, run_of
from sharpkit.lab.store import Store

folder, number, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shared = list(range(1000, 1000 + n))
print("ready", flush=True)
while not os.path.exists(f"{folder}/go"):
    time.sleep(0.001)
for step in range(n):
    with Store(f"{folder}/store") as store:
        store.remember(f"experiment {number}", {"step": step})
        for seed in (number * n + step, shared[step if number % 2 else -1 - step]):
            store.put(run_of(seed), arrays_of(seed))
"""

# Everyone's own arrays under one key.
RIVALS = """
import os, sys, time
import numpy as np
from stored_runs import run_of
from sharpkit.lab.store import Store

folder, number = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
while not os.path.exists(f"{folder}/go"):
    time.sleep(0.001)
with Store(f"{folder}/store") as store:
    for seed in range(30):
        run = run_of(seed, config={"by": number})
        store.put(run, {"by": np.full(1000, number)})
"""

FORKS = """
import os, sys
from stored_runs import run_of
from sharpkit.lab.store import Store, StoreError

with Store(sys.argv[1]) as store:
    child = os.fork()
    if child == 0:
        try:
            store.put(run_of(0))
        except StoreError as error:
            print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    store.put(run_of(1))
    print([run.seed for run in store.runs()])
"""


def together(folder, source, count, *arguments):
    """Run a script several times at once, from the same moment."""
    processes = [start(source, folder, number, *arguments) for number in range(count)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    (folder / "go").touch()
    for process in processes:
        finish(process)


def test_two_processes_make_and_fill_one_store(tmp_path):
    together(tmp_path, WRITES, 2, 20)
    own, shared = set(range(40)), set(range(1000, 1020))
    assert assert_whole(tmp_path / "store") == own | shared
    assert len(os.listdir(tmp_path / "store" / "weights")) == 60
    with Store(tmp_path / "store") as store:
        assert store.requests() == {f"experiment {n}": {"step": 19} for n in (0, 1)}


def test_of_two_results_for_one_key_a_whole_one_is_kept(tmp_path):
    together(tmp_path, RIVALS, 2)
    with Store(tmp_path / "store") as store:
        runs = store.runs()
        assert [run.seed for run in runs] == list(range(30))
        for run in runs:
            found = store.arrays(run.key)["by"]  # the checksum is that of its own file
            np.testing.assert_array_equal(found, np.full(1000, run.config["by"]))


def test_a_store_is_not_used_after_a_fork(tmp_path):
    refusal, seeds = finish(start(FORKS, tmp_path)).splitlines()
    assert "runs.sqlite was opened before a fork; open it in each process" in refusal
    assert seeds == "[1]"

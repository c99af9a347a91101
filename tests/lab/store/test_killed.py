import os
import time

from stored_runs import arrays_of, assert_whole, finish, run_of, start

from sharpkit.lab.store import Store

# The writer acknowledges each run after `put` has returned.
AT_RANDOM = """
import os, random, signal, sys, time
from stored_runs import arrays_of, assert_whole, run_of
from sharpkit.lab.store import Store

folder, kills = sys.argv[1], int(sys.argv[2])
moments = random.Random(0)
first = 0
for _ in range(kills):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with Store(folder) as store:
            for seed in range(first, first + 10_000):
                store.put(run_of(seed), arrays_of(seed))
                os.write(writer, seed.to_bytes(4, "big"))
    os.close(writer)
    os.read(reader, 4)
    time.sleep(moments.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    known = first
    while told := os.read(reader, 4):
        known = int.from_bytes(told, "big")
    os.close(reader)
    found = assert_whole(folder, range(known + 1))
    assert found <= set(range(known + 2))
    first = known + 1
print(first)
"""

# A child kills itself before each line of the store and its writer of files in turn.
AT_EVERY_LINE = """
import itertools, os, signal, sys
from pathlib import Path
import sharpkit._inputs.files
import sharpkit.lab.store.store
from stored_runs import arrays_of, run_of
from sharpkit.lab.store import Store

folder, again = sys.argv[1], int(sys.argv[2])
PACKAGE = str(Path(sharpkit.lab.store.store.__file__).parent)
TRACED = (PACKAGE, sharpkit._inputs.files.__file__)

def die_at(line):
    lines = itertools.count()
    def traced(frame, event, argument):
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        if event == "line" and next(lines) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return traced
    sys.settrace(traced)

for seed in itertools.count():
    child = os.fork()
    if child == 0:
        die_at(seed)
        with Store(folder) as store:
            store.put(run_of(seed), arrays_of(seed))
        sys.settrace(None)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    if seed % again == 0:
        with Store(folder) as store:
            store.put(run_of(seed), arrays_of(seed))
print(seed)
"""


def test_killed_at_random_moments(tmp_path):
    written = int(finish(start(AT_RANDOM, tmp_path, 12)))
    assert assert_whole(tmp_path) >= set(range(written))


def test_killed_before_every_line(tmp_path):
    lines = int(finish(start(AT_EVERY_LINE, tmp_path, 5)))
    found = assert_whole(tmp_path)
    # The last child ended well, and what the others lost can be put again.
    assert found >= {lines, *range(0, lines, 5)}
    assert len(found) < lines
    files = sorted(path.name for path in (tmp_path / "weights").iterdir())
    orphans = [name for name in files if name.removesuffix(".npz") not in keys(found)]
    parts = [name for name in orphans if name.startswith(".")]
    assert 0 < len(parts) < len(orphans)  # before their last name, and after
    with Store(tmp_path) as store:
        assert store.prune() == 0  # they might be another process's
        for name in files:
            os.utime(tmp_path / "weights" / name, (0, time.time() - 7200))
        assert store.prune() == len(orphans)
    assert assert_whole(tmp_path) == found
    assert len(list((tmp_path / "weights").iterdir())) == len(found)


def test_an_empty_file_of_one_killed_while_making_it(tmp_path):
    (tmp_path / "runs.sqlite").touch()
    with Store(tmp_path) as store:
        store.put(run_of(0), arrays_of(0))
    assert assert_whole(tmp_path) == {0}


def keys(seeds):
    return {run_of(seed).key for seed in seeds}

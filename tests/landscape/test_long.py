"""Long work: several processes, killed and resumed, and an end to the time."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sharpkit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import long_plane  # noqa: E402

SHAPE = (9, 11)


@pytest.fixture(scope="module")
def whole():
    return long_plane.taken(None).values["loss"]


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.process
def test_a_killed_plane_is_gone_on_with_to_the_bit(tmp_path, whole):
    path = tmp_path / "plane.jsonl"
    before = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, long_plane.__file__, path]) as process:
            while lines(path) < before + 15 and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        before = lines(path)
    found = long_plane.taken(path)
    assert found.complete
    assert found.calls <= 1 + np.prod(SHAPE) - (before - 2)
    np.testing.assert_array_equal(found.values["loss"], whole)
    again = long_plane.taken(path)
    assert again.calls == 1  # at the weights, to know that they are the same
    np.testing.assert_array_equal(again.values["loss"], whole)


def test_a_line_that_is_not_whole_is_taken_off(tmp_path, whole):
    path = tmp_path / "plane.jsonl"
    long_plane.taken(path)
    text = path.read_bytes()
    for end in (len(text) - 7, len(text) // 2, 40, 5, 0):
        path.write_bytes(text[:end])
        np.testing.assert_array_equal(long_plane.taken(path).values["loss"], whole)
        assert sorted(path.read_bytes().splitlines()) == sorted(text.splitlines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b'"key": "', b'"key": "0'), "is of other weights"),
        (lambda text: b"epoch,loss\n" + text, "is no record of a landscape"),
        (lambda text: text.replace(b"[[4, 5]", b"{[4, 5]"), "is damaged"),
        (lambda text: text.replace(b'[[], {"loss": ', b'[[], {"loss": 1'), "changed"),
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path, change, message):
    path = tmp_path / "plane.jsonl"
    long_plane.taken(path)
    path.write_bytes(changed := change(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        long_plane.taken(path)
    assert path.read_bytes() == changed


def test_another_seed_is_another_landscape(tmp_path):
    path = tmp_path / "line.jsonl"
    problem = sharpkit.Problem(np.ones(3), lambda w: float(w @ w))
    sharpkit.landscape.line(problem, checkpoint=path, points=3)
    for options in ({"seed": 1}, {"span": 2}, {"points": 4}):
        with pytest.raises(ValueError, match="is of other weights"):
            sharpkit.landscape.line(
                problem, checkpoint=path, **({"points": 3} | options)
            )


def test_numbers_that_are_none_are_read_back(tmp_path):
    path = tmp_path / "line.jsonl"

    def broken(w):
        return {-1.0: np.nan, 0.0: 0.1, 1.0: -np.inf}[float(w[0])]

    problem = sharpkit.Problem(np.zeros(1), broken)
    options = {"direction": np.ones(1), "points": 3, "checkpoint": path}
    for _ in range(2):
        found = sharpkit.landscape.line(problem, **options).values["loss"]
        np.testing.assert_array_equal(found, [np.nan, 0.1, -np.inf])
    assert json.loads(path.read_text().splitlines()[0])["shape"] == [3]


@pytest.mark.process
def test_processes_take_the_same(tmp_path, whole):
    found = long_plane.taken(tmp_path / "plane.jsonl", executor=2)
    np.testing.assert_array_equal(found.values["loss"], whole)
    assert found.calls == 1 + np.prod(SHAPE)
    assert found.callback_seconds > 0.002 * np.prod(SHAPE)


def test_threads_take_the_same(whole):
    with ThreadPoolExecutor(3) as pool:
        found = long_plane.taken(None, executor=pool)
    np.testing.assert_array_equal(found.values["loss"], whole)


def test_one_pool_takes_one_landscape_after_another():
    with ThreadPoolExecutor(1) as pool:
        for factor in range(1, 30):
            problem = sharpkit.Problem(np.ones(2), lambda w, f=factor: f * float(w @ w))
            found = sharpkit.landscape.line(
                problem, direction=np.ones(2), points=3, executor=pool
            )
            assert found.values["loss"].tolist() == [0, 2 * factor, 8 * factor]


def test_what_cannot_be_sent_is_told():
    problem = sharpkit.Problem(np.ones(3), lambda w: float(w @ w))
    with pytest.raises(TypeError, match="cannot be sent to other processes"):
        sharpkit.landscape.line(problem, executor=2)


class Slow:
    """A loss that ends the time, or is interrupted, at one of its calls."""

    weights = np.ones(4)

    def __init__(self, at, action):
        self.at, self.action, self.calls = at, action, 0

    def __call__(self, w):
        self.calls += 1
        if self.calls == self.at:
            self.action()
        return float(w @ w)


def test_coarse_points_are_there_when_the_time_is_over():
    slow = Slow(30, lambda: time.sleep(0.6))
    found = sharpkit.landscape.plane(slow, points=17, time_budget=0.5)
    assert not found.complete
    assert found.taken[::8, ::8].all()
    np.testing.assert_array_equal(np.isnan(found.values["loss"]), ~found.taken)
    assert "points taken" in repr(found)


def test_the_search_for_a_direction_counts_into_the_time():
    def gradient(w):
        time.sleep(0.05)
        return float(w @ w), 2 * w

    problem = sharpkit.Problem(np.ones(50), gradient)
    options = {"direction": "eigenvector", "points": 3, "time_budget": 0.2}
    with pytest.raises(ValueError, match="time_budget was over before the directions"):
        sharpkit.landscape.line(problem, **options)


def test_an_interrupt_leaves_what_was_taken():
    def stop():
        raise KeyboardInterrupt

    with pytest.warns(sharpkit.SharpkitWarning, match="interrupted"):
        found = sharpkit.landscape.plane(Slow(12, stop), points=9)
    assert found.taken.sum() == 10
    with pytest.raises(KeyboardInterrupt):
        sharpkit.landscape.plane(Slow(1, stop), points=9)


def test_progress_is_told():
    told = []
    sharpkit.landscape.plane(
        Slow(0, None), points=3, progress=lambda *each: told.append(each)
    )
    assert [each[:2] for each in told] == [(i, 9) for i in range(10)]

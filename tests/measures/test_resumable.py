"""Measures killed at any call of their callback end with the bits of those that ran."""

import dataclasses
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sharpkit
from sharpkit import LBFGSB, Subspace
from sharpkit._inputs import journal, kept
from sharpkit.measures import _resumable

SCRIPT = Path(__file__).parents[1] / "helpers" / "killed_measures.py"
N = 60
RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((90, N)).astype(np.float32)
WEIGHTS = (0.1 * RNG.standard_normal(N)).astype(np.float32)


FIRST_DEATH = 9  # calls: what is done at the weights is done again each time


class Killed(BaseException):
    """What no measure catches."""


class Loss:
    """A logistic loss with many basins, its product; it counts calls and can die."""

    def __init__(self, n=N, dtype=np.float32, die=None, gradient=True, product=False):
        self.x = FEATURES[:, :n].astype(dtype) if n <= N else self.wide(n, dtype)
        self.calls, self.die, self.gradient = 0, die, gradient
        if product:
            self.hvp = self.multiplied

    @staticmethod
    def wide(n, dtype):
        return np.random.default_rng(1).standard_normal((40, n)).astype(dtype)

    def count(self):
        self.calls += 1
        if self.calls == self.die:
            raise Killed

    def __call__(self, w):
        self.count()
        margins = self.x @ w
        loss = float(np.mean(np.sin(3 * margins) + np.log1p(margins**2)))
        if not self.gradient:
            return loss
        slope = 3 * np.cos(3 * margins) + 2 * margins / (1 + margins**2)
        return loss, (self.x.T @ slope / len(slope)).astype(w.dtype)

    def multiplied(self, w, v):
        self.count()
        m = self.x @ w
        curved = -9 * np.sin(3 * m) + (2 - 2 * m**2) / (1 + m**2) ** 2
        return (self.x.T @ (curved * (self.x @ v)) / len(m)).astype(v.dtype)


def values(result):
    """Return all of a result but the time that it took, in bits."""
    found = {}
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if field.name == "run":
            value = dataclasses.replace(value, seconds=0, callback_seconds=0)
        found[field.name] = (
            (value.dtype, value.tobytes()) if isinstance(value, np.ndarray) else value
        )
    return found


CASES = {
    "sharpness": ("sharpness", {"max_evaluations": 60}, {"n": 5000}),
    "sharpness of few": ("sharpness", {"max_evaluations": 60}, {}),
    "lean": ("sharpness", {"memory": "lean", "max_evaluations": 55}, {"n": 5000}),
    "flips": ("sharpness", {"max_evaluations": 55}, {"n": 300}),
    "repeats": ("sharpness", {"repeats": 2, "max_evaluations": 22}, {"n": 300}),
    "inside": (
        "sharpness",
        {"stay_inside": True, "max_evaluations": 55},
        {"n": 300},
    ),
    "subspace": ("sharpness", {"subspace": 5, "max_evaluations": 30}, {}),
    "wide subspace": (
        "sharpness",
        {"subspace": Subspace(150, memory=0), "max_evaluations": 55},
        {"n": 300},
    ),
    "no gradient": (
        "sharpness",
        {"max_evaluations": 6},
        {"n": 12, "gradient": False},
    ),
    "lbfgsb": ("sharpness", {"solver": LBFGSB(8, rescale=True)}, {}),
    "large lbfgsb": ("sharpness", {"solver": LBFGSB(8, rescale=True)}, {"n": 1500}),
    "eigenvalues": ("eigenvalues", {"k": 2, "ncv": 12}, {"product": True}),
    "by differences": ("eigenvalues", {"ncv": 8, "tol": 1e-2}, {"dtype": np.float64}),
    "density": ("spectral_density", {"max_products": 40}, {"product": True}),
    "short": (
        "spectral_density",
        {"max_products": 30, "probes": 2, "reorthogonalize": False},
        {"product": True},
    ),
    "xtrace": ("trace", {"max_products": 40, "rtol": 1e-3}, {"product": True}),
    "hutchpp": ("trace", {"method": "hutch++", "max_products": 40}, {"product": True}),
    "hutchinson": (
        "trace",
        {"method": "hutchinson", "max_products": 20},
        {"product": True},
    ),
    "few signs": (
        "trace",
        {"method": "hutchinson", "max_products": 9},
        {"n": 12, "product": True},
    ),
    "diagonal": ("diagonal", {"max_products": 20}, {"product": True}),
    "signs": (
        "diagonal",
        {"method": "hutchinson", "max_products": 20},
        {"product": True},
    ),
}


@pytest.fixture
def always(monkeypatch):
    """Save before every call."""
    monkeypatch.setattr(journal, "LEAST_SECONDS", 0)
    monkeypatch.setattr(journal, "SECONDS_PER_BYTE", 0)
    monkeypatch.setattr(journal, "SHARE", np.inf)


def weights(n=N, dtype=np.float32, **_):
    if n <= N:
        return WEIGHTS[:n].astype(dtype)
    return (0.1 * np.random.default_rng(2).standard_normal(n)).astype(dtype)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", CASES)
def test_a_measure_killed_again_and_again_ends_with_the_same_bits(case, tmp_path):
    name, options, about = CASES[case]
    measure, w = getattr(sharpkit, name), weights(**about)
    whole = Loss(**about)
    expected = values(measure(w, whole, progress=False, **options))
    file, deaths = tmp_path / "kept", 0
    while True:
        loss = Loss(**about, die=FIRST_DEATH + deaths)
        try:
            found = measure(w, loss, checkpoint=file, progress=False, **options)
        except Killed:
            deaths += 1
        else:
            break
    assert values(found) == expected
    assert deaths
    assert loss.calls < whole.calls  # it went on, and did not begin anew


def trace(file, w=WEIGHTS, loss=None, **options):
    given = {"max_products": 20, "progress": False} | options
    return sharpkit.trace(w, loss or Loss(product=True), checkpoint=file, **given)


def half(file, **options):
    """Leave a checkpoint of a measure that has not ended."""
    with pytest.raises(Killed):
        trace(file, loss=Loss(product=True, die=20), **options)
    assert file.exists()


def test_the_same_call_returns_the_finished_result_at_once(tmp_path):
    file, loss = tmp_path / "kept", Loss(product=True)
    first = trace(file, loss=loss)
    calls = loss.calls
    again = trace(file, loss=loss, progress=True)
    assert loss.calls == calls
    assert values(again) == values(first)
    assert again.seconds == first.seconds


DIFFERENT = {
    "seed": ({"seed": 1}, "seed 0, now 1"),
    "option": ({"max_products": 22}, "max_products 20, now 22"),
    "method": (
        {"method": "hutchinson", "rtol": 0.1},
        "method 'xtrace', now 'hutchinson'; rtol None, now 0.1",
    ),
    "weights": ({"w": WEIGHTS + 1}, "weights float32"),
    "dtype": ({"w": WEIGHTS.astype(float)}, "now float64"),
    "backend": ({"backend": "reference"}, "backend cpu, now reference"),
    "product": ({"hvp": Loss().multiplied}, "hvp none, now given"),
}


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("what", DIFFERENT)
def test_another_call_is_refused_and_told_what_differs(what, ended, tmp_path):
    file = tmp_path / "kept"
    (trace if ended else half)(file)
    before = file.read_bytes()
    options, text = DIFFERENT[what]
    with pytest.raises(ValueError, match="was saved with") as error:
        trace(file, **options)
    assert text in str(error.value)
    assert "or another path, or delete it to begin anew" in str(error.value)
    assert file.read_bytes() == before


@pytest.mark.usefixtures("always")
def test_another_measure_or_version_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "kept"
    half(file)
    with pytest.raises(ValueError, match="measure trace, now diagonal"):
        sharpkit.diagonal(WEIGHTS, Loss(product=True), checkpoint=file)
    monkeypatch.setattr(_resumable, "__version__", "999")
    with pytest.raises(ValueError, match="now 999"):
        trace(file)


@pytest.mark.usefixtures("always")
def test_another_loss_is_noticed(tmp_path):
    file = tmp_path / "kept"
    with pytest.raises(Killed):
        sharpkit.sharpness(WEIGHTS, Loss(die=12), checkpoint=file)
    other = Loss()
    other.x = other.x[:40]
    with pytest.raises(ValueError, match="give the same loss and data, or another"):
        sharpkit.sharpness(WEIGHTS, other, checkpoint=file)


@pytest.mark.usefixtures("always")
def test_damaged_files_are_refused(tmp_path):
    file = tmp_path / "kept"
    half(file)
    whole = file.read_bytes()
    places = [*np.random.default_rng(3).integers(0, len(whole), 20), 0, len(whole) - 1]
    for place in places:
        file.write_bytes(whole[:place])
        with pytest.raises(ValueError, match="is damaged, or no checkpoint"):
            trace(file)
    told = 0
    for place in places[:20]:
        bad = bytearray(whole)
        bad[place] ^= 255
        file.write_bytes(bad)
        try:
            trace(file)
        except ValueError as error:
            told += "is damaged" in str(error) or "was saved with" in str(error)
        file.unlink(missing_ok=True)
    assert told >= 15  # what a zip says twice may be wrong once


def test_a_file_can_call_nothing(tmp_path):
    file = tmp_path / "kept"
    trace(file)

    class Bad:
        def __reduce__(self):
            return (exec, ("raise SystemExit",))

    record = kept.read(file).record
    kept.write(file, record, ended=Bad())
    with pytest.raises(ValueError, match=r"exec is no part of a result"):
        trace(file)


def test_a_file_can_import_nothing(tmp_path, monkeypatch):
    file = tmp_path / "kept"
    trace(file)
    (tmp_path / "stranger.py").write_text("def called(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    called = importlib.import_module("stranger").called

    class Bad:
        def __reduce__(self):
            return (called, ())

    kept.write(file, kept.read(file).record, ended=Bad())
    monkeypatch.delitem(sys.modules, "stranger")
    with pytest.raises(ValueError, match=r"stranger.called is no part of a result"):
        trace(file)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        (1, TypeError, "checkpoint=1 is of type int; give a path"),
        (".", ValueError, "give a file in a folder that exists"),
        ("no/such/file", ValueError, "give a file in a folder that exists"),
        (os.devnull, ValueError, "give a file in a folder that exists"),
    ],
)
def test_paths_are_checked_before_anything_is_called(path, kind, text, tmp_path):
    loss = Loss()
    with pytest.raises(kind, match=text):
        sharpkit.sharpness(WEIGHTS, loss, checkpoint=path)
    assert not loss.calls


def test_what_cannot_go_on_says_so(tmp_path):
    with pytest.raises(ValueError, match="use solver='lbfgsb'"):
        sharpkit.sharpness(
            WEIGHTS, Loss(), solver="scipy", checkpoint=tmp_path / "kept"
        )
    problem = sharpkit.Problem(WEIGHTS, Loss())
    with pytest.raises(ValueError, match="give max_evaluations in place of time_bud"):
        sharpkit.profile(problem, time_budget=9, checkpoint=tmp_path / "kept")


def test_two_calls_cannot_have_one_file(tmp_path):
    file, said = tmp_path / "kept", []

    def meanwhile(w, v):
        if not said:
            with pytest.raises(ValueError, match="is in use by another call") as error:
                trace(file)
            said.append(error)
        return Loss().multiplied(w, v)

    sharpkit.trace(WEIGHTS, Loss(), hvp=meanwhile, checkpoint=file, max_products=9)
    assert said
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(ValueError, match="was saved with"):
        trace(file)


@pytest.mark.usefixtures("always")
def test_files_of_killed_savings_go(tmp_path):
    file = tmp_path / "kept.zip"
    left = tmp_path / ".kept.123.part.zip"
    left.touch()
    trace(file)
    assert list(tmp_path.iterdir()) == [file]


def test_a_short_measure_saves_its_result_only(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(kept, "write", lambda *args, **given: saved.append(given))
    trace(tmp_path / "kept")
    assert [each["ended"].method for each in saved] == ["xtrace"]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("own", [False, True])
def test_sigterm_saves_and_ends_the_work(own, tmp_path):
    file, heard = tmp_path / "kept", []
    before = signal.getsignal(signal.SIGTERM)
    loss = Loss(product=True)

    def terminated(w, v):
        if loss.calls == 20:
            file.unlink()
            signal.raise_signal(signal.SIGTERM)
        return loss.multiplied(w, v)

    problem = sharpkit.Problem(WEIGHTS, loss, hvp=terminated)
    if own:
        signal.signal(signal.SIGTERM, lambda *_: heard.append(file.exists()))
        mine = signal.getsignal(signal.SIGTERM)
    try:
        if own:
            sharpkit.trace(problem, max_products=20, checkpoint=file)
            assert signal.getsignal(signal.SIGTERM) is mine
        else:
            with pytest.raises(SystemExit) as end:
                sharpkit.trace(problem, max_products=20, checkpoint=file)
            assert end.value.code == 128 + signal.SIGTERM
            assert signal.getsignal(signal.SIGTERM) is before
            loss.calls = 100
            sharpkit.trace(problem, max_products=20, checkpoint=file)
            assert loss.calls < 120
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [True] * own
    found = kept.result(file, pickle.Unpickler)
    expected = sharpkit.trace(WEIGHTS, Loss(product=True), max_products=20)
    assert found.value == expected.value


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_a_killed_process_loses_nothing(tmp_path):
    run = subprocess.run(
        [sys.executable, SCRIPT, "trace", "3", tmp_path],
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    counts = json.loads(run.stdout.splitlines()[-1])
    assert counts["killed"] == 3
    assert counts["ended"]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
@pytest.mark.parametrize(
    "measure", "sharpness eigenvalues spectral_density trace diagonal profile".split()
)
def test_kills_at_random_moments(measure, tmp_path):
    command = [sys.executable, SCRIPT, measure, "3", tmp_path]
    subprocess.run(command, check=True, timeout=500)

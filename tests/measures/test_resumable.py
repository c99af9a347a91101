"""Measures killed at any call of their callback end with the bits of those that ran."""

import dataclasses

import numpy as np
import pytest

import sharpkit
from sharpkit import LBFGSB, Subspace
from sharpkit._inputs import journal

N = 60
RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((90, N)).astype(np.float32)
WEIGHTS = (0.1 * RNG.standard_normal(N)).astype(np.float32)


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
        loss = Loss(**about, die=whole.calls // 4 + deaths)
        try:
            found = measure(w, loss, checkpoint=file, progress=False, **options)
        except Killed:
            deaths += 1
        else:
            break
    assert values(found) == expected
    assert deaths
    assert loss.calls < whole.calls  # it went on, and did not begin anew

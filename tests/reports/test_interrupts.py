"""A real Ctrl-C (SIGINT) in the middle of reports, in a process of its own."""

import subprocess
import sys

import pytest

SOURCE = """
import os, signal, sys
import numpy as np
import sharpkit

CURVATURE = np.arange(1.0, 121.0)
products = []

def stop():
    os.kill(os.getpid(), signal.SIGINT)

def product(w, v):
    products.append(0)
    if len(products) == {when}:
        stop()
    return CURVATURE * v

def loss(w):
    return 0.5 * float(CURVATURE @ w**2), CURVATURE * w

def again(found):  # and once more, while what was finished is being kept
    reports = [found] if isinstance(found, sharpkit.Report) else [found.a, found.b]
    if any("interrupted" in reason for r in reports for reason in r.undefined.values()):
        stop()

signal.signal(signal.SIGINT, signal.default_int_handler)
problem = sharpkit.Problem(np.full(120, 0.1), loss, hvp=product)
other = sharpkit.Problem(np.full(120, 0.2), loss, hvp=product)
given = (problem, other) if {name!r} == "compare" else (problem,)
print(sharpkit.{name}(*given, on_result=again if {twice} else None))
"""


@pytest.mark.process
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("name", ["measure", "profile", "compare"])
def test_what_is_finished_is_returned(name, twice):
    source = SOURCE.format(name=name, when=10, twice=twice)
    found = subprocess.run(
        [sys.executable, "-W", "always", "-c", source],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    words = " ".join(found.stdout.split())
    assert "sharpness, %" in words
    assert "interrupted: what was under way is lost" in words
    assert "not complete: it was stopped" in words
    assert "SharpkitWarning: interrupted: what was finished is ret" in found.stderr
    if name == "measure":
        assert "not begun: trace, spectral density" in words

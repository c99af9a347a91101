"""Kills measures at random moments: ``python killed_measures.py measure kills folder``.

Forked children take the measure, with a checkpoint that is saved before every call, and
are killed by SIGKILL; one that ends has its result compared with that of an
uninterrupted run, bit by bit. The last line of output has the counts as JSON.
"""

import json
import os
import pickle
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

import sharpkit
from sharpkit._inputs import journal

N = 2000
FEATURES = np.random.default_rng(1).standard_normal((30, N))
WEIGHTS = 0.1 * np.random.default_rng(2).standard_normal(N)
SECONDS = 1e-4  # of a call
OPTIONS = {
    "sharpness": {"max_evaluations": 60},
    "eigenvalues": {"k": 2, "ncv": 12, "tol": 1e-6},
    "spectral_density": {"max_products": 80},
    "trace": {"max_products": 60},
    "diagonal": {"max_products": 60},
    "profile": {"measures": ("sharpness", "trace"), "repeats": 1},
}


def loss_fn(w):
    time.sleep(SECONDS)
    m = FEATURES @ w
    slope = 3 * np.cos(3 * m) + 2 * m / (1 + m**2)
    loss = float(np.mean(np.sin(3 * m) + np.log1p(m**2)))
    return loss, FEATURES.T @ slope / len(m)


def taken(measure, **options):
    """Return the numbers of a result, as a pickle that is the same for equal bits."""
    problem = sharpkit.Problem(WEIGHTS, loss_fn)
    given = OPTIONS[measure] | options
    found = getattr(sharpkit, measure)(problem, progress=False, **given)
    if measure == "profile":
        rows = [(each.reason, repr(each.quantities)) for each in found.taken]
        return pickle.dumps((rows, found.run.calls, found.run.products))
    fields = {"values", "vectors", "nodes", "value", "stderr", "residuals", "history"}
    fields |= {"displacement", "repeats", "starts", "noise", "calls", "products"}
    known = {name: getattr(found, name, None) for name in sorted(fields)}
    return pickle.dumps({name: np.array(each) for name, each in known.items()})


def main(measure, kills, folder):
    expected = taken(measure)
    journal.LEAST_SECONDS, journal.SHARE = 0.0, np.inf
    began = time.perf_counter()
    assert taken(measure, checkpoint=folder / "whole") == expected
    whole = time.perf_counter() - began
    file, out, killed, ended = folder / "kept", folder / "out", 0, 0
    random.seed(0)
    while killed < kills or not ended:
        child = os.fork()
        if not child:
            out.write_bytes(taken(measure, checkpoint=file))
            os._exit(0)
        if killed < kills:
            time.sleep(random.uniform(0.1, 0.9) * whole)
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if status:
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            continue
        assert out.read_bytes() == expected
        file.unlink()
        ended += 1
    print(json.dumps({"killed": killed, "ended": ended, "seconds": whole}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

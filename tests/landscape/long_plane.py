"""A plane whose loss takes its time: a process of its own, that tests kill."""

import sys
import time

import numpy as np

import sharpkit

WEIGHTS = np.linspace(0.1, 0.8, 12)


def loss(w):
    """Return a loss that is not the same for any two weights."""
    time.sleep(0.002)
    return float(np.sin(7 * w).sum() + w @ w)


def taken(checkpoint, **options):
    """Return the plane of the tests."""
    problem = sharpkit.Problem(WEIGHTS, loss)
    return sharpkit.landscape.plane(
        problem, points=(9, 11), checkpoint=checkpoint, seed=2, **options
    )


if __name__ == "__main__":
    taken(sys.argv[1])

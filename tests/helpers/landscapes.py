"""Lines and planes that were not measured, but are like those that are."""

import numpy as np

from sharpkit.landscape import Axis, LineResult, PlaneResult
from sharpkit.landscape.grid import levels
from sharpkit.results.common import Run

RUN = Run(1200, "gradient", 2601, 8.5, 8.3, "cpu", "float32", 0)


def valley(x, y):
    """Rosenbrock's, moved up so that its logarithm exists."""
    return 0.01 + (1 - x) ** 2 + 20 * (y - x**2) ** 2


def plane(points=31, *, bad=True, **fields):
    """A plane over a curved valley, with cells that are not finite, and marks."""
    x, y = np.linspace(-2, 2, points), np.linspace(-1, 3, points)
    loss = valley(x[:, None], y[None, :])
    accuracy = 1 / (1 + loss)
    if bad:
        loss[-5:, :6] = np.inf
        loss[:3, -8:-3] = accuracy[:3, -8:-3] = np.nan
    way = np.linspace(-1.6, 0.9, 25)
    marks = {
        "SGD": np.stack([way, way**2 + 0.3 * np.exp(-2 * (way + 1.6))], 1),
        "start": np.array([[-1.6, 2.86]]),
        "<b>A&B</b>": np.array([[1.0, 1.0]]),
    }
    own = {
        "x": x,
        "y": y,
        "values": {"train loss": loss, "train accuracy": accuracy},
        "taken": np.full(loss.shape, True),
        "axes": (
            Axis("principal component 1", 3.2),
            Axis("principal component 2", 1.1),
        ),
        "explained": (0.83, 0.12),
        "marks": marks,
        "batch_norm": "running",
        "samples": 1000,
        "cosine": 0.0,
        "run": RUN,
    }
    return PlaneResult(**{**own, **fields})


def eigenplane(points=41):
    """A plane of two eigenvectors, whose loss leaves the quadratic far out."""
    x = np.linspace(-1, 1, points)
    first, second = 40.0, 8.0
    quadratic = 0.1 + first / 2 * x[:, None] ** 2 + second / 2 * x[None, :] ** 2
    axes = tuple(
        Axis(f"eigenvector {k}", 1.0, slope=0.0, curvature=value)
        for k, value in ((1, first), (2, second))
    )
    loss = quadratic / (1 + 0.05 * quadratic)
    return plane(
        points,
        x=x,
        y=x,
        values={"loss": loss},
        taken=loss > 0,
        axes=axes,
        explained=(),
        centre={"loss": 0.1 / 1.005},
        marks={"minimum": np.zeros((1, 2))},
    )


def coarse(level, size=31):
    """Which points are taken when this level is, and some of the next, in the order
    of the work.
    """
    taken = np.full((size, size), False)
    axis = levels(size)[level]
    taken[np.ix_(axis, axis)] = taken[:5] = True
    return taken


def line(points=51, **fields):
    """A line along an eigenvector, with errors, and values that are not finite."""
    x = np.linspace(-1, 1, points)
    loss = 0.2 + 3 * x**2 + 2 * x**3
    loss[-4:] = np.inf
    test = 0.5 + 2 * x**2
    own = {
        "x": x,
        "values": {
            "train loss": loss,
            "test loss": test,
            "train accuracy": 1 / (1 + x**2),
        },
        "errors": {"test loss": 0.05 + 0.2 * x**2},
        "taken": np.full(points, True),
        "centre": {"train loss": 0.2},
        "axes": (Axis("eigenvector 1", 1.0, slope=0.0, curvature=6.0),),
        "marks": {"minimum": np.zeros((1, 1)), "other": np.full((1, 1), 0.6)},
        "run": RUN,
    }
    return LineResult(**{**own, **fields})

import numpy as np
import pytest

from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.training.loop import Snapshots

ROWS = 50

STATISTICS = MLP((3, 16, 5, 3)).initial_statistics(np.zeros(1))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"batch_size": ROWS + 1}, ValueError, f"batch_size=51: give 1 to {ROWS}, the"),
        (
            {"growth": ((2, 16), (3, 90))},
            ValueError,
            "growth: batch_size from epoch 3=90: give 1 to 50, the number of samples",
        ),
        ({"ghost": 9}, ValueError, "ghost=9: give 2 to 8, the largest batch"),
        (
            {"ghost": 9, "growth": ((2, 5),)},
            ValueError,
            "ghost=9: give 2 to 8, the largest batch",
        ),
        (
            {"augment": True},
            ValueError,
            "shape=None with augment=True: .* of 3 numbers",
        ),
        (
            {"augment": True, "shape": (2, 2)},
            ValueError,
            r"shape=\(2, 2\) with augment=True: give the shape of an image of 3",
        ),
        (
            {"snapshots": Snapshots((1, 4))},
            ValueError,
            r"snapshots.epochs=\(1, 4\): give up to 3",
        ),
        (
            {"test": (np.zeros((4, 2)), np.zeros(4, int))},
            ValueError,
            r"x_test has shape \(4, 2\); give \(rows, 3\)",
        ),
        (
            {"test": (np.zeros((4, 3)), np.full(4, 3))},
            IndexError,
            "labels go from 3 to 3; the last layer has outputs 0 to 2",
        ),
        (
            {"test": (np.zeros((4, 3), np.float32), np.zeros(4, int))},
            TypeError,
            "x_test is float32, start float64; give both in one dtype",
        ),
        (
            {"statistics": STATISTICS},
            ValueError,
            r"are of shapes \(16,\), \(5,\), .*; the network's are \(16,\), \(16,\)",
        ),
        (
            {"statistics": Statistics((), ())},
            ValueError,
            r"are of shapes none; the network's are \(16,\), \(16,\)",
        ),
        (
            {"statistics": MLP((3, 16, 16, 3)).initial_statistics(np.zeros(1, "f4"))},
            TypeError,
            "statistics are float32, start float64; give one dtype",
        ),
    ],
)
def test_bad_input_raises_before_any_work(run, monkeypatch, settings, error, message):
    monkeypatch.setattr(MLP, "evaluate", None)
    with pytest.raises(error, match=message):
        run(**settings)

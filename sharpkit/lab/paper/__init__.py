"""What the paper itself reports: Tables 2 to 7, and its curves read off the figures.

Keskar, Mudigere, Nocedal, Smelyanskiy and Tang, arXiv 1609.04836 v2. Tables: mean and
standard deviation over five trials, per cent. Curves (`figures.json`): the vertices of
the vector graphics of the paper's own file, exact to the precision of plotting.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

Curve = dict[str, Any]


class Value(NamedTuple):
    """What the paper reports of its trials, per cent.

    Attributes
    ----------
    mean, std : float
        The mean and the standard deviation.
    """

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:g} ± {self.std:g}"


def _pairs(text: str) -> dict[str, dict[str, Value]]:
    """Read a table: a head of column names, then a line for each network."""
    head, *lines = text.strip().splitlines()
    found = {}
    for line in lines:
        network, *numbers = line.split()
        values = [
            Value(float(numbers[i]), float(numbers[i + 1]))
            for i in range(0, len(numbers), 2)
        ]
        found[network] = dict(zip(head.split(), values, strict=True))
    return found


# Table 2: accuracy.
ACCURACY = _pairs("""
train-SB train-LB test-SB test-LB
F1 99.66 0.05 99.92 0.01 98.03 0.07 97.81 0.07
F2 99.99 0.03 98.35 2.08 64.02 0.20 59.45 1.05
C1 99.89 0.02 99.66 0.20 80.04 0.12 77.26 0.42
C2 99.99 0.04 99.99 0.01 89.24 0.12 87.26 0.07
C3 99.56 0.44 99.88 0.30 49.58 0.39 46.45 0.43
C4 99.10 1.23 99.57 1.84 63.08 0.50 57.81 0.17
""")

# Table 3: sharpness in the full space, by epsilon and batch.
FULL_SPACE = _pairs("""
0.001-SB 0.001-LB 0.0005-SB 0.0005-LB
F1 1.23 0.83 205.14 69.52 0.61 0.27 42.90 17.14
F2 1.39 0.02 310.64 38.46 0.90 0.05 93.15 6.81
C1 28.58 3.13 707.23 43.04 7.08 0.88 227.31 23.23
C2 8.68 1.32 925.32 38.29 2.07 0.86 175.31 18.28
C3 29.85 5.98 258.75 8.96 8.56 0.99 105.11 13.22
C4 12.83 3.84 421.84 36.97 4.07 0.87 109.35 16.57
""")

# Table 4: sharpness in a random subspace of 100 dimensions.
SUBSPACE = _pairs("""
0.001-SB 0.001-LB 0.0005-SB 0.0005-LB
F1 0.11 0.00 9.22 0.56 0.05 0.00 9.17 0.14
F2 0.29 0.02 23.63 0.54 0.05 0.00 6.28 0.19
C1 2.18 0.23 137.25 21.60 0.71 0.15 29.50 7.48
C2 0.95 0.34 25.09 2.61 0.31 0.08 5.82 0.52
C3 17.02 2.20 236.03 31.26 4.03 1.45 86.96 27.39
C4 6.05 1.13 72.99 10.96 1.89 0.33 19.85 4.12
""")

# Table 6: data augmentation; both batches trained with it.
AUGMENTED = _pairs("""
test-SB test-LB 0.001-LB 0.0005-LB
C1 83.63 0.14 82.50 0.67 231.77 30.50 45.89 3.83
C2 89.82 0.12 90.26 1.15 468.65 47.86 105.22 19.57
C3 54.55 0.44 53.03 0.33 103.68 11.93 37.67 3.46
C4 63.05 0.50 65.88 0.13 271.06 29.69 45.31 5.93
""")

# Table 7: conservative training of the large batch; plain small batch.
CONSERVATIVE = _pairs("""
test-SB test-LB 0.001-LB 0.0005-LB
F1 98.03 0.07 98.12 0.01 232.25 63.81 46.02 12.58
F2 64.02 0.20 61.94 1.10 928.40 51.63 190.77 25.33
C1 80.04 0.12 78.41 0.22 520.34 34.91 171.19 15.13
C2 89.24 0.05 88.495 0.63 632.01 208.01 108.88 47.36
C3 49.58 0.39 45.98 0.54 337.92 33.09 110.69 3.88
C4 63.08 0.10 62.51 0.67 354.94 20.23 68.76 16.29
""")

# Table 5: training samples of the networks whose batch sizes Figure 4 varies.
SAMPLES = {"F2": 721_329, "C1": 50_000}

# Section 2.2.3: |x_SB - x_0| / |x_LB - x_0| lies between these.
DISTANCE_RATIO = (3.0, 10.0)


@cache
def _figures() -> dict[str, Curve]:
    file = resources.files("sharpkit.lab.paper").joinpath("figures.json")
    found: dict[str, Curve] = json.loads(file.read_text(encoding="utf-8"))
    return found


def figure(number: int, network: str) -> Curve | None:
    """Return the curves of a figure for a network, None where the paper has none."""
    return _figures().get(f"fig{number}_{network}")

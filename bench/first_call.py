"""How long the first measurement of a process keeps its user waiting."""

from __future__ import annotations

import time
from typing import Any

N = 100_000


def overhead(solver: str) -> dict[str, float]:
    """Return the seconds of importing sharpkit, of a first call and of a second one.

    To be called in a process of its own, which has loaded nothing yet: the import is
    that of NumPy and SciPy too.
    """
    began = time.perf_counter()
    import sharpkit

    imported = time.perf_counter()
    import numpy as np

    weights = np.linspace(-1, 1, N, dtype=np.float32)
    chosen: Any = sharpkit.LBFGSB(rescale=True) if solver == "lbfgsb" else solver

    def loss(w: Any) -> tuple[float, Any]:
        return float(w @ w) / N, w * np.float32(2 / N)

    def call() -> float:
        start = time.perf_counter()
        sharpkit.sharpness(weights, loss, solver=chosen, progress=False)
        return time.perf_counter() - start

    first, second = call(), call()
    found = {"import": imported - began, "first": first, "second": second}
    return found | {"overhead": found["import"] + first - second}

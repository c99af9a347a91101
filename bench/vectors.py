"""Every kernel call that the bench times, on vectors that look like a search's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpkit._vectors.space import Space

Array = Any  # a NumPy or a CuPy array

ROWS, FEW = 22, 4  # ten pairs, the step and the gradient; the rows of a second block
EPSILON, SEED = 1e-3, 0
GRAMS = ((1, 1), (1, 20), (20, 1), (2, 22), (4, 20))
COMBINES = ((1, 0.0), (2, 0.0), (20, 0.0), (22, 0.0), (20, 1.0))
PATHS, STEPS = (0, 10, 20), (0.5, 2.0)
FACTORS = np.linspace(-1.0, 1.0, ROWS)
# Share of the limit that a kernel is to reach; those bound by arithmetic have none.
WRITING, READING = 0.85, 0.75


@dataclass(frozen=True)
class Call:
    """A kernel call, and what its speed is compared with.

    run
        Returns what the kernel computed: numbers, or its outputs.
    limit
        The name of one of `bench.stream.limits`.
    target
        Share of the limit; None: there is none.
    work
        Multiplications with addition per coordinate, 0 where memory alone counts.
    drawn
        Whether it draws one random number per coordinate.
    """

    run: Callable[[], Any]
    limit: str
    target: float | None = None
    work: int = 0
    drawn: bool = False


class Vectors:
    """Weights, places, directions and blocks of n numbers."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.w, self.z, self.d = space.empty(), space.empty(), space.empty()
        self.out, self.x = space.zeros(), space.zeros()
        self.block, self.more = space.empty(ROWS), space.empty(FEW)
        for stream, row in enumerate((self.w, *self.block, *self.more)):
            space.fill_normal(row, SEED, stream)
        # A place with some walls touched, and a direction as long as the box is wide.
        space.combine([[EPSILON]], self.block[:1], self.d[None])
        space.box_step(self.w, EPSILON, self.out, self.d, 1.0, self.z, None)
        space.combine([[-EPSILON]], self.block[1:2], self.d[None])

    def calls(self) -> dict[str, Call]:
        """Return the calls by name."""
        return self._grams() | self._combines() | self._boxes() | self._models()

    def _grams(self) -> dict[str, Call]:
        space, block, more = self.space, self.block, self.more
        found = {}
        for ka, kb in GRAMS:
            a = more[:ka] if ka <= FEW else block[:ka]
            b = block[:kb] if ka <= FEW else more[:kb]

            def run(a: Array = a, b: Array = b) -> Any:
                return space.gram(a, b)

            found[f"gram {ka}x{kb}"] = Call(run, "read", READING, ka * kb)
        found[f"gram own {ROWS}x{ROWS}"] = Call(
            lambda: space.gram(block, block), "read", work=ROWS * (ROWS + 1) // 2
        )
        return found

    def _combines(self) -> dict[str, Call]:
        space, block, out = self.space, self.block, self.out
        found = {}
        for kb, beta in COMBINES:

            def run(kb: int = kb, beta: float = beta) -> Any:
                space.combine(FACTORS[None, :kb], block[:kb], out[None], beta)
                return out

            name = f"combine 1<-{kb}" + (" + out" if beta else "")
            found[name] = Call(run, "triad", WRITING)
        return found

    def _boxes(self) -> dict[str, Call]:
        space, w, z, d = self.space, self.w, self.z, self.d
        out, x = self.out, self.x

        def written(run: Callable[[], None]) -> Callable[[], Any]:
            return lambda: (run(), out, x)[1:]

        step, toward = space.box_step, space.box_toward
        both = written(lambda: step(w, EPSILON, z, d, 0.7, out, x))
        weights = written(lambda: step(w, EPSILON, z, d, 0.7, None, x))
        return {
            "box_radius": Call(
                written(lambda: space.box_radius(w, EPSILON, out)), "triad"
            ),
            "box_step": Call(both, "triad", WRITING),
            "box_step, x only": Call(weights, "triad", WRITING),
            "box_toward": Call(
                written(lambda: toward(w, EPSILON, z, d, 0.3, out, x)), "triad"
            ),
            "box_toward, x only": Call(
                written(lambda: toward(w, EPSILON, z, d, 1.0, None, x)), "triad"
            ),
            "box_free": Call(
                written(lambda: space.box_free(w, EPSILON, z, d, out)), "triad"
            ),
            "box_residual": Call(lambda: space.box_residual(w, EPSILON, z, d), "read"),
            "box_reach": Call(lambda: space.box_reach(w, EPSILON, z, d), "read"),
        }

    def _models(self) -> dict[str, Call]:
        space, block, w, z, d = self.space, self.block, self.w, self.z, self.d
        found = {}
        for k in PATHS:

            def run(k: int = k) -> Any:
                return space.path_gram(block[:k], w, EPSILON, z, d, STEPS)

            work = 2 * len(STEPS) * (k + 1)
            found[f"path_gram k={k}"] = Call(run, "read", work=work)
        found[f"free_gram k={ROWS}"] = Call(
            lambda: space.free_gram(block, w, EPSILON, z),
            "read",
            work=ROWS * (ROWS + 1) // 2,
        )
        for name, fill in (("normal", space.fill_normal), ("signs", space.fill_signs)):

            def draw(fill: Any = fill) -> Any:
                fill(self.out, SEED, ROWS)
                return self.out

            found[f"fill_{name}"] = Call(draw, "fill", drawn=True)
        return found

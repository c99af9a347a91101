"""`Space`: kernels and a reduction hook, all that an algorithm sees of its vectors."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.comm import Comm, Serial

Array = NDArray[Any]


@dataclass
class Count:
    """Calls of one kernel, bytes it moved at least, and seconds."""

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Space:
    """Vectors of one length and dtype, and the few verbs on them.

    Blocks are (k, n), C-contiguous; whatever has size k lives on the host in float64.
    Algorithms must never branch on a number that has not been reduced over the ranks.

    Parameters
    ----------
    kernels
        A backend module of `sharpkit.kernels`.
    n
        Local length of the vectors; `size` is the length over all ranks.
    dtype
        float32 or float64.
    comm
        Reductions over ranks; default: this process holds everything.
    """

    def __init__(
        self, kernels: ModuleType, n: int, dtype: Any, comm: Comm | None = None
    ) -> None:
        self.kernels, self.n, self.dtype = kernels, n, np.dtype(dtype)
        self.comm: Comm = comm or Serial()
        self.size = int(self.comm.sum(np.array([float(n)]))[0])
        self.counts: defaultdict[str, Count] = defaultdict(Count)

    def empty(self, rows: int | None = None) -> Array:
        """Return an uninitialised vector (n,), or block (rows, n)."""
        return np.empty(self.n if rows is None else (rows, self.n), self.dtype)

    def zeros(self) -> Array:
        """Return a zero vector (n,)."""
        return np.zeros(self.n, self.dtype)

    def gram(self, a: Array, b: Array) -> NDArray[np.float64]:
        """Return the inner products ``a @ b.T`` over all ranks, (ka, kb)."""
        with self._counted("gram", a.nbytes + (0 if b is a else b.nbytes)):
            local = self.kernels.gram(a, b)
        return self.comm.sum(local)

    def dot(self, a: Array, b: Array) -> float:
        """Return the inner product of two vectors over all ranks."""
        return float(self.gram(a[None], b[None])[0, 0])

    def combine(self, c: Any, b: Array, out: Array, beta: float = 0.0) -> None:
        """``out = beta out + c @ b`` for a small (k, kb) host matrix ``c``."""
        moved = b.nbytes + out.nbytes * (2 if beta else 1)
        with self._counted("combine", moved):
            self.kernels.combine(np.asarray(c, np.float64), b, out, beta)

    def box_radius(self, w: Array, eps: float, out: Array) -> None:
        """``out = eps (|w| + 1)``."""
        with self._counted("box_radius", w.nbytes + out.nbytes):
            self.kernels.box_radius(w, eps, out)

    def box_step(
        self, w: Array, z: Array, d: Array, t: float, r: Array, z_out: Array, x: Array
    ) -> None:
        """``z_out = clip(z + t d, -r, r)`` and ``x = w + z_out``, in one pass."""
        with self._counted("box_step", 6 * z.nbytes):
            self.kernels.box_step(w, z, d, t, r, z_out, x)

    def fill_signs(self, out: Array, seed: int, stream: int) -> None:
        """Fill with random signs, a hash of (seed, stream, global index)."""
        with self._counted("fill_signs", out.nbytes):
            self.kernels.fill_signs(out, seed, stream, self.comm.offset)

    def fill_normal(self, out: Array, seed: int, stream: int) -> None:
        """Fill with standard normals, a hash of (seed, stream, global index)."""
        with self._counted("fill_normal", out.nbytes):
            self.kernels.fill_normal(out, seed, stream, self.comm.offset)

    @contextmanager
    def _counted(self, name: str, moved: int) -> Iterator[None]:
        began = time.perf_counter()
        yield
        count = self.counts[name]
        count.calls += 1
        count.bytes += moved
        count.seconds += time.perf_counter() - began

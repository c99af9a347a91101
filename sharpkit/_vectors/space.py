"""`Space`: kernels and a reduction hook, all that an algorithm sees of its vectors."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from sharpkit._inputs.journal import Journal, journal, tracked
from sharpkit._inputs.types import Array, Matrix
from sharpkit._vectors.comm import Comm, Serial

TINY = 2.0**-960  # squares below are rounded to fewer digits, or are 0
USUAL = 100  # exponents of two that fourth powers and large sums leave in range
MOST = 1000  # of exponents, so that 1 / 2^exponent is a number, too


@dataclass
class Count:
    """What one kernel has been used for.

    Attributes
    ----------
    calls : int
        How often it was called.
    bytes : int
        The bytes that it moved at least: each array is read or written once.
    seconds : float
        The wall time that its calls took.
    """

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Space:
    """Vectors of one length and dtype, and the few verbs on them.

    Vectors are (n,) and blocks of them (k, n), C-contiguous, where the kernels work;
    whatever has size k lives on the host in float64. Vectors may be spread over ranks,
    each of which then holds a piece: algorithms must never branch on a number that has
    not been reduced over the ranks.

    Parameters
    ----------
    kernels
        The module of `sharpkit._vectors.kernels` that does the work.
    n
        The length of the vectors in this process.
    dtype : float32 or float64
        The type of their numbers.
    comm
        The reductions over the ranks; None says that this process holds everything.

    Attributes
    ----------
    size : int
        The length of the vectors over all ranks.
    counts : mapping of str to Count
        What each kernel has been used for.
    """

    def __init__(
        self, kernels: ModuleType, n: int, dtype: Any, comm: Comm | None = None
    ) -> None:
        self._kernels, self.n, self.dtype = kernels, n, np.dtype(dtype)
        self._comm: Comm = comm or Serial()
        self.size = int(self.comm.sum(np.array([float(n)]))[0])
        self.counts: defaultdict[str, Count] = defaultdict(Count)

    @property
    def kernels(self) -> Any:
        """The kernels; while a computation is gone through again, some that do nothing.

        See `sharpkit._inputs.journal`.
        """
        kept = journal()
        return self._kernels if kept is None or not kept.blank else Idle(self._kernels)

    @property
    def comm(self) -> Comm:
        """The reductions over the ranks, of which a journal takes note."""
        kept = journal()
        return self._comm if kept is None else Noted(self._comm, kept)

    def empty(self, rows: int | None = None) -> Array:
        """Return an uninitialised vector (n,), or block (rows, n), on the device."""
        shape = (self.n,) if rows is None else (rows, self.n)
        return tracked(self.kernels.empty(shape, self.dtype))

    def zeros(self) -> Array:
        """Return a zero vector (n,)."""
        out = self.empty()
        out.fill(0)
        return out

    def copy(self, source: Array, out: Array, factor: float = 1.0) -> None:
        """``out = factor source``, two vectors."""
        self.combine([[factor]], source[None], out[None])

    def add(self, source: Array, out: Array, factor: float = 1.0) -> None:
        """``out = out + factor source``, two vectors."""
        self.combine([[factor]], source[None], out[None], beta=1.0)

    def scale(self, out: Array, factor: float) -> None:
        """``out = factor out``, a vector, in place."""
        row = out[None]
        self.combine(np.empty((1, 0)), row[:0], row, beta=factor)

    def gram(self, a: Array, b: Array) -> Matrix:
        """Return the inner products ``a @ b.T`` of two blocks over all ranks."""
        return self.gram_sum([(a, b)])

    def gram_sum(self, pieces: Iterable[tuple[Array, Array]]) -> Matrix:
        """Return the sum of ``a @ b.T`` over pieces (a, b), and over all ranks.

        Every rank gives one piece or more; some may give more than others.
        """
        total: Any = 0.0
        for a, b in pieces:
            with self._counted("gram", a.nbytes + (0 if b is a else b.nbytes)):
                total = total + self.kernels.gram(a, b)
        return self.comm.sum(total)

    def dot(self, a: Array, b: Array) -> float:
        """Return the inner product of two vectors over all ranks."""
        return float(self.gram(a[None], b[None])[0, 0])

    def norm(self, v: Array) -> float:
        """Return the Euclidean norm of a vector over all ranks, of any size."""
        row = v[None]
        with np.errstate(over="ignore"):
            square = self.gram(row, row)[0, 0]
        power = 1.0 if TINY <= square < math.inf else self.power_of(v) or 1.0
        if power == 1:
            return math.sqrt(square)
        row = self.empty(1)
        self.copy(v, row[0], 1 / power)
        return power * math.sqrt(self.gram(row, row)[0, 0])

    def largest(self, v: Array) -> float:
        """Return the largest magnitude of a vector's entries over all ranks."""
        local = np.array([float(abs(v).max()) if v.size else 0.0])
        return float(self.comm.max(local)[0])

    def power_of(self, v: Array) -> float | None:
        """Return a power of two that brings a vector near 1; None where it is 0.

        It is 1 unless entries are beyond some 1e±30, and where they are not finite:
        fourth powers, and sums over millions of them, are then in range. Other dtypes
        than float64 are in range anyhow, because they are summed up in float64.
        """
        largest = self.largest(v)
        exponent = math.frexp(largest)[1]
        if largest == 0:
            return None
        if self.dtype != np.float64 or abs(exponent) <= USUAL:
            return 1.0
        return float(2.0 ** max(min(exponent, MOST), -MOST))

    def combine(self, c: Any, b: Array, out: Array, beta: float = 0.0) -> None:
        """``out = beta out + c @ b`` for a small (k, kb) host matrix ``c``."""
        moved = b.nbytes + out.nbytes * (2 if beta else 1)
        with self._counted("combine", moved):
            self.kernels.combine(np.asarray(c, np.float64), b, out, beta)

    def box_radius(self, w: Array, eps: float, out: Array) -> None:
        """``out = eps (|w| + 1)``, the half widths r of the box around w."""
        with self._counted("box_radius", w.nbytes + out.nbytes):
            self.kernels.box_radius(w, eps, out)

    def box_step(
        self,
        w: Array,
        eps: float,
        z: Array,
        d: Array,
        t: float,
        z_out: Array | None,
        x_out: Array | None,
    ) -> None:
        """``z_out = clip(z + t d, -r, r)`` and ``x_out = w + z_out``, in one pass."""
        with self._counted("box_step", _moved(w, z, d, z_out, x_out)):
            self.kernels.box_step(w, eps, z, d, t, z_out, x_out)

    def box_toward(
        self,
        w: Array,
        eps: float,
        z: Array,
        d: Array,
        share: float,
        z_out: Array | None,
        x_out: Array | None,
    ) -> None:
        """``z_out = (1 - share) z + share r sign(d)`` and ``x_out = w + z_out``."""
        with self._counted("box_toward", _moved(w, z, d, z_out, x_out)):
            self.kernels.box_toward(w, eps, z, d, share, z_out, x_out)

    def box_free(self, w: Array, eps: float, z: Array, v: Array, out: Array) -> None:
        """``out = v`` where ``|z| < r``, else 0."""
        with self._counted("box_free", _moved(w, z, v, out)):
            self.kernels.box_free(w, eps, z, v, out)

    def box_residual(self, w: Array, eps: float, z: Array, g: Array) -> float:
        """Return ``max |clip(z + g, -r, r) - z|`` over all ranks."""
        with self._counted("box_residual", _moved(w, z, g)):
            local = self.kernels.box_residual(w, eps, z, g)
        return float(self.comm.max(np.array([local]))[0])

    def box_reach(self, w: Array, eps: float, z: Array, d: Array) -> float:
        """Return the largest t for which ``|z + t d| <= r``, over all ranks."""
        with self._counted("box_reach", _moved(w, z, d)):
            local = self.kernels.box_reach(w, eps, z, d)
        return -float(self.comm.max(np.array([-local]))[0])

    def path_gram(
        self, a: Array, w: Array, eps: float, z: Array, g: Array, ts: Any
    ) -> Matrix:
        """Return ``[a; g] v`` and ``[a; g] u`` at each t, (T, k + 1, 2).

        ``u = clip(z + t g, -r, r) - z``; v is g where that path still moves, else 0.
        """
        with self._counted("path_gram", _moved(a, w, z, g)):
            local = self.kernels.path_gram(a, w, eps, z, g, np.asarray(ts, np.float64))
        return self.comm.sum(local)

    def free_gram(self, a: Array, w: Array, eps: float, z: Array) -> Matrix:
        """Return ``a F a.T`` over all ranks, F = 1 where ``|z| < r``, else 0."""
        with self._counted("free_gram", _moved(a, w, z)):
            local = self.kernels.free_gram(a, w, eps, z)
        return self.comm.sum(local)

    def fill_signs(self, out: Array, seed: int, stream: int, begin: int = 0) -> None:
        """Fill with random signs, a hash of (seed, stream, global index).

        ``out`` holds the local coordinates from ``begin`` on.
        """
        with self._counted("fill_signs", out.nbytes):
            for part, first in self._ranges(out, begin):
                self.kernels.fill_signs(part, seed, stream, first)

    def fill_normal(self, out: Array, seed: int, stream: int, begin: int = 0) -> None:
        """Fill with standard normals, a hash of (seed, stream, global index).

        ``out`` holds the local coordinates from ``begin`` on.
        """
        with self._counted("fill_normal", out.nbytes):
            for part, first in self._ranges(out, begin):
                self.kernels.fill_normal(part, seed, stream, first)

    def places(self) -> Iterator[tuple[slice, slice]]:
        """Yield where each range of the local coordinates lies: here, and in all."""
        here = 0
        for length, first in self.comm.pieces or [(self.n, self.comm.offset)]:
            yield slice(here, here + length), slice(first, first + length)
            here += length

    def _ranges(self, out: Array, begin: int) -> Iterator[tuple[Array, int]]:
        """Yield the ranges of a part of a vector, and the global index of each."""
        end = begin + out.size
        for here, there in self.places():
            low, high = max(here.start, begin), min(here.stop, end)
            if low < high:
                yield out[low - begin : high - begin], there.start + low - here.start

    def _counted(self, name: str, moved: int) -> _Counted:
        return _Counted(self.counts[name], moved)


class _Counted:
    """Counts a call of a kernel; a generator would take longer than a short vector."""

    __slots__ = ("began", "count", "moved")

    def __init__(self, count: Count, moved: int) -> None:
        self.count, self.moved = count, moved

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        if kind is None:
            self.count.calls += 1
            self.count.bytes += self.moved
            self.count.seconds += time.perf_counter() - self.began


class Idle:
    """Kernels that do nothing: all sums are 0.

    Parameters
    ----------
    kernels
        The kernels in whose place they stand.
    """

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return zeros where the kernels' arrays live."""
        out: Array = self._kernels.empty(shape, dtype)
        out.fill(0)
        return out

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: 0.0


class Noted(Serial):
    """Reductions whose results a journal takes down, or knows already.

    Parameters
    ----------
    comm
        The reductions.
    kept
        The journal.
    """

    def __init__(self, comm: Comm, kept: Journal) -> None:
        self._comm, self._kept = comm, kept
        self.offset, self.pieces = comm.offset, comm.pieces

    def sum(self, values: Matrix) -> Matrix:
        """Return the sum over ranks."""
        found: Matrix = self._kept.number(self._comm.sum(values))
        return found

    def max(self, values: Matrix) -> Matrix:
        """Return the maximum over ranks."""
        found: Matrix = self._kept.number(self._comm.max(values))
        return found


def _moved(*arrays: Array | None) -> int:
    """Return the bytes that one pass over these arrays moves at least."""
    return sum(array.nbytes for array in arrays if array is not None)

"""What memory allows: copy, triad, sum and fill of long vectors, as on STREAM's lines.

J. D. McCalpin, "Memory bandwidth and machine balance in current high performance
computers" (1995). Plain loops, compiled by Numba and shared among sharpkit's threads;
on a device the same operations of CuPy.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from sharpkit._vectors import parallel
from sharpkit._vectors.compiling import jit

Array = Any  # a NumPy or a CuPy array
CHUNK = 32768  # numbers; as large as those of sharpkit's own kernels


class Limit(NamedTuple):
    """An operation, and the bytes that it reads and writes."""

    run: Callable[[], object]
    bytes: int


def limits(a: Array, b: Array, out: Array, long: Array) -> dict[str, Limit]:
    """Return copy, triad, read-only sum and fill of host vectors, by name.

    The sum is one of ``long``, which must be beyond the caches by itself.
    """
    factor = a.dtype.type(0.5)

    def shared(loop: Callable[..., object], *arrays: Any) -> Callable[[], object]:
        n = len(arrays[0])

        def task(first: int, last: int) -> None:
            loop(*arrays, first * CHUNK, min(last * CHUNK, n))

        return lambda: parallel.run(task, -(-n // CHUNK))

    return {
        "copy": Limit(shared(_copy, a, out), 2 * a.nbytes),
        "triad": Limit(shared(_triad, a, b, factor, out), 3 * a.nbytes),
        "read": Limit(shared(_read, long), long.nbytes),
        "fill": Limit(shared(_fill, out), out.nbytes),
    }


def device_limits(
    cupy: ModuleType, a: Array, b: Array, out: Array, long: Array
) -> dict[str, Limit]:
    """Return the same of device vectors; they are queued, not waited for."""
    kind = "T a, T b, T factor", "T out", "out = a + factor * b"
    triad = cupy.ElementwiseKernel(*kind, "bench_triad")
    factor = a.dtype.type(0.5)
    return {
        "copy": Limit(lambda: cupy.copyto(out, a), 2 * a.nbytes),
        "triad": Limit(lambda: triad(a, b, factor, out), 3 * a.nbytes),
        "read": Limit(lambda: long.sum(), long.nbytes),
        "fill": Limit(lambda: out.fill(0), out.nbytes),
    }


def _copy_loop(a: Array, out: Array, begin: int, end: int) -> None:
    a, out = a[begin:end], out[begin:end]
    for i in range(len(out)):
        out[i] = a[i]


def _triad_loop(
    a: Array, b: Array, factor: float, out: Array, begin: int, end: int
) -> None:
    a, b, out = a[begin:end], b[begin:end], out[begin:end]
    for i in range(len(out)):
        out[i] = a[i] + factor * b[i]


def _read_loop(a: Array, begin: int, end: int) -> float:
    a = a[begin:end]
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i]
    return float(total)


def _fill_loop(out: Array, begin: int, end: int) -> None:
    out = out[begin:end]
    for i in range(len(out)):
        out[i] = 0


_copy = jit(_copy_loop, nogil=True)
_triad = jit(_triad_loop, nogil=True, fastmath={"contract"})
_read = jit(_read_loop, nogil=True, fastmath={"reassoc"})
_fill = jit(_fill_loop, nogil=True)

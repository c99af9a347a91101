"""How much resident memory a block of code adds at its peak."""

from __future__ import annotations

import ctypes
from types import TracebackType

from bench.memory import CLEAR, STATUS, measurable

MMAP_THRESHOLD = -3  # a setting of glibc's malloc
LARGE = 64 * 2**10  # bytes


def hand_back_at_once() -> None:
    """Let this process hand back every larger array as soon as it is freed.

    That makes peaks exact and everything slower: for a process of its own. Nothing
    happens where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "malloc_trim"):
        library.mallopt(MMAP_THRESHOLD, LARGE)
        library.malloc_trim(0)


class PeakMemory:
    """``with PeakMemory() as memory: ...``; then ``memory.bytes``.

    Attributes
    ----------
    bytes
        What was resident at the peak less what was before; None where the system does
        not tell. Exact, to a few pages, only after `hand_back_at_once`: memory that the
        process holds unused serves the block unseen.
    """

    bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        if measurable():
            CLEAR.write_text("5")  # the peak is now what is resident
            self._before = _kibibytes("VmRSS")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if measurable():
            self.bytes = 1024 * (_kibibytes("VmHWM") - self._before)


def _kibibytes(field: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

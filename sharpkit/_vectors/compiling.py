"""Numba's machine code, from its cache on disk where there can be one."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching

from sharpkit._inputs.warn import warn

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = numba.njit
_DIGEST = 32  # bytes of a SHA-256


def jit(function: F, *signature: Any, **options: Any) -> F:
    """Return ``numba.njit(*signature, **options)(function)``, cached on disk.

    Where no folder for the cache can be written to, as in a read-only installation of a
    user without a home, there is none, and each process compiles anew. A file of the
    cache that is damaged is compiled anew, too.

    Raises
    ------
    RuntimeError
        If Numba cannot cache the function for another reason.

    Warns
    -----
    SharpkitWarning
        If a file of the cache is damaged.
    """
    compiled = _njit(**options)(function)
    try:
        compiled._cache = _Cache(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    for each in signature:
        compiled.compile(each)
        compiled.disable_compile()
    return cast("F", compiled)


def nogil(function: F) -> F:
    """Return `jit` of a function that needs no interpreter lock."""
    return jit(function, nogil=True)


class _Cache(caching.FunctionCache):
    """Numba's cache of a function, which does not believe damaged files."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        plain = self._cache_file
        self._cache_file = _Files(
            plain._cache_path, f"{self._impl.filename_base}.sums", plain._source_stamp
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature, or None if it is to be compiled."""
        try:
            return super().load_overload(sig, target_context)
        # A damaged pickle raises anything.
        except Exception as error:
            with suppress(OSError):
                self.flush()
            warn(
                f"Numba's cache in {self.cache_path} is damaged ({error}); "
                f"{self._py_func.__name__} is compiled anew"
            )
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, unless the disk is full or has become read-only."""
        with suppress(OSError):
            super().save_overload(sig, data)


class _Files(caching.IndexDataCacheFile):
    """The files of a cache, with checksums behind what Numba reads of them.

    A flipped bit in machine code would otherwise be a wrong number, or a crash.
    """

    def _dump(self, obj: Any) -> bytes:
        content = super()._dump(obj)
        return cast("bytes", content + hashlib.sha256(content).digest())

    def _load_index(self) -> Any:
        with suppress(FileNotFoundError):
            content = Path(self._index_path).read_bytes()
            version = pickle.dumps(self._version, protocol=-1)
            if content.startswith(version):  # else Numba takes it for an older one
                _require_sound(content.removeprefix(version))
        return super()._load_index()

    def _load_data(self, name: str) -> Any:
        _require_sound(Path(self._data_path(name)).read_bytes())
        return super()._load_data(name)


def _require_sound(content: bytes) -> None:
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        msg = "a checksum does not fit"
        raise ValueError(msg)

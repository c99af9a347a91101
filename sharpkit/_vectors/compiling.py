"""Numba's machine code, from its cache on disk where there can be one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = numba.njit


def jit(function: F, *signature: Any, **options: Any) -> F:
    """Return ``numba.njit(*signature, **options)(function)``, cached on disk.

    Where no folder for the cache can be written to, as in a read-only installation of a
    user without a home, there is none, and each process compiles anew.

    Raises
    ------
    RuntimeError
        If Numba cannot cache the function for another reason.
    """
    try:
        compiled = _njit(*signature, cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        compiled = _njit(*signature, **options)(function)
    return cast("F", compiled)

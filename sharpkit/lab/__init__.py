"""The reproduction of the paper: data, network, training, experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharpkit.lab.reproduction import reproduce as reproduce

__all__ = ["reproduce"]


def __getattr__(name: str) -> Any:
    """Load `reproduce` when it is first asked for, and with it all that it needs."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from sharpkit.lab.reproduction import reproduce

    return reproduce

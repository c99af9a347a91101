"""The terminal, which never obeys what stands in a file."""

from __future__ import annotations

from typing import Any

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderHook,
    RenderResult,
)
from rich.segment import Segment

from sharpkit._inputs.names import printable


def console(**options: Any) -> Console:
    """Return a console that shows escape sequences in a text as they are written."""
    made = Console(**options)
    made.push_render_hook(_Neutral())
    return made


class _Neutral(RenderHook):
    """A hook that puts `_Shown` around all that is printed."""

    def process_renderables(
        self, renderables: list[ConsoleRenderable]
    ) -> list[ConsoleRenderable]:
        """Return what is printed instead."""
        return [_Shown(each) for each in renderables]


class _Shown:
    def __init__(self, inside: ConsoleRenderable) -> None:
        self._inside = inside

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        for part in console.render(self._inside, options):
            text = part.text if part.control else printable(part.text)
            yield Segment(text, part.style, part.control)

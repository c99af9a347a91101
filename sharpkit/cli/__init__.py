"""The ``sharpkit`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say in a line what to install for it."""
    try:
        from sharpkit.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        msg = f"sharpkit: the command needs {error.name}: pip install 'sharpkit[cli]'"
        sys.exit(msg)
    app()

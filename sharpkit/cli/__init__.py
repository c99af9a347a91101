"""The ``sharpkit`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say in a line what to install for it."""
    try:
        from sharpkit.cli.app import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        sys.exit(f"sharpkit: the command needs {missing}: pip install 'sharpkit[cli]'")
    app()

"""The ``sharpkit`` command."""

from sharpkit.cli import compare, demo
from sharpkit.cli.app import INTERRUPTED, app

__all__ = ["INTERRUPTED", "app", "compare", "demo", "main"]


def main() -> None:
    """Run the command line."""
    app()

"""The ``sharpkit`` command."""

from sharpkit.cli import compare, demo, report, reproduce, runs
from sharpkit.cli.app import INTERRUPTED, app

__all__ = [
    "INTERRUPTED",
    "app",
    "compare",
    "demo",
    "main",
    "report",
    "reproduce",
    "runs",
]


def main() -> None:
    """Run the command line."""
    app()

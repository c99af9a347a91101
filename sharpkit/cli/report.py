"""``sharpkit report``: a store's experiments as one HTML page, or as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sharpkit.cli.app import app

_NAME = "report.html"


@app.command()
def report(
    store: Annotated[Path, typer.Argument(help="Where finished runs are kept.")],
    out: Annotated[
        Path | None,
        typer.Option(help="STORE/report.html if left; .md for tables in Markdown."),
    ] = None,
) -> None:
    """Write one HTML page of all experiments that were asked for in a store.

    Tables, interactive figures, a verdict for each claim, the settings, and how to
    reproduce them. The page needs no other file and no network.
    """
    from sharpkit.lab.store import StoreError

    console = Console(soft_wrap=True)
    file = store / _NAME if out is None else out
    try:
        _write(store, file)
    except (ValueError, OSError, ImportError, StoreError) as error:
        console.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    size = file.stat().st_size / 1e6
    console.print(f"Page: {escape(str(file))}, {size:.1f} MB", highlight=False)


def _write(store: Path, file: Path) -> None:
    from sharpkit._inputs.files import replacing
    from sharpkit.lab.experiments import outcomes
    from sharpkit.lab.rendering.markdown import markdown
    from sharpkit.lab.rendering.page import page
    from sharpkit.lab.rendering.provenance import provenance
    from sharpkit.lab.store import Store

    if not file.parent.is_dir():
        msg = f"--out {file}: there is no folder {file.parent}; make it first"
        raise ValueError(msg)
    with Store(store, create=False) as opened:
        found, origin = outcomes(opened), provenance(opened)
    if not found:
        msg = (
            f"{store} holds no experiment; run one with "
            f"sharpkit reproduce NAME --store {store}"
        )
        raise ValueError(msg)
    if file.suffix == ".md":
        written = markdown(found, f"Runs of sharpkit {origin.version}")
    else:
        written = page(found, origin)
    with replacing(file) as part:
        part.write_text(written, encoding="utf-8", newline="\n")

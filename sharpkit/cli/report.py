"""``sharpkit report``: a store's experiments as one HTML page, or as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_NAME = "report.html"


def report(
    store: Annotated[
        Path,
        typer.Argument(metavar="STORE", help="The folder that `reproduce` filled."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The file to write. One that ends in .md has the tables in Markdown. "
            "Without it the page is STORE/report.html.",
        ),
    ] = None,
) -> None:
    """Write one HTML page of all experiments that a store holds.

    The page has a verdict for each of the paper's claims, tables, interactive figures,
    the settings, and the commands that reproduce them. It needs no other file and no
    network.

    Example: sharpkit report sharpkit-store
    """
    from sharpkit.cli.console import console

    file = store / _NAME if out is None else out
    _write(store, file)
    size = file.stat().st_size / 1e6
    show = console(soft_wrap=True, highlight=False, markup=False)
    show.print(f"Page: {file}, {size:.1f} MB")


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

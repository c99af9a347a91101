import io

from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from sharpkit.cli.console import console


def test_escape_sequences_are_shown_as_they_are_written():
    written = io.StringIO()
    show = console(file=written, width=80, force_terminal=True, color_system="standard")
    show.print("[bold]bold[/] \x1b[2Jfile", highlight=False)
    table = Table()
    table.add_column(Text("a\x1b]0;title"))
    table.add_row("b\x9b")
    show.print(table)
    text = written.getvalue()
    assert "\x1b[1mbold\x1b[0m" in text  # what rich itself says
    for shown in (r"\x1b[2Jfile", r"a\x1b]0;title", r"b\x9b"):
        assert shown in text
    for obeyed in ("\x1b[2J", "\x1b]", "\x9b"):
        assert obeyed not in text


def test_bars_are_drawn():
    written = io.StringIO()
    show = console(file=written, width=80, force_terminal=True)
    with Progress(console=show) as bars:
        bars.update(bars.add_task("work", total=2), advance=2)
    assert "100%" in written.getvalue()
    assert r"work" in written.getvalue()

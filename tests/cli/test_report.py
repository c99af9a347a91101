from pathlib import Path

import pytest
from typer.testing import CliRunner

from sharpkit.cli.app import app
from sharpkit.lab import experiments
from sharpkit.lab.outcome import OPEN, Claim, Outcome
from sharpkit.lab.store import Store

OUTCOME = Outcome(
    *("table3", "F1", "quick", "Table 3: sharpness", "Drawn digits."),
    (),
    (),
    (Claim("LB is sharper", OPEN, "ratio 2", "Student"),),
    (),
    trials=1,
    wanted=3,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store(Path("kept")).close()
    return tmp_path


@pytest.fixture
def found(monkeypatch):
    outcomes = [OUTCOME]
    monkeypatch.setattr(experiments, "outcomes", lambda store: outcomes)
    return outcomes


def report(*arguments):
    return CliRunner().invoke(app, ["report", *arguments])


def words(result):
    return " ".join(result.output.split())


def test_the_page_is_in_the_store(folder, found):
    result = report("kept")
    assert result.exit_code == 0, result.output
    text = Path("kept/report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "LB is sharper" in text
    size = Path("kept/report.html").stat().st_size / 1e6
    assert words(result) == f"Page: kept/report.html, {size:.1f} MB"
    assert sorted(path.name for path in Path("kept").glob("*report*")) == [
        "report.html"
    ]


def test_the_page_elsewhere(folder, found):
    result = report("kept", "--out", "[a].html")
    assert words(result).startswith("Page: [a].html, ")
    assert Path("[a].html").is_file()
    assert not Path("kept/report.html").exists()


def test_a_failure_keeps_the_old_page(folder, found, monkeypatch):
    Path("kept/report.html").write_text("old")

    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    result = report("kept")
    assert result.exit_code == 2
    assert "No space left on device" in words(result)
    assert Path("kept/report.html").read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Error: --out nowhere/report.html: there is no folder nowhere"),
        (["nowhere", "--out", "a.html"], "nowhere holds no store"),
        (["kept", "--out", "no/a.html"], "there is no folder no; make it first"),
        (["kept"], "holds no experiment; run one with sharpkit reproduce NAME --store"),
    ],
)
def test_what_is_refused(folder, arguments, message):
    result = report(*arguments)
    assert result.exit_code == 2
    assert message in words(result)
    assert not list(folder.rglob("*.html"))


def test_mistakes_of_the_program_are_not_hidden(folder, monkeypatch):
    def broken(store):
        raise KeyError("a mistake")

    monkeypatch.setattr(experiments, "outcomes", broken)
    assert isinstance(report("kept").exception, KeyError)


def test_markdown_by_the_suffix(folder, found):
    assert report("kept", "--out", "found.md").exit_code == 0
    text = Path("found.md").read_text(encoding="utf-8")
    assert text.startswith("# Runs of sharpkit")
    assert "| not decided here | ratio 2 |" in text

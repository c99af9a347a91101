"""The results page says what the committed runs say."""

import re
from pathlib import Path

import pytest

from sharpkit.lab.experiments import outcomes
from sharpkit.lab.rendering.markdown import markdown
from sharpkit.lab.store import Store

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDS = (
    *("demo", "medium", "quick", "eos", "catapult"),
    *("ranking/digits", "ranking/glyphs", "ranking/mnist"),
)
# Mean and spread, or mean and interval, as the tables and the claims write them.
FIGURES = re.compile(
    r"[+-]?[\d.e+-]+ ± [\d.e+-]+|[+-]?[\d.e+-]+ \[[+-]?[\d.e+-]+, [+-]?[\d.e+-]+\]"
)


def report(name):
    return (DOCS / name / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RECORDS)
def test_the_report_follows_from_the_records(name):
    with Store(DOCS / name, create=False) as store:
        found = outcomes(store)
        version = {run.versions["sharpkit"] for run in store.runs()}
    assert all(each.trials == each.wanted for each in found)
    assert markdown(found, f"Runs of sharpkit {', '.join(version)}") == report(name)


@pytest.mark.parametrize("page", ["results.md", "ranking/README.md", "../README.md"])
def test_figures_on_the_page_are_in_a_report(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    if page == "../README.md":  # of it, the two sections on what is found
        text = text.split("## What it finds")[1].split("## What is measured")[0]
    reports = "".join(map(report, RECORDS)).replace("\\", "")
    known = set(FIGURES.findall(reports))
    told = [figure.rstrip(".") for figure in FIGURES.findall(text)]  # of a sentence
    assert [figure for figure in told if figure not in known] == []
    assert len(told) > 40


def test_pictures_of_the_page_exist():
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\(([\w/.-]+\.png)\)", text)
    assert pictures
    for picture in pictures:
        assert (DOCS / picture).is_file()

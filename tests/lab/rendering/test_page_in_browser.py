"""What the page shows in a real Chromium, without a network."""

import re

import pytest

from sharpkit.lab.outcome import Plane


def figure(page, number=0):
    return page.locator("figure.chart").nth(number)


def texts(locator):
    return [re.sub(r"\s+", " ", text).strip() for text in locator.all_inner_texts()]


def plain(text):
    return re.sub(r"\s+", " ", text).strip()


def test_every_chart_is_drawn_with_its_curves(page, outcomes):
    charts = [chart for outcome in outcomes for chart in outcome.charts]
    assert page.locator("figure.chart").count() == len(charts)
    for number, chart in enumerate(charts):
        drawn = figure(page, number)
        assert drawn.locator("svg.main-svg").count() > 0
        if isinstance(chart, Plane):
            assert drawn.locator(".contourlayer .contour").count() == 1
            assert drawn.locator("path.point").count() == len(chart.marks)
            assert drawn.locator(".legend").count() == 0
            continue
        bands = sum(series.low is not None for series in chart.series)
        assert (
            drawn.locator(".scatterlayer .trace").count() == len(chart.series) + bands
        )
        assert drawn.locator(".legend button").count() == len(chart.series)
    assert figure(page).locator(".js-line").count() >= 5


def test_axes_are_as_asked(page):
    layout = (
        figure(page, 1)
        .locator(".plot")
        .evaluate(
            "p => [p.layout.xaxis.type, p.layout.yaxis.type, ...p.layout.xaxis.range]"
        )
    )
    assert layout[:2] == ["log", "log"]
    assert layout[2] > layout[3]
    assert figure(page).locator(".y2title").text_content() == "accuracy, %"
    ticks = figure(page).locator(".y2tick text").all_text_contents()
    assert ticks == ["20", "40", "60", "80", "100"]


def test_labels_of_a_plane_are_read_in_the_dark_too(page):
    drawn = figure(page, 4)
    label = drawn.locator(".annotation").nth(1)
    assert label.text_content() == "LB"
    colours = """g => ["text", "rect.bg"].map(
      each => getComputedStyle(g.querySelector(each)).fill)"""
    assert label.evaluate(colours) == ["rgb(27, 31, 36)", "rgb(255, 255, 255)"]
    page.emulate_media(color_scheme="dark")
    assert label.evaluate(colours) == ["rgb(230, 233, 237)", "rgb(20, 23, 27)"]
    wide, high = drawn.locator(".plot").evaluate(
        "p => ['xaxis', 'yaxis'].map(a => p._fullLayout[a]).map(a => a._m)"
    )
    assert wide == pytest.approx(-high)  # one scale
    bar = drawn.locator(".cbaxis text").all_text_contents()
    assert bar == ["0.01", "0.1", "1", "10", "100"]


def test_tables_are_those_of_the_outcomes(page, outcomes):
    tables = [table for outcome in outcomes for table in outcome.tables]
    shown = page.locator("table.result")
    assert shown.count() == len(tables)
    for number, table in enumerate(tables):
        one = shown.nth(number)
        assert texts(one.locator("caption")) == [plain(table.title)]
        heads = [plain(column or "Row") for column in table.columns]
        assert texts(one.locator("thead th")) == heads
        cells = [plain(cell) for row in table.rows for cell in row]
        assert texts(one.locator("tbody th, tbody td")) == cells


def test_verdicts_and_summary(page, outcomes):
    rows = page.locator("table.verdicts tbody tr")
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    assert rows.count() == len(claims)
    for number, claim in enumerate(claims):
        symbol = {"holds": "✓", "does not hold": "✗"}.get(claim.decision, "?")
        expected = [claim.text, f"{symbol} {claim.decision}"]
        expected += [claim.detail, claim.criterion]
        assert texts(rows.nth(number).locator("th, td")) == list(map(plain, expected))
    assert texts(page.locator(".matrix thead th")) == ["Claim", "F1", "C1"]
    cells = texts(page.locator(".matrix td"))
    assert cells == [
        *("✓ holds", "✓ holds", "✗ does not hold", "no verdict"),
        *("? not decided here", "no verdict", "? not decided here", "not run"),
    ]
    assert texts(page.locator(".tally li")) == [
        *("✓ holds 2", "✗ does not hold 1", "? not decided here 2")
    ]
    page.locator(".matrix td a").nth(2).click()
    target = page.locator(":target")
    assert "ratio 0.4 [0.2, 0.8]" in target.inner_text()


def test_data_and_provenance_are_visible(page, outcomes, provenance):
    assert texts(page.locator("p.data")) == [f"Data. {plain(o.data)}" for o in outcomes]
    facts = " ".join(texts(page.locator("main > section:first-of-type")))
    for said in ("0.1.0", "3.11.7", "x86_64, 2 cores", "128, together 29 min"):
        assert said in facts
    assert provenance.command in facts


def test_hostile_text_stays_text(page, outcomes):
    assert page.locator("[onclick]").count() == 0
    hostile = outcomes[2].title
    assert plain(page.locator("h2").last.inner_text()) == plain(hostile)
    assert figure(page, 2).locator(".ytitle").text_content() == hostile
    alt = figure(page, 2).locator(".plot").get_attribute("aria-label")
    assert alt == f"{hostile}. {hostile}"


def test_the_numbers_are_there_as_text(page, outcomes):
    drawn = figure(page, 1)
    assert not drawn.locator(".numbers").is_visible()
    drawn.locator("summary").click()
    rows = [texts(row.locator("th, td")) for row in drawn.locator("tbody tr").all()]
    assert rows[:5] == [
        ["SB: sharpness, %"],
        ["2", "20", "", ""],
        ["0.5", "18", "", ""],
        ["0.1", "0", "", ""],
        ["0.02", "2", "", ""],
    ]
    assert ["0.5", "90", "0", "150"] in rows
    assert rows[-2:] == [["5.4", "26", "", ""], ["0.026", "1304", "", ""]]
    drawn.locator("summary").click()
    alt = drawn.locator(".plot").get_attribute("aria-label")
    assert alt == "Sharpness along a run. LB rises, SB falls."
    assert "2 points not positive" in drawn.locator("figcaption").inner_text()


def test_without_javascript_the_numbers_remain(browser, file):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    assert "Without JavaScript" in page.locator("noscript").inner_text()
    page.locator("summary").first.click()
    assert page.locator(".numbers").first.is_visible()
    context.close()

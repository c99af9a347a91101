import base64
import hashlib
import itertools
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from sharpkit.lab.rendering.page import _anchors, _duration, page


class Tags(HTMLParser):
    """Start tags with attributes, texts of scripts, and headings."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.ids, self._inside = [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            attributes, before = self.scripts.pop()
            self.scripts.append((attributes, before + data))


@pytest.fixture(scope="session")
def text(outcomes, provenance):
    return page(outcomes, provenance)


@pytest.fixture(scope="session")
def tags(text):
    return Tags(text)


def test_nothing_is_loaded_from_elsewhere(tags):
    for tag, attributes in tags.tags:
        assert "src" not in attributes
        if "href" in attributes:
            assert attributes["href"].startswith("#") or attributes["href"] == "data:,"
        assert not [name for name in attributes if name.startswith("on")], tag
    (policy,) = [
        attributes["content"]
        for tag, attributes in tags.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy


def test_the_policy_allows_the_two_scripts_only(tags, text):
    scripts = [source for attributes, source in tags.scripts if not attributes]
    assert len(scripts) == 2
    for source in scripts:
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in text
    assert text.count("'sha256-") == 2
    charts = [a for a, _ in tags.scripts if a == {"type": "application/json"}]
    assert len(charts) == 5
    assert len(tags.scripts) == 7


def test_headings_are_in_order_and_ids_are_unique(tags):
    levels = [int(tag[1]) for tag, _ in tags.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags.tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        assert attributes.get("aria-labelledby", ids[0]) in ids


def test_tables_say_what_their_cells_belong_to(tags):
    names = [tag for tag, _ in tags.tags]
    assert names.count("table") == names.count("caption") == names.count("thead")
    for tag, attributes in tags.tags:
        if tag == "th":
            assert attributes["scope"] in ("col", "row", "rowgroup")


def test_a_plane_has_its_numbers_in_a_table(text):
    numbers = text[text.index('id="at-fig-6-F1') :]
    table = numbers[numbers.index("-chart-3-numbers") :].split("</table>")[0]
    assert table.count("<tr>") == 1 + 4
    assert table.count("<td>") == 4 * 3
    assert '<th scope="row">-0.25</th><td>nan</td>' in table
    assert "3 of 12 points have no value to draw." in numbers


def test_the_same_page_again(outcomes, provenance, text):
    assert page(outcomes, provenance) == text


def test_the_same_experiment_twice(outcomes, provenance):
    other = replace(outcomes[0], preset="medium")
    tags = Tags(page([outcomes[0], other, other], provenance))
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {"at-table3-F1-quick", "at-table3-F1-medium-2", "at-table3-F1-medium-3"}
    assert anchors < set(ids)


def test_a_claim_said_twice_has_two_rows(outcomes, provenance):
    """As "... by an order of magnitude", of two sizes of the box."""
    first, second = outcomes[0].claims[:2]
    again = replace(second, text=first.text)
    other = replace(outcomes[1], claims=(first,))
    made = page([replace(outcomes[0], claims=(first, again)), other], provenance)
    matrix = made[made.index('<table class="matrix">') :]
    rows = matrix[: matrix.index("</table>")].split("<tr>")[2:]
    assert [row.count('class="chip') for row in rows] == [2, 1]
    assert ["no verdict" in row for row in rows] == [False, True]


def test_an_outcome_with_nothing_in_it(outcomes, provenance):
    bare = replace(outcomes[0], tables=(), claims=(), charts=(), notes=(), settings=())
    text = page([bare], provenance)
    assert "Glyphs" in text
    with pytest.raises(ValueError, match=r"outcomes=\(\); give at least one"):
        page([], provenance)


def test_anchors_and_durations():
    assert _anchors(["a-F1", "<a> F1", "b"]) == ["at-a-F1-1", "at-a-F1-2", "at-b"]
    assert [_duration(s) for s in (1.25, 60, 3599, 3600, 7261)] == [
        "1.25 s",
        "1 min",
        "1 h 0 min",
        "1 h 0 min",
        "2 h 1 min",
    ]

from dataclasses import replace

import pytest
from rich.console import Console

from sharpkit.lab.outcome import Table
from sharpkit.lab.rendering.terminal import shown


def printed(outcome, width=80, before=None):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(shown(outcome, before))
    return capture.get()


def words(text):
    return " ".join(text.split())


def test_everything_is_said_within_80_columns(outcomes):
    found = printed(outcomes[0])
    assert max(map(len, found.splitlines())) <= 80
    said = words(found)
    for expected in (
        "Table 3: sharpness in the full space, F1",
        "Data: Glyphs: 2000 training images",
        "Preset quick, trials 3; batches 20 and 200; optimiser Adam, 1e-3.",
        "Preliminary: 3 of 5 trials.",
        "1e-3 1.2 ± 0.8 205 ± 70 1.23 ± 0.83 205.14 ± 69.52",
        "Mean and standard deviation over trials.",
        "SB generalises better than LB (Table holds +2.1",
        "LB is sharper (Table 3) does not hold ratio 0.4 [0.2, 0.8]",
        "not decided here",
        "Criterion: 95 % Student",
        "Criterion: two halves",
        "Note: One LB run stopped at its last epoch.",
    ):
        assert expected in said
    assert said.count("Criterion: 95 % Student") == 1
    assert said.count("A threshold batch") + said.count("batch exists A") >= 8


def test_a_finished_one_is_not_called_preliminary(outcomes):
    found = printed(outcomes[1])
    assert "Preliminary" not in found
    assert "Preset quick, trials 5.\n" in found


def test_what_was_shown_before_is_left_out(outcomes):
    outcome = outcomes[0]
    other = replace(outcome, title="Another", tables=outcome.tables[1:])
    found = words(printed(other, before=outcome))
    assert found.startswith("Another, F1 Preliminary: ")
    assert "LB is sharper (Table 3) does not hold" in found
    assert not any(table.title in found for table in outcome.tables)
    elsewhere = replace(other, data="Digits: 1000 training images")
    assert "Data: Digits" in words(printed(elsewhere, before=outcome))


@pytest.mark.parametrize("width", [20, 80, 200])
def test_brackets_are_no_markup(outcomes, width):
    found = printed(outcomes[2], width)
    assert max(map(len, found.splitlines())) <= width
    if width == 200:
        assert found.count("[red]r[/red]") == 14  # each place once


WIDE = Table(
    "Sharpness, %",
    ("", "SB", "LB, ε 0.001", *(f"paper: case {i}" for i in range(8))),
    tuple(
        (
            name,
            "1.23 ± 0.83",
            "1218 ± 187",
            *(f"{100 * i}.14 ± 69.{i}2" for i in range(8)),
        )
        for name in ("auto", "L-BFGS-B 10 of the paper's recipe, at equal layer norms")
    ),
)


@pytest.mark.parametrize("width", [60, 80, 81, 82, 100, 120, 240])
def test_cells_are_never_broken(outcomes, width):
    found = printed(replace(outcomes[1], tables=(WIDE,)), width)
    lines = found.splitlines()
    assert max(map(len, lines)) <= width
    for row in WIDE.rows:
        for cell in row[1:]:
            assert cell in found
    heads = [line for line in lines if line.startswith(" auto")]
    assert (len(heads) == 1) == (width == 240)  # each block names its rows
    for head in WIDE.columns[1:]:
        assert all(word in found for word in head.split())


def test_a_table_that_fits_stays_in_one_piece(outcomes):
    table = Table("T", ("", "a b"), (("x", "1.2 ± 0.3"), ("y", "4")))
    lines = printed(replace(outcomes[1], tables=(table,)), 20).splitlines()
    begin = lines.index("T")
    assert [line.rstrip() for line in lines[begin + 2 : begin + 6]] == [
        "          a b",
        " ────────────",
        " x  1.2 ± 0.3",
        " y          4",
    ]


@pytest.mark.parametrize("width", [80, 100])
def test_figures_of_claims_are_never_broken(outcomes, width):
    details = (
        "ratio 1.26 [1.15, 1.38] at 90 %",
        "1.002 [0.989, 1.015] of the threshold",
    )
    claims = tuple(
        replace(outcomes[0].claims[0], detail=detail, text="words " * 30)
        for detail in details
    )
    found = printed(replace(outcomes[0], claims=claims), width)
    assert max(map(len, found.splitlines())) <= width
    assert all(detail in found for detail in details)

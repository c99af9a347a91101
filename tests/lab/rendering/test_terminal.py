from dataclasses import replace

import pytest
from rich.console import Console

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

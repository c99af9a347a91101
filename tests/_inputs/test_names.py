"""Parameters chosen by their names."""

import pytest

from sharpkit._inputs.names import chosen_names, listed, printable

NAMES = {"a.w": ["a.w"], "a.b": ["a.b", "c.b"], "['a']": ["['a']"]}


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("a.*", ["a.w", "a.b"]),
        (["a.b", "a.w"], ["a.w", "a.b"]),
        ("c.*", ["a.b"]),
        ("['a']", ["['a']"]),  # as a pattern it would be the letter alone
        (("a.?",), ["a.w", "a.b"]),
        ((name for name in ["a.w"]), ["a.w"]),
        (lambda name: name.startswith("c"), ["a.b"]),
    ],
)
def test_chosen_in_their_own_order(choice, found):
    assert chosen_names(choice, NAMES) == found


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        (
            "x",
            ValueError,
            r"'x' matches no parameter; choose some of these: a\.w, a\.b, ",
        ),
        (["a.*", "A.*"], ValueError, r"parameters='A\.\*' matches no parameter"),
        (
            lambda name: False,
            ValueError,
            "returned False for every name; let it choose",
        ),
        ([], TypeError, r"parameters=\[\]; give names or patterns such as 'enc"),
        (["a.*", 3], TypeError, r"parameters=\['a\.\*', 3\]; give names or patterns"),
    ],
)
def test_choices_that_cannot_be_used(choice, error, message):
    with pytest.raises(error, match=message):
        chosen_names(choice, NAMES)


def test_many_names_are_shortened():
    assert listed([]) == "none"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert listed({name: 0 for name in "abcdefghij"}) == (
        "a, b, c, d, e, f, g, h and 2 more"
    )


def test_what_a_terminal_would_obey_is_spelt_out():
    text = "a\x1b[31mb\x07\r\x9b\u202ec\ud800 ü λ\xa0\nend"
    shown = printable(text)
    assert shown == "a\\x1b[31mb\\x07\\r\\x9b\\u202ec\\ud800 ü λ\xa0\nend"
    assert listed(["a\x1b", "b"]) == "a\\x1b, b"

"""The order of points, and coordinates."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st

from sharpkit.landscape.grid import coordinates, finest, in_order, levels

SIZES = st.integers(2, 70)


@given(SIZES)
def test_levels_are_nested_and_end_with_all(count):
    found = levels(count)
    assert found[-1] == list(range(count))
    assert {0, count - 1} <= set(found[0])
    for coarse, fine in itertools.pairwise(found):
        assert set(coarse) < set(fine)


@given(SIZES, SIZES)
def test_every_place_comes_once_and_coarse_ones_first(rows, columns):
    order = list(in_order((rows, columns)))
    assert sorted(order) == list(np.ndindex(rows, columns))
    first = [levels(rows)[0], levels(columns)[0]]
    assert set(order[: len(first[0]) * len(first[1])]) == {
        (i, j) for i in first[0] for j in first[1]
    }


def test_the_finest_complete_grid():
    taken = np.zeros((9, 9), bool)
    assert finest(taken) is None
    for index, place in enumerate(in_order((9, 9))):
        taken[place] = True
        if index == 24:  # 5 x 5
            assert finest(taken) == [[0, 2, 4, 6, 8]] * 2
            break
    taken[:] = True
    assert finest(taken) == [list(range(9))] * 2


@pytest.mark.parametrize(
    ("span", "count"), [((-0.75, 1.75), 51), ((-0.3, 0.6), 10), (0.7, 3), (1, 51)]
)
def test_0_and_1_are_meant_exactly(span, count):
    found = coordinates("span", count, span)
    assert 0.0 in found
    low, high = span if isinstance(span, tuple) else (-span, span)
    assert (found[0], found[-1], len(found)) == (low, high, count)
    np.testing.assert_allclose(found, np.linspace(low, high, count), atol=1e-12)

import numpy as np
import pytest

from sharpkit.lab.data.outlines import NAMES, outlines


def loops(form, name):
    """The closed loops of an outline, by following its edges."""
    tables, o = outlines(), NAMES.index(name)
    left = set(range(tables.first[o], tables.first[o + 1]))
    while left:
        at, loop = min(left), []
        while at in left:
            left.remove(at)
            loop.append(getattr(tables, form)[at])
            at = tables.following[at]
        yield np.array(loop)


def inside(places, name, form):
    """Whether places lie inside, by the total angle seen of every loop."""
    found = np.zeros(len(places), int)
    for loop in loops(form, name):
        to = loop[None] - places[:, None]
        following = np.roll(to, -1, axis=1)
        cross = to[..., 0] * following[..., 1] - to[..., 1] * following[..., 0]
        turns = np.arctan2(cross, (to * following).sum(axis=2)).sum(axis=1)
        found += np.rint(np.abs(turns) / (2 * np.pi)).astype(int)
    return found % 2 == 1


def test_tables_fit_together():
    tables = outlines()
    assert tables.lean.shape == tables.full.shape == (len(tables.following), 2)
    assert len(tables.first) == len(NAMES) + 1 == 11
    assert tables.first[-1] == len(tables.following)
    # Every vertex has one edge to it: the loops are closed.
    np.testing.assert_array_equal(
        np.sort(tables.following), np.arange(len(tables.following))
    )


def test_only_the_ring_has_a_hole():
    counts = {name: len(list(loops("full", name))) for name in NAMES}
    assert counts.pop("ring") == 2
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("form", ["lean", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_outlines_are_their_own_mirror_images(name, form):
    places = np.random.default_rng(0).uniform(-1.1, 1.1, (2000, 2))
    here = inside(places, name, form)
    there = inside(places * [-1, 1], name, form)
    np.testing.assert_array_equal(here, there)
    assert 0.1 < here.mean() < 0.7


@pytest.mark.parametrize("form", ["lean", "full"])
def test_no_outline_is_another(form):
    places = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    shapes = [inside(places, name, form) for name in NAMES]
    apart = [
        (one ^ other).mean() for i, one in enumerate(shapes) for other in shapes[:i]
    ]
    assert min(apart) > 0.08


@pytest.mark.parametrize("form", ["lean", "full"])
def test_outlines_fill_their_box(form):
    for name in NAMES:
        for vertices in [np.concatenate(list(loops(form, name)))]:
            assert np.abs(vertices).max() < 1.1
            assert np.ptp(vertices[:, 0]) > 1.5 or name == "letter"
            assert np.ptp(vertices[:, 1]) > 0.7

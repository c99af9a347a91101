"""Philox and what is made of it, against the literature and the laws' own moments."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from sharpkit import _native
from sharpkit._vectors.kernels import cpu, reference

# Random123's kat_vectors file: counter, key, result.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        [0xFFFFFFFF] * 2,
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def normals(n, seed=2016, stream=1, offset=0):
    out = np.empty(n)
    cpu.fill_normal(out, seed, stream, offset)
    return out


def signs(n, seed=2016, stream=1, offset=0):
    out = np.empty(n)
    cpu.fill_signs(out, seed, stream, offset)
    return out


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    assert list(_native.philox4x32(counter, key)) == result
    seed, index, stream = (
        low + (high << 32) for low, high in (key, counter[:2], counter[2:])
    )
    words = reference.philox4x32(seed, stream, np.array([index], dtype=np.uint64))
    assert [int(word[0]) for word in words] == result


def test_bits_are_the_same_on_every_machine():
    single = np.empty(100_003, np.float32)
    digests = []
    for fill in (cpu.fill_normal, cpu.fill_signs):
        fill(single, 1, 2, 3)
        digests.append(hashlib.sha256(single.tobytes()).hexdigest()[:16])
    assert digests == ["60b1a2969904ffcc", "13a76686ee84b292"]


def test_block_layout_of_signs():
    words = _native.philox4x32([5, 0, 9, 0], [7, 0])
    bits = [1 if word >> bit & 1 else -1 for word in words for bit in range(32)]
    np.testing.assert_array_equal(signs(128, 7, 9, 5 * 128), bits)


def test_moments():
    n = 4_000_000
    x = normals(n)
    # Five standard errors of each sample moment of a standard normal.
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((x**power).mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(signs(n).mean()) < 5 / np.sqrt(n)


def test_law():
    assert stats.kstest(normals(200_000), "norm").pvalue > 1e-3


def test_tails():
    n = 16_000_000
    x = np.abs(normals(n, seed=3))
    for bound in (3, 4, 4.5, 5):
        expected = n * 2 * stats.norm.sf(bound)
        assert abs((x > bound).sum() - expected) < 5 * np.sqrt(expected)
    assert x.max() < 6.77
    # The numbers near 0 are as dense as they should be, and none is 0.
    assert x.min() > 0
    expected = n * (2 * stats.norm.cdf(1e-4) - 1)
    assert abs((x < 1e-4).sum() - expected) < 5 * np.sqrt(expected)


def test_neighbours_and_streams_are_uncorrelated():
    n = 1_000_000
    x = normals(n)
    others = [
        normals(n, seed=2017),
        normals(n, stream=2),
        normals(n, stream=1 + 2**32),
        normals(n, seed=2016 + 2**32),
        *(normals(n, offset=lag) for lag in (1, 2, 3, 4)),
    ]
    for y in others:
        assert abs(x @ y) / n < 5 / np.sqrt(n)
        assert abs((x**2 - 1) @ (y**2 - 1)) / n < 5 * 2 / np.sqrt(n)
        assert abs(np.sign(x) @ np.sign(y)) / n < 5 / np.sqrt(n)


def test_far_offsets_are_their_own_numbers():
    x, y = normals(1000), normals(1000, offset=2**34)
    assert not np.isin(x, y).any()

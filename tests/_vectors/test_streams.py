import re
from itertools import pairwise
from pathlib import Path

import numpy as np

import sharpkit
from sharpkit._vectors.kernels import reference
from sharpkit._vectors.streams import Stream


def test_no_purpose_reaches_into_the_streams_of_another():
    begins = sorted(Stream.__members__.values())  # with names that share a number
    assert all(later - begin >= 1 << 20 for begin, later in pairwise(begins))
    assert max(begins) < 1 << 63  # a stream's number has 64 bits


def test_streams_do_not_correlate():
    rows = np.empty((len(Stream), 20_000))
    for row, stream in zip(rows, Stream, strict=True):
        reference.fill_normal(row, 3, stream, 0)
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() < 5 / np.sqrt(rows.shape[1])


def test_numbers_of_streams_stand_in_one_place():
    """Whoever draws a random vector takes the stream by its name."""
    calls = [
        call
        for room in ("_box", "_spectrum", "_diagnosis")
        for path in (Path(sharpkit.__file__).parent / room).rglob("*.py")
        for call in re.findall(
            r"(?:_fill|fill_normal|fill_signs)\((.*)\)", path.read_text()
        )
    ]
    assert len(calls) >= 13
    assert all("Stream." in call for call in calls)

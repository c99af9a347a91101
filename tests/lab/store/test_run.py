import re
from dataclasses import replace

import numpy as np
import pytest
from stored_runs import run_of

from sharpkit.lab.store import StoreError
from sharpkit.lab.store.run import from_row, to_row


def test_a_row_and_back():
    run = run_of(7)
    assert from_row((*to_row(run), "now", None)) == run_of(7, created="now")


def test_tuples_come_back_as_lists():
    row = to_row(run_of(0, config={"growth": ((1, 256), (5, 512))}))
    assert from_row((*row, "", None)).config == {"growth": [[1, 256], [5, 512]]}


NAN, INF = float("nan"), float("inf")
BAD = [
    ({"key": ""}, "key=''; give the hexadecimal digits of a SHA-256"),
    ({"key": "../a"}, "key='../a'; give the hex"),
    ({"key": "a" * 129}, "a'; give the hex"),
    ({"key": None}, "key=None; give the hex"),
    ({"kind": ""}, "kind=''; give a printable str"),
    ({"kind": "a\nb"}, r"kind='a\nb'; give a printable str"),
    ({"seed": -1}, "seed=-1; give an int from 0 to 9223372036854775807"),
    ({"seed": 2**63}, "seed=9223372036854775808; give an int"),
    ({"seed": True}, "seed=True; give an int"),
    ({"seed": np.int64(1)}, "seed=np.int64(1); give an int"),
    ({"seconds": NAN}, "seconds=nan; give a finite float"),
    ({"seconds": "1"}, "seconds='1'; give a finite float"),
    ({"config": [1]}, "config=[1]; give a dict"),
    ({"config": {"a": {1: 2}}}, "config.a has the key 1; give keys that are str"),
    ({"metrics": {"a": [{"b": NAN}]}}, "metrics.a[0].b=nan; give a finite number, or"),
    ({"metrics": {"a": (1.0, -INF)}}, "metrics.a[1]=-inf; give a finite number, or"),
    ({"metrics": {"a": np.float64(NAN)}}, "metrics.a=nan; give a finite number"),
    ({"metrics": {"a": np.float32(1)}}, "metrics.a=np.float32(1.0); give a bool, int"),
    ({"metrics": {"a": np.ones(1)}}, "metrics.a=array([1.]); give a bool, int"),
    ({"config": {"a": {1}}}, "config.a={1}; give a bool, int"),
    ({"versions": {"numpy": 2j}}, "versions.numpy=2j; give a bool, int"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_what_would_not_come_back_is_refused(changes, message):
    with pytest.raises(StoreError, match=re.escape(message)):
        to_row(replace(run_of(0), **changes))

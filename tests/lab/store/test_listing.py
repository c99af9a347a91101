import csv
import io
import json
import re

import pytest
from stored_runs import run_of

from sharpkit.lab.store.listing import (
    OWN,
    QueryError,
    columns,
    export,
    fields,
    headline,
    of_kind,
    resolve,
    select,
    setting,
)

SHARPNESS = run_of(
    5,
    kind="sharpness",
    key="s",
    config=run_of(5).config | {"measure": ["sharpness"], "extra": {}},
    metrics={
        "sharpness": [
            {"epsilon": 1e-3, "subspace": None, "value": 12.345678},
            {"epsilon": 5e-4, "subspace": 100, "value": 3.25},
        ],
        "norm": 4.5,
    },
)
RUNS = [*(run_of(seed) for seed in range(4)), SHARPNESS]


def test_fields_are_all_entries():
    found = fields(SHARPNESS)
    assert found["config.network.name"] == "F1"
    assert found["config.data.folder"] is None
    assert found["config.extra"] == {}
    assert found["metrics.sharpness"] == SHARPNESS.metrics["sharpness"]
    assert found["versions.python"] == "3.11.7"
    assert [found[name] for name in OWN] == ["s", "sharpness", 5, 1.5, "", None]
    assert len(found) == len(OWN) + 11 + 2 + 2


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("seed", "seed"),
        ("data.seed", "config.data.seed"),
        ("network", "config.network.name"),
        ("network.name", "config.network.name"),
        ("config.network", "config.network.name"),
        ("regime.batch_size", "config.regime.batch_size"),
        ("batch_size", "config.regime.batch_size"),
        ("epochs", "metrics.epochs"),
        ("train", "config.data.train"),
        ("test.accuracy", "metrics.test.accuracy"),
        ("numpy", None),
        ("size", None),
    ],
)
def test_shorter_names(name, field):
    assert resolve(name, fields(run_of(0))) == field


def test_a_name_that_may_mean_several():
    several = "metrics.train.loss, metrics.test.loss; give more of its name"
    with pytest.raises(QueryError, match=f"^loss may mean {several}$"):
        resolve("loss", fields(run_of(0)))


@pytest.mark.parametrize(
    ("condition", "seeds"),
    [
        ("seed=3", [3]),
        ("seed=3.0", [3]),
        ("epochs=41", [1]),
        ("network=F1", [0, 1, 2, 3, 5]),
        ("network=f1", []),
        ("rate=1e-3", [0, 1, 2, 3, 5]),
        ("rate=fast", []),
        ("reached=true", [0, 1, 2, 3]),
        ("reached=1", []),
        ("data.folder=null", [0, 1, 2, 3, 5]),
        ("losses=[2.5, 0.125]", [0, 1, 2, 3]),
        ('measure=["sharpness"]', [5]),
        ("kind=sharpness", [5]),
        ("norm=4.5", [5]),
    ],
)
def test_conditions(condition, seeds):
    assert [run.seed for run in select(RUNS, [condition])] == seeds


def test_several_conditions_are_all_true():
    assert [run.seed for run in select(RUNS, ["seed=5", "network=F1"])] == [5]
    assert select(RUNS, ["seed=5", "reached=true"]) == []
    assert select(RUNS, []) == RUNS
    assert select([], ["anything=1"]) == []


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("regime.batchsize=3", "no run has a field regime.batchsize; the nearest are "),
        ("seed", "--where seed; give NAME=VALUE, such as network.name=F1"),
        ("=3", "--where =3; give NAME=VALUE"),
        ("loss=3", "loss may mean metrics.train.loss, metrics.test.loss"),
    ],
)
def test_bad_conditions(condition, message):
    with pytest.raises(QueryError, match=re.escape(message)):
        select(RUNS, [condition, "seed=99"])


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("regime.batchsize", "regime.batch_size"),
        ("bach_size", "regime.batch_size"),
        ("sead", "seed"),
        ("metrics.train.lost", "train.loss"),
    ],
)
def test_the_nearest_fields_are_named(name, nearest):
    with pytest.raises(QueryError, match=f"the nearest are {nearest}(,|$)"):
        select(RUNS, [f"{name}=1"])


def test_kinds():
    assert of_kind(RUNS, "sharpness") == [SHARPNESS]
    assert of_kind(RUNS, None) == RUNS
    assert of_kind([], "path") == []
    kinds = "no run is of the kind path; there are sharpness, train"
    with pytest.raises(QueryError, match=kinds):
        of_kind(RUNS, "path")


def test_everything_is_exported():
    stream = io.StringIO()
    export(RUNS, stream)
    header, *rows = csv.reader(io.StringIO(stream.getvalue()))
    assert len(header) == len(set(header))
    assert header == columns(RUNS)
    assert len(rows) == len(RUNS)
    for run, row in zip(RUNS, rows, strict=True):
        wanted = fields(run)
        for name, text in zip(header, row, strict=True):
            if name not in wanted:
                assert text == ""
            elif isinstance(wanted[name], str):
                assert text == wanted[name]
            else:
                assert json.loads(text) == wanted[name]


def test_nothing_is_exported_as_a_header():
    stream = io.StringIO()
    export([], stream)
    assert stream.getvalue() == "key,kind,seed,seconds,created,weights\n"


def test_headlines():
    assert headline(run_of(2)) == (
        "train loss 0.125, train accuracy 1, test accuracy 0.9375, epochs 42"
    )
    assert headline(SHARPNESS) == "sharpness at 0.001 12.35, sharpness at 0.0005 3.25"
    other = {"a": True, "b": "text", "c": None, "d": {"e": 1.0}, "f": [2.0]}
    assert headline(run_of(0, metrics=other)) == "d.e 1"
    assert headline(run_of(0, metrics={})) == ""


def test_settings():
    assert setting(SHARPNESS, "batch_size") == "32"
    assert setting(SHARPNESS, "network.name") == "F1"
    assert setting(SHARPNESS, "size") == ""


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", r"\t=1"),
        ("\x1b[2Jred", r"\x1b[2Jred"),
        ("a-b=c", "a-b=c"),
    ],
)
def test_no_cell_is_obeyed(text, cell):
    stream = io.StringIO()
    export([run_of(0, kind=text, metrics={"loss": -0.5})], stream)
    header, row = csv.reader(io.StringIO(stream.getvalue()))
    assert row[header.index("kind")] == cell
    assert row[header.index("metrics.loss")] == "-0.5"  # a number stays one

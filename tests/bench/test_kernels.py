import json
import time

import fake_cupy
import numpy as np
import pytest

from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

N = 2000


@pytest.fixture
def kernels(load):
    return load("bench.cases.kernels")


@pytest.fixture
def records(kernels):
    place = kernels.Place("cpu", 1, time.perf_counter, 1)
    return kernels.measure(place, np.float32, n=N, rounds=2)


def test_the_limits_are_what_they_say(load):
    stream = load("bench.stream")
    n = 2 * stream.CHUNK + 5
    a, b, out = (np.full(n, value, np.float32) for value in (1, 2, 3))
    found = stream.limits(a, b, out, long=np.tile(b, 4))
    for name, expected in (("copy", 1), ("triad", 2), ("fill", 0)):
        found[name].run()
        assert (out == expected).all(), name
    found["read"].run()
    vectors = {name: limit.bytes / a.nbytes for name, limit in found.items()}
    assert vectors == {"copy": 2, "triad": 3, "read": 4, "fill": 1}
    assert stream._read(b, 1, n) == 2 * (n - 1)


def test_every_call_meets_the_specification(kernels):
    kernels.check("cpu", n=40_003)


def test_so_do_the_device_kernels(kernels):
    with fake_cupy.installed():
        kernels.check("cuda", n=301)


@pytest.mark.parametrize("found", [2.0 + 1e-9, float("nan")])
def test_a_wrong_result_is_noticed(kernels, found):
    kernels.compare("gram", np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    with pytest.raises(kernels.CaseError, match="gram differs"):
        kernels.compare("gram", np.array([1.0, found]), np.array([1.0, 2.0]))


def test_the_place_touches_walls_and_the_steps_hit_more(load):
    vectors = load("bench.vectors").Vectors(Space(cpu, N, np.float64))
    radius = 1e-3 * (np.abs(vectors.w) + 1)
    at_walls = np.mean(np.abs(vectors.z) >= radius)
    ahead = np.mean(np.abs(vectors.z + 2 * vectors.d) >= radius)
    assert 0.05 < at_walls < ahead < 0.95


def test_bytes_are_those_that_space_counts(records):
    moved = {record["kernel"]: record["bytes"] / (4 * N) for record in records}
    assert moved["limit triad"] == 3
    assert moved["gram 2x22"] == 24
    assert moved["gram own 22x22"] == 22
    assert moved["combine 1<-20"] == 21
    assert moved["combine 1<-20 + out"] == 22
    assert moved["box_step"] == 5
    assert moved["box_step, x only"] == 4
    assert moved["path_gram k=20"] == 23
    assert moved["fill_signs"] == 1


def test_the_share_of_the_limit(kernels, load):
    timing, vectors = load("bench.timing"), load("bench.vectors")
    call = vectors.Call(lambda: None, "triad", 0.85, work=3)
    found = kernels._record(
        "combine 1<-1",
        call,
        n=10**9,
        moved={"combine 1<-1": 2, "limit triad": 3},
        times={
            "combine 1<-1": timing.Timing((8.0,)),
            "limit triad": timing.Timing((10.0,)),
        },
        queued=2,
    )
    assert found["seconds"] == 4.0
    assert found["share"] == pytest.approx((2 / 8) / (3 / 10))
    assert found["met"] is False
    assert found["busy"] is False
    assert found["gfma_per_s"] == 0.75


def test_the_table(kernels, records):
    busy = [record | {"place": "cpu, 2", "busy": True} for record in records]
    table = kernels.table([*records, *busy])
    assert [len(row) for row in table.rows] == [len(table.columns)] * len(records)
    by_name = {row[0]: row for row in table.rows}
    assert by_name["combine 1<-1"][-2] == ">= 85% triad"
    assert by_name["combine 1<-1"][-1].endswith("?")
    assert by_name["gram own 22x22"][-2:] == ("read", "")
    assert by_name["fill_normal"][-3].endswith("M/s")
    assert any(note.startswith("BUSY MACHINE") for note in table.notes)
    assert json.dumps(table.data)

import json
import math
import os
import re
import sys
from itertools import pairwise

import numpy as np
import pytest

from sharpkit._inputs.warn import SharpkitWarning
from sharpkit.landscape import Axis, LineResult, PlaneResult, load
from sharpkit.landscape.curve_result import CurveResult
from sharpkit.results.common import Run

RUN = Run(7, "none", 12, 1.5, 1.25, "cpu", "float32", 3)


def grid(*shape):
    values = np.random.default_rng(0).standard_normal(shape) ** 2 + 0.1
    values.flat[:4] = [math.nan, math.inf, -math.inf, -0.0]
    return values


def plane(shape=(5, 4)):
    taken = np.ones(shape, bool)
    taken[-1, -1] = False
    values = {"train loss": grid(*shape), "train accuracy": grid(*shape) / 9}
    for each in values.values():
        each[~taken] = math.nan
    return PlaneResult(
        x=np.linspace(-1, 1, shape[0]) / 3,
        y=np.linspace(0, 1, shape[1]) / 7,
        values=values,
        errors={"train loss": grid(*shape)},
        taken=taken,
        axes=(
            Axis("random", 2.5, "filter", 0, varied=0.9),
            Axis("eigenvector 1", math.nan, slope=math.inf, curvature=1 / 3),
        ),
        run=RUN,
        marks={"path": np.array([[-0.3, 0.0], [0.1, 0.05], [9, 9]]), "nan": grid(1, 2)},
        centre={"train loss": math.nan, "train accuracy": 0.1},
        batch_norm="data",
        samples=100,
        explained=(0.7, math.nan),
    )


def line():
    return LineResult(
        x=np.linspace(-1, 1, 6),
        values={"loss": grid(6)},
        taken=np.arange(6) < 5,
        axes=(Axis("random", 1.0, "filter", 0), Axis("random", 1.0, "filter", 1)),
        run=RUN,
        repeats={"loss": grid(2, 6)},
    )


def curve():
    return CurveResult(
        t=np.linspace(0, 1, 3),
        values={"loss": np.array([1.0, math.nan, 2.0])},
        straight={"loss": np.array([1.0, math.inf, 2.0])},
        bends=np.full((1, 3), 1 / 3, np.float32),
        ends=np.eye(2, 3, dtype=np.float32),
        kind="bezier",
        names=("start", "nan"),
        training=grid(5),
        batch_norm="batch",
        run=RUN,
    )


def same(one, other):
    """Whether two values are the same to the bit, what they are made of included."""
    if isinstance(one, np.ndarray):
        kinds = [(each.dtype, each.shape, each.tobytes()) for each in (one, other)]
        return kinds[0] == kinds[1]
    if isinstance(one, dict):
        return [*one] == [*other] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Axis | Run):
        return same(vars(one), vars(other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("made", [plane, line, curve])
@pytest.mark.parametrize("suffix", [".npz", ".json", ".JSON"])
def test_every_field_comes_back_to_the_bit(tmp_path, made, suffix):
    result, path = made(), tmp_path / f"result{suffix}"
    result.save(path)
    again = load(os.fspath(path))
    assert type(again) is type(result)
    assert same(vars(again), vars(result))
    assert repr(again) == repr(result)
    assert os.listdir(tmp_path) == [path.name]


def strict(text):
    """Parse JSON as the standard has it, which knows no NaN."""

    def refuse(name):
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("made", [plane, line, curve])
def test_files_are_json_and_arrays_without_pickles(tmp_path, made):
    result = made()
    result.save(tmp_path / "a.json")
    told = strict((tmp_path / "a.json").read_text())
    name = next(iter(result.values))
    kept = np.array(told["result"]["values"][name]["data"], float)
    assert np.array_equal(kept, result.values[name], equal_nan=True)
    result.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as entries:
        described = entries["description"]
        assert (described.ndim, described.dtype.kind) == (0, "U")
        description = strict(str(described))
        assert entries[f"values/{name}"].tobytes() == result.values[name].tobytes()
    assert (description["format"], description["version"]) == ("sharpkit landscape", 1)
    assert description["result"]["run"]["seed"] == 3
    strict(json.dumps(result.to_dict(), allow_nan=False))


@pytest.mark.parametrize("suffix", [".npz", ".json", ".h5"])
def test_damaged_and_foreign_files(tmp_path, suffix):
    pytest.importorskip("h5py")
    path = tmp_path / f"result{suffix}"
    plane().save(path)
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"\x00" * 200, b"[1, 2]"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=re.escape(path.name)):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / f"missing{suffix}")


def test_foreign_arrays_and_parts_that_do_not_fit(tmp_path):
    np.savez(tmp_path / "other.npz", loss=np.zeros(3), coordinates=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"no landscape that sharpkit saved.*descripti"
    ):
        load(tmp_path / "other.npz")
    plane().save(tmp_path / "a.json")
    whole = json.loads((tmp_path / "a.json").read_text())
    for change, message in (
        ({"version": 2}, "version 2"),
        ({"format": "x"}, "'x' of version 1"),
        ({"kind": "volume"}, "volume"),
        ({"result": whole["result"] | {"z": 1}}, "fields z are not known"),
        ({"result": whole["result"] | {"y": whole["result"]["x"]}}, "has the shape"),
    ):
        (tmp_path / "a.json").write_text(json.dumps(whole | change))
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "a.json")


def test_suffixes_and_options(tmp_path):
    with pytest.raises(ValueError, match=r"suffix '.foo'; give one of .npz, .*.png"):
        plane().save(tmp_path / "a.foo")
    with pytest.raises(ValueError, match=r"suffix ''; give one of .npz"):
        plane().save(tmp_path / "a")
    with pytest.raises(
        ValueError, match=r"suffix '.png'; give one of .npz, .json, .h5"
    ):
        load(tmp_path / "a.png")
    with pytest.raises(TypeError, match=r"log: files of type .npz take no options"):
        plane().save(tmp_path / "a.npz", log=True)
    with pytest.raises(TypeError, match=r"a CurveResult has no place in a .h5 file"):
        curve().save(tmp_path / "a.h5")
    with pytest.raises(TypeError, match=r"a LineResult has no surface for .vtp"):
        line().save(tmp_path / "a.vtp")
    assert os.listdir(tmp_path) == []


# --- Li et al.'s code, restated from its `plot_surface.py`, `scheduler.py` and
# `h52vtp.py`: an array of shape (x, y) that is filled, and read, with x fastest.


def filled(x, y, loss):
    values = -np.ones((len(x), len(y)))
    first, second = (each.ravel() for each in np.meshgrid(x, y))
    for index in range(values.size):
        values.ravel()[index] = loss(first[index], second[index])
    return values


def surface(x, y, values):
    first, second = np.meshgrid(x, y)
    return {
        (a, b): c
        for a, b, c in zip(first.ravel(), second.ravel(), values.ravel(), strict=True)
    }


NAME = (
    "model_300.t7_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=layer.h5"
    "_[-1.0,1.0,5]x[0.0,1.0,4].h5"
)


def test_a_plane_of_the_other_code_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 1, 4)
    values = filled(x, y, lambda a, b: 3 + a + 10 * b)
    values.ravel()[7] = -1
    with h5py.File(tmp_path / NAME, "w") as entries:
        entries["dir_file"] = "trained/model_300.t7_weights"
        entries["xcoordinates"], entries["ycoordinates"] = x, y
        entries["train_loss"] = values
        entries["train_acc"] = np.where(values == -1, -1, 75.0)
    found = load(tmp_path / NAME)
    place = 7 % 5, 7 // 5
    wanted = 3 + x[:, None] + 10 * y[None, :]
    wanted[place] = math.nan
    assert list(found.values) == ["train loss", "train accuracy"]
    assert np.array_equal(found.value("train loss"), wanted, equal_nan=True)
    assert np.unique(found.value("train accuracy")[found.taken]).tolist() == [0.75]
    assert np.argwhere(~found.taken).tolist() == [[*place]]
    assert [axis.normalize for axis in found.axes] == ["filter", "layer"]
    assert [axis.name for axis in found.axes] == ["random", "random"]
    assert (found.x.tolist(), found.y.tolist()) == (x.tolist(), y.tolist())


def test_a_line_of_the_other_code_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "line.h5", "w") as entries:
        entries["dir_file"] = "m.t7_weights_xnorm=filter"
        entries["xcoordinates"] = [0.0, 0.5, 1.0]
        entries["train_loss"], entries["test_loss"] = [1.0, 2, 3], [2.0, -1, 4]
    found = load(tmp_path / "line.h5")
    assert isinstance(found, LineResult)
    assert found.value("train loss").tolist() == [1, 2, 3]
    assert np.isnan(found.value("test loss")).tolist() == [False, True, False]
    assert found.complete
    assert str(found.axes[0]).startswith("random, biases and batch norms moved")


def test_a_plane_is_written_as_the_other_code_reads_it(tmp_path):
    h5py = pytest.importorskip("h5py")
    result = plane()
    result.save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as entries:
        assert {"xcoordinates", "ycoordinates", "dir_file"} < set(entries)
        assert b"_xignore=biasbn_xnorm=filter" in entries["dir_file"][()]
        assert entries["train_loss"].shape == (5, 4)
        x, y = entries["xcoordinates"][:], entries["ycoordinates"][:]
        loss = surface(x, y, entries["train_loss"][:])
        accuracy = surface(x, y, entries["train_acc"][:])
    for i, j in np.ndindex(5, 4):
        wanted = result.value()[i, j] if result.taken[i, j] else -1
        assert same(float(loss[x[i], y[j]]), float(wanted))
        share = 100 * result.value("train accuracy")[i, j]
        assert same(float(accuracy[x[i], y[j]]), float(share if wanted != -1 else -1))
    again = load(tmp_path / "a.h5")
    assert same(again.value(), result.value())
    assert (again.taken == result.taken).all()


def test_one_loss_without_a_name_is_that_of_training(tmp_path):
    h5py = pytest.importorskip("h5py")
    result = line()
    result.save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as entries:
        assert same(entries["train_loss"][:5], result.value()[:5])
        assert entries["train_loss"][5] == -1
    result.values["loss"][4] = -1.0
    with pytest.warns(SharpkitWarning, match="loss is -1 at some points"):
        result.save(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"train_loss": [1.0]}, "needs a vector of numbers as 'xcoordinates'"),
        ({"xcoordinates": [0.0, 1.0]}, "has no train_loss or test_loss"),
        ({"xcoordinates": [0.0, 1.0], "train_loss": [1.0]}, "needs 2 numbers as"),
        ({"xcoordinates": "text", "train_loss": [1.0]}, "needs a vector of numbers"),
    ],
)
def test_h5_files_that_lack_something(tmp_path, entries, message):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in entries.items():
            file[name] = value
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "a.h5")


def test_the_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install 'sharpkit\[landscape\]'"
    ):
        plane().save(tmp_path / "a.h5")


# --- VTK


def read_vtp(path):
    vtk = pytest.importorskip("vtk")
    numpy = pytest.importorskip("vtk.util.numpy_support").vtk_to_numpy
    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName(os.fspath(path))
    reader.Update()
    assert reader.GetErrorCode() == 0
    read = reader.GetOutput()
    data = read.GetPointData()

    def cells(found):
        ids, starts = (
            numpy(each).tolist()
            for each in (found.GetConnectivityArray(), found.GetOffsetsArray())
        )
        return [ids[a:b] for a, b in pairwise(starts)]

    return (
        numpy(read.GetPoints().GetData()),
        {
            data.GetArrayName(i): numpy(data.GetArray(i))
            for i in range(data.GetNumberOfArrays())
        },
        cells(read.GetPolys()),
        cells(read.GetLines()),
        cells(read.GetVerts()),
    )


@pytest.mark.parametrize("log", [False, True])
def test_paraview_finds_the_same_numbers(tmp_path, log):
    result = plane()
    result.save(tmp_path / "a.vtp", log=log)
    points, values, quads, lines, vertices = read_vtp(tmp_path / "a.vtp")
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.log10(result.value()) if log else result.value()
    seen = {(x, y): i for i, (x, y, _) in enumerate(points)}
    for i, j in np.ndindex(height.shape):
        place = result.x[i], result.y[j]
        assert (place in seen) == np.isfinite(height[i, j])
        if place in seen:
            assert points[seen[place], 2] == height[i, j]
            for name, each in result.values.items():
                assert same(float(values[name][seen[place]]), float(each[i, j]))
    corners = np.isfinite(height)
    whole = corners[1:, 1:] & corners[:-1, 1:] & corners[1:, :-1] & corners[:-1, :-1]
    assert len(quads) == whole.sum()
    for quad in quads:
        (x, y, _) = points[quad].T
        assert (len(set(quad)), len(set(x)), len(set(y))) == (4, 2, 2)
        assert np.ptp(x) < 0.2
    assert vertices == []
    # The first point of the path is where the loss is not finite, the last beside it.
    assert [points[each].tolist()[0][:2] for each in lines] == [[0.1, 0.05]]


def test_a_trajectory_lies_on_the_surface_and_breaks_beside_it(tmp_path):
    result = plane((3, 3))
    loss = 2 + result.x[:, None] + 3 * result.y[None, :]
    result.values.update({"train loss": loss, "train accuracy": loss / 9})
    path = np.array([[-0.3, 0.01], [-0.1, 0.1], [5, 5], [0.2, 0.02], [1 / 3, 0.0]])
    result.marks.update(path=path, nan=np.array([[0.05, 0.1]]))
    result.save(tmp_path / "a.vtp", value="train loss")
    points, values, quads, lines, vertices = read_vtp(tmp_path / "a.vtp")
    assert (len(points), len(quads)) == (9 + 5, 4)
    assert [len(each) for each in lines] == [2, 2]
    np.testing.assert_array_equal(
        points[[i for each in lines for i in each], :2], path[[0, 1, 3, 4]]
    )
    assert [points[each].tolist()[0][:2] for each in vertices] == [[0.05, 0.1]]
    np.testing.assert_allclose(points[:, 2], 2 + points[:, 0] + 3 * points[:, 1])
    np.testing.assert_allclose(values["train accuracy"], points[:, 2] / 9)


def test_a_surface_without_finite_points(tmp_path):
    result = plane()
    result.values["train loss"][:] = math.nan
    with pytest.raises(ValueError, match="finite at no point"):
        result.save(tmp_path / "a.vtp")

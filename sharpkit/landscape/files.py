"""Files of measured landscapes: written whole or not at all, and read again."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path as File
from typing import Any

import numpy as np

from sharpkit._inputs.files import replacing
from sharpkit._inputs.types import Array, Path
from sharpkit.landscape import goldstein, vtk
from sharpkit.landscape.curve_result import CurveResult
from sharpkit.landscape.surface import Axis, LineResult, PlaneResult
from sharpkit.results.common import Run

FORMAT, VERSION = "sharpkit landscape", 1
KINDS: dict[str, Any] = {"line": LineResult, "plane": PlaneResult, "curve": CurveResult}
PICTURES = (
    *(".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps"),
    *(".ps", ".pgf", ".svgz"),
)
PLAIN = (".npz", ".json", ".h5", ".html")  # which take no options
Keep = Callable[[str, Array], Any]


def save(result: Any, path: Path, **options: Any) -> None:
    """Write a result to a file, whose suffix says how; see `Surface.save`.

    Parameters
    ----------
    result
        The result of `line`, `plane` or `curve`.
    path
        The file. A crash leaves the old or the new one.
    **options
        What ``.vtp`` and pictures take.

    Raises
    ------
    TypeError
        If options are given for a file that takes none.
    ValueError
        If the suffix is none of those known.
    """
    file = File(path)
    suffix = file.suffix.lower()
    if suffix in PLAIN and options:
        msg = f"{', '.join(options)}: files of type {suffix} take no options"
        raise TypeError(msg)
    writers: dict[str, Callable[..., None]] = {
        ".npz": _write_npz,
        ".json": _write_json,
        ".h5": goldstein.write,
        ".vtp": vtk.write,
        ".html": _write_page,
    }
    if suffix not in writers and suffix not in PICTURES:
        known = ", ".join((*writers, *PICTURES))
        msg = f"path={str(path)!r} has the suffix {suffix!r}; give one of {known}"
        raise ValueError(msg)
    with replacing(file) as part:
        if suffix in writers:
            writers[suffix](result, part, **options)
        else:
            result.plot(part, **options)


def load(path: Path) -> Any:
    """Read what `save` wrote, or a surface of Li et al.'s code.

    ``.npz`` and ``.json`` give every field to the bit. ``.h5`` files have the layout of
    Li et al.'s code: coordinates and values, in which -1 means not taken.

    Parameters
    ----------
    path
        The file, with the suffix ``.npz``, ``.json`` or ``.h5``.

    Returns
    -------
    LineResult, PlaneResult or CurveResult
        What was saved.

    Raises
    ------
    ValueError
        If it is none of these files, or damaged.
    """
    file = File(path)
    readers = {".npz": _from_npz, ".json": _from_json}
    suffix = file.suffix.lower()
    if suffix == ".h5":
        return goldstein.read(file)
    if suffix not in readers:
        known = ", ".join((*readers, ".h5"))
        msg = f"path={str(path)!r} has the suffix {suffix!r}; give one of {known}"
        raise ValueError(msg)
    content = file.read_bytes()
    try:
        return readers[suffix](content)
    except Exception as error:  # damage has no end of forms
        msg = (
            f"{str(path)!r} is no landscape that sharpkit saved, or it is damaged "
            f"({type(error).__name__}: {error}); save it again with result.save(path)"
        )
        raise ValueError(msg) from error


def _write_npz(result: Any, file: File) -> None:
    arrays: dict[str, Any] = {}

    def kept(name: str, array: Array) -> Any:
        arrays[name] = array
        return {"array": name}

    description = np.array(json.dumps(_described(result, kept), allow_nan=False))
    with file.open("wb") as opened:
        np.savez_compressed(opened, description=description, **arrays)


def _write_json(result: Any, file: File) -> None:
    def kept(name: str, array: Array) -> Any:
        return {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "data": _spelt(array.tolist()),
        }

    text = json.dumps(_described(result, kept), allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _write_page(result: Any, file: File) -> None:
    from sharpkit.landscape.page import page

    file.write_text(page(result), encoding="utf-8")


def _from_npz(content: bytes) -> Any:
    with np.load(io.BytesIO(content), allow_pickle=False) as entries:
        description = json.loads(str(entries["description"][()]))
        return _restored(description, lambda kept: entries[kept["array"]])


def _from_json(content: bytes) -> Any:
    def array(kept: Any) -> Array:
        # NumPy reads "nan", "inf" and "-inf" as what they are.
        return np.array(kept["data"], kept["dtype"]).reshape(kept["shape"])

    return _restored(json.loads(content), array)


def _described(result: Any, keep: Keep) -> dict[str, Any]:
    """Return a result as JSON; arrays are what ``keep(name, array)`` returns."""

    def described(name: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return keep(name, value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = vars(value)
        if isinstance(value, Mapping):
            return {
                key: described(f"{name}/{key}", each) for key, each in value.items()
            }
        if isinstance(value, tuple):
            return [described(f"{name}/{i}", each) for i, each in enumerate(value)]
        return _spelt(value)

    kinds = {kind: name for name, kind in KINDS.items()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kinds[type(result)],
        "result": {name: described(name, each) for name, each in vars(result).items()},
    }


def _restored(description: Any, array: Callable[[Any], Array]) -> Any:
    """Return the result that was described.

    Raises
    ------
    ValueError
        If it is of another format or version, or its parts do not fit together.
    """
    if (description["format"], description["version"]) != (FORMAT, VERSION):
        msg = f"it is {description['format']!r} of version {description['version']!r}"
        raise ValueError(msg)
    kind = KINDS[description["kind"]]
    kept = description["result"]
    own = {
        each.name: _field(each, kept.pop(each.name), array)
        for each in dataclasses.fields(kind)
    }
    if kept:
        msg = f"its fields {', '.join(kept)} are not known"
        raise ValueError(msg)
    result = kind(**own)
    _require_fit(result)
    return result


def _field(field: Any, kept: Any, array: Callable[[Any], Array]) -> Any:
    """Return a field of a result, whose type says what was kept of it."""
    if field.type == "Values":
        return {name: array(each) for name, each in kept.items()}
    if field.type == "dict[str, float]":
        return {name: float(each) for name, each in kept.items()}
    if field.type == "Run":
        return Run(**_floats(Run, kept))
    if field.type == "tuple[Axis, ...]":
        return tuple(Axis(**_floats(Axis, each)) for each in kept)
    if field.type == "tuple[float, ...]":
        return tuple(map(float, kept))
    if isinstance(kept, dict):
        return array(kept)
    return tuple(kept) if isinstance(kept, list) else _floats_of(field, kept)


def _floats(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    fields = {each.name: each for each in dataclasses.fields(kind)}
    return {name: _floats_of(fields[name], each) for name, each in values.items()}


def _floats_of(field: Any, value: Any) -> Any:
    """Return a number that is not finite from its name."""
    spelt = isinstance(value, str) and field.type.startswith("float")
    return float(value) if spelt else value


def _require_fit(result: Any) -> None:
    """Raise unless all values have the shape that the coordinates say.

    Raises
    ------
    ValueError
        If one has not.
    """
    names = ("t",) if isinstance(result, CurveResult) else ("x", "y")
    shape = tuple(len(getattr(result, name)) for name in names if hasattr(result, name))
    own = vars(result)
    grids = [*own["values"].items(), *own.get("errors", {}).items()]
    grids += [*own.get("straight", {}).items(), ("taken", own.get("taken"))]
    for name, grid in grids:
        if grid is not None and grid.shape != shape:
            msg = f"{name} has the shape {grid.shape} at {shape} points"
            raise ValueError(msg)


def _spelt(value: Any) -> Any:
    """Return numbers that JSON has not by their names, in lists of lists, too."""
    if isinstance(value, list):
        return [_spelt(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value

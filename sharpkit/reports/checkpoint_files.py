"""Readers of checkpoints, of which none executes anything or trusts a declared size."""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit._inputs.extras import needs
from sharpkit._inputs.state_names import state_in

Named = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]
Room = Callable[[Shapes], None]
"""What raises unless there is room for arrays of these declared shapes."""

SAFETENSORS_OF_TORCH = ("BF16", "F8_E4M3", "F8_E5M2")  # NumPy has no such dtypes
PIECE = 1 << 20  # bytes that are read at once


class Refused(ValueError):
    """What is wrong with a file: the end of a sentence that begins with its name."""


class Beside:
    """Stands for a value beside the weights that is no tensor, and forgets it.

    It is what a file gets in place of the classes and functions that it names: none of
    them is called.
    """

    def __init__(self, *_values: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Forget the value."""


# What training scripts save beside the weights: scalars, arrays, their own arguments.
BESIDE = [
    (Beside, name)
    for name in (
        *("numpy.dtype", "numpy.ndarray"),
        *("numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),
        *("numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct"),
        *("argparse.Namespace", "pathlib.PosixPath", "pathlib.WindowsPath"),
        *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
    )
]


@contextmanager
def refusing(fault: str) -> Iterator[None]:
    """Raise whatever goes wrong inside as `Refused`: a damaged file can do anything.

    An error of the system that names a file, and a library that is missing, come
    through.

    Raises
    ------
    Refused
        With this text, in which ``{reason}`` is what went wrong.
    """
    try:
        yield
    except Exception as error:
        by_name = isinstance(error, OSError) and error.filename is not None
        if by_name or isinstance(error, Refused | ModuleNotFoundError):
            raise
        raise Refused(fault.format(reason=error)) from error


def numpy_file(file: Path, room: Room) -> Named:
    """Return the arrays of an npz file, or the one of an npy file as "weights"."""
    fault = (
        "cannot be read: it is no whole NumPy file of numbers; pickled objects are "
        "never loaded, for they could run any code. Save arrays of numbers: "
        "numpy.savez(file, weights=w)"
    )
    with refusing(fault), file.open("rb") as opened:
        if not zipfile.is_zipfile(opened):
            opened.seek(0)
            room({"weights": _shape(opened, file.stat().st_size, fault)})
            opened.seek(0)
            return {"weights": np.lib.format.read_array(opened, allow_pickle=False)}
        with zipfile.ZipFile(opened) as archive:
            members = {
                each.filename.removesuffix(".npy"): each for each in archive.infolist()
            }
            shapes = {}
            for name, each in members.items():
                with archive.open(each) as member:
                    shapes[name] = _shape(member, each.file_size, fault)
            room(shapes)
            return {name: _read(archive, each) for name, each in members.items()}


def _shape(opened: Any, size: int, fault: str) -> tuple[int, ...]:
    """Return the shape that a header declares, if the rest of ``size`` bytes fits."""
    version = np.lib.format.read_magic(opened)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read(opened)
    if dtype.hasobject or opened.tell() + math.prod(shape) * dtype.itemsize != size:
        raise Refused(fault)
    return tuple(shape)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    with archive.open(info) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        member.read(1)  # to its end, where its checksum is compared
        return array


def safetensors_file(file: Path, room: Room) -> Named:
    """Return the arrays of a safetensors file: tensors, if NumPy lacks a dtype."""
    whose = f"checkpoint {str(file)!r}"
    with needs(whose, "safetensors", extra="safetensors"):
        import safetensors.numpy
    with refusing("cannot be read: {reason}; save it again"):
        with safetensors.safe_open(file, framework="np") as opened:
            parts = {name: opened.get_slice(name) for name in opened.keys()}
            room({name: tuple(part.get_shape()) for name, part in parts.items()})
            dtypes = {str(part.get_dtype()) for part in parts.values()}
        if not dtypes.intersection(SAFETENSORS_OF_TORCH):
            return dict(safetensors.numpy.load_file(file))
        with needs(whose, "torch", extra="torch"):
            import safetensors.torch
        return dict(safetensors.torch.load_file(file))


def torch_file(file: Path, room: Room) -> Named:
    """Return the tensors of what ``torch.save`` wrote, in memory of their own."""
    with needs(f"checkpoint {str(file)!r}", "torch", extra="torch"):
        import torch
    fault = (
        "is refused: it is damaged, or holds Python objects, which could run any code, "
        "where only tensors are loaded (weights_only=True). In the program that wrote "
        "it save torch.save(model.state_dict(), file), or a .safetensors file"
    )
    with refusing(fault), torch.serialization.safe_globals(BESIDE):
        if zipfile.is_zipfile(file):
            _require_sound(file)
            # Mapped from the file, so that nothing is allocated for what it declares.
            found = torch.load(file, weights_only=True, map_location="cpu", mmap=True)
        else:
            content = file.read_bytes()
            _require_small(io.BytesIO(content), fault)
            found = torch.load(
                io.BytesIO(content), weights_only=True, map_location="cpu"
            )
        if isinstance(found, torch.Tensor):
            found = {"weights": found}
        elif isinstance(found, Mapping):
            try:
                found = state_in(found)
            except ValueError as error:
                raise Refused(str(error)) from error
        tensors = _only_tensors(found, torch.Tensor)
        room({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _require_sound(file: Path) -> None:
    """Check that it is no TorchScript, that its parts are whole and fit into it.

    PyTorch itself compares no checksums.

    Raises
    ------
    Refused
        If it is not so. A checksum that does not fit is an error of zipfile's.
    """
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.filename.endswith("/constants.pkl"):
                msg = (
                    "is a TorchScript program, which is never run; save its weights: "
                    "torch.save(module.state_dict(), file)"
                )
                raise Refused(msg)
            if info.compress_type != zipfile.ZIP_STORED:
                msg = "is refused: its parts are packed; save it with torch.save"
                raise Refused(msg)
        whole = sum(info.file_size for info in archive.infolist())
        if whole > file.stat().st_size:
            msg = "is damaged: its parts are larger than it; save it again"
            raise Refused(msg)
        for info in archive.infolist():
            if not info.CRC:  # torch.serialization.set_crc32_options(False)
                continue
            with archive.open(info) as member:
                while member.read(PIECE):
                    pass


def _require_small(content: io.BytesIO, fault: str) -> None:
    """Check that no storage in the format before PyTorch 1.6 is larger than its file.

    The pickles are looked at, and not loaded.

    Raises
    ------
    Refused
        If one is, with this text.
    """
    size = content.getbuffer().nbytes
    for _ in range(4):  # a magic number, a version, the system, and what was saved
        numbers: list[int] = []
        for opcode, value, _ in pickletools.genops(content):
            if opcode.name == "MARK":
                numbers = []
            elif isinstance(value, int):
                numbers.append(value)
            elif opcode.name == "BINPERSID" and max(numbers, default=0) > size:
                raise Refused(fault)


def _only_tensors(found: Any, tensor: type) -> Named:
    what = None
    if not isinstance(found, Mapping):
        what = f"a {type(found).__name__}"
    else:
        for name, value in found.items():
            if not isinstance(value, tensor):
                own = "NumPy or Python" if isinstance(value, Beside) else None
                what = f"{name!r} of type {own or type(value).__name__}"
                break
    if what is not None:
        msg = (
            f"holds {what}, which is no tensor; save model.state_dict() alone, or as "
            "'state_dict'"
        )
        raise Refused(msg)
    return dict(found)

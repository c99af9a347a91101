"""Weights from files, by name; nothing in a file is ever executed."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit._inputs.extras import needs

Named = dict[str, Any]

SUFFIXES = ".npz, .npy, .safetensors, .pt, .pth, .bin, .ckpt"
# Where training scripts put model.state_dict() beside the optimiser's.
WRAPPERS = ("state_dict", "model_state_dict", "model")
SAFETENSORS_OF_TORCH = ("BF16", "F8_E4M3", "F8_E5M2")  # NumPy has no such dtypes


def load(path: str | os.PathLike[str]) -> Named:
    """Return the arrays of a checkpoint by name.

    ``.npz`` and ``.npy`` (whose array is called ``"weights"``), ``.safetensors``, and
    PyTorch's ``.pt``, ``.pth``, ``.bin`` and ``.ckpt`` with ``weights_only=True``, on
    the CPU. Of a checkpoint that holds ``state_dict``, ``model_state_dict`` or
    ``model``, that is taken.

    Parameters
    ----------
    path

    Returns
    -------
    dict of str to array
        NumPy arrays, or tensors where PyTorch or bfloat16 are involved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IsADirectoryError
        If it is a folder.
    ValueError
        If it cannot be read, or holds anything but arrays: pickled objects are refused,
        for they could run any code.
    ModuleNotFoundError
        If the library that reads it is not installed.
    """
    file = Path(path)
    if file.is_dir():
        msg = f"checkpoint {str(file)!r} is a folder; give a file: {SUFFIXES}"
        raise IsADirectoryError(msg)
    if not file.exists():
        msg = f"checkpoint {str(file)!r} does not exist; give a file: {SUFFIXES}"
        raise FileNotFoundError(msg)
    suffix = file.suffix.lower()
    if suffix in (".npz", ".npy"):
        return _numpy(file)
    if suffix == ".safetensors":
        return _safetensors(file)
    if suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return _torch(file)
    msg = f"checkpoint {str(file)!r} has the suffix {suffix!r}; give one of {SUFFIXES}"
    raise ValueError(msg)


def _numpy(file: Path) -> Named:
    try:
        with file.open("rb") as opened:
            found = np.load(opened, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"weights": found}
            return {name: found[name] for name in found}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        msg = (
            f"checkpoint {str(file)!r} cannot be read: it is no whole NumPy file of "
            "numbers; pickled objects are never loaded, for they could run any code. "
            "Save arrays of numbers: numpy.savez(file, weights=w)"
        )
        raise ValueError(msg) from error


def _safetensors(file: Path) -> Named:
    with needs(f"checkpoint {str(file)!r}", "safetensors", extra="safetensors"):
        import safetensors
        import safetensors.numpy
    try:
        with safetensors.safe_open(file, framework="np") as opened:
            dtypes = {str(opened.get_slice(name).get_dtype()) for name in opened.keys()}
        if not dtypes.intersection(SAFETENSORS_OF_TORCH):
            return dict(safetensors.numpy.load_file(file))
    except safetensors.SafetensorError as error:
        msg = f"checkpoint {str(file)!r} cannot be read: {error}; save it again"
        raise ValueError(msg) from error
    with needs(f"checkpoint {str(file)!r}", "torch", extra="torch"):
        import safetensors.torch
    return dict(safetensors.torch.load_file(file))


def _torch(file: Path) -> Named:
    with needs(f"checkpoint {str(file)!r}", "torch", extra="torch"):
        import torch
    if _is_script(file):
        msg = (
            f"checkpoint {str(file)!r} is a TorchScript program, which is never run; "
            "save its weights: torch.save(module.state_dict(), file)"
        )
        raise ValueError(msg)
    try:
        found = torch.load(file, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        msg = (
            f"checkpoint {str(file)!r} is refused: it is damaged, or holds Python "
            "objects, which could run any code, where only tensors are loaded "
            "(weights_only=True). In the program that wrote it save "
            "torch.save(model.state_dict(), file), or a .safetensors file"
        )
        raise ValueError(msg) from error
    if isinstance(found, torch.Tensor):
        return {"weights": found}
    return _only_tensors(file, _unwrapped(file, found), torch.Tensor)


def _is_script(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unwrapped(file: Path, found: Any) -> Any:
    if not isinstance(found, Mapping):
        return found
    inside = [name for name in WRAPPERS if isinstance(found.get(name), Mapping)]
    if len(inside) > 1:
        msg = (
            f"checkpoint {str(file)!r} holds {' and '.join(map(repr, inside))}; load "
            "it and give the mapping that is meant"
        )
        raise ValueError(msg)
    return found[inside[0]] if inside else found


def _only_tensors(file: Path, found: Any, tensor: type) -> Named:
    what = None
    if not isinstance(found, Mapping):
        what = f"a {type(found).__name__}"
    else:
        for name, value in found.items():
            if not isinstance(value, tensor):
                what = f"{name!r} of type {type(value).__name__}"
                break
    if what is not None:
        msg = (
            f"checkpoint {str(file)!r} holds {what}, which is no tensor; save "
            "model.state_dict() alone, or as 'state_dict'"
        )
        raise ValueError(msg)
    return dict(found)

"""Compile the kernels for the host, once for each version of the source."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parents[2] / "csrc"
UNITS = ("kernels.cu", "steps.cu")
# Where they are launched from, in this order.
MODULES = ("sharpkit._vectors.kernels.cuda", "sharpkit.lab.steps.cuda")
FILES = ("elementwise.h", "sums.cuh", *UNITS)
REALS = ("float", "double")
# Rounding as on the GPU: no contraction, which --fmad=false forbids there.
FLAGS = "-std=c++17 -g1 -fPIC -ffp-contract=off -Wall -Wno-unknown-pragmas".split()


def sources() -> dict[str, str]:
    """Return the text of the kernels, by file name."""
    return {name: (CSRC / name).read_text() for name in FILES}


def shared_library(
    texts: dict[str, str] | None = None, reals: tuple = REALS, units: tuple = UNITS
) -> Path:
    """Return a library with `simt_launch` of these kernels; None: those of the tree."""
    return _library(tuple((texts or sources()).items()), reals, units)


@functools.cache
def _library(
    texts: tuple[tuple[str, str], ...], reals: tuple[str, ...], units: tuple[str, ...]
) -> Path:
    folder = _folder(texts, reals + units)
    made = folder / "libsimt.so"
    if not made.exists():
        source = _translation_unit(folder, dict(texts), reals, units)
        runtime = _runtime()
        _compile(["-O1", "-shared", source, runtime, *FLAGS], made)
    return made


def sanitizer_program(sanitizer: str, texts: dict[str, str]) -> list[str]:
    """Return the command of a program that runs every kernel of these texts.

    It loads the kernels twice, so that two blocks, each with its own shared memory,
    run at the same time.
    """
    folder = _folder(tuple(texts.items()), (sanitizer,))
    blocks = [folder / f"block_{copy}.so" for copy in "ab"]
    if not blocks[1].exists():
        source = _translation_unit(folder, texts, ("float",), UNITS)
        _compile(
            ["-O1", "-shared", f"-fsanitize={sanitizer}", source, *FLAGS], blocks[0]
        )
        shutil.copy(*blocks)
    return [str(_threads(sanitizer)), *map(str, blocks)]


@functools.cache
def _threads(sanitizer: str) -> Path:
    made = _folder((), (sanitizer,)) / "threads"
    if not made.exists():
        source = HERE / "threads.cpp"
        options = ["-O1", "-rdynamic", f"-fsanitize={sanitizer}", "-ldl"]
        _compile([source, *options, *FLAGS], made)
    return made


def kernel_names(text: str) -> list[str]:
    """Return the names of a file's kernels, without the dtype at the end."""
    return re.findall(r"^SK_KERNEL\((\w+)\)", text, re.MULTILINE)


def _translation_unit(
    folder: Path, texts: dict[str, str], reals: tuple, units: tuple
) -> Path:
    """Write the kernels' files, and one that includes them for each dtype."""
    for name, text in texts.items():
        _write(folder / name, text)
    lines = ['#include "simt.h"', '#include "elementwise.h"']
    for real, unit in itertools.product(reals, units):
        lines += [
            f"namespace {unit.removesuffix('.cu')}_{real} {{",
            f"#define SK_REAL {real}",
            f'#include "{unit}"',
            *(
                f'simt::Registered of_{name}("{name}_{real}", &{name}_{real});'
                for name in kernel_names(texts[unit])
            ),
            "#undef SK_REAL",
            "}",
        ]
    source = folder / "kernels.cpp"
    _write(source, "\n".join(lines) + "\n")
    return source


def _write(path: Path, text: str) -> None:
    """Write a file that another process may be compiling: all at once."""
    own = path.with_name(f"{path.name}.{os.getpid()}")
    own.write_text(text)
    own.rename(path)


@functools.cache
def _runtime() -> Path:
    folder = _folder((), ("runtime",))
    made = folder / "fibers.o"
    if not made.exists():
        _compile(["-O2", "-c", HERE / "fibers.cpp", *FLAGS], made)
    return made


def _folder(texts: tuple[tuple[str, str], ...], options: tuple[str, ...]) -> Path:
    """Return a folder for one version of everything that is compiled."""
    own = [path.read_text() for path in sorted(HERE.glob("*.*")) if path.is_file()]
    key = repr((texts, options, own))
    name = hashlib.sha256(key.encode()).hexdigest()[:20]
    folder = _cache() / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    return folder


@functools.cache
def _cache() -> Path:
    """Return the folder of all versions, without those that a day has not used."""
    cache = Path(tempfile.gettempdir()) / f"sharpkit-simt-{os.getuid()}"
    for old in cache.glob("*"):
        if old.stat().st_mtime < time.time() - 86400:
            shutil.rmtree(old, ignore_errors=True)
    return cache


def _compile(arguments: list, made: Path) -> None:
    """Compile to a name of its own first, as other processes may look for it."""
    own = made.with_name(f"{made.name}.{os.getpid()}")
    command = [os.environ.get("CXX", "g++"), *arguments, f"-I{HERE}", "-o", own]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        msg = f"{' '.join(map(str, command))}\n{done.stderr}"
        raise RuntimeError(msg)
    own.rename(made)

"""The original files of data sets, fetched from their mirrors when asked for.

They are kept in a folder of the user's cache, or in the one that the variable
SHARPKIT_DATA names, each checked against the sum of the release. A file that is there
and right is not fetched again.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpkit._inputs.extras import needs

DOWNLOADED = "downloaded"  # stands for the folder of `download`, on any machine
VARIABLE = "SHARPKIT_DATA"
SECONDS = 30  # without a byte, until the next mirror is tried


@dataclass(frozen=True)
class Release:
    """The files of a data set.

    Attributes
    ----------
    mirrors : tuple of str
        Where they are, the beginnings of addresses, in the order in which they are
        tried.
    files : dict of str to str
        Their names, and the MD5 sums that are published with them.
    """

    mirrors: tuple[str, ...]
    files: dict[str, str]


_TORONTO = "https://www.cs.toronto.edu/~kriz/"
RELEASES = {
    "mnist": Release(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "cifar10": Release(
        (
            _TORONTO,
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
        {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
    ),
    "cifar100": Release(
        (_TORONTO,), {"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"}
    ),
}


def download(name: str) -> Path:
    """Return the folder with the original files of a data set, fetched where they lack.

    Parameters
    ----------
    name
        The data set: ``"mnist"``, ``"cifar10"`` or ``"cifar100"``.

    Raises
    ------
    ValueError
        If the data set cannot be downloaded.
    ModuleNotFoundError
        If pooch is not installed.
    OSError
        If no mirror gives a file whose sum is right; the message says what each did.
    """
    if name not in RELEASES:
        msg = (
            f"data={name!r} cannot be downloaded; give one of {', '.join(RELEASES)}, "
            "or the folder with the files"
        )
        raise ValueError(msg)
    folder = _cache() / name
    for file in RELEASES[name].files:
        _fetch(RELEASES[name], file, folder)
    return folder


def _cache() -> Path:
    with needs("a download", "pooch", extra="download"):
        import pooch
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(pooch.os_cache("sharpkit"))


def _fetch(release: Release, file: str, folder: Path) -> None:
    """Fetch one file from the first mirror that has it.

    Raises
    ------
    OSError
        If none has.
    """
    import pooch

    failed = []
    for mirror in release.mirrors:
        bar = _Bar(file)
        try:
            pooch.retrieve(
                mirror + file,
                known_hash=f"md5:{release.files[file]}",
                fname=file,
                path=folder,
                processor=pooch.Untar(extract_dir=".") if ".tar" in file else None,
                downloader=pooch.HTTPDownloader(progressbar=bar, timeout=SECONDS),
            )
        except (OSError, ValueError) as error:  # those of requests are of the first
            failed.append(f"{mirror}: {type(error).__name__}: {error}")
        else:
            return
        finally:
            bar.close()
    told = "\n  ".join(failed)
    msg = (
        f"{file} is not to be had:\n  {told}\nfetch it by other means, and give its "
        "folder"
    )
    raise OSError(msg)


class _Bar:
    """A bar of progress, as pooch calls it; there is none where nobody looks."""

    def __init__(self, file: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TimeRemainingColumn

        columns = [*Progress.get_default_columns()[:2], DownloadColumn()]
        self._progress = Progress(
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(file, total=None)
        self.total: Any = None

    def update(self, count: int) -> None:
        """Count bytes that have arrived."""
        self._progress.start()
        self._progress.update(self._task, total=self.total, advance=count)

    def reset(self) -> None:
        """Begin anew: pooch does so at the end, to fill the bar."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()

"""TIMIT speech frames from two ``.npz`` files, exported from Kaldi.

Kaldi's recipe ``egs/timit/s5`` (``run.sh``, as far as ``exp/tri3_ali``) trains the
speaker-adapted model ``tri3`` and aligns the training set with it. In its folder, align
the test set as well, store the 40-dimensional fMLLR features of both, and write nine
spliced frames (the frame and four on either side: 360 features) and the tied
context-dependent state of each frame as text::

    . ./cmd.sh; . ./path.sh
    steps/align_fmllr.sh --nj 5 --cmd "$train_cmd" \
        data/test data/lang exp/tri3 exp/tri3_ali_test
    for part in train test; do
      ali=exp/tri3_ali; [ $part = test ] && ali=exp/tri3_ali_test
      dir=data-fmllr-tri3/$part
      steps/nnet/make_fmllr_feats.sh --nj 5 --cmd "$train_cmd" \
          --transform-dir $ali $dir data/$part exp/tri3 $dir/log $dir/data
      copy-feats scp:$dir/feats.scp ark:- | splice-feats --left-context=4 \
          --right-context=4 ark:- ark,t:timit-$part-x.txt
      ali-to-pdf $ali/final.mdl "ark:gunzip -c $ali/ali.*.gz |" \
          ark,t:timit-$part-y.txt
    done
    tree-info exp/tri3/tree | grep num-pdfs

The text takes some 4 GB per million frames. This then writes the files that
`load_timit` reads; give ``classes`` what ``num-pdfs`` says, which depends on the tree
(the paper's had 1973)::

    import numpy as np

    classes = 1973
    for part in ("train", "test"):
        with open(f"timit-{part}-y.txt") as file:
            rows = (line.split() for line in file)
            states = {name: list(map(int, row)) for name, *row in rows}
        x, y, frames = [], [], []
        with open(f"timit-{part}-x.txt") as file:
            for line in file:
                if "[" in line:
                    name, frames = line.split()[0], []
                    continue
                frames.append(np.array(line.replace("]", "").split(), np.float32))
                if "]" in line and len(states.get(name, ())) == len(frames):
                    x += frames
                    y += states[name]
        np.savez(f"timit-{part}.npz", x=np.stack(x), y=np.array(y), classes=classes)

Utterances that Kaldi could not align are left out. The paper's sets have 721,329 and
310,621 frames; it says nothing of how it divided them, and the recipe's core test set
(192 utterances) is smaller than that.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab.data.dataset import Dataset

_FEATURES = 360  # nine frames of 40
_CLASSES = 1973
_FILES = {"train": "timit-train.npz", "test": "timit-test.npz"}


def load_timit(folder: str | os.PathLike[str]) -> Dataset:
    """Return the speech frames stored in ``timit-train.npz`` and ``timit-test.npz``.

    Parameters
    ----------
    folder : path
        The folder of the two files, or one of them with the other beside it. Each has
        ``x`` (frames, 360), floating-point, and ``y`` (frames,), integers; where the
        number of classes is not the paper's 1973, also ``classes``, an integer.

    Returns
    -------
    Dataset
        ``x`` float32, as stored: of the preprocessing the paper says only "Kaldi", so
        features are not standardised. ``y`` int64 in ``range(classes)``.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files is missing.
    ValueError
        If a file is no ``.npz`` file, holds Python objects (never unpickled), lacks an
        array, or an array has the wrong shape or type, a value that is not finite or a
        label out of range; or if the files differ in ``classes``.

    Notes
    -----
    How to export them from Kaldi is described at the top of this module.
    """
    root = Path(folder)
    if root.name in _FILES.values() and not root.is_dir():
        root = root.parent
    if not root.is_dir():
        msg = f"{root} is not a folder; give the one that holds "
        msg += " and ".join(_FILES.values())
        raise FileNotFoundError(msg)
    for name in _FILES.values():
        if not (root / name).is_file():
            msg = f"{root} has no {name}; export it from Kaldi as described in "
            msg += "sharpkit.lab.data.timit"
            raise FileNotFoundError(msg)
    train, test = (_read(root / name) for name in _FILES.values())
    classes = _classes(train, test, root)
    for name, arrays in zip(_FILES.values(), (train, test), strict=True):
        _check_labels(root / name, arrays["y"], classes)
    return Dataset(
        name="timit",
        x_train=train["x"],
        y_train=train["y"],
        x_test=test["x"],
        y_test=test["y"],
        classes=classes,
        description=f"TIMIT frames, read from {root}",
        shape=(_FEATURES,),
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            # A lone array, as of np.save, has no names.
            names = getattr(stored, "files", [])
            arrays = {key: stored[key] for key in ("x", "y", "classes") if key in names}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        msg = f"{path} is not an .npz file of plain arrays: {error}"
        raise ValueError(msg) from error
    for key in ("x", "y"):
        if key not in arrays:
            msg = f"{path} has no array {key!r}; found {', '.join(names) or 'no names'}"
            raise ValueError(msg)
    _check_arrays(path, arrays["x"], arrays["y"])
    return arrays


def _check_arrays(path: Path, x: NDArray[Any], y: NDArray[Any]) -> None:
    if x.ndim != 2 or x.shape[1] != _FEATURES or not len(x):
        msg = f"{path}: x has shape {x.shape}; expected (frames, {_FEATURES})"
        raise ValueError(msg)
    if not np.issubdtype(x.dtype, np.floating):
        msg = f"{path}: x has the type {x.dtype}; expected float32"
        raise ValueError(msg)
    if y.shape != (len(x),):
        msg = f"{path}: y has shape {y.shape}; expected ({len(x)},), one per frame"
        raise ValueError(msg)
    if not np.issubdtype(y.dtype, np.integer):
        msg = f"{path}: y has the type {y.dtype}; expected integers"
        raise ValueError(msg)
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        msg = f"{path}: x has a value that is not finite in row {finite.argmin()}"
        raise ValueError(msg)


def _classes(
    train: dict[str, NDArray[Any]], test: dict[str, NDArray[Any]], root: Path
) -> int:
    said = {}
    for name, arrays in zip(_FILES.values(), (train, test), strict=True):
        found = arrays.get("classes")
        if found is None:
            continue
        if found.size != 1 or not np.issubdtype(found.dtype, np.integer) or found < 1:
            msg = f"{root / name}: classes={found!r}; expected a positive integer"
            raise ValueError(msg)
        said[name] = int(found.item())
    if len(set(said.values())) > 1:
        msg = f"{root}: the files differ in classes: {said}"
        raise ValueError(msg)
    return next(iter(said.values()), _CLASSES)


def _check_labels(path: Path, y: NDArray[Any], classes: int) -> None:
    wrong = (y < 0) | (y >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        msg = f"{path}: label {row} is {y[row]}; expected 0 to {classes - 1}"
        raise ValueError(msg)

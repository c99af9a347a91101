from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def fill_normal(out: NDArray[Any], seed: int, stream: int, offset: int) -> None: ...
def fill_signs(out: NDArray[Any], seed: int, stream: int, offset: int) -> None: ...
def philox4x32(
    counter: Sequence[int], key: Sequence[int]
) -> tuple[int, int, int, int]: ...
def gram(
    A: NDArray[Any],
    B: NDArray[Any],
    same: bool,
    begin: int,
    end: int,
    chunk: int,
    partial: NDArray[np.float64],
) -> None: ...
def path_gram(
    A: NDArray[Any],
    w: NDArray[Any],
    eps: float,
    z: NDArray[Any],
    g: NDArray[Any],
    ts: NDArray[np.float64],
    begin: int,
    end: int,
    chunk: int,
    partial: NDArray[np.float64],
) -> None: ...
def free_gram(
    A: NDArray[Any],
    w: NDArray[Any],
    eps: float,
    z: NDArray[Any],
    begin: int,
    end: int,
    chunk: int,
    partial: NDArray[np.float64],
) -> None: ...
def instruction_sets() -> list[str]: ...
def use_instruction_set(name: str) -> None: ...

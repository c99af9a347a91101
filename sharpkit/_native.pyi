from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

def fill_normal(out: NDArray[Any], seed: int, stream: int, offset: int) -> None: ...
def fill_signs(out: NDArray[Any], seed: int, stream: int, offset: int) -> None: ...
def philox4x32(
    counter: Sequence[int], key: Sequence[int]
) -> tuple[int, int, int, int]: ...

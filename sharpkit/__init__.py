"""How sharp is this minimum? The epsilon-box sharpness of Keskar et al., for any loss.

``sharpkit.sharpness(weights, loss_fn)`` takes a flat vector and a callback; see the
README for three lines that work. Heavy libraries are loaded when they are first used.
"""

from sharpkit.backends import backends
from sharpkit.measures.sharpness import sharpness
from sharpkit.parallel import get_num_threads, set_num_threads
from sharpkit.results import SharpkitWarning, SharpnessResult, Status, Subspace

__version__ = "0.1.0"

__all__ = [
    "SharpkitWarning",
    "SharpnessResult",
    "Status",
    "Subspace",
    "backends",
    "get_num_threads",
    "set_num_threads",
    "sharpness",
]

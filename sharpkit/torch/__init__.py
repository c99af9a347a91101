"""A PyTorch model, its loss and its data as a problem that every measure takes."""

from sharpkit._inputs.extras import needs

with needs("sharpkit.torch", "torch", extra="torch"):
    from sharpkit.torch.build import problem
    from sharpkit.torch.causal import causal_lm
    from sharpkit.torch.chunked import chunked_cross_entropy
    from sharpkit.torch.optimizers import preconditioner
    from sharpkit.torch.problems import Problem
    from sharpkit.torch.trainers import lightning_callback, transformers_callback
    from sharpkit.torch.watching import monitor

__all__ = [
    "Problem",
    "causal_lm",
    "chunked_cross_entropy",
    "lightning_callback",
    "monitor",
    "preconditioner",
    "problem",
    "transformers_callback",
]


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__

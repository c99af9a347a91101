"""A JAX loss, its parameters and its data as a problem that every measure takes."""

from sharpkit._inputs.extras import needs

with needs("sharpkit.jax", "jax", extra="jax"):
    from sharpkit.jax.build import problem
    from sharpkit.jax.optimizers import preconditioner
    from sharpkit.jax.problems import Problem
    from sharpkit.jax.watching import monitor

__all__ = ["Problem", "monitor", "preconditioner", "problem"]


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__

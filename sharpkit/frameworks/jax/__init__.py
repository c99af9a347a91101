"""JAX: a pure loss and a pytree become flat weights and a loss with exact products."""

from sharpkit.frameworks.jax.build import problem
from sharpkit.frameworks.jax.callback import Problem

__all__ = ["Problem", "problem"]

"""JAX: a pure loss and a pytree become flat weights and a loss with exact products."""

from sharpkit._inputs.extras import needs

with needs("sharpkit.jax", "jax", extra="jax"):
    from sharpkit.jax.build import problem
    from sharpkit.jax.problems import Problem

__all__ = ["Problem", "problem"]

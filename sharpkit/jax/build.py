"""From a pure loss, a pytree and data to a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_leaves

from sharpkit._inputs.checks import at_least
from sharpkit.jax.batches import Batches
from sharpkit.jax.layout import Layout
from sharpkit.jax.names import Filter
from sharpkit.jax.problems import Problem
from sharpkit.jax.products import compiled


def problem(
    loss: Callable[..., Any],
    params: Any,
    data: Any = None,
    *,
    model: Callable[..., Any] | None = None,
    parameters: Filter = None,
    micro_batch: int | None = None,
) -> Problem:
    r"""Make flat weights and a loss with exact products of a pure JAX function.

    ``f(w) = sum_b m_b loss(params(w), batch_b) / sum_b m_b`` with the weight m of a
    batch its number of rows, or what the loss returns beside its mean.

    Parameters
    ----------
    loss
        Pure. ``loss(params, batch) -> mean loss`` over the batch, or ``(mean loss,
        weight)`` where that is no mean over rows; the weight must not depend on params.
        ``loss(params)`` without data; ``loss(outputs, targets)`` with ``model``.
    params : pytree
        Its float arrays become the weights, in the order of the tree, all in one dtype:
        float64 if one of them is, else float32. The others, and what is no array (a
        Python number, a function), stay constant; so do batch statistics of Flax
        (``batch_stats``; variables of nnx that are no `nnx.Param`).
    data
        Arrays with one row per sample: one, or a tuple, dict or other pytree of them.
        Or batches: a list, or any iterable that starts anew at every pass. NumPy arrays
        and the like are converted, and half precision is widened to the weights' dtype.
    model
        ``model(params, inputs) -> outputs``, to split the loss as the Gauss-Newton
        matrix needs; a batch is then a pair ``(inputs, targets)``.
    parameters
        Which arrays to measure: names or patterns (``"layers.*.weight"``), or a
        function of the name; the others stay constant. Names are paths in the tree.
    micro_batch
        Rows evaluated at once, which bounds the memory; NumPy arrays then stay on the
        host. None: all rows, or each batch. It must not change the mean: a loss that
        mixes samples (batch statistics) needs None.

    Returns
    -------
    Problem

    Raises
    ------
    TypeError, ValueError
        If an argument, or what ``loss`` returns for the first batch, cannot be used.

    Warns
    -----
    SharpkitWarning
        If weights are half precision: a float32 copy is measured.

    Notes
    -----
    All is compiled once for every shape of a batch, so that a shorter last batch takes
    a second compilation. Products are by forward-over-reverse differentiation.

    With batch normalisation the loss decides which statistics are used. In Flax, those
    gathered in training are constants that the loss closes over (or that stand in
    ``params``)::

        def loss(params, batch):
            x, y = batch
            variables = {"params": params, "batch_stats": batch_stats}
            logits = net.apply(variables, x, train=False)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    and an nnx module is split, dropout and batch statistics set to inference::

        net.eval()
        graph, params, rest = nnx.split(net, nnx.Param, ...)
        model = lambda params, x: nnx.merge(graph, params, rest)(x)

    An Equinox module (after ``eqx.nn.inference_mode``) and Haiku's parameters are
    pytrees as they are.

    References
    ----------
    Pearlmutter, Neural Computation 6 (1994): exact products with the Hessian.
    Schraudolph, Neural Computation 14 (2002): with the Gauss-Newton matrix.

    Examples
    --------
    >>> import jax.numpy as jnp, sharpkit
    >>> params = {"slope": jnp.ones(2), "offset": jnp.zeros(())}
    >>> x, y = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([2.0, 5.0])
    >>> def loss(params, batch):
    ...     x, y = batch
    ...     return jnp.mean((x @ params["slope"] + params["offset"] - y) ** 2)
    >>> problem = sharpkit.jax.problem(loss, params, (x, y))
    >>> problem(problem.weights)[0]
    2.5
    >>> problem.layers
    {'offset': slice(0, 1, None), 'slope': slice(1, 3, None)}
    """
    for name, function in (("loss", loss), ("model", model)):
        if not callable(function) and not (name == "model" and function is None):
            msg = (
                f"{name}={function!r} of type {type(function).__name__} is not "
                "callable; give a pure function of the parameters"
            )
            raise TypeError(msg)
    for name, given in (("model", model), ("micro_batch", micro_batch)):
        if data is None and given is not None:
            msg = f"{name}={given!r} with data=None; give the data, or no {name}"
            raise ValueError(msg)
    if micro_batch is not None:
        micro_batch = at_least("micro_batch", micro_batch, 1)
    layout = Layout(params, parameters)
    batches = None if data is None else Batches(data, micro_batch)
    flat = layout.flat(tree_leaves(params))
    functions, split = compiled(layout, loss, model), model is not None
    return Problem(layout, flat, batches, functions, split=split)

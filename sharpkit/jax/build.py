"""From what users hold, a pure loss, a pytree and data, to a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_leaves

from sharpkit._inputs.checks import at_least, true_or_false
from sharpkit._inputs.names import Choice
from sharpkit.jax.batches import Batches
from sharpkit.jax.layout import Layout
from sharpkit.jax.logits import with_normalized_logits
from sharpkit.jax.problems import Problem
from sharpkit.jax.products import compiled


def problem(
    loss: Callable[..., Any],
    params: Any,
    data: Any = None,
    *,
    model: Callable[..., Any] | None = None,
    normalize_logits: bool = False,
    parameters: Choice | None = None,
    micro_batch: int | None = None,
) -> Problem:
    r"""Make a problem of a JAX loss, a pytree of parameters and data.

    The problem is the mean loss over all data as a function of one flat vector of
    weights, with its gradient and its exact products with the Hessian. Every measure of
    sharpkit takes it.

    Parameters
    ----------
    loss
        The loss, a pure function: ``loss(params, batch)`` returns the mean over the
        rows of a batch. With ``model`` it is ``loss(outputs, targets)``, and without
        ``data`` it is ``loss(params)``. It may return a mapping with ``"loss"``, whose
        other entries, such as metrics, are left alone; but ``{"loss": mean, "weight":
        weight}`` also says how much the batch counts in the mean over all data, which
        must not depend on the parameters.
    params
        The parameters, a pytree: nested dicts, lists or tuples of arrays, what ``init``
        of Flax Linen or of Haiku returned, a Flax ``nnx`` module, or an Equinox module.
        Its float arrays become the weights, in the order of the tree and in one dtype,
        which is float64 if one of them has it and float32 otherwise. All else stays
        constant: integers, functions, and the batch statistics of Flax (``batch_stats``
        and the variables of ``nnx`` that are no ``nnx.Param``). The loss is given
        arrays with the ``NamedSharding`` that they have here; the flat weights are
        whole on each of its devices.
    data
        The data, either as arrays or as batches. Arrays have one row for each sample:
        one array, or a tuple, dict or other pytree of them. Batches are a list of such
        pytrees, or any other iterable that starts anew at every pass. Arrays of other
        libraries are converted, and half precision is widened to the weights' dtype.
    model
        The function ``model(params, inputs)`` that returns the outputs. The accuracy
        and products with the Gauss-Newton matrix need it. A batch is then a pair
        ``(inputs, targets)``.
    normalize_logits
        Whether the outputs of a classifier, (batch, classes) or (batch, ..., classes),
        are normalised before the loss: of each prediction its mean over the classes is
        taken away, and it is divided by its norm (arXiv 2302.07011). A measure then
        does not change with the scale of the last layer, and the loss is another one.
        It needs ``model``.
    parameters
        The names of the arrays to measure, or patterns such as ``"layers.*.weight"``,
        or a function that is given a name and returns whether to measure the array. A
        name is the path in the tree, with dots. The other arrays stay constant. None
        measures all that are trained.
    micro_batch
        The number of rows that are evaluated at once, which bounds the memory; arrays
        of NumPy stay on the host until it is their turn. None evaluates all rows, or
        each batch, at once. A loss that mixes samples, as one with the statistics of
        the batch does, needs None: smaller pieces would change its value.

    Returns
    -------
    problem : Problem
        The problem. ``problem.weights`` are the flat weights, ``problem(w)`` returns
        the loss and the gradient, ``problem.hvp(w, v)`` the exact product with the
        Hessian, and ``problem.at(named)`` the problem at another checkpoint.

    Raises
    ------
    TypeError
        If ``loss`` or ``model`` cannot be called.
    ValueError
        If ``model`` or ``micro_batch`` is given without data.

    Warns
    -----
    SharpkitWarning
        If the weights are in half precision: a float32 copy is measured. At the first
        evaluation, if the data are several batches and what a batch counts in their
        mean cannot be told.

    Notes
    -----
    The mean over all data is :math:`f(w) = \sum_b m_b f_b(w) / \sum_b m_b` over the
    batches b, where :math:`f_b` is the mean loss of one batch and :math:`m_b` its
    number of rows, or the weight that the loss returned. A short last batch therefore
    counts as it should. What a plain mean divides by is read from the traced loss. Any
    other loss is held against the losses of halves of some samples, once; labels that
    are not -100 and the sums of masks are tried as weights, too.

    What may go wrong:

    - Data, parameters or a loss that cannot be used raise an error that names the
      array, says what is wrong with it and what to do.
    - Dropout, or another random number, must be the same at every call: switch it off,
      or let the loss close over a fixed key. `sharpkit.check` notices if it is not.
    - A loss that adds up over samples is refused, because the mean over all data is
      formed from the means of the batches.
    - Parameters that the loss closes over are constants: write a penalty with the
      given ``params``.
    - A mean that compares samples with each other, as contrastive losses do, depends on
      how the data are cut into batches.
    - The loss decides which statistics a batch normalisation uses. Those gathered in
      training are constants, which the loss closes over or which stand in ``params``.
    - Each shape of a batch is compiled once, so that the first call takes longer, and a
      shorter last batch takes a second compilation.
    - float64 has to be switched on in JAX before the parameters are made.

    A Flax ``nnx`` module with dropout or batch normalisation is switched to inference
    first::

        net.eval()
        sharpkit.jax.problem(loss, net, data, model=lambda net, x: net(x))

    and a Linen module is told so where it is applied::

        def model(variables, x):
            return net.apply(variables, x, train=False)

        sharpkit.jax.problem(loss, variables, data, model=model)

    Equinox has ``eqx.nn.inference_mode`` for that. Products are computed by forward
    over reverse differentiation, or by reverse over reverse where a part of the loss,
    as a ``custom_vjp``, has no forward mode; ``problem.hvp`` is None where that fails
    too.

    References
    ----------
    Pearlmutter, Neural Computation 6 (1994), on exact products with the Hessian.
    Schraudolph, Neural Computation 14 (2002), on those with the Gauss-Newton matrix.

    Examples
    --------
    A linear regression, with its loss as one function of parameters and batch:

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

    The same, with the model apart from the loss, and half of the parameters constant:

    >>> def model(params, x):
    ...     return x @ params["slope"] + params["offset"]
    >>> def squares(outputs, targets):
    ...     return jnp.mean((outputs - targets) ** 2)
    >>> problem = sharpkit.jax.problem(
    ...     squares, params, (x, y), model=model, parameters="slope"
    ... )
    >>> problem.gauss_newton(problem.weights, jnp.ones(2)).tolist()
    [24.0, 34.0]

    At the weights of a checkpoint, and of a function without any data:

    >>> problem.at({"slope": jnp.zeros(2), "offset": jnp.ones(())}).weights.tolist()
    [0.0, 0.0]
    >>> bowl = sharpkit.jax.problem(lambda params: (params**2).sum(), jnp.ones(3))
    >>> bowl(bowl.weights)[0]
    3.0
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
            msg = f"{name}={given!r} with data=None; give the data, or leave out {name}"
            raise ValueError(msg)
    if true_or_false("normalize_logits", normalize_logits):
        if model is None:
            msg = (
                "normalize_logits=True with model=None, and the logits are unknown; "
                "give a model(params, inputs) and a loss(outputs, targets)"
            )
            raise ValueError(msg)
        loss, model = with_normalized_logits(loss, model)
    if micro_batch is not None:
        micro_batch = at_least("micro_batch", micro_batch, 1)
    layout = Layout(params, parameters)
    batches = None if data is None else Batches(data, micro_batch)
    flat = layout.flat(tree_leaves(params))
    functions, split = compiled(layout, loss, model), model is not None
    return Problem(layout, flat, batches, functions, split=split)

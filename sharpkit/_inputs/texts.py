"""What docstrings of several functions say in the same words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

TEXTS = {
    "problem": """
        A problem, as `sharpkit.torch.problem`, `sharpkit.jax.problem` or
        `sharpkit.Problem` make it, or the weights alone: a flat vector (n,) of float32
        or float64 of NumPy, CuPy, torch or JAX. It is never written to. Half precision
        is measured on a float32 copy.""",
    "loss_fn": """
        The loss at flat weights, ``loss_fn(w) -> loss`` or ``(loss, gradient)``, where
        ``problem`` is a vector. ``w`` is of the kind of the weights, and a buffer that
        the next call overwrites.""",
    "gradient_fn": """
        The loss at flat weights, ``loss_fn(w) -> (loss, gradient)``, where ``problem``
        is a vector. A product with the Hessian is then a central difference of the
        gradient (two calls), unless ``loss_fn`` has a method ``hvp(w, v)``.""",
    "hvp": """
        The exact product with the Hessian, ``hvp(w, v) -> H v``, (n,). It takes the
        place of the problem's own, and is held once against a difference of the
        gradient, for which there is a moment's need of up to ten vectors. Products with
        any other symmetric operator are welcome too: ``problem.gauss_newton``, or with
        ``problem`` the weights alone.""",
    "seed": """
        The seed of all random vectors; the same seed gives the same bits.""",
    "backend": """
        The kernels that run: ``"cpu"``, ``"cuda"`` or ``"reference"``. None chooses by
        where the weights live; ``"cuda"`` needs weights, and callbacks, on a CUDA
        device.""",
    "resumed": """
        A file that is saved now and then, in at most some 2 % of the time, and by
        SIGTERM, which then ends the work. The same call goes on from it, with the same
        bits; when all is done, it returns the result that the file then has. Another
        call is refused. None saves nothing.""",
    "process_group": """
        The processes that the weights are spread over, a ``ProcessGroup`` of
        torch.distributed, or True for the default one. Each rank calls this function,
        with its own piece of the weights, in the order of the ranks; the callback
        returns the loss over all data, the same on every rank, and the rank's own piece
        of the gradient. Whatever is as long as the weights in the result is a piece,
        too. An error on one rank is raised on all. None says that all weights are here,
        or, for a problem that knows its ranks, that those are meant.""",
    "comm": """
        The same as a communicator of mpi4py, such as ``MPI.COMM_WORLD``.""",
    "progress": """
        Who is told of progress: a callable ``progress(done, budget, value so far)``;
        True for a line on stderr, False for none; None for a line if stderr is a
        terminal and the work takes over two seconds.""",
    "raises": """
        If an argument, or a value that a callback returns, cannot be used. The message
        names it and the fix. Exceptions of callbacks come through unchanged.""",
    "asymmetric": """
        If the products are not those of a symmetric operator, have another dtype than
        the weights, or are not the derivative of the gradient: differences of it are
        then used in their place.""",
    "normalize": """
        How a random direction is scaled to the weights: ``"filter"``, each filter (a
        row of a weight for each output) to the norm of the model's own, with biases and
        norms left where they are (Li et al.); ``"layer"``, each weight of two axes or
        more; ``"weight"``, each number of them; ``"groups"``; ``"vector"``, all as one;
        ``"none"``, numbers of variance 1. None takes the groups if there are any, else
        filters where the problem knows them, else the vector.""",
    "groups": """
        The parts that are scaled, each to the norm of the weights in it: slices, or
        ``(slice, shape)`` for the rows of an array, or ``(slice, shape, axis of the
        outputs)``. What is in none does not move.""",
    "landscape_samples": """
        The number of samples that are taken, the same at every point, drawn by the
        seed; with the sampling error as a band. None takes all.""",
    "landscape_batch_norm": """
        The statistics of batch norms: ``"problem"``, those that the problem was made
        with (its own ``batch_norm=``), or ``"data"``, of the data at each point. None
        is ``"data"`` between checkpoints, to none of which averages belong there, and
        ``"problem"`` for all else.""",
    "executor": """
        Where the points are taken: an executor as of `concurrent.futures`, of Dask,
        mpi4py or submitit, too, or a number of processes, of one thread each. None
        takes them here. What a worker lost with its life is taken again. Values are
        equal, but for sums that a callback adds up in another order with other
        threads.""",
    "checkpoint": """
        A file that every point is appended to as soon as it is taken; the same call
        goes on where it was killed, and ends with the same bits.""",
    "landscape_budget": """
        The seconds that all may take; coarse points come first, so that there is a
        picture whenever it ends. None sets no limit.""",
    "recorded": """
    measures
        The names of what is recorded, from `sharpkit.monitor.NAMES`, or a mapping from
        names to the least number of steps between two records. None stands for all
        that can be.
    every
        The least number of steps between two records of one kind.
    budget
        The share of wall time that may be spent, which is measured and kept: records
        become rarer by as much as they are dearer. None records at every interval.
    path
        The file of JSON lines that rows are appended to; `sharpkit.read_monitor` reads
        it. None writes none.
    sinks
        Where else rows go: functions of a `sharpkit.monitor.Row`, a ``SummaryWriter``
        of TensorBoard, a run of Weights & Biases, the module ``mlflow``,
        ``sharpkit.lab.store.StoreSink(folder)``.
    batch_size
        The batch size of the training, for the batch sharpness; None leaves that out.
    epsilon
        The half-width of the box of the box sharpness.
    first_step
        The number of the first step, where a training goes on.""",
}


def documented(function: F) -> F:
    """Put the shared texts into a docstring, where it says ``$name`` on a line."""

    def text(found: re.Match[str]) -> str:
        block = textwrap.dedent(TEXTS[found[2]]).strip("\n")
        return textwrap.indent(block, found[1])

    if function.__doc__ is not None:  # python -OO drops it
        function.__doc__ = re.sub(r"(?m)^( *)\$(\w+)$", text, function.__doc__)
    return function

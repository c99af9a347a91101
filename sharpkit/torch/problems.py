"""A PyTorch model, its loss and its data as one function of the flat weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from sharpkit._inputs.checks import checked_seed
from sharpkit._inputs.samples import checked_indices
from sharpkit._inputs.warn import warn
from sharpkit.torch.batches import rows
from sharpkit.torch.checkpoint import values_in
from sharpkit.torch.drawn import DrawnFisher
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.losses import OutputLoss
from sharpkit.torch.products import Products, checked_total
from sharpkit.torch.state import ALONE
from sharpkit.torch.statistics import freeze
from sharpkit.torch.sums import sums
from sharpkit.torch.widening import widened


class Problem:
    """The mean loss over all data, its gradient and its exact products.

    It is made by `sharpkit.torch.problem`, and every measure takes it. It is itself a
    loss function: ``problem(w)`` returns the loss and the gradient. Its vectors are
    flat tensors of shape (n,), in the order of the model, of one dtype and on the
    device of the model. Each entry of a complex parameter is two weights, its real and
    its imaginary part.

    It keeps the weights that the model had when it was made. Threads may use problems
    of one model, one at a time; none may train the model meanwhile.

    Attributes
    ----------
    weights : (n,) float32 or float64
        The measured parameters as one flat vector.
    layers : dict of str to slice
        Where the parameters of each module lie in the weights, by its name.
    samples : int
        The number of samples in the data.
    entries : int
        The number of entries that a checkpoint of the model holds at the most.
    batch_norm : {"running", "batch", "frozen"}
        The statistics that batch norms use.
    """

    def __init__(self, evaluation: Evaluation, *, follows: bool = True) -> None:
        self._evaluation, self._layout = evaluation, evaluation.layout
        self.batch_norm = evaluation.batch_norm
        self._products = Products(evaluation)
        self._warned = False
        self._samples: int | None = None
        # What the model is expected to hold; None if the weights are not the model's.
        self._expected = evaluation.values.weights if follows else None
        if self.batch_norm == "frozen" and not evaluation.frozen:
            freeze(evaluation)

    def __repr__(self) -> str:
        layout, dtype = self._layout, str(self._layout.dtype).removeprefix("torch.")
        return (
            f"Problem of n = {layout.n:,} weights in {len(layout.layers)} layers, "
            f"{dtype} on {layout.device}, batch_norm={self.batch_norm!r}"
            f"{self._evaluation.objective.note}"
        )

    @property
    def weights(self) -> torch.Tensor:
        """The measured parameters when the problem was made, (n,), a copy."""
        return self._evaluation.values.weights.clone()

    @property
    def layers(self) -> dict[str, slice]:
        """Where the parameters of each module lie in the weights, by its name."""
        return dict(self._layout.layers)

    @property
    def matrices(self) -> dict[str, tuple[slice, tuple[int, ...], int]]:
        """Where each matrix lies in the weights, its shape, the axis of its outputs.

        These are the real parameters of two axes or more, by their names.
        """
        return self._layout.matrices(self._evaluation.model)

    @property
    def samples(self) -> int:
        """The number of samples in the data.

        They are counted when it is first asked for, by a pass without the model.
        """
        if self._samples is None:
            with self._evaluation.running():
                self._samples = sum(map(rows, self._evaluation.batches.bare()))
        return self._samples

    @property
    def entries(self) -> int:
        """The number of entries that a checkpoint of the model holds at the most."""
        return int(self._layout.entries)

    @property
    def subset(self) -> Callable[[Any], Problem] | None:
        """The same problem over some samples, ``subset(indices)``, at its weights.

        Indices are whole numbers below `samples`, each once: rows of the tensors, the
        order of the batches in a list, or places in the data set of a ``DataLoader``,
        which is then gone through in the order of the indices. Batches are cut as those
        of the problem. Statistics that ``batch_norm="frozen"`` took of all data stay.

        It is None where data cannot be told apart into samples: an iterable of another
        kind, and a loader with a sampler or a batch sampler of its own.
        """
        return self._subset if self._evaluation.batches.indexed else None

    def __call__(self, w: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return the mean loss at ``w`` and its gradient.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype and on the device of `weights`. It is neither kept nor
            written to.

        Returns
        -------
        loss : float
            The mean loss over all data, summed over the batches in float64.
        gradient : (n,)
            Its gradient, summed over several batches in float64, too.
        """
        loss, weights, gradient = self.added(w)
        return loss / checked_total(weights), gradient.div_(weights)

    def added(self, w: torch.Tensor) -> tuple[float, float, torch.Tensor]:
        """Return the sums of weight times loss, of weights, and of the gradients."""
        w = self._layout.checked("w", w)
        loss = weights = 0.0
        with self._evaluation.running():
            self._products.release_unless(w)
            gradient = self._evaluation.zeros(w)
            for batch in self._evaluation.batches:
                part, weight = self._evaluation.add(w, batch, gradient)
                loss, weights = loss + part, weights + weight
        return loss, weights, gradient.to(w.dtype)

    def forward(self, w: torch.Tensor) -> float:
        """Return the mean loss at ``w`` by forward passes alone.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype and on the device of `weights`.
        """
        loss, weights = self.forwarded(w)
        return loss / checked_total(weights)

    def forwarded(self, w: torch.Tensor) -> tuple[float, float]:
        """Return the sums of weight times loss, and of weights, by forward passes."""
        w = self._layout.checked("w", w)
        loss = weights = 0.0
        with self._evaluation.running():
            for batch in self._evaluation.batches:
                found = self._evaluation.loss(w, batch)
                if found is not None:
                    _, part, weight = found
                    loss += float(part.detach()) * weight
                    weights += weight
        return loss, weights

    @property
    def hvp(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
        """The exact product ``hvp(w, v)`` of the Hessian at w with a vector v.

        It is None if torch has no second derivative of the model, which two products on
        the first batch find out when it is first asked for; they must be symmetric,
        which those of some operators of torch are not. This is said in a warning, once.
        If the data are one batch, the graph of the gradient is kept for further
        products at the same weights, until an evaluation at others, or `release`.
        """
        reason = self._products.lacking
        if reason is not None and not self._warned:
            self._warned = True
            warn(
                f"this model has no exact products with its Hessian ({reason}); "
                "central differences of the gradient are used"
            )
        return self._hvp if reason is None else None

    def gauss_newton(self, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        r"""Return the product of the Gauss-Newton matrix with a vector.

        The matrix is the mean of :math:`J^T H_L J` over the batches, with the Jacobian
        J of the output of the model and the Hessian H_L of the loss by that output,
        which has to be one floating tensor.

        Parameters
        ----------
        w : (n,)
            The weights at which the matrix is taken.
        v : (n,)
            The vector that is multiplied.

        Returns
        -------
        product : (n,)
            The exact product, up to rounding.

        Raises
        ------
        ValueError
            If the problem was made with ``loss_takes="model"``: where the output ends
            and the loss begins is then unknown.
        NotImplementedError
            If `hvp` is None.
        """
        own = self._evaluation.objective.gauss_newton
        self._require_output("the Gauss-Newton matrix", known=own is not None)
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        if own is not None:
            return self._products.of(own, w, v)
        return self._products.gauss_newton(w, v)

    @property
    def directional(
        self,
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
        """The derivatives along v of the losses of single samples.

        ``directional(w, v)`` returns one for each sample that counts, (k,), by a
        forward pass with a tangent. It is None where the output is unknown
        (``loss_takes="model"``), where samples share statistics
        (``batch_norm="batch"``), and where `hvp` is None.
        """
        evaluation = self._evaluation
        mixed = self.batch_norm == "batch" and bool(evaluation.norms)
        if mixed or not evaluation.objective.takes_output or self._products.lacking:
            return None
        return self._directional

    @property
    def empirical_fisher(
        self,
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
        """The product ``empirical_fisher(w, v)`` of the empirical Fisher matrix.

        That is the mean over samples of ``g_i g_i^T``, with the gradients of single
        samples and the given labels. Give it as ``hvp=problem.empirical_fisher``. It is
        None where `directional` is.
        """
        return None if self.directional is None else self._fisher

    def monte_carlo_fisher(
        self, seed: int = 0
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return the product ``fisher(w, v)`` of a Monte-Carlo Fisher matrix.

        That is the mean over predictions of ``g g^T``, with the gradient g for one
        label drawn from the model's own answer. Over seeds its mean is the Gauss-Newton
        matrix. Give it as ``hvp=problem.monte_carlo_fisher(seed)``. Labels are drawn in
        the order of the data, and are the same at every product at the same weights.

        Parameters
        ----------
        seed
            The seed of the labels.

        Raises
        ------
        ValueError
            If the output of the model is unknown (``loss_takes="model"``), or, at the
            first product, if the loss is not the plain mean cross-entropy of it.
        NotImplementedError
            If `hvp` is None.
        """
        self._require_output("a Monte-Carlo Fisher matrix")
        return DrawnFisher(self._products, self._layout, checked_seed(seed))

    def accuracy(self, w: torch.Tensor) -> float | None:
        """Return the share of samples whose largest output is their class, from 0 to 1.

        Targets that the loss ignores do not count. It is None with
        ``loss_takes="model"``, and unless the targets are integer classes and the
        output has one entry for each class along its second dimension.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype and on the device of `weights`.
        """
        if not isinstance(self._evaluation.objective, OutputLoss):
            return None
        return sums(self._evaluation, self._layout.checked("w", w)).share

    def evaluate(self, w: torch.Tensor) -> tuple[float, float | None]:
        """Return the mean loss and the `accuracy` at ``w`` in one forward pass.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype and on the device of `weights`.
        """
        found = sums(self._evaluation, self._layout.checked("w", w))
        return found.loss / checked_total(found.weight), found.share

    def at(self, named: Mapping[str, Any]) -> Problem:
        """Return the same problem at the weights and buffers of a checkpoint.

        Names that are missing or unknown, and shapes that differ, are an error, which
        lists them.

        Parameters
        ----------
        named
            The tensors or arrays by the names of ``model.state_dict()``. Prefixes that
            training scripts add, such as ``module.`` and ``net.``, are taken off.
            Where parameters are frozen, those that are measured may stand alone, as
            adapters do; all others then keep the values of this problem.
        """
        evaluation = self._evaluation
        with torch.inference_mode(False):
            values = values_in(named, self._layout, evaluation.values)
        return Problem(evaluation.at(values, self.batch_norm), follows=False)

    def refreshed(self) -> Problem:
        """Return the same problem at the weights and buffers that the model has now.

        Nothing is looked at anew but them: data, loss and options are the problem's.

        Raises
        ------
        ValueError
            If the model has other parameters or buffers than when this was made.
        """
        evaluation = self._evaluation
        values = self._layout.values(evaluation.model)
        return Problem(evaluation.at(values, self.batch_norm))

    def redrawn(self) -> Problem:
        """Return the same problem, whose evaluations start from another random state.

        A loss that draws, by dropout of its own for instance, draws otherwise then, and
        a loader shuffles otherwise. It is the same state for every such problem.
        """
        other = Problem(self._evaluation.redrawn())
        other._expected = self._expected
        return other

    def widened(self) -> Problem:
        """Return the problem of some samples of the first batch, in float64.

        There kinks and rounding hide nothing of a product that lacks a part.
        """
        return Problem(widened(self._evaluation), follows=False)

    def warn_if_stale(self, w: torch.Tensor) -> None:
        """Warn if ``w`` is what the model held once, and it holds something else now.

        Measures ask for it at their weights. It is said once for each change. A problem
        at a checkpoint is never stale, nor is one whose `load` changed the model.

        Parameters
        ----------
        w : (n,)
            The weights that are to be measured.

        Warns
        -----
        SharpkitWarning
            If the model has moved on.
        """
        expected, evaluation = self._expected, self._evaluation
        if expected is None or not _same(w, evaluation.values.weights):
            return
        with ALONE:
            now = self._layout.held(evaluation.model)
        if now is None or not torch.equal(now, expected):
            self._expected = now
            warn(
                "the weights of the model have changed since this problem was made, "
                "which keeps those it was made with: measure problem.refreshed(), at "
                "the present weights, or go on to measure the old ones"
            )

    def on_line(self) -> Problem:
        """Return the problem that is evaluated on the line between two checkpoints.

        It uses ``batch_norm="batch"``, because the running averages of a checkpoint
        belong to no point between the two. A model without batch norms keeps its
        problem.
        """
        if self.batch_norm == "batch" or not self._evaluation.norms:
            return self
        other = Problem(self._evaluation.at(self._evaluation.values, "batch"))
        other._expected = self._expected
        return other

    def load(self, w: torch.Tensor) -> None:
        """Copy flat weights into the measured parameters of the model itself.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype and on the device of `weights`.
        """
        views = self._layout.views(self._layout.checked("w", w))
        with ALONE, torch.no_grad():
            for name, view in views.items():
                self._evaluation.model.get_parameter(name).copy_(view)
        if self._expected is not None:
            self._expected = self._layout.held(self._evaluation.model)

    def release(self) -> None:
        """Free the graph that is kept for products."""
        self._products.release()

    def _require_output(self, what: str, *, known: bool = False) -> None:
        if not (known or self._evaluation.objective.takes_output):
            msg = (
                f"loss_takes='model': {what} needs to know where the model ends and "
                "the loss begins; give loss_takes='output' and a loss(output, targets)"
            )
            raise ValueError(msg)
        if self._products.lacking is not None:
            msg = (
                f"this model has no exact products ({self._products.lacking}); measure "
                "its Hessian, by differences of the gradient"
            )
            raise NotImplementedError(msg)

    def _subset(self, indices: Any) -> Problem:
        chosen = checked_indices(indices, self.samples)
        evaluation = self._evaluation
        other = copy.copy(self)
        other._evaluation = evaluation.over(evaluation.batches.subset(chosen))
        other._products = self._products.over(other._evaluation)
        other._samples = len(chosen)
        return other

    def _directional(self, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        return self._products.directional(w, v)

    def _fisher(self, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        return self._products.empirical_fisher(w, v)

    def _hvp(self, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        return self._products.hessian(w, v)


def _same(one: Any, other: torch.Tensor) -> bool:
    return (
        isinstance(one, torch.Tensor)
        and (one.dtype, one.device) == (other.dtype, other.device)
        and torch.equal(one, other)
    )

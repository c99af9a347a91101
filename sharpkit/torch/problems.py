"""A PyTorch model, its loss and its data as one function of the flat weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sharpkit._inputs.warn import warn
from sharpkit.torch.batches import rows
from sharpkit.torch.checkpoint import values_from
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.losses import OutputLoss
from sharpkit.torch.products import Products, checked_total
from sharpkit.torch.statistics import freeze


class Problem:
    r"""The mean loss over all data, its gradient and its exact products.

    Made by `problem`. It is itself a ``loss_fn``: every measure takes
    ``(problem.weights, problem)``.

    Attributes
    ----------
    layers : dict[str, slice]
        The module that owns parameters, by name, to where they lie in the weights.
    batch_norm : {"running", "batch", "frozen"}
        The statistics of batch norms.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation, self._layout = evaluation, evaluation.layout
        self.layers, self.batch_norm = dict(self._layout.layers), evaluation.batch_norm
        self._products = Products(evaluation)
        self._warned = False
        self._samples: int | None = None
        if self.batch_norm == "frozen":
            freeze(evaluation)

    def __repr__(self) -> str:
        layout = self._layout
        return (
            f"Problem(n={layout.n}, {len(self.layers)} layers, {layout.dtype}, "
            f"{layout.device}, batch_norm={self.batch_norm!r})"
        )

    @property
    def weights(self) -> Any:
        """The chosen parameters, (n,) float32 or float64 on their device, a copy."""
        return self._evaluation.values.weights.clone()

    @property
    def samples(self) -> int:
        """Samples in the data; counting them takes a pass, without the model."""
        if self._samples is None:
            with self._evaluation.running():
                self._samples = sum(map(rows, self._evaluation.batches))
        return self._samples

    def __call__(self, w: Any) -> tuple[float, Any]:
        r"""Return the mean loss at ``w`` and its gradient.

        :math:`f(w) = \sum_b m_b f_b(w) / \sum_b m_b` over batches b of mean loss
        :math:`f_b` and weight :math:`m_b`; the sum of losses in float64.

        Parameters
        ----------
        w : (n,)
            Of the dtype and on the device of `weights`; never kept or written to.

        Returns
        -------
        loss : float
        gradient : (n,)
        """
        w = self._layout.checked("w", w)
        self._products.release_unless(w)
        loss = weights = 0.0
        with self._evaluation.running():
            gradient = torch.zeros_like(w)
            for batch in self._evaluation.batches:
                part, weight = self._add(w, batch, gradient)
                loss, weights = loss + part, weights + weight
            return loss / checked_total(weights), gradient.div_(weights)

    @property
    def hvp(self) -> Callable[[Any, Any], Any] | None:
        """``hvp(w, v) -> H(w) v``, exact; None if torch has no second derivative.

        Found out by two products on the first batch, when it is first asked for; they
        must be symmetric, which those of some operators of torch are not. With
        one batch the graph of the gradient is kept for further products at the same
        weights, until an evaluation at others, or `release`.

        Warns
        -----
        SharpkitWarning
            Once, if there is none: measures then use differences of the gradient.
        """
        reason = self._products.lacking
        if reason is not None and not self._warned:
            self._warned = True
            warn(
                f"this model has no exact Hessian products ({reason}); central "
                "differences of the gradient are used"
            )
        return self._hvp if reason is None else None

    def gauss_newton(self, w: Any, v: Any) -> Any:
        r"""Return the product with the Gauss-Newton matrix.

        :math:`G v = \sum_b m_b J_b^T H_b J_b v / \sum_b m_b`, with the Jacobian of a
        batch's output and the Hessian of its mean loss by that output.

        Parameters
        ----------
        w, v : (n,)

        Returns
        -------
        product : (n,)

        Raises
        ------
        ValueError
            If ``loss_takes="model"``: such a loss has no known output.
        TypeError
            If the model's output is not one floating tensor.
        NotImplementedError
            If `hvp` is None.
        """
        if not self._evaluation.objective.takes_output:
            msg = (
                "loss_takes='model': the Gauss-Newton matrix needs to know where the "
                "model ends and the loss begins; give loss_takes='output' and a "
                "loss(output, targets)"
            )
            raise ValueError(msg)
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        if self._products.lacking is not None:
            msg = f"this model has no exact products ({self._products.lacking})"
            raise NotImplementedError(msg)
        return self._products.gauss_newton(w, v)

    def accuracy(self, w: Any) -> float | None:
        """Return the share of samples whose largest output is their class, in [0, 1].

        Of targets that are not ignored. None unless the targets are integer classes
        and the output has one entry for each of them along its second dimension.
        """
        objective = self._evaluation.objective
        if not isinstance(objective, OutputLoss):
            return None
        w = self._layout.checked("w", w)
        right = counted = 0
        with self._evaluation.running():
            for batch in self._evaluation.batches:
                self._evaluation.put(w)
                found = objective.right(self._evaluation.model, batch)
                if found is None:
                    return None
                right, counted = right + found[0], counted + found[1]
        return right / counted if counted else None

    def at(self, named: Any) -> Problem:
        """Return the same problem at the weights and buffers of a checkpoint.

        Parameters
        ----------
        named : mapping of str to array or tensor
            By the names of ``model.state_dict()``; prefixes of DataParallel and
            torch.compile are taken off.

        Raises
        ------
        TypeError, ValueError
            If names are missing or unknown, or shapes differ; all are listed.
        """
        evaluation = self._evaluation
        with torch.inference_mode(False):
            values = values_from(named, self._layout, evaluation.values)
        return Problem(evaluation.at(values, self.batch_norm))

    def on_line(self) -> Problem:
        """Return the problem that is evaluated on the line between two checkpoints.

        With ``batch_norm="batch"``, since averages belong to no point between; itself
        if the model has no batch norms.
        """
        if self.batch_norm == "batch" or not self._evaluation.norms:
            return self
        return Problem(self._evaluation.at(self._evaluation.values, "batch"))

    def load(self, w: Any) -> None:
        """Copy flat weights into the chosen parameters of the model itself."""
        views = self._layout.views(self._layout.checked("w", w))
        with torch.no_grad():
            for name, view in views.items():
                self._evaluation.model.get_parameter(name).copy_(view)

    def release(self) -> None:
        """Free the graph that is kept for products."""
        self._products.release()

    def _hvp(self, w: Any, v: Any) -> Any:
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        return self._products.hessian(w, v)

    def _add(self, w: Any, batch: Any, gradient: Any) -> tuple[float, float]:
        """Add weight times gradient; return weight times loss, and the weight."""
        leaf = w.detach().requires_grad_()
        found = self._evaluation.loss(leaf, batch)
        if found is None:
            return 0.0, 0.0
        loss, weight = found
        (part,) = torch.autograd.grad(loss, leaf)
        gradient.add_(part, alpha=weight)
        return float(loss.detach()) * weight, weight

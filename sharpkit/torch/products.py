"""Exact products with the Hessian and the Gauss-Newton matrix of the mean loss."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.leaves import BackwardOnlyError, Leaves, first_line, nodes
from sharpkit.torch.losses import OutputLoss
from sharpkit.torch.state import ALONE

grad = torch.autograd.grad

# (vector, whether the graph must last) -> product
Apply = Callable[[Any, bool], Any]
# (evaluation, flat weights, batch) -> product, the leaves there, the batch's weight
Build = Callable[[Evaluation, Any, Any], tuple[Apply, Leaves, float] | None]

# What torch says, in one operator or another, where it has no second derivative.
MISSING = re.compile(
    r"derivative for .* not implemented|double[ -]?backward|differentiate twice",
    re.IGNORECASE,
)
ASYMMETRY = 1e-3  # as in sharpkit._spectrum.operators
ONCE = "torch::autograd::Error"  # the node that once_differentiable leaves in a graph


class Products:
    """Products by double backward passes.

    If the data are one batch, its graph is kept for further products at the same
    weights; otherwise there is a graph for each batch, one after the other.

    Parameters
    ----------
    evaluation
        The mean loss of each batch as a function of the flat weights.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        # What has been found out, also for the products of other data: whether fast
        # kernels without second derivative are off, and what torch lacks.
        self._plain, self._known = False, list[tuple[bool, str | None]]()
        # what it is of, the weights, and what was built
        self._retained: tuple[Build, Any, Leaves, Apply] | None = None

    def over(self, evaluation: Evaluation) -> Products:
        """Return the products of other data; what torch lacks is the same."""
        other = copy.copy(self)
        other._evaluation, other._retained = evaluation, None
        return other

    def hessian(self, w: Any, v: Any) -> Any:
        """Return ``H(w) v``."""
        return self._product(_hessian, w, v)

    def gauss_newton(self, w: Any, v: Any) -> Any:
        """Return ``J^T H_loss J v``."""
        return self._product(_gauss_newton, w, v)

    def directional(self, w: Any, v: Any) -> Any:
        """Return the derivative along v of the loss of each sample that counts."""
        evaluation, found = self._evaluation, list[Any]()
        with evaluation.running(), self._kernels():
            for batch in evaluation.batches:
                parts = _by_sample(evaluation, w, batch)
                if parts is not None:
                    leaves, output, slopes, counted = parts
                    moved = jacobian(leaves, output)(v, False)
                    each = (slopes * moved).reshape(len(slopes), -1).sum(1)
                    found.append(each[counted])
        return torch.cat(found) if found else w.new_empty(0)

    def empirical_fisher(self, w: Any, v: Any) -> Any:
        """Return the mean over samples of ``g_i (g_i . v)``."""
        return self._product(_empirical_fisher, w, v)

    def of(self, build: Build, w: Any, v: Any) -> Any:
        """Return the product with another matrix, the mean of those of the batches."""
        return self._product(build, w, v)

    @property
    def lacking(self) -> str | None:
        """What torch says if it has no second derivative of the first batch, or None.

        Fast kernels without one are left out from then on if that is enough.

        Raises
        ------
        RuntimeError
            If torch says something else.
        """
        with ALONE:
            if not self._known:
                reason = self._missing()
                self._known.append((self._plain, reason))
            self._plain, reason = self._known[0]
            return reason

    def _missing(self) -> str | None:
        reason = None
        for plain in (False, True):
            self._plain = plain
            try:
                self._try()
            except BackwardOnlyError as error:
                return first_line(error)
            except RuntimeError as error:
                reason = first_line(error)
                if not MISSING.search(reason):
                    raise
            else:
                return None
        return reason

    def release(self) -> None:
        """Drop the retained graph."""
        with ALONE:
            self._retained = None

    def release_unless(self, w: Any) -> None:
        """Drop the retained graph if it is one of other weights."""
        with ALONE:
            if self._retained is not None and not torch.equal(w, self._retained[1]):
                self._retained = None

    def _product(self, build: Build, w: Any, v: Any) -> Any:
        evaluation = self._evaluation
        with evaluation.running(), self._kernels():
            self.release_unless(w)
            if self._retained is not None and self._retained[0] != build:
                self._retained = None
            if self._retained is None and evaluation.batches.count == 1:
                self._retain(build, w)
            if self._retained is not None:
                *_, leaves, apply = self._retained
                # for layers that run again in a backward pass
                evaluation.put_leaves(leaves)
                return apply(v, True)
            product, weights = evaluation.zeros(w), 0.0
            for batch in evaluation.batches:
                weights += self._add(build, w, batch, v, product)
            return product.to(w.dtype).div_(checked_total(weights))

    def _retain(self, build: Build, w: Any) -> None:
        for batch in self._evaluation.batches:
            built = build(self._evaluation, w, batch)
            checked_total(built[2] if built else 0.0)
            if built:
                self._retained = build, w.clone(), built[1], built[0]

    def _add(self, build: Build, w: Any, batch: Any, v: Any, out: Any) -> float:
        built = build(self._evaluation, w, batch)
        if built is None:
            return 0.0
        apply, _, weight = built
        out.add_(apply(v, False), alpha=weight)
        return weight

    def _try(self) -> None:
        evaluation = self._evaluation
        with evaluation.running(), self._kernels():
            for batch in evaluation.batches:
                found = evaluation.loss(evaluation.values.weights, batch)
                if found is None:
                    continue
                leaves, loss, _ = found
                # What differentiates once must see that a second time may follow.
                one = torch.ones_like(loss, requires_grad=True)
                gradient = leaves.gradient(loss, one, twice=True)
                if any(node.name() == ONCE for node in nodes(gradient)):
                    msg = "an autograd.Function does not differentiate twice"
                    raise RuntimeError(msg)
                _require_symmetric(gradient, leaves)
                return

    @contextmanager
    def _kernels(self) -> Iterator[None]:
        """Use kernels that can be differentiated twice: fused attention cannot."""
        switches = torch.backends.cudnn, torch.backends.mkldnn
        before = [switch.enabled for switch in switches]
        try:
            if self._plain:
                for switch in switches:
                    switch.enabled = False
            with sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            for switch, enabled in zip(switches, before, strict=True):
                switch.enabled = enabled


def _hessian(
    evaluation: Evaluation, w: Any, batch: Any
) -> tuple[Apply, Leaves, float] | None:
    found = evaluation.loss(w, batch)
    if found is None:
        return None
    leaves, loss, weight = found
    gradient = leaves.gradient(loss, twice=True)
    return (
        lambda v, keep: leaves.derivative(gradient, v, keep=keep),
        leaves,
        weight,
    )


def _gauss_newton(
    evaluation: Evaluation, w: Any, batch: Any
) -> tuple[Apply, Leaves, float] | None:
    found = evaluation.output_loss(w, batch)
    if found is None:
        return None
    leaves, output, point, loss, weight = found
    push = jacobian(leaves, output)
    (slope,) = grad(loss, point, create_graph=True)

    def apply(v: Any, keep: bool) -> Any:
        moved = push(v, keep)
        bent = _derivative(slope, point, moved, keep)
        return leaves.derivative(output, bent, keep=keep)

    return apply, leaves, weight


def _empirical_fisher(
    evaluation: Evaluation, w: Any, batch: Any
) -> tuple[Apply, Leaves, float] | None:
    parts = _by_sample(evaluation, w, batch)
    if parts is None:
        return None
    leaves, output, slopes, counted = parts
    push, count = jacobian(leaves, output), int(counted.sum())

    def apply(v: Any, keep: bool) -> Any:
        rows = (slopes * push(v, keep)).reshape(len(slopes), -1).sum(1)
        along = rows.reshape(-1, *[1] * (slopes.dim() - 1))
        return leaves.derivative(output, slopes * along / count, keep=keep)

    return apply, leaves, float(count)


def _by_sample(
    evaluation: Evaluation, w: Any, batch: Any
) -> tuple[Leaves, Any, Any, Any] | None:
    """Return leaves, the output, each sample's loss by it, and which samples count.

    Raises
    ------
    ValueError
        If the output has no row for each sample.
    """
    objective = evaluation.objective
    assert isinstance(objective, OutputLoss)  # checked by the caller
    found = evaluation.output_loss(w, batch)
    if found is None:
        return None
    leaves, output, point, loss, _ = found
    shares = objective.shares(batch).to(output)
    if output.shape[:1] != shares.shape:
        msg = (
            f"the output has shape {tuple(output.shape)} for {len(shares)} samples; "
            "give a model whose output has one row for each"
        )
        raise ValueError(msg)
    (slope,) = grad(loss, point)
    counted = shares > 0
    shares = torch.where(counted, shares, 1).reshape(-1, *[1] * (slope.dim() - 1))
    return leaves, output, slope / shares, counted


def jacobian(leaves: Leaves, output: Any) -> Apply:
    """Return the product with the Jacobian of an output.

    J v is the derivative by u of J^T u times v: it takes no forward mode.
    """
    dual = torch.zeros_like(output, requires_grad=True)
    back = leaves.gradient(output, dual, twice=True)
    return lambda v, keep: _derivative(back, dual, v, keep)


def checked_total(weight: float) -> float:
    """Return the weight of all batches.

    Raises
    ------
    ValueError
        If nothing counts.
    """
    if not weight > 0:
        msg = (
            "no target of the data counts, because all are ignored or have weight 0; "
            "give data with targets that count"
        )
        raise ValueError(msg)
    return weight


def _require_symmetric(gradient: Any, leaves: Leaves) -> None:
    # Some operators of torch have a second derivative that is wrong.
    draw = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, gradient.numel(), generator=draw).to(gradient)
    hu = leaves.derivative(gradient, u, keep=True)
    hv = leaves.derivative(gradient, v, keep=False)
    # These are about the norms of H - H^T and of H, for the vectors are normal.
    if (u @ hv - v @ hu).abs() > ASYMMETRY * (hu.norm() + hv.norm()):
        msg = "double backward is not symmetric: a second derivative is wrong"
        raise RuntimeError(msg)


def _derivative(of: Any, by: Any, along: Any, keep: bool) -> Any:
    """Return the derivative of ``of`` by ``by``, times ``along``; 0 of a constant."""
    if not of.requires_grad:
        return torch.zeros_like(by)
    (found,) = grad(
        of, by, along, retain_graph=keep, allow_unused=True, materialize_grads=True
    )
    return found.detach()

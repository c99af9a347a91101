"""The weights of a model under ``fully_shard`` on this rank, as one flat vector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch

from sharpkit._inputs.warn import warn

SLAB = 1 << 20  # numbers that are cast at once


class Shards:
    """The parts of a model's parameters on this rank, as one flat vector.

    Parameters
    ----------
    model
        The model, to which ``fully_shard`` was applied.

    Attributes
    ----------
    names : list of str
        The parameters.
    pieces : list of (int, int)
        The entries of each on this rank, and the global index of the first.
    group
        The process group.
    held
        The dtype of the shards.
    dtype, device
        The dtype and the device of the vector.

    Raises
    ------
    NotImplementedError
        If the parameters are sharded in another way than by ``fully_shard`` over one
        group, or are of several dtypes.

    Warns
    -----
    SharpkitWarning
        If they hold half precision.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._reshard()
        named = {
            name: each for name, each in model.named_parameters() if each.requires_grad
        }
        if not named:
            msg = "no parameter of the model requires a gradient; nothing is measured"
            raise ValueError(msg)
        self.names, self._parameters = [*named], [*named.values()]
        mesh = None
        for name, parameter in named.items():
            mesh = _mesh(name, parameter, mesh)
        assert mesh is not None  # there is a parameter
        self.group = mesh.get_group()
        dtypes = {parameter.dtype for parameter in self._parameters}
        if len(dtypes) > 1:
            _refuse(f"parameters of {', '.join(sorted(map(str, dtypes)))}")
        self.held, self.device = dtypes.pop(), self._parameters[0].to_local().device
        self.dtype = torch.promote_types(self.held, torch.float32)
        if self.held != self.dtype:
            warn(
                f"the shards are of {self.held}, and are measured in {self.dtype}: the "
                "model rounds each point, so that what changes a weight by less than "
                f"{torch.finfo(self.held).eps / 2:.1g} of it is lost; keep them in "
                f"{self.dtype}, and MixedPrecisionPolicy(param_dtype={self.held}) "
                "computes as before"
            )
        self.pieces = self._pieces(mesh.get_local_rank(), mesh.size())

    def _pieces(self, rank: int, ranks: int) -> list[tuple[int, int]]:
        found, begin = [], 0
        for parameter in self._parameters:
            rows, local = parameter.shape[0], parameter.to_local()
            before = min(rank * -(-rows // ranks), rows)  # as torch.chunk cuts
            size = parameter.numel() // max(rows, 1)
            found.append((local.numel(), begin + before * size))
            begin += parameter.numel()
        return found

    def taken(self) -> Any:
        """Return a copy of the shards, (n,)."""
        return torch.cat([part.to(self.dtype) for part in self._parts()])

    def added(self, total: Any = None) -> Any:
        """Return a sum of gradients, (n,), to which those of the parameters are added.

        They are left without: torch would add up batches in the dtype of the shards, in
        which a sum of half precision soon no longer grows.

        Parameters
        ----------
        total : (n,)
            The sum so far, which is written to; None begins one, of `dtype`.
        """
        sizes = [size for size, _ in self.pieces]
        if total is None:
            total = torch.zeros(sum(sizes), dtype=self.dtype, device=self.device)
        for parameter, part in zip(self._parameters, total.split(sizes), strict=True):
            if parameter.grad is not None:
                _add(parameter.grad.to_local().reshape(-1), part)
                parameter.grad = None
        return total

    @contextmanager
    def holding(self, w: Any, usual: Any) -> Iterator[None]:
        """Have the shards hold ``w`` inside, with no gradients.

        Only where they do not hold the ``usual`` weights, what they do is copied.
        """
        self._reshard()
        before = usual if self._hold(usual) else self.taken()
        every = list(self._model.parameters())
        gradients = [parameter.grad for parameter in every]
        for parameter in every:
            parameter.grad = None
        try:
            self._put(w)
            yield
        finally:
            self._reshard()
            self._put(before)
            for parameter, gradient in zip(every, gradients, strict=True):
                parameter.grad = gradient

    def _hold(self, w: Any) -> bool:
        """Return whether the shards hold ``w`` to the bit."""
        each = zip(self._parts(), w.split([n for n, _ in self.pieces]), strict=True)
        return all(torch.equal(held, part.to(held.dtype)) for held, part in each)

    def _parts(self) -> Iterator[Any]:
        for parameter in self._parameters:
            yield parameter.to_local().detach().reshape(-1)

    def _put(self, w: Any) -> None:
        sizes = [size for size, _ in self.pieces]
        with torch.no_grad():
            each = zip(self._parameters, w.split(sizes), strict=True)
            for parameter, part in each:
                local = parameter.to_local()
                local.copy_(part.view(local.shape))

    def _reshard(self) -> None:
        """Let go of whole parameters, which a forward pass alone leaves behind."""
        for module in self._model.modules():
            if hasattr(module, "reshard"):
                module.reshard()


def is_sharded(model: Any) -> bool:
    """Return whether ``fully_shard`` was applied to a model."""
    return any(hasattr(each, "full_tensor") for each in model.parameters())


def _mesh(name: str, parameter: Any, known: Any) -> Any:
    """Return the mesh of a parameter, which must be that of the others."""
    if not hasattr(parameter, "to_local"):
        _refuse(f"parameter {name} is not sharded, while others are: shard it, too")
    mesh, placements = parameter.device_mesh, parameter.placements
    if mesh.ndim != 1 or not placements[0].is_shard(0):
        _refuse(
            f"parameter {name} is placed as {placements} over a mesh of {mesh.ndim} "
            "dimensions: apply fully_shard alone, over a mesh of one dimension"
        )
    if known is not None and mesh != known:
        _refuse(f"parameter {name} is sharded over other ranks than the others")
    return mesh


def _add(source: Any, out: Any) -> None:
    """Add a vector to one of another dtype, without a copy of all of it."""
    for part, more in zip(out.split(SLAB), source.split(SLAB), strict=True):
        part.add_(more)


def _refuse(what: str) -> NoReturn:
    msg = f"only what fully_shard makes is measured over ranks; {what}"
    raise NotImplementedError(msg)

"""What an evaluation may change, and how it is given back as found."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

# Held while tensors stand in the places of a model's own, and while those are read. It
# is one for all models: they may share modules, and share the random generators and the
# switches of torch in any case. A thread that has it may take it again.
ALONE = threading.RLock()


class Randomness:
    """The random generators that a model, a loss or a loader may draw from.

    They are those of torch on the CPU and on the device, those of the loader, and those
    of Python and NumPy.

    Parameters
    ----------
    device
        The device of the model.
    data
        The data, perhaps a loader with generators of its own.
    others
        Further devices of the model.
    """

    def __init__(self, device: Any, data: Any, *others: Any) -> None:
        devices = dict.fromkeys([device, *others])
        self._devices = [x for x in devices if x.type in ("cuda", "xpu")]
        self._generators = _generators(data)
        self._start = self._now()

    @contextmanager
    def rewound(self) -> Iterator[None]:
        """Begin where all stood when this was made; put them back afterwards."""
        now = self._now()
        self._set(self._start)
        try:
            yield
        finally:
            self._set(now)

    def redrawn(self) -> Randomness:
        """Return the same generators, with another state to begin at."""
        other = copy.copy(self)
        with ALONE, self.rewound():
            seed = int(torch.randint(2**32, ()))  # as much as NumPy takes
            torch.default_generator.manual_seed(seed)
            for device in self._devices:
                module = torch.get_device_module(device)
                with module.device(device):
                    module.manual_seed(seed)
            for generator in self._generators:
                generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            other._start = self._now()
        return other

    def _now(self) -> tuple[Any, ...]:
        return (
            torch.get_rng_state(),
            [torch.get_device_module(x).get_rng_state(x) for x in self._devices],
            [generator.get_state() for generator in self._generators],
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002 - it is what loaders draw from
        )

    def _set(self, state: tuple[Any, ...]) -> None:
        torch.set_rng_state(state[0])
        for device, own in zip(self._devices, state[1], strict=True):
            torch.get_device_module(device).set_rng_state(own, device)
        for generator, own in zip(self._generators, state[2], strict=True):
            generator.set_state(own)
        random.setstate(state[3])
        np.random.set_state(state[4])  # noqa: NPY002


def _generators(data: Any) -> list[Any]:
    samplers = getattr(data, "sampler", None), getattr(data, "batch_sampler", None)
    owners = [data, *samplers, getattr(samplers[1], "sampler", None)]
    found = [getattr(owner, "generator", None) for owner in owners]
    unique = {id(x): x for x in found if isinstance(x, torch.Generator)}
    return list(unique.values())


@contextmanager
def as_found(modules: Iterable[Any]) -> Iterator[None]:
    """Undo what happens inside to the attributes of modules and to their tables.

    The tensors that are in the tables before must not be written to; others may be put
    in their places.

    Parameters
    ----------
    modules
        All modules that may change.
    """
    kept = [
        (table, dict(table))
        for module in modules
        for table in (
            vars(module),  # the mode, and what a forward pass leaves behind
            module._parameters,
            module._buffers,
            module._modules,
        )
    ]
    try:
        yield
    finally:
        for table, before in kept:
            table.update(before)  # first, so that a module is whole at any moment
            for key in table.keys() - before.keys():
                del table[key]


@contextmanager
def differentiating(*devices: Any) -> Iterator[None]:
    """Compute gradients in full precision, whatever the caller has switched on or off.

    The fused path of attention in evaluation mode is off: it has no gradient, and other
    values.

    Parameters
    ----------
    devices
        The devices of the model.
    """
    attention = torch.backends.mha
    fast = attention.get_fastpath_enabled()
    attention.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            for kind in {device.type for device in devices}:
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        attention.set_fastpath_enabled(fast)

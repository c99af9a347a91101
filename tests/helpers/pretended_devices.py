"""Devices that compute as the CPU does, and refuse tensors of another one.

Importing it registers them with PyTorch for the whole process, by the name "pretended":
run what needs them in a process of its own. Tensors of two devices, unless one is a
number on the CPU, are an error, as they are on GPUs.
"""

import torch
from torch import library
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
MOVES = {"copy_", "_to_copy"}  # operators that may see two devices


class Pretended(torch.Tensor):
    """A tensor of the CPU that says it is on another device."""

    __slots__ = ("inner",)  # no attribute that its parameter would hand on

    @staticmethod
    def __new__(cls, inner, device):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=device,
        )

    def __init__(self, inner, device):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _called(func, *args, **(kwargs or {}))


def _called(func, *args, **kwargs):
    tensors = [x for x in tree_flatten((args, kwargs))[0] if torch.is_tensor(x)]
    owners = {id(x.inner): x for x in tensors if isinstance(x, Pretended)}
    devices = {x.device for x in tensors if x.dim() or isinstance(x, Pretended)}
    name = func.overloadpacket.__name__
    if len(devices) > 1 and name not in MOVES:
        raise RuntimeError(f"{name}: tensors on {' and '.join(map(str, devices))}")
    target = kwargs.get("device")
    if target is not None:
        target = torch.device(target)
        kwargs = {**kwargs, "device": "cpu"}
    elif devices:
        target = next((x.device for x in tensors if isinstance(x, Pretended)), None)

    def bare(value):
        return value.inner if isinstance(value, Pretended) else value

    def wrapped(value):
        if not torch.is_tensor(value):
            return value
        if id(value) in owners:  # it was written to
            return owners[id(value)]
        if target is None or target.type == "cpu":
            return value
        return Pretended(value, torch.device(NAME, target.index or 0))

    found = func(*tree_map(bare, args), **tree_map(bare, kwargs))
    if name == "copy_":  # to whatever device it is
        return args[0]
    return tree_map(wrapped, found)


class _Module:
    """What PyTorch asks of the module of a device."""

    def is_initialized(self):
        return True

    def is_available(self):
        return True

    def current_device(self):
        return 0

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, _Module())
_KERNELS = library.Library("_", "IMPL")
_KERNELS.fallback(_called, "PrivateUse1")

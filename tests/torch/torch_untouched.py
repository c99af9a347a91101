"""All that a module holds, and the random generators, to be compared later."""

import random
from contextlib import contextmanager

import numpy as np
from torch_required import torch


def fingerprint(module):
    """Return the identity and the content of all that a module holds."""
    found = {}
    for name, part in module.named_modules():
        kept = {key: id(value) for key, value in vars(part).items()}
        found[name, "attributes"] = kept | {"training": part.training}
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in tensors:
        gradient = tensor.grad
        found[name, "is"] = id(tensor), tensor.data_ptr(), tensor._version
        found[name, "needs"] = tensor.requires_grad, tensor.dtype, id(gradient)
        found[name, "holds"] = tensor.detach().clone()
        if gradient is not None:
            found[name, "gradient"] = gradient.clone()
    return found


def randomness():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state().numpy().tobytes()
    return torch_state, random.getstate(), name, keys.tobytes(), tuple(rest)


@contextmanager
def other_randomness():
    """Let all generators stand elsewhere inside."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(99)
        random.seed(99)
        np.random.seed(99)  # noqa: NPY002
        yield
    random.setstate(before[0])
    np.random.set_state(before[1])  # noqa: NPY002


def assert_same(after, before):
    assert after.keys() == before.keys()
    for key, value in before.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(after[key], value), key
        else:
            assert after[key] == value, key

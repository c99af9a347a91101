"""How much of what PyTorch makes is alive at once."""

import weakref

from torch_required import torch


class Peak(torch.utils._python_dispatch.TorchDispatchMode):
    """The most numbers that were alive at once of those that torch made inside."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self._known = set()

    def _dropped(self, key, size):
        self._known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else [found]:
            if not torch.is_tensor(each):
                continue
            storage = each.untyped_storage()
            key, size = storage._cdata, storage.nbytes() // each.element_size()
            if key not in self._known:
                self._known.add(key)
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._dropped, key, size)
        return found

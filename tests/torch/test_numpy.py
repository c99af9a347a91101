"""Data of NumPy are taken as tensors, wherever they stand."""

import numpy as np
import pytest
from torch_cases import case
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn


def arrays(own):
    return own.inputs.numpy(), own.targets.numpy()


def read_only(own):
    x, y = (each.copy() for each in arrays(own))
    x.flags.writeable = False
    return x, y


class Loader:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


DATA = {
    "pair": arrays,
    "list": lambda own: list(arrays(own)),
    "half": lambda own: (own.inputs.numpy(), own.targets),
    "several": lambda own: ((own.inputs.numpy(),), own.targets.numpy()),
    "batches": lambda own: [(x.numpy(), y.numpy()) for x, y in own.batches(4, 5)],
    "loader": lambda own: Loader([(x.numpy(), y.numpy()) for x, y in own.batches(9)]),
    "backwards": lambda own: (own.inputs.numpy()[::-1].copy()[::-1], arrays(own)[1]),
    "foreign": lambda own: (own.inputs.numpy().astype(">f8"), arrays(own)[1]),
    "read_only": read_only,
}


@pytest.mark.parametrize("kind", DATA)
def test_arrays_of_numpy(watch, kind):
    own = case("yes_or_no")
    model = watch(own.model)
    found = problem(model, own.loss, DATA[kind](own))
    expected = problem(model, own.loss, own.data)
    assert found(found.weights)[0] == pytest.approx(
        expected(found.weights)[0], rel=1e-12
    )
    assert found.samples == 9


def test_rows_of_numpy_are_cut(watch):
    own = case("yes_or_no")
    model = watch(own.model)
    found = problem(model, own.loss, arrays(own), micro_batch=4)
    expected = problem(model, own.loss, own.data, micro_batch=4)
    assert found(found.weights)[0] == expected(found.weights)[0]


@pytest.mark.parametrize(
    ("spoilt", "match"),
    [
        (lambda x: x.astype(object), r"dtype object: .*torch\.from_numpy\(array\)"),
        (np.ma.masked_array, "with a mask, which no tensor has; fill it"),
    ],
)
def test_arrays_that_cannot_be_used(watch, spoilt, match):
    own = case("yes_or_no")
    x, y = arrays(own)
    with pytest.raises(TypeError, match=match):
        problem(watch(own.model), own.loss, (spoilt(x), y))

"""The trainer's steps on a device against their plain lines."""

import importlib

import kernel_checks
import numpy as np

from sharpkit.lab.steps import plain

VECTORS = 5  # scale, shift, mean, slope, offset


def every_step(steps, put, dtype, rows=70, columns=37, spoilt=()):
    """What each step returns or writes, by its name; ``spoilt``: (row, column, z)."""
    random = np.random.default_rng(3)
    dh, z, h, out = random.standard_normal((4, rows, columns)).astype(dtype)
    for row, column, value in spoilt:
        z[row, column] = value
    vectors = map(put, random.standard_normal((VECTORS, columns)).astype(dtype))
    scale, shift, mean, *rest = vectors
    w, g, m, v = random.random((4, 300)).astype(dtype)
    labels = random.integers(0, columns, rows)
    labels[:1] = 0  # the first of the largest, where all logits of the row are one
    labels = put(labels)
    dh, z, h, out, w, g, m, v = map(put, (dh, z, h, out, w, g, m, v))
    found = {"statistics": steps.column_statistics(z)}
    steps.scale_shift_relu(z, scale, shift, h)
    found["sums"] = steps.relu_backward_sums(dh, z, scale, shift, mean)
    steps.relu_backward(dh, z, scale, shift, mean, *rest)
    found["entropy"] = (*steps.softmax_cross_entropy(z, labels, out, 0.3), out)
    steps.adam(w, g, m, v, rate=0.1, beta1=0.9, beta2=0.99, eps=1e-8, step=3)
    steps.momentum(m, g, v, rate=0.1, momentum=0.9)
    found["written"] = h, dh, w, m, v
    return {
        name: [kernel_checks.on_host(each) for each in arrays]
        for name, arrays in found.items()
    }


def plain_steps(*args, **options):
    with np.errstate(all="ignore"):
        return every_step(plain, np.array, *args, **options)


def check():
    """Raise unless all steps of CUDA are the plain ones, NaN and ties included."""
    cupy = importlib.import_module("cupy")
    cuda = importlib.import_module("sharpkit.lab.steps.cuda")
    arrays = kernel_checks.Arrays(cupy, np.float64)

    def put(a):
        return arrays.put(a) if a.dtype == np.float64 else cupy.asarray(a)

    spoilt = [(0, slice(None), 1.0), (33, 5, np.nan)]
    found = every_step(cuda, put, np.float64, spoilt=spoilt)
    for name, known in plain_steps(np.float64, spoilt=spoilt).items():
        for here, there in zip(found[name], known, strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-11, atol=1e-12)
    arrays.finish()

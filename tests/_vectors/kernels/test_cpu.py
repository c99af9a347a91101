"""What is the CPU backend's own: its checks of arguments and its instruction sets."""

import kernel_checks as checks
import numpy as np
import pytest

from sharpkit import _native
from sharpkit._vectors.kernels import cpu


def test_inputs_may_be_read_only(vectors, dtype):
    A = vectors(3, 100)
    A.flags.writeable = False
    w, z, d = A
    out, other = np.empty((2, 100), dtype)
    assert cpu.gram(A, A).shape == (3, 3)
    cpu.combine(np.ones((1, 3)), A, out[None])
    cpu.box_radius(w, 1e-3, out)
    cpu.box_step(w, 1e-3, z, d, 1e-3, out, other)
    cpu.box_toward(w, 1e-3, z, d, 1e-3, out, None)
    cpu.box_free(w, 1e-3, z, d, out)
    cpu.box_residual(w, 1e-3, z, d)
    cpu.box_reach(w, 1e-3, z, d)
    ts = np.array([1e-3])
    ts.flags.writeable = False
    assert cpu.path_gram(A, w, 1e-3, z, d, ts).shape == (1, 4, 2)
    assert cpu.free_gram(A, w, 1e-3, z).shape == (3, 3)


LENGTHS, BLOCK = "differ in dtype or length", "differ from the block"


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, LENGTHS, lambda a: cpu.gram(a, a[:, 1:].copy())),
        (ValueError, LENGTHS, lambda a: cpu.gram(a, a.astype("f4"))),
        (ValueError, LENGTHS, lambda a: cpu.gram(a, a[0])),
        (ValueError, "not C-contiguous", lambda a: cpu.gram(a[:, ::2], a[:, ::2])),
        (TypeError, "float16; give", lambda a: cpu.gram(*2 * [a.astype("f2")])),
        (
            ValueError,
            "shape .2, 2.",
            lambda a: cpu.combine(np.ones((2, 2)), a, a.copy()),
        ),
        (
            ValueError,
            LENGTHS,
            lambda a: cpu.box_step(*a[:1], 1, *a[1:], 1, a[2, 1:], None),
        ),
        (
            ValueError,
            LENGTHS,
            lambda a: cpu.box_reach(a[0], 1, a[1], a[2].astype("f4")),
        ),
        (
            ValueError,
            BLOCK,
            lambda a: cpu.path_gram(a, *a[:1, 1:], 1, *a[1:, 1:], [1.0]),
        ),
        (ValueError, BLOCK, lambda a: cpu.free_gram(a.astype("f4"), a[0], 1, a[1])),
        (ValueError, "2 dimensions", lambda a: cpu.fill_normal(a, 1, 2, 3)),
        (ValueError, "not contiguous", lambda a: cpu.fill_signs(a[0, ::2], 1, 2, 3)),
        (TypeError, "int64; give", lambda a: cpu.fill_signs(a[0].astype(int), 1, 2, 3)),
        (TypeError, "incompatible", lambda a: cpu.fill_normal(a[0], -1, 2, 3)),
    ],
)
def test_what_the_cpu_cannot_do_is_said(error, message, call):
    with pytest.raises(error, match=message):
        call(np.ones((3, 10)))


@pytest.mark.parametrize("name", _native.instruction_sets())
@pytest.mark.parametrize("check", [checks.gram, checks.path_gram, checks.free_gram])
def test_every_instruction_set(dtype, name, check):
    _native.use_instruction_set(name)
    try:
        for n in (0, 1, 15, 17, 2047, 2049, cpu.CHUNK + 5):
            check(cpu, checks.Arrays(cpu, dtype), n, 5)
        for k in (*range(9), 22, 40):
            check(cpu, checks.Arrays(cpu, dtype), 259, k)
    finally:
        _native.use_instruction_set(_native.instruction_sets()[-1])


def test_an_instruction_set_that_is_not_there():
    with pytest.raises(ValueError, match="no mmx"):
        _native.use_instruction_set("mmx")

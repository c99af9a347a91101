import numpy as np
import pytest
from thread_comm import run_ranks

from sharpkit._box import columns as module
from sharpkit._box.columns import RandomColumns
from sharpkit._vectors.kernels import cpu, reference
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

P = 5


@pytest.fixture
def small_slabs(monkeypatch):
    """Slabs of 1024 coordinates, the least there are."""
    monkeypatch.setattr(module, "SLAB_BYTES", 1)


def drawn(n, dtype, distribution):
    out = np.empty((P, n), dtype)
    for index, row in enumerate(out):
        fill = (
            reference.fill_normal if distribution == "normal" else reference.fill_signs
        )
        fill(row, 3, Stream.SUBSPACE + index, 0)
    return out


@pytest.mark.usefixtures("small_slabs")
@pytest.mark.parametrize("distribution", ["normal", "rademacher"])
@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("keep", [0, 1 << 30])
def test_products_equal_those_of_the_matrix(kernels, dtype, distribution, n, keep):
    space = Space(kernels, n, dtype)
    columns = RandomColumns(space, P, distribution=distribution, seed=3, memory=keep)
    A = drawn(n, dtype, distribution).astype(float)
    rng = np.random.default_rng(0)
    g, out = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    factors = rng.standard_normal(P)
    # Normals agree with the reference's to float32 roundings.
    near = {"rtol": 1e-6, "atol": 1e-6 * np.sqrt(n + 1)}
    np.testing.assert_allclose(columns.gram(), A @ A.T, **near)
    np.testing.assert_allclose(columns.dot(g), A @ g, **near)
    want = out + factors @ A
    columns.add(factors, out)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("small_slabs")
@pytest.mark.parametrize("distribution", ["normal", "rademacher"])
def test_kept_and_redrawn_columns_give_the_same_bits(dtype, distribution):
    n, results = 3333, []
    for keep in (0, 1 << 30):
        space = Space(cpu, n, dtype)
        columns = RandomColumns(
            space, P, distribution=distribution, seed=3, memory=keep
        )
        assert (columns._kept is None) == (keep == 0)
        out = np.ones(n, dtype)
        columns.add(np.linspace(-1, 1, P), out)
        results.append([columns.gram(), columns.dot(out), out])
    for kept, redrawn in zip(*results, strict=True):
        assert kept.tobytes() == redrawn.tobytes()


@pytest.mark.usefixtures("small_slabs")
@pytest.mark.parametrize("lengths", [[2000, 1, 900], [7, 0, 3000]])
def test_shards_hold_pieces_of_the_same_columns(dtype, lengths):
    """Ranks have different numbers of slabs and still meet at every sum."""
    n = sum(lengths)
    g = np.random.default_rng(1).standard_normal(n).astype(dtype)

    def rank(comm, piece):
        mine = g[piece].copy()
        columns = RandomColumns(
            Space(cpu, mine.size, dtype, comm), P, distribution="normal", seed=3
        )
        products = columns.gram(), columns.dot(mine)
        columns.add(np.ones(P), mine)
        return products, mine

    whole = RandomColumns(Space(cpu, n, dtype), P, distribution="normal", seed=3)
    pieces = run_ranks(lengths, rank)
    for (gram, dot), _ in pieces:
        np.testing.assert_allclose(gram, whole.gram(), rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(dot, whole.dot(g), rtol=1e-12, atol=1e-10)
    moved = g.copy()
    whole.add(np.ones(P), moved)
    np.testing.assert_array_equal(np.concatenate([p for _, p in pieces]), moved)


@pytest.mark.parametrize("count", [1, 3, 100, 999, 10_000])
def test_slabs_are_bounded_and_whole_chunks(dtype, count):
    space = Space(cpu, 10**9, dtype)  # nothing is drawn before it is needed
    columns = RandomColumns(space, count, distribution="rademacher", seed=0, memory=0)
    assert columns._width * count * dtype.itemsize <= module.SLAB_BYTES
    assert columns._width % 1024 == 0
    assert columns._width % cpu.CHUNK == 0 or columns._width < cpu.CHUNK

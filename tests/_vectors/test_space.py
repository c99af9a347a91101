import numpy as np
import pytest
from thread_comm import run_ranks

from sharpkit._box import search
from sharpkit._box.box import Box
from sharpkit._box.subspace import FullSpace, RandomSubspace, Subspace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.comm import Serial
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

LENGTHS = [[5, 1, 9], [128, 127, 2], [7, 0, 4]]


def test_vectors_have_the_length_and_the_dtype(kernels, dtype):
    space = Space(kernels, 7, dtype)
    assert (space.n, space.size, space.dtype) == (7, 7, dtype)
    assert isinstance(space.comm, Serial)
    assert space.empty().shape == (7,)
    assert space.empty(3).shape == (3, 7)
    assert space.empty().dtype == space.zeros().dtype == dtype
    assert not space.zeros().any()


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-600, 1.0, 2.0**600, 2.0**1000])
def test_norms_of_any_size(kernels, scale):
    space, v = Space(kernels, 5, np.float64), np.array([1.0, -2, 3, 0, 4])
    assert space.norm(scale * v) == scale * space.norm(v)
    assert space.norm(0 * v) == 0
    assert np.isnan(space.norm(np.nan * v))
    assert space.norm(np.inf * np.ones(5)) == np.inf


def test_norms_of_any_size_in_pieces():
    v = 1e200 * np.arange(10.0)

    def piece(comm, mine):
        space = Space(cpu, len(v[mine]), np.float64, comm)
        return space.norm(v[mine].copy())

    for found in run_ranks([4, 1, 5], piece):
        assert found == pytest.approx(1e200 * np.linalg.norm(np.arange(10.0)))


def test_calls_bytes_and_seconds_are_counted(dtype):
    space = Space(cpu, 10, dtype)
    one = 10 * dtype.itemsize
    a, b, out = np.ones((2, 10), dtype), np.ones((3, 10), dtype), space.empty(1)
    v = [np.ones(10, dtype) for _ in range(6)]
    assert space.counts == {}
    space.gram(a, b)
    space.gram(a, a)  # one block is read once
    space.dot(v[0], v[1])
    space.combine([[1.0, 1.0, 1.0]], b, out)
    space.combine([[1.0, 1.0, 1.0]], b, out, beta=1.0)  # reads out, too
    space.box_radius(v[0], 1e-3, v[1])
    space.box_step(v[0], 0.1, v[1], v[2], 1.0, v[4], v[5])
    space.box_step(v[0], 0.1, v[1], v[2], 1.0, None, v[5])
    space.box_toward(v[0], 0.1, v[1], v[2], 1.0, v[4], None)
    space.box_free(v[0], 0.1, v[1], v[2], v[3])
    space.box_residual(v[0], 0.1, v[1], v[2])
    space.box_reach(v[0], 0.1, v[1], v[2])
    space.path_gram(a, v[0], 0.1, v[1], v[2], [0.0, 1.0])
    space.free_gram(a, v[0], 0.1, v[1])
    space.copy(v[0], v[1])
    space.add(v[0], v[1], 2.0)
    space.scale(v[1], 2.0)
    space.norm(v[0])
    space.fill_signs(v[0], 0, 0)
    space.fill_normal(v[0], 0, 0)
    space.fill_normal(v[0], 0, 1)
    assert {
        name: (count.calls, count.bytes) for name, count in space.counts.items()
    } == {
        "gram": (4, (5 + 2 + 2 + 1) * one),
        "combine": (5, (3 + 1 + 3 + 2 + 2 + 3 + 2) * one),
        "box_radius": (1, 2 * one),
        "box_step": (2, (5 + 4) * one),
        "box_toward": (1, 4 * one),
        "box_free": (1, 4 * one),
        "box_residual": (1, 3 * one),
        "box_reach": (1, 3 * one),
        "path_gram": (1, 5 * one),
        "free_gram": (1, 4 * one),
        "fill_signs": (1, one),
        "fill_normal": (2, 2 * one),
    }
    assert all(count.seconds > 0 for count in space.counts.values())


def test_words_are_those_of_the_kernels(kernels, dtype):
    """The small words give the bits of the products and combinations they stand for."""
    n = 5000
    space, rng = Space(kernels, n, dtype), np.random.default_rng(0)
    v, begun = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    out, want = begun.copy(), begun.copy()
    assert space.norm(v) == np.sqrt(space.dot(v, v)) > 0
    space.copy(v, out)
    assert out.tobytes() == v.tobytes()
    space.copy(v, out, -1 / 3)
    kernels.combine(np.array([[-1 / 3]]), v[None], want[None])
    assert out.tobytes() == want.tobytes()
    space.add(begun, out)
    space.add(v, out, 0.1)
    kernels.combine(np.array([[1.0]]), begun[None], want[None], 1.0)
    kernels.combine(np.array([[0.1]]), v[None], want[None], 1.0)
    assert out.tobytes() == want.tobytes()
    space.scale(out, 1 / 3)
    scaled = (want.astype(np.float64) * (1 / 3)).astype(dtype)
    assert out.tobytes() == scaled.tobytes()


def test_two_spaces_count_apart():
    first, second = Space(cpu, 3, np.float64), Space(cpu, 3, np.float64)
    first.dot(np.ones(3), np.ones(3))
    assert second.counts == {}


@pytest.mark.parametrize("lengths", LENGTHS)
def test_products_over_shards_equal_the_whole(kernels, dtype, lengths):
    rng = np.random.default_rng(0)
    n = sum(lengths)
    a = rng.integers(-50, 50, (2, n)).astype(dtype)  # sums of them are exact
    b = rng.integers(-50, 50, (3, n)).astype(dtype)

    def rank(comm, piece):
        space = Space(kernels, piece.stop - piece.start, dtype, comm)
        mine, other = (np.ascontiguousarray(v[:, piece]) for v in (a, b))
        return (
            space.size,
            space.gram(mine, other),
            space.dot(mine[0], other[0]),
            space.norm(mine[0]),
            comm.max(np.array([float(piece.stop)]))[0],
        )

    whole = Space(kernels, n, dtype)
    for size, gram, dot, norm, last in run_ranks(lengths, rank):
        assert size == n
        np.testing.assert_array_equal(gram, whole.gram(a, b))
        np.testing.assert_array_equal(gram, a.astype(int) @ b.astype(int).T)
        assert dot == whole.dot(a[0], b[0])
        assert norm == whole.norm(a[0])
        assert last == n


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("fill", ["fill_signs", "fill_normal"])
def test_fills_of_shards_are_pieces_of_the_whole(kernels, dtype, lengths, fill):
    def rank(comm, piece):
        space = Space(kernels, piece.stop - piece.start, dtype, comm)
        out = space.empty()
        getattr(space, fill)(out, 3, 8)
        return out

    whole = np.empty(sum(lengths), dtype)
    getattr(Space(kernels, whole.size, dtype), fill)(whole, 3, 8)
    np.testing.assert_array_equal(np.concatenate(run_ranks(lengths, rank)), whole)
    assert len(np.unique(whole)) > 1


def test_a_failing_rank_frees_the_others():
    def rank(comm, piece):
        if comm.rank == 1:
            raise ZeroDivisionError("rank 1")
        return comm.sum(np.ones(1))

    with pytest.raises(ZeroDivisionError, match="rank 1"):
        run_ranks([1, 1, 1], rank)


class Curved:
    """A separable quadratic plus the square of a sum over all weights; sharded.

    The second part couples all ranks, and has two basins.
    """

    def __init__(self, n, comm=None, piece=slice(None)):
        rng = np.random.default_rng(5)
        self.h = rng.uniform(0.5, 2, n)[piece]
        self.m = 1e-3 * rng.standard_normal(n)[piece]
        self.u = rng.choice([-1.0, 1.0], n)[piece]
        self.comm = comm or Serial()

    def __call__(self, w):
        d = w - self.m
        local = np.array([0.5 * np.sum(self.h * d**2), np.sum(self.u * w)])
        quadratic, s = self.comm.sum(local)
        return float(quadratic + 30 * (s + 0.01) ** 2), (
            self.h * d + 60 * (s + 0.01) * self.u
        ).astype(w.dtype)


def climb(space, weights, loss_fn, columns=None):
    where = (
        FullSpace(space, weights, 0.01)
        if columns is None
        else RandomSubspace(
            space, weights, Subspace(columns, scale="columns"), 0.01, seed=1
        )
    )
    seen = []

    def recorded(w):
        seen.append(w.copy())
        return loss_fn(w)

    objective = Objective(recorded, weights)
    loss, gradient = objective(weights.copy())
    box = Box(objective, where, loss, gradient.copy(), budget=40, spent=1)
    found = search.maximise(box, seed=4)
    best, reached = found.best, found.starts
    return best.loss, reached, box.history, box.displacement(best.z), np.array(seen)


@pytest.mark.parametrize("columns", [None, 6])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_sharded_climb_equals_the_whole(lengths, columns):
    n = sum(lengths)
    weights = 0.1 * np.random.default_rng(2).standard_normal(n)

    def rank(comm, piece):
        mine = weights[piece].copy()
        space = Space(cpu, mine.size, np.float64, comm)
        return climb(space, mine, Curved(n, comm, piece), columns)

    want, reached, history, point, seen = climb(
        Space(cpu, n, np.float64), weights, Curved(n), columns
    )
    ranks = run_ranks(lengths, rank)
    for rank_result in ranks:
        assert rank_result[:3] == ranks[0][:3]  # every rank has the same numbers
    assert len(reached) > 1
    np.testing.assert_allclose(ranks[0][0], want, rtol=1e-12)
    np.testing.assert_allclose(ranks[0][1], reached, rtol=1e-12)
    np.testing.assert_allclose(ranks[0][2], history, rtol=1e-12)
    got = np.concatenate([rank_result[3] for rank_result in ranks])
    np.testing.assert_allclose(got, point, rtol=0, atol=1e-14)
    walked = np.concatenate([rank_result[4] for rank_result in ranks], axis=1)
    np.testing.assert_allclose(walked, seen, rtol=0, atol=1e-14)


def test_one_rank_with_nan_is_seen_by_all():
    def rank(comm, piece):
        space = Space(cpu, 2, np.float64, comm)
        where = FullSpace(space, np.ones(2), 0.1)

        def loss_fn(w):
            g = np.ones(2)
            if comm.rank == 1 and w[0] > 1:
                g[0] = np.nan
            return 1.0 + float(comm.sum(np.array([w.sum()]))[0]), g

        box = Box(
            Objective(loss_fn, np.ones(2)), where, 7.0, np.ones(2), budget=5, spent=1
        )
        found = box.evaluate_toward(np.zeros(2), np.ones(2), 1.0)
        return box.non_finite, found.gradient.any()

    assert run_ranks([2, 2, 2], rank) == [(True, False)] * 3

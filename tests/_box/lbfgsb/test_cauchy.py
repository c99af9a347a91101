import numpy as np
import pytest

from sharpkit._box.box import Box
from sharpkit._box.lbfgsb import cauchy
from sharpkit._box.lbfgsb.cauchy import cauchy_point
from sharpkit._box.lbfgsb.compact import Compact
from sharpkit._box.subspace import FullSpace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

EPSILON = 0.1


class Problem:
    """A box, a place in it, a gradient and a model; and its dense twin."""

    def __init__(self, n, pairs, seed, spread=1.0):
        rng = np.random.default_rng(seed)
        w = rng.standard_normal(n)
        self.space = Space(cpu, n, np.float64)
        loss_fn = lambda x: (float(x @ x), 2 * x)  # noqa: E731
        self.box = Box(
            Objective(loss_fn, w),
            FullSpace(self.space, w, EPSILON),
            *loss_fn(w),
            budget=None,
            spent=1,
        )
        self.r = self.box.radius()
        self.z = self.r * np.clip(rng.uniform(-1.5, 1.5, n), -1, 1)
        self.g = spread * rng.standard_normal(n) * rng.choice([0, 1, 3], n)
        self.model = Compact(self.space, np.empty((20, n)))
        scale = np.geomspace(1, 30, n)
        for _ in range(pairs):
            s = 0.1 * rng.standard_normal(n)
            pair = self.model.next_pair()
            pair[0], pair[1] = scale * s, s
            assert self.model.add()

    def slope(self, t, dense):
        """Return the right derivative of the dense model along the path."""
        ahead = self.z + t * self.g
        stuck = np.where(self.g > 0, ahead >= self.r, ahead <= -self.r)
        v = np.where(stuck, 0.0, self.g)
        u = np.clip(ahead, -self.r, self.r) - self.z
        return -self.g @ v + v @ dense @ u

    def dense(self):
        W = (self.model.scale[:, None] * self.model.rows).T
        small = np.stack([self.model.middle(row) for row in W])
        return self.model.theta * np.eye(len(self.z)) - small @ W.T

    def walls(self):
        hits = (np.copysign(self.r, self.g) - self.z)[self.g != 0]
        hits /= self.g[self.g != 0]
        return np.unique(hits[hits > 0])

    def first_minimum(self):
        """Walk from wall to wall, as the paper does."""
        dense, low = self.dense(), 0.0
        for wall in self.walls():
            # The slope is linear between walls, and jumps at them: look inside.
            first, last = (
                self.slope(low + part * (wall - low), dense) for part in (0.25, 0.75)
            )
            begin, end = 1.5 * first - 0.5 * last, 1.5 * last - 0.5 * first
            if begin >= 0:
                return low
            if end > 0:
                return low - begin * (wall - low) / (end - begin)
            low = wall
        return low

    def along(self, t):
        u = np.clip(self.z + t * self.g, -self.r, self.r) - self.z
        return self.model.scale * (self.model.rows @ u)


CASES = [
    (n, pairs, seed) for n in (1, 2, 7, 60) for pairs in (1, 3, 7) for seed in (0, 1)
]


@pytest.mark.parametrize(("n", "pairs", "seed"), CASES)
@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("few", [0, cauchy.FEW])
def test_it_is_the_first_minimum_from_wall_to_wall(
    n, pairs, seed, spread, few, monkeypatch
):
    monkeypatch.setattr(cauchy, "FEW", few)
    problem = Problem(n, pairs, seed, spread)
    if not len(problem.walls()):
        return
    found = cauchy_point(problem.box, problem.model, problem.z, problem.g)
    want = problem.first_minimum()
    # Beyond the last wall all t are the same place.
    got = min(found.t, problem.walls()[-1])
    if few:
        assert found.passes == 1
        assert got == pytest.approx(want, rel=1e-9)
    elif got != pytest.approx(want, rel=1e-7):  # a later one, of several
        dense = problem.dense()
        before, after = (problem.slope(got * (1 + x), dense) for x in (-1e-6, 1e-6))
        assert before < 0 <= after
        assert got > want
    np.testing.assert_allclose(
        found.along, problem.along(found.t), rtol=1e-10, atol=1e-10
    )
    assert found.passes < 60


def test_many_walls_take_few_passes(monkeypatch):
    monkeypatch.setattr(cauchy, "FEW", 0)
    for seed in range(10):
        problem = Problem(400, 5, seed, 3.0)
        found = cauchy_point(problem.box, problem.model, problem.z, problem.g)
        assert found.t == pytest.approx(problem.first_minimum(), rel=1e-7)
        assert found.passes <= 25


def test_without_pairs_it_is_known_at_once():
    problem = Problem(30, 0, 0)
    found = cauchy_point(problem.box, problem.model, problem.z, problem.g)
    assert (found.t, found.passes, found.along.size) == (1.0, 0, 0)

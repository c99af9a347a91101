import doctest
import importlib
import math

import numpy as np
import pytest
from networks import Network

import sharpkit
from sharpkit._inputs.warn import SharpkitWarning
from sharpkit.landscape import curve, load
from sharpkit.landscape.curve_result import coefficients
from sharpkit.measures._point import Point

KINDS = ("bezier", "polygon")


def ring(w):
    """A valley whose floor is the circle of radius 1; its top, the origin, is at 1."""
    off = float(w @ w) - 1
    return off**2, 4 * off * w


def well(w):
    """Minima at (±1, 0) on the valley y = 1 - x^2, which a wall of 25 divides."""
    x, y = w
    off = y - 1 + x**2
    return 25 * float(off**2), 50 * off * np.array([2 * x, 1.0])


def quadratic(n=20):
    rng = np.random.default_rng(1)
    a = rng.standard_normal((n, n))
    h = a @ a.T / n
    ends = rng.standard_normal((2, n))
    return sharpkit.Problem(ends[0], lambda w: (float(w @ h @ w) / 2, h @ w)), ends[1]


@pytest.fixture(scope="module")
def networks():
    """A problem of one trained network, and the weights of another."""
    network = Network(0)
    ours, theirs = (network.weights(seed, steps=400) for seed in (1, 2))
    # Units of the other are permuted, so that no straight way stays low.
    return sharpkit.Problem(ours, network), theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bends", [1, 3])
def test_a_convex_loss_has_no_barrier(kind, bends):
    problem, end = quadratic()
    found = curve(problem, end, kind=kind, bends=bends, steps=200, points=21)
    assert found.barrier <= 1e-12
    assert found.straight_barrier <= 1e-12
    assert found.values["loss"].mean() < found.straight["loss"].mean()


@pytest.mark.parametrize(("loss", "top"), [(ring, 1.0), (well, 25.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_barrier_of_a_bent_valley(loss, top, kind):
    problem = sharpkit.Problem(np.array([-1.0, 0.0]), loss)
    found = curve(problem, np.array([1.0, 0.0]), kind=kind, bends=3)
    assert found.straight_barrier == pytest.approx(top, rel=1e-12)
    assert found.barrier < top / 10
    assert found.values["loss"][[0, -1]].tolist() == [0, 0]


def test_a_curve_between_networks(networks):
    problem, end = networks
    found = curve(problem, end, points=31)
    ends = found.values["loss"][[0, -1]]
    assert found.straight_barrier > 5 * ends.max()
    assert found.barrier < found.straight_barrier / 10
    chord = np.linspace(*ends, 31)
    assert found.barrier == pytest.approx((found.values["loss"] - chord).max())
    assert found.training[-30:].mean() < found.training[:30].mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bends", [1, 2, 4])
@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_shares_of_the_points(kind, bends, t):
    shares = coefficients(kind, bends, t)
    last = bends + 1
    if kind == "bezier":
        wanted = [
            math.comb(last, i) * t**i * (1 - t) ** (last - i) for i in range(last + 1)
        ]
    else:
        knots = np.arange(last + 1) / last
        wanted = [np.interp(t, knots, row) for row in np.eye(last + 1)]
    np.testing.assert_allclose(shares, wanted, rtol=1e-12, atol=1e-15)
    assert shares.sum() == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_step_goes_down_the_gradient_of_the_objective(kind):
    """Adam's first step is the sign of the gradient, here against differences."""
    problem, end = quadratic(6)
    seen = []

    def loss_fn(w):
        seen.append(w.copy())
        return problem(w)

    watched = sharpkit.Problem(problem.weights, loss_fn)
    before = curve(watched, end, kind=kind, bends=2, steps=1, rate=1e-12, points=3)
    after = curve(watched, end, kind=kind, bends=2, steps=1, rate=1e-3, points=3)
    (w,), controls = seen[:1], [before.ends[0], *before.bends, before.ends[1]]
    shares, *_ = np.linalg.lstsq(np.array(controls).T, w)

    def objective(bends):
        return problem(shares @ [before.ends[0], *bends, before.ends[1]])[0]

    for place in np.ndindex(before.bends.shape):
        moved = [before.bends.copy() for _ in range(2)]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        slope = (objective(moved[0]) - objective(moved[1])) / 2e-5
        step = after.bends[place] - before.bends[place]
        if abs(slope) > 1e-7:
            assert np.sign(step) == -np.sign(slope)


def test_the_same_seed_gives_the_same_bits(networks):
    problem, end = networks
    options = {"steps": 20, "points": 5}
    one, same = (curve(problem, end, seed=3, **options) for _ in range(2))
    assert one.bends.tobytes() == same.bends.tobytes()
    assert one.training.tobytes() == same.training.tobytes()
    other = curve(problem, end, seed=4, **options)
    assert one.bends.tobytes() != other.bends.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_at_a_point_are_those_evaluated(networks, kind):
    problem, end = networks
    found = curve(problem, end, kind=kind, bends=2, steps=20, points=5)
    for t, loss in zip(found.t, found.values["loss"], strict=True):
        assert problem(found.at(t))[0] == loss
    assert found.at(0).tobytes() == problem.weights.tobytes()
    assert found.at(1).tobytes() == end.tobytes()
    for t in (-0.1, 1.5, "0"):
        with pytest.raises(ValueError, match=r"t=.*; give a number from 0"):
            found.at(t)


def test_what_the_user_hands_in_is_unchanged(networks):
    problem, end = networks
    kept = problem.weights.copy(), end.copy()
    curve(problem, end, steps=5, points=3)
    assert (problem.weights == kept[0]).all()
    assert (end == kept[1]).all()


def test_several_data_sets_and_accuracies():
    target = np.array([1.0, 2.0])

    def made(shift):
        return sharpkit.Problem(
            np.zeros(2),
            lambda w: (float((w - shift) @ (w - shift)), 2 * (w - shift)),
            accuracy=lambda w: float(np.clip(w[0], 0, 1)),
        )

    found = curve({"train": made(0), "test": made(1)}, target, steps=30, points=5)
    names = ["train loss", "train accuracy", "test loss", "test accuracy"]
    assert list(found.values) == list(found.straight) == names
    line = np.linspace(0, 1, 5)[:, None] * target
    wanted = ((line - 1) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.straight["test loss"], wanted, rtol=1e-12)
    assert found.straight["train accuracy"].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_batches_of_samples():
    x = np.random.default_rng(0).standard_normal((40, 3))
    sizes = []

    def over(rows):
        def loss_fn(w):
            off = x[rows] @ w - 1
            return float(off @ off) / len(rows), 2 * x[rows].T @ off / len(rows)

        return loss_fn

    def subset(indices):
        sizes.append(len(indices))
        return over(indices)

    problem = sharpkit.Problem(
        np.zeros(3), over(np.arange(40)), samples=40, subset=subset
    )
    found = curve(problem, np.ones(3), batch_size=10, steps=50, points=5)
    assert sizes == [10] * 50
    assert found.values["loss"].mean() < found.straight["loss"].mean()
    assert found.calls == 50 + 2 * 5 - 2


def test_losses_that_are_not_finite_stay_so():
    def loss_fn(w):
        bad = math.inf if 0.45 < w[0] < 0.55 else 0.0
        return bad + float(w @ w), 2 * w

    problem = sharpkit.Problem(np.zeros(2), loss_fn)
    with pytest.warns(SharpkitWarning, match="of 60 losses or gradients .* not finite"):
        found = curve(problem, np.ones(2), steps=60, points=11)
    assert found.straight["loss"][5] == math.inf
    assert found.straight_barrier == math.inf
    assert np.isfinite(found.bends).all()
    assert "straight line, loss: 1 points are not finite" in repr(found)


def test_an_end_with_another_loss_is_told():
    one, other = (
        sharpkit.Problem(np.full(2, at), lambda w, c=c: (c * float(w @ w), 2 * c * w))
        for at, c in ((0.0, 1.0), (1.0, 3.0))
    )
    with pytest.warns(SharpkitWarning, match="is 2, and that of `to` itself 6"):
        curve(one, other, steps=3, points=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to": np.zeros(3)}, r"to has shape \(3,\); give one entry per weight"),
        ({"to": [0.0, 1.0]}, "to is"),
        ({"kind": "spline"}, "kind='spline'; give 'bezier' or 'polygon'"),
        ({"steps": 0}, "steps=0; give a whole number of at least 1"),
        ({"bends": 0}, "bends=0; give"),
        ({"points": 2}, "points=2; give"),
        ({"rate": 0.0}, "rate=0.0; give a finite number above 0"),
        ({"batch_size": 4}, "batch_size=4 needs single samples"),
        ({"problem": {}}, "problem is empty"),
        ({"problem": np.zeros(2)}, "loss_fn"),
    ],
)
def test_bad_arguments(change, message):
    given = {"problem": sharpkit.Problem(np.zeros(2), ring), "to": np.ones(2)} | change
    with pytest.raises((TypeError, ValueError), match=message):
        curve(given.pop("problem"), given.pop("to"), **given)


def test_a_loss_without_gradient():
    problem = sharpkit.Problem(np.zeros(2), lambda w: ring(w)[0])
    with pytest.raises(ValueError, match="needs the gradient"):
        curve(problem, np.ones(2))


def test_progress_and_the_record():
    told = []
    problem = sharpkit.Problem(np.zeros(2), ring)
    found = curve(
        problem, np.ones(2), steps=10, points=5, progress=lambda *a: told.append(a[:2])
    )
    assert told == [(i + 1, 18) for i in range(18)]
    assert (found.calls, found.seed, found.n) == (18, 0, 2)
    text = repr(found)
    assert text.startswith("Bézier curve of 1 inner point from start to end, n = 2")
    assert f"barrier {found.barrier:.4g}, of the straight line" in text
    told = found.to_dict()
    assert told["barrier"] == found.barrier
    assert "bends" not in told


def test_the_example_of_the_documentation():
    module = importlib.import_module("sharpkit.landscape.curves")
    (test,) = doctest.DocTestFinder(recurse=False).find(module.curve, module=module)
    assert doctest.DocTestRunner().run(test) == (0, len(test.examples))


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_files(tmp_path, networks, suffix):
    problem, end = networks
    found = curve(problem, end, bends=2, steps=5, points=3)
    found.values["loss"][1] = math.nan
    found.save(tmp_path / f"curve{suffix}")
    again = load(tmp_path / f"curve{suffix}")
    for name, value in vars(found).items():
        one, same = value, getattr(again, name)
        if isinstance(value, dict):
            assert list(one) == list(same)
            one, same = (np.array([*each.values()]) for each in (one, same))
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.shape) == (same.dtype, same.shape)
            assert one.tobytes() == same.tobytes()
        else:
            assert one == same
    assert again.at(0.3).tobytes() == found.at(0.3).tobytes()


def test_a_network_with_batch_norms(tmp_path):
    torch = pytest.importorskip("torch")
    x, y = torch.randn(32, 4, generator=torch.Generator().manual_seed(0)), None
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    ends = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        ends.append(
            torch.nn.Sequential(
                torch.nn.Linear(4, 16),
                torch.nn.BatchNorm1d(16),
                torch.nn.ReLU(),
                torch.nn.Linear(16, 3),
            )
        )
        optimizer = torch.optim.Adam(ends[-1].parameters(), 0.02)
        for _ in range(60):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(ends[-1](x), y).backward()
            optimizer.step()
    first, other = (model.eval() for model in ends)
    kept = [value.clone() for value in first.state_dict().values()]
    problem = sharpkit.torch.problem(first, torch.nn.functional.cross_entropy, [(x, y)])
    torch.save(other.state_dict(), tmp_path / "other.pt")
    found = curve(problem, tmp_path / "other.pt", points=11)
    assert found.barrier < found.straight_barrier / 10
    assert found.batch_norm == "batch"
    assert found.names == ("start", "other")
    assert "batch norms use 'batch' statistics" in repr(found)
    same = zip(first.state_dict().values(), kept, strict=True)
    assert all(torch.equal(one, before) for one, before in same)
    # The end is what the other network is with the statistics of the data.
    other.train()
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(other(x), y).item()
    assert found.values["loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert Point.of(problem.on_line()).n == found.n


def test_the_device_finds_what_the_host_finds(cupy):
    start, end = np.array([1.0, 0.0]), np.array([-1.0, 0.0])
    options = {"bends": 2, "steps": 40, "points": 5}
    host = curve(sharpkit.Problem(start, ring), end, **options)
    problem = sharpkit.Problem(cupy.asarray(start), ring)
    device = curve(problem, cupy.asarray(end), **options)
    assert device.backend == "cuda"
    np.testing.assert_allclose(device.bends, host.bends, rtol=1e-9, atol=1e-12)
    for name in ("values", "straight"):
        ours, theirs = (getattr(each, name)["loss"] for each in (device, host))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert isinstance(device.at(0.5), np.ndarray)

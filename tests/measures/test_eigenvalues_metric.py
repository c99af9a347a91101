"""Eigenvalues in a metric, and from earlier vectors, against dense ones."""

import json

import numpy as np
import pytest

import sharpkit
from sharpkit import Preconditioner, SpectrumStatus, eigenvalues

N = 60


def case(seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N, N)) / np.sqrt(N)
    H = A @ A.T - 0.3 * np.eye(N)
    P, shift = np.exp(spread * rng.standard_normal(N)), rng.random(N)
    return H, P, shift, rng.standard_normal(N)


def dense(H, P, shift=0.0):
    root = P**-0.5
    return np.linalg.eigvalsh(root[:, None] * H * root + np.diag(shift + 0 * P))


def loss_of(H, dtype=float):
    H = H.astype(dtype)
    return lambda w: (float(w @ H @ w / 2), H @ w)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_they_are_those_of_the_preconditioned_matrix(seed, exact, which):
    H, P, shift, w = case(seed)
    hvp = (lambda w, v: H @ v) if exact else None
    metric = Preconditioner(P, threshold=4.0, shift=shift, name="mine")
    found = eigenvalues(
        w, loss_of(H), hvp=hvp, preconditioner=metric, k=3, which=which, tol=1e-6
    )
    truth = dense(H, P, shift)
    wanted = truth[::-1][:3] if which == "LA" else truth[:3]
    assert found.status is SpectrumStatus.CONVERGED
    assert (np.abs(found.values - wanted) <= found.residuals).all()
    assert (found.preconditioner, found.threshold) == ("mine", 4.0)
    if which == "LA":
        assert found.ratio == found.values[0] / 4
        assert f"in the metric of mine, {found.ratio:.3g} of its th" in repr(found)
    else:
        assert found.ratio is None
    assert json.loads(json.dumps(found.to_dict()))["ratio"] == found.ratio
    root = P**-0.5
    for value, u in zip(found.values, found.vectors, strict=True):
        Au = root * (H @ (root * u)) + shift * u
        assert np.linalg.norm(Au - value * u) <= 1e-6 * abs(value) + 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_differences_in_float32_know_their_error_in_the_metric(seed):
    H, P, _, w = case(seed, spread=2.0)
    found = eigenvalues(
        w.astype("f"), loss_of(H, "f"), preconditioner=P.astype("f"), tol=1e-2
    )
    wanted = dense(H.astype("f").astype(float), P.astype("f").astype(float))[-1]
    assert abs(found.values[0] - wanted) <= found.residuals[0]
    assert found.residuals[0] < 0.02 * wanted


@pytest.mark.slow
def test_residuals_hold_an_eigenvalue_in_every_run():
    """They are bounds and not standard errors: all of 500 seeds, and no wide ones."""
    residuals = []
    for seed in range(500):
        H, P, _, w = (each.astype("f") for each in case(seed, spread=2.0))
        found = eigenvalues(w, loss_of(H, "f"), preconditioner=P, tol=1e-2)
        truth = dense(H.astype(float), P.astype(float))
        assert np.abs(truth - found.values[0]).min() <= found.residuals[0], seed
        residuals.append(found.residuals[0] / truth[-1])
    assert np.median(residuals) < 0.01


def test_a_metric_of_one_changes_nothing():
    H, _, _, w = case()
    plain = eigenvalues(w, hvp=lambda w, v: H @ v, k=2)
    same = eigenvalues(w, hvp=lambda w, v: H @ v, k=2, preconditioner=np.ones(N))
    assert (plain.values == same.values).all()
    assert (plain.preconditioner, plain.threshold, plain.ratio) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.ones(N - 1), r"shape \(59,\); give one number for each weight"),
        (np.r_[0.0, np.ones(N - 1)], "has 0 at weight 0; give a diagonal above 0"),
        (np.full(N, np.nan), "not finite; give"),
        ("adam", "of type str; give a vector of 60"),
        (Preconditioner(np.ones(N), shift=np.ones(3)), r"preconditioner.shift has sh"),
    ],
)
def test_what_is_no_metric_is_refused(given, text):
    H, _, _, w = case()
    with pytest.raises((TypeError, ValueError), match=text):
        eigenvalues(w, loss_of(H), preconditioner=given)


def trained():
    """A small network at its end, and the same after another step of training."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 10))
    y = np.sin(x @ rng.standard_normal(10))
    shapes = (10, 16), (16,), (16,)
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]

    def loss_fn(w):
        A, b, c = (p.reshape(s) for p, s in zip(np.split(w, ends), shapes, strict=True))
        h = np.tanh(x @ A + b)
        r = h @ c - y
        dz = np.outer(r, c) * (1 - h**2) / len(x)
        g = np.concatenate([(x.T @ dz).ravel(), dz.sum(0), h.T @ r / len(x)])
        return float(r @ r / 2 / len(x)), g

    w = 0.3 * rng.standard_normal(10 * 16 + 32)
    for _ in range(400):
        w = w - 0.1 * loss_fn(w)[1]
    return w, loss_fn


def test_earlier_vectors_save_products_after_small_changes_of_the_weights():
    w, loss_fn = trained()
    found, taken, cold = eigenvalues(w, loss_fn), [], []
    for _ in range(10):
        for _ in range(10):
            w = w - 0.1 * loss_fn(w)[1]
        found = eigenvalues(w, loss_fn, v0=found, tol=1e-2, verify=False)
        fresh = eigenvalues(w, loss_fn, tol=1e-2, verify=False)
        assert found.converged.all()
        true = float(eigenvalues(w, loss_fn, tol=1e-5))
        assert abs(float(found) - true) <= 0.01 * true
        taken.append(found.products)
        cold.append(fresh.products)
    assert max(taken) < 5
    assert min(cold) > max(taken)


def test_several_vectors_start_the_search_for_as_many_pairs():
    H, _, _, w = case()
    hvp = lambda w, v: H @ v  # noqa: E731
    before = eigenvalues(w, hvp=hvp, k=4, tol=1e-8)
    for v0 in (before, before.vectors, before.vectors.astype("f")):
        again = eigenvalues(w, hvp=hvp, k=4, tol=1e-3, v0=v0, verify=False)
        assert again.products < 10 < before.products
        assert np.abs(again.values - before.values).max() < 2e-3
    first = eigenvalues(w, hvp=hvp, v0=before, verify=False)  # of which one counts
    assert first.products == 1
    wrong = eigenvalues(w, hvp=hvp, v0=before.vectors[2])
    assert abs(float(wrong) - before.values[0]) < 1e-2


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.ones(N - 1), r"v0 has shape \(59,\); give vectors of 60 entries"),
        (np.zeros(N), "v0 has a vector of norm 0; give"),
        (np.full((2, N), np.inf), "v0 has a vector of norm"),
        (np.ones((0, N)), r"v0 has shape \(0, 60\)"),
        ("x", "v0 is of type str; give the result"),
        (np.array(1.0), r"v0 has shape \(\)"),
    ],
)
def test_what_is_no_start_is_refused(given, text):
    H, _, _, w = case()
    with pytest.raises((TypeError, ValueError), match=text):
        eigenvalues(w, loss_of(H), v0=given)


def test_earlier_vectors_of_a_classifier_of_torch():
    """Trained by Adam for a few steps, in float32; by exact products."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    x = torch.randn(200, 10)
    y = (x @ torch.randn(10, 5)).argmax(1)
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), 1e-2)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

    train(30)
    problem = sharpkit.torch.problem(model, loss, (x, y))
    found = eigenvalues(problem)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    for _ in range(5):
        train(2)
        problem = problem.refreshed()
        found = eigenvalues(problem, v0=found, tol=1e-2, verify=False)
        true = float(eigenvalues(problem, tol=1e-4))
        assert abs(float(found) - true) <= 0.01 * true
        assert found.products < 5


def test_starts_do_not_decay_to_numbers_below_the_normal_ones():
    curvature, seen = np.r_[0.0, np.arange(1.0, N)].astype("f"), []

    def hvp(w, v):
        seen.append(float(v[0]))
        return curvature * v

    v0 = np.ones(N, "f")
    v0[0] = 1e-35
    eigenvalues(np.ones(N, "f"), hvp=hvp, v0=v0, verify=False)
    assert 0.0 in seen
    assert not [x for x in seen if 0 < abs(x) < 1e-19]

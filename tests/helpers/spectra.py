"""Symmetric matrices of every kind that an eigenvalue solver can stumble over."""

import numpy as np

KINDS = (
    "wishart",
    "shifted",
    "clustered",
    "multiple",
    "decaying",
    "graded",
    "hessian",
    "identity",
    "zero",
    "wigner",
)


def eigenvalues_of(kind, rng, n):
    """Return n eigenvalues of a kind, in no order."""
    if kind == "clustered":
        near = 10 + 1e-4 * rng.standard_normal(8)
        return np.concatenate([near, 5 + 1e-3 * rng.standard_normal(n // 4)])
    if kind == "multiple":
        return np.full(50, 10.0)
    if kind == "decaying":
        return 1 / np.arange(1.0, n + 1) ** 2
    if kind == "graded":
        return np.arange(1.0, n + 1) ** 2
    if kind == "hessian":  # outliers, a bulk near zero, a negative tail
        tail = -0.05 * rng.random(n // 6)
        return np.concatenate([np.geomspace(100, 3, 10), tail])
    return {"identity": np.ones(n), "zero": np.zeros(n)}[kind]


REST = {"clustered": 1.0, "multiple": 9.0, "hessian": 0.02}  # bulks below the rest


def matrix(kind, seed, n):
    """Return a random symmetric float64 (n, n) matrix of a kind."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    if kind in ("wishart", "shifted"):
        x = rng.standard_normal((n, 2 * n))
        found = x @ x.T / (2 * n) - (5 * np.eye(n) if kind == "shifted" else 0)
    elif kind == "wigner":
        x = rng.standard_normal((n, n))
        found = x + x.T
    else:
        values = eigenvalues_of(kind, rng, n)
        bulk = rng.uniform(0, REST.get(kind, 0), n - len(values))
        q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        found = q @ np.diag(np.concatenate([values, bulk])) @ q.T
    return (found + found.T) / 2


def product(A):
    """Return ``hvp(w, v)`` of a matrix."""
    return lambda w, v: A @ v

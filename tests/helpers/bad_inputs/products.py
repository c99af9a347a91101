"""What is wrong with a user's ``hvp(w, v)``; each takes a generator and a problem."""

from __future__ import annotations

import numpy as np

from bad_inputs.callbacks import OwnError, few_digits


def right(rng, problem):
    return problem.hvp


def lacks(rng, problem):
    """A symmetric part is missing, of a known share of the Hessian's norm."""
    share = 10.0 ** rng.uniform(-3, 0)
    n = problem.weights.size
    h = problem.hessian(problem.weights.astype("f8"))
    if rng.integers(2):  # in a few directions
        u = np.linalg.qr(rng.standard_normal((n, max(n // 4, 1))))[0]
        part = share * np.linalg.norm(h) / np.sqrt(n) * u @ u.T
    else:
        part = share * h
    problem.share = np.linalg.norm(part) / (np.linalg.norm(h) or 1)

    def hvp(w, v):
        full = problem.hessian(w.astype("f8"))
        return ((full - part) @ v.astype("f8")).astype(v.dtype)

    return hvp


def asymmetric(rng, problem):
    n = problem.weights.size
    share = 10.0 ** rng.uniform(-3, 0)
    extra = np.triu(rng.standard_normal((n, n)), 1)
    extra *= share * np.linalg.norm(problem.hessian(problem.weights.astype("f8")))
    extra /= np.linalg.norm(extra) or 1
    return lambda w, v: problem.hvp(w, v) + (extra @ v).astype(v.dtype)


def nonlinear(rng, problem):
    share = 10.0 ** rng.uniform(-2, 0)

    def hvp(w, v):
        size = np.linalg.norm(v) / np.sqrt(v.size)
        hv = problem.hvp(w, v)
        bent = hv * np.tanh(v / size if size else v)
        return (hv + share * bent).astype(v.dtype)

    return hvp


def of_other_weights(rng, problem):
    other = (problem.weights + rng.choice([0.1, 1.0])).astype(problem.weights.dtype)
    return lambda w, v: problem.hvp(other, v)


def writes(rng, problem):
    at, target, calls = int(rng.choice([1, 2, 3, 7])), int(rng.integers(2)), [0]

    def hvp(w, v):
        calls[0] += 1
        out = problem.hvp(w, v)
        if calls[0] == at:
            (w, v)[target][0] += 1
        return out

    return hvp


def returns_argument(rng, problem):
    return lambda w, v: v


def rounded(rng, problem):
    digits = int(rng.choice([8, 11, 24]))
    return lambda w, v: few_digits(problem.hvp(w, few_digits(v, digits)), digits)


def noisy(rng, problem):
    share = 10.0 ** rng.uniform(-8, -1)

    def hvp(w, v):
        hv = problem.hvp(w, v)
        return (hv * (1 + share * rng.standard_normal(v.size))).astype(v.dtype)

    return hvp


def not_finite(rng, problem):
    at, calls = int(rng.choice([1, 2, 3, 7])), [0]
    value = rng.choice([np.nan, np.inf, 1e308])

    def hvp(w, v):
        calls[0] += 1
        out = problem.hvp(w, v)
        if calls[0] >= at:
            with np.errstate(over="ignore"):
                out[-1] = value
        return out

    return hvp


def other_kind(rng, problem):
    change = [
        lambda p: p.astype("f4" if p.dtype == "f8" else "f8"),
        lambda p: p[:, None],
        lambda p: p[:-1],
        lambda p: p.tolist(),
        lambda p: p.astype(complex),
        lambda p: p.astype(int),
        lambda p: np.ma.array(p, mask=p > 0),
        lambda p: (p, p),
        lambda p: None,
        lambda p: float(p[0]),
        lambda p: p.astype(p.dtype.newbyteorder()),
    ]
    change = change[rng.integers(len(change))]
    at, calls = int(rng.choice([1, 2, 5])), [0]

    def hvp(w, v):
        calls[0] += 1
        with np.errstate(all="ignore"):
            out = problem.hvp(w, v)
            return change(out) if calls[0] >= at else out

    return hvp


def raises(rng, problem):
    at, calls = int(rng.choice([1, 2, 3, 7])), [0]
    error = [OwnError("own"), KeyError("own"), TypeError("own")]
    problem.own = error[rng.integers(3)]

    def hvp(w, v):
        calls[0] += 1
        if calls[0] == at:
            raise problem.own
        return problem.hvp(w, v)

    return hvp


def one_buffer(rng, problem):
    buffer = np.zeros_like(problem.weights)

    def hvp(w, v):
        buffer[:] = problem.hvp(w, v)
        return buffer

    return hvp


def misordered(rng, problem):
    """``hvp(v, w)``, the arguments the other way round."""
    return lambda w, v: problem.hvp(v, w)


DEFECTS = (
    *(right, lacks, lacks, asymmetric, nonlinear, of_other_weights, writes, rounded),
    *(returns_argument, noisy, not_finite, other_kind, raises, one_buffer, misordered),
)

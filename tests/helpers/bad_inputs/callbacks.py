"""What is wrong with a callback: its loss, its gradient, or its manners.

Each defect takes a random generator and a known problem, and returns the loss function
of a careless user. Its docstring's first word says what a measure may make of it:
"harmless" is to give the right number, "refused" to raise, "seen" is to be noticed.
"""

from __future__ import annotations

import numpy as np


class OwnError(Exception):
    """What a user's callback raises by itself."""


def counted(change):
    """Return a callback of which ``change(call, w, loss, gradient)`` is returned."""

    def make(rng, problem):
        calls = [0]
        turn = change(rng, problem)

        def call(w):
            calls[0] += 1
            return turn(calls[0], w, *problem(w))

        return call

    return make


# Gradients.


def scaled(rng, problem):
    factor = rng.choice([0.5, 2.0, -1.0, 1.1, 1 / 128, 128.0])
    return lambda call, w, loss, g: (loss, (factor * g).astype(g.dtype))


def zero(rng, problem):
    return lambda call, w, loss, g: (loss, 0 * g)


def stale(rng, problem):
    last = [problem(problem.weights)[1]]

    def turn(call, w, loss, g):
        before, last[0] = last[0], g
        return loss, before

    return turn


def accumulated(rng, problem):
    total = np.zeros_like(problem.weights)

    def turn(call, w, loss, g):
        total[:] += g
        return loss, total.copy()

    return turn


def of_another_loss(rng, problem):
    a = np.linalg.norm(problem(problem.weights)[1]) + 1e-3
    slope = (a * rng.standard_normal(problem.weights.size)).astype(
        problem.weights.dtype
    )
    return lambda call, w, loss, g: (loss, g + slope * w)


def wrong_block(rng, problem):
    n = problem.weights.size
    begin = int(rng.integers(n))
    factor = rng.choice([0.0, 0.5, -1.0, 2.0])

    def turn(call, w, loss, g):
        g = g.copy()
        g[begin : begin + max(n // 3, 1)] *= g.dtype.type(factor)
        return loss, g

    return turn


def single(rng, problem):
    return lambda call, w, loss, g: (loss, g.astype("f4").astype(g.dtype))


def half(rng, problem):
    with np.errstate(over="ignore"):
        return lambda call, w, loss, g: (loss, few_digits(g, 11))


def few_digits(x, digits):
    part, power = np.frexp(x)
    return np.ldexp(np.round(np.ldexp(part, digits)), power - digits).astype(x.dtype)


def with_nan(rng, problem):
    at, value = int(rng.choice([1, 2, 3, 7])), rng.choice([np.nan, np.inf])
    every = bool(rng.integers(2))

    def turn(call, w, loss, g):
        g = g.copy()
        if call == at or (every and call > at):
            g[-1] = value
        return loss, g

    return turn


def other_vector(rng, problem):
    change = [
        lambda g: g.astype("f4" if g.dtype == "f8" else "f8"),
        lambda g: g.astype("f2"),
        lambda g: g[:, None],
        lambda g: g[:-1],
        lambda g: np.append(g, 0),
        lambda g: g.tolist(),
        lambda g: g.astype(complex),
        lambda g: g.astype(int),
        lambda g: g.astype(object),
        lambda g: np.ma.array(g, mask=g > 0),
        lambda g: g[None],
        lambda g: float(g[0]),
        lambda g: None,
        lambda g: "gradient",
        lambda g: g.astype(g.dtype.newbyteorder()),
        lambda g: g > 0,
        lambda g: {"w": g},
    ]
    change, at = change[rng.integers(len(change))], int(rng.choice([1, 2, 5]))

    def turn(call, w, loss, g):
        with np.errstate(all="ignore"):
            return loss, change(g) if call >= at else g

    return turn


def one_buffer(rng, problem):
    buffer = np.zeros_like(problem.weights)
    frozen = buffer.view()
    frozen.flags.writeable = False
    given = frozen if rng.integers(2) else buffer

    def turn(call, w, loss, g):
        buffer[:] = g
        return loss, given

    return turn


def strided(rng, problem):
    return lambda call, w, loss, g: (loss, np.repeat(g, 2)[::2])


# Losses.


def single_loss(rng, problem):
    def turn(call, w, loss, g):
        return float(np.float32(loss)), g

    return turn


def few_digits_loss(rng, problem):
    digits = int(rng.choice([8, 11]))
    return lambda call, w, loss, g: (float(few_digits(np.float64(loss), digits)), g)


def rounded_loss(rng, problem):
    return lambda call, w, loss, g: (float(f"{loss:.8g}"), g)


def noisy_loss(rng, problem):
    size = 10.0 ** rng.integers(-12, -1) * (1 + abs(problem(problem.weights)[0]))
    return lambda call, w, loss, g: (loss + size * rng.standard_normal(), g)


def noisy_gradient(rng, problem):
    share = 10.0 ** rng.integers(-10, 0)

    def turn(call, w, loss, g):
        noise = rng.standard_normal(g.size) * np.linalg.norm(g) / np.sqrt(g.size)
        return loss, (g + share * noise).astype(g.dtype)

    return turn


def noisy_at_times(rng, problem):
    size = 10.0 ** rng.integers(-3, 2) * (1 + abs(problem(problem.weights)[0]))
    at = set(rng.choice(np.arange(1, 30), 3).tolist())
    return lambda call, w, loss, g: (loss + size * (call in at), g)


def drifting(rng, problem):
    size = 10.0 ** rng.integers(-6, 0) * (1 + abs(problem(problem.weights)[0]))
    return lambda call, w, loss, g: (loss + size * call, g)


def ends(rng, problem):
    """Beyond a part of the box the loss is not finite, or huge."""
    value = rng.choice([np.inf, -np.inf, np.nan, 1e308, -1e308, 1e200])
    at, far = problem.weights.copy(), rng.choice([1e-9, 1e-4, 5e-4])
    spoiled = bool(rng.integers(2))

    def turn(call, w, loss, g):
        if np.abs(w - at).max() > far:
            return float(value), g + g.dtype.type(np.nan) if spoiled else g
        return loss, g

    return turn


def other_loss(rng, problem):
    change = [
        lambda f: np.array(f),
        lambda f: np.array([f]),
        lambda f: np.array([f, f]),
        lambda f: [f],
        lambda f: complex(f),
        lambda f: np.complex128(f),
        lambda f: str(f),
        lambda f: b"1",
        lambda f: None,
        lambda f: f > 0,
        lambda f: np.float32(f),
        lambda f: np.float16(f),
        lambda f: np.longdouble(f),
        lambda f: np.ma.array(f, mask=True),
        lambda f: np.datetime64("2020-01-01"),
        lambda f: {},
        lambda f: int(f),
        lambda f: 10**400,
        lambda f: np.array(f, object),
        lambda f: np.array([]),
        lambda f: lambda: f,
    ]
    change, at = change[rng.integers(len(change))], int(rng.choice([1, 2, 5]))

    def turn(call, w, loss, g):
        with np.errstate(all="ignore"):
            return change(loss) if call >= at else loss, g

    return turn


# Manners.


def writes(rng, problem):
    at, where = int(rng.choice([1, 2, 3, 9])), int(rng.integers(problem.weights.size))

    def turn(call, w, loss, g):
        if call == at:
            w[where] += 1e-3
        return loss, g

    return turn


def raises(rng, problem):
    at = int(rng.choice([1, 2, 3, 9]))
    error = [OwnError("own"), KeyError("own"), ValueError("own"), RuntimeError("own")]
    problem.own = error[rng.integers(4)]

    def turn(call, w, loss, g):
        if call == at:
            raise problem.own
        return loss, g

    return turn


def other_contract(rng, problem):
    at, kind = int(rng.choice([1, 2, 3, 9])), rng.integers(5)

    def turn(call, w, loss, g):
        if call < at:
            return loss, g
        return [loss, (loss, g, g), (loss,), [loss, g], (g, loss)][kind]

    return turn


def no_gradient(rng, problem):
    return lambda call, w, loss, g: loss


def keeps(rng, problem):
    kept = []

    def turn(call, w, loss, g):
        kept.append(w)
        return loss, g

    return turn


def of_other_weights(rng, problem):
    """The loss and gradient of another problem at some calls."""
    at = int(rng.choice([2, 3, 9]))

    def turn(call, w, loss, g):
        if call != at:
            return loss, g
        return problem(w + w.dtype.type(0.1))

    return turn


DEFECTS = {
    "gradient": (
        *(scaled, zero, stale, accumulated, of_another_loss, wrong_block, single),
        *(half, with_nan, other_vector, other_vector, one_buffer, strided),
        noisy_gradient,
    ),
    "loss": (
        *(single_loss, few_digits_loss, rounded_loss, noisy_loss, noisy_at_times),
        *(drifting, ends, ends, other_loss, other_loss),
    ),
    "manners": (
        *(writes, raises, other_contract, no_gradient, keeps, of_other_weights),
    ),
}

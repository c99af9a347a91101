"""Every kernel of a backend against the reference, at sizes that a test chooses.

Each check takes the kernels' module, an `Arrays`, and sizes. What it returns is the
bytes of all results, which must depend on neither threads nor their order.
"""

from __future__ import annotations

import numpy as np

from sharpkit import _native
from sharpkit._vectors.kernels import reference

EPS = 1e-2
PAD = 33  # odd, so that no array is aligned to more than its numbers


def copied(kernels, host):
    """Return a copy of an array where the backend's arrays live."""
    there = kernels.empty(host.shape, host.dtype)
    if hasattr(there, "set"):
        there.set(host)
    else:
        there[...] = host
    return there


def on_host(a):
    """Return an array or number on the host."""
    return a.get() if hasattr(a, "get") else a


class Arrays:
    """Random numbers, and a backend's arrays between guards of NaN."""

    def __init__(self, kernels, dtype, seed: int = 0):
        self.kernels, self.dtype = kernels, np.dtype(dtype)
        self.rng = np.random.default_rng(seed)
        self.guards, self.results = [], []
        # NaN with bits of their own: what is computed from one differs from another.
        self.words = np.dtype(f"u{self.dtype.itemsize}").type
        self.poison = np.array(np.nan, self.dtype).view(self.words) + self.words(1)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def put(self, host):
        """Copy to where the backend's arrays are; NaN around it must not be used."""
        self.poison += self.words(1)
        whole = np.full(host.size + 2 * PAD, self.poison).view(self.dtype)
        whole[PAD : PAD + host.size] = host.ravel()
        around = copied(self.kernels, whole)
        guards = around[:PAD], around[PAD + host.size :]
        self.guards += [(guard, on_host(guard).tobytes()) for guard in guards]
        return around[PAD : PAD + host.size].reshape(host.shape)

    def empty(self, *shape):
        return self.put(np.full(shape, np.nan, self.dtype))

    def same(self, got, want):
        """Compare bits, for NaN only that it is there."""
        self.close(got, want, 0.0)

    def close(self, got, want, bound):
        got = np.asarray(on_host(got))
        self.results.append(got.tobytes())
        assert got.shape == np.shape(want)
        with np.errstate(all="ignore"):  # infinite minus infinite
            fine = np.abs(got - want) <= bound
        fine |= (got == want) | (np.isnan(got) & np.isnan(want))
        assert fine.all(), f"got {got[~fine][:3]}, not {np.asarray(want)[~fine][:3]}"

    def finish(self):
        for guard, before in self.guards:
            assert on_host(guard).tobytes() == before, "a kernel wrote beside an array"
        return b"".join(self.results)

    def box(self, n, nan=False):
        """Return weights, a displacement and a direction with every special case."""
        w, z, d = self.normal(3, n)
        r = np.empty_like(w)
        reference.box_radius(w, EPS, r)
        z = np.clip(self.dtype.type(EPS) * z, -r, r)
        z[1::7] = r[1::7]
        z[2::7] = -r[2::7]
        d[3::5] = 0
        d[8::10] = -0.0
        d[4::5] *= np.finfo(self.dtype).smallest_subnormal
        if nan:
            # Of the first two also where d is 0, which is at 3 and 8.
            for each, places in ((w, (0, 8)), (z, (3, 10)), (d, (6,))):
                for place in places:
                    each[place : place + 1] = np.nan
        return w, z, d


def dot_bound(A, B):
    """Return how far a float64 sum of products may be off, for each pair of rows."""
    sizes = [np.sqrt(np.sum(np.square(rows.astype(float)), axis=1)) for rows in (A, B)]
    with np.errstate(invalid="ignore"):
        return 1e-15 * np.sqrt(A.shape[1] + 1) * np.outer(*sizes)


def gram(kernels, arrays, n, k, nan=False):
    A, B = arrays.normal(k, n), arrays.normal(7, n)
    if nan and k:
        A[k - 1, n // 2 : n // 2 + 1] = np.nan
    a, b = arrays.put(A), arrays.put(B)
    arrays.close(kernels.gram(a, b), reference.gram(A, B), dot_bound(A, B))
    for one in (B[:1], arrays.normal(1, n)):
        put = arrays.put(one)
        bound = dot_bound(A, one)
        arrays.close(kernels.gram(a, put), reference.gram(A, one), bound)
        arrays.close(kernels.gram(put, a), reference.gram(one, A), bound.T)
    own = kernels.gram(a, a)
    arrays.close(own, reference.gram(A, A), dot_bound(A, A))
    np.testing.assert_array_equal(own, own.T)
    return arrays.finish()


def combine(kernels, arrays, n, k, nan=False):
    for kb in (0, 1, k, 3 * k + 2):
        for beta in (0.0, 1.0, -0.3):
            C = arrays.rng.standard_normal((k, kb))
            B, out = arrays.normal(kb, n), arrays.normal(k, n)
            if nan and kb:
                B[0, :1] = np.nan
            if beta == 0:
                out[:] = np.nan
            want, size = out.astype(float), np.abs(out.astype(float))
            reference.combine(C, B.astype(float), want, beta)
            reference.combine(np.abs(C), np.abs(B.astype(float)), size, abs(beta))
            bound = np.finfo(arrays.dtype).eps / 2 * np.abs(want) + (
                (kb + 2) * 2.3e-16 * size
            )
            result = arrays.put(out)
            kernels.combine(C, arrays.put(B), result, beta)
            arrays.close(result, want, bound)
    return arrays.finish()


def box_radius(kernels, arrays, n, nan=False):
    w, _, _ = arrays.box(n, nan)
    want, out, own = np.empty_like(w), arrays.empty(n), arrays.put(w)
    reference.box_radius(w, EPS, want)
    kernels.box_radius(own, EPS, out)
    arrays.same(out, want)
    kernels.box_radius(own, EPS, own)
    arrays.same(own, want)
    return arrays.finish()


# A new array, none, or an input; for the displacement, and for the weights.
WANTED = ((1, 1), (1, 0), (0, 1), (0, 0), ("z", 1), ("d", 1), ("d", 0))


def _moves(name, amounts):
    def check(kernels, arrays, n, nan=False):
        w, z, d = arrays.box(n, nan)
        want_z, want_x = np.empty_like(w), np.empty_like(w)
        for amount in amounts:
            getattr(reference, name)(w, EPS, z, d, amount, want_z, want_x)
            for z_wanted, x_wanted in WANTED:
                put_w, put_z, put_d = map(arrays.put, (w, z, d))
                z_out = {0: None, 1: arrays.empty(n), "z": put_z, "d": put_d}[z_wanted]
                x_out = arrays.empty(n) if x_wanted else None
                move = getattr(kernels, name)
                move(put_w, EPS, put_z, put_d, amount, z_out, x_out)
                for out, want in ((z_out, want_z), (x_out, want_x)):
                    if out is not None:
                        arrays.same(out, want)
        return arrays.finish()

    check.__name__ = name
    return check


box_step = _moves("box_step", (0.0, 1e-3, -2e-2))
box_toward = _moves("box_toward", (0.0, 0.3, 0.45, 1.0))


def box_free(kernels, arrays, n, nan=False):
    w, z, v = arrays.box(n, nan)
    want, out, own = np.empty_like(w), arrays.empty(n), arrays.put(v)
    reference.box_free(w, EPS, z, v, want)
    put_w, put_z = arrays.put(w), arrays.put(z)
    kernels.box_free(put_w, EPS, put_z, own, out)
    arrays.same(out, want)
    kernels.box_free(put_w, EPS, put_z, own, own)
    arrays.same(own, want)
    return arrays.finish()


def _extremes(name):
    def check(kernels, arrays, n, nan=False):
        w, z, d = arrays.box(n)
        places = range(0, n, max(1, n // 5)) if nan else [None]
        for place in places:
            for each in (w, z, d):
                before = each[place]
                if place is not None:
                    each[place] = np.nan
                got = getattr(kernels, name)(
                    arrays.put(w), EPS, *map(arrays.put, (z, d))
                )
                arrays.same(got, getattr(reference, name)(w, EPS, z, d))
                each[place] = before
        # A step that is nothing, one that stays in the box, and one from off the walls.
        real = arrays.dtype.type
        for place, step in ((z, 0 * d), (z, real(1e-4) * d), (real(0.9) * z, d)):
            got = getattr(kernels, name)(
                arrays.put(w), EPS, *map(arrays.put, (place, step))
            )
            arrays.same(got, getattr(reference, name)(w, EPS, place, step))
        return arrays.finish()

    check.__name__ = name
    return check


box_residual = _extremes("box_residual")
box_reach = _extremes("box_reach")


def path_gram(kernels, arrays, n, k, nan=False):
    w, z, g = arrays.box(n, nan)
    A = arrays.normal(k, n)
    rows = np.concatenate([A, g[None]])
    put = arrays.put(A), arrays.put(w), EPS, arrays.put(z), arrays.put(g)
    for ts in ([], [1e-3], [0.0, 5e-3], [0.0, 1e-4, 1e-2], [0.0, 1e-3, 5e-3, 1.0]):
        want = reference.path_gram(A, w, EPS, z, g, np.array(ts))
        r = EPS * (np.abs(w) + 1) + np.abs(g)  # an upper bound of |u| and of |v|
        bound = 2 * dot_bound(rows, r[None])
        arrays.close(kernels.path_gram(*put, np.array(ts)), want, bound[None])
    return arrays.finish()


def free_gram(kernels, arrays, n, k, nan=False):
    w, z, _ = arrays.box(n, nan)
    A = arrays.normal(k, n)
    A[:, 1::7] = np.inf  # on a wall: its products are 0 all the same
    want = reference.free_gram(A, w, EPS, z)
    own = kernels.free_gram(*map(arrays.put, (A, w)), EPS, arrays.put(z))
    A[:, 1::7] = 0
    arrays.close(own, want, dot_bound(A, A))
    np.testing.assert_array_equal(own, own.T)
    return arrays.finish()


def _fill(name, bound):
    def check(kernels, arrays, n, nan=False):
        for offset in (0, 3, 127, 128, 2**34 - 77, 2**63 + 5):
            args = 2**63 + 5, 2**40 + 3, offset
            want, bits, out = np.empty(n), np.empty(n, arrays.dtype), arrays.empty(n)
            getattr(reference, name)(want, *args)
            getattr(_native, name)(bits, *args)
            getattr(kernels, name)(out, *args)
            arrays.close(out, want, bound * (1 + np.abs(want)))
            arrays.same(out, bits)
        return arrays.finish()

    check.__name__ = name
    return check


fill_signs = _fill("fill_signs", 0.0)
fill_normal = _fill("fill_normal", 4 * np.finfo(np.float32).eps)

OF_BLOCKS = [gram, combine, path_gram, free_gram]
OF_VECTORS = [box_radius, box_step, box_toward, box_free, box_residual, box_reach]
FILLS = [fill_signs, fill_normal]

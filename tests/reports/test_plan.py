"""What a plan says of memory and work, held against measurements."""

import json
import re
import tracemalloc

import numpy as np
import pytest

import sharpkit

N = 400_000
GIB = 2**30


class Ridges:
    """A loss of many basins, and its product, that allocate nothing of their length."""

    def __init__(self, n):
        random = np.random.default_rng(5)
        self.weights = random.standard_normal(n).astype(np.float32)
        self.rows = (random.standard_normal((6, n)) / np.sqrt(n)).astype(np.float32)
        self.out, self.part = (np.empty(n, np.float32) for _ in range(2))
        self.curvature = np.linspace(0.5, 1.5, n, dtype=np.float32)

    def sum(self, slopes):
        for row, slope in zip(self.rows, slopes, strict=True):
            np.multiply(row, slope, out=self.part)
            np.add(self.out, self.part, out=self.out)
        return self.out

    def __call__(self, w):
        z = self.rows @ w
        np.multiply(self.curvature, w, out=self.out)
        loss = 30 + 3 * float(np.sin(7 * z).sum()) + 0.5 * float(w @ self.out)
        return loss, self.sum(21 * np.cos(7 * z))

    def product(self, w, v):
        z = self.rows @ w
        np.multiply(self.curvature, v, out=self.out)
        return self.sum(-147 * np.sin(7 * z) * (self.rows @ v))


class Exact(Ridges):
    def hvp(self, w, v):
        return self.product(w, v)


CASES = [
    ("sharpness", {"max_evaluations": 100}),
    ("sharpness", {"max_evaluations": 100, "memory": "lean"}),
    ("sharpness", {"max_evaluations": 100, "repeats": 2}),
    ("sharpness", {"solver": "lbfgsb"}),
    ("sharpness", {"subspace": 20, "max_evaluations": 50}),
    ("eigenvalues", {"ncv": 12, "k": 2, "max_products": 40, "tol": 1e-5}),
    ("spectral_density", {"max_products": 60, "probes": 2}),
    ("spectral_density", {"max_products": 20, "probes": 2, "reorthogonalize": False}),
    ("trace", {"max_products": 40}),
    ("trace", {"max_products": 40, "method": "hutch++"}),
    ("trace", {"max_products": 10, "method": "hutchinson"}),
    ("diagonal", {"max_products": 20}),
    ("diagonal", {"max_products": 10, "method": "hutchinson"}),
]


@pytest.mark.parametrize("kind", [Ridges, Exact])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_memory_is_within_a_tenth_of_measured_peaks(name, options, kind):
    if kind is Exact and name == "sharpness":
        pytest.skip("it takes no products")
    measure, small, problem = getattr(sharpkit, name), kind(3000), kind(N)
    planned = sharpkit.plan(problem, measures={name: options})[name]
    measure(small, progress=False, **options)  # compiles the kernels
    tracemalloc.start()
    try:
        found = measure(problem, progress=False, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.9 < planned.bytes / peak < 1.1
    if name != "eigenvalues" and "solver" not in options:
        assert found.products <= planned.products
        assert planned.calls - 90 <= found.calls <= planned.calls


def test_a_number_alone_is_enough():
    plan = sharpkit.plan(4 * 10**8, memory=24 * GIB)
    assert plan.evaluation_seconds is None
    assert {each.measure: each.fits for each in plan.planned} == {
        "sharpness": True,
        "eigenvalues": False,
        "spectral_density": False,
        "trace": False,
        "diagonal": False,
    }
    assert not plan.fits
    assert 7 < plan["sharpness"].bytes / (4 * 4 * 10**8) < 7.5
    assert json.loads(json.dumps(plan.to_dict()))["planned"][0]["vectors"] > 7


@pytest.mark.parametrize(
    ("name", "given", "memory", "advice"),
    [
        ("sharpness", {}, 25, "26.*; give memory='lean', solver='auto'"),
        ("sharpness", {"solver": "lbfgsb"}, 40, "memory='lean', solver='auto'"),
        ("eigenvalues", {}, 100, r"give ncv=\d\d"),
        ("spectral_density", {}, 100, "give reorthogonalize=False"),
        ("trace", {}, 40, "give method='hutchinson'"),
        ("diagonal", {}, 40, "give method='hutchinson'"),
        ("sharpness", {}, 2, "spread the weights over 15 such processes"),
        ("diagonal", {}, 1e-3, "give more memory"),
    ],
)
def test_advice_is_what_then_fits(name, given, memory, advice):
    plan = sharpkit.plan(10**9, measures={name: given}, memory=memory * GIB)
    assert not plan[name].fits
    assert re.search(advice, plan[name].advice)
    assert f"  {name}: " in repr(plan)


def test_what_is_advised_fits():
    plan = sharpkit.plan(10**9, measures=["eigenvalues"], memory=100 * GIB)
    rows = int(plan["eigenvalues"].advice.split("ncv=")[1])
    for ncv, fits in ((rows, True), (rows + 1, False)):
        options = {"eigenvalues": {"ncv": ncv}}
        again = sharpkit.plan(10**9, measures=options, memory=100 * GIB)
        assert again.fits is fits
    assert sharpkit.plan(10**9, ranks=15, memory=2 * GIB)["sharpness"].fits
    assert not sharpkit.plan(10**9, ranks=14, memory=2 * GIB)["sharpness"].fits


def test_the_time_is_that_of_evaluations():
    plan = sharpkit.plan(Ridges(50), measures=["sharpness", "trace"])
    assert plan.evaluation_seconds > 0
    assert plan["sharpness"].seconds == 102 * plan.evaluation_seconds
    assert plan["trace"].calls == 90 + 120
    exact = sharpkit.plan(Exact(50), measures=["trace"])
    assert exact["trace"].seconds == (6 + 180) * exact.evaluation_seconds
    alone = sharpkit.plan(np.ones(9), hvp=lambda w, v: 2 * v, measures=["trace"])
    assert alone["trace"].calls == 60
    assert alone["trace"].seconds > 0


def test_products_need_a_gradient():
    plan = sharpkit.plan(
        np.ones(5), lambda w: float(w @ w), measures=["sharpness", "trace"]
    )
    assert plan["sharpness"].fits
    assert not plan["trace"].fits
    assert "trace: loss_fn returns no gradient; let it return" in repr(plan)


def test_numbers_may_be_written_with_an_exponent():
    assert sharpkit.plan(7e9, memory=8e10).n == 7 * 10**9
    with pytest.raises(TypeError, match=r"problem=1\.5 is not a whole number"):
        sharpkit.plan(1.5)


def test_the_system_is_asked_for_memory():
    plan = sharpkit.plan(1000)
    assert plan.available is None or plan.available > 2**20
    assert plan.fits
    assert "Plan for 1,000 weights in float32" in repr(plan)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"measures": "trace"}, TypeError, "measures='trace'; give a tuple of names"),
        ({"measures": ["traces"]}, ValueError, "traces"),
        ({"measures": {"trace": {"steps": 1}}}, TypeError, "options of sharpkit.trace"),
        ({"measures": {"trace": {"method": "x"}}}, ValueError, "method='x'"),
        ({"measures": {"trace": {"method": "xdiag"}}}, ValueError, "method='xdiag'"),
        ({"measures": {"trace": {"max_products": 1}}}, ValueError, "max_products=1"),
        ({"measures": {"sharpness": {"memory": "low"}}}, ValueError, "memory='low'"),
        (
            {"measures": {"spectral_density": {"probes": 9, "max_products": 8}}},
            ValueError,
            "max_products=8",
        ),
        ({"measures": {"eigenvalues": {"k": 11}}}, ValueError, "there are 10 eigenv"),
        ({"memory": "1"}, TypeError, "memory='1' is not a number"),
        ({"memory": 0}, ValueError, "memory=0; give bytes above 0"),
        ({"ranks": 0}, ValueError, "ranks=0"),
        ({"dtype": "int8"}, ValueError, "dtype='int8'"),
    ],
)
def test_options_are_checked(options, kind, text):
    with pytest.raises(kind, match=text.replace("(", r"\(")):
        sharpkit.plan(10, **options)

"""The monitor of a bare loop, whose truth is a closed form."""

import json

import numpy as np
import pytest

import sharpkit
from sharpkit.monitor.core import Monitor

H = np.array([1.0, 4.0, 9.0])


def quadratic(w=(1.0, 1.0, 1.0), **members):
    return sharpkit.Problem(
        np.array(w), lambda w: (0.5 * float(H @ w**2), H * w), **members
    )


def watched(problem, rate, steps, **options):
    """Return the rows of gradient descent, and the weights at its end."""
    w, rows = problem.weights.copy(), []
    options = {"budget": None} | options
    monitor = sharpkit.monitor.loop(problem, rate=rate, **options)
    for _ in range(steps):
        rows += monitor.step(w)
        w -= rate * problem(w)[1]
    rows += monitor.close(w)
    return rows, w


def of(rows, name):
    return {row.step: row for row in rows if row.name == name}


def test_all_values_are_those_of_the_closed_form():
    rows, _ = watched(quadratic(), 0.1, 6)
    w = np.ones(3)
    for step in range(6):
        g = H * w
        truth = {
            "loss": 0.5 * H @ w**2,
            "gradient_norm": np.linalg.norm(g),
            "update_norm": 0.1 * np.linalg.norm(g),
            "distance": np.linalg.norm(w - 1),
            "lambda_max": 9.0,
        }
        for name, value in truth.items():
            row = of(rows, name)[step]
            assert row.value == pytest.approx(value, rel=1e-9, abs=1e-12), name
            assert abs(row.value - value) <= max(2 * row.error, 1e-12), name
        critical = of(rows, "critical_sharpness")[step]
        exact = (g @ (H * g)) / (g @ g)
        assert abs(critical.value - exact) <= 0.07 * exact
        w = w - 0.1 * g
    assert of(rows, "lambda_max")[0].threshold == pytest.approx(20)
    assert of(rows, "lambda_max")[0].ratio == pytest.approx(0.45)
    assert of(rows, "critical_sharpness")[0].threshold == pytest.approx(20)


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ({"momentum": 0.9}, 3.8 / 0.1),
        ({"momentum": 0.9, "nesterov": True}, 3.8 / 0.28),
    ],
)
def test_thresholds_with_momentum(options, threshold):
    rows, _ = watched(quadratic(), 0.1, 1, measures=["lambda_max"], **options)
    assert rows[0].threshold == pytest.approx(threshold)


def test_a_loop_in_another_metric():
    metric = sharpkit.Preconditioner(np.array([1.0, 2.0, 9.0]), threshold=7.0)
    problem = quadratic()
    monitor = sharpkit.monitor.loop(
        problem,
        preconditioner=metric,
        measures=["preconditioned_lambda_max"],
        budget=None,
    )
    monitor.step(problem.weights)
    (row,) = monitor.step(problem.weights)
    assert (row.value, row.threshold) == (pytest.approx(2.0), 7.0)
    other = sharpkit.Preconditioner(np.array([0.5, 2.0, 9.0]), threshold=5.0)
    (row,) = monitor.step(problem.weights + 1, preconditioner=other)
    assert (row.value, row.threshold) == (pytest.approx(2.0), 5.0)


def test_without_a_rate_the_update_is_the_unit():
    problem = quadratic((0.0, 0.0, 1.0))
    monitor = sharpkit.monitor.loop(
        problem, measures=["critical_sharpness", "lambda_max"], budget=None
    )
    w = problem.weights
    assert [row.threshold for row in monitor.step(w)] == [None]
    (row,) = monitor.close(w - 0.5 * H * w)
    assert row.value == pytest.approx(4.5, rel=0.07)
    assert row.threshold == 2


def test_a_loss_without_gradient_has_what_it_has():
    monitor = sharpkit.monitor.loop(np.ones(3), lambda w: 0.5 * float(H @ w**2))
    assert set(monitor.names) == {
        "loss",
        "update_norm",
        "distance",
        "critical_sharpness",
    }


def test_steps_and_intervals_by_name():
    rows, _ = watched(quadratic(), 0.1, 9, measures={"loss": 2, "distance": 4})
    assert [*of(rows, "loss")] == [0, 2, 4, 6, 8]
    assert [*of(rows, "distance")] == [0, 4, 8]


def test_it_goes_on_at_another_step():
    rows, _ = watched(quadratic(), 0.1, 2, measures=["loss"], first_step=70)
    assert [row.step for row in rows] == [70, 71]


def test_a_measure_that_fails_does_not_end_the_training():
    def loss(w):
        if w[0] < 0.95:
            raise RuntimeError("the data are gone")
        return 0.5 * float(H @ w**2), H * w

    problem = sharpkit.Problem(np.ones(3), loss)
    monitor = sharpkit.monitor.loop(
        problem, rate=0.1, budget=None, measures=["loss", "distance"]
    )
    w = np.ones(3)
    monitor.step(w)
    w = w - 0.1
    with pytest.warns(
        sharpkit.SharpkitWarning, match="loss: it failed at step 1 .*gone"
    ):
        rows = monitor.step(w)
    assert [row.status for row in rows] == ["failed", "ok"]
    assert rows[0].value is None
    assert rows[0].reason == "RuntimeError: the data are gone"
    for _ in range(3):
        monitor.step(w)  # said once: warnings are errors here


def test_weights_that_are_not_finite_are_recorded_as_failures():
    problem = quadratic()
    monitor = sharpkit.monitor.loop(problem, budget=None, measures=["lambda_max"])
    with pytest.warns(sharpkit.SharpkitWarning, match="lambda_max"):
        (row,) = monitor.step(np.full(3, np.nan))
    assert row.status == "failed"
    assert "finite" in row.reason


def test_a_step_that_does_not_move_is_no_failure_to_warn_of():
    rows, _ = watched(
        quadratic((0.0, 0.0, 0.0)), 0.1, 1, measures=["critical_sharpness"]
    )
    assert rows[0].status == "skipped"
    assert "did not move" in rows[0].reason


def test_a_sink_that_fails_is_left_out():
    def full(row):
        raise OSError("no space left")

    seen = []
    monitor = sharpkit.monitor.loop(
        quadratic(), budget=None, measures=["loss"], sinks=[full, seen.append]
    )
    with pytest.warns(
        sharpkit.SharpkitWarning, match="sink Function failed .*no space"
    ):
        monitor.step(np.ones(3))
    monitor.step(np.ones(3))
    assert len(seen) == 2


def test_the_share_is_kept_by_a_whole_monitor(clock):
    class Slow:
        """A loop whose loss takes a second, by the clock."""

        sees, has_metric = False, False

        def __init__(self):
            self.w = np.ones(3)

        def now(self, w=None):
            self.w = w

        def problem(self):
            def loss(w):
                clock.tick(1.0)
                return 0.5 * float(H @ w**2), H * w

            return sharpkit.Problem(self.w, loss)

        def weights(self):
            return self.w

        def rate(self):
            return 0.01

        def threshold(self, problem):
            return None

        def settle(self):
            pass

    monitor = Monitor(Slow(), budget=0.05, clock=clock)
    w = np.ones(3)
    for _ in range(40_000):
        monitor.step(w)
        clock.tick(1.0)
        w = w * 0.9999
    assert 0.03 < monitor.share <= 0.0505


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget=0; give the share of wall time"),
        ({"budget": 5}, "budget=5"),
        ({"every": 0}, "every"),
        ({"measures": ["lambda"]}, "'lambda', which cannot be recorded.*lambda_max"),
        ({"measures": {"loss": 0}}, "loss"),
        ({"measures": ["batch_sharpness"]}, "batch_sharpness"),
        ({"sinks": [3]}, "sinks has an entry of type int"),
        ({"rate": -1.0}, "rate"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sharpkit.monitor.loop(quadratic(), **options)


def test_a_probe_that_cannot_be_measured_is_refused_before_the_training():
    with pytest.raises(ValueError, match="finite"):
        sharpkit.monitor.loop(np.ones(3), lambda w: (float("nan"), w))


def test_rows_are_json():
    rows, _ = watched(quadratic(), 0.1, 2)
    for row in rows:
        text = json.dumps(row.to_dict(), allow_nan=False)
        assert sharpkit.monitor.Row.from_dict(json.loads(text)) == row


def tracked(count, change=lambda number, h: None, product=lambda h, v: h * v, n=6):
    """Return the rows of a quadratic whose products are those of a diagonal."""
    h = np.array([5.0, *np.linspace(1, 2, n - 1)])
    monitor = sharpkit.monitor.loop(
        np.ones(n),
        lambda w: (0.5 * float(h @ w**2), h * w),
        hvp=lambda w, v: product(h, v),
        measures=["lambda_max"],
        budget=None,
    )
    rows = []
    for number in range(count):
        change(number, h)
        rows += monitor.step(np.ones(n))
    return rows


def test_exact_products_are_tried_again_seldom():
    rows = tracked(130)
    assert [r.step for r in rows if r.calls > r.products] == [63, 127]
    # The search for eigenvalues passed over is no rarer for it.
    afresh = [r.step for r in rows if r.products > 3]
    assert afresh == [*range(15, 130, 16)]


def test_a_product_that_turns_wrong_is_found():
    wrong = []

    def change(number, h):
        if number == 20:
            wrong.append(1)

    with pytest.warns(sharpkit.SharpkitWarning, match="not the derivative"):
        rows = tracked(66, change, lambda h, v: (0.5 if wrong else 1) * h * v)
    assert all(abs(row.value - 5) <= row.error for row in rows[:20])
    assert all(abs(row.value - 5) <= row.error for row in rows[63:])
    assert rows[62].value == pytest.approx(2.5, rel=1e-3)


def test_rough_products_are_tried_again_at_each_look():
    def rough(h, v):
        return (h * v).astype(np.float16).astype(float)

    rows = tracked(34, product=rough)
    assert [r.step for r in rows if r.calls > r.products] == [15, 31]
    assert all(abs(row.value - 5) <= row.error for row in rows)

"""A training with a monitor is the training without it, to the bit."""

import copy
import random

import numpy as np
import pytest
from torch_required import torch
from torch_untouched import assert_same, fingerprint, randomness

import sharpkit

nn = torch.nn
LOSS = nn.CrossEntropyLoss()
EVERY = {"budget": None, "every": 3}


class Noisy(nn.Module):
    """A network that draws from torch, NumPy and Python as it trains."""

    def __init__(self, *, drawing=True):
        super().__init__()
        self.drawing = drawing
        self.first, self.norm = nn.Linear(6, 12), nn.BatchNorm1d(12)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(12, 3)

    def forward(self, x):
        if self.training and self.drawing:
            x = x + 0.01 * (np.random.rand() + random.random())  # noqa: NPY002
        return self.last(self.drop(torch.tanh(self.norm(self.first(x)))))


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
}


def data(n=60):
    torch.manual_seed(5)
    return torch.randn(n, 6), torch.arange(n) % 3


def trained(watch, make=OPTIMIZERS["sgd"], *, step=None, wrap=None, **options):
    """Return all that a training leaves: model, optimiser, random states, rows."""
    x, y = data()
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    model = Noisy(drawing=wrap is None)  # Dynamo does not trace what draws
    running = model if wrap is None else wrap(model)
    optimizer, monitor, rows = make(model.parameters()), None, []
    if watch:
        monitor = sharpkit.torch.monitor(
            running, LOSS, (x[:30], y[:30]), optimizer=optimizer, **EVERY | options
        )
    for number in range(10):
        chosen = torch.randint(0, len(x), (20,))
        (step or plain)(running, optimizer, x[chosen], y[chosen], number, monitor, rows)
    if monitor is not None:
        rows += monitor.close()
    return model, optimizer, rows


def plain(model, optimizer, x, y, number, monitor, rows):
    optimizer.zero_grad()
    LOSS(model(x), y).backward()
    if monitor is not None:
        rows += monitor.step()
    optimizer.step()


def accumulated(model, optimizer, x, y, number, monitor, rows):
    for part in (slice(0, 7), slice(7, None)):
        (LOSS(model(x[part]), y[part]) / 2).backward()
    if monitor is not None:
        rows += monitor.step()
    optimizer.step()
    optimizer.zero_grad(set_to_none=number % 2 == 0)


def assert_equal(one, other):
    """Assert that two trainings ended alike, with the random states as they are now."""
    (model, optimizer, _), (again, optimizer_again, _) = one, other
    for (name, a), b in zip(
        model.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or torch.equal(a.grad, b.grad)
    states = optimizer.state_dict()["state"], optimizer_again.state_dict()["state"]
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        for name, value in state.items():
            other_value = states[1][key][name]
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other_value), name
            else:
                assert value == other_value, name


def both(**options):
    """Train without a monitor and with it; return the rows."""
    without = trained(False, **options)
    state = randomness()
    watched = trained(True, **options)
    assert randomness() == state
    assert_equal(watched, without)
    return watched[2]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_training_is_the_same_to_the_bit(name):
    rows = both(make=OPTIMIZERS[name])
    names = {row.name for row in rows}
    assert ("preconditioned_lambda_max" in names) == (name not in ("sgd", "momentum"))
    assert [row for row in rows if row.status == "failed"] == []
    assert {row.step for row in rows if row.name == "loss"} == {0, 3, 6, 9}
    assert {row.step for row in rows if row.name == "update_norm"} == {0, 3, 6, 9}


@pytest.mark.parametrize("batch_norm", ["running", "batch", "frozen"])
def test_with_any_statistics(batch_norm):
    rows = both(batch_norm=batch_norm, batch_size=10)
    assert [row for row in rows if row.status == "failed"] == []


def test_with_gradients_that_accumulate():
    both(step=accumulated)


def test_with_a_scaler_of_gradients_that_skips_steps():
    def scaled(scaler):
        def step(model, optimizer, x, y, number, monitor, rows):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = LOSS(model(x), y)
            scaler.scale(loss * (float("inf") if number == 3 else 1)).backward()
            if monitor is not None:
                rows += monitor.step()
            scaler.step(optimizer)
            scaler.update()

        return step

    ends = []
    for watch in (False, True):
        scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
        ends.append((trained(watch, step=scaled(scaler)), scaler.state_dict()))
    (without, state), (watched, again) = ends
    assert state == again
    assert_equal(watched, without)
    skipped = [row for row in watched[2] if row.step == 3]
    assert {r.name: r.value for r in skipped}["update_norm"] == 0
    assert {r.name: r.reason for r in skipped}["critical_sharpness"] != ""
    status = {r.name: r.status for r in skipped}
    assert status.pop("critical_sharpness") == "skipped"
    assert "skipped" not in status.values()


def test_with_a_compiled_model():
    def wrap(model):
        return torch.compile(model, backend="eager")

    both(wrap=wrap, measures=["loss", "lambda_max", "critical_sharpness"])


def test_with_a_model_compiled_in_place():
    def wrap(model):
        model.compile(backend="eager")
        return model

    both(wrap=wrap, measures=["loss", "lambda_max", "critical_sharpness"])


def test_a_step_touches_nothing():
    x, y = data()
    model = Noisy()
    optimizer = torch.optim.Adam(model.parameters())
    LOSS(model(x), y).backward()
    optimizer.step()
    monitor = sharpkit.torch.monitor(
        model, LOSS, (x, y), optimizer=optimizer, budget=None, first_step=3
    )
    before, state = fingerprint(model), randomness()
    kept = copy.deepcopy(optimizer.state_dict()["state"])
    for _ in range(2):
        assert monitor.step()
        assert_same(fingerprint(model), before)
        assert randomness() == state
    for key, values in optimizer.state_dict()["state"].items():
        assert_same(values, kept[key])


def test_values_are_those_of_the_measures():
    x, y = data()
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    start = copy.deepcopy(model)
    x = x.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.5)
    monitor = sharpkit.torch.monitor(
        model, LOSS, (x, y), optimizer=optimizer, budget=None, every=4, batch_size=15
    )
    for number in range(5):
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        rows = {row.name: row for row in monitor.step()}
        if number == 4:
            problem = sharpkit.torch.problem(model, LOSS, (x, y))
        optimizer.step()
    now = sharpkit.torch.problem(model, LOSS, (x, y))
    rows |= {row.name: row for row in monitor.close()}
    w = problem.weights
    held = sharpkit.Problem(w, problem, hvp=problem._hvp)
    loss, gradient = problem(w)
    first = sharpkit.torch.problem(start, LOSS, (x, y)).weights
    exact = float(sharpkit.eigenvalues(held, tol=1e-8))
    assert rows["loss"].value == pytest.approx(loss)
    assert rows["gradient_norm"].value == pytest.approx(float(gradient.norm()))
    assert rows["distance"].value == pytest.approx(float((w - first).norm()))
    assert rows["update_norm"].value == pytest.approx(float((w - now.weights).norm()))
    assert abs(rows["lambda_max"].value - exact) <= rows["lambda_max"].error + 1e-9
    assert rows["lambda_max"].threshold == pytest.approx(3 / 0.3)
    direction = (w - now.weights) / 0.3
    critical = sharpkit.critical_sharpness(held, direction=direction)
    assert rows["critical_sharpness"].value == pytest.approx(critical.value, rel=0.1)
    assert {row.step for row in rows.values()} == {4}


def test_what_steady_records_take():
    """The counts that are promised, in a training whose curvature moves slowly."""
    x, y = data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = sharpkit.torch.monitor(
        model,
        LOSS,
        (x, y),
        optimizer=optimizer,
        budget=None,
        every=5,
        measures=["lambda_max", "critical_sharpness"],
    )
    rows = []
    for _ in range(150):
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        rows += monitor.step()
        optimizer.step()
    found = {
        name: [row for row in rows if row.name == name][1:] for name in monitor.names
    }
    tracked = [r.products for i, r in enumerate(found["lambda_max"], 1) if i % 16]
    assert sorted(tracked)[int(0.9 * len(tracked))] < 5
    # Where another eigenvalue overtakes the largest one that takes a search.
    assert max(tracked) < 20
    assert all(row.error <= 0.011 * row.value for row in found["lambda_max"])
    assert all(row.calls == row.products for row in found["lambda_max"][:62])
    passes = [row.calls for row in found["critical_sharpness"]]
    assert sorted(passes)[len(passes) // 2] <= 6
    assert max(passes) <= 9


def test_an_eigenvalue_that_overtakes_another_is_found():
    """Tracking alone would stay with the eigenvector that it has."""
    w = torch.ones(6, dtype=torch.float64)
    h = torch.tensor([5.0, 1, 1, 1, 1, 1], dtype=torch.float64)
    monitor = sharpkit.monitor.loop(
        w,
        lambda w: (0.5 * float(h @ w**2), h * w),
        hvp=lambda w, v: h * v,
        measures=["lambda_max"],
        budget=None,
    )
    values = []
    for number in range(33):
        if number == 4:
            h[3] = 9.0
        values.append(monitor.step(w)[0].value)
    assert values[:4] == pytest.approx([5.0] * 4)
    assert values[-1] == pytest.approx(9.0)


def test_a_learning_rate_of_zero_has_no_threshold():
    x, y = data()
    model = nn.Linear(6, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    monitor = sharpkit.torch.monitor(
        model,
        LOSS,
        (x, y),
        optimizer=optimizer,
        budget=None,
        measures=["lambda_max", "critical_sharpness", "preconditioned_lambda_max"],
    )
    rows = []
    for _ in range(3):
        LOSS(model(x), y).backward()
        rows += monitor.step()
        optimizer.step()
    assert {row.name for row in rows if row.value is None} == {
        "critical_sharpness",
        "preconditioned_lambda_max",
    }
    assert {row.threshold for row in rows} == {None}
    assert {row.status for row in rows if row.value is None} == {"skipped"}


def test_an_optimizer_that_is_not_known_has_no_metric():
    x, y = data()
    model = nn.Linear(6, 3)
    optimizer = torch.optim.NAdam(model.parameters(), lr=0.01)
    monitor = sharpkit.torch.monitor(model, LOSS, (x, y), optimizer=optimizer)
    assert "preconditioned_lambda_max" not in monitor.names


def test_other_processes_of_a_training_record_nothing(monkeypatch, tmp_path):
    distributed = torch.distributed
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    x, y = data()
    monitor = sharpkit.torch.monitor(
        nn.Linear(6, 3), LOSS, (x, y), path=tmp_path / "run.jsonl"
    )
    assert (monitor.step(), monitor.close()) == ((), ())
    assert list(tmp_path.iterdir()) == []


def test_batch_norms_that_wait_for_others_are_refused():
    x, y = data()
    model = nn.Sequential(nn.Linear(6, 3), nn.SyncBatchNorm(3))
    with pytest.raises(ValueError, match="SyncBatchNorm, which waits"):
        sharpkit.torch.monitor(model, LOSS, (x, y), batch_norm="batch")


def test_an_eigenvalue_stands_where_no_threshold_is_known():
    """Groups that differ in momentum have no one threshold."""

    def make(parameters):
        first, *rest = parameters
        groups = [{"params": [first], "momentum": 0.5}, {"params": rest}]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    with pytest.warns(sharpkit.SharpkitWarning, match="differ in momentum"):
        rows = both(make=make)
    found = [row for row in rows if row.name == "lambda_max"]
    assert all(row.value > 0 and row.threshold is None for row in found)
    assert "no threshold is known" in found[0].reason
    assert "failed" not in {row.status for row in rows}


def test_what_is_wrong_with_all_is_said_once():
    x, y = data()
    model = nn.Linear(6, 3)
    monitor = sharpkit.torch.monitor(model, LOSS, (x, y), budget=None)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    with pytest.warns(sharpkit.SharpkitWarning, match="non-finite") as caught:
        rows = monitor.step()
    assert len(rows) > 2
    assert {row.status for row in rows} == {"failed"}
    assert len(caught) == 1


@pytest.mark.parametrize("chosen", [None, "2.*"])
def test_a_layer_that_is_unfrozen_is_said_to_be_left_out(chosen):
    x, y = data()
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    model[0].weight.requires_grad_(False)
    monitor = sharpkit.torch.monitor(
        model, LOSS, (x, y), budget=None, measures=["loss"], parameters=chosen
    )
    monitor.step()
    model[0].weight.requires_grad_(True)
    if chosen is None:
        with pytest.warns(
            sharpkit.SharpkitWarning, match=r"0\.weight requires"
        ) as said:
            monitor.step()
        assert len(said) == 1
    monitor.step()

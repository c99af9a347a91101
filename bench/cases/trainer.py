"""One Adam step of network F1 with sharpkit.lab, against PyTorch's.

Both take the same step first, from the same weights on the same rows: loss and weights
must agree before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import sharpkit
from bench.table import CaseError, Table
from bench.timing import Timing, interleaved, ratio
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.training.optimizers import Adam

Array = NDArray[Any]
Step = Callable[[], float]  # one update; returns the mean loss before it


class Taken(NamedTuple):
    """A first step: the loss before it, the weights after it and the loss there."""

    before: float
    weights: Array
    after: float


SIZES = (784, *[512] * 5, 10)
RATE = 1e-3
# Batch size: the step may take this share of PyTorch's default one.
TARGETS = {20: 0.6, 256: 0.85, 6000: 0.9}
TURN = {20: 20, 256: 8, 6000: 2}  # steps of one candidate before the next one's
ROUNDS, QUICK_ROUNDS = 12, 1
PAUSE = 0.1  # seconds between turns; OpenBLAS and OpenMP threads sleep by then
THREADS = (2, 1)
STEADY = 0.2  # the quartiles of a time worth reading are no further apart
OURS, DEFAULT, FUSED = "sharpkit", "torch", "torch fused"


def run(*, quick: bool) -> Table:
    torch = _torch()
    before = sharpkit.get_num_threads(), torch.get_num_threads()
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Any]] = []
    try:
        for threads in THREADS[:1] if quick else THREADS:
            for batch in TARGETS:
                rounds = QUICK_ROUNDS if quick else ROUNDS
                record = _one(torch, batch, threads, rounds)
                data.append(record)
                rows.append(_row(record))
    finally:
        sharpkit.set_num_threads(before[0])
        torch.set_num_threads(before[1])
    met = sum(record["met"] for record in data)
    return Table(
        title=f"one Adam step, {'-'.join(map(str, SIZES))}, float32",
        columns=(
            "batch, threads",
            OURS,
            DEFAULT,
            FUSED,
            "of torch",
            "of fused",
            "target",
            "met",
        ),
        rows=rows,
        notes=(
            f"{met} of {len(data)} targets met (share of torch's default Adam)",
            "time: median ± half the distance of the quartiles; candidates take turns "
            f"of {', '.join(map(str, TURN.values()))} steps after {PAUSE} s of rest",
            "of torch, of fused: ratio of medians",
            *_disturbed(data),
            "checked first: one step gives both the same losses and weights, to "
            "float32 rounding",
        ),
        data={"steps": data},
    )


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        msg = "PyTorch is not installed: pip install torch"
        raise CaseError(msg) from error
    return torch


def _one(torch: ModuleType, batch: int, threads: int, rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(batch)
    x = random.random((batch, SIZES[0]), np.float32)
    y = random.integers(0, SIZES[-1], batch)
    network = MLP(SIZES)
    start = network.initial_weights(0)
    sharpkit.set_num_threads(threads)
    torch.set_num_threads(threads)
    with threadpool_limits(limits=threads, user_api="blas"):
        ours, weights = sharpkit_step(network, start, x, y)
        steps = {OURS: ours}
        for name, fused in ((DEFAULT, False), (FUSED, True)):
            theirs, flat = torch_step(torch, network, start, x, y, fused=fused)
            if name == DEFAULT:
                check(
                    network,
                    Taken(ours(), weights.copy(), ours()),
                    Taken(theirs(), flat(), theirs()),
                )
            steps[name] = theirs
        times = interleaved(
            steps, rounds=rounds, turn=TURN[batch], settle=1, pause=PAUSE
        )
    return _record(batch, threads, times)


def _record(batch: int, threads: int, times: dict[str, Timing]) -> dict[str, Any]:
    share = ratio(times[OURS], times[DEFAULT])
    return {
        "batch": batch,
        "threads": threads,
        "seconds": {name: timing.median for name, timing in times.items()},
        "spread": {name: timing.spread for name, timing in times.items()},
        "shown": {name: str(timing) for name, timing in times.items()},
        "of_torch": share,
        "of_fused": ratio(times[OURS], times[FUSED]),
        "target": TARGETS[batch],
        "met": share <= TARGETS[batch],
    }


def _disturbed(data: list[dict[str, Any]]) -> tuple[str, ...]:
    rows = [
        f"{record['batch']}, {record['threads']}"
        for record in data
        if max(record["spread"].values()) > STEADY
    ]
    if not rows:
        return ()
    return (f"BUSY MACHINE: do not trust {'; '.join(rows)}, whose times scatter",)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{record['batch']}, {record['threads']}",
        *(record["shown"][name] for name in (OURS, DEFAULT, FUSED)),
        f"{record['of_torch']:.2f}",
        f"{record['of_fused']:.2f}",
        f"<= {record['target']:.2f}",
        "yes" if record["met"] else "NO",
    )


def sharpkit_step(network: MLP, start: Array, x: Array, y: Array) -> tuple[Step, Array]:
    """Return a step of sharpkit.lab and the weights that it changes."""
    weights, gradient = start.copy(), np.empty_like(start)
    optimizer = Adam(RATE)

    def step() -> float:
        found = network.evaluate(
            weights, x, y, statistics="batch", gradient=gradient, scale=1 / len(x)
        )
        optimizer.step(weights, gradient)
        return found.loss_sum / len(x)

    return step, weights


def torch_step(
    torch: ModuleType,
    network: MLP,
    start: Array,
    x: Array,
    y: Array,
    *,
    fused: bool,
    device: str = "cpu",
) -> tuple[Step, Callable[[], Array]]:
    """Return a step of PyTorch, and a function that gives its weights as one vector."""
    parts: list[Any] = []
    for layer in network.layers(start):
        inputs, outputs = layer.weight.shape
        parts.append(torch.nn.Linear(inputs, outputs))
        with torch.no_grad():
            # biases 0, gammas 1, betas 0, as at the start of sharpkit's
            parts[-1].weight[...] = torch.from_numpy(layer.weight.T.copy())
            parts[-1].bias.zero_()
        if layer.gamma is not None:
            parts += [torch.nn.BatchNorm1d(outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=fused or None)
    rows, labels = (torch.from_numpy(each).to(device) for each in (x, y))
    cross_entropy = torch.nn.functional.cross_entropy

    def step() -> float:
        optimizer.zero_grad()
        loss = cross_entropy(model(rows), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def flat() -> Array:
        vectors = (
            (p.T if p.ndim == 2 else p).detach().cpu().numpy().ravel()
            for p in model.parameters()
        )
        return np.concatenate(list(vectors))

    return step, flat


def check(network: MLP, ours: Taken, theirs: Taken, *, rtol: float = 1e-6) -> None:
    """Raise unless both took the same first step: losses around it, and weights.

    ``rtol`` is how near the losses before it must be.

    Adam's first step is the rate in the sign of the gradient. The biases before a batch
    norm have none but rounding, so their signs are arbitrary and they are left out;
    nor is the sign of the few other gradients that happen to vanish compared.
    """
    for here, there, what, close in (
        (ours.before, theirs.before, "before", rtol),
        (ours.after, theirs.after, "after", 1e-4),
    ):
        if not np.isclose(here, there, rtol=close):
            msg = f"the losses {what} one step differ: {here}, PyTorch {there}"
            raise CaseError(msg)
    off = np.abs(ours.weights - theirs.weights)
    for layer in network.layers(off)[:-1]:
        layer.bias[...] = 0
    share = float(np.mean(off > 0.01 * RATE))
    if share > 1e-3 or off.max() > 2.01 * RATE:
        msg = (
            f"the weights differ after one step: {share:.2%} of them by more than 1 % "
            f"of the step, at most {off.max():.3g} with a rate of {RATE}"
        )
        raise CaseError(msg)

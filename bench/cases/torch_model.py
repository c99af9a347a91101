"""The sharpness of a PyTorch model, by sharpkit and by the script one would write.

The paper's network F1 at two minimisers. The script flattens the parameters and hands
loss and gradient to SciPy's L-BFGS-B for ten iterations, the paper's recipe. Sharpkit
gets the same model, loss and data: for the same recipe, for its default solver with as
many evaluations as the script took, and with its default budget.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import Bounds, minimize

import sharpkit
from bench.network import SAMPLES, trained_f1
from bench.table import CaseError, Table
from bench.torch_network import TorchNetwork, load_torch

EPSILON, ITERATIONS = 1e-3, 10
# Epochs that lead to the minimisers, samples, and turns of each method.
SETTING, QUICK = ((5, 20), SAMPLES, 5), ((1,), 600, 1)
SCRIPT, RECIPE = "SciPy script", "sharpkit, the same recipe"
SAME, DEFAULT = "sharpkit, as many evaluations", "sharpkit, default"
FASTER = 2.0  # the script's time over sharpkit's
ROUNDED = 1e-4  # of the loss, in float32
COLUMNS = (
    "epochs",
    "method",
    "sharpness, %",
    "evaluations",
    "wall s",
    "CPU s",
    "of it",
)


class Outcome(NamedTuple):
    """A value in per cent, loss-and-gradient evaluations, and seconds."""

    value: float
    evaluations: int
    wall: float
    cpu: float


def run(*, quick: bool) -> Table:
    epochs, samples, turns = QUICK if quick else SETTING
    records = [record for each in epochs for record in measured(each, samples, turns)]
    targets = judged(records)
    notes = [
        f"{samples} samples, running batch-norm statistics, epsilon {EPSILON:g}; "
        f"{load_torch().get_num_threads()} threads of PyTorch, "
        f"{sharpkit.get_num_threads()} of sharpkit, {turns} turns, medians",
        "of it: wall time as a share of the script's",
        *(f"{each['what']}: {each['shown']}" for each in targets),
    ]
    return Table(
        title="the sharpness of network F1 in PyTorch",
        columns=COLUMNS,
        rows=[_row(record) for record in records],
        notes=tuple(notes),
        data={"records": records, "targets": targets},
    )


def measured(epochs: int, samples: int, turns: int) -> list[dict[str, Any]]:
    """Return each method's record at one minimiser; the methods take turns."""
    weights, lab = trained_f1(epochs=epochs, samples=samples)
    network = TorchNetwork(lab, weights)
    data = (network.inputs, network.labels)
    problem = sharpkit.torch.problem(network.model, network.criterion, data)
    check(network, problem)
    evaluations = script(network).evaluations
    methods: dict[str, Callable[[], Outcome]] = {
        SCRIPT: lambda: script(network),
        RECIPE: lambda: ours(problem, solver=sharpkit.LBFGSB(ITERATIONS)),
        SAME: lambda: ours(problem, max_evaluations=evaluations),
        DEFAULT: lambda: ours(problem),
    }
    taken: dict[str, list[Outcome]] = {name: [] for name in methods}
    for _ in range(turns):
        for name, method in methods.items():
            taken[name].append(method())
    wall = statistics.median(each.wall for each in taken[SCRIPT])
    return [
        {"epochs": epochs, "method": name, **_middle(name, outcomes, wall)}
        for name, outcomes in taken.items()
    ]


def script(network: TorchNetwork) -> Outcome:
    """Measure as one would without a library: flatten, box, SciPy, ten iterations."""
    torch, model = load_torch(), network.model
    wall, cpu = time.perf_counter(), time.process_time()
    parameters = list(model.parameters())
    start = torch.nn.utils.parameters_to_vector(parameters).detach()
    centre = start.numpy().astype(np.float64)

    def negative(w: Any) -> tuple[float, Any]:
        vector = torch.from_numpy(w.astype(np.float32))
        torch.nn.utils.vector_to_parameters(vector, parameters)
        model.zero_grad()
        loss = network.criterion(model(network.inputs), network.labels)
        loss.backward()
        flat = torch.nn.utils.parameters_to_vector([p.grad for p in parameters])
        return -loss.item(), -flat.numpy().astype(np.float64)

    before = -negative(centre)[0]
    radius = EPSILON * (np.abs(centre) + 1)
    found = minimize(
        negative,
        centre,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(centre - radius, centre + radius),
        options={"maxiter": ITERATIONS},
    )
    torch.nn.utils.vector_to_parameters(start, parameters)
    value = 100 * (-found.fun - before) / (1 + before)
    return Outcome(
        value,
        1 + found.nfev,
        time.perf_counter() - wall,
        time.process_time() - cpu,
    )


def ours(problem: Any, **options: Any) -> Outcome:
    """Measure with sharpkit."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = sharpkit.sharpness(
        problem.weights, problem, epsilon=EPSILON, progress=False, **options
    )
    return Outcome(
        result.value,
        result.evaluations,
        time.perf_counter() - wall,
        time.process_time() - cpu,
    )


def check(network: TorchNetwork, problem: Any) -> None:
    """Raise a `CaseError` unless both see the same weights, loss and gradient."""
    loss, gradient = problem(problem.weights)
    theirs, slope = network.loss_and_gradient()
    if not np.array_equal(problem.weights.numpy(), network.weights):
        msg = "the weights differ"
        raise CaseError(msg)
    if not np.isclose(loss, theirs, rtol=ROUNDED):
        msg = f"the losses differ: {loss}, PyTorch {theirs}"
        raise CaseError(msg)
    off = np.linalg.norm(gradient.numpy() - slope) / np.linalg.norm(slope)
    if not off <= ROUNDED:
        msg = f"the gradients differ by {off:.1g} of their length"
        raise CaseError(msg)


def judged(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every target with what was found."""
    targets = []
    for record in records:
        if record["method"] == SCRIPT:
            theirs = record  # the first of each minimiser
            continue
        where = f"{record['method']}, {record['epochs']} epochs"
        gain = record["value"] / theirs["value"] if theirs["value"] > 0 else np.inf
        targets.append(_target(f"{where}: value over the script's", gain, 1.0))
        if record["method"] != DEFAULT:
            faster = 1 / record["of_script"]
            targets.append(_target(f"{where}: times faster", faster, FASTER))
    return targets


def _target(what: str, found: float, least: float) -> dict[str, Any]:
    met = bool(found >= least)
    shown = f"{found:.3f}, >= {least:g}: {'met' if met else 'MISSED'}"
    return {"what": what, "found": found, "target": least, "met": met, "shown": shown}


def _middle(name: str, outcomes: list[Outcome], script_wall: float) -> dict[str, Any]:
    values = {each.value for each in outcomes}
    if name != SCRIPT and len(values) > 1:
        msg = f"{name} found several values in several turns: {sorted(values)}"
        raise CaseError(msg)
    wall = statistics.median(each.wall for each in outcomes)
    return {
        "value": outcomes[0].value,
        "evaluations": outcomes[0].evaluations,
        "wall": wall,
        "cpu": statistics.median(each.cpu for each in outcomes),
        "of_script": wall / script_wall,
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(record["epochs"]),
        record["method"],
        f"{record['value']:.4g}",
        str(record["evaluations"]),
        f"{record['wall']:.2f}",
        f"{record['cpu']:.2f}",
        f"{record['of_script']:.2f}",
    )

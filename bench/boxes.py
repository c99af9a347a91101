"""Boxes around trained minimisers, each made by a source that a process can be given.

A source trains one network and yields its boxes: of two sizes, with the statistics of
batch norms in two ways, and in random subspaces.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import sharpkit
from bench.table import CaseError
from bench.torch_network import load_torch
from sharpkit import SharpnessResult, Subspace
from sharpkit._box.subspace import RandomSubspace
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.space import Space
from sharpkit.lab.data import Dataset, draw_glyphs, load_digits, load_mnist
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem
from sharpkit.lab.training.loop import train
from sharpkit.lab.training.regime import Regime

Array = NDArray[Any]
LossFn = Callable[[Any], tuple[float, Any]]

EPSILONS = (1e-3, 5e-4)
MODES: tuple[Any, ...] = ("running", "batch")
UNTIL_LOSS, MAX_EPOCHS = 1e-3, 400
DIRECTIONS = 100
WIDTH = 32  # of the transformer
MNIST_FOLDER = "SHARPKIT_MNIST"  # the environment variable that names it
# The families of boxes that the targets are about.
NETWORKS = ("LB running", "LB batch", "SB")


@dataclass(frozen=True, eq=False)
class Box:
    """A loss, the centre and size of a box, and its maximum where that is known.

    ``exact`` is the sharpness in per cent.
    """

    name: str
    family: str
    weights: Array
    loss_fn: LossFn
    epsilon: float
    exact: float | None = None

    def measure(self, **settings: Any) -> SharpnessResult:
        """Return a sharpness whose point lies in the box and has the loss it claims."""
        result = sharpkit.sharpness(
            self.weights, self.loss_fn, epsilon=self.epsilon, progress=False, **settings
        )
        check(self, result)
        return result

    def fingerprint(self, *more: Any) -> str:
        """Return what is the same only for the same box and the same ``more``."""
        loss = float(self.loss_fn(self.weights)[0])
        what = (self.name, self.epsilon, loss, *more)
        return hashlib.sha256(repr(what).encode() + self.weights.tobytes()).hexdigest()


def check(box: Box, result: SharpnessResult) -> None:
    """Raise a `CaseError` unless the result's point is in the box and as high as said.

    A value above the known maximum of the box is one, too.
    """
    radius = box.epsilon * (np.abs(box.weights) + 1)
    outside = float(np.max(np.abs(result.displacement) / radius))
    loss = float(box.loss_fn(box.weights + result.displacement)[0])
    if outside > 1 + 1e-6 or not np.isclose(loss, result.max_loss, rtol=1e-6):
        msg = (
            f"{box.name}: {result.solver} claims a loss of {result.max_loss} at "
            f"{outside:.3g} of the box; the loss there is {loss}"
        )
        raise CaseError(msg)
    if box.exact is not None and result.value > box.exact * (1 + 1e-6):
        msg = f"{box.name}: {result.value} % found, the maximum is {box.exact} %"
        raise CaseError(msg)


class Source(Protocol):
    """What makes boxes in whatever process it is given to; its ``str`` names it."""

    def boxes(self) -> Iterator[Box]:
        """Yield the boxes, which may take a training."""
        ...


@dataclass(frozen=True)
class Setting:
    """A network and the two batch sizes that its data set is trained with."""

    name: str
    sizes: tuple[int, ...]
    batches: tuple[tuple[str, int], ...]

    def data(self, seed: int) -> Dataset:
        """Draw or load the data set."""
        if self.name == "glyphs":
            return draw_glyphs(train=2000, seed=seed)
        if self.name == "digits":
            return load_digits(train=1000, seed=seed)
        whole = load_mnist(os.environ[MNIST_FOLDER])
        rows = np.random.default_rng(seed).permutation(len(whole.x_train))[:2000]
        return replace(
            whole, x_train=whole.x_train[rows], y_train=whole.y_train[rows], seed=seed
        )


GLYPHS = Setting("glyphs", (784, *[100] * 5, 10), (("SB", 20), ("LB", 200)))
DIGITS = Setting("digits", (64, *[128] * 5, 10), (("SB", 10), ("LB", 100)))
MNIST = Setting("MNIST", (784, *[100] * 3, 10), (("SB", 20), ("LB", 200)))


@dataclass(frozen=True)
class Minimiser:
    """A network of the lab, trained from one seed on data of another."""

    setting: Setting
    kind: str
    batch: int
    seed: int
    data_seed: int
    epsilons: tuple[float, ...] = EPSILONS
    subspaces: bool = False

    def __str__(self) -> str:
        return f"{self.setting.name} {self.kind} {self.seed}"

    def boxes(self) -> Iterator[Box]:
        """Yield the boxes in each mode; with ``subspaces``, one of each mode's."""
        data, network = self.setting.data(self.data_seed), MLP(self.setting.sizes)
        trained = train(
            network,
            data.x_train,
            data.y_train,
            Regime(self.batch, until_loss=UNTIL_LOSS, max_epochs=MAX_EPOCHS),
            start=network.initial_weights(self.seed),
            seed=self.seed,
        )
        for mode in MODES:
            problem = Problem(
                network,
                data.x_train,
                data.y_train,
                batch_norm=mode,
                statistics=trained.statistics if mode == "running" else None,
            )
            for epsilon in self.epsilons:
                name = f"{self} {mode} {epsilon:.0e}"
                yield Box(name, self._family(mode), trained.weights, problem, epsilon)
            if self.subspaces:
                name = f"{self} {mode}"
                yield subspace_of(
                    Box(name, "subspaces", trained.weights, problem, self.epsilons[0]),
                    self.seed,
                )

    def _family(self, mode: str) -> str:
        if self.setting == MNIST:
            return MNIST.name
        return "SB" if self.kind == "SB" else f"LB {mode}"


def minimisers(
    settings: tuple[Setting, ...], seeds: tuple[int, ...], data_seed: int, **more: Any
) -> list[Minimiser]:
    """Return the minimisers of both kinds of batches, of every setting and seed."""
    return [
        Minimiser(setting, kind, batch, seed, data_seed, **more)
        for setting in settings
        for kind, batch in setting.batches
        for seed in seeds
    ]


def subspace_of(box: Box, seed: int) -> Box:
    """Return a random subspace of a box as a box of its own.

    It is the box that ``sharpness(subspace=100, seed=seed)`` searches, but the seed of
    the search may now be another. Its coordinates have the dtype of the weights, so
    that as many digits are asked of the loss.
    """
    backend = kernels_for(None, box.weights)[1]
    space = Space(backend, box.weights.size, box.weights.dtype)
    drawn = RandomSubspace(
        space, box.weights, Subspace(DIRECTIONS), box.epsilon, seed=seed
    )

    centre = drawn.anchor.astype(box.weights.dtype)

    def loss_fn(y: Array) -> tuple[float, Array]:
        loss, gradient = box.loss_fn(drawn.weights_at(np.float64(y) - centre))
        return loss, drawn.pull(gradient).astype(centre.dtype)

    name = f"{box.name} subspace {seed}"
    return Box(name, box.family, centre, loss_fn, box.epsilon)


@dataclass(frozen=True)
class TorchModel:
    """A small network of PyTorch, trained on digits: ``convolutions``, ``transformer``.

    The first is a small C1: convolutions with batch norm and pooling, then dense
    layers. The second has two layers, which see an image as eight rows.
    """

    kind: str
    batch: int
    seed: int
    epsilons: tuple[float, ...] = EPSILONS
    samples: int = 300
    rate: float = 2e-3

    def __str__(self) -> str:
        return f"{self.kind} {self.batch} {self.seed}"

    def boxes(self) -> Iterator[Box]:
        """Yield the boxes of both sizes, and of both modes if there is batch norm."""
        torch = load_torch()
        torch.set_num_threads(1)
        data = load_digits(train=self.samples, seed=self.seed)
        x = self._inputs(torch.tensor(data.x_train))
        y = torch.tensor(data.y_train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = self._model()
            self._train(model, x, y)
        for mode in MODES if self.kind == "convolutions" else MODES[:1]:
            problem = sharpkit.torch.problem(
                model, torch.nn.CrossEntropyLoss(), (x, y), batch_norm=mode
            )
            weights = problem.weights.numpy()

            def loss_fn(w: Array, problem: Any = problem) -> tuple[float, Array]:
                loss, gradient = problem(torch.tensor(w))
                return float(loss), gradient.numpy()

            for epsilon in self.epsilons:
                name = f"{self} {mode} {epsilon:.0e}"
                yield Box(name, "torch", weights, loss_fn, epsilon)

    def _model(self) -> Any:
        nn = load_torch().nn
        if self.kind == "convolutions":
            stages = [
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, padding=1),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                )
                for inputs, outputs in ((1, 8), (8, 16))
            ]
            dense = (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())
            return nn.Sequential(*stages, nn.Flatten(), *dense, nn.Linear(64, 10))
        layers = [
            nn.TransformerEncoderLayer(
                WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True
            )
            for _ in range(2)
        ]
        ends = nn.Flatten(), nn.Linear(8 * WIDTH, 10)
        return nn.Sequential(nn.Linear(16, WIDTH), *layers, *ends)

    def _inputs(self, rows: Any) -> Any:
        """Return images, or their rows with the place of each as eight more entries."""
        if self.kind == "convolutions":
            return rows.reshape(-1, 1, 8, 8)
        torch = load_torch()
        places = torch.eye(8).expand(len(rows), 8, 8)
        return torch.cat([rows.reshape(-1, 8, 8), places], dim=2)

    def _train(self, model: Any, x: Any, y: Any) -> None:
        torch = load_torch()
        optimiser = torch.optim.Adam(model.parameters(), self.rate)
        criterion = torch.nn.CrossEntropyLoss()
        for _ in range(MAX_EPOCHS):
            model.train()
            for rows in torch.randperm(len(x)).split(self.batch):
                optimiser.zero_grad()
                criterion(model(x[rows]), y[rows]).backward()
                optimiser.step()
            model.eval()
            with torch.no_grad():
                if float(criterion(model(x), y)) <= UNTIL_LOSS:
                    return


def torch_models(seeds: tuple[int, ...]) -> list[TorchModel]:
    """Return both networks, each trained with small and with large batches."""
    return [
        TorchModel(kind, batch, seed)
        for kind in ("convolutions", "transformer")
        for batch in (10, 100)
        for seed in seeds
    ]


def missing_sources() -> dict[str, str]:
    """Return which families cannot be made here, and why."""
    found = {}
    if importlib.util.find_spec("torch") is None:
        found["torch"] = "PyTorch is not installed: pip install torch"
    if not os.environ.get(MNIST_FOLDER):
        found[MNIST.name] = f"{MNIST_FOLDER} names no folder of MNIST's files"
    return found

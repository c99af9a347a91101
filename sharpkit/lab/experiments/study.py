"""One comparison of a small batch with a large one: network, data, sizes, stopping."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from sharpkit.lab.data.download import DOWNLOADED
from sharpkit.lab.data.source import Source
from sharpkit.lab.networks import NETWORKS, Definition
from sharpkit.lab.problem import BatchNorm
from sharpkit.lab.training.devices import DEVICES, Device
from sharpkit.lab.training.regime import OptimizerName

EPSILONS = (1e-3, 5e-4)  # the paper's
SUBSPACE = 100  # the paper's
# How far below the training loss asked for, relative, runs may end: with the last epoch
# at its end it is a fifth for some, and four fifths for others.
LOSS_WITHIN = 0.01
FAST = 8  # the learning-rate control multiplies the rate of the large batch by this
PATIENCE = 10  # epochs without progress, where training goes on until there is none
# At a common training loss, or once the loss ceases to improve.
Stop = Literal["loss", "plateau"]
PRESETS = ("demo", "quick", "medium", "paper")
# Which data a network can be trained on: the drawn ones first, they are the default.
DATA = {
    "F1": ("glyphs", "mnist", "digits"),
    "F2": ("frames", "timit"),
    "C1": ("shapes", "cifar10"),
    "C2": ("shapes", "cifar10"),
    "C3": ("shapes", "cifar100"),
    "C4": ("shapes", "cifar100"),
}


@dataclass(frozen=True)
class Study:
    """Both batch sizes train alike but for their size, from the same starts.

    Attributes
    ----------
    network : {"F1", "F2", "C1", "C2", "C3", "C4"}
        The network of the paper.
    width : float
        The share of the paper's width that every layer has.
    source : Source
        The data, by name and size.
    small, large : int
        The two batch sizes.
    until_loss : float or None
        The training loss at which both stop; None trains until the loss ceases to
        improve.
    max_epochs : int
        The most passes over the data.
    seeds : tuple of int
        The seeds of the trials: starting point, order of the samples and subspace.
    rate : float
        The learning rate of both batch sizes.
    optimizer : {"adam", "sgd", "momentum", "adagrad"}
        The optimiser of both batch sizes.
    batch_norm : {"running", "batch", "frozen"}
        The statistics with which the sharpness is measured.
    preset : {"demo", "quick", "medium", "paper"}
        The name of the sizes.
    definition : {"code", "text"}
        The authors' code or the paper's text, where they differ on a convolutional
        network.
    device : {"cpu", "cuda"}
        Where training and measuring run. The starts, the order of the samples and the
        directions are the same; results differ by rounding, which training amplifies.
    loss_within : float or None
        The share of the training loss by which both may end below it; None, as in
        records from before there was a choice, ends training with an epoch.
    """

    network: str
    width: float
    source: Source
    small: int
    large: int
    until_loss: float | None
    max_epochs: int
    seeds: tuple[int, ...]
    rate: float = 1e-3
    optimizer: OptimizerName = "adam"
    batch_norm: BatchNorm = "running"
    preset: str = "quick"
    definition: Definition = "code"
    device: Device = "cpu"
    loss_within: float | None = LOSS_WITHIN

    def request(self) -> dict[str, Any]:
        """Return the study ready for JSON; `from_request` reads it back."""
        request = asdict(self)
        del request["device"]
        return request | self.place

    @property
    def place(self) -> dict[str, str]:
        """The device, where it is none that goes without saying."""
        return {} if self.device == "cpu" else {"device": self.device}

    @classmethod
    def from_request(cls, request: dict[str, Any]) -> Study:
        """Return the study that `request` wrote down."""
        source, seeds = Source(**request["source"]), tuple(request["seeds"])
        known = {"loss_within": None} | request
        return cls(**known | {"source": source, "seeds": seeds})


# train, test, classes, width, small and large batch, loss, epochs at most, trials.
_SIZES = {
    ("F1", "demo"): (2000, 5000, 10, 100 / 512, 20, 200, 1e-3, 500, 5),
    ("F1", "quick"): (2000, 4000, 10, 0.1875, 20, 200, 1e-3, 200, 3),
    ("F1", "medium"): (5000, 10000, 10, 0.25, 32, 500, 1e-3, 300, 5),
    ("F1", "paper"): (60000, 10000, 10, 1.0, 256, 6000, 1e-3, 500, 5),
    ("F2", "quick"): (3000, 4000, 20, 0.1875, 32, 300, 1e-2, 200, 3),
    ("F2", "medium"): (6000, 6000, 40, 0.25, 32, 600, 1e-2, 300, 5),
    ("F2", "paper"): (721329, 310621, 1973, 1.0, 256, 72133, 1e-2, 500, 5),
    ("C1", "quick"): (400, 1000, 10, 0.1875, 10, 40, 1e-1, 80, 3),
    ("C1", "medium"): (1000, 2000, 10, 0.25, 20, 100, 1e-2, 150, 3),
    ("C1", "paper"): (50000, 10000, 10, 1.0, 256, 5000, 1e-2, 500, 5),
    ("C2", "quick"): (300, 1000, 10, 0.0625, 10, 40, 1e-1, 60, 2),
    ("C2", "medium"): (500, 1000, 10, 0.125, 10, 50, 1e-1, 100, 2),
    ("C2", "paper"): (50000, 10000, 10, 1.0, 256, 5000, 1e-2, 500, 5),
    ("C3", "quick"): (500, 1000, 100, 0.1875, 10, 50, 2.0, 80, 2),
    ("C3", "medium"): (1500, 2000, 100, 0.25, 20, 150, 0.3, 150, 3),
    ("C3", "paper"): (50000, 10000, 100, 1.0, 256, 5000, 1e-2, 500, 5),
    ("C4", "quick"): (300, 1000, 100, 0.0625, 10, 40, 1.0, 60, 2),
    ("C4", "medium"): (1000, 1000, 100, 0.125, 20, 100, 0.3, 100, 2),
    ("C4", "paper"): (50000, 10000, 100, 1.0, 256, 5000, 1e-2, 500, 5),
}
# Of the real digits there are 1797, which no preset of the others fits.
_DIGITS = {
    "demo": (1000, 797, 10, 0.25, 10, 100, 1e-3, 500, 5),
    "quick": (1000, 797, 10, 0.1875, 10, 100, 1e-3, 200, 3),
    "medium": (1000, 797, 10, 0.5, 10, 100, 1e-3, 300, 5),
    "paper": (1000, 797, 10, 1.0, 10, 100, 1e-3, 500, 5),
}


def study(
    network: str,
    preset: str = "quick",
    *,
    data: str | None = None,
    folder: str | None = None,
    download: bool = False,
    data_seed: int = 0,
    first_seed: int = 0,
    trials: int | None = None,
    optimizer: OptimizerName = "adam",
    batch_norm: BatchNorm = "running",
    stop: Stop = "loss",
    definition: Definition | None = None,
    device: Device = "cpu",
) -> Study:
    """Return the study of a network at a preset.

    ``paper`` has the paper's sizes; the others keep the shape of the network and the
    large batch at a tenth of the data, at sizes that two cores train in seconds
    (demo, of F1 alone, and quick) or minutes (medium). Without a ``definition`` it is
    that of the authors' code but for small C2 and C4, which learn nothing with its
    dropout.

    Raises
    ------
    ValueError
        If a name is unknown, or data, preset or device do not fit the network.
    """
    if network not in NETWORKS or preset not in PRESETS:
        msg = (
            f"network={network!r}, preset={preset!r}: network is one of "
            f"{', '.join(NETWORKS)} and preset one of {', '.join(PRESETS)}"
        )
        raise ValueError(msg)
    name = DATA[network][0] if data is None else data
    if name not in DATA[network]:
        msg = f"data={data!r}: {network} is trained on {' or '.join(DATA[network])}"
        raise ValueError(msg)
    if (network, preset) not in _SIZES:
        msg = f"preset={preset!r} is of F1 alone; give quick, medium or paper"
        raise ValueError(msg)
    sizes = _DIGITS[preset] if name == "digits" else _SIZES[network, preset]
    train, test, classes, width, small, large, loss, epochs, usual = sizes
    if trials is not None and trials < 1:
        msg = f"trials={trials}: give at least 1"
        raise ValueError(msg)
    if device != "cpu" and network.startswith("C"):
        msg = (
            f"device={device!r}: {network} is trained on the CPU; leave the device out"
        )
        raise ValueError(msg)
    for option, given, known in (
        ("batch_norm", batch_norm, get_args(BatchNorm)),
        ("stop", stop, get_args(Stop)),
        ("device", device, DEVICES),
    ):
        if given not in known:
            msg = f"{option}={given!r}: give one of {', '.join(known)}"
            raise ValueError(msg)
    if download and folder is not None:
        msg = f"folder={folder!r} and download=True are both given; give one of them"
        raise ValueError(msg)
    count = trials or usual
    return Study(
        network,
        width,
        Source(
            name, train, test, classes, data_seed, DOWNLOADED if download else folder
        ),
        small,
        large,
        loss if stop == "loss" else None,
        epochs,
        tuple(range(first_seed, first_seed + count)),
        optimizer=optimizer,
        batch_norm=batch_norm,
        preset=preset,
        definition=definition or _definition(network, preset),
        device=device,
    )


def _definition(network: str, preset: str) -> Definition:
    """Return the authors' definition where it can be trained.

    The dropout that their code has in every stack of the deep networks, and the paper
    does not mention, keeps narrow ones from learning anything in so few updates.
    """
    return "text" if network in ("C2", "C4") and preset != "paper" else "code"

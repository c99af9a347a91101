"""How a network is trained, as data: every regime of the paper and what came later."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

OptimizerName = Literal["adam", "sgd", "momentum", "adagrad"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)


@dataclass(frozen=True)
class Regime:
    """One way to train; the defaults are the paper's: plain Adam, one batch size.

    Attributes
    ----------
    batch_size : int
        The samples per update; the last batch of an epoch may be shorter.
    optimizer : {"adam", "sgd", "momentum", "adagrad"}
        The optimiser on the flat weights; momentum is heavy-ball with 0.9.
    rate : float
        The learning rate.
    until_loss : float or None
        The loss that ends training after the first epoch whose mean over the training
        set, with running batch-norm statistics, is at most this.
    loss_within : float or None
        The share of ``until_loss`` by which the loss may end below it. The last epoch
        is then taken only as far as it leads there, its last update in part. None ends
        training with the epoch, wherever below.
    patience : int or None
        The number of epochs for which the best such loss has not fallen by 1 %, that
        end training: "until the loss ceases to improve" (section 2.2 of the paper).
    max_epochs : int
        The most passes over the data.
    growth : tuple of (int, int)
        Dynamic sampling: ``(epoch, batch size)``, used from that epoch on (epochs count
        from 1), in rising order.
    ghost : int or None
        The size of the chunks of ghost batch normalisation (Hoffer, Hubara and Soudry,
        arXiv 1705.08741): each chunk is normalised by its own statistics; gradients are
        averaged over the chunks, running averages move chunk by chunk.
    sam : float or None
        The rho of sharpness-aware minimisation (Foret et al., arXiv 2010.01412, p = 2):
        the gradient is taken at ``w + rho g / |g|``.
    decay : float or None
        The decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101): each
        update first takes ``rate * decay`` of every weight.
    conservative : float or None
        The lambda of conservative training (Appendix E.2 of the paper, after Li et al.
        2014): each batch's loss plus ``lambda / 2 |x - x_k|^2``, solved by
        ``inner_steps`` steps of the optimiser, whose state is kept from one sub-problem
        to the next (the paper leaves that open).
    inner_steps : int
        The number of these steps, 3 in the paper.
    adversarial : float or None
        The size of an attack: half the batch loss is that at samples moved by so much
        along the sign of the gradient in them, cut to the range of the training data
        (Goodfellow et al., arXiv 1412.6572; Appendix E.3 of the paper).
    augment : bool
        Whether images are augmented by random flips, rotations up to 10 degrees and
        shifts up to 0.2 of the image, anew for every batch (Appendix E.1).

    Raises
    ------
    ValueError
        If a value is unknown or out of range.
    """

    batch_size: int
    optimizer: OptimizerName = "adam"
    rate: float = 1e-3
    until_loss: float | None = None
    patience: int | None = None
    max_epochs: int = 500
    growth: tuple[tuple[int, int], ...] = ()
    ghost: int | None = None
    sam: float | None = None
    conservative: float | None = None
    inner_steps: int = 3
    adversarial: float | None = None
    augment: bool = False
    decay: float | None = None
    loss_within: float | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            msg = f"optimizer={self.optimizer!r}; give one of {', '.join(OPTIMIZERS)}"
            raise ValueError(msg)
        least = {"batch_size": 1, "max_epochs": 1, "inner_steps": 1}
        least |= {"patience": 1, "ghost": 2}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                msg = f"{name}={value}: give at least {bound}"
                raise ValueError(msg)
        for name in (
            "rate",
            "until_loss",
            "sam",
            "conservative",
            "adversarial",
            "decay",
            "loss_within",
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                msg = f"{name}={value}: give a positive number"
                raise ValueError(msg)
        if self.loss_within is not None and self.loss_within >= 1:
            msg = f"loss_within={self.loss_within}: give a share of the loss below 1"
            raise ValueError(msg)
        epochs = [epoch for epoch, _ in self.growth]
        if epochs != sorted(set(epochs)) or any(min(pair) < 1 for pair in self.growth):
            msg = f"growth={self.growth!r}: give (epoch, batch size) in rising order"
            raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the regime for the configuration of a task.

        Of decay there is no word without it, and of ``loss_within`` where no loss ends
        training, so that runs from before them keep their keys.
        """
        record = asdict(self)
        if self.decay is None:
            del record["decay"]
        if self.loss_within is None or self.until_loss is None:
            del record["loss_within"]
        return record

    def batch_at(self, epoch: int) -> int:
        """Return the batch size of an epoch, counted from 1."""
        sizes = [self.batch_size]
        sizes += [size for begin, size in self.growth if begin <= epoch]
        return sizes[-1]

"""Hooks into the training loops of Lightning and of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from sharpkit._inputs.extras import needs
from sharpkit.monitor.core import Monitor
from sharpkit.torch.watching import monitor


def lightning_callback(loss: Callable[..., Any], probe: Any, **options: Any) -> Any:
    r"""Return the callback of Lightning that watches a training.

    It calls `Monitor.step` where Lightning calls ``on_before_optimizer_step``, once for
    each step of the optimiser, however gradients are accumulated.

    Parameters
    ----------
    loss, probe
        The loss and the data that all is measured on, as `sharpkit.torch.monitor`
        takes them; the model is the ``LightningModule``.
    **options
        What else it takes, such as ``path`` and ``budget``. The optimiser is the first
        of the trainer.

    Returns
    -------
    lightning.pytorch.callbacks.Callback
        The callback, for ``Trainer(callbacks=[...])``. Its ``monitor`` is the
        `Monitor`, None until the training begins.
    """
    with needs("lightning_callback", "lightning", extra="torch"):
        from lightning.pytorch.callbacks import Callback

    class Watching(Callback):  # type: ignore[misc]
        monitor: Monitor | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            given = {"first_step": trainer.global_step} | options
            optimizer = _plain(trainer.optimizers[0])
            self.monitor = monitor(pl_module, loss, probe, optimizer=optimizer, **given)

        def on_before_optimizer_step(
            self, trainer: Any, pl_module: Any, optimizer: Any
        ) -> None:
            # Others of several optimisers make steps of their own.
            if self.monitor and _plain(optimizer) is _plain(trainer.optimizers[0]):
                self.monitor.step()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            _closed(self.monitor)

        def on_exception(
            self, trainer: Any, pl_module: Any, exception: BaseException
        ) -> None:
            _closed(self.monitor)

    return Watching()


def transformers_callback(loss: Callable[..., Any], probe: Any, **options: Any) -> Any:
    r"""Return the callback of the ``Trainer`` of transformers that watches a training.

    It calls `Monitor.step` at ``on_pre_optimizer_step``, once for each step of the
    optimiser, where the gradients are.

    Parameters
    ----------
    loss, probe
        The loss and the data that all is measured on, as `sharpkit.torch.monitor`
        takes them: ``lambda model, batch: model(**batch).loss`` with
        ``loss_takes="model"``.
    **options
        What else it takes, such as ``path`` and ``budget``.

    Returns
    -------
    transformers.TrainerCallback
        The callback, for ``Trainer(callbacks=[...])``. Its ``monitor`` is the
        `Monitor`, None until the training begins.
    """
    with needs("transformers_callback", "transformers", extra="torch"):
        from transformers import TrainerCallback

    class Watching(TrainerCallback):  # type: ignore[misc]
        monitor: Monitor | None = None

        def on_train_begin(
            self, args: Any, state: Any, control: Any, **kwargs: Any
        ) -> None:
            given = {"first_step": state.global_step} | options
            optimizer = _plain(kwargs["optimizer"])
            self.monitor = monitor(
                kwargs["model"], loss, probe, optimizer=optimizer, **given
            )

        def on_pre_optimizer_step(
            self, args: Any, state: Any, control: Any, **kwargs: Any
        ) -> None:
            if self.monitor is not None:
                self.monitor.step()

        def on_train_end(
            self, args: Any, state: Any, control: Any, **kwargs: Any
        ) -> None:
            _closed(self.monitor)

    return Watching()


def _plain(optimizer: Any) -> Any:
    """Return the optimiser of torch inside what a trainer puts around it."""
    while not isinstance(optimizer, Optimizer) or hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def _closed(watching: Monitor | None) -> None:
    if watching is not None:
        watching.close()

import dataclasses
import math

import pytest

from sharpkit.lab.training.regime import OPTIMIZERS, Regime


def test_the_defaults_are_the_papers():
    regime = Regime(256)
    assert (regime.optimizer, regime.rate, regime.inner_steps) == ("adam", 1e-3, 3)
    changed = {
        "until_loss", "patience", "growth", "ghost", "sam", "conservative",
        "adversarial", "augment", "decay", "loss_within",
    }  # fmt: skip
    assert not any(getattr(regime, name) for name in changed)
    assert {field.name for field in dataclasses.fields(regime)} == changed | {
        "batch_size", "optimizer", "rate", "max_epochs", "inner_steps",
    }  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizers(name):
    assert Regime(1, name).optimizer == name


def test_equal_settings_are_equal_and_can_be_keys():
    assert {Regime(8, growth=((2, 16),)), Regime(8, growth=((2, 16),))} == {
        Regime(8, growth=((2, 16),))
    }
    assert Regime(8) != Regime(8, sam=0.05)


@pytest.mark.parametrize(
    ("growth", "sizes"),
    [
        ((), [8, 8, 8, 8, 8, 8]),
        (((1, 4),), [4, 4, 4, 4, 4, 4]),
        (((3, 16), (4, 5)), [8, 8, 16, 5, 5, 5]),
        (((6, 32), (90, 64)), [8, 8, 8, 8, 8, 32]),
    ],
)
def test_the_batch_size_of_each_epoch(growth, sizes):
    regime = Regime(8, growth=growth)
    assert [regime.batch_at(epoch) for epoch in range(1, 7)] == sizes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"optimizer": "rmsprop"},
            "optimizer='rmsprop'; give one of adam, sgd, momentum, adagrad",
        ),
        ({"batch_size": 0}, "batch_size=0: give at least 1"),
        ({"max_epochs": 0}, "max_epochs=0: give at least 1"),
        ({"inner_steps": 0}, "inner_steps=0: give at least 1"),
        ({"patience": 0}, "patience=0: give at least 1"),
        ({"ghost": 1}, "ghost=1: give at least 2"),
        (
            {"growth": ((4, 8), (2, 16))},
            "growth=.*: give .epoch, batch size. in rising",
        ),
        (
            {"growth": ((4, 8), (4, 16))},
            "growth=.*: give .epoch, batch size. in rising",
        ),
        ({"growth": ((4, 0),)}, "growth=.*: give .epoch, batch size. in rising"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Regime(**{"batch_size": 8} | settings)


@pytest.mark.parametrize("value", [0.0, -1e-3, math.inf, math.nan])
@pytest.mark.parametrize(
    "name", ["rate", "until_loss", "sam", "conservative", "adversarial"]
)
def test_these_are_positive(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}: give a positive number"):
        Regime(8, **{name: value})


def test_a_regime_without_decay_says_nothing_of_it():
    plain = Regime(8).to_dict()
    assert "decay" not in plain
    assert Regime(**plain) == Regime(8)
    decaying = Regime(8, decay=0.1).to_dict()
    assert decaying == plain | {"decay": 0.1}


def test_the_way_to_end_is_told_where_a_loss_ends_it():
    plain, ending = Regime(8), Regime(8, until_loss=0.1)
    for regime in (plain, ending):
        assert "loss_within" not in regime.to_dict()
    known = ending.to_dict()
    exact = Regime(8, until_loss=0.1, loss_within=0.01)
    assert exact.to_dict() == known | {"loss_within": 0.01}
    assert Regime(8, loss_within=0.01).to_dict() == plain.to_dict()


@pytest.mark.parametrize("share", [-0.1, 0.0, 1.0, math.nan])
def test_bad_shares_of_the_loss(share):
    with pytest.raises(ValueError, match=r"loss_within=.*: give a "):
        Regime(8, until_loss=0.1, loss_within=share)

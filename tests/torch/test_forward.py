"""The loss by forward passes alone, and the measures that take it."""

import pytest
from torch_cases import case, direction, truth
from torch_required import torch

import sharpkit
from sharpkit.torch import problem


@pytest.mark.parametrize("name", ["conv_batch_norm", "class_weighted", "regression"])
@pytest.mark.parametrize("sizes", [(9,), (4, 5)])
@pytest.mark.parametrize("first", [False, True])
def test_it_is_the_loss_to_the_bit_and_leaves_the_model(watch, name, sizes, first):
    own = case(name)
    p = problem(watch(own.model), own.loss, own.batches(*sizes))
    w = p.weights + 0.1 * direction(len(p.weights))
    alone = p.forward(w) if first else None
    loss, _ = p(w)
    assert loss == pytest.approx(truth(name).at(w)[0], rel=1e-12)
    assert (alone if first else p.forward(w)) == loss


def test_no_backward_pass_is_made_along_a_given_update(monkeypatch):
    own = case("regression")
    p = problem(own.model, own.loss, own.data)
    d, g = p(p.weights)[1], p(p.weights)[1]
    expected = sharpkit.critical_sharpness(p)
    monkeypatch.setattr(type(p), "__call__", lambda self, w: pytest.fail("gradient"))
    found = sharpkit.critical_sharpness(p, direction=d)
    assert (found.value, found.gradients) == (expected.value, 0)
    assert torch.equal(d, g)


def test_radii_of_a_classifier_need_no_loss():
    torch.manual_seed(0)
    inputs = torch.randn(80, 4)
    model = torch.nn.Linear(4, 2)
    targets = model(inputs).argmax(1)
    loss = torch.nn.functional.cross_entropy
    p = problem(model, loss, (inputs, targets))
    found = sharpkit.flatness_radius(p, start=torch.zeros(10))
    assert found.centre == 0
    low, high = found.interval
    draws = torch.randn(4000, 10, generator=torch.Generator().manual_seed(1))

    def error(sigma):
        moved = p.weights + sigma * draws
        outputs = moved[:, :8].reshape(-1, 2, 4) @ inputs.T + moved[:, 8:, None]
        return (outputs.argmax(1) != targets).double().mean()

    assert error(low) < 0.1 < error(high)
    assert found.bounds["pacbayes-init"] == found.bounds["pacbayes-orig"]
    several = problem(
        model,
        lambda model, batch: loss(model(batch[0]), batch[1]),
        (inputs, targets),
        loss_takes="model",
    )
    with pytest.raises(ValueError, match="of='error', but the problem has no accuracy"):
        sharpkit.flatness_radius(several)

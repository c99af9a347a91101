"""Files as training scripts and libraries save them, read back as the model's own."""

import argparse
import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.optim.swa_utils import AveragedModel  # noqa: E402

import sharpkit  # noqa: E402
from sharpkit._inputs.warn import SharpkitWarning  # noqa: E402
from sharpkit.reports.checkpoints import load  # noqa: E402

X, Y = torch.randn(20, 4, generator=torch.Generator().manual_seed(1)), torch.zeros(20)
LOSS = nn.CrossEntropyLoss()


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()


@pytest.fixture(scope="module")
def problem():
    return sharpkit.torch.problem(network(0), LOSS, (X, Y.long()))


OTHER = network(1)
STATE = OTHER.state_dict()
FLAT = torch.cat([p.detach().ravel() for p in OTHER.parameters()])
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


def under(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


SAVED = {
    "state.pt": STATE,
    "data_parallel.pth": under("module."),
    "compiled_part.pt": {
        name.replace("0.", "0._orig_mod."): x for name, x in STATE.items()
    },
    "fsdp.pt": under("_fsdp_wrapped_module."),
    "averaged.pt": AveragedModel(OTHER).state_dict(),
    "imagenet_example.pth.tar": {
        "epoch": 90,
        "arch": "resnet18",
        "state_dict": under("module."),
        "best_acc1": torch.tensor(69.8),
        "optimizer": OPTIMIZER,
        "scheduler": {"last_epoch": 90, "_last_lr": [0.001]},
    },
    "timm.pth.tar": {
        "epoch": 3,
        "arch": "vit_tiny",
        "state_dict": STATE,
        "optimizer": OPTIMIZER,
        "version": 2,
        "metric": np.float64(77.1),
        "args": argparse.Namespace(lr=0.1, output=Path("runs")),
    },
    "lightning.ckpt": {
        "epoch": 1,
        "global_step": 20,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": under("net."),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": None}},
        "optimizer_states": [OPTIMIZER],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.1},
    },
    "lightning_compiled.ckpt": {"state_dict": under("model._orig_mod.")},
    "detectron2.pth": {"model": STATE, "iteration": 8999, "optimizer": OPTIMIZER},
    "mmdetection.pth": {"meta": {"epoch": 12, "CLASSES": ("a",)}, "state_dict": STATE},
    "mp_rank_00_model_states.pt": {
        "module": STATE,
        "buffer_names": ["1.running_mean"],
        "optimizer": None,
        "dp_world_size": 8,
        "ds_version": "0.15.1",
    },
    "pytorch_model.bin": STATE,
    "cifar.pth": {"net": under("module."), "acc": 92.1, "epoch": 9},
    "nnunet.pth": {
        "network_weights": STATE,
        "grad_scaler_state": {"scale": 65536.0},
        "logging": {"ema_fg_dice": [np.float64(0.5), np.float32(0.25)]},
    },
    "own_name.pt": {"my_weights": STATE, "rng": torch.get_rng_state()},
    "two_names.pt": {"model": STATE, "model_state_dict": copy.deepcopy(STATE)},
    "ema_alone.pt": {"ema_state_dict": STATE, "decay": 0.999, "step": 1000},
    "ema_that_is_equal.pt": {"model": STATE, "model_ema": STATE},
    "numpy_beside.pt": {
        "state_dict": STATE,
        "losses": np.arange(3.0),
        "best": np.int64(3),
        "rng": ("MT19937", np.arange(4, dtype=np.uint32), 624, 0, 0.0),
    },
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", SAVED)
def test_what_scripts_save(tmp_path, problem, name, zipped):
    file = tmp_path / name
    torch.save(SAVED[name], file, _use_new_zipfile_serialization=zipped)
    there = problem.at(load(file, entries=problem.entries))
    assert torch.equal(there.weights, FLAT)
    known = sharpkit.torch.problem(OTHER, LOSS, (X, Y.long()))
    assert there(FLAT)[0] == known(FLAT)[0]  # the buffers, too


def test_safetensors_and_npz_with_prefixes(tmp_path, problem):
    files = pytest.importorskip("safetensors.torch")
    files.save_file(under("model."), tmp_path / "model.safetensors")
    arrays = {name: x.numpy() for name, x in under("net/").items()}
    np.savez(tmp_path / "keras.npz", **arrays)
    for name in ("model.safetensors", "keras.npz"):
        assert torch.equal(problem.at(load(tmp_path / name)).weights, FLAT)


def test_a_wrapped_model_and_a_plain_file():
    model = nn.Module()
    model.module = network(0)
    problem = sharpkit.torch.problem(
        model, lambda m, batch: LOSS(m.module(batch[0]), batch[1]), (X, Y.long()),
        loss_takes="model",
    )  # fmt: skip
    assert torch.equal(problem.at(STATE).weights, FLAT)


def moved(state):
    return {n: x + 1 if x.is_floating_point() else x for n, x in state.items()}


@pytest.mark.parametrize(
    ("saved", "match"),
    [
        (
            {"state_dict": STATE, "state_dict_ema": moved(STATE)},
            r"'state_dict' and 'state_dict_ema', which differ; save the one that is "
            r"meant alone: torch\.save\(torch\.load\(file\)\['state_dict'\]",
        ),
        (
            {"model": STATE, "ema": under("ema_model.") | {"step": torch.ones(1)}},
            "'model' and 'ema', which differ",
        ),
        ({"student": STATE, "teacher": moved(STATE)}, "'student' and 'teacher', which"),
    ],
)
def test_two_sets_of_weights(tmp_path, saved, match):
    torch.save(saved, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=match):
        load(tmp_path / "a.pt")


def test_two_models_in_one_state(problem):
    both = under("model.") | under("ema_model.module.", moved(STATE))
    match = r"under 'model\.' and 'ema_model\.module\.', which differ; give a mapping"
    with pytest.raises(ValueError, match=match):
        problem.at(both)
    equal = under("model.") | under("ema_model.", copy.deepcopy(STATE))
    with pytest.warns(SharpkitWarning, match=r"'model\.'; what stands beside it is"):
        assert torch.equal(problem.at(equal).weights, FLAT)


def test_what_stands_beside_the_model_is_told(problem):
    state = under("net.") | {"criterion.weight": torch.ones(2)}
    with pytest.warns(SharpkitWarning, match=r"left out: criterion\.weight$"):
        assert torch.equal(problem.at(state).weights, FLAT)
    with pytest.raises(ValueError, match=r"not the model's: extra\. Give the names"):
        problem.at(under("net.", STATE | {"extra": torch.ones(2)}))


def test_of_another_model(problem):
    less = {n: x for n, x in under("net.").items() if n != "net.2.bias"}
    with pytest.raises(ValueError, match=r"missing: 2\.bias\. Give the names"):
        problem.at(less)


class Lora(nn.Module):
    """A linear layer with an adapter, as PEFT names its parts."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.base_layer = nn.Linear(inputs, outputs).requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(inputs, 1, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(1, outputs, bias=False)})

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


def adapted(seed):
    torch.manual_seed(seed)
    return nn.Sequential(Lora(4, 3), nn.BatchNorm1d(3), Lora(3, 2)).eval()


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
def test_an_adapter_alone(tmp_path, prefix):
    model, other = adapted(0), adapted(1)
    model[1].requires_grad_(False)
    adapter = {
        prefix + name.replace(".default", ""): x
        for name, x in other.state_dict().items()
        if "lora" in name
    }
    torch.save(adapter, tmp_path / "adapter_model.bin")
    problem = sharpkit.torch.problem(model, LOSS, (X, Y.long()))
    there = problem.at(load(tmp_path / "adapter_model.bin"))
    merged = copy.deepcopy(model)  # its own base, the other's adapter
    merged.load_state_dict(
        {n: x for n, x in other.state_dict().items() if "lora" in n}, strict=False
    )
    known = sharpkit.torch.problem(merged, LOSS, (X, Y.long()))
    assert torch.equal(there.weights, known.weights)
    assert there(there.weights)[0] == known(known.weights)[0]
    some = adapter | {f"{prefix}0.base_layer.weight": torch.zeros(3, 4)}
    with pytest.raises(ValueError, match=r"missing: .*2\.base_layer\.weight"):
        problem.at(some)

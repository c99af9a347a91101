"""Models under fully_shard and in DistributedDataParallel, on real processes."""

import numpy as np
import pytest
from ranks import on_gloo

pytest.importorskip("torch")
pytestmark = [pytest.mark.process, pytest.mark.slow]

MODELS = """
import copy, sharpkit, sharpkit.torch
from torch import nn
from torch.distributed.fsdp import fully_shard
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.BatchNorm1d(7), nn.Linear(7, 3))
model = model.double()
x, y = torch.randn(12, 5).double(), torch.arange(12) % 3
cross = nn.CrossEntropyLoss()
alone = sharpkit.torch.problem(copy.deepcopy(model), cross, (x, y))
mine = slice(0, 3) if rank == 0 else slice(3 + 9 * (rank - 1) // (ranks - 1), None)
if rank:
    mine = slice(3 + 9 * (rank - 1) // (ranks - 1), 3 + 9 * rank // (ranks - 1))
sharded = copy.deepcopy(model)
fully_shard(sharded[0])
fully_shard(sharded)
"""
VALUES = (
    MODELS
    + """
class Plain:  # the same without exact products
    weights, forward = alone.weights, alone.forward

    def __call__(self, w):
        return alone(w)

spread = sharpkit.torch.problem(sharded, cross, (x[mine], y[mine]))
parallel = nn.parallel.DistributedDataParallel(copy.deepcopy(model))
copies = sharpkit.torch.problem(parallel, cross, (x[mine], y[mine]), process_group=True)
before = spread.weights.clone()
found = []
for problem in (Plain(), spread, copies):
    found.append({
        "sharpness": sharpkit.sharpness(problem, max_evaluations=8).value,
        "critical": sharpkit.critical_sharpness(problem).value,
        "norm": sharpkit.gradient_norm(problem).value,
        "trace": sharpkit.trace(problem, max_products=6).value,
        "radius": sharpkit.flatness_radius(
            problem, of="loss", max_evaluations=100
        ).value,
    })
layers = sharpkit.gradient_norm(spread).layers
half = copy.deepcopy(model).bfloat16()
fully_shard(half)
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    rounded = sharpkit.torch.problem(half, cross, (x[mine].bfloat16(), y[mine]))
was = [each.to_local().clone() for each in half.parameters()]
norm = sharpkit.gradient_norm(rounded).value
now = [each.to_local() for each in half.parameters()]
held = torch.cat([each.to_local().reshape(-1) for each in sharded.parameters()])
values = dict(
    found=found,
    layers=layers,
    expected_layers=sharpkit.gradient_norm(alone).layers,
    shape=list(spread.weights.shape),
    half=[str(rounded.weights.dtype), norm, str(heard[0].message)],
    half_left=all(map(torch.equal, was, now)),
    left=bool((held == before).all())
    and all(each.grad is None for each in sharded.parameters())
    and sharded.training,
)
"""
)
REFUSED = """
def refused(call):
    try:
        call()
    except Exception as error:
        return str(error)

def problem(**known):
    return sharpkit.torch.problem(sharded, cross, (x[mine], y[mine]), **known)


pieces = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x[mine], y[mine]), batch_size=3
)
uneven = sharpkit.torch.problem(sharded, cross, pieces)
unknown = sharpkit.torch.problem(
    sharded, lambda out, y: nn.functional.cross_entropy(out, y), (x[mine], y[mine])
)
hybrid = copy.deepcopy(model)
names = {"mesh_dim_names": ("copies", "shards")}
fully_shard(hybrid, mesh=dist.init_device_mesh("cpu", (ranks, 1), **names))
calls = 0

def late(out, y):
    global calls
    calls += 1
    if rank == 1 and calls == 3:
        raise KeyError("a label is missing")
    return {"loss": cross(out, y), "weight": len(y)}

spread = sharpkit.torch.problem(sharded, late, (x[mine], y[mine]))
failed = [refused(lambda: sharpkit.sharpness(spread))]
calls = 0
copies = sharpkit.torch.problem(parallel, late, (x[mine], y[mine]), process_group=True)
failed.append(refused(lambda: sharpkit.sharpness(copies)))
texts = dict(
    failed=failed,
    uneven=refused(lambda: sharpkit.sharpness(uneven)),
    unknown=refused(lambda: sharpkit.sharpness(unknown)),
    frozen=refused(lambda: problem(batch_norm="frozen")),
    parameters=refused(lambda: problem(parameters="0.*")),
    hybrid=refused(lambda: sharpkit.torch.problem(hybrid, cross, (x[mine], y[mine]))),
    radius=refused(lambda: sharpkit.flatness_radius(problem())),
    check=refused(lambda: sharpkit.check(problem())),
    samples=[
        refused(lambda: sharpkit.batch_sharpness(problem(), batch_size=2)),
        refused(lambda: sharpkit.gradient_noise(problem())),
        refused(lambda: sharpkit.fisher_rao(problem())),
    ],
)
tell(values=values, refused=texts)
"""


MANY = """
import sharpkit, sharpkit.torch
from torch import nn
from torch.distributed.fsdp import fully_shard
warnings.simplefilter("ignore")  # of shards of half precision

def gradient(model, data):
    problem = sharpkit.torch.problem(model, nn.CrossEntropyLoss(), data)
    return problem(problem.weights)[1]

def told(held):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).to(held)
    for layer in model[::2]:
        fully_shard(layer)
    fully_shard(model)
    torch.manual_seed(rank)
    batches = [(torch.randn(2, 8).to(held), torch.arange(2)) for _ in range(BATCHES)]
    together = gradient(model, batches)
    each = [gradient(model, [batch]).double() for batch in batches]
    size = sum(found.abs() for found in each)
    gap = float((BATCHES * together.double() - sum(each)).abs().div(size).max())
    left = all(parameter.grad is None for parameter in model.parameters())
    return str(together.dtype), gap, left

tell(**{str(held): told(held) for held in (torch.bfloat16, torch.float64)})
"""


def test_gradients_of_many_batches_are_added_up_as_measured():
    for rank in on_gloo(2, f"BATCHES = 40\n{MANY}").fine():
        for held, measured in {"bfloat16": "float32", "float64": "float64"}.items():
            dtype, gap, left = rank[f"torch.{held}"]
            assert dtype == f"torch.{measured}"
            # Each of 40 sums, and two divisions, round once, by half an eps.
            assert gap <= 42 * np.finfo(measured).eps / 2
            assert left


RELATIVE = {"sharpness": 1e-9, "critical": 1e-12, "norm": 1e-12, "radius": 1e-12}


@pytest.mark.parametrize("ranks", [3])
def test_values_are_those_of_the_whole_model(ranks):
    ends = on_gloo(ranks, VALUES + REFUSED).fine()
    told = [each["values"] for each in ends]
    for rank in told:
        assert rank["left"]
        assert rank["half_left"]
        dtype, norm, heard = rank["half"]
        assert dtype == "torch.float32"
        assert norm == pytest.approx(rank["found"][0]["norm"], rel=0.05)
        assert heard.startswith("the shards are of torch.bfloat16, and are measured in")
        assert rank["found"] == told[0]["found"]
        whole, spread, copies = rank["found"]
        for name, rel in RELATIVE.items():
            assert spread[name] == pytest.approx(whole[name], rel=rel)
            assert copies[name] == pytest.approx(whole[name], rel=rel)
        assert spread["trace"] == pytest.approx(whole["trace"], rel=1e-6)
        assert copies["trace"] == pytest.approx(whole["trace"], rel=1e-6)
        assert rank["layers"] == pytest.approx(rank["expected_layers"], rel=1e-12)
    assert np.sum([rank["shape"] for rank in told]) == 80
    for rank, each in enumerate(ends):
        require_refused(each["refused"], "" if rank == 1 else f"rank 1 of {ranks} rais")


def require_refused(texts, start):
    """Look for what is said on each rank where something cannot be measured."""
    for text in texts["failed"]:
        assert text.startswith(start)
        assert text.endswith("'a label is missing'")
    assert "some ranks have more batches than others" in texts["uneven"]
    assert "what a batch counts is not known" in texts["unknown"]
    assert "batch_norm='frozen', which is not there" in texts["frozen"]
    assert "parameters='0.*', which is not there" in texts["parameters"]
    assert "apply fully_shard alone, over a mesh of one dim" in texts["hybrid"]
    assert "a model over ranks has no accuracy; give of='loss'" in texts["radius"]
    assert "spread over ranks; these can: sharpness" in texts["check"]
    for text in texts["samples"]:
        assert "needs single samples, and a model over ranks runs on the" in text

"""Language models of `transformers`, against dense matrices of all their logits."""

import copy
import warnings

import pytest
from torch_peak import Peak
from torch_required import torch

import sharpkit
from sharpkit.torch import causal_lm, problem

transformers = pytest.importorskip("transformers")
functional = torch.nn.functional
COMMON = {"vocab_size": 13, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def gpt2(**options):
    sizes = {"n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2}
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**COMMON | sizes | options)
    )


def llama(**options):
    sizes = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "max_position_embeddings": 8}
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**COMMON | sizes | heads | options)
    )


def phi(**options):
    """Return a model whose output layer has a bias."""
    sizes = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "max_position_embeddings": 8}
    return transformers.PhiForCausalLM(
        transformers.PhiConfig(**COMMON | sizes | heads | options)
    )


def made(kind, dtype=torch.float64, **options):
    torch.manual_seed(0)
    model = kind(**options).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def batches(side="right"):
    """Return batches of which as many tokens count as their masks say."""
    found, draw = [], torch.Generator().manual_seed(1)
    for lengths in ((6, 4, 1), (5, 2)):
        ids = torch.randint(1, 13, (len(lengths), 6), generator=draw)
        at = torch.arange(6) if side == "right" else 5 - torch.arange(6)
        mask = (at < torch.tensor(lengths)[:, None]).long()
        found.append({"input_ids": ids * mask, "attention_mask": mask})
    return found


class Dense:
    """The same by one loss over the logits of each sequence, without its padding."""

    def __init__(self, model, data):
        self.model = copy.deepcopy(model).eval()
        self.model.config._attn_implementation = "eager"
        self.names = [k for k, x in model.named_parameters() if x.requires_grad]
        self.shapes = [model.get_parameter(k).shape for k in self.names]
        self.sequences = [
            row[mask.bool()]
            for batch in data
            for row, mask in zip(
                batch["input_ids"], batch["attention_mask"], strict=True
            )
        ]

    def logits(self, w):
        parts = w.split([shape.numel() for shape in self.shapes])
        each = zip(self.names, parts, self.shapes, strict=True)
        named = {name: part.view(shape) for name, part, shape in each}
        found = [
            torch.func.functional_call(self.model, named, (row[None],)).logits[0, :-1]
            for row in self.sequences
        ]
        return torch.cat(found)

    def of_logits(self, logits):
        return functional.cross_entropy(
            logits, torch.cat([row[1:] for row in self.sequences])
        )

    def loss(self, w):
        return self.of_logits(self.logits(w))

    def gauss_newton(self, w):
        jacobian = torch.autograd.functional.jacobian(self.logits, w)
        jacobian = jacobian.reshape(-1, len(w))
        logits = self.logits(w).detach()
        bent = torch.autograd.functional.hessian(self.of_logits, logits)
        return jacobian.T @ bent.reshape(len(jacobian), -1) @ jacobian


def close(one, other, rtol=1e-10):
    scale = float(other.abs().max())
    torch.testing.assert_close(one, other, rtol=0, atol=rtol * scale)


# Llama's rotations, and its norm, are computed in float32 whatever the weights are.
@pytest.mark.parametrize(("kind", "rtol"), [(gpt2, 1e-11), (llama, 1e-5), (phi, 1e-5)])
@pytest.mark.parametrize("frozen", [False, True])
def test_values_and_products_are_those_of_all_logits(watch, kind, rtol, frozen):
    model = made(kind)
    if frozen:  # the output layer, and what is tied to it
        model.get_output_embeddings().requires_grad_(False)
    known = Dense(model, batches())
    p = causal_lm(watch(model), batches(), chunk=3)
    w, v = p.weights, torch.linspace(-1, 1, p.weights.numel(), dtype=torch.float64)
    loss = known.loss(w.requires_grad_())
    assert p(w.detach())[0] == pytest.approx(float(loss.detach()), rel=rtol)
    (gradient,) = torch.autograd.grad(loss, w, create_graph=True)
    w.requires_grad_(False)
    close(p(w)[1], gradient.detach(), rtol)
    (product,) = torch.autograd.functional.hvp(known.loss, w, v)[1:]
    close(p.hvp(w, v), product, rtol)
    close(p.gauss_newton(w, v), known.gauss_newton(w) @ v, rtol)
    assert p.samples == 5


def test_one_batch_keeps_its_graph(watch):
    model, data = watch(made(gpt2)), batches()[0]
    p, other = causal_lm(model, data, chunk=3), causal_lm(model, [data], chunk=3)
    w = p.weights
    for seed in range(3):
        v = torch.randn(len(w), generator=torch.Generator().manual_seed(seed)).double()
        close(p.gauss_newton(w, v), other.gauss_newton(w, v))
        close(p.hvp(w, v), other.hvp(w, v))
    assert causal_lm(model, data, micro_batch=1)(w)[0] == pytest.approx(p(w)[0])
    tokens = torch.utils.data.TensorDataset(data["input_ids"])
    loader = torch.utils.data.DataLoader(tokens, 2)
    whole = causal_lm(model, data["input_ids"])
    assert causal_lm(model, loader)(w)[0] == pytest.approx(whole(w)[0], rel=1e-12)


def test_padding_on_the_left_predicts_nothing(watch):
    """Llama knows distances alone, so that a sequence may begin anywhere."""
    model, data = watch(made(llama)), batches("left")
    p = causal_lm(model, data)
    known = Dense(model, data).loss(p.weights)
    assert p(p.weights)[0] == pytest.approx(float(known), rel=1e-6)


def test_given_labels_are_those_of_the_model_itself(watch):
    model, data = watch(made(gpt2, torch.float32)), batches()
    for batch in data:
        batch["labels"] = torch.where(batch["input_ids"] > 3, batch["input_ids"], -100)
    p = causal_lm(model, data)
    own = problem(model, lambda m, b: m(**b), data, loss_takes="model")
    assert p(p.weights)[0] == pytest.approx(own(p.weights)[0], rel=1e-6)
    data[0]["labels"][:] = -100  # of this batch nothing counts
    alone = causal_lm(model, data[1:])
    assert causal_lm(model, data)(p.weights)[0] == alone(p.weights)[0]


def test_half_precision_is_moved_by_less_than_it_rounds(watch):
    """A step of 1e-4 of a weight is below the rounding of bfloat16, 4e-3."""
    model = watch(made(llama, torch.bfloat16))
    wide = copy.deepcopy(model).float()
    p, known = causal_lm(model, batches()), causal_lm(wide, batches())
    w = p.weights
    assert w.dtype == torch.float32
    assert torch.equal(w, known.weights)
    moved = w + 1e-4 * (w.abs() + 1) * p(w)[1].sign()
    assert (moved.bfloat16() == w.bfloat16()).float().mean() > 0.8
    assert p(moved)[0] == known(moved)[0]
    assert p(moved)[0] > p(w)[0]
    assert "float32 on cpu" in repr(p)
    assert repr(p).endswith(", from parameters in bfloat16")
    assert repr(known).endswith("batch_norm='running'")
    found = sharpkit.sharpness(p, max_evaluations=5)
    assert found.value == sharpkit.sharpness(known, max_evaluations=5).value


class Once(torch.autograd.Function):
    """Attention as fused kernels have it: in half precision, differentiated once."""

    @staticmethod
    def forward(ctx, x):
        assert x.dtype in (torch.float16, torch.bfloat16)
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g


@pytest.fixture
def fused():
    """The name of an attention as ``"flash_attention_2"`` is one."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def attention(*args, **options):
        out, weights = ALL_ATTENTION_FUNCTIONS["sdpa"](*args, **options)
        return Once.apply(out), weights

    name = "fused_for_tests"
    transformers.AttentionInterface.register(name, attention)
    mask = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]
    transformers.AttentionMaskInterface.register(name, mask)
    yield name
    for table in (ALL_ATTENTION_FUNCTIONS, ALL_MASK_ATTENTION_FUNCTIONS):
        table._global_mapping.pop(name, None)


def fails(*_):
    raise RuntimeError("it fails")


@pytest.mark.parametrize("kind", [gpt2, llama])
def test_fused_attention_is_plain_in_evaluations(watch, kind, fused):
    model = made(kind, torch.bfloat16)
    known = causal_lm(copy.deepcopy(model), batches())
    model.config._attn_implementation = fused
    assert torch.isfinite(model(**batches()[0]).logits).all()  # it is used
    p = causal_lm(watch(model), batches())
    w, v = p.weights, torch.ones_like(p.weights)
    assert p(w)[0] == known(w)[0]
    assert torch.equal(p.hvp(w, v), known.hvp(w, v))
    assert torch.equal(p.gauss_newton(w, v), known.gauss_newton(w, v))
    assert repr(p).endswith(f"in bfloat16, attention 'sdpa' in place of '{fused}'")
    assert model.config._attn_implementation == fused
    failing = causal_lm(model, batches())
    hook = model.base_model.register_forward_hook(fails)
    with pytest.raises(RuntimeError, match="it fails"):
        failing(w)
    hook.remove()
    assert model.config._attn_implementation == fused


def test_attention_that_cannot_be_switched_takes_differences(watch):
    model = made(gpt2, torch.float32)
    inner = model.transformer.h[0].attn.c_proj

    class Fixed(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x.clone())
        backward = staticmethod(Once.backward)

    inner.register_forward_hook(lambda module, args, out: Fixed.apply(out))
    p = causal_lm(watch(model), batches())
    with pytest.warns(
        sharpkit.SharpkitWarning, match="no exact products .* differences"
    ):
        found = sharpkit.eigenvalues(p, k=1)
    plain = causal_lm(made(gpt2, torch.float32), batches())
    assert found.values[0] == pytest.approx(
        sharpkit.eigenvalues(plain, k=1).values[0], rel=1e-2
    )


def test_adapters_alone(watch):
    peft = pytest.importorskip("peft")
    kind = {"task_type": "CAUSAL_LM"}
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], **kind)
    prompt = peft.PromptTuningConfig(num_virtual_tokens=2, **kind)
    with warnings.catch_warnings(action="ignore"):  # of older names in transformers
        model, prompted = (
            peft.get_peft_model(made(llama, torch.float32), x) for x in (lora, prompt)
        )
    p = causal_lm(watch(model), batches())
    data = [{**batch, "labels": labelled(batch)} for batch in batches()]
    own = problem(model, lambda m, b: m(**b), data, loss_takes="model")
    w = p.weights + 0.1
    assert w.numel() == 2 * 2 * 4
    assert p(w)[0] == pytest.approx(own(w)[0], rel=1e-6)
    close(p.hvp(w, w), own.hvp(w, w), 1e-4)
    with pytest.raises(ValueError, match=r"logits of PeftModel.* are not its output"):
        causal_lm(prompted, TOKENS[:, :4])


def labelled(batch):
    return batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)


def test_memory_does_not_grow_with_tokens_times_words(watch):
    model = watch(made(llama, torch.float32, vocab_size=4000))
    tokens = torch.randint(4000, (64, 8), generator=torch.Generator().manual_seed(0))
    logits = tokens.numel() * 4000
    for chunk, within in ((32, True), (10**6, False)):
        p = causal_lm(model, [tokens], chunk=chunk)
        w = p.weights
        assert p.hvp is not None
        for run in (
            lambda p=p, w=w: p(w),
            lambda p=p, w=w: p.hvp(w, w),
            lambda p=p, w=w: p.gauss_newton(w, w),
        ):
            p.release()
            with Peak() as peak:
                run()
            assert (peak.most < logits) == within


def test_shards_are_refused(monkeypatch):
    monkeypatch.setattr("sharpkit.torch.causal.is_sharded", lambda model: True)
    with pytest.raises(NotImplementedError, match=f"under fully_shard, .*{CURE}"):
        causal_lm(made(gpt2), TOKENS)


def t5():
    sizes = {"d_model": 4, "d_kv": 2, "d_ff": 6, "num_layers": 1, "num_heads": 2}
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=13, **sizes)
    )


def bert():
    sizes = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}
    return transformers.BertForMaskedLM(
        transformers.BertConfig(vocab_size=13, num_attention_heads=2, **sizes)
    )


def gemma2():
    sizes = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2}
    return transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            final_logit_softcapping=0.01, **COMMON | sizes | heads
        )
    )


TOKENS = torch.arange(12).reshape(2, 6)
CURE = r"sharpkit\.torch\.problem\(\s*model, lambda model, batch: model\(\*\*batch\)"


@pytest.mark.parametrize(
    ("make", "data", "error", "match"),
    [
        (t5, TOKENS, TypeError, f"model is of type T5.*; give a causal .*{CURE}"),
        (
            bert,
            TOKENS,
            TypeError,
            f"model is of type BertFor.*; give a causal .*{CURE}",
        ),
        (lambda: torch.nn.Linear(2, 2), TOKENS, TypeError, "of type Linear; give a"),
        (gemma2, TOKENS, ValueError, f"logits of Gemma2.* may cap or scale.*{CURE}"),
        (
            gpt2,
            [{"x": TOKENS}],
            TypeError,
            "a batch is of type dict without 'input_ids'",
        ),
        (
            gpt2,
            TOKENS[0],
            TypeError,
            r"without 'input_ids' of shape \(sequences, length",
        ),
        (lambda: None, TOKENS, TypeError, "model is of type NoneType"),
    ],
)
def test_what_cannot_be_used(make, data, error, match):
    with warnings.catch_warnings(action="ignore"):
        model = make()
    with pytest.raises(error, match=match):
        causal_lm(model, data)

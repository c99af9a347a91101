"""The curvature of a small GPT-2, from `transformers`, on its own loss.

It is randomly initialised and trained for some seconds on sequences that count upwards
modulo a prime; nothing is downloaded. The model computes its loss itself, so that
sharpkit is given a function of model and batch. Fused attention has no second
derivative; sharpkit uses the plain one for products. This needs PyTorch and
transformers.
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import sharpkit

VOCABULARY, LENGTH, SEQUENCES, STEPS = 31, 16, 96, 120


def sequences() -> torch.Tensor:
    """Return token sequences: start + step * position, modulo the vocabulary."""
    torch.manual_seed(0)
    starts = torch.randint(VOCABULARY, (SEQUENCES, 1))
    steps = torch.randint(1, 6, (SEQUENCES, 1))
    return (starts + steps * torch.arange(LENGTH)) % VOCABULARY


def trained(tokens: torch.Tensor) -> GPT2LMHeadModel:
    """Return the model after a few steps of Adam."""
    torch.manual_seed(1)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=LENGTH,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
    return model


def loss(model: GPT2LMHeadModel, batch: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the next token."""
    return model(input_ids=batch, labels=batch).loss


def main() -> None:
    """Train, measure, print."""
    tokens = sequences()
    problem = sharpkit.torch.problem(
        trained(tokens), loss, tokens, loss_takes="model", micro_batch=64
    )
    print(sharpkit.sharpness(problem))
    print(sharpkit.eigenvalues(problem, k=3))
    # Each group is a pattern of names. The output layer is tied to the embedding, and
    # lies with it.
    groups = ["transformer.wte", "transformer.wpe", "*.attn.*", "*.mlp.*", "*.ln_*"]
    print(
        sharpkit.by_group(
            sharpkit.trace, problem, groups, max_products=6, method="hutchinson"
        )
    )


if __name__ == "__main__":
    main()

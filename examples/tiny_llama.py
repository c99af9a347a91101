"""The sharpness of a small Llama in bfloat16, from `transformers`, per token.

It is randomly initialised; nothing is downloaded. `sharpkit.torch.causal_lm` takes
batches as a tokenizer makes them: labels are the tokens, padding does not count, and
each token of each batch counts alike. Logits are formed for a few tokens at a time, so
that a large vocabulary costs no memory. Steps of the weights are taken in float32, for
bfloat16 would round them away. This needs PyTorch and transformers.
"""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import sharpkit

VOCABULARY, LENGTH = 500, 24


def batches() -> list[dict[str, torch.Tensor]]:
    """Return padded batches, of tokens that count upwards."""
    torch.manual_seed(0)
    found = []
    for _ in range(3):
        lengths = torch.randint(8, LENGTH + 1, (8, 1))
        tokens = torch.randint(1, 400, (8, 1)) + torch.arange(LENGTH)
        mask = (torch.arange(LENGTH) < lengths).long()
        found.append({"input_ids": tokens * mask, "attention_mask": mask})
    return found


def main() -> None:
    """Initialise, measure, print."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    problem = sharpkit.torch.causal_lm(model, batches(), chunk=64)
    print(problem)
    print(sharpkit.sharpness(problem, max_evaluations=10))
    print(sharpkit.eigenvalues(problem, k=1))
    print(sharpkit.eigenvalues(problem, k=1, hvp=problem.gauss_newton))


if __name__ == "__main__":
    main()

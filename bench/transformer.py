"""A causal transformer with random weights, of any size, in PyTorch."""

from __future__ import annotations

from typing import Any

from bench.torch_network import load_torch

torch = load_torch()
nn = torch.nn


class Block(nn.Module):
    """Attention and two layers, each after a norm and beside a skip connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        """Return x, (batch, tokens, width), and what the block adds to it."""
        batch, tokens, width = x.shape
        parts = self.mixed(self.norm(x)).view(batch, tokens, 3, self.heads, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(nn.functional.gelu(self.up(self.second_norm(x))))


class Transformer(nn.Module):
    """Token and place embeddings, blocks, and a head; for (batch, tokens) of indices.

    The scores are ``(batch, vocabulary, tokens)``, as cross-entropy takes them.
    """

    def __init__(
        self, *, vocabulary: int, tokens: int, width: int, heads: int, depth: int
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.empty(tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, indices: Any) -> Any:
        """Return the scores."""
        x = self.tokens(indices) + self.places[: indices.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).transpose(1, 2).contiguous()

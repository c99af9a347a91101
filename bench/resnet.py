"""A residual network of 20 layers for images of 32 x 32 (He et al., section 4.2)."""

from __future__ import annotations

from typing import Any

from bench.torch_network import load_torch

WIDTH, BLOCKS = 16, 3  # channels of the first stage, and blocks of each


def resnet20() -> Any:
    """Return the network, of 0.27 million weights, with projections where it widens."""
    torch = load_torch()
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.Conv2d(after, after, 3, 1, 1, bias=False),
                nn.BatchNorm2d(after),
            )
            self.past: Any = nn.Identity()
            if before != after:
                self.past = nn.Conv2d(before, after, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            return (self.body(x) + self.past(x)).relu()

    layers: list[Any] = [nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False)]
    layers += [nn.BatchNorm2d(WIDTH), nn.ReLU()]
    before = WIDTH
    for stage in range(3):
        for block in range(BLOCKS):
            after, stride = WIDTH << stage, 1 + (stage > 0 and block == 0)
            layers.append(Block(before, after, stride))
            before = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return nn.Sequential(*layers)

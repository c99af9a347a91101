"""Two trainings of one PyTorch convolutional network, and which minimum is sharper.

Both are trained on real handwritten digits with Adam at one rate, with batches of 20
and of 500, until the loss over the whole set is small. Then the sharpness is measured,
with the running statistics of the batch norms, of all weights and layer by layer. This
writes layers.png and both checkpoints, which can be compared by

    sharpkit compare small.pt large.pt --problem torch_convnet:problems

It needs PyTorch.
"""

from collections import OrderedDict

import torch
from torch import nn

import sharpkit
from sharpkit.lab.data import load_digits

UNTIL_LOSS, MOST_EPOCHS = 1e-2, 200

digits = load_digits()


def images(x, y) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels as tensors."""
    return torch.tensor(x).reshape(-1, 1, 8, 8), torch.tensor(y, dtype=torch.long)


def problems() -> dict[str, sharpkit.torch.Problem]:
    """Return the loss over all training and over all test images."""
    data = {
        "train": images(digits.x_train, digits.y_train),
        "test": images(digits.x_test, digits.y_test),
    }
    return {
        name: sharpkit.torch.problem(network(), nn.CrossEntropyLoss(), pair)
        for name, pair in data.items()
    }


def network() -> nn.Module:
    """Return the network at the same starting point every time."""
    torch.manual_seed(0)
    parts = {
        "conv1": nn.Conv2d(1, 16, 3, padding=1),
        "norm1": nn.BatchNorm2d(16),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(16, 32, 3, padding=1),
        "norm2": nn.BatchNorm2d(32),
        "relu2": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "flat": nn.Flatten(),
        "dropout": nn.Dropout(0.1),
        "output": nn.Linear(32 * 4 * 4, 10),
    }
    return nn.Sequential(OrderedDict(parts))


def trained(batch_size: int) -> nn.Module:
    """Return the network after training with batches of this size."""
    model, loss = network(), nn.CrossEntropyLoss()
    inputs, labels = images(digits.x_train, digits.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(MOST_EPOCHS):
        model.train()
        for rows in torch.randperm(len(inputs)).split(batch_size):
            optimizer.zero_grad()
            loss(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            if loss(model(inputs), labels) <= UNTIL_LOSS:
                break
    return model


def main() -> None:
    """Train twice, measure, print."""
    train = problems()["train"]
    for name, batch_size in (("small.pt", 20), ("large.pt", 500)):
        checkpoint = trained(batch_size).state_dict()
        torch.save(checkpoint, name)
        problem = train.at(checkpoint)
        print(f"batch {batch_size}: accuracy {problem.accuracy(problem.weights):.1%}")
        print(sharpkit.sharpness(problem))
        # A quick look at each layer, of 25 evaluations instead of 100.
        layers = sharpkit.by_group(sharpkit.sharpness, problem, max_evaluations=25)
        print(layers)
    layers.plot("layers.png")


if __name__ == "__main__":
    main()

"""The convolutional networks against counts, plain loops and TensorFlow's rule."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.signal import correlate2d

from sharpkit.lab.networks.base import BATCH_NORM_EPS


@pytest.fixture
def convnets(torch):
    from sharpkit.lab.networks import convnets

    return convnets


def kinds(module):
    """The layers' names without ReLUs; a dropout's with its rate."""
    return [
        f"{type(part).__name__} {part.p}" if "Dropout" in type(part).__name__ else name
        for part in module
        for name in [type(part).__name__]
        if name != "ReLU"
    ]


def same_padding(size, kernel, stride):
    """TensorFlow's: outputs ceil(size / stride); what is odd goes to the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def padded(images, kernel, stride, value):
    ends = same_padding(images.shape[-1], kernel, stride)
    return np.pad(images, ((0, 0), ends, ends), constant_values=value)


def convolved(images, weight, bias, stride):
    images = padded(images, weight.shape[-1], stride, 0.0)
    outputs = [
        sum(correlate2d(x, w, "valid") for x, w in zip(images, filters, strict=True))
        for filters in weight
    ]
    return np.stack(outputs)[:, ::stride, ::stride] + bias[:, None, None]


def pooled(images, kernel, stride):
    size = -(-images.shape[-1] // stride)
    images = padded(images, kernel, stride, -np.inf)
    found = np.empty((len(images), size, size))
    for i in range(size):
        for j in range(size):
            rows, columns = (slice(stride * k, stride * k + kernel) for k in (i, j))
            found[:, i, j] = images[:, rows, columns].max(axis=(1, 2))
    return found


def forward(values, image, convolutions):
    """One image through convolutions of (stride, pool, pool stride), then dense."""

    def parameters(name):
        return values[f"{name}.weight"], values[f"{name}.bias"]

    def normalised(h, name):
        weight, bias = parameters(name)
        mean, var = values[f"{name}.running_mean"], values[f"{name}.running_var"]
        channels = (-1,) + (1,) * (h.ndim - 1)
        factor = weight / np.sqrt(var + BATCH_NORM_EPS)
        shift = bias - mean * factor
        return np.maximum(h * factor.reshape(channels) + shift.reshape(channels), 0)

    h, norm = image, 0
    for index, (stride, pool) in enumerate(convolutions, 1):
        h = convolved(h, *parameters(f"conv{index}"), stride)
        norm += 1
        h = normalised(h, f"norm{norm}")
        if pool:
            h = pooled(h, *pool)
    h = h.ravel()
    dense = sum(name.startswith("dense") for name in values) // 2
    for index in range(1, dense + 1):
        weight, bias = parameters(f"dense{index}")
        h = weight @ h + bias
        if index < dense:
            norm += 1
            h = normalised(h, f"norm{norm}")
    return h


SHALLOW = [(1, (3, 2))] * 2
SHALLOW_PAPER = [(2, (3, 3))] * 2
DEEP = [
    (1, (2, 2) if last else None)
    for count in (2, 2, 3, 3, 3)
    for last in [False] * (count - 1) + [True]
]


@pytest.mark.parametrize(
    ("name", "count"),
    [("C1", 1_757_834), ("C2", 14_991_946), ("C3", 1_775_204), ("C4", 15_038_116)],
)
def test_number_of_weights(torch, convnets, name, count):
    with torch.device("meta"):
        module = getattr(convnets, name)()
    assert sum(p.numel() for p in module.parameters()) == count


def test_the_code_and_the_text_have_different_layers(torch, convnets):
    with torch.device("meta"):
        code, text = convnets.C1(), convnets.C1(paper=True)
    conv = ["Conv2d", "BatchNorm2d", "MaxPool2d"]
    dense = ["Linear", "BatchNorm1d", "Dropout 0.5"] * 2
    assert kinds(code) == [*conv * 2, "Flatten", *dense, "Linear"]
    assert (code.conv1.stride, code.pool1.stride) == ((1, 1), 2)
    assert (text.conv1.stride, text.pool1.stride) == ((2, 2), 3)

    with torch.device("meta"):
        code, text = convnets.C2(), convnets.C2(paper=True)
    conv = ["Conv2d", "BatchNorm2d"]
    pair, triple = [*conv, "Dropout 0.4"], [*conv, "Dropout 0.4"] * 2
    first = [*conv, "Dropout 0.3", *conv, "MaxPool2d"]
    stacks = [*first, *pair, *conv, "MaxPool2d", *[*triple, *conv, "MaxPool2d"] * 3]
    dense = ["Linear", "BatchNorm1d"]
    end = ["Flatten", "Dropout 0.5", *dense, "Dropout 0.5", "Linear"]
    assert kinds(code) == [*stacks, *end]
    assert kinds(text) == [k for k in kinds(code) if "Dropout" not in k]


@pytest.mark.parametrize("name", ["C1", "C2"])
def test_batch_norm_relu_and_dropout_follow_in_this_order(torch, convnets, name):
    with torch.device("meta"):
        module = getattr(convnets, name)()
    names = [type(part).__name__ for part in module]
    for index, kind in enumerate(names[:-1]):
        if kind in ("Conv2d", "Linear"):
            assert names[index + 1].startswith("BatchNorm")
            assert names[index + 2] == "ReLU"
        if kind == "Dropout":
            assert names[index - 1] in ("ReLU", "MaxPool2d", "Flatten")
    assert names[-1] == "Linear"
    expected = [
        f"{part}.{kind}"
        for part, child in module.named_children()
        if list(child.parameters())
        for kind in ("weight", "bias")
    ]
    assert [part for part, _ in module.named_parameters()] == expected


@pytest.mark.parametrize(
    ("name", "paper", "convolutions"),
    [
        ("C1", False, SHALLOW),
        ("C1", True, SHALLOW_PAPER),
        ("C2", False, DEEP),
        ("C2", True, DEEP),
        ("C3", False, SHALLOW),
    ],
)
def test_output_is_that_of_plain_loops(torch, convnets, name, paper, convolutions):
    random = np.random.default_rng(4)
    module = getattr(convnets, name)(width=0.05, paper=paper).double().eval()
    values = {}
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            # positive variances, and shifts that keep most ReLUs open
            positive = "running_var" in key or ("norm" in key and "bias" in key)
            drawn = (
                random.uniform(0.5, 1.5, value.shape)
                if positive
                else (value.numpy() + random.normal(0, 0.3, value.shape))
            )
            value.copy_(torch.from_numpy(drawn))
            values[key] = drawn
    images = random.standard_normal((2, 3, 32, 32))
    found = module(torch.from_numpy(images)).detach().numpy()
    known = [forward(values, image, convolutions) for image in images]
    assert_allclose(found, known, rtol=1e-12, atol=1e-12 * np.abs(known).max())
    assert np.abs(np.subtract(*known)).max() > 1e-6  # the image does get through


def test_pooling_is_padded_at_the_end(torch, convnets):
    # 32 -> 16 -> 8, as TensorFlow does: windows begin at 0, 2, ..., 30
    assert same_padding(32, 3, 2) == same_padding(16, 3, 2) == (0, 1)
    module = convnets.C1(width=0.01)
    assert module.conv1.padding == (2, 2)
    images = np.arange(32.0 * 32).reshape(1, 1, 32, 32)
    found = module.pool1(torch.from_numpy(images)).numpy()[0, 0]
    last = [min(2 * k + 2, 31) for k in range(16)]
    np.testing.assert_array_equal(found, images[0, 0][np.ix_(last, last)])


@pytest.mark.parametrize(
    ("width", "filters"), [(1, 64), (0.5, 32), (0.3, 19), (0.01, 4)]
)
def test_width_scales_all_layers_but_the_last(torch, convnets, width, filters):
    with torch.device("meta"):
        module = convnets.C1(7, width)
    assert module.conv1.out_channels == module.conv2.out_channels == filters
    assert module.dense1.out_features == max(round(384 * width), 4)
    assert module.dense2.out_features == max(round(192 * width), 4)
    assert module.dense3.out_features == 7


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_bad_width(convnets, width):
    with pytest.raises(ValueError, match=f"width={width!r}; give a positive number"):
        convnets.C1(width=width)


@pytest.mark.parametrize("classes", [1, 2.5])
def test_bad_classes(convnets, classes):
    with pytest.raises(ValueError, match=f"classes={classes}; give a whole number"):
        convnets.C2(classes=classes, width=0.01)

"""Frames that behave like those of TIMIT, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab.data.dataset import Dataset, Images, Labels

F64 = NDArray[np.float64]

CONTEXT = 4  # frames on either side of the one that is classified
FEATURES = 40  # of a frame
MOST = 1973  # classes, TIMIT's tied context-dependent states

_FRAMES = 2 * CONTEXT + 1
_ARTICULATORS = 16  # dimensions of the space in which speech moves
_STATES = 2  # per phone
_HIDDEN = 64  # units of the map from articulators to features
_LANGUAGE = 1973  # seed of what all data sets share: phones and that map
_BLOCK = 256  # samples
_GRID = 1024.0  # steps per unit of the features


@dataclass(frozen=True)
class Strengths:
    """How far the frames stray from their states, in deviations of a phone's place.

    ``jitter`` alone sets a bound that no classifier passes (`draw_frames`). Below it,
    seven batch-normalised hidden layers of 128 units, trained by Adam on 6000 frames of
    40 classes to a loss of 1e-2, read about 64 % of the test frames after batches of 32
    and about 58 % after batches of 600. ``speaker`` and ``grain`` widen that gap.
    """

    jitter: float = 0.4  # deviation of the position, states
    step: float = 0.25  # from frame to frame, states
    rate: float = 0.2  # deviation of the logarithm of that step
    speaker: float = 0.8  # deviation of an offset that all frames of a sample share
    motion: float = 0.3  # deviation of each frame's own offset
    grain: float = 0.75  # deviation of the features' noise, before they are scaled


STRENGTHS = Strengths()


def draw_frames(
    *, train: int = 4000, test: int = 4000, classes: int = 100, seed: int = 0
) -> Dataset:
    """Return nine consecutive frames of simulated speech per sample, with its state.

    All seeds share one language: a closed smooth path through the places of the phones
    in articulatory space, cut into ``classes`` states, and a fixed random nonlinear map
    from that space to features. A sample of state c lies at position
    ``c + 1/2 + jitter z`` of that path, z standard normal. So the states overlap, and
    no classifier is right more often than
    ``sum_m P(|jitter z - m classes| < 1/2)``: 78.9 % whatever ``classes``.

    The i-th sample depends on ``classes``, the seed, its part (train or test) and i
    alone: a larger set begins with the smaller one. Each ``classes`` consecutive
    samples hold each class once, in random order.

    Parameters
    ----------
    train, test : int
        The number of samples of each part, at least 1.
    classes : int
        The number of classes, 2 to 1973.
    seed : int
        The seed of every random choice, at least 0.

    Returns
    -------
    Dataset
        ``x`` of shape (samples, 360), float32 of about zero mean and unit variance in
        steps of 1/1024: 40 features of the first frame, of the second, and so on; ``y``
        int64 in ``range(classes)``.

    Raises
    ------
    ValueError
        If a size is below 1, the seed negative or ``classes`` out of range.

    Notes
    -----
    Made for sharpkit, as a stand-in of adjustable size for the TIMIT frames of network
    F2 (arXiv 1609.04836, Appendices A and B), of which the paper classifies 64 %.
    """
    for name, value, least in (
        ("train", train, 1),
        ("test", test, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            msg = f"{name} is {value}; expected a whole number of at least {least}"
            raise ValueError(msg)
    if not 2 <= classes <= MOST:
        msg = f"classes is {classes}; expected 2 to {MOST}"
        raise ValueError(msg)
    x_train, y_train = _draw_part(train, classes, seed, 0)
    x_test, y_test = _draw_part(test, classes, seed, 1)
    return Dataset(
        name="frames",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        description="nine consecutive frames of simulated speech",
        shape=(_FRAMES * FEATURES,),
        seed=seed,
    )


def _draw_part(
    count: int, classes: int, seed: int, part: int, strengths: Strengths = STRENGTHS
) -> tuple[Images, Labels]:
    # A stream per kind of variable, each filled a row per sample: a sample's numbers
    # stand at the same place of every stream whatever the number of samples.
    root = np.random.SeedSequence(seed).spawn(2)[part]
    choice, normal, grain = map(np.random.default_rng, root.spawn(3))
    rounds = -(-count // classes)
    labels = choice.random((rounds, classes)).argsort(axis=1).reshape(-1)[:count]
    phones, voice = _phones(classes), _Voice(strengths)
    x = np.empty((count, _FRAMES * FEATURES), np.float32)
    for begin in range(0, count, _BLOCK):
        # Whole blocks: a product's last bits can depend on its number of rows.
        own = np.zeros(_BLOCK)
        here = labels[begin : begin + _BLOCK]
        own[: len(here)] = here
        z = normal.standard_normal((_BLOCK, 2 + (1 + _FRAMES) * _ARTICULATORS))
        features = voice.features(_places(own, z, phones, classes, strengths))
        features += strengths.grain * grain.standard_normal(features.shape)
        features /= np.sqrt(1 + strengths.grain**2)
        block = np.rint(_GRID * features) / _GRID
        x[begin : begin + _BLOCK] = block.reshape(_BLOCK, -1)[: len(here)]
    return x, labels


def _phones(classes: int) -> F64:
    """Return the phones' places; three at least, for the path to be a loop."""
    language = np.random.default_rng([_LANGUAGE, 0])
    return language.standard_normal((max(3, -(-classes // _STATES)), _ARTICULATORS))


def _places(
    labels: F64, normal: F64, phones: F64, classes: int, strengths: Strengths
) -> F64:
    """Return the articulators of each frame, shape (samples, frames, articulators)."""
    jitter, rate, offsets = np.split(normal, (1, 2), axis=1)
    step = strengths.step * np.exp(strengths.rate * rate)
    centre = labels[:, None] + 0.5 + strengths.jitter * jitter
    position = (centre + step * np.arange(-CONTEXT, CONTEXT + 1)) / classes
    offsets = offsets.reshape(len(labels), 1 + _FRAMES, _ARTICULATORS)
    shift = strengths.speaker * offsets[:, :1] + strengths.motion * offsets[:, 1:]
    return _path(phones, position) + shift


def _path(phones: F64, position: F64) -> F64:
    """Return the closed Catmull-Rom curve through the phones; its period is 1."""
    along = position * len(phones)
    first = np.floor(along)
    t = (along - first)[..., None]
    before, begin, end, after = (
        phones[(first.astype(np.int64) + k) % len(phones)] for k in (-1, 0, 1, 2)
    )
    h = t * t * (3 - 2 * t)
    leave, arrive = 0.5 * (end - before), 0.5 * (after - begin)
    bent: F64 = t * (1 - t) ** 2 * leave + t * t * (t - 1) * arrive
    return (1 - h) * begin + h * end + bent


class _Voice:
    """The fixed random map from articulators to features, ``tanh(a U + b) V``."""

    def __init__(self, strengths: Strengths) -> None:
        language = np.random.default_rng([_LANGUAGE, 1])
        spread = np.sqrt(1 + strengths.speaker**2 + strengths.motion**2)
        self.inner = language.standard_normal((_ARTICULATORS, _HIDDEN))
        self.inner /= np.sqrt(_ARTICULATORS)
        self.bias = language.uniform(-1, 1, _HIDDEN)
        self.outer = language.standard_normal((_HIDDEN, FEATURES))
        self.mean = np.zeros(FEATURES)
        # Zero mean and unit variance over normal articulators of the same spread.
        said = self.features(spread * language.standard_normal((4096, _ARTICULATORS)))
        self.mean = said.mean(axis=0) / said.std(axis=0)
        self.outer /= said.std(axis=0)

    def features(self, articulators: F64) -> F64:
        hidden = np.tanh(articulators @ self.inner + self.bias)
        found: F64 = hidden @ self.outer - self.mean
        return found

import dataclasses
import math

import numpy as np
import pytest

from sharpkit.lab.data import frames
from sharpkit.lab.data.frames import draw_frames

SEED = 1000  # results of the project use seeds below 100
STILL = frames.Strengths(jitter=0, rate=0, speaker=0, motion=0, grain=0)


@pytest.mark.parametrize("classes", [2, 40, 1973])
def test_features_have_about_unit_variance(classes):
    x = draw_frames(train=2000, test=1, classes=classes, seed=SEED).x_train
    assert abs(x.mean()) < 0.15
    assert x.std() == pytest.approx(1, abs=0.15)
    assert x.std(axis=0).min() > 0.6
    assert x.std(axis=0).max() < 1.4


def test_every_class_up_to_the_papers_number():
    y = draw_frames(train=1973, test=1, classes=1973, seed=SEED).y_train
    np.testing.assert_array_equal(np.sort(y), np.arange(1973))


def test_seeds_share_one_language():
    # Without strays a sample is its state, whatever the seed.
    x, y = frames._draw_part(10, 10, SEED, 0, STILL)
    other, of = frames._draw_part(10, 10, SEED + 1, 1, STILL)
    np.testing.assert_array_equal(x[y.argsort()], other[of.argsort()])


def test_path_is_closed_smooth_and_meets_the_phones():
    phones = np.random.default_rng(SEED).standard_normal((5, 16))
    np.testing.assert_allclose(frames._path(phones, np.arange(5) / 5), phones)
    u = np.array([0.13, 0.57, 0.91])
    around = frames._path(phones, u + np.array([[-3], [0], [1]]))
    np.testing.assert_allclose(around[0], around[1], atol=1e-12)
    np.testing.assert_allclose(around[2], around[1], atol=1e-12)
    # One tangent from either side of a phone: half the way between its neighbours.
    h = 1e-6
    for side in (-h, h):
        at = frames._path(phones, np.array([2 / 5, 2 / 5 + side]))
        tangent = (at[1] - at[0]) / side / 5
        np.testing.assert_allclose(tangent, (phones[3] - phones[1]) / 2, atol=1e-4)


def test_frames_follow_the_obvious_formula():
    strengths, classes = frames.STRENGTHS, 7
    labels = np.array([0.0, 6.0, 3.0])
    random = np.random.default_rng(SEED)
    z = random.standard_normal((3, 162))
    phones = random.standard_normal((4, 16))
    found = frames._places(labels, z, phones, classes, strengths)
    assert found.shape == (3, 9, 16)
    for i, label in enumerate(labels):
        centre = label + 0.5 + strengths.jitter * z[i, 0]
        step = strengths.step * math.exp(strengths.rate * z[i, 1])
        for frame in range(9):
            place = frames._path(phones, np.array((centre + step * (frame - 4)) / 7))
            place = place + strengths.speaker * z[i, 2:18]
            own = z[i, 18 + 16 * frame : 34 + 16 * frame]
            np.testing.assert_allclose(found[i, frame], place + strengths.motion * own)


def bound(jitter, classes):
    """The best accuracy of a classifier that knows the position on the path."""
    return sum(
        0.5
        * (
            math.erf((m * classes + 0.5) / jitter / math.sqrt(2))
            - math.erf((m * classes - 0.5) / jitter / math.sqrt(2))
        )
        for m in range(-5, 6)
    )


def test_stated_bound():
    for classes in (2, 40, 1973):
        assert bound(frames.STRENGTHS.jitter, classes) == pytest.approx(0.789, abs=6e-4)


@pytest.mark.parametrize("jitter", [frames.STRENGTHS.jitter, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 40])
def test_no_classifier_passes_the_bound(classes, jitter):
    # On a circle the angle is the position, all that tells of the state: guess by it.
    random = np.random.default_rng([SEED, classes])
    angles = 2 * np.pi * np.arange(64) / 64
    circle = np.zeros((64, 16))
    circle[:, 0], circle[:, 1] = np.cos(angles), np.sin(angles)
    labels = random.integers(0, classes, 10_000)
    z = random.standard_normal((10_000, 162))
    strengths = dataclasses.replace(STILL, jitter=jitter)
    places = frames._places(labels.astype(float), z, circle, classes, strengths)
    middle = places[:, 4]
    position = np.arctan2(middle[:, 1], middle[:, 0]) / (2 * np.pi) % 1
    right = (np.floor(classes * position) == labels).mean()
    assert right == pytest.approx(bound(jitter, classes), abs=0.015)


def test_voice_is_a_two_layer_map():
    voice = frames._Voice(frames.STRENGTHS)
    place = np.random.default_rng(SEED).standard_normal((3, 16))
    found = voice.features(place)
    for i in range(3):
        hidden = [
            math.tanh(place[i] @ voice.inner[:, unit] + voice.bias[unit])
            for unit in range(64)
        ]
        np.testing.assert_allclose(found[i], hidden @ voice.outer - voice.mean)


def test_noise_has_the_strength_asked_for():
    loud = dataclasses.replace(STILL, grain=2.0)
    x, _ = frames._draw_part(400, 2, SEED, 0, loud)
    still, _ = frames._draw_part(400, 2, SEED, 0, STILL)
    noise = math.sqrt(5) * x - still
    assert noise.std() == pytest.approx(2, rel=0.02)


def test_states_are_told_apart_but_overlap():
    data = draw_frames(train=4000, test=1000, classes=10, seed=SEED)
    means = np.stack([data.x_train[data.y_train == c].mean(axis=0) for c in range(10)])
    distances = (means**2).sum(axis=1) - 2 * data.x_test @ means.T
    guess = distances.argmin(axis=1)
    right = (guess == data.y_test).mean()
    near = np.isin((guess - data.y_test) % 10, (0, 1, 9)).mean()
    assert 0.4 < right < 0.79
    assert near - right > 0.15

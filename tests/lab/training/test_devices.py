import sys
from dataclasses import replace
from types import SimpleNamespace

import fake_cupy
import numpy as np
import pytest

from sharpkit.lab.data import load_digits
from sharpkit.lab.training.devices import DeviceError, array_library


@pytest.fixture
def cupy():
    with fake_cupy.installed() as module:
        yield module


def test_each_device_has_its_library(cupy):
    assert array_library("cpu") is np
    assert array_library("cuda") is cupy


def test_unknown_devices():
    with pytest.raises(ValueError, match="'tpu'; give one of 'cpu', 'cuda'"):
        array_library("tpu")


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"needs CuPy .*; it comes with pip install"):
        array_library("cuda")


@pytest.mark.parametrize(
    ("ones", "message"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda *_: np.zeros((2, 2)), "a product of two small matrices is wrong"),
    ],
)
def test_what_fails_there_is_told(monkeypatch, ones, message):
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ones=ones))
    with pytest.raises(DeviceError, match=f"device='cuda' cannot be used: .*{message}"):
        array_library("cuda")


def test_data_are_moved_once(cupy):
    data = load_digits(train=100, seed=0)
    moved = data.on(cupy)
    assert fake_cupy.copies["to_device"] == 4
    for name in ("x_train", "y_train", "x_test", "y_test"):
        here, there = getattr(data, name), getattr(moved, name)
        assert isinstance(there, cupy.ndarray)
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(there.get(), here)
    assert repr(moved) == repr(data)
    assert data.on(np).x_train.base is data.x_train.base
    with pytest.raises(ValueError, match="labels from 0 to 9; expected 0 to 4"):
        replace(moved, classes=5)

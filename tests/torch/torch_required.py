"""PyTorch for the tests, which skip without it; CI refuses to start without it."""

import pytest

torch = pytest.importorskip("torch")

"""PyTorch for the tests, which skip without it; CI refuses to start without it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

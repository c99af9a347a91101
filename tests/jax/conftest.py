import sys
from pathlib import Path

import pytest

# `jax_cases` stands beside this file.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def x64():
    """Float64 in this test only: JAX's switch is put back, and is this thread's own."""
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Compile without fusing: most of the time here would go into that."""
    jax = pytest.importorskip("jax")
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)

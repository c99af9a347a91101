"""The tests can be collected where ``make test`` finds neither PyTorch nor JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COLLECT = """
import sys
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing)
import pytest
sys.exit(pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", "tests"]))
"""


@pytest.mark.slow
def test_collection():
    found = subprocess.run(
        [sys.executable, "-c", COLLECT],
        cwd=Path(__file__).parents[1],
        # Neither plugins of other packages nor CI may ask for what is missing here.
        env=os.environ
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "SHARPKIT_REQUIRE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-2000:]

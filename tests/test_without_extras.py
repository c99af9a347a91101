"""The tests hold where ``make test`` finds neither PyTorch nor JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTEST = """
import sys
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing)
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


ASKING = "tests/test_options.py", "tests/measures/test_sharded_refused.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [("--collect-only", "tests"), ("-k", "process_group or messages", *ASKING)],
)
def test_tests_without_pytorch_and_jax(arguments):
    found = subprocess.run(
        [sys.executable, "-c", PYTEST, *arguments],
        cwd=Path(__file__).parents[1],
        # Neither plugins of other packages nor CI may ask for what is missing here.
        env=os.environ
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "SHARPKIT_REQUIRE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-2000:]

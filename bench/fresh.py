"""Run a function in a fresh Python process: peaks and first calls need one each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import sharpkit
from bench.table import CaseError

LAUNCH = """
import importlib, json, sys
module, name, settings = json.loads(sys.argv[1])
print(json.dumps(getattr(importlib.import_module(module), name)(**settings)))
"""


def in_fresh_process(module: str, name: str, **settings: Any) -> Any:
    """Return ``module.name(**settings)``, called in a process of its own.

    Modules are found where this process finds them. Settings and result are plain
    Python values.
    """
    # First of all the sharpkit in use: a checkout may lie on the path, too.
    used = str(Path(sharpkit.__file__).resolve().parents[1])
    paths = os.pathsep.join([used, *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-P", "-c", LAUNCH, json.dumps([module, name, settings])],
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        msg = f"{module}.{name} failed in a process of its own:\n{done.stderr.strip()}"
        raise CaseError(msg)
    return json.loads(done.stdout.splitlines()[-1])

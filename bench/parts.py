"""Commands that run apart: each in a process of its own, with a limit to its time."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TAIL = 60  # lines of output that are kept of a part that failed
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
# The last line of pytest, which ends with status 0 also where every test skipped.
ALL_SKIPPED = re.compile(r"(?!.*\bpassed\b).*\bskipped\b.* in [\d.]+s")


@dataclass(frozen=True)
class Part:
    """A command: what it is called, and Python's arguments.

    Without the packages that it needs it is skipped; it is stopped after so many
    seconds.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    limit: float = 120


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    ``data`` is its last line of output where that is JSON, ``tail`` has the last ones
    if it failed.
    """

    name: str
    outcome: str
    reason: str
    seconds: float = 0.0
    tail: list[str] = field(default_factory=list)
    data: Any = None


def run(part: Part, environment: Mapping[str, str], *, seconds: float) -> Outcome:
    """Run a part until its limit or for the seconds left, whichever ends first."""
    missing = [name for name in part.needs if importlib.util.find_spec(name) is None]
    if missing:
        return Outcome(part.name, SKIPPED, f"not installed: {', '.join(missing)}")
    limit = min(part.limit, seconds)
    if limit <= 0:
        return Outcome(part.name, FAILED, "not begun: no time was left")
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        code = _status(part, environment, limit, output)
        taken = round(time.perf_counter() - began, 1)
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()
    outcome, reason = _judged(code, lines)
    if code is None:
        reason = f"stopped after {limit:.1f} s"
    data = None
    with contextlib.suppress(IndexError, ValueError):
        data = json.loads(lines[-1])
    tail = lines[-TAIL:] if outcome == FAILED else []
    return Outcome(part.name, outcome, reason, taken, tail, data)


def _status(
    part: Part, environment: Mapping[str, str], limit: float, output: Any
) -> int | None:
    """Return the exit status, or None if it was stopped; nothing of it stays behind."""
    process = subprocess.Popen(
        [sys.executable, *part.arguments],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):  # none of them is left
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _judged(code: int | None, lines: list[str]) -> tuple[str, str]:
    last = lines[-1] if lines else "no output"
    if code is not None and code < 0:
        return FAILED, f"killed by {signal.Signals(-code).name}"
    if code != 0:
        return FAILED, f"exit status {code}: {last}"
    if ALL_SKIPPED.match(last):
        reasons = [line for line in lines if line.startswith("SKIPPED ")]
        return SKIPPED, reasons[0] if reasons else last
    return PASSED, "" if last.startswith("{") else last

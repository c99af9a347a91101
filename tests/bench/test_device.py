"""`bench/device.py`: its parts run apart, and what became of each is recorded."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.process


@pytest.fixture
def device(load):
    return load("bench.device")


@pytest.fixture
def parts(device):
    return importlib.import_module("bench.parts")


@pytest.fixture
def found(device, monkeypatch):
    """A device of which everything is known at once."""
    known = {"name": "NVIDIA H200", "driver_version": "580.1", "memory.total": "1 MiB"}
    monkeypatch.setattr(device.device_facts, "device", lambda: known)
    monkeypatch.setattr(device.device_facts, "versions", lambda: {"torch": "2.11"})


def python(parts, name, code, **options):
    return parts.Part(name, ("-c", code), **options)


def run(parts, part, seconds=60.0):
    return parts.run(part, os.environ, seconds=seconds)


def test_a_part_that_passes(parts):
    code = "print('some text'); print('{\"speed\": 3}')"
    outcome = run(parts, python(parts, "good", code))
    assert (outcome.name, outcome.outcome, outcome.reason) == ("good", "passed", "")
    assert outcome.data == {"speed": 3}
    assert outcome.tail == []


def test_a_part_that_fails_leaves_its_last_lines(parts):
    code = "import sys; print(*range(100), sep='\\n'); sys.exit('no kernel image')"
    outcome = run(parts, python(parts, "bad", code))
    assert outcome.outcome == "failed"
    assert outcome.reason == "exit status 1: no kernel image"
    assert outcome.tail[-2:] == ["99", "no kernel image"]
    assert len(outcome.tail) == parts.TAIL


@pytest.mark.skipif(os.name != "posix", reason="a signal")
def test_a_part_that_crashes_the_interpreter(parts):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    outcome = run(parts, python(parts, "crash", code))
    assert (outcome.outcome, outcome.reason) == ("failed", "killed by SIGSEGV")


@pytest.mark.skipif(os.name != "posix", reason="processes in groups")
def test_a_part_that_hangs_is_stopped_with_all_that_it_started(parts, tmp_path):
    alive = tmp_path / "alive"
    child = f"import time; time.sleep(5); open({str(alive)!r}, 'w')"
    code = (
        "import subprocess, sys, time; print('begun', flush=True); "
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    )
    outcome = run(parts, python(parts, "hang", code, limit=3.0))
    assert (outcome.outcome, outcome.reason) == ("failed", "stopped after 3.0 s")
    assert outcome.tail == ["begun"]
    time.sleep(2.5)
    assert not alive.exists()


def test_no_part_takes_more_than_what_is_left(parts):
    hang = python(parts, "hang", "import time; time.sleep(600)")
    assert run(parts, hang, seconds=0.5).reason == "stopped after 0.5 s"
    outcome = run(parts, hang, seconds=-1)
    assert outcome.outcome == "failed"
    assert outcome.reason == "not begun: no time was left"


def test_a_part_without_its_packages_is_skipped(parts):
    part = python(parts, "x", "raise SystemExit(1)", needs=("json", "notthere", "no2"))
    outcome = run(parts, part)
    assert outcome.outcome == "skipped"
    assert outcome.reason == "not installed: notthere, no2"


@pytest.mark.parametrize(
    ("test", "outcome", "reason"),
    [
        ("pytest.skip('no nvcc here')", "skipped", "no nvcc here"),
        ("assert 2 == 3", "failed", "exit status 1: 1 failed"),
        ("pass", "passed", "1 passed"),
    ],
)
def test_what_pytest_says_is_understood(parts, tmp_path, test, outcome, reason):
    file = tmp_path / "test_it.py"
    file.write_text(f"import pytest\n\ndef test_it():\n    {test}\n")
    arguments = ("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(file))
    found = run(parts, parts.Part("it", arguments))
    assert found.outcome == outcome
    assert reason in found.reason


def test_no_tests_at_all_are_a_failure(parts, tmp_path):
    (tmp_path / "test_it.py").write_text("")
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path))
    assert run(parts, parts.Part("it", arguments)).outcome == "failed"


def test_one_part_does_not_stop_the_others(device, parts, found, monkeypatch, tmp_path):
    chosen = (
        python(parts, "skipped", "", needs=("notthere",)),
        python(parts, "failed", "raise ValueError('wrong sum')"),
        python(parts, "hanging", "import time; time.sleep(600)", limit=0.5),
        python(parts, "passed", "print('3 passed in 1.0s')"),
    )
    monkeypatch.setattr(device, "PARTS", chosen)
    assert device.main(["--out", str(tmp_path / "new")]) == 1
    (path,) = (tmp_path / "new").iterdir()
    record = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == f"{record['environment']['date'][:10]}-nvidia-h200.json"
    assert record["right"] is False
    assert record["device"]["driver_version"] == "580.1"
    assert record["versions"] == {"torch": "2.11"}
    assert [(each["name"], each["outcome"]) for each in record["parts"]] == [
        ("skipped", "skipped"),
        ("failed", "failed"),
        ("hanging", "failed"),
        ("passed", "passed"),
    ]
    assert record["parts"][1]["tail"][-1] == "ValueError: wrong sum"
    assert all(each["seconds"] >= 0 for each in record["parts"])


@pytest.mark.parametrize(
    ("names", "status"),
    [(["good"], 0), (["good", "away"], 0), (["away"], 1), (["good", "bad"], 1)],
)
def test_the_exit_status(device, parts, found, monkeypatch, tmp_path, names, status):
    chosen = (
        python(parts, "good", "pass"),
        python(parts, "bad", "raise SystemExit(3)"),
        python(parts, "away", "", needs=("notthere",)),
    )
    monkeypatch.setattr(device, "PARTS", chosen)
    assert device.main([*names, "--out", str(tmp_path)]) == status


def test_without_a_device_it_says_so_in_one_sentence(device, monkeypatch, capsys):
    def answer(*command):
        return False, "NVIDIA-SMI has failed"

    monkeypatch.setattr(device.device_facts, "_answer", answer)
    assert device.main([]) == 1
    said = capsys.readouterr()
    assert said.err == "No CUDA device can be used here: NVIDIA-SMI has failed\n"
    assert said.out == ""


def test_the_facts_are_asked_for_apart(device, monkeypatch):
    facts = device.device_facts
    said = "NVIDIA H200, 580.159.04, 143771 MiB"
    with monkeypatch.context() as patch:
        patch.setattr(facts, "_answer", lambda *_: (True, said))
        assert facts.device() == {
            "name": "NVIDIA H200",
            "driver_version": "580.159.04",
            "memory.total": "143771 MiB",
        }
    questions = {"good": "print(13)", "bad": "import notthere"}
    monkeypatch.setattr(facts, "QUESTIONS", questions)
    known = facts.versions()
    assert known["good"] == "13"
    assert known["bad"] == "ModuleNotFoundError: No module named 'notthere'"
    assert known["numpy"]
    monkeypatch.setattr(facts, "LIMIT", 0.5)
    monkeypatch.setattr(facts, "QUESTIONS", {"slow": "while 1: 0"})
    assert "timed out after 0.5 seconds" in facts.versions()["slow"]


def test_an_unknown_part(device, capsys):
    with pytest.raises(SystemExit) as error:
        device.main(["speed"])
    assert error.value.code == 2
    assert "no part 'speed'; give one of conformance, " in capsys.readouterr().err


def test_a_device_is_demanded_and_in_a_rehearsal_hidden(device, monkeypatch):
    monkeypatch.setenv("SHARPKIT_REQUIRE", "torch")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    real = device.surroundings(rehearse=False)
    assert real["SHARPKIT_REQUIRE"] == "cuda"
    hidden = device.surroundings(rehearse=True)
    assert "SHARPKIT_REQUIRE" not in hidden
    assert hidden["CUDA_VISIBLE_DEVICES"] == ""
    assert "PYTEST_XDIST_WORKER" not in real | hidden


def test_where_a_device_is_demanded_the_stand_in_is_no_help(device, parts):
    """Each part that runs tests fails on a machine that has no device."""
    if importlib.import_module("sharpkit").backends()["cuda"] == "available":
        pytest.skip("there is a device")
    part = next(each for each in device.PARTS if each.name == "trainer")
    outcome = parts.run(part, device.surroundings(rehearse=False), seconds=100)
    assert outcome.outcome in ("failed", "skipped")
    if outcome.outcome == "failed":
        assert "SHARPKIT_REQUIRE names cuda, but CuPy finds no" in "\n".join(
            outcome.tail
        )
    else:
        assert outcome.reason == "not installed: cupy"


def test_a_rehearsal_of_all_parts(tmp_path):
    """Every part, small and on the CPU; those of libraries that are not here skip."""
    command = [sys.executable, "bench/device.py", "--rehearse", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*-rehearsal.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["device"] == {"name": "rehearsal"}
    known = {each["name"]: each for each in record["parts"]}
    for name in ("conformance", "steps", "solvers", "spectrum", "trainer"):
        assert known[name]["outcome"] == "passed", name
    for name in ("kernel speed", "epoch speed"):
        assert known[name]["outcome"] == "passed", name
    for name in ("torch", "jax", "step speed", "compilers"):
        assert known[name]["outcome"] in ("passed", "skipped"), name
    (epoch,) = known["epoch speed"]["data"]["data"]["epochs"]
    assert epoch["seconds"].keys() == {"fused steps", "plain lines"}
    kernels = known["kernel speed"]["data"]["data"]
    assert {each["backend"] for each in kernels["kernels"]} == {"cuda"}
    assert kernels["peak_gb_per_s"] == pytest.approx(2 * 1e6 * 8 / 1e9)

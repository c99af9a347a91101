"""The CUDA source as its own compilers see it; no GPU is needed for that."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import fake_cupy
import pytest
from simt import build

ARCHITECTURES = ["sm_80", "sm_90"]
# In a process of its own, as cupy may be the stand-in in this one.
NVRTC = """
import json, sys
from cupy.cuda import nvrtc

code, options = json.load(sys.stdin)
program = nvrtc.createProgram(code, "kernels.cu", [], [])
try:
    nvrtc.compileProgram(program, options)
finally:
    print(nvrtc.getProgramLog(program), file=sys.stderr)
sys.stdout.buffer.write(nvrtc.getCUBIN(program))
"""


def missing():
    names = {"cupy": "cupy-cuda13x", "nvidia.cu13": "nvidia-cuda-nvrtc"}
    packages = []
    for module, package in names.items():
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            packages.append(package)
    return packages


@pytest.fixture(scope="module")
def nvrtc():
    """NVRTC; missing, it skips the test, or fails it where SHARPKIT_REQUIRE says."""
    absent = missing()
    if absent and "nvrtc" not in os.environ.get("SHARPKIT_REQUIRE", "").split(","):
        pytest.skip(f"{' and '.join(absent)} not installed: pip install '.[cuda-test]'")
    assert not absent


@pytest.fixture(params=build.REALS)
def real(request):
    return request.param


@pytest.fixture(params=build.UNITS)
def unit(request):
    return request.param


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc(nvrtc, unit, real, architecture):
    with fake_cupy.installed():
        name = build.MODULES[build.UNITS.index(unit)]
        files = importlib.import_module(name).FILES
        launching = importlib.import_module("sharpkit._vectors.launching")
        module = launching.compiled(files, real)
    options = [*module.options, f"-arch={architecture}"]
    done = subprocess.run(
        [sys.executable, "-c", NVRTC],
        input=json.dumps([module.code, options]).encode(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.strip(b"\n\0 ") == b"", "warnings"
    for name in build.kernel_names(build.sources()[unit]):
        assert f"{name}_{real}".encode() in done.stdout


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_nvcc_keeps_everything_in_registers(unit, real, tmp_path):
    command = ["nvcc", "-cubin", "-std=c++17", "--fmad=false", "-Xptxas=-v"]
    command += ["-arch=sm_90", f"-DSK_REAL={real}", unit]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "kernels.cubin")],
        cwd=build.CSRC,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill", done.stderr)
    assert set(spills) == {("0", "0")}
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", done.stderr)]
    assert len(registers) == len(build.kernel_names(build.sources()[unit]))
    assert max(registers) <= 96

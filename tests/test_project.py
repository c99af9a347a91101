"""What the project's files say of each other: extras, versions, paths and commands."""

import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import sharpkit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def texts(*patterns):
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield path.name, path.read_text(encoding="utf-8")


def test_the_core_needs_three_libraries():
    names = [re.split("[^a-z]", each)[0] for each in PROJECT["project"]["dependencies"]]
    assert names == ["numba", "numpy", "scipy"]


def test_all_is_every_library_but_the_frameworks_and_the_device():
    def libraries(extra):
        for each in EXTRAS[extra]:
            inside = re.fullmatch(r"sharpkit\[(.*)\]", each)
            if inside is None:
                yield each
            for one in inside[1].split(",") if inside else ():
                yield from libraries(one)

    for extra in ("plot", "cli", "lab", "safetensors"):
        assert set(libraries(extra)) <= set(libraries("all"))
    named = " ".join(libraries("all"))
    assert not re.search("torch|jax|cupy|pytest|ruff", named)


def test_extras_that_are_named_exist():
    named = {
        (name, extra)
        for name, text in texts("sharpkit/**/*.py", "*.md", "Makefile", ".ci/run")
        for part in re.findall(r"install[^\n]*'(?:sharpkit|\.)\[([\w,-]+)\]'", text)
        + re.findall(r'\bextra="(\w+)"', text)
        for extra in part.split(",")
    }
    assert len(named) > 5
    assert {(name, extra) for name, extra in named if extra not in EXTRAS} == set()


def test_the_same_pythons_are_promised_tested_and_built():
    text = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    tested = re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", text)[1])
    lines = PROJECT["project"]["classifiers"]
    promised = [each for each in lines if re.search(r"Python :: 3\.\d", each)]
    assert [each.rpartition(" ")[2] for each in promised] == tested
    assert PROJECT["project"]["requires-python"] == f">={tested[0]}"
    built = PROJECT["tool"]["cibuildwheel"]["build"]
    assert built == [f"cp{each.replace('.', '')}-*" for each in tested]


def test_the_version_stands_in_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "sharpkit.__version__"
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", sharpkit.__version__)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {sharpkit.__version__}" in changes


def test_every_file_of_the_package_is_packed():
    data = PROJECT["tool"]["setuptools"]["package-data"]
    by_itself = (".py", ".pyi", ".so", ".pyd")
    for path in (ROOT / "sharpkit").rglob("*.*"):
        if "__pycache__" in path.parts:
            continue
        patterns = data.get(".".join(path.relative_to(ROOT).parent.parts), ())
        named = any(fnmatchcase(path.name, pattern) for pattern in patterns)
        assert path.suffix in by_itself or named, path
        assert (path.parent / "__init__.py").is_file(), path


def test_the_cuda_source_that_is_read_is_packed():
    def names(file, name):
        text = (ROOT / file).read_text(encoding="utf-8")
        listed = re.search(rf"\b{name} = (.*?\n)(?=\S|\n)", text, re.DOTALL)[1]
        return set(re.findall(r"\w+\.cuh?\b|\w+\.h\b", listed))

    modules = "sharpkit/_vectors/kernels/cuda.py", "sharpkit/lab/steps/cuda.py"
    read = set().union(*(names(each, "FILES") for each in modules))
    assert names("setup.py", "CUDA") == read
    assert len(read) == 4


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "RELEASING.md"])
def test_files_that_are_named_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:sharpkit|tests|bench|csrc|docs|examples)/[\w./]*)", text)
    assert paths
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []

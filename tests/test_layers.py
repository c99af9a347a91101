"""Imports point down only, and `import sharpkit` loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sharpkit

ROOT = Path(sharpkit.__file__).parent
# From the ground up: each room, and what it may import of those below it.
ROOMS = {
    "_native": "",
    "_inputs": "",
    "_vectors": "_inputs _native",
    "_box": "_inputs _vectors",
    "_spectrum": "_inputs _vectors",
    "plot": "_inputs _spectrum",
    "results": "_inputs _box _spectrum",
    "_diagnosis": "_inputs _vectors _box _spectrum results",
    "problem": "_inputs",
    "measures": "_inputs _vectors _box _spectrum _diagnosis results problem",
    "monitor": "_inputs _vectors results problem measures",
    "torch": "_inputs monitor",
    "jax": "_inputs monitor",
    "reports": "_inputs _box _vectors _spectrum results problem measures",
    "landscape": "_inputs _vectors results problem measures reports.evaluate "
    "reports.inputs",
    "lab": "PUBLIC _inputs.arrays _inputs.executors _inputs.extras _inputs.files "
    "_inputs.names _inputs.samples _inputs.types _inputs.warn _vectors.compiling "
    "_vectors.launching _vectors.parallel",
    "cli": "PUBLIC _inputs.files _inputs.names _vectors.parallel lab",
}
# Inside functions, besides: a result draws itself when it is asked to.
LAZY = {"results": "plot", "monitor": "plot", "landscape": "plot"}
HEAVY = "numba scipy cupy torch jax matplotlib mpi4py typer rich".split()


def room(module):
    return ".".join(module.split(".")[1:2])


def allowed(module, name, in_function):
    """Whether a module may import another, or a name of it."""
    # The root is loaded name by name.
    here, there = room(module), name.removeprefix("sharpkit.")
    if here in ("", room(name)) or name == "sharpkit.__version__":
        return True
    below = ROOMS[here].split()
    if in_function:
        below += LAZY.get(here, "").split()
    if "PUBLIC" in below and not (
        room(name).startswith("_") or room(name) in ("lab", "cli")
    ):
        return True
    return any(f"{there}.".startswith(f"{each}.") for each in below)


def is_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(node):
    """Return the modules and names that an import statement asks for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert not node.level, "imports are absolute"
    return [f"{node.module}.{alias.name}" for alias in node.names]


def nodes_in(tree, wanted):
    return {
        child for node in ast.walk(tree) if wanted(node) for child in ast.walk(node)
    }


def is_function(node):
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def imports():
    """Yield (module, what it imports, whether in a function); not those for types."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions, types = nodes_in(tree, is_function), nodes_in(tree, is_for_types)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in types:
                for name in imported(node):
                    if name.split(".")[0] == "sharpkit":
                        yield module, name, node in functions


def test_imports_point_down():
    found = list(imports())
    assert len(found) > 500
    wrong = [f"{each[0]} imports {each[1]}" for each in found if not allowed(*each)]
    assert wrong == []


def test_every_room_has_a_row():
    names = {path.stem.split(".")[0] for path in ROOT.iterdir()}
    assert names - {"__init__", "__pycache__", "csrc", "py"} == set(ROOMS)


def test_rooms_stand_on_those_above_them_in_the_table():
    built = {"PUBLIC"}
    for name, below in ROOMS.items():
        assert {each.split(".")[0] for each in below.split()} <= built, name
        built.add(name)


def test_only_public_names_are_shown():
    assert [name for name in dir(sharpkit) if name.startswith("_")] == ["__version__"]
    for name in set(dir(sharpkit)) - {"jax", "torch"}:
        assert getattr(sharpkit, name) is not None


@pytest.mark.process
@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import sharpkit", HEAVY),
        ("import sharpkit; sharpkit.sharpness", set(HEAVY) - {"scipy"}),
    ],
)
def test_importing_loads_nothing_heavy(statement, heavy):
    code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT.parent,
    )
    assert set(done.stdout.split()).isdisjoint(heavy)

"""Imports point down only, and `import sharpkit` loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sharpkit

ROOT = Path(sharpkit.__file__).parent
FOUNDATION = {"results", "parallel", "comm", "checks", "arrays", "warn"}
ALLOWED = {
    # What each part may import of the others when it is loaded.
    "quadrature": set(),
    "results": {"quadrature"},
    "parallel": set(),
    "comm": set(),
    "arrays": set(),
    "compiling": set(),
    "warn": {"results"},
    "checks": {"results", "arrays", "warn"},
    "kernels": {"parallel", "compiling", "_native"},
    "space": FOUNDATION,
    "backends": FOUNDATION | {"kernels"},
    "progress": FOUNDATION,
    "returned": FOUNDATION,
    "objective": FOUNDATION | {"returned"},
    "foreign": FOUNDATION | {"returned", "objective", "operators"},
    "operators": FOUNDATION | {"space", "objective", "returned"},
    "basis": FOUNDATION | {"space"},
    "lanczos": FOUNDATION | {"space", "operators", "basis"},
    "sampling": {"operators"},
    "columns": FOUNDATION | {"space"},
    "subspace": FOUNDATION | {"space", "columns", "kernels"},
    "box": FOUNDATION | {"space", "objective"},
    "algorithms": {"results", "arrays", "comm", "space", "columns", "box"}
    | {"operators", "basis", "lanczos", "sampling"},
    "diagnosis": FOUNDATION | {"space", "objective", "operators"},
    "measures": FOUNDATION
    | {"space", "backends", "progress", "objective", "columns", "subspace", "box"}
    | {"operators", "algorithms", "sampling", "foreign", "returned"}
    | {"diagnosis"},
    "frameworks": {"checks", "warn", "results"},
    "problem": {"checks", "arrays", "foreign"},
    "reports": FOUNDATION
    | {"problem", "measures", "progress", "backends", "foreign", "objective"},
    "plot": {"results", "quadrature"},
    "": {"measures", "reports", "problem", "backends", "parallel", "results"},
    "lab": {"", "parallel", "arrays", "compiling", "quadrature", "checks"}
    | {"frameworks"},
    "cli": {"", "parallel", "lab", "reports"},
}
# Inside functions, besides: a result draws itself when it is asked to.
LAZY = {"results": {"plot"}, "": {"frameworks"}}
HEAVY = ["numba", "cupy", "torch", "jax", "matplotlib", "mpi4py", "typer", "rich"]


def part(module):
    """Return the part of the package that a module belongs to."""
    return ".".join(module.split(".")[1:2])


def imported(node, module, is_package):
    """Return the sharpkit modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parents = module.split(".")
        base_of = parents[: len(parents) - node.level + is_package]
        base = ".".join([*base_of, *([node.module] if node.module else [])])
    if base == "sharpkit":  # from sharpkit import parallel: a module, or a name
        public = [alias.name for alias in node.names]
        return [
            f"sharpkit.{name}" if (ROOT / name).exists() or is_module(name) else base
            for name in public
        ]
    return [base]


def is_module(name):
    return any(ROOT.glob(f"{name}.py*")) and name not in sharpkit.__all__


def imports():
    """Yield (module, imported module, whether inside a function)."""
    for path in sorted(ROOT.rglob("*.py")):
        names = path.relative_to(ROOT.parent).with_suffix("").parts
        is_package = names[-1] == "__init__"
        module = ".".join(names[:-1] if is_package else names)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {
            child
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in imported(node, module, is_package):
                    if name.split(".")[0] == "sharpkit":
                        yield module, name, node in inside


def test_imports_point_down():
    found = list(imports())
    assert len(found) > 30
    wrong = [
        f"{module} imports {name}"
        for module, name, lazy in found
        if part(name) != part(module)
        and part(name) not in ALLOWED[part(module)]
        and not (lazy and part(name) in LAZY.get(part(module), set()))
    ]
    assert wrong == []


def test_every_part_has_a_layer():
    parts = {part(module) for module, _, _ in imports()}
    assert parts <= set(ALLOWED)


def test_no_cycle():
    """Layers exist at all: the parts can be ordered so that imports point down."""
    left = {name: set(below) - {name} for name, below in ALLOWED.items()}
    while left:
        free = {name for name, below in left.items() if not below & set(left)}
        assert free, f"a cycle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in free}


def test_one_algorithm_does_not_import_another():
    wrong = [
        (module, name)
        for module, name, _ in imports()
        if part(module) == part(name) == "algorithms"
        # The parts of one algorithm may share a folder.
        and module.split(".")[2:3] != name.split(".")[2:3]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "statement",
    [
        "import sharpkit",
        "import sharpkit; sharpkit.sharpness; sharpkit.get_num_threads()",
    ],
)
def test_importing_loads_nothing_heavy(statement):
    code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT.parent,
    )
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)

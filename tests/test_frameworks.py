"""`sharpkit.torch` and `sharpkit.jax`, loaded when asked for."""

import doctest
import importlib
import inspect
import sys

import pytest

import sharpkit


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_framework_is_reached_by_its_name(name):
    pytest.importorskip(name)
    found = getattr(sharpkit, name)
    assert found.__name__ == f"sharpkit.{name}"
    assert callable(found.problem)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_framework_shows_its_public_names_only(name):
    pytest.importorskip(name)
    names = {"Problem", "monitor", "preconditioner", "problem"}
    if name == "torch":
        names |= {"lightning_callback", "transformers_callback"}
        names |= {"causal_lm", "chunked_cross_entropy"}
    assert dir(importlib.import_module(f"sharpkit.{name}")) == sorted(names)


MEMBERS = (
    "weights hvp gauss_newton layers accuracy samples subset at on_line release "
    "__call__ matrices"
)


@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize("member", MEMBERS.split())
def test_a_problem_has_every_member_in_its_class(name, member):
    pytest.importorskip(name)
    kind = getattr(sharpkit, name).Problem
    assert len(inspect.getdoc(getattr(kind, member))) > 20


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_examples_of_the_documentation(name):
    pytest.importorskip(name)
    module = importlib.import_module(f"sharpkit.{name}.build")
    (test,) = doctest.DocTestFinder(recurse=False).find(module.problem, module=module)
    failed, tried = doctest.DocTestRunner().run(test)
    assert (failed, tried) == (0, len(test.examples))
    assert tried > 10


def test_the_example_of_a_preconditioner():
    pytest.importorskip("torch")
    module = importlib.import_module("sharpkit.torch.optimizers")
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(module.preconditioner, module=module)
    assert doctest.DocTestRunner().run(test) == (0, len(test.examples))


@pytest.mark.parametrize("name", ["torch", "jax", "monitor"])
def test_the_example_of_a_monitor(name):
    if name != "monitor":
        pytest.importorskip(name)
    if name == "jax":
        pytest.importorskip("optax")
    place, function = ("loop", "loop") if name == "monitor" else ("watching", "monitor")
    module = importlib.import_module(f"sharpkit.{name}.{place}")
    watch = getattr(module, function)
    (test,) = doctest.DocTestFinder(recurse=False).find(watch, module=module)
    assert doctest.DocTestRunner().run(test) == (0, len(test.examples))
    lines = [line.split(" :")[0] for line in inspect.getdoc(watch).splitlines()]
    told = {each for line in lines for each in line.split(", ")}
    assert set(inspect.signature(watch).parameters) <= told


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_every_argument_is_documented(name):
    pytest.importorskip(name)
    for function in (
        getattr(sharpkit, name).problem,
        getattr(sharpkit, name).preconditioner,
    ):
        lines = [line.split(" :")[0] for line in inspect.getdoc(function).splitlines()]
        assert set(inspect.signature(function).parameters) <= set(lines)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_missing_library_is_named(name, monkeypatch):
    ours = f"sharpkit.{name}"
    for module in [m for m in sys.modules if m.startswith(ours)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(vars(sharpkit), name, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"^{ours} needs {name}: pip install 'sharpkit\[{name}\]'$"
    with pytest.raises(ModuleNotFoundError, match=message):
        getattr(sharpkit, name)


def test_there_is_no_other():
    with pytest.raises(AttributeError, match="has no attribute 'tensorflow'"):
        _ = sharpkit.tensorflow

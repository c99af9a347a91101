import doctest
import importlib
import inspect

import numpy as np
import pytest

import sharpkit

MODULES = ("jax", "torch")  # which need libraries of their own
FUNCTIONS = [
    name
    for name in sharpkit.__all__
    if name not in MODULES and inspect.isfunction(getattr(sharpkit, name))
]


def examples(name):
    function = getattr(sharpkit, name)
    module = importlib.import_module(function.__module__)
    finder = doctest.DocTestFinder(recurse=False)
    return [test for test in finder.find(function, module=module) if test.examples]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples(name):
    with np.printoptions():
        for test in examples(name):
            failed, tried = doctest.DocTestRunner().run(test)
            assert (failed, tried) == (0, len(test.examples))


def test_there_are_examples_to_run():
    names = ("sharpness", "eigenvalues", "spectral_density", "trace", "diagonal")
    for name in (*names, "check", "measure", "compare"):
        assert examples(name)


@pytest.mark.parametrize("name", sharpkit.__all__)
def test_all_public_names_are_documented(name):
    if name in MODULES:
        pytest.importorskip(name)
    assert len(inspect.getdoc(getattr(sharpkit, name))) > 20


def test_every_argument_is_documented():
    for name in FUNCTIONS:
        function = getattr(sharpkit, name)
        names = list(inspect.signature(function).parameters)
        text = inspect.getdoc(function)
        if "Parameters\n" in text:
            lines = [line.split(" :")[0] for line in text.splitlines()]
            documented = {name for line in lines for name in line.split(", ")}
            assert [n for n in names if n not in documented] == []

# make demo, make test: each makes its own environment on a fresh machine.
# make quick: the tests that most changes need, in a minute. Those of the kernels, of the
# lab and of the frameworks' rooms are named: pytest tests/torch. make test: all that it
# takes to trust an installation. make test-slow: the others; make test-all: both.
# Needs Python 3.11 or newer with its headers and venv, and g++.
PYTHON ?= python3
VENV := .venv
# Where an environment keeps its programs, on Windows and elsewhere.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Tests run in so many processes, each file in one, in the order of tests/conftest.py.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo dev quick test test-slow test-all bench device docs lint sdist wheel clean

demo: $(VENV)/installed-lab
	$(BIN)/sharpkit demo

dev: $(VENV)/installed-lint,test

quick: $(VENV)/installed-test
	$(PYTEST) -m "not (slow or browser or process or lab or conformance)" \
	  --ignore=tests/jax --ignore=tests/torch

test: $(VENV)/installed-test
	$(PYTEST) -m "not (slow or browser)"

test-slow: $(VENV)/installed-test
	$(PYTEST) -m "slow or browser"

test-all: test test-slow

bench: $(VENV)/installed-bench
	$(BIN)/python bench/run.py

# All that a CUDA device must show, on a machine that has one.
device: $(VENV)/installed-cuda,jax,test,torch
	$(BIN)/python bench/device.py

# The examples in the README, the docstrings and examples/ print what they say.
docs: $(VENV)/installed-test
	$(BIN)/pytest -q tests/test_readme.py tests/test_docs.py \
	  tests/test_docs_results.py tests/examples

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A wheel is made of an sdist, so that it shows what the sdist lacks.
sdist wheel: | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build $(if $(filter sdist,$@),--sdist)

clean:
	rm -rf $(VENV) build dist *.egg-info sharpkit/_native.*.so sharpkit/_native.*.pyd

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sharpkit needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version)." \
	    "Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot make an environment. On Debian or Ubuntu:" \
	    "sudo apt-get install python3-venv python3-dev g++"; exit 1; }

# Editable, with the extras after the hyphen. Changes of Python files need no
# installation; the C++ is compiled where it changed (see setup.py).
$(VENV)/installed-%: pyproject.toml setup.py $(wildcard csrc/*) | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

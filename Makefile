# make demo, make test: each makes its own environment on a fresh machine.
# Needs Python 3.11 or newer with its headers and venv, and g++.
PYTHON ?= python3
VENV := .venv
SOURCES := pyproject.toml setup.py MANIFEST.in \
  $(shell find csrc sharpkit -type f -not -path '*/__pycache__/*' -not -name '*.so')

.PHONY: demo test bench lint clean

demo: $(VENV)/installed
	$(VENV)/bin/sharpkit demo --out sharpkit-results

test: $(VENV)/installed-test
	$(VENV)/bin/pytest -q

bench: $(VENV)/installed-bench
	$(VENV)/bin/python bench/run.py

lint: $(VENV)/installed-lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sharpkit needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version)." \
	    "Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot make an environment. On Debian or Ubuntu:" \
	    "sudo apt-get install python3-venv python3-dev g++"; exit 1; }

$(VENV)/installed: $(SOURCES) | $(VENV)/bin/python
	$(VENV)/bin/pip install --quiet .
	@touch $@

$(VENV)/installed-%: $(SOURCES) | $(VENV)/bin/python
	$(VENV)/bin/pip install --quiet '.[$*]'
	@touch $@ $(VENV)/installed

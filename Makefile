# Everything runs in a virtual environment that is made here when it is missing: .venv
# PYTHON names the interpreter to make it with; the first of the supported ones that is found is taken otherwise.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
MINUTES ?= 30
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
	$$candidate -c '$(SUPPORTED)' 2> /dev/null && echo $$candidate && break; done)
REQUIREMENTS := setup.cfg pyproject.toml constraints.txt
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint format-check rules types imports tests quick fuzz constraints clean prerequisites

help:
	@echo 'make demo         from Pythia events over a search to an HLS project that agrees with its model'
	@echo 'make test         lint, and every test: fast and slow, the example of README.md, the notebooks'
	@echo 'make quick        the fast tests only'
	@echo 'make fuzz         generated studies, data and networks for MINUTES=30; KINDS, SEED, CASES: docs/testing.md'
	@echo 'make lint         format, rules, types and the import contract'
	@echo 'make constraints  resolve every dependency anew and write constraints.txt'
	@echo 'make clean        remove the virtual environment and build products; runs/ and hls_projects/ stay'

demo: $(VENV)/.demo
	$(BIN)/fpgaml run search_spaces/trigger_demo.yaml --output runs/demo

# What numba compiles for one test it keeps for all others; lint leaves a core idle for it.
test: $(VENV)/.test
	@$(BIN)/python tests/compile_da4ml.py & $(MAKE) lint
	$(MAKE) tests

lint: format-check rules types imports

format-check: $(VENV)/.test
	$(BIN)/ruff format --check .

rules: $(VENV)/.test
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

imports: $(VENV)/.test
	$(BIN)/lint-imports

tests: $(VENV)/.test
	$(PYTEST) -n $(WORKERS) --dist worksteal --durations 10 tests

quick: $(VENV)/.test
	$(PYTEST) -n $(WORKERS) --dist worksteal -m 'not slow' tests

fuzz: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(CASES),--cases $(CASES),--minutes $(MINUTES)) --workers $(WORKERS) \
		$(if $(SEED),--seed $(SEED)) $(if $(KINDS),--kinds $(KINDS))

$(VENV)/.demo: $(REQUIREMENTS) | $(BIN)/python
	$(PIP_INSTALL) -c constraints.txt -e '.[trigger]'
	@touch $@

$(VENV)/.test: $(REQUIREMENTS) | $(BIN)/python
	$(PIP_INSTALL) -c constraints.txt -e '.[test]'
	@touch $(VENV)/.demo $@

$(BIN)/python: | prerequisites
	$(PYTHON) -m venv $(VENV)

prerequisites:
	@command -v g++ > /dev/null || { echo 'fpgaml needs g++: every C simulation is compiled with it' \
		'(Debian: apt install g++).' >&2; exit 1; }
	@test -x $(BIN)/python || test -n '$(PYTHON)' || { echo 'fpgaml needs Python 3.11, 3.12 or 3.13 with its venv' \
		'module (Debian: apt install python3 python3-venv), and none was found on the PATH.' \
		'Name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c '$(SUPPORTED)' || { echo '$(PYTHON) will not do: fpgaml needs Python' \
		'3.11, 3.12 or 3.13 with its venv module.' >&2; exit 1; }

constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --disable-pip-version-check --quiet -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; \
		build/constraints/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find fpgaml tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

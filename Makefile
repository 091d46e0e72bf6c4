# `make demo` runs the main job, `make test` passes the tests; both set up what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-ray test-fast test-shapes speed lint types docs clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

setup: .venv/.done ## create .venv with everything that the demo and the tests need

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("polyrec needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 setup") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## train, compare, report and score on real data, in under 5 minutes
	rm -rf demo
	$(BIN)/polyrec demo --out demo

test: setup ## every test but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --doctest-modules -m "not long" src tests

test-long: setup ## what takes minutes a test: more processes, more balancers, more kills
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long tests

test-ray: setup ## training and scoring on a Ray cluster of two workers here; installs the ray extra
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration/test_ray.py

test-fast: setup ## the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

# int is welcome where float is annotated, as PEP 484 has it. While a program is exported, sizes are no ints.
CHECKER := beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
test-shapes: setup ## shapes and types of tensors, checked at every call while models and blocks are tested
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" -k "not export" \
		--jaxtyping-packages="polyrec,$(CHECKER)" \
		tests/contract tests/unit/nn

speed: setup ## ratios that say whether training has become slower
	$(BIN)/python benchmarks/speed/guard.py

lint: setup ## style and the contracts between layers
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/lint-imports

types: setup ## strict types
	$(BIN)/mypy

docs: setup ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove what was generated
	rm -rf .venv site demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

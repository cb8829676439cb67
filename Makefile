# Every step of Catalens, for people, CI and the Dockerfile alike. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
HARDWARE ?= cpu
PRODUCTS ?= 2000
SEED ?= 7
DATA ?= data
ENCODER ?= mini
PYTEST_FLAGS ?= -n 3 --dist loadfile --no-loadscope-reorder
STUDY ?= shop
CATALOGUE ?= $(DATA)/shop-5000-1

BIN := .venv/bin
SHOP := $(DATA)/shop-$(PRODUCTS)-$(SEED)
INDEX := $(DATA)/index-$(PRODUCTS)-$(SEED)
# A pinned set exists for the CPU; with a GPU the CUDA build of the day is what one wants.
CONSTRAINTS := $(if $(filter cpu,$(HARDWARE)),-c constraints-cpu.txt)
# Two busy OpenMP teams on shared cores collapse instead of sharing (docs/operations.md, "Threads").
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup dev check format test coverage openapi clients docs demo newcomer shop index serve bench peers reproduce clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.runtime ## create .venv and install what the service needs (HARDWARE=cpu|gpu|gpu-cuvs)

.venv/.runtime: pyproject.toml constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Catalens needs Python 3.11 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[$(HARDWARE),ops]"
	@touch $@

dev: .venv/.dev

.venv/.dev: .venv/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[$(HARDWARE),dev]"
	@touch $@

check: dev ## lint, formatting, types, import contracts, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit.py constraints-cpu.txt

format: dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: dev ## every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS)
	@echo "tests passed"

coverage: dev ## every test, with branch coverage of models, indexer and service: half as long again
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) --cov --cov-report=term

openapi: dev ## freeze the API as it is: docs/openapi.json, and the Python client's types
	$(BIN)/python clients/generate.py

clients: dev ## install what the JavaScript clients' tests need (Node.js 20 or newer), and run them
	npm --prefix clients/js ci --no-audit --no-fund
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 tests/integration/test_clients_js.py

docs: .venv/.docs ## make the site of docs/ in build/site; a dead link or a page in no menu fails
	$(BIN)/python docs/configuration.py
	$(BIN)/python -m sphinx -q -W --keep-going -E -d build/site-read -b html docs build/site
	@echo "build/site/index.html"

.venv/.docs: .venv/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[$(HARDWARE),docs]"
	@touch $@

demo: shop index ## generate a shop, index it, serve it, search it: http://localhost:8080
	$(BIN)/python -m demo up --data-dir $(INDEX) --encoder $(ENCODER) $(DEMO_FLAGS)

newcomer: ## a newcomer's first hour by the clock, from a clone: a few minutes (.ci/newcomer.py)
	$(PYTHON) .ci/newcomer.py

shop: $(SHOP)/shop.json ## only generate the demo shop

# data/shop-PRODUCTS-SEED
$(DATA)/shop-%/shop.json: | setup
	$(BIN)/python -m demo generate --products $(word 1,$(subst -, ,$*)) --seed $(word 2,$(subst -, ,$*)) --out $(@D)

index: $(INDEX)/current ## only encode and index the demo shop, and publish the bundle

$(INDEX)/current: $(SHOP)/shop.json models/weights/mini/card.json
	$(BIN)/python -m indexer build --catalogue $(SHOP)/catalogue.parquet --data-dir $(INDEX) --encoder $(ENCODER) --publish

serve: setup ## serve the published bundle; settings come from CATALENS_* variables
	$(BIN)/python -m service

.venv/.bench: .venv/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[$(HARDWARE),bench]"
	@touch $@

bench: .venv/.bench shop index ## measure everything on the demo shop, about 25 minutes (docs/performance.md)
	$(BIN)/python -m benchmarks all --data-dir $(INDEX) --catalogue $(SHOP) --encoder $(ENCODER) $(BENCH_FLAGS)

peers: build/peers/chroma/.installed ## install the vector database that benchmarks compare with, apart from .venv

build/peers/chroma/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check chromadb==1.5.9
	@touch $@

# A generated shop is made first where it is missing; any other catalogue has to be there.
reproduce: dev $(filter $(DATA)/shop-%/shop.json,$(CATALOGUE)/shop.json) ## every table and plot of a study (STUDY=shop, or STUDY=myntra CATALOGUE=...)
	$(BIN)/python -m models reproduce --study models/train/configs/studies/$(STUDY).toml --catalogue $(CATALOGUE) --out runs/$(STUDY) $(REPRODUCE_FLAGS)

clean: ## remove generated data and caches, keep .venv
	rm -rf $(DATA) out runs build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The commands of this repository. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow conda conda-train slurm-test lint format generate envs lock clean distclean rulegraph benchmark

CORES ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first interpreter at hand of a version that the dependencies allow.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; \
	then echo $$p; break; fi; done)

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' \
	| while IFS=$$'\t' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "balign needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Build graph, corpus, models and report from embedded data (results/demo/report/index.html)
	$(BIN)/snakemake --cores $(CORES)
	@COLUMNS=$${COLUMNS:-120} $(BIN)/balign evaluate table
	@echo "The report: results/demo/report/index.html"

test: $(READY) ## Run the tests (minutes, no network besides the package index)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist loadgroup

test-slow: $(READY) ## Run the slow tests too
	$(BIN)/python -m pytest -m "not gpu and not conda and not slurm"

conda: $(READY) ## Run rules of the demo with --use-conda (after make demo; minutes, 3 GB while it runs)
	$(BIN)/python -m pytest -m "conda and not slow" tests/conda

conda-train: $(READY) ## Create the environments of training and evaluation and run them (10 minutes, 3 GB)
	$(BIN)/python -m pytest -m "conda and slow" tests/conda

slurm-test: $(READY) ## Start a Slurm of two virtual nodes here and train on it (root; installs slurm-wlm if it can)
	tests/slurm/cluster.sh install || echo "slurm-wlm cannot be installed here"
	$(BIN)/python -m pytest -m slurm -rs tests/slurm

lint: $(READY) ## Check style, types and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(READY) ## Format Python and Snakemake files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

generate: $(READY) ## Write the default configuration, its schema and its table from the models
	$(BIN)/balign config generate

envs: $(READY) ## Write the conda environments from requirements.lock
	$(BIN)/python envs/write.py

lock: ## Resolve pyproject.toml anew and write requirements.lock
	rm -rf .lock-venv
	$(PYTHON) -m venv .lock-venv
	.lock-venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade setuptools
	.lock-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[dev,slurm]'
	{ echo "# Written by 'make lock' from pyproject.toml, extras dev and slurm."; \
	  .lock-venv/bin/python -m pip freeze --all --exclude-editable | sed 's/+cpu$$//' | grep -v '^pip=='; } > requirements.lock
	rm -rf .lock-venv

clean: ## Remove what the demo computed (downloads stay)
	rm -rf results .snakemake

distclean: clean ## Remove downloads and the virtual environment too
	rm -rf data $(VENV) build dist workflow/*.egg-info

benchmark: $(READY) ## Time the ingestion of a small made-up UMLS release against a bare scan (docs/benchmarks.md has all)
	$(BIN)/python -m benchmarks.kg.ingest --small

rulegraph: $(READY) ## Draw the DAG of the rules into docs/rulegraph.svg (needs Graphviz)
	$(BIN)/snakemake --rulegraph dot --quiet all | dot -Tsvg > docs/rulegraph.svg

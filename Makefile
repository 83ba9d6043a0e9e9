# What can be done here; `make help` lists it. Needs Python 3.11 or newer and a package index, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
SCALE ?= small

# Where it is set, each of many processes would compile all that it imports: half of what the tests take.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run up hooks test check chaos bench screenshots lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv with the pinned packages

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Perennial needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": set PYTHON=python3.11")'
	@echo "Installing the pinned packages into .venv (once; a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(INSTALLED)

run: $(INSTALLED)  ## make a demo shop and run the day chain for its newest day under Airflow
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m perennial.orchestration.local run

up: $(INSTALLED)  ## the same, and leave the Airflow UI and the unsubscribe pages open
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m perennial.orchestration.local up

hooks: $(INSTALLED)  ## serve the public web app: links of mails, subscriptions, providers' webhooks
	$(BIN)/python -m perennial.web

check: $(INSTALLED)  ## the quick loop: lint, types, import rules, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -n auto --dist loadscope -m "not slow and not chaos" --ignore tests/integration --ignore tests/e2e

test: $(INSTALLED)  ## everything that `check` does, and all the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

chaos: $(INSTALLED)  ## the long proofs: workers killed by the hundred; ten minutes, and it prints its figures
	$(BIN)/python -m pytest -m chaos --durations=0

bench: $(INSTALLED)  ## measure, and write docs/benchmarks.md; SCALE=full for a million customers
	$(BIN)/python benchmarks/bench.py --scale $(SCALE)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --annotation-style line

screenshots: $(INSTALLED)  ## take the pictures of docs/campaigns.md again; needs Chromium
	PYTHONPATH=tests $(BIN)/python tests/screenshots.py

lock: $(INSTALLED)  ## pin requirements/*.in anew
	$(LOCK) requirements/server.in -o requirements/server.txt
	$(LOCK) -c requirements/server.txt requirements/runtime.in -o requirements/runtime.txt
	$(LOCK) -c requirements/server.txt requirements/dev.in -o requirements/dev.txt

clean:  ## remove .venv, caches and everything the demo wrote (var/: landing and ledger too)
	rm -rf .venv var .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build

# The commands of AII. Each makes the environment first if it has to. `make help` lists them.
#   AII_PORT (8000), AII_HOME (.aii): two checkouts side by side.   PYTHON: another Python.   ARGS: for pytest.

PYTHON ?= python3
ARGS ?=
RUN = .venv/bin/python
COMPILE = --universal --generate-hashes --python-version 3.11 --quiet
# What `check --deploy` looks at, with values made up on the spot: nothing here is a secret of anybody.
PRODUCTION = DJANGO_SETTINGS_MODULE=aii_site.settings.production AII_BASE_HOST=aii.example \
	SECRET_KEY="$$($(RUN) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	AII_KEK="$$($(RUN) -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())')" \
	DATABASE_URL=postgresql://aii_app@127.0.0.1:5432/aii \
	DATABASE_OWNER_URL=postgresql://aii_owner@127.0.0.1:5432/aii \
	REDIS_URL=redis://127.0.0.1:6379/0

# Without its warnings about each nosec that one of two nodes of a line did not need.
BANDIT = $(RUN) -W ignore -c 'import logging; logging.disable(logging.WARNING); from bandit.cli.main import main; main()'

.DEFAULT_GOAL := help
.PHONY: help setup up test test-slow check audit-packages sbom format lock bench screenshots

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from the lock file
	@PYTHON="$(PYTHON)" scripts/setup.sh

up: setup ## Start everything and print the address; Ctrl-C stops it
	@exec $(RUN) -m aii_site.up

test: setup ## Run the tests on an embedded PostgreSQL and Redis
	@exec $(RUN) -m pytest -n 2 $(ARGS)

test-slow: setup ## Run the long tests
	@exec $(RUN) -m pytest -m slow --timeout 600 $(ARGS)

check: setup ## Lint, types, import contracts, security lint, advisories, migrations, production settings
	@echo "== ruff check" && $(RUN) -m ruff check .
	@echo "== ruff format" && $(RUN) -m ruff format --check .
	@echo "== mypy" && $(RUN) -m mypy .
	@echo "== import contracts" && .venv/bin/lint-imports
	@echo "== bandit" && $(BANDIT) --quiet --severity-level medium -c pyproject.toml -r .
	@echo "== advisories" && $(RUN) scripts/audit_packages.py --if-reachable
	@echo "== missing migrations" && $(RUN) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@echo "== production settings" && $(PRODUCTION) $(RUN) manage.py check --deploy --fail-level WARNING

audit-packages: setup ## Ask the advisory service about every package in the production lock
	@$(RUN) scripts/audit_packages.py

sbom: setup ## Write sbom.cdx.json, the bill of materials of the production environment (CycloneDX)
	@$(RUN) scripts/sbom.py sbom.cdx.json && echo "AII: Wrote sbom.cdx.json"

format: setup ## Format the code
	@$(RUN) -m ruff check --fix --quiet . ; $(RUN) -m ruff format .

lock: setup ## Compile the two lock files anew from pyproject.toml
	@.boot/bin/uv pip compile pyproject.toml --group dev $(COMPILE) -o requirements.lock
	@.boot/bin/uv pip compile pyproject.toml -c requirements.lock $(COMPILE) -o requirements.production.lock

screenshots: setup ## Walk the first journey in a browser and keep all its pictures in docs/images/
	@mkdir -p docs/images
	@AII_SCREENSHOTS="$(CURDIR)/docs/images" exec $(RUN) -m pytest -n 0 tests/browser/test_journey.py $(ARGS)

case-study-%: setup ## Run a case study again: case-study-fraud, -diagnosis or -quality (ARGS="--seed 7 --json")
	@exec $(RUN) -m case_studies.$* $(ARGS)

bench: setup ## Run every benchmark (results in benchmarks/results/)
	@set -e; for file in benchmarks/[a-z]*.py; do \
		area=$$(basename "$$file" .py); echo "== $$area"; $(RUN) -m benchmarks.$$area; done

bench-%: setup ## Run one benchmark, as in make bench-live
	@exec $(RUN) -m benchmarks.$(subst -,_,$*)

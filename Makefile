# The project's commands; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_CLIENT := tests/clients/node

.DEFAULT_GOAL := help
.PHONY: help run cluster test check clean

help: ## list the commands
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## serve the demo on http://127.0.0.1:7000
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python -m daphne -b 127.0.0.1 -p 7000 project.asgi:application

cluster: $(VENV)/run.stamp ## serve the demo from three processes, on ports 7000 to 7002
	$(BIN)/python -m project.cluster

test: $(VENV)/dev.stamp $(NODE_CLIENT)/node_modules/.stamp ## run all tests
	$(BIN)/python -m pytest tests/protocol -q -p no:xdist \
		--cov=realtime.protocol --cov-branch --cov-report=term-missing --cov-fail-under=100
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/protocol

check: $(VENV)/dev.stamp ## lint, types, and Django's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

clean: ## remove what the commands above made
	rm -rf $(VENV) $(NODE_CLIENT)/node_modules build dist *.egg-info .coverage .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache db.sqlite3*

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Realtime needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No virtual environment: install Python's venv module (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

$(NODE_CLIENT)/node_modules/.stamp: $(NODE_CLIENT)/package-lock.json
	@command -v npm >/dev/null || { echo "The tests need node and npm." >&2; exit 1; }
	npm ci --prefix $(NODE_CLIENT) --no-audit --no-fund --loglevel=error
	@touch $@

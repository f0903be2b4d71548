# OpsConsole. The two commands: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-reset test lint scenario bench requirements migrations help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.product $(BIN)/opsctl  ## Install, start everything on this machine, begin a deployment to watch; Ctrl-C stops it
	@$(BIN)/python -m opsconsole.local.demo

demo-reset: $(VENV)/.product  ## Stop the demo and delete its data
	@$(BIN)/python -m opsconsole.local.demo --reset

test: $(VENV)/.tests $(BIN)/opsctl  ## Everything: lint, types, imports, migrations, all tests on real services and a real browser
	@$(BIN)/python -m tests.run

lint: $(VENV)/.tests  ## Only the checks without running the product
	@$(BIN)/python -m tests.run --lint

scenario: $(VENV)/.product  ## The story of good and bad releases on a stack of its own, with a table of figures
	@$(BIN)/python -m opsconsole.local.scenario

bench: $(VENV)/.product  ## The figures of the engine, as a table and JSON (var/bench.json)
	@$(BIN)/python -m opsconsole.bench

requirements: $(VENV)/.tests  ## Pin the dependencies anew, with hashes
	$(BIN)/python -m pip install -q pip-tools
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements.txt requirements.in
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements-dev.txt requirements-dev.in

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=…")'
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

# A script of two lines: the package is no distribution, and must be found from every folder.
$(BIN)/opsctl: Makefile | $(VENV)/bin/python
	@printf '#!/bin/sh\nPYTHONPATH=%s exec %s -P -m opsctl "$$@"\n' "'$(CURDIR)'" "'$(CURDIR)/$(BIN)/python'" > $@
	@chmod 755 $@

$(VENV)/.product: requirements.txt | $(VENV)/bin/python
	@echo "Installing the product's dependencies (one to two minutes the first time) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.tests: requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing the dependencies of the tests …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.product

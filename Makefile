# Kubewalk's few verbs.  `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
# Processes of the test run.  Four for two cores: one or the other mostly waits, for a browser, a server or the kernel.
JOBS   ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup lab test check bench course site clean

help: ## what there is
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.lab: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Kubewalk needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/tmp/kubewalk-venv.log \
	  || { cat /tmp/kubewalk-venv.log; echo "On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable '.[lab]'
	@touch $@

$(VENV)/.test: $(VENV)/.lab
	@$(BIN)/python -m pip install --quiet --group test --group check
	@touch $@

setup: $(VENV)/.lab ## make the environment in .venv that all targets use

lab: setup ## open JupyterLab on the course (ARGS=--no-browser for a server)
	@$(BIN)/kubelab start $(ARGS)

course: setup ## build the notebooks from their text sources
	@$(BIN)/kubelab build

site: setup ## write the course as a static book, for reading without running (ARGS=--dir=...)
	@$(BIN)/kubelab site $(ARGS)

test: $(VENV)/.test ## install what the tests need, and run them all
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.test ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## measurements as JSON
	@$(BIN)/python tests/bench/run.py $(ARGS)

clean: ## remove what was made
	rm -rf $(VENV) dist build artifacts site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

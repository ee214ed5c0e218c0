# Each target sets up what it needs. `make demo` and `make test` are the two commands of the README.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# On x86 machines without a GPU, point this at PyTorch's index of CPU wheels to save gigabytes.
TORCH_INDEX ?=
SYSTEM_PACKAGES := libegl1 libgl1-mesa-dri libosmesa6

.DEFAULT_GOAL := help
.PHONY: help setup system demo test check light-install bench bench-table docs clean

help:  ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP)  ## Install everything into .venv (a few minutes once, nothing after that).

$(STAMP): requirements.lock pyproject.toml | system
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "steadyhand needs Python 3.11 or newer; call make with PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "cannot create $(VENV); on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing torch, then the rest of requirements.lock, into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade $$(grep -E '^(pip|setuptools)==' requirements.lock)
	@$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $$(grep -E '^torch==' requirements.lock)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

system:
	@if ldconfig -p | grep -q 'libEGL\.so\.1' || ldconfig -p | grep -q 'libOSMesa\.so'; then :; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq $(SYSTEM_PACKAGES); \
	elif sudo -n true 2>/dev/null; then sudo -n apt-get update -qq && sudo -n apt-get install -y -qq $(SYSTEM_PACKAGES); \
	else echo "rendering needs OpenGL; run once: sudo apt-get install $(SYSTEM_PACKAGES)" >&2; exit 1; fi

demo: setup  ## The main job: from simulation to a robot loop that keeps its deadlines.
	@$(BIN)/steady run recipes/demo.toml

test: setup  ## The tests.
	@$(BIN)/python -m pytest -q

check: setup light-install  ## Formatting, lint, types, layers, and the base install alone.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

# The robot install in an environment that holds nothing else: it must import without the extras.
light-install: setup
	@rm -rf build/light && $(PYTHON) -m venv build/light
	@grep -vE '^(pip|setuptools|torch)==' requirements.lock > build/constraints.txt
	@build/light/bin/pip install --quiet --disable-pip-version-check -c build/constraints.txt .
	@build/light/bin/python -I tests/light_install.py

bench: setup  ## One benchmark, e.g. make bench NAME=control_loop (ARGS="--help").
	@test -n "$(NAME)" || { echo "usage: make bench NAME=<one of: $$(ls benchmarks/*.py | xargs -n1 basename | sed 's/\.py//' | tr '\n' ' ')>" >&2; exit 2; }
	@$(BIN)/python benchmarks/$(NAME).py $(ARGS)

bench-table: setup  ## Render benchmarks/results/*.json into docs/benchmarks.md.
	@$(BIN)/python benchmarks/table.py

docs: setup bench-table  ## Regenerate docs/cli.md and the tables that are checked by tests.
	@$(BIN)/python -m steadyhand.apps.cli.reference > docs/cli.md

clean:  ## Remove the virtual environment and caches; runs and artifacts stay.
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache

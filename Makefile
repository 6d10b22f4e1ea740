# One door for people. `make` lists what there is.
#
# Everything happens in .venv; needs python3 (3.11 or newer), make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PROTOS := $(wildcard proto/stayput/v1/*.proto)

.PHONY: help demo demo-credit test attacks check check-long lint types structure bench proto wheel clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(VENV)/.installed ## three airports answer three questions together; about a minute
	@$(BIN)/stayput demo

demo-credit: $(VENV)/.installed ## three registers of one city are joined, and stay where they are; about a minute
	@$(BIN)/stayput demo credit --dir city

test: $(VENV)/.installed-dev ## all tests but the long ones
	$(BIN)/python -m pytest

check: lint types structure test ## everything CI checks; if this passes, CI passes

check-long: $(VENV)/.installed-dev $(VENV)/acro/.installed ## all tests, the slow ones too: fuzzing, load, faults
	$(BIN)/python -m pytest -m "long or not long"

attacks: $(VENV)/.installed-dev ## a clever data user tries everything; prints what was tried and what stopped it
	@cd tests && PYTHONPATH=. ../$(BIN)/python -m attacks $(ATTACKS)

lint: $(VENV)/.installed-dev ## mistakes and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy

# Without its cache, which does not notice that a module has come or gone.
structure: $(VENV)/.installed-dev ## imports point down, the story does no I/O
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.installed-dev ## side-by-side benchmarks; takes minutes and wants a quiet machine
	@for file in bench/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

proto: $(VENV)/.installed-dev ## generate src/stayput/v1 again from proto/
	rm -f src/stayput/v1/*_pb2*.py*
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=src --pyi_out=src $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -I proto --grpc_python_out=src proto/stayput/v1/services.proto

wheel: $(VENV)/.installed-dev ## sdist and wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

clean: ## remove what make made; a demo consortium is left alone
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ----------------------------------------------------------------------
# Stamps make the second run quick: a changed pyproject.toml installs again, nothing else does.

$(VENV)/.installed: pyproject.toml | $(VENV)/.created
	@echo "Installing Stayput into $(VENV) (about a minute, the first time only) ..." >&2
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.created
	@echo "Installing Stayput and its test tools into $(VENV) (the first time only) ..." >&2
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# ACRO, the reference that tests compare with, wants older libraries than we do.
$(VENV)/acro/.installed: | $(VENV)/.created
	@$(BIN)/python -m venv --without-pip $(VENV)/acro
	@$(BIN)/python -m pip --quiet --python $(VENV)/acro/bin/python install acro==1.0.2
	@touch $@

# Debian's python3 comes without ensurepip; where python3-pip is there, that pip serves as well.
$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "make: there is no $(PYTHON)" >&2; \
	    echo "hint: sudo apt install python3 python3-venv, or make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: Stayput needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; \
	    echo "hint: make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; }
	@rm -rf $(VENV)
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	    $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	    $(PYTHON) -m venv --without-pip $(VENV) && \
	    $(PYTHON) -m pip --quiet --python $(BIN)/python install pip; \
	else \
	    echo "make: this Python cannot make virtual environments: ensurepip is missing" >&2; \
	    echo "hint: sudo apt install python3-venv" >&2; \
	    exit 1; \
	fi
	@touch $@

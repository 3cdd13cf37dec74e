# `make` alone lists what can be made. Everything runs in .venv, which is made (and made anew when
# pyproject.toml or constraints.txt change) by deploy/environment.sh; python3 needs only venv and pip.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test check bench lab clean
.DELETE_ON_ERROR:

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: .venv/.made-run ## start Corral: servers, engine and local hosts in one process, until Ctrl-C
	@exec $(BIN)/corral up

test: .venv/.made-dev ## run the tests; LAB=1 (or CI=true) also sets up the lab, for those on real hosts; ARGS="-k word" chooses
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/.made-dev ## look at the code without running it: ruff, mypy --strict, import rules
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports --no-logo

bench: .venv/.made-dev ## measure: the log, starts, lag, lives, lists, recovery, subscribers, agents; ARGS="starts lag" chooses
	@$(BIN)/python -m tests.benchmarks $(ARGS)

lab: ## set up real hosts with Docker and libvirt on this machine, for tests (Debian, root); DOWN=1 removes them
	@deploy/lab/lab.sh $(if $(DOWN),down,up)

clean: ## remove the environment and all caches; data in ~/.corral and the lab stay
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for what running needs, one for what developing needs on top.
.venv/.made-run: pyproject.toml constraints.txt deploy/environment.sh
	@PYTHON=$(PYTHON) deploy/environment.sh run

.venv/.made-dev: pyproject.toml constraints.txt deploy/environment.sh
	@PYTHON=$(PYTHON) deploy/environment.sh dev

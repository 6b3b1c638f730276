# Works with GNU make 3.81 (macOS) and in paths with spaces: every path is relative.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench soak mutants fmt clean

help: ## List these targets
	@echo "Usage: make TARGET [ARGS='..']    (demo also takes PORT=N and DATA_DIR=DIR)"
	@sed -n 's/^\([a-z]*\):.*## /  \1	/p' Makefile

setup: ## Make .venv with what running needs
	@sh scripts/setup.sh run

demo: ## Run all of it: database, data, API, pages; Ctrl-C stops it
	@sh scripts/setup.sh -q run
	@exec .venv/bin/tenure demo $(if $(DATA_DIR),--data-dir "$(DATA_DIR)") $(if $(PORT),--port "$(PORT)") $(ARGS)

test: ## Run all tests, against an embedded PostgreSQL of their own
	@sh scripts/setup.sh -q dev
	@exec .venv/bin/pytest -n auto $(ARGS)

check: ## Format, lint, types, import contracts, and the SQL gate over this repository
	@sh scripts/setup.sh -q dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/tenure lint .

bench: ## Measure against the baselines; a ceiling passed fails
	@sh scripts/setup.sh -q dev
	@exec .venv/bin/python -m benchmarks $(ARGS)

soak: ## Fuzz and kill for three quarters of an hour; SEED=N; the log goes to docs/evidence
	@sh scripts/setup.sh -q dev
	@exec .venv/bin/pytest -v -n logical --maxprocesses 4 -o python_files='soak_*.py' tests/soak \
		--seed "$(or $(SEED),1)" --soak-log docs/evidence/soak.log $(ARGS)

mutants: ## Take the defences of scoping and retention away one by one; a test must fail each time (half an hour)
	@sh scripts/setup.sh -q dev
	@exec .venv/bin/pytest -v -n logical --maxprocesses 4 -o python_files='mutants_*.py' tests/soak $(ARGS)

fmt: ## Format the sources and fix what can be fixed
	@sh scripts/setup.sh -q dev
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean: ## Remove .venv and caches, but no demo's data
	rm -rf .venv .setup.lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build tenure.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

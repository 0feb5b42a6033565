# Everything here needs Python >= 3.11 with venv and nothing else; `make demo` and `make test` install what they use.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
READY ?=
DATA ?=
ARGS ?=

.PHONY: help venv demo test lint fmt kafka bench soak lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

venv: $(STAMP) ## create .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml deploy/venv.sh
	@PYTHON="$(PYTHON)" deploy/venv.sh "$(VENV)"

demo: $(STAMP) ## start everything on this machine with a simulated portfolio (READY=FILE writes addresses and keys)
	@exec $(BIN)/rapport demo $(if $(READY),--ready-file "$(READY)") $(if $(DATA),--data "$(DATA)") $(ARGS)

test: $(STAMP) ## run every test, with 100 % of branches of shared/domain covered (ARGS="..." are pytest's)
	@PYTHON=$(BIN)/python tests/run.sh $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(STAMP) ## format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

kafka: $(STAMP) ## run real Apache Kafka (KRaft) on 127.0.0.1:9092; needs Java 17 and Maven
	@exec $(BIN)/python -m shared.embedded.real_kafka $(ARGS)

bench: $(STAMP) ## measure latency, throughput and paint times; ARGS="NAME --quick" for one of them
	@exec $(BIN)/python -m bench $(ARGS)

soak: $(STAMP) ## what is too long for make test: kills again and again, and rounds of faults on real Kafka
	@exec $(BIN)/python -m bench.soak $(ARGS)

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
lock: ## resolve the locks anew (needs uv on the PATH)
	@$(LOCK) --upgrade --extra embedded --extra build --extra dev --output-file requirements.lock
	@$(LOCK) --upgrade --extra build --constraint requirements.lock --output-file deploy/requirements.lock

clean: ## remove what can be made again
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov artifacts deploy/kafka/target
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

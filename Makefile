# Everything runs from this checkout: `make` brings its own uv into .tools/ and the packages into .venv/.
.DEFAULT_GOAL := help
SHELL := /bin/bash
UV_VERSION := 0.13.9
UV := .tools/bin/uv
RUN := $(UV) run --frozen --no-sync
PROTOS := $(shell find proto -name '*.proto')
export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: help
help: ## List what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(UV):
	@python3 -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: $(UV) uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)
	@$(UV) sync --frozen --quiet
	@touch $@

.PHONY: sync
sync: .venv/.synced ## Install the locked packages into .venv

.PHONY: lock
lock: $(UV) ## Update uv.lock after a pyproject.toml changed
	@$(UV) lock
	@$(UV) sync --frozen --quiet
	@touch .venv/.synced

.PHONY: proto
proto: .venv/.synced ## Regenerate libs/protos from proto/
	@$(RUN) python -m grpc_tools.protoc -I proto --python_out=libs/protos/src --grpc_python_out=libs/protos/src \
		--mypy_out=quiet:libs/protos/src --mypy_grpc_out=quiet:libs/protos/src $(PROTOS)

# Everything is installed below this checkout: uv into .tools/, the packages into .venv/.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.DELETE_ON_ERROR:
UV_VERSION := 0.13.9
UV := .tools/bin/uv
RUN := $(UV) run --frozen --no-sync
PROTOS := $(shell find proto -name '*.proto')
PYPROJECTS := pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)
# Tools that render and check manifests have an environment of their own: they are many, and the services need none.
MANIFEST_TOOLS := .tools/manifests
# The contracts must not break those on the published main, or on the local one.
BREAKING_AGAINST := $(shell git rev-parse --verify --quiet origin/main >/dev/null && echo refs/remotes/origin/main || echo refs/heads/main)
# mypy checks each folder of tests by itself, because each has a conftest.py, and the sources with tests/ first.
TESTS := $(wildcard libs/*/tests services/*/tests tools/*/tests)
MYPY := $(RUN) sh -c 'if [ $$1 = sources ]; then folder=; else folder=$$1; fi; mypy --no-error-summary --cache-dir .mypy_cache/$$1 $$folder' mypy
PROTOC = $(RUN) python -m grpc_tools.protoc -I proto --python_out=$(1) --grpc_python_out=$(1) \
	--mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)
IMAGES := $(wildcard services/*) tools/stripe-simulator
IMAGE_TAG ?= dev
BUILD_IMAGES = set -e; for folder in $(IMAGES); do \
	DOCKER_BUILDKIT=1 docker build --quiet --file $$folder/Dockerfile --tag holdfast/$$(basename $$folder):$(IMAGE_TAG) \
		--build-arg UV_VERSION=$(UV_VERSION) --build-arg REVISION=$$(git rev-parse --short HEAD) . ; \
	done
# Tests that run on containers: a few in `make test` if Docker runs, and these in `make test-containers`.
A_FEW_ON_CONTAINERS := tests/e2e/test_p3_exactly_once.py
ON_CONTAINERS ?= $(A_FEW_ON_CONTAINERS) services/checkout-session services/orders \
	$(patsubst %,tests/e2e/test_%.py,outages retries subscriptions concurrent_requests)
LONG_ON_CONTAINERS := $(patsubst %,tests/e2e/test_%.py,kills concurrent_mixed_carts)
CONTAINER_PYTEST = env -u TMPDIR HOLDFAST_TEST_SERVERS=containers HOLDFAST_IMAGE_TAG=$(IMAGE_TAG) $(RUN) pytest
# Node and npm are Python packages too. npm's scripts look for `node` in PATH.
WITH_NODE := PATH="$(CURDIR)/.venv/bin:$$PATH"
NPM := $(WITH_NODE) npm --prefix frontend
SHOP := frontend/shop/dist/index.html
SHOP_SOURCES := $(shell find frontend \( -name node_modules -o -name dist -o -name test -o -name examples -o -name '*.md' \) -prune -o -type f -print)
STRIPE_TYPES := frontend/node_modules/.stripe-types.json
API_TYPES := frontend/packages/checkout/src/api.ts
PRINT_API_TYPES = $(RUN) python -m payments_gateway.print_openapi | $(WITH_NODE) frontend/node_modules/.bin/openapi-typescript \
	--root-types --root-types-no-schema-prefix --alphabetize
# The demo and the tests work without the shop, where npm's registry cannot be reached.
TRY_SHOP = mkdir -p .holdfast; $(MAKE) --silent frontend >.holdfast/frontend.log 2>&1 || \
	echo "The shop could not be built: $$(grep -im1 error .holdfast/frontend.log) (see .holdfast/frontend.log)."
# make bench leaves it out where npm's registry cannot be reached.
NODE_SHOP := bench/node_shop/node_modules/.installed
TRY_NODE_SHOP = $(MAKE) --silent $(NODE_SHOP) >/dev/null 2>&1 || echo 'The Node shop could not be installed: it is not measured.'
# Some browser tests are in `make test`, if there is a browser.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
IN_BROWSER := $(if $(CHROMIUM),(not browser or quick),not browser)
# Their figures would suffer from a second worker.
MEASURED_ALONE := $(wildcard tests/browser/test_performance.py)
LONG_MEASURED_ALONE := $(wildcard services/orders/tests/postgres/test_migrate_large.py \
	$(patsubst %,tests/e2e/test_%.py,forged_ids load_at_stripe_limits hung_replica overload rolling_restarts))
# The tests clean up by themselves; testcontainers' own cleaner would be one more image to pull.
export TESTCONTAINERS_RYUK_DISABLED ?= true
export UV_PYTHON_DOWNLOADS := never
# Keep compiled bytecode: the tests start hundreds of processes, and each would compile everything again.
export UV_COMPILE_BYTECODE := 1
export PYTHONDONTWRITEBYTECODE :=
# With enough memory, tests write to /dev/shm: on a disk, creating databases takes most of the time.
IN_MEMORY := $(shell df --output=avail --block-size=G /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 + 0 >= 8 { print "/dev/shm" }')
ifneq ($(IN_MEMORY),)
test test-long test-faults test-mutants fuzz: export TMPDIR ?= $(IN_MEMORY)
endif

.PHONY: help
help: ## List what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

.PHONY: demo
demo: .venv/.synced ## Start everything on this machine, buy something, stay up until Ctrl-C
	@$(TRY_SHOP)
	@$(RUN) devstack demo

.PHONY: certs
certs: .venv/.synced ## Make a test CA and certificates in .holdfast/certs
	@$(RUN) devstack certs $(CERTS_ARGS)

.PHONY: test
test: .venv/.synced ## Run the tests on embedded servers, and a few in Chromium and on containers if those are there
	@$(TRY_SHOP)
	@$(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore=tests/deploy -m "not long and not containers and $$([ -e $(SHOP) ] && echo '$(IN_BROWSER)' || echo 'not browser')" $(PYTEST_ARGS)
ifeq ($(CHROMIUM),)
	@echo 'There is no Chromium: no test was run in a browser.'
endif
ifeq ($(PYTEST_ARGS),)
	@if [ -e frontend/node_modules/.installed ]; then $(MAKE) --silent frontend-test; \
	else echo 'The packages of the frontend could not be installed: no test of it was run.'; fi
	@if docker info >/dev/null 2>&1; then \
		( $(BUILD_IMAGES) ) && $(CONTAINER_PYTEST) $(A_FEW_ON_CONTAINERS); \
	else echo 'Docker does not run: no test was run on containers.'; fi
endif

.PHONY: test-long
test-long: .venv/.synced ## Run long tests: kills at every call, cluster changes and mixed carts under load
	@$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/deploy -m "long and not browser" $(LONG_MEASURED_ALONE:%=--ignore=%) $(PYTEST_ARGS)
	@$(RUN) pytest -m long $(LONG_MEASURED_ALONE)

.PHONY: frontend
frontend: $(SHOP) $(STRIPE_TYPES) ## Build the shop into frontend/shop/dist, and extract Stripe's published types for the tests

.PHONY: frontend-dev
frontend-dev: GATEWAY ?= $(shell sed -n 's/^ *"gateway": "\(.*\)",/\1/p' $${HOLDFAST_HOME:-.holdfast}/stack.json 2>/dev/null)
frontend-dev: frontend/node_modules/.installed ## Serve the shop from its sources, with the gateway of a running make demo or GATEWAY=
	@$(if $(GATEWAY),,echo 'No gateway: run make demo beside this, or set GATEWAY=http://…'; exit 1)
	@GATEWAY=$(GATEWAY) $(NPM) run dev --silent

.PHONY: frontend-types
frontend-types: frontend/node_modules/.installed ## Regenerate the frontend's types of the gateway's API
	@set -o pipefail; fresh=$$(mktemp) && trap 'rm -f "$$fresh"' EXIT && $(PRINT_API_TYPES) >"$$fresh" && cp "$$fresh" $(API_TYPES)

.PHONY: conformance
conformance: .venv/.synced $(STRIPE_TYPES) ## Compare the Stripe simulator with Stripe's published types, and print the table
	@$(RUN) pytest -q -n 0 --capture=no tools/stripe-simulator/tests/conformance

.PHONY: frontend-test
frontend-test: frontend/node_modules/.installed ## Run the tests of the shop and its package
	@$(NPM) run test --silent

.PHONY: test-browser
test-browser: .venv/.synced frontend ## Run the tests of the shop in Chromium (BROWSER_SEQUENCES=5 random buyers)
ifneq ($(PYTEST_ARGS),)
	@$(RUN) pytest -n 2 --dist loadfile -m browser $(PYTEST_ARGS)
else
	@$(RUN) pytest -n 2 --dist loadfile -m browser $(MEASURED_ALONE:%=--ignore=%)
	@$(MEASURED_ALONE:%=$(RUN) pytest %)
endif

.PHONY: screenshots
screenshots: .venv/.synced frontend ## Make the pictures of the shop in docs/images anew
	@$(RUN) pytest -n 0 -q tests/browser/screenshots.py

.PHONY: images
images: ## Build the images of the services and of the Stripe simulator, as holdfast/NAME:dev
	@$(BUILD_IMAGES)

.PHONY: test-containers
test-containers: .venv/.synced $(MANIFEST_TOOLS)/.synced images ## Run the tests that need Docker, and others on containers
	@HOLDFAST_IMAGE_TAG=$(IMAGE_TAG) $(RUN) pytest -m containers $(PYTEST_ARGS)
	@$(CONTAINER_PYTEST) -n 2 --dist loadfile -m "not long and not containers" $(ON_CONTAINERS)

.PHONY: test-containers-long
test-containers-long: .venv/.synced images ## Run long tests on containers: kills at every call, mixed carts under load
	@$(CONTAINER_PYTEST) -n 2 --dist loadfile -m long $(LONG_ON_CONTAINERS)

.PHONY: test-mutants
test-mutants: .venv/.synced $(MANIFEST_TOOLS)/.synced mutants-apply ## Remove each guard in turn and see its test fail (CHANGED=1: those that differ from main; MUTANTS="name …"; LEAVE_OUT=folder; MINUTES=10)
	@$(RUN) python -m tests.mutants $(if $(CHANGED),--changed $(BREAKING_AGAINST)) $(LEAVE_OUT:%=--leave-out %) $(MINUTES:%=--minutes %) $(MUTANTS)

.PHONY: test-faults
test-faults: .venv/.synced ## Buy under faults of every kind and check each promise (SEED=1 CHECKOUTS=500 FAULTS_ARGS="--wipe …")
	@$(RUN) python -m tests.faults $(SEED:%=--seed %) $(CHECKOUTS:%=--checkouts %) $(FAULTS_ARGS)

.PHONY: bench bench-quick
bench: .venv/.synced ## Measure load, cost and latency of the whole stack (10 min on a quiet machine)
	@$(TRY_NODE_SHOP)
	@$(RUN) python -m bench full
bench-quick: .venv/.synced ## The same in one minute, for the machinery rather than the figures
	@$(RUN) python -m bench quick

.PHONY: bench-report
bench-report: .venv/.synced ## Write the figures and plots of docs/performance.md from the newest make bench (RESULT=file)
	@$(UV) run --frozen --inexact --group plots python -m bench report $(RESULT)

.PHONY: bench-growth
bench-growth: .venv/.synced ## Measure checkouts and reads at 10^3 to 10^6 attempts and orders, and with several processes (15 min)
	@$(RUN) python -m bench growth $(BENCH_ARGS)

.PHONY: bench-compare
bench-compare: .venv/.synced ## Compare the processor time of a checkout with another version's, in alternation (BASE=commit or folder)
	@$(RUN) python -m bench compare $(BASE) $(BENCH_ARGS)

.PHONY: fuzz
fuzz: .venv/.synced ## Send malformed input to every edge for FUZZ_SECONDS (600)
	@$(RUN) python -m tests.fuzz

.PHONY: check
check: format-check lint types boundaries contracts stubs-current lock-current dockerfiles manifests mutants-apply words frontend-check ## Check format, lint, types, boundaries, contracts, generated files, Dockerfiles, manifests, mutants, words and the frontend

.PHONY: fmt
fmt: .venv/.synced frontend/node_modules/.installed ## Format, and fix lint findings that can be fixed
	@$(RUN) ruff format --quiet .
	@$(RUN) ruff check --quiet --fix .
	@$(NPM) run fmt --silent

.PHONY: format-check lint types boundaries contracts stubs-current lock-current dockerfiles manifests mutants-apply words frontend-check
format-check: .venv/.synced
	@$(RUN) ruff format --check --quiet .
lint: .venv/.synced
	@$(RUN) ruff check --quiet .
types: .venv/.synced
	@printf '%s\n' sources $(TESTS) | xargs -P 2 -I{} $(MYPY) {}
boundaries: .venv/.synced
	@$(RUN) lint-imports --no-logo >.import_linter_report || { cat .import_linter_report; rm -f .import_linter_report; exit 1; }
	@rm -f .import_linter_report
contracts: .venv/.synced
	@$(RUN) buf format --diff --exit-code
	@$(RUN) buf lint
	@$(RUN) buf breaking --against '.git#ref=$(BREAKING_AGAINST)'
stubs-current: .venv/.synced
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call PROTOC,$$fresh) && diff -r -x __pycache__ "$$fresh" libs/protos/src || { echo 'libs/protos is not current: run make proto'; exit 1; }
lock-current: $(UV)
	@$(UV) lock --check --quiet && $(UV) lock --check --quiet --project deploy/tools || { echo 'uv.lock is not current: run make lock'; exit 1; }

words: .venv/.synced
	@$(RUN) python -m tests.docs.words
dockerfiles: .venv/.synced
	@$(RUN) hadolint $(IMAGES:%=%/Dockerfile) deploy/examples/pgbouncer/Dockerfile
manifests: .venv/.synced $(MANIFEST_TOOLS)/.synced ## Render the manifests and the chart, and check them
	@found=$$($(RUN) pytest -q -n 0 tests/deploy 2>&1) || { echo "$$found"; exit 1; }
mutants-apply: .venv/.synced
	@$(RUN) python -m tests.mutants --apply-only
frontend-check: frontend/node_modules/.installed
	@found=$$($(NPM) run check --silent 2>&1) || { echo "$$found"; exit 1; }
	@set -o pipefail; $(PRINT_API_TYPES) | diff -q - $(API_TYPES) >/dev/null || { echo '$(API_TYPES) is not current: run make frontend-types'; exit 1; }

.PHONY: proto
proto: .venv/.synced ## Regenerate libs/protos from proto/
	@$(call PROTOC,libs/protos/src)

.PHONY: chart
chart: $(MANIFEST_TOOLS)/.synced ## Regenerate the Helm chart from the production overlay
	@$(MANIFEST_TOOLS)/bin/python deploy/tools/chart.py deploy/helm/holdfast

.PHONY: lock
lock: $(UV) ## Update uv.lock after a pyproject.toml changed
	@$(UV) lock
	@$(UV) lock --project deploy/tools
	@$(UV) sync --frozen --quiet
	@touch .venv/.synced

.PHONY: sync
sync: .venv/.synced ## Install the locked packages into .venv

.PHONY: clean
clean: ## Remove installed packages, caches and the data of make demo
	@rm -rf .venv .tools .holdfast .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find frontend \( -name node_modules -o -name dist \) -prune -exec rm -rf {} +
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@python3 -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: Makefile uv.lock $(PYPROJECTS) | $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

$(MANIFEST_TOOLS)/.synced: deploy/tools/pyproject.toml deploy/tools/uv.lock deploy/tools/prepare.py | $(UV)
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(MANIFEST_TOOLS) $(UV) sync --frozen --quiet --project deploy/tools
	@$(MANIFEST_TOOLS)/bin/python deploy/tools/prepare.py
	@touch $@

$(NODE_SHOP): bench/node_shop/package-lock.json bench/node_shop/.npmrc | .venv/.synced
	@$(WITH_NODE) npm --prefix bench/node_shop ci --loglevel=error --no-progress
	@touch $@

frontend/node_modules/.installed: frontend/package-lock.json frontend/.npmrc | .venv/.synced
	@$(NPM) ci --loglevel=error --no-progress
	@touch $@

$(STRIPE_TYPES): frontend/node_modules/.installed frontend/conformance/stripe_types.ts
	@$(WITH_NODE) node frontend/conformance/stripe_types.ts >$@

$(SHOP): frontend/node_modules/.installed $(SHOP_SOURCES)
	@$(NPM) run build --silent

# Two commands: `make demo` and `make test`. Both set everything up first, inside this folder and nowhere else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .tools
# Everything that is fetched stays in the checkout; certificates are the system's, where a company's own are.
export UV_CACHE_DIR := $(CURDIR)/$(TOOLS)/uv-cache
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled once: a process that compiles what it imports takes seconds to start, and tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
# pip asks the system only from 24.2 on, and what venv brings is often older.
ifeq ($(PIP_CERT)$(REQUESTS_CA_BUNDLE),)
export PIP_CERT := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
endif
# Tests wait more than they work: two processes share the machine well. 0 runs them one after the other in one.
PROCESSES ?= 2
TOGETHER = $(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
# Collecting all of the tests takes half a minute.
ALONE = $(shell grep -rl --include='test_*.py' 'mark\.alone' tests)
# They alone reach each branch of the modules that pyproject.toml has measured. Measuring while the API's tests run would take
# a third more of their time: the same 331 tests 35 s of a core, 47 with coverage.
COVERING := tests/schemas/test_addresses.py tests/schemas/test_networks.py tests/schemas/test_sealing.py \
	tests/schemas/test_signing.py tests/schemas/test_urls.py tests/processors/test_acks.py tests/processors/test_dialling.py \
	tests/processors/test_judging.py tests/processors/test_own_addresses.py tests/processors/test_retries.py \
	tests/processors/test_routing.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow lint bench fuzz faults verifiers openapi catalogue settings lock clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(TOOLS)/ready ## virtual environment, Kafka's jars, a JRE and PostgreSQL, all in this folder

demo: $(TOOLS)/ready ## events in, signed webhooks out, retries, dead letters and their replay: real servers, under 30 s
	@$(BIN)/hookline demo

test: $(TOOLS)/ready ## what must hold, in some 12 minutes, on a real Kafka and a real PostgreSQL
	$(BIN)/coverage erase
	$(TOGETHER) -m 'not slow and not alone' --cov --cov-report= $(COVERING)
	$(BIN)/coverage report --fail-under=100
	$(TOGETHER) -m 'not slow and not alone' $(addprefix --ignore=,$(COVERING))
	$(BIN)/pytest -m 'alone and not slow' $(ALONE)

slow: $(TOOLS)/ready ## what starts, kills and waits for whole processes: 15 minutes more
	$(TOGETHER) -m 'slow and not alone'
	$(BIN)/pytest -m 'slow and alone' $(ALONE)

lint: $(TOOLS)/ready ## ruff, mypy strict, the order of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(TOOLS)/ready ## deliveries/s and latencies on this machine, and its limit in the same run
	$(BIN)/python -m bench.deliveries

fuzz: $(TOOLS)/ready ## 10,000 requests made from the API's own description; SEED=… INPUTS=… to choose
	$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

faults: $(TOOLS)/ready ## what breaks, on purpose: hours; FAULTS=… RUNS=… SEED=… SCALE=… JSON=… to choose
	$(BIN)/python -m tests.faults $(FAULTS) $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(SCALE),--scale $(SCALE)) $(if $(JSON),--json $(JSON))

verifiers: $(TOOLS)/ready ## signatures, OAuth and AsyncAPI judged by others' libraries; needs Node 20+ and Go 1.24+
	@$(BIN)/python -m tests.verifiers

openapi: $(TOOLS)/ready ## write docs/openapi.json and docs/asyncapi.yaml anew
	$(BIN)/hookline openapi > docs/openapi.json
	$(BIN)/hookline asyncapi > docs/asyncapi.yaml

catalogue: $(TOOLS)/ready ## check the event types' files and write docs/event-types.md anew
	$(BIN)/hookline schemas check
	$(BIN)/python -m compose.event_types_page

settings: $(TOOLS)/ready ## write the tables of settings and permissions into docs/
	$(BIN)/python -m compose.settings_table
	$(BIN)/python -m compose.permissions_table

lock: $(TOOLS)/ready ## resolve the dependencies anew and rewrite the locks
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		requirements/uv.in -o requirements/uv.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra command pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(BIN)/python -m compose.jars --lock

clean: ## remove what was set up here; the data in .hookline stays
	rm -rf $(VENV) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build *.egg-info

$(TOOLS)/ready: $(TOOLS)/packages compose/jars.lock
	$(BIN)/python -m compose.jars
	@touch $@

$(TOOLS)/packages: requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Hookline needs Python 3.11 or later; {sys.executable} is {v[0]}.{v[1]}: call make PYTHON=python3.12")'
	@mkdir -p $(TOOLS)
	@# Anew also when it was left half made, or the checkout was moved.
	$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --no-cache-dir --require-hashes -r requirements/uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/dev.txt requirements/uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

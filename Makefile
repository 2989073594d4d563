# SPDX-License-Identifier: GPL-2.0-only
# Each target does the set-up that it needs; `make help` lists them.

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup yardsticks build check test acceptance soak demo experiments compare bench clean

SHELL := /bin/sh
PYTHON := .venv/bin/python
READY := .venv/ready
C_SOURCES = $(wildcard src/towline/*/*.c src/towline/*/*.h src/towline/*/*/*.c tests/*/*.c benchmarks/*.c benchmarks/*/*.c benchmarks/*/*.h)

# Namespaces and BPF programs need root; what runs as root leaves no files of root's in the tree.
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo)
PASSED_ON = TOWLINE_DEBUG=$(TOWLINE_DEBUG) TOWLINE_CLANG=$(TOWLINE_CLANG) TOWLINE_PROTOTYPES=$(TOWLINE_PROTOTYPES)
AS_ROOT = $(SUDO) env PYTHONDONTWRITEBYTECODE=1 CI=$(CI) $(PASSED_ON)
PYTEST = $(PYTHON) -m pytest -p no:cacheprovider

define COMPILE
from towline.bpf import FOLDER, INCLUDE, policy_names, policy_source
from towline.kernel.clang import compile_program
for name in policy_names():
    print(compile_program(policy_source(name), flags=(INCLUDE,)))
print(compile_program(FOLDER / "sender.bpf.c"))
endef
export COMPILE

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## install what is missing: Debian packages, .venv with towline in it

$(READY): setup.sh pyproject.toml
	./setup.sh
	@touch $@

yardsticks: $(READY) .venv/yardsticks ## install what `lab compare` and the acceptance tests use besides: rsync, scp's server, aioquic, Chromium

.venv/yardsticks: setup.sh pyproject.toml | $(READY)
	./setup.sh acceptance
	@touch $@

build: $(READY) ## compile the BPF programs (they are compiled when they are needed, too)
	$(PYTHON) -c "$$COMPILE"

check: $(READY) ## lint, format, types, format of the C sources
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	sh -n setup.sh
	$(if $(C_SOURCES),.venv/bin/clang-format --dry-run -Werror $(C_SOURCES))

# What measures times, or counts what others could add to, comes last and has the machine to itself.
TOGETHER = end_to_end protocol bpf cli kernel sockets transfer transmit delivery
TEST_TOGETHER = $(TOGETHER:%=test-%)

test: root ## check, and all tests but the slow ones
	+$(MAKE) --no-print-directory --jobs=2 --output-sync check $(TEST_TOGETHER)
	$(AS_ROOT) $(PYTEST) -m 'not acceptance' $(TOGETHER:%=--ignore=tests/%)

.PHONY: $(TEST_TOGETHER)
$(TEST_TOGETHER): test-%: root
	$(AS_ROOT) $(PYTEST) -m 'not acceptance' tests/$*

acceptance: yardsticks root ## each promise in full; takes hours
	$(AS_ROOT) TOWLINE_FULL=1 $(PYTEST) -m acceptance

soak: root ## random transfers over impaired paths, each verified; SOAK="--minutes 90" passes options
	$(AS_ROOT) $(PYTHON) -m towline lab soak $(SOAK)

demo: root ## a real file over a veth pair, checked, with a table of what happened
	$(AS_ROOT) $(PYTHON) -m towline demo

experiments: root ## a quick version of every plan in plans/, and one page that shows them all
	$(AS_ROOT) $(PYTHON) -m towline lab sweep plans/*.toml --quick --output results/quick
	$(AS_ROOT) $(PYTHON) -m towline lab report results/quick

compare: yardsticks root ## towline beside TCP, QUIC, rsync, scp ... over one wire; COMPARE="--loss 1% --rate 200mbit" passes options
	$(AS_ROOT) $(PYTHON) -m towline lab compare $(COMPARE)

bench: root ## speed beside a bare copy loop and TCP, in one run; BENCH="--rounds 7" passes options
	$(AS_ROOT) $(PYTHON) -m benchmarks $(BENCH)

.PHONY: root
root: $(READY)
	@[ "$$(id -u)" -eq 0 ] || command -v sudo >/dev/null || \
		{ echo "make: this needs root: run it as root, or install sudo" >&2; exit 1; }

clean: ## remove what was made, .venv too
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

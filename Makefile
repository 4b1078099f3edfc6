# What a person runs: `make demo`, `make test`. Each sets up by itself what it needs.

# Tests wait more than they compute, so several processes share a processor: this many. A test file is run by one of
# them, so that its tests may share what is slow to start; those with few tests, which last long, are not left to the
# end.
parallel = -n $(shell expr $(1) '*' "$$(nproc)") --maxprocesses 8 --dist loadfile --no-loadscope-reorder
UNIT = $(call parallel,2)
INTEGRATION = $(call parallel,3)

# Tests start the programs a thousand times, and each start would compile them anew.
unexport PYTHONDONTWRITEBYTECODE

BIN = $(if $(wildcard .venv/bin/python3),.venv/bin/)

help:
	@echo 'make demo         a real guest, a virtmuxd and a console, in about a minute (seconds the second time)'
	@echo 'make test         set-up, then every check and test'
	@echo 'make check        ruff, mypy and the import rules'
	@echo 'make unit         the tests that need no libvirtd, no root and no network'
	@echo 'make integration  the tests against a real libvirtd with real guests'
	@echo 'make repeat       the same with full counts and real deadlines: long, and shows its progress'
	@echo 'make chaos        faults of every kind at once, for MINUTES=10, and what clients were told held against them'
	@echo 'make soak         200 consoles, 500 clients and a fault every few seconds, for MINUTES=30'
	@echo 'make soak-bytes   256 MiB out of a guest and 16 MiB into it, every byte checked: shows its progress'
	@echo 'make install      for packages: puts all below DESTDIR, for PREFIX; enables and starts nothing'
	@echo 'make docs         writes what stands in docs/ and is made from the code'
	@echo 'make lock         writes daemon/requirements*.txt: what a service installs, by version and hash'
	@echo 'make fuzz         looks for inputs that break something, for MINUTES=10: under atheris, which it installs'
	@echo 'make mutants      changes the core and the protocol, one thing at a time: does a test, or mypy, notice each?'
	@echo 'make bench        what virtmux costs, and how fast it is, beside conserver, conman and virsh: ten minutes'
	@echo 'make stranger     has the README tried on minimal machines: SUITES="bookworm trixie", STEPS="wheel demo test"'
	@echo 'make setup        installs what the above need; says what, first'
	@echo 'make clean        removes what the above made in this directory'

setup:
	@tools/setup test

demo:
	@tools/setup demo
	@.venv/bin/python3 tools/demo.py

# One after the other also under `make -j`, and each in a make of its own, which sees the .venv that set-up made.
test:
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory integration

check:
	$(BIN)ruff check
	$(BIN)ruff format --check
	$(BIN)mypy
	$(BIN)lint-imports

# A packager's build chroot has no .venv: then it is the python3 on PATH.
unit:
	$(BIN)python3 -m pytest $(UNIT) --ignore=tests/integration

integration:
	$(BIN)python3 -m pytest $(INTEGRATION) tests/integration

# What only repetition proves (tests/harness/counts.py).
repeat: export VIRTMUX_REPEAT = 1
repeat:
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory integration INTEGRATION='-o faulthandler_timeout=3600'

# VIRTMUX_SEED, which a run prints, says what each does next; whose turn it is, is the machine's doing.
chaos: export VIRTMUX_CHAOS_MINUTES = $(MINUTES)
chaos:
	@$(MAKE) --no-print-directory setup
	.venv/bin/python3 -m pytest -o faulthandler_timeout=3600 tests/integration/test_chaos.py

soak: MINUTES = 30
soak:
	@tools/setup bench
	.venv/bin/python3 -m tests.soak --minutes $(MINUTES)

# Full amounts of the bytes that pass the whole chain.
soak-bytes: export VIRTMUX_SOAK_BYTES = 1
soak-bytes:
	@$(MAKE) --no-print-directory setup
	.venv/bin/python3 -m pytest -o faulthandler_timeout=3600 tests/integration/test_byte_streams.py

# For who makes a package: all of it below DESTDIR. Python packages that virtmux needs are not installed. Where the
# package's own tools put the wheel there, which has the manual pages too, `make install-system` is the rest.
PREFIX = /usr/local
PYTHON = python3

install: install-python install-system

install-python install-system: export DESTDIR := $(DESTDIR)
install-python install-system: export PREFIX := $(PREFIX)
install-python install-system: export PYTHON := $(PYTHON)
install-python:
	tools/install-python
install-system:
	tools/install-system

# What stands in docs/ and is made from the code; a test compares.
docs:
	$(BIN)python3 -m tools.schema
	$(BIN)python3 -m tools.manpages
	$(BIN)python3 -m tools.diagram

# The newest versions that pyproject.toml allows. It asks the package index.
lock:
	@tools/setup lock
	.venv/bin/python3 -m tools.lock

# What it finds, and what it keeps, is in tests/fuzz/__main__.py.
MINUTES = 10
fuzz:
	@tools/setup fuzz
	.venv/bin/python3 -m tests.fuzz --minutes $(MINUTES)

# `make mutants MODULES=virtmuxd.core.claim` for some, by globs.
mutants:
	@tools/setup mutants
	.venv/bin/python3 -m tests.mutants $(MODULES)

# Each prints its table, and keeps it in tests/bench/results.
bench:
	@tools/setup bench
	.venv/bin/python3 -m tests.bench

# The machines are made below DIR, and gone at the end; what was said in them is in build/stranger.
stranger: SUITES = bookworm trixie
stranger: USERS = root stranger
stranger: STEPS = wheel demo test
stranger: DIR = /var/tmp
stranger:
	@tools/setup stranger
	.venv/bin/python3 -m tests.stranger $(SUITES:%=--suite %) $(USERS:%=--user %) --directory '$(DIR)' $(STEPS)

# Where the tests ran through sudo, libvirt's files are root's.
clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache || sudo rm -rf build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo test check unit integration repeat chaos soak soak-bytes install install-python install-system docs lock bench fuzz mutants stranger clean

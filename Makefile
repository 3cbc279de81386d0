# Two commands do everything: `make demo` and `make test`. Each makes .venv, installs, and runs; later runs start at once.
#
# PYTHON    the interpreter to build .venv from (3.11 or newer)
# PIP_ARGS  further arguments for pip, e.g. PyTorch's CPU packages on Linux without a GPU (saves 2.5 GB):
#           make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# WORKERS   processes that run tests side by side
# ARGS      further arguments for the command, e.g. make demo ARGS="--data har --frames 500"

PYTHON   ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
ARGS     ?=
BIN      := .venv/bin
# Tests wait about as long as they compute: two workers a core.
WORKERS  ?= $(shell "$(PYTHON)" -c 'import os; print(2 * (os.cpu_count() or 1))')
# Tests of one file share what it sets up; files marked `early` come first.
FAST      = -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long"
PYTEST    = $(BIN)/python -m pytest $(FAST)
SOURCES  := pyproject.toml constraints.txt setup.py $(wildcard hybrid_model/runtime/native/*)

.PHONY: demo test coverage test-long chaos outage budget fuzz soak bench networks lint install help clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s '	'

demo: .venv/.demo  ## the whole pipeline on this machine: brokers, an edge worker, two cloud workers, real samples
	$(BIN)/dewpoint demo $(ARGS)

test: .venv/.dev  ## lint, types, architecture and the fast tests
	@# The lint runs beside the tests, which wait more than they compute; what it says comes behind what they say.
	@mkdir -p build; $(MAKE) --no-print-directory lint >build/lint.log 2>&1 & lint=$$!; \
	trap 'kill $$lint 2>/dev/null' INT TERM; \
	$(PYTEST) $(ARGS); tests=$$?; \
	wait $$lint; linted=$$?; cat build/lint.log; \
	[ $$tests -eq 0 ] && [ $$linted -eq 0 ]

coverage: .venv/.dev  ## the fast tests once more, with the branches that they take, in build/coverage
	rm -rf build/coverage; mkdir -p build/coverage
	COVERAGE_FILE="$(CURDIR)/build/coverage/data" $(BIN)/coverage run -m pytest $(FAST) $(ARGS)
	COVERAGE_FILE="$(CURDIR)/build/coverage/data" $(BIN)/coverage combine -q
	COVERAGE_FILE="$(CURDIR)/build/coverage/data" $(BIN)/coverage report | tee build/coverage/report.txt | tail -1

test-long: .venv/.dev  ## what takes minutes
	$(BIN)/python -m pytest -m long $(ARGS)

chaos: .venv/.dev  ## 20,000 samples under at least 200 faults: workers killed, servers restarted and wiped, links cut
	$(BIN)/python -m tests.chaos --samples 20000 --faults 200 --seconds 3600 --json chaos.json $(ARGS)

outage: .venv/.dev  ## a demonstration without Redis for a minute, with a picture
	$(BIN)/python -m tests.chaos.outage --seconds 60 --json outage.json --picture docs/images/outage.svg $(ARGS)

budget: .venv/.dev  ## exit control: a share kept though the picture blurs, a latency though a cloud worker is killed
	$(BIN)/python -m tests.control --json budget.json --picture docs/images/budget.svg $(ARGS)

fuzz: .venv/.dev  ## a million inputs to every decoder
	$(BIN)/python -m tests.fuzz --inputs 1000000 --json fuzz.json $(ARGS)

soak: .venv/.dev  ## half an hour at half the capacity: does anything grow?
	$(BIN)/python -m tests.soak --minutes 30 --json soak.json --picture docs/images/soak.svg $(ARGS)

bench: .venv/.bench  ## a short form of every benchmark, in under ten minutes, and one table of ratios
	$(BIN)/python -m benchmarks.short --json bench.json $(ARGS)

networks: .venv/.dev  ## the shipped networks anew, in slices; ARGS="--minutes 20", "--list", "--only digits", "--try"
	$(BIN)/python -m tools.networks $(ARGS)

lint: .venv/.dev  ## ruff, mypy, import-linter, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

install: .venv/.dev  ## everything that development needs

.venv/.python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Dewpoint needs Python 3.11 or newer; give it by PYTHON=/path/to/python3.11"; exit 2; }
	"$(PYTHON)" -m venv .venv
	@touch $@

.venv/.demo: .venv/.python $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[cloud,demo]"
	@touch $@

.venv/.dev: .venv/.python $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[cloud,explore,demo,dev]"
	@touch $@ .venv/.demo

.venv/.bench: .venv/.dev
	$(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[bench]"
	@touch $@

clean:  ## removes what was built and installed
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

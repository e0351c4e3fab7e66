# Every target sets itself up on a machine with Python 3.11 or newer, make and a C++ compiler.

PYTHON ?= python3
ONLY ?=
PRESET ?= small
BOARD ?= ulx3s-85f
CONFIG ?=
BAUD ?=
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

.PHONY: help setup sim test test-full wheel-test bench reproduce mutants coverage verilog bitstream load boards boards-route lint docs clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment in .venv, exactly as in requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

sim: $(READY) ## a trained network through the simulated accelerator, with a report
	$(BIN)/heddle demo

test: $(READY) ## all tests but the long sweeps
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-full: $(READY) ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "" -o faulthandler_timeout=7200 --hypothesis-profile random

wheel-test: $(READY) ## the wheel, and one from the sdist, in an empty environment
	$(BIN)/python .ci/wheel.py

bench: $(READY) ## measurements into build/bench.json (ONLY=prefix for some of them)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m heddle.sim.bench --only "$(ONLY)"  # CPU time is of one thread

reproduce: $(READY) ## accuracies of every recipe into docs/accuracy.json (hours; ARGS=... says of what)
	$(BIN)/python -m heddle.sim.reproduce $(ARGS)

mutants: $(READY) ## would a test notice? 200 small faults, results into docs/mutants.json (an hour)
	$(BIN)/python -m heddle.sim.mutants

coverage: $(READY) ## functional coverage of the hardware into build/coverage.json
	$(BIN)/heddle coverage

verilog: $(READY) ## standalone Verilog of one configuration (PRESET=small)
	$(BIN)/heddle verilog --preset $(PRESET)

bitstream: $(READY) ## a file to load into a board (BOARD=ulx3s-85f, CONFIG=int8_4x4, BAUD=115200)
	$(BIN)/heddle bitstream --board $(BOARD) $(if $(CONFIG),--config $(CONFIG)) $(if $(BAUD),--baud $(BAUD))

load: $(READY) ## load it (BOARD=ulx3s-85f, CONFIG=…); needs openFPGALoader
	$(BIN)/heddle load --board $(BOARD) $(if $(CONFIG),--config $(CONFIG)) $(if $(BAUD),--baud $(BAUD))

boards: $(READY) ## take new bitstreams' reports into docs/boards/, and make the table of boards
	$(BIN)/heddle boards

boards-route: $(READY) ## first make the bitstreams whose reports are of an older gateware (hours)
	$(BIN)/heddle boards --route

lint: $(READY) ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(READY) ## the pages that are generated from the code
	$(BIN)/heddle docs

clean: ## remove what was built, but not .venv
	rm -rf build

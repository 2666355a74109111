# Every target creates .venv from requirements.lock when it is missing.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
PROFILE ?= cpu
SEEDS   ?= 1
REASON  ?=
BIN     := .venv/bin
PW      := $(BIN)/plottwist

.DEFAULT_GOAL := help
.PHONY: help reproduce test test-slow figures verify report record lab lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

reproduce: .venv/ready  ## run every notebook of a profile, then show the claims (PROFILE=cpu SEEDS=1)
	$(PW) reproduce --profile $(PROFILE) --seeds $(SEEDS)

test: .venv/ready  ## lint, all fast tests, the smoke profile of all notebooks
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/ready  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

figures: .venv/ready  ## redraw every figure from stored tables
	$(PW) figures --profile $(PROFILE)

verify: .venv/ready  ## compare the last run with the committed results
	$(PW) verify --profile $(PROFILE)

report: .venv/ready  ## executed notebooks and claims as a static site, build/site/index.html
	$(PW) report --profile $(PROFILE)

record: .venv/ready  ## make the last run the reference (REASON="why")
	$(PW) record --profile $(PROFILE) --reason "$(REASON)"

lab: .venv/ready  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/nbstripout --verify notebooks/*.ipynb

lock: .venv/ready
	$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+.*/\1/' | grep -vE '^(pip|setuptools|wheel)=' > requirements.lock

clean:  ## delete build/ (results of runs; the committed ones stay)
	rm -rf build

.venv/ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3.11 is needed (make PYTHON=/path/to/python3.11)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

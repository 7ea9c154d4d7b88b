# The two commands are `make demo` and `make test`; `make help` lists the rest.
VENV := .venv
DEV := .venv-dev
BIN := $(VENV)/bin
DEVBIN := $(DEV)/bin
LAYOUT := single
FAULT := mta_stopped
MODE :=
LAB := tests/lab/lab
.SHELLFLAGS := -eu -o pipefail -c
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help setup demo faults lab lab-down test quick lint unit sanity lab-tests sample gym chaos bench build clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing and make the virtual environment
	@.ci/setup $(VENV) requirements.txt

demo: setup ## break a mail server of the lab and diagnose it (FAULT=none LAYOUT=split MODE=auto)
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/lab/demo $(LAYOUT) $(FAULT) $(MODE)

faults: setup ## the faults that the lab can have
	@$(BIN)/python tests/gym/gym list

lab: setup ## boot the lab (LAYOUT=single or split) and leave it up
	@$(LAB) up $(LAYOUT)

lab-down: ## remove the lab's hosts
	@$(LAB) down

$(DEV)/.digest: requirements.txt requirements-dev.txt
	@.ci/setup $(DEV) requirements-dev.txt

test: $(DEV)/.digest ## all that continuous integration runs
	@.ci/setup $(DEV) requirements-dev.txt
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test

quick: $(DEV)/.digest ## ruff, and the unit tests without the slow ones, within a minute
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test quick

lint: $(DEV)/.digest ## ruff, yamllint and ansible-lint
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test lint

unit: $(DEV)/.digest ## unit tests, without a network
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test unit

sanity: $(DEV)/.digest ## ansible-test sanity on an exported tree
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test sanity

lab-tests: $(DEV)/.digest ## integration tests and a sample of the gym, on lab hosts
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test integration sample

sample: $(DEV)/.digest ## the part of the gym that is this commit's turn (SAMPLE=104: the 104th's)
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test sample

gym: $(DEV)/.digest ## the whole gym: every fault diagnosed, every remedy tried; takes its time
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test gym

chaos: $(DEV)/.digest ## kills, cuts and reboots amid repairs (ROUNDS=60 SEED=7)
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" .ci/test chaos

bench: $(DEV)/.digest ## the benchmarks, as ratios, into reports/bench.json
	@PACKAGES=tests/bench/packages.txt .ci/setup $(DEV) requirements-dev.txt
	@PATH="$(CURDIR)/$(DEVBIN):$$PATH" python tests/bench/run

build: setup ## the installable collection, mailops-outage-VERSION.tar.gz
	@$(BIN)/ansible-galaxy collection build --force

clean: lab-down ## remove the lab, the virtual environments and caches
	@rm -rf $(VENV) $(DEV) .venv-* .cache .pytest_cache .hypothesis *.tar.gz

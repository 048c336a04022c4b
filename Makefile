# Airloom's commands. `make demo` and `make test` do all their set-up; a second call does none again.
# Two environments, each from a lock with hashes: Airflow's side and the stages' (their pins conflict).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV    := .venv
UV      := $(VENV)/uv/bin/uv
AIRFLOW := $(VENV)/airflow/bin
STAGES  := $(VENV)/stages/bin

export DO_NOT_TRACK := 1

.PHONY: help setup
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/airflow/.ready $(VENV)/stages/.ready ## Both environments, from their locks

$(UV): docker/uv.txt
	python3 -m venv $(VENV)/uv
	$(VENV)/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r docker/uv.txt
	touch $@

$(VENV)/airflow/.ready: $(UV) requirements.txt tests/requirements-airflow.txt include/pyproject.toml plugins/pyproject.toml
	test -x $(AIRFLOW)/python || $(UV) venv --quiet --python 3.11 $(VENV)/airflow
	VIRTUAL_ENV=$(VENV)/airflow $(UV) pip sync --quiet --require-hashes requirements.txt tests/requirements-airflow.txt
	VIRTUAL_ENV=$(VENV)/airflow $(UV) pip install --quiet --no-deps -e include -e plugins
	touch $@

$(VENV)/stages/.ready: $(UV) docker/stage-cpu/requirements.txt tests/requirements-stages.txt include/pyproject.toml
	test -x $(STAGES)/python || $(UV) venv --quiet --python 3.11 $(VENV)/stages
	VIRTUAL_ENV=$(VENV)/stages $(UV) pip sync --quiet --require-hashes docker/stage-cpu/requirements.txt tests/requirements-stages.txt
	VIRTUAL_ENV=$(VENV)/stages $(UV) pip install --quiet --no-deps -e include
	touch $@

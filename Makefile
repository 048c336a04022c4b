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
DEMO_HOME := $(CURDIR)/build/demo
LOCK    := --python-version 3.11 --generate-hashes --no-annotate --no-header

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

$(VENV)/bench/.ready: $(UV) tests/bench/requirements.txt include/pyproject.toml plugins/pyproject.toml
	test -x $(VENV)/bench/bin/python || $(UV) venv --quiet --python 3.11 $(VENV)/bench
	VIRTUAL_ENV=$(VENV)/bench $(UV) pip sync --quiet --require-hashes tests/bench/requirements.txt
	VIRTUAL_ENV=$(VENV)/bench $(UV) pip install --quiet --no-deps -e include -e plugins
	touch $@

$(VENV)/executors/.ready: $(UV) tests/executors/requirements.txt include/pyproject.toml plugins/pyproject.toml
	test -x $(VENV)/executors/bin/python || $(UV) venv --quiet --python 3.11 $(VENV)/executors
	VIRTUAL_ENV=$(VENV)/executors $(UV) pip sync --quiet --require-hashes tests/executors/requirements.txt
	VIRTUAL_ENV=$(VENV)/executors $(UV) pip install --quiet --no-deps -e include -e plugins
	touch $@

AIRFLOW_VERSIONS := 3.1 3.2
$(AIRFLOW_VERSIONS:%=$(VENV)/airflow-%/.ready): $(VENV)/airflow-%/.ready: $(UV) tests/airflow_versions/airflow-%.txt
	test -x $(VENV)/airflow-$*/bin/python || $(UV) venv --quiet --python 3.11 $(VENV)/airflow-$*
	VIRTUAL_ENV=$(VENV)/airflow-$* $(UV) pip sync --quiet --require-hashes tests/airflow_versions/airflow-$*.txt
	touch $@

.PHONY: demo up down status
demo: setup ## The flight pipeline's life on real data; stays up until `make down` (STAY=0 stops at the end; RUNTIME=kubernetes: stages as pods)
	AIRLOOM_HOME=$(DEMO_HOME) $(if $(filter kubernetes,$(RUNTIME)),$(STAGES)/python -m tests.cluster.demo,$(STAGES)/airloom demo) $(if $(filter 0,$(STAY)),--stop)

up: setup ## Start the embedded Airflow, MLflow and gateway on loopback
	$(STAGES)/airloom up

down: ## Stop whatever `make up` or `make demo` left running
	@test ! -x $(STAGES)/airloom || { $(STAGES)/airloom down; AIRLOOM_HOME=$(DEMO_HOME) $(STAGES)/airloom down; }
	@test ! -e build/cluster/pids || $(STAGES)/python -m tests.cluster.local down

status: setup ## What runs, and where
	@$(STAGES)/airloom status || test $$? = 3 # 3: nothing runs, which is no fault
	@AIRLOOM_HOME=$(DEMO_HOME) $(STAGES)/airloom status || test $$? = 3

.PHONY: test test-stages test-airflow
test: test-stages test-airflow ## The fast tests: unit, contracts, scenarios, and a real DAG run from end to end

test-stages: setup
	OMP_NUM_THREADS=1 $(STAGES)/pytest $(PYTEST_ARGS) --ignore tests/unit/airloom_airflow --ignore tests/dag_runs --ignore tests/cluster --ignore tests/chart --ignore tests/compose --ignore tests/dist --ignore tests/executors --ignore tests/images tests

test-airflow: setup
	$(AIRFLOW)/pytest $(PYTEST_ARGS) tests/unit/airloom_airflow tests/dag_runs

.PHONY: emulators
emulators: ## Azurite, by which the tests have Azure's blobs (Node.js, npm); its tests are skipped without
	npm install --prefix build/emulators --no-audit --no-fund --silent azurite@3.35.0
.PHONY: test-executors
test-executors: setup $(VENV)/executors/.ready ## The executors and databases, each part of Airflow on a disk of its own (root, Debian, Go)
	$(STAGES)/pytest $(PYTEST_ARGS) tests/executors

.PHONY: test-airflow-versions
test-airflow-versions: dist $(AIRFLOW_VERSIONS:%=$(VENV)/airflow-%/.ready) ## The Airflow side's tests on older Airflows, from the two wheels
	for version in $(AIRFLOW_VERSIONS); do \
		echo "Airflow $$version"; \
		VIRTUAL_ENV=$(VENV)/airflow-$$version $(UV) pip install --quiet --offline --no-deps --reinstall build/dist/*.whl; \
		$(VENV)/airflow-$$version/bin/pytest $(PYTEST_ARGS) tests/unit/airloom_airflow tests/unit/airloom/spec tests/dag_runs; \
	done

.PHONY: test-cluster cluster-up cluster-down cluster-status
test-cluster: setup ## The tests on a real Kubernetes, on this machine or AIRLOOM_TEST_KUBECONFIG's
	$(STAGES)/pytest $(PYTEST_ARGS) tests/cluster

cluster-up: setup ## A real Kubernetes on this machine (root, Debian, Go); the first time builds it
	@$(STAGES)/python -m tests.cluster.local up

cluster-down: ## Stop it, and leave nothing of it
	@test ! -x $(STAGES)/python || $(STAGES)/python -m tests.cluster.local down

cluster-status: setup ## What of it runs
	@$(STAGES)/python -m tests.cluster.local status

.PHONY: images test-images test-reproducible-images
images: ## The four container images, as archives that `docker load` takes (root, Debian)
	@python3 -m tests.images build

test-images: setup ## The tests of the images, built and run for real (root, Debian)
	$(STAGES)/pytest $(PYTEST_ARGS) --deselect tests/images/test_images.py::test_the_same_inputs_give_the_same_bytes tests/images

test-reproducible-images: setup ## Each image built a second time, to the same bytes
	$(STAGES)/pytest $(PYTEST_ARGS) tests/images/test_images.py::test_the_same_inputs_give_the_same_bytes

.PHONY: dist test-dist
dist: $(UV) ## A release, of one version, in build/dist: wheels, source archives, chart, the images' tags
	@python3 -m tests.dist

test-dist: setup ## The wheels, installed by pip into empty environments (from the package index)
	$(STAGES)/pytest $(PYTEST_ARGS) tests/dist

.PHONY: test-chart
test-chart: setup ## The Helm chart: rendered with every preset, then installed and upgraded on a real cluster (root, Debian, Go)
	$(STAGES)/pytest $(PYTEST_ARGS) tests/chart

.PHONY: test-compose
test-compose: setup ## docker-compose.yaml brought up whole on a Docker engine of its own (root, Debian, Go)
	$(STAGES)/pytest $(PYTEST_ARGS) tests/compose

.PHONY: check format
check: setup ## Lint, types, architecture, schemas, docs and locks
	$(STAGES)/ruff check .
	$(STAGES)/ruff format --check .
	$(STAGES)/mypy include/airloom
	$(AIRFLOW)/mypy plugins/airloom_airflow
	$(AIRFLOW)/lint-imports --no-cache
	$(STAGES)/python tests/checks/schemas_true.py
	$(STAGES)/python tests/checks/docs_true.py
	$(STAGES)/python -m tests.checks.chart_reference
	$(STAGES)/python tests/checks/locks_true.py
	$(STAGES)/python tests/checks/dists_true.py
	$(STAGES)/python tests/checks/airflow_public.py

format: setup ## Let ruff put the code in its form
	$(STAGES)/ruff check --fix --quiet .
	$(STAGES)/ruff format --quiet .

.PHONY: bench bench-large bench-cluster bench-scale
bench: setup $(VENV)/bench/.ready ## Measure against the goals, side by side; writes build/bench.json
	$(STAGES)/python -m tests.bench

bench-large: setup $(VENV)/executors/.ready ## The DAG processor with 5,000 pipelines, on Postgres (root, Debian)
	$(STAGES)/python -m tests.bench large

bench-cluster: setup $(VENV)/executors/.ready ## Stages as pods beside stock KubernetesPodOperator and KubernetesExecutor, on clusters of their own
	$(STAGES)/python -m tests.bench cluster flights cold

bench-scale: setup $(VENV)/executors/.ready ## Two thousand pods at once, on nodes that kwok plays, and in two triggerers
	$(STAGES)/python -m tests.bench scale triggerers

.PHONY: lock clean
lock: $(UV) ## Make the lock files anew
	cd plugins && ../$(UV) pip compile --quiet pyproject.toml --extra statsd --extra postgres $(LOCK) --no-emit-package airloom -o ../requirements.txt
	cd include && ../$(UV) pip compile --quiet pyproject.toml ../docker/stage-cpu/requirements.in --extra embedded $(LOCK) -o ../docker/stage-cpu/requirements.txt
	cd include && ../$(UV) pip compile --quiet pyproject.toml -c ../docker/stage-cpu/requirements.txt $(LOCK) -o ../tests/images/stage-trivial/requirements.txt
	cd include && ../$(UV) pip compile --quiet pyproject.toml ../docker/stage-gpu/requirements.in --extra embedded -c ../docker/stage-cpu/requirements.txt $(LOCK) -o ../docker/stage-gpu/requirements.txt
	cd include && ../$(UV) pip compile --quiet pyproject.toml ../docker/serve/requirements.in --extra serving --extra feast --extra scikit-learn --extra s3 --extra obstore --override ../docker/serve/overrides.txt -c ../docker/stage-cpu/requirements.txt $(LOCK) -o ../docker/serve/requirements.txt
	$(UV) pip compile --quiet tests/requirements.in -c requirements.txt $(LOCK) -o tests/requirements-airflow.txt
	$(UV) pip compile --quiet tests/requirements.in -c docker/stage-cpu/requirements.txt $(LOCK) -o tests/requirements-stages.txt
	cd plugins && ../$(UV) pip compile --quiet pyproject.toml --extra celery --extra postgres --extra amazon -c ../requirements.txt $(LOCK) --no-emit-package airloom -o ../tests/executors/requirements.txt
	$(UV) pip compile --quiet tests/bench/requirements.in -c requirements.txt $(LOCK) -o tests/bench/requirements.txt
	cd plugins && ../$(UV) pip compile --quiet pyproject.toml --extra statsd ../tests/airflow_versions/requirements.in ../tests/airflow_versions/airflow-3.1.in $(LOCK) --no-emit-package airloom --exclude-newer 2026-03-12 --exclude-newer-package obstore=2026-11-20 --resolution lowest-direct -o ../tests/airflow_versions/airflow-3.1.txt
	cd plugins && ../$(UV) pip compile --quiet pyproject.toml --extra statsd ../tests/airflow_versions/requirements.in ../tests/airflow_versions/airflow-3.2.in $(LOCK) --no-emit-package airloom --exclude-newer 2026-05-30 --exclude-newer-package obstore=2026-11-20 -o ../tests/airflow_versions/airflow-3.2.txt

clean: down ## Undo set-up and everything that was made
	rm -rf $(VENV) build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

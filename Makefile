# Specimen: `make run` serves, `make test` tests. Both set themselves up; `make help` lists the rest.

SHELL := /bin/sh
PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.installed
MODELS := $(or $(GATEWAY_MODELS_DIR),models)
NAME := $(or $(GATEWAY_MODEL_NAME),my_model)
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
SERVING_IMAGE ?= tensorflow/serving:2.20.0
CODE := protocol stubs gateway serving training deploy tests benchmarks notebooks

.DEFAULT_GOAL := help
.PHONY: help setup run demo test fast check faults soak chaos containers lint fix notebooks trace bench fashion up release sbom audit licences lock protocol clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment .venv from the lock file

$(READY): requirements.lock
	@python="$(PYTHON)"; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  [ -n "$$python" ] && break; \
	  $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && python=$$candidate; \
	done; \
	[ -n "$$python" ] || { echo "Specimen needs Python 3.11, 3.12 or 3.13; name yours with make PYTHON=/path/to/python3" >&2; exit 1; }; \
	echo "Making $(VENV) with $$($$python --version); the first time takes a minute or two" >&2; \
	$$python -m venv --clear $(VENV) || { echo "No venv module: install your system's package for it, such as python3-venv" >&2; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

run: $(READY) ## Serve on http://localhost:8080: gateway and model servers; Ctrl-C ends all of it
ifeq ($(GATEWAY_UPSTREAM)$(wildcard $(MODELS)/$(NAME)/*/saved_model.pb),)
	@$(PY) -m training demo --models $(MODELS) --name $(NAME)
endif
	@exec $(PY) -m gateway

demo: $(READY) ## Make the demo model anew
	@$(PY) -m training demo --models $(MODELS) --name $(NAME) --force

test: fast $(READY) ## Run every test, two at a time; what a machine cannot run skips with its reason
	@$(PY) -m pytest -q -n 2 --dist loadfile -m "(slow or browser) and not faults and not chaos and not docker"

fast: $(READY) ## Run the tests that start no model server and no browser, two at a time
	@$(PY) -m pytest -q -n 2 -m "not slow and not browser and not faults and not chaos and not docker"

faults: $(READY) ## Provoke the fault catalogue and write docs/faults.md: ten minutes
	@rm -f runs/faults/edge.jsonl
	@FAULTS_REPORT=$(CURDIR)/runs/faults/edge.jsonl $(PY) -m pytest -q -m faults tests/faults
	@$(PY) -m tests.faults.document runs/faults/*.jsonl

soak: $(READY) ## Work for ten minutes at 70 % load with faults on, and add what was seen to docs/faults.md
	@rm -f runs/faults/soak.jsonl
	@FAULTS_SOAK_S=600 FAULTS_REPORT=$(CURDIR)/runs/faults/soak.jsonl $(PY) -m pytest -q -m faults tests/faults/test_soak.py
	@$(PY) -m tests.faults.document runs/faults/*.jsonl

chaos: $(READY) ## Let replicas fail under load and report what clients see: nine minutes
	@rm -f runs/faults/chaos.jsonl
	@FAULTS_REPORT=$(CURDIR)/runs/faults/chaos.jsonl CHAOS_REPORT=$(CURDIR)/docs/chaos.md $(PY) -m pytest -q -m chaos tests/chaos
	@$(PY) -m tests.faults.document runs/faults/*.jsonl

containers: $(READY) ## Build the images and try them on the Docker Engine, Swarm included: a quarter of an hour
	@$(PY) -m pytest -q -m docker tests/containers

check: lint fast ## Format, lint, types, layers and the fast tests: a minute

lint: $(READY) ## Format, lint, types and layers
	@$(PY) -m ruff format --check --quiet $(CODE) || { echo "not formatted: run make fix" >&2; exit 1; }
	@$(PY) -m ruff check --quiet $(CODE)
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo >/dev/null || $(VENV)/bin/lint-imports

fix: $(READY) ## Format, mend what the linter can, write the generated docs
	@$(PY) -m ruff check --quiet --fix-only $(CODE)
	@$(PY) -m ruff format --quiet $(CODE)
	@$(PY) -m jupytext --quiet --sync notebooks/*.py
	@$(PY) -m nbconvert --clear-output --inplace --log-level=ERROR notebooks/*.ipynb
	@$(PY) -m tests.documents

notebooks: $(READY) ## Open the notebooks in Jupyter Lab; from then on git compares and merges them by cells
	@$(PY) -m nbdime config-git --enable 2>/dev/null || echo "no git checkout: notebooks will be compared as text" >&2
	@cd notebooks && exec ../$(PY) -m jupyterlab

trace: $(READY) ## Print the files and functions that one upload passes, in order
	@$(PY) -m tests.trace

bench: $(READY) ## Measure one upload: CPU, latency, memory, start
	@$(PY) -m benchmarks

fashion: $(READY) ## Train on Fashion-MNIST (dataset-fashion-mnist of Debian): half an hour of CPU
	@$(PY) -m training.demo.fashion_mnist runs/fashion-photos --train 20000 --test 10000
	@$(PY) -m training train runs/fashion-photos --run runs/fashion --weights none --width 0.35 --sizes 56 \
	  --epochs 12 --rates 3e-3 --batch 64 --augment mirror --label-smoothing 0.05 --dropout 0.1

up: ## Build and start everything in containers: http://localhost:8080
	@image="$${SERVING_IMAGE:-$(SERVING_IMAGE)}"; \
	docker image inspect "$$image" >/dev/null 2>&1 || docker pull --quiet "$$image" >/dev/null 2>&1 || { \
	  echo "$$image cannot be had here: building the stand-in, specimen/standin" >&2; image=specimen/standin; \
	  docker build --quiet -f serving/standin.Dockerfile -t specimen/standin .; }; \
	SERVING_IMAGE="$$image" $(COMPOSE) up --build --detach

release: $(READY) ## Build and tag the serving image of a model version: make release MODEL=models/my_model
	@$(PY) -m deploy.release "$(MODEL)"

sbom: $(READY) ## Write what is in each image, as CycloneDX, into runs/sbom
	@mkdir -p runs/sbom
	@for image in "gateway gateway heic otel" "standin serving" "notebooks gateway training notebooks"; do \
	  set -- $$image; name=$$1; shift; \
	  $(PY) deploy/locked.py $$@ | PYTHONWARNINGS=ignore $(VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	    --output-file runs/sbom/$$name.json - || exit 1; \
	done

audit: $(READY) ## Ask for known vulnerabilities of what is locked (needs the network)
	@$(VENV)/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

licences: $(READY) ## Write the licences of all dependencies into runs/licences.md
	@mkdir -p runs
	@$(VENV)/bin/pip-licenses --python=$(PY) --format=markdown --order=license --with-urls --output-file=runs/licences.md

lock: $(READY) ## Write the lock file anew from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade -o requirements.lock

# Not newer than the locked grpcio: what protoc generates needs a protobuf at least as new as its own.
PROTOC ?= uvx --from grpcio-tools==1.85.1 python-grpc-tools-protoc

protocol: ## Generate TensorFlow Serving's messages from protocol/*.proto (needs uv)
	@$(PROTOC) --proto_path=. --python_out=. --pyi_out=. protocol/*.proto

clean: ## Remove what can be made again: .venv, models, caches
	@rm -rf $(VENV) models runs .mypy_cache .ruff_cache .pytest_cache .hypothesis

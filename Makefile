# Specimen: `make run` serves and `make test` tests. Both install what they need. `make help` lists all targets.

SHELL := /bin/sh
PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.installed
MODELS := $(or $(GATEWAY_MODELS_DIR),models)
NAME := $(or $(GATEWAY_MODEL_NAME),$(MODEL),my_model)
EVERYDAY := $(if $(filter everyday,$(MODEL)),--everyday)
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
SERVING_IMAGE ?= tensorflow/serving:2.20.0
CODE := protocol stubs gateway serving training deploy tests benchmarks notebooks

.DEFAULT_GOAL := help
.PHONY: help setup run demo test fast check faults soak chaos cost attacks containers lint fix notebooks trace bench fashion up release sbom audit licences lock protocol clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Create the virtual environment .venv from the lock file

$(READY): requirements.lock
	@python="$(PYTHON)"; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  [ -n "$$python" ] && break; \
	  $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && python=$$candidate; \
	done; \
	[ -n "$$python" ] || { echo "No Python 3.11, 3.12 or 3.13 found; name one with make PYTHON=/path/to/python3" >&2; exit 1; }; \
	echo "Creating $(VENV) with $$($$python --version); this takes a minute or two" >&2; \
	$$python -m venv --clear $(VENV) || { echo "Python could not create $(VENV): if its venv module is missing, install your system's package for it, such as python3-venv" >&2; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

run: $(READY) ## Start gateway and model servers on http://localhost:8080; Ctrl-C stops them. MODEL=everyday: common names
ifeq ($(GATEWAY_UPSTREAM)$(filter-out everyday,$(MODEL))$(wildcard $(MODELS)/$(NAME)/*/saved_model.pb),)
	@$(PY) -m training demo $(EVERYDAY) --models $(MODELS) --name $(NAME)
endif
	@GATEWAY_MODEL_NAME=$(NAME) exec $(PY) -m gateway

demo: $(READY) ## Export the demo model again, or MODEL=everyday
	@$(PY) -m training demo $(EVERYDAY) --models $(MODELS) --name $(NAME) --force

test: fast $(READY) ## Run all tests, two at a time; tests that cannot run here skip with a reason
	@$(PY) -m pytest -q -n 2 --dist loadfile -m "(slow or browser) and not faults and not chaos and not docker"

fast: $(READY) ## Run the tests that need no model server and no browser, two at a time
	@$(PY) -m pytest -q -n 2 -m "not slow and not browser and not faults and not chaos and not docker"

faults: $(READY) ## Provoke the faults of the catalogue and write docs/faults.md: ten minutes
	@rm -f runs/faults/edge.jsonl
	@FAULTS_REPORT=$(CURDIR)/runs/faults/edge.jsonl $(PY) -m pytest -q -m faults tests/faults
	@$(PY) -m tests.faults.document runs/faults/*.jsonl

soak: $(READY) ## Run for ten minutes at 70 % load with faults, and add the result to docs/faults.md
	@rm -f runs/faults/soak.jsonl
	@FAULTS_SOAK_S=600 FAULTS_REPORT=$(CURDIR)/runs/faults/soak.jsonl $(PY) -m pytest -q -m faults tests/faults/test_soak.py
	@$(PY) -m tests.faults.document runs/faults/*.jsonl

chaos: $(READY) ## Make replicas fail under load, and write docs/chaos.md: nine minutes
	@rm -f runs/faults/chaos.jsonl
	@FAULTS_REPORT=$(CURDIR)/runs/faults/chaos.jsonl CHAOS_REPORT=$(CURDIR)/docs/chaos.md $(PY) -m pytest -q -m chaos tests/chaos
	@$(PY) -m tests.faults.document runs/faults/*.jsonl

cost: $(READY) ## Measure the dearest request of every route, and write the table in docs/threat-model.md: five minutes
	@$(PY) -m tests.attacks.cost; status=$$?; $(PY) -m tests.documents; exit $$status

attacks: $(READY) ## Run the attack suite, and print what another caller saw: fifteen minutes
	@$(PY) -m tests.attacks.suite

containers: $(READY) ## Build the images and test them on a Docker Engine, with Swarm: fifteen minutes
	@$(PY) -m pytest -q -m docker tests/containers

check: lint fast ## Check format, lint, types and layers, and run the fast tests: a minute

lint: $(READY) ## Check format, lint, types and layers
	@$(PY) -m ruff format --check --quiet $(CODE) || { echo "not formatted: run make fix" >&2; exit 1; }
	@$(PY) -m ruff check --quiet $(CODE)
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo >/dev/null || $(VENV)/bin/lint-imports

fix: $(READY) ## Format the code, apply the linter's fixes, write the generated docs
	@$(PY) -m ruff check --quiet --fix-only $(CODE)
	@$(PY) -m ruff format --quiet $(CODE)
	@$(PY) -m jupytext --quiet --sync notebooks/*.py
	@$(PY) -m nbconvert --clear-output --inplace --log-level=ERROR notebooks/*.ipynb
	@$(PY) -m tests.documents

notebooks: $(READY) ## Open the notebooks in Jupyter Lab, and let git compare and merge them by cells
	@$(PY) -m nbdime config-git --enable 2>/dev/null || echo "Not a git checkout: git will not compare notebooks by cells" >&2
	@cd notebooks && exec ../$(PY) -m jupyterlab

trace: $(READY) ## Print the files and functions that one upload passes through, in order
	@$(PY) -m tests.trace

bench: $(READY) ## Measure uploads: CPU, latency, memory, start-up time
	@$(PY) -m benchmarks

fashion: $(READY) ## Train on Fashion-MNIST (Debian's dataset-fashion-mnist): half an hour of CPU
	@$(PY) -m training.demo.fashion_mnist runs/fashion-photos --train 20000 --test 10000
	@$(PY) -m training train runs/fashion-photos --run runs/fashion --weights none --width 0.35 --sizes 56 \
	  --epochs 12 --rates 3e-3 --batch 64 --augment mirror --label-smoothing 0.05 --dropout 0.1

up: ## Build and start everything in containers: http://localhost:8080
	@image="$${SERVING_IMAGE:-$(SERVING_IMAGE)}"; \
	docker image inspect "$$image" >/dev/null 2>&1 || docker pull --quiet "$$image" >/dev/null 2>&1 || { \
	  echo "Cannot pull $$image: building the stand-in, specimen/standin, instead" >&2; image=specimen/standin; \
	  docker build --quiet -f serving/standin.Dockerfile -t specimen/standin .; }; \
	SERVING_IMAGE="$$image" $(COMPOSE) up --build --detach

release: $(READY) ## Build and tag the serving image of a model version: make release MODEL=models/my_model
	@$(PY) -m deploy.release "$(MODEL)"

sbom: $(READY) ## Write the CycloneDX bill of materials of each image to runs/sbom
	@mkdir -p runs/sbom
	@for image in "gateway gateway heic otel" "standin serving" "notebooks gateway training pretrained notebooks"; do \
	  set -- $$image; name=$$1; shift; \
	  $(PY) deploy/locked.py $$@ | PYTHONWARNINGS=ignore $(VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	    --output-file runs/sbom/$$name.json - || exit 1; \
	done

audit: $(READY) ## Check the locked packages for known vulnerabilities (needs the network)
	@$(VENV)/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

licences: $(READY) ## Write the licences of all dependencies, and NOTICE, to runs/licences.md
	@mkdir -p runs
	@$(VENV)/bin/pip-licenses --python=$(PY) --format=markdown --order=license --with-urls --output-file=runs/licences.md
	@{ echo; echo '```'; cat NOTICE; echo '```'; } >>runs/licences.md

lock: $(READY) ## Update the lock file from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade -o requirements.lock

# Not newer than the locked grpcio: generated code needs a protobuf at least as new as that of its protoc.
PROTOC ?= uvx --from grpcio-tools==1.85.1 python-grpc-tools-protoc

protocol: ## Generate TensorFlow Serving's messages from protocol/*.proto (needs uv)
	@$(PROTOC) --proto_path=. --python_out=. --pyi_out=. protocol/*.proto

clean: ## Remove .venv, models, runs and caches
	@rm -rf $(VENV) models runs .mypy_cache .ruff_cache .pytest_cache .hypothesis

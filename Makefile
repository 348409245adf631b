# `make help` lists the targets. `repro` and `test` need nothing but Python 3.11, git and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PYANNOTE_METRICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test ui lint bench results

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv from the pinned requirements

# The .pth file does for .venv/bin/dvc what `activate` does: stages call `python` and must find this one.
$(READY): requirements.txt requirements-nodeps.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --requirement requirements-nodeps.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'emodag_path.pth').write_text( \
	  'import os, sys; p = os.path.join(sys.prefix, \"bin\"); e = os.environ.get(\"PATH\", \"\"); os.environ[\"PATH\"] = e if e.split(os.pathsep)[0] == p else p + os.pathsep + e\n')"
	touch $@

repro: $(READY) ## run the pipeline; only what changed is computed
	emodag check
	emodag prune
	dvc repro

test: $(READY) ## run the tests; those on real corpora need ../shared or EMODAG_SHARED
	python -m pytest

lint: $(READY) ## check style and formatting
	ruff check .
	ruff format --check .

ui: $(READY) ## open MLflow on this checkout's runs
	emodag ui

bench: $(READY) ## measure time and memory of the stages [CORPORA=PATH]; writes bench/results/
	python bench/pipeline.py "$(CORPORA)"

results: $(READY) ## score real corpora: make results CORPORA=PATH; writes metrics/results.json and the README's table
	python bench/results.py "$(CORPORA)"

# `make help` lists the targets. `repro` and `test` need nothing but Python 3.11, git and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OPTIONS := $(VENV)/.options
# pip compiles modules one by one; on all cores that takes half the time.
INSTALL := $(BIN)/pip install --disable-pip-version-check --quiet --no-compile
COMPILE := $(BIN)/python -W ignore -m compileall -q -j 0 -x '/tests/|/testing/_internal/' $(VENV)/lib
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PYANNOTE_METRICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup options repro test serve ui lint bench results bench-augmentation bench-conversations bench-diarization bench-encoder bench-features bench-intervals bench-pitch bench-scale bench-serve bench-startup bench-train bench-transcription train-diarizer

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv from the pinned requirements

# The .pth file does for .venv/bin/dvc what `activate` does: stages call `python` and must find this one.
$(READY): requirements.txt requirements-nodeps.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --requirement requirements.txt
	$(INSTALL) --no-deps --requirement requirements-nodeps.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	$(COMPILE)
	$(BIN)/python -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'emodag_path.pth').write_text( \
	  'import os, sys; p = os.path.join(sys.prefix, \"bin\"); e = os.environ.get(\"PATH\", \"\"); os.environ[\"PATH\"] = e if e.split(os.pathsep)[0] == p else p + os.pathsep + e\n')"
	touch $@

options: $(OPTIONS) ## add what transformers encoders and eGeMAPS need (opensmile: research only)

$(OPTIONS): $(READY) requirements-options.txt
	$(INSTALL) --no-deps --requirement requirements-options.txt
	$(COMPILE)
	touch $@

repro: $(READY) ## run the pipeline; only what changed is computed
	emodag check
	emodag prune
	dvc repro

test: $(OPTIONS) ## run the tests; those on real corpora need ../shared or EMODAG_SHARED
	@# A process that crashes ends the run: the others would wait for its tests for ever.
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(READY) ## check style and formatting
	ruff check .
	ruff format --check .

serve: $(READY) ## answer over HTTP: a page, and emotions of what is uploaded, on http://127.0.0.1:8000
	emodag serve

ui: $(READY) ## open MLflow on this checkout's runs
	emodag ui

bench: $(READY) ## measure time and memory of the stages [CORPORA=PATH]; writes bench/results/
	python bench/pipeline.py "$(CORPORA)"

bench-augmentation: $(READY) ## measure the transforms: make bench-augmentation CORPORA=PATH; writes bench/results/augmentation.json
	python bench/augmentation.py "$(CORPORA)"

bench-conversations: $(READY) ## measure adaptation in conversations: make bench-conversations CORPORA=PATH
	python bench/conversations.py "$(CORPORA)"

bench-diarization: $(READY) ## measure diarization: make bench-diarization CORPORA=PATH RECORDINGS=PATH; writes bench/results/diarization.json
	python bench/diarization.py "$(CORPORA)" "$(RECORDINGS)"

bench-encoder: $(READY) ## measure an encoder: make bench-encoder CORPORA=PATH ENCODER=FILE; writes bench/results/encoder.json
	python bench/encoder.py "$(CORPORA)" "$(ENCODER)"

bench-features: $(OPTIONS) ## measure features: make bench-features CORPORA=PATH; writes bench/results/features.json
	python bench/features.py "$(CORPORA)"

bench-intervals: $(READY) ## simulate how often intervals hold the truth; writes bench/results/intervals.json
	python bench/intervals.py

bench-pitch: $(READY) ## measure F0 against other methods [CORPORA=PATH]; writes bench/results/pitch.json
	python bench/pitch.py "$(CORPORA)"

bench-scale: $(READY) ## measure speed and memory at scale: make bench-scale CORPORA=PATH; writes bench/results/scale.json
	python bench/scale.py "$(CORPORA)"

bench-serve: $(READY) ## measure the service: speed, start and memory; writes bench/results/serve.json
	python bench/serve.py

bench-startup: $(READY) ## measure how long commands take from nothing; writes bench/results/startup.json
	python bench/startup.py

train-diarizer: $(READY) ## train the bundled diarizer's networks anew: make train-diarizer CORPORA=PATH OUT=FOLDER
	python -m emodag.diarization.training "$(CORPORA)" "$(OUT)"

bench-transcription: $(OPTIONS) ## measure word error rates: make bench-transcription CORPORA=PATH; writes bench/results/transcription.json
	python bench/transcription.py "$(CORPORA)"

bench-train: $(READY) ## measure how long networks train: make bench-train CORPORA=PATH; writes bench/results/train.json
	python bench/train.py "$(CORPORA)"

results: $(READY) ## score real corpora: make results CORPORA=PATH [ENCODER=FILE]; writes metrics/results.json and tables
	python bench/results.py "$(CORPORA)" "$(ENCODER)"

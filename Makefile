# One picture in; an editable Blender scene, and the program that builds it, out.
# Every target does its own set-up under this folder: .venv for the agent, .blender for Blenders that are fetched.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

# Names come as they are typed: nothing in them is expanded by make, and recipes read them from the environment, so that
# no shell takes any part of them for a command. Only ARGS and RUNS are shell words.
NAMES := IMAGE MANIFEST FILE DATA OUT MODEL BLENDER PYTHON ONLY N VERSION DIR
$(foreach name,$(NAMES),$(eval override $(name) := $$(value $(name))))
export $(NAMES)
ARGS ?=
RUNS ?=

AGENT := .venv/bin/python
PLAIN37 := blender_server protocol/__init__.py protocol/errors.py protocol/wire.py sandbox/probe_questions.py sandbox/confinement/attempts.py \
	$(wildcard tests/plain/*_cases.py)

ANY_PYTHON := "$${PYTHON:-python3}"

# $(call set-up,WHAT[ OPTIONS]): with PYTHON if given, else with a Python that fits and that the machine's python3 finds.
define set-up
@$(ANY_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || { \
	echo "set-up: $${PYTHON:-python3} is no Python 3.8 or newer. Install one: apt-get install python3 python3-venv" >&2; exit 69; }
@$(ANY_PYTHON) -I sandbox/setting_up.py $(1) $${PYTHON:+--python="$$PYTHON"}
endef

.PHONY: help
help: ## list what you can do
	@echo "make run IMAGE=photo.jpg   turns a picture into a Blender scene. More:"
	@awk -F ':.* ## ' '/^[a-z-]+:.* ## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## IMAGE=photo.jpg [OUT=folder] [MODEL=offline|claude|…] [BLENDER=/path] [ARGS="--preset quick"]
	@test -n "$$IMAGE" || { echo 'Which picture? make run IMAGE=photo.jpg' >&2; exit 64; }
	$(call set-up,run)
	@$(AGENT) -m agent run $${OUT:+--out="$$OUT"} $${MODEL:+--model="$$MODEL"} $${BLENDER:+--blender="$$BLENDER"} $(ARGS) -- "$$IMAGE"

.PHONY: demo
demo: ## [OUT=folder] [BLENDER=/path]: replay a run of Claude's on an example picture, without key or network
	$(call set-up,run)
	@$(AGENT) -m agent run --recording=examples/toy_train_run $${OUT:+--out="$$OUT"} $${BLENDER:+--blender="$$BLENDER"} $(ARGS) -- examples/toy_train.png

.PHONY: resume show verify
resume: ## OUT=runs/NAME [ARGS="--max-minutes 300"]: go on with a run that was stopped, killed or out of budget
show: ## OUT=runs/NAME: what a run has come to
verify: ## OUT=runs/NAME: build a run's scene from its program again, and compare
resume show verify:
	@test -n "$$OUT" || { echo 'Which run? make $@ OUT=runs/NAME' >&2; exit 64; }
	$(call set-up,run)
	@$(AGENT) -m agent $@ $(if $(filter show,$@),,$${BLENDER:+--blender="$$BLENDER"}) $(ARGS) -- "$$OUT"

.PHONY: calibrate
calibrate: ## [MODEL=…] [OUT=folder] [BLENDER=/path] [ARGS="--stages material"]: how often the verifiers err
	$(call set-up,run)
	@$(AGENT) -m agent calibrate $${OUT:+--out="$$OUT"} $${MODEL:+--model="$$MODEL"} $${BLENDER:+--blender="$$BLENDER"} $(ARGS)

.PHONY: evaluate
evaluate: ## RUNS="runs/A runs/B" [DATA=dataset] [OUT=folder] [ARGS="--stages"]: tables and a page of how good they are
	@test -n "$$RUNS$$ARGS" || { echo 'Which runs? make evaluate RUNS="runs/A runs/B"' >&2; exit 64; }
	$(call set-up,evaluation)
	@$(AGENT) -m agent evaluate $${DATA:+--data="$$DATA"} $${OUT:+--out="$$OUT"} $(RUNS) $(ARGS)

# A manifest whose name begins with a dash, as a path: what follows "--" is for each run.
MANIFEST_PATH := "$${MANIFEST/\#-/./-}"

.PHONY: batch farm-submit
batch: ## MANIFEST=rows.csv OUT=folder [ARGS="--at-once 2 -- --preset quick"]: every row, on this machine
farm-submit: ## MANIFEST=rows.csv OUT=folder [ARGS="--licenses vlm:1 -- --max-cost 2"]: the same, on a farm
batch farm-submit:
	@test -n "$$MANIFEST" || { echo 'Which pictures? make $@ MANIFEST=rows.csv OUT=folder' >&2; exit 64; }
	@test -n "$$OUT" || { echo 'Which folder takes the results? make $@ MANIFEST=rows.csv OUT=folder' >&2; exit 64; }
	$(call set-up,run)
	@$(AGENT) -m agent $(subst -, ,$@) $(MANIFEST_PATH) --out="$$OUT" $(ARGS)

.PHONY: farm-status farm-collect farm-retry
farm-status: ## OUT=folder: what has become of each row of a batch
farm-collect: ## OUT=folder: write its report, batch.html, as it stands
farm-retry: ## OUT=folder [ARGS=--failed]: hand in again what is not final
farm-status farm-collect farm-retry:
	@test -n "$$OUT" || { echo 'Which batch? make $@ OUT=folder' >&2; exit 64; }
	$(call set-up,run)
	@$(AGENT) -m agent $(subst -, ,$@) $(ARGS) -- "$$OUT"

.PHONY: farm-local
farm-local: ## [MANIFEST=rows.csv] [OUT=folder] [ARGS="--preset quick"]: a batch on a small Slurm of our own
	$(call set-up,run)
	@$(AGENT) -m agent.farm.slurm.demonstration $${MANIFEST:+$(MANIFEST_PATH)} $${OUT:+--out="$$OUT"} -- $(ARGS)

# As with a manifest: what follows "--" is for each run.
FILE_PATH := "$${FILE/\#-/./-}"

.PHONY: experiment
experiment: ## FILE=table1|mine.toml [DATA=dataset] [OUT=folder] [ARGS=--dry-run]: run what is missing, evaluate, report
	@test -n "$$FILE" || { echo 'Which experiment? make experiment FILE=offline DATA=folder' >&2; exit 64; }
	$(call set-up,evaluation)
	@$(AGENT) -m agent experiment $(FILE_PATH) $${DATA:+--data="$$DATA"} $${OUT:+--out="$$OUT"} $(ARGS)

.PHONY: test
test: ## run the tests, with real Blenders; CI also runs those of the other targets [ARGS="-k name"]
	$(call set-up,test)
	@$(AGENT) -m pytest -q -m "not live and not faults and not farm and not evaluation and not across" $(ARGS)

.PHONY: farm-test
farm-test: ## the tests of batches, on this machine and on a Slurm of our own, and of days unattended
	$(call set-up,test)
	@$(AGENT) -m pytest -q -m farm $(ARGS)

.PHONY: evaluation-test
evaluation-test: ## what whole runs score, and the tests of metrics, which need torch and other packages (400 MB)
	$(call set-up,test)
	$(call set-up,evaluation)
	@$(AGENT) -m pytest -q -m evaluation $(ARGS)

.PHONY: matrix
matrix: ## the same tests with every Blender, as a table [ONLY=4.2] [ARGS="--write docs/blenders.md"]
	$(call set-up,matrix)
	@$(AGENT) -m tests.matrix $${ONLY:+--only="$$ONLY"} $(ARGS)

.PHONY: faults
faults: ## try every fault of the catalogue at the levels that this machine offers [ARGS="--write docs/faults.md"]
	$(call set-up,test)
	@$(AGENT) -m pytest -q -m faults tests/faults $(ARGS)

.PHONY: soak
soak: ## [N=300] edits with faults mixed in: nothing grows, nothing is lost [ARGS="--seed 1 --write docs/faults.md"]
	$(call set-up,test)
	@$(AGENT) -m tests.faults.soak "$${N:-300}" $(ARGS)

.PHONY: farm-soak
farm-soak: ## [N=40] runs on a Slurm of our own where everything is killed now and then [ARGS="--seed 1 --write docs/farm.md"]
	$(call set-up,test)
	@$(AGENT) -m tests.farm.soak "$${N:-40}" $(ARGS)

.PHONY: bench
bench: ## what the box costs and how fast it recovers [ONLY=recovery] [BLENDER=/path]
	$(call set-up,test)
	@$(AGENT) bench/box.py $${ONLY:+--only="$$ONLY"} $${BLENDER:+--blender="$$BLENDER"} $(ARGS)

.PHONY: check
check: ## lint, format, types and syntax; needs no Blender and no key
	$(call set-up,dev)
	@$(AGENT) -m ruff check .
	@$(AGENT) -m ruff format --check .
	@$(AGENT) -m mypy
	@$(AGENT) -m sandbox.plain_syntax 3.7 $(PLAIN37)

.PHONY: format
format: ## lay out the code and repair what the linter can
	$(call set-up,dev)
	@$(AGENT) -m ruff check --fix .
	@$(AGENT) -m ruff format .

.PHONY: doctor
doctor: ## what this machine has and lacks, with a fix for each thing missing
	$(call set-up,agent)
	@$(AGENT) -m agent doctor $(ARGS)

.PHONY: blenders
blenders: ## the Blenders found on this machine
	$(call set-up,agent)
	@$(AGENT) -m agent blenders $(ARGS)

.PHONY: setup
setup: ## only the set-up that a run needs
	$(call set-up,run)

.PHONY: blender
blender: ## [VERSION=4.2|4.5|5.0|5.1|5.2]: fetch a Blender as a Python wheel, whatever else is installed
	$(call set-up,blender $${VERSION:+--version="$$VERSION"})

.PHONY: wheelhouse
wheelhouse: ## [DIR=wheels] [VERSION=4.5] [ARGS=--evaluation]: collect what machines without a network need
	$(call set-up,agent)
	@$(AGENT) -m sandbox.wheelhouse $${VERSION:+--version="$$VERSION"} $(ARGS) -- "$${DIR:-wheels}"

.PHONY: examples
examples: ## render the pictures in examples/ anew, from their own models
	$(call set-up,agent)
	$(call set-up,blender --version=4.5)
	@.blender/bpy-4.5/bin/python -I examples/make_examples.py

.PHONY: regression-set
regression-set: ## [DIR=regression-set] [ARGS="--only tea"]: render our own pictures with ground truth, to evaluate on
	$(call set-up,agent)
	$(call set-up,blender --version=4.5)
	@.blender/bpy-4.5/bin/python -m agent.evaluation.regression $(ARGS) -- "$${DIR:-regression-set}"

.PHONY: lock
lock: ## write requirements/*.txt anew, with the newest versions that fit
	$(call set-up,dev)
	@$(AGENT) -m sandbox.locking

.PHONY: clean
clean: ## remove environments, fetched Blenders and caches; keeps runs/
	rm -rf .venv .blender .setup .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +

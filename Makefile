# A target a stage; each runs the ones before it first, and a finished stage is recognised in moments.
#
#   make                                       the main job of configs/mnist.yaml
#   make compare CONFIG=configs/digits.yaml    another experiment
#   make train MODE=finetune LABELS=1000 SEED=3    one classifier
#   make compare ARGS="--grid.draws 10"        any setting; python -m pipeline compare --help lists them
#   make TRIALS=configs/trials.yaml            settings chosen within the label budget, of several
#   make suggest LABELS=40                     which 40 images to label; then make LABELLED=labels.csv
#   make predict IMAGES=my_images              the best classifier on images of yours; CELL=<folder> names another
#   make reproduce CELL=<folder of a cell>     train it again, elsewhere, and compare

CONFIG ?= configs/mnist.yaml
MODE ?= frozen
LABELS ?= 100
STUDY ?= bottleneck
SEED ?= 0
ARGS ?=
IMAGES ?=
LABELLED ?=
TRIALS ?=
ROUND ?=
CELL ?=
RUNS ?=
PYTHON ?= python3

VENV := .venv
INSTALLED := $(VENV)/.installed
# the variable names the targets that were asked for: stages before them pass over their options in ARGS
PIPELINE := FEWLABELS_BY_MAKE="$(or $(MAKECMDGOALS),all)" $(VENV)/bin/python -m pipeline
AUDIT := $(VENV)/audit/bin/pip-audit
SETTINGS = --config "$(CONFIG)" $(if $(TRIALS),--config "$(TRIALS)") $(if $(LABELLED),--data.labels "$(LABELLED)") $(ARGS)
CHOSEN = $(if $(CELL),--cell "$(CELL)")

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.NOTPARALLEL:
# the study of methods takes hours
STUDIES := $(filter-out methods choose,$(basename $(notdir $(wildcard configs/studies/*.yaml))))
STUDY_CONFIG = configs/studies/$(STUDY).yaml

.PHONY: all install init check-dataset data pretrain sample train compare report label-efficiency vae study studies predict embed export suggest review reproduce compare-runs doctor test test-slow audit bench lint format clean help

all: $(INSTALLED) ## The main job: every stage, ending with the table and the path of the report (default)
	@$(PIPELINE) all $(SETTINGS)

install: $(INSTALLED) ## Create .venv with the pinned dependencies

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.11")'
	@echo 'installing the pinned dependencies into $(VENV); this takes a minute or two'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

init: $(INSTALLED) ## Write a config for the data set IMAGES: a folder, a file, or a name
	@$(PIPELINE) init "$(IMAGES)"

check-dataset: $(INSTALLED) ## Describe the data set of CONFIG, and say what is wrong with it
	@$(PIPELINE) check-dataset $(SETTINGS)

data: $(INSTALLED) ## Unpack (MNIST) or download the images and check them
	@$(PIPELINE) data $(SETTINGS)

pretrain: data ## Pretrain the autoencoder on images without labels
	@$(PIPELINE) pretrain $(SETTINGS)

sample: pretrain ## Draw samples, reconstructions and interpolations from the pretrained latent space
	@$(PIPELINE) sample $(SETTINGS)

train: pretrain ## Train one classifier of the mode MODE on LABELS labels, draw SEED
	@$(PIPELINE) train --mode $(MODE) --labels $(LABELS) --seed $(SEED) $(SETTINGS)

compare: pretrain ## Train the grid of modes x labels x draws; print E_in and E_out side by side
	@$(PIPELINE) compare $(SETTINGS)

label-efficiency: ## All modes, four budgets, eight draws; every cell chooses among three settings by its own labels
	@$(MAKE) --no-print-directory report CONFIG=configs/mnist_label_efficiency.yaml TRIALS=configs/trials.yaml

vae: ## The same on a variational autoencoder (configs/mnist_vae.yaml)
	@$(MAKE) --no-print-directory report CONFIG=configs/mnist_vae.yaml

study: $(INSTALLED) ## Put one claim to the test: STUDY=bottleneck, say; configs/studies/ has the others
	@$(PIPELINE) data --config $(STUDY_CONFIG) $(ARGS)
	@$(PIPELINE) study --config $(STUDY_CONFIG) $(ARGS)

studies: $(INSTALLED) ## Put every claim to the test; the report then has a section on each
	@set -e; for study in $(STUDIES); do $(MAKE) --no-print-directory study STUDY=$$study; done

report: compare ## Write report.html and report.md
	@$(PIPELINE) report $(SETTINGS)

predict: $(if $(CELL),$(INSTALLED),compare) ## Classify IMAGES (a folder, .npy, .npz, IDX) with the best classifier, or CELL
	@$(PIPELINE) predict --images "$(IMAGES)" $(CHOSEN) $(SETTINGS)

embed: pretrain ## Write the latents of IMAGES (train, test, or files) as .npy and CSV; ARGS="--like photo.png"
	@$(PIPELINE) embed $(if $(IMAGES),--images "$(IMAGES)") $(CHOSEN) $(SETTINGS)

export: $(if $(CELL),$(INSTALLED),compare) ## Put the best classifier, or CELL, into a folder: weights, card, ONNX
	@$(PIPELINE) export $(CHOSEN) $(SETTINGS)

suggest: $(INSTALLED) ## Choose the LABELS images that are worth a label most, and write a page to label them on; LABELLED goes on
	@$(PIPELINE) suggest --labels $(LABELS) $(if $(ROUND),--round $(ROUND)) $(SETTINGS)

review: pretrain ## Find labels that are probably wrong, and write a page to correct them on
	@$(PIPELINE) review $(SETTINGS)

reproduce: $(INSTALLED) ## Train the cell in the folder CELL again, elsewhere, and say whether the two match
	@$(PIPELINE) reproduce --cell "$(CELL)" $(SETTINGS)

compare-runs: $(INSTALLED) ## Put the experiments in RUNS="runs/a runs/b ..." side by side
	@$(PIPELINE) compare-runs $(RUNS)

doctor: $(INSTALLED) ## Check versions, devices, data, folders and disk
	@$(PIPELINE) doctor $(SETTINGS)

audit: $(AUDIT) ## Look the pinned versions up among the known holes (asks PyPI)
	@$(AUDIT) --strict --requirement constraints.txt --no-deps --disable-pip --progress-spinner off || { status=$$?; \
	echo 'audit: a hole was found, or the advisories could not be had; which of the two stands above' >&2; exit $$status; }

$(AUDIT): $(INSTALLED)
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit

test: $(INSTALLED) ## Run the tests (under five minutes)
	$(VENV)/bin/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: $(INSTALLED) ## Run the tests that take minutes
	$(VENV)/bin/python -m pytest -m slow

bench: $(INSTALLED) ## Time the pipeline beside what people use now (an hour; ARGS=heads for one topic)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@$(VENV)/bin/python -m benchmarks $(ARGS)
	$(if $(ARGS),,@$(VENV)/bin/python -m benchmarks.growth)
	$(if $(ARGS),,@$(VENV)/bin/python -m benchmarks.batch_sizes)

lint: $(INSTALLED) ## ruff, strict mypy, and the worst patterns of docstrings
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m tools.check_docstrings

format: $(INSTALLED) ## Let ruff put the code in order
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## Remove .venv and caches; data/ and runs/ stay
	rm -rf $(VENV) *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@awk -F':.*## ' '/^[a-z][a-z_ -]*:.*## / { printf "  %-38s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  CONFIG=$(CONFIG)  MODE=$(MODE)  LABELS=$(LABELS)  SEED=$(SEED)  STUDY=$(STUDY)  ARGS="--section.field value ..."'
	@echo '  IMAGES=<path>  LABELLED=labels.csv  ROUND=2  CELL=<folder of a cell or an export>'

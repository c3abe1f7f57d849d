# Needs GNU make, bash and Python 3.11; everything else is installed from the package index on first use.
#
#   make demo                                   KERAS_BACKEND=jax make demo
#   make test                                   make test PYTEST_ARGS="-k masks"
#   make test ENVIRONMENTS=newest BACKENDS=jax  make test-quick KERAS_BACKEND=torch
#   make test-pythons PYTHONS="/path/to/python3.12 /path/to/python3.13"
#   make zoo                                    make zoo BACKENDS=jax ENTRIES="hub_t5 bf_unet"
#   make zoo-layers                             make zoo-layers KERAS_BACKEND=jax
#   make tools                                  make tools TOOLS="hls4ml netron" MODELS=vit
#   make random MODELS=30000 SEED=1             make random KERAS_BACKEND=jax
#   make notebooks                              make notebooks NOTEBOOKS=grad_cam

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
ENVIRONMENTS ?= newest oldest
# The requirements hold PyTorch for Python 3.11.
BACKENDS ?= tensorflow jax $(if $(filter 3.11.%,$(python-version)),torch)
# What `make test-pythons` runs on, besides PYTHON.
PYTHONS ?= python3.12 python3.13
PYTEST_ARGS ?=
# Processes at a time, of `make test` and `make zoo`.
JOBS ?= 2
# The third-party models of `make zoo`, by name; all of them when empty.
ENTRIES ?=
# Words in the titles of the rows of `make tools`, and its models by name; all of them when empty. Of `make random`
# the number of models, and what decides them.
TOOLS ?=
MODELS ?=
SEED ?= 1
# A word in the names of the notebooks to run; all of them when empty.
NOTEBOOKS ?=
# The backend of the demo, the benchmarks, `make test-quick` and `make faults`.
KERAS_BACKEND ?= tensorflow

# Environments live outside the repository, one for each content of the requirements and each Python.
KERASFX_ENVS ?= $(shell echo "$${XDG_CACHE_HOME:-$$HOME/.cache}/kerasfx")
python-version := $(shell $(PYTHON) -c 'import sys; print(*sys.version_info[:3], sep=".")' 2>/dev/null)
env-path = $(KERASFX_ENVS)/$(1)-py$(python-version)-$(shell cat requirements/$(1)*.txt | cksum | cut -d' ' -f1)
newest := $(call env-path,newest)
oldest := $(call env-path,oldest)
# The newest environment with the newest Keras of the index, whatever it is today.
latest := $(subst /newest-,/latest-,$(newest))
zoo := $(call env-path,zoo)
# What `make tools` runs: groups of tools that agree on the versions of what they require.
tool-groups := tools-keras tools-onnx tools-litert

# JAX spends most of the tests compiling small functions: optimising them less makes that 5x faster, and what
# one process compiled the others need not.
test-xla-flags := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
    --xla_cpu_use_fusion_emitters=false
test-jax-cache := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/build/jax-cache \
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
on-backend = XLA_FLAGS="$(test-xla-flags)" $(test-jax-cache) KERAS_BACKEND=$(backend)

# Which tests a run asks, by their markers (pyproject.toml says what these mean). The first environment and the
# first backend ask what is the same everywhere, so that each question is asked whatever is named here.
not-again-environment = $(if $(filter $(firstword $(ENVIRONMENTS)),$(1)),,not once and not any_keras)
not-again-backend = $(if $(filter $(firstword $(BACKENDS)),$(1)),,not once and not any_backend)
questions = $(if $(call not-again-environment,$(1)),$(if $(call not-again-backend,$(2)),\
    every_run,$(call not-again-environment,$(1))),$(call not-again-backend,$(2)))

runs := $(foreach environment,$(ENVIRONMENTS),$(addprefix $(environment)-,$(BACKENDS)))
results := build/test

export PYTHONPATH := $(CURDIR)/src
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_ENABLE_ONEDNN_OPTS ?= 0

.PHONY: help demo environments programs test test-quick test-latest test-pythons random faults lint docs docs-links bench zoo tools \
    aimet notebooks pictures clean \
    $(addprefix run-,$(runs))

help:
	@echo "make demo    prepares models and proves the results equal to the originals"
	@echo "make test    runs the whole suite on $(ENVIRONMENTS) x $(BACKENDS)"
	@echo "make test-quick    the part that notices most, on one backend, in less than two minutes"
	@echo "make test-latest   the whole suite on the newest Keras of the package index"
	@echo "make test-pythons  the quick part on $(PYTHONS)"
	@echo "make random  prepares MODELS random models and judges the results; stopped, it goes on where it was"
	@echo "make faults  plants faults in a copy of the package and asks whether the tests notice"
	@echo "make lint    ruff check, ruff format --check, pyright"
	@echo "make docs    builds the documentation site into build/docs; make docs-links asks the network about its links"
	@echo "make bench   measures the time and memory of prepare_model, how its models run, the graph, and the source itself"
	@echo "make zoo     prepares a hundred models of other packages and of keras.io and judges the results"
	@echo "make tools   runs quantizers, exporters and other tools on five models and on the same prepared"
	@echo "make aimet   takes a subclassed model to the 8 bits of AIMET: prepared, exported, simulated"
	@echo "make notebooks   runs the notebooks of examples/ and writes their outputs back"
	@echo "make pictures    makes the pictures of the README and of the guides"
	@echo "make zoo-layers    counts which of their layers are built-in, without and with lowering"
	@echo "make clean   removes what the others left in this directory"
	@echo "environments: $(KERASFX_ENVS) (set KERASFX_ENVS to move them)"

notebooks: $(newest)/ready
	@$(newest)/bin/python -m examples.notebooks $(NOTEBOOKS)

pictures: $(newest)/ready
	@KERAS_BACKEND=jax $(newest)/bin/python -m examples.pictures

demo: $(newest)/ready
	@KERAS_BACKEND=$(KERAS_BACKEND) $(newest)/bin/python -m examples.demo

bench: $(newest)/ready
	@KERAS_BACKEND=$(KERAS_BACKEND) $(newest)/bin/python -m benchmarks.speed
	@KERAS_BACKEND=$(KERAS_BACKEND) $(newest)/bin/python -m benchmarks.memory
	@$(newest)/bin/python benchmarks/importing.py
	@KERAS_BACKEND=$(KERAS_BACKEND) $(newest)/bin/python -m benchmarks.running
	@KERAS_BACKEND=$(KERAS_BACKEND) $(newest)/bin/python benchmarks/graph.py
	@$(newest)/bin/python benchmarks/house.py

zoo: $(zoo)/ready
	@XLA_FLAGS="$(test-xla-flags)" $(test-jax-cache) $(zoo)/bin/python -m benchmarks.zoo \
	    --backends $(BACKENDS) --jobs $(JOBS) --entries $(ENTRIES)

tools: $(foreach group,$(tool-groups),$(call env-path,$(group))/ready)
	@command -v dot > /dev/null || echo "dot (Graphviz) is not installed: plot_model will say so"
	@command -v g++ > /dev/null || echo "g++ is not installed: hls4ml will say so"
	@$(patsubst %/ready,%/bin/python,$(firstword $^)) -m benchmarks.tools \
	    --jobs $(JOBS) --rows $(TOOLS) --models $(MODELS) \
	    --environments $(foreach group,$(tool-groups),$(group)=$(call env-path,$(group))/bin/python)

# The deprecation that Keras's exporter and NumPy have between them, and what AIMET says while it works.
aimet: $(call env-path,tools-onnx)/ready
	@KERAS_BACKEND=tensorflow PYTHONWARNINGS=ignore $(call env-path,tools-onnx)/bin/python \
	    -m examples.quantize_with_aimet

zoo-layers: $(zoo)/ready
	@KERAS_BACKEND=$(KERAS_BACKEND) $(zoo)/bin/python -m benchmarks.zoo.layers $(ENTRIES)

lint: $(newest)/ready
	$(newest)/bin/python -m ruff check
	$(newest)/bin/python -m ruff format --check
	$(newest)/bin/python -m pyright --pythonpath $(newest)/bin/python

# Whole and anew each time, since a page that is not read again does not warn again. JAX is imported fastest.
docs: $(newest)/ready
	@KERAS_BACKEND=jax $(newest)/bin/python -m sphinx -q -E -W --keep-going -n -b html docs build/docs
	@echo "build/docs/index.html"

docs-links: $(newest)/ready
	@KERAS_BACKEND=jax $(newest)/bin/python -m sphinx -q -E -b linkcheck docs build/docs-links

environments: programs
	@$(MAKE) --no-print-directory --jobs=$(JOBS) \
	    $(foreach environment,$(ENVIRONMENTS),$($(environment))/ready)

# The browser that looks at report pages and the program that lays graphs out are no packages of Python. Where
# they are missing and cannot be installed here, the tests that need them fail and say so.
programs:
	@missing=; command -v chromium > /dev/null || missing="chromium"; \
	command -v dot > /dev/null || missing="$$missing graphviz"; \
	if [ -n "$$missing" ] && command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "installing $$missing (once)"; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
	        apt-get -qq install --yes --no-install-recommends $$missing; } > /dev/null || true; \
	elif [ -n "$$missing" ]; then \
	    echo "not installed, and tests need it: $$missing"; \
	fi

# Every run ends, whether or not another fails; each is printed in one piece when it ends.
test: environments
	@rm -rf $(results)
	@status=0; $(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) --output-sync=line \
	    $(addprefix run-,$(runs)) || status=1; \
	total_passed=0; total_failed=0; \
	count() { grep -o -m1 "<testsuite [^>]*" "$$1" | grep -o " $$2=\"[0-9]*" | grep -o '[0-9]*$$'; }; \
	cpu_seconds() { tail -n 1 "$$1" | tr ms '  ' | awk '{ print 60 * ($$1 + $$3) + $$2 + $$4 }'; }; \
	printf '\n%-20s %8s %8s %8s %9s %12s\n' run passed failed skipped seconds 'CPU seconds'; \
	for run in $(runs); do \
	    junit=$(results)/$$run/junit.xml; \
	    if [ -s $$junit ]; then \
	        skipped=$$(count $$junit skipped); \
	        failed=$$(($$(count $$junit failures) + $$(count $$junit errors))); \
	        passed=$$(($$(count $$junit tests) - failed - skipped)); \
	        printf '%-20s %8d %8d %8d %9d %12.0f\n' $$run $$passed $$failed $$skipped \
	            $$(count $$junit time) $$(cpu_seconds $(results)/$$run/times); \
	    else \
	        passed=0; failed=1; \
	        printf '%-20s %8s\n' $$run "did not finish"; \
	    fi; \
	    total_passed=$$((total_passed + passed)); total_failed=$$((total_failed + failed)); \
	done; \
	[ $$status = 0 ] || [ $$total_failed != 0 ] || echo "A run failed outside its tests: see above."; \
	echo; echo "$$total_passed passed, $$total_failed failed"; \
	exit $$status

# run-newest-jax: the suite and the doctests of the package, in one process. `times` tells the seconds of the
# processors, which others at work on the machine do not change much.
$(addprefix run-,$(runs)): environment = $(firstword $(subst -, ,$*))
$(addprefix run-,$(runs)): backend = $(lastword $(subst -, ,$*))
$(addprefix run-,$(runs)): run-%:
	@mkdir -p $(results)/$*; echo "== $* started"
	@echo "== $*"; status=0; \
	$(on-backend) $($(environment))/bin/python -m pytest \
	    src tests docs/lowering.md --doctest-modules --doctest-glob="*.md" --continue-on-collection-errors \
	    --durations=8 --durations-min=1 -m "$(call questions,$(environment),$(backend))" \
	    -o cache_dir=$(results)/$*/cache --junitxml=$(results)/$*/junit.xml $(PYTEST_ARGS) 2>&1 \
	    | tee $(results)/$*/log || status=1; \
	times > $(results)/$*/times; exit $$status

test-quick: backend = $(KERAS_BACKEND)
test-quick: $(newest)/ready
	@$(on-backend) $(newest)/bin/python -m pytest tests -q -m "quick or once" $(PYTEST_ARGS)

# What to do with a newer Keras: see docs/testing.md.
test-latest: $(latest)/ready
	@$(latest)/bin/python -m pip install --quiet --upgrade keras
	@$(latest)/bin/python -m pip list 2>/dev/null | grep -i '^keras '
	@$(MAKE) --no-print-directory test ENVIRONMENTS=latest

# TensorFlow alone: what differs between versions of Python is the reading of code, closures and errors.
test-pythons:
	@status=0; for python in $(PYTHONS); do \
	    if ! $$python --version; then echo "$$python is not there: nothing was tested on it"; status=1; continue; fi; \
	    $(MAKE) --no-print-directory test-quick PYTHON=$$python || status=1; \
	done; exit $$status

random: backend = $(KERAS_BACKEND)
random: $(newest)/ready
	@$(on-backend) $(newest)/bin/python -m tests.random_models \
	    --models $(or $(MODELS),1000) --seed $(SEED) --out build/random

faults: $(newest)/ready
	@KERAS_BACKEND=$(KERAS_BACKEND) $(newest)/bin/python -m benchmarks.faults

# Made once: the file `ready` appears only after everything was installed.
$(KERASFX_ENVS)/%/ready:
	@[ -n "$(python-version)" ] || { \
	    echo "$(PYTHON) not found; name a Python 3.11: make $(MAKECMDGOALS) PYTHON=/path/to/python"; \
	    exit 1; }
	@mkdir -p $(KERASFX_ENVS); exec 9> $(@D).lock; \
	if command -v flock > /dev/null; then flock 9; fi; \
	if [ ! -e $@ ]; then \
	    echo "creating $(@D) (once; about a minute)"; \
	    name=$(patsubst latest,newest,$(firstword $(subst -py$(python-version), ,$*))); \
	    rm -rf $(@D); \
	    $(PYTHON) -m venv $(@D); \
	    $(@D)/bin/python -m pip install --quiet -r requirements/$$name.txt; \
	    if [ -e requirements/$$name-no-deps.txt ]; then \
	        $(@D)/bin/python -m pip install --quiet --no-deps -r requirements/$$name-no-deps.txt; \
	    fi; \
	    touch $@; \
	fi

clean:
	rm -rf build dist .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

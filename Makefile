# solarxai: everything from a bare Python >= 3.11 and make.
#   make demo       the river on a synthetic Sun, to a verdict      (~5 minutes after installation)
#   make test       linters, types, layers and every fast test      (what continuous integration runs)
#   make test-slow  the tests marked `slow`
#   make test-slurm the tests marked `slurm`, on a Slurm of four nodes started for them
#   make bench      the benchmarks whose figures stand in docs/     (two hours)
#   make clean      remove the environment and the demo's output

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/demo
export OMP_NUM_THREADS ?= 2
export MPLBACKEND := Agg

.PHONY: help install demo test test-slow test-slurm lint bench format clean
help:
	@sed -n 's/^#   //p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "solarxai needs Python 3.11 or newer; this is $$($(PYTHON) -V 2>&1). Install one and run: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "this Python lacks the venv module. Install it (on Debian: apt-get install python3-venv) and run make again."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# An oracle of the tests; its torchvision has no build for a CPU alone, and it works without.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps zennit
	@touch $@

demo: $(STAMP)
	$(BIN)/solarxai run workflows/quickstart.yaml --out $(OUT)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not slurm"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-slurm: $(STAMP)
	$(BIN)/python -m pytest tests/slurm -m slurm

# Those that need real observations tell so: see the heads of the files.
bench: demo
	$(BIN)/python benchmarks/grad_cam_registration.py --write
	$(BIN)/python benchmarks/speed.py --write
	$(BIN)/python benchmarks/methods.py --write
	$(BIN)/python benchmarks/expected_gradients.py --run $(OUT) --write
	$(BIN)/python benchmarks/attribution_prior.py $(OUT) --seeds 0 --write
	$(BIN)/python benchmarks/attribution_prior_spectra.py --out $(OUT)/prior --write
	$(BIN)/python benchmarks/spectral_box.py --write
	$(BIN)/python benchmarks/training_loader.py --write
	$(BIN)/python benchmarks/ingest.py --write
	$(BIN)/python benchmarks/ingest_rasters.py --write
	$(BIN)/python benchmarks/cluster.py $(OUT) --rounds 3 --write
	$(BIN)/python benchmarks/cluster_turns.py $(OUT) --write
	$(BIN)/python benchmarks/cost.py $(OUT) --write
	$(BIN)/python benchmarks/iris_throughput.py --write

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OUT)

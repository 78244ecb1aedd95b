# Every target works as the first command of a fresh clone: it makes .venv, installs, and goes.
# Variables: PROFILE, EXECUTOR, JOBS, DEVICE, STORE, OUT, PYTHON; TESTS for test-slow; SITE for pictures; PORT for tensorboard; ARMS for profile-vilt.

PYTHON ?= python3
EXECUTOR ?= local
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

SELECT := $(if $(PROFILE),--profile $(PROFILE)) $(if $(DEVICE),--device $(DEVICE)) $(if $(STORE),--store $(STORE))
RUN := --executor $(EXECUTOR) $(if $(JOBS),--jobs $(JOBS))
REPORT := $(if $(PROFILE),--profile $(PROFILE)) $(if $(DEVICE),--device $(DEVICE)) $(if $(STORE),--store $(STORE)) $(if $(OUT),--out $(OUT))

HEADLINES := vilt-speed vilt-cost simclr-head rdrop-alpha clip-prompts
EXPERIMENTS := vilt-speed vilt-cost vilt-fairness vilt-batch simclr-head simclr-h-vs-z simclr-augmentation simclr-temperature simclr-batch \
  simclr-ladder rdrop-alpha rdrop-noise rdrop-dropout rdrop-variants rdrop-cost rdrop-translation \
  clip-prompts clip-few-shot clip-shift clip-counting clip-zero-shot
REPRODUCE := $(addprefix reproduce-,$(EXPERIMENTS))

.PHONY: help setup test test-slow bench lint format report claims pictures profile-vilt tensorboard clean reproduce reproduce-everything measure-gpu $(REPRODUCE)

help:
	@echo "make reproduce-vilt-speed   is ViLT tens of times faster than region models? (minutes)"
	@echo "make reproduce-vilt-cost    parameters and FLOPs of Table 6, counted (under two minutes)"
	@echo "make reproduce-simclr-head  is a projection head worth more than ten points? (ten minutes)"
	@echo "make reproduce-rdrop-alpha  does R-Drop's consistency term help, and how much of it? (ten minutes)"
	@echo "make reproduce-clip-prompts does a prompt beat a bare label, and an ensemble a prompt? (five minutes)"
	@echo "make reproduce-NAME         the same for $(filter-out $(HEADLINES),$(EXPERIMENTS))"
	@echo "make reproduce              the headline of each paper: $(HEADLINES) (half an hour)"
	@echo "make reproduce-everything   all experiments (three hours)"
	@echo "make measure-gpu STORE=DIR  whatever is measured on a GPU (docs/gpu.md); ARGUMENTS=\"--only batch --minutes 9\""
	@echo "make report                 the report of everything in the store"
	@echo "make claims                 docs/claims.md: every registered claim with its verdicts, from the store"
	@echo "make pictures               the README's pictures, from the report in SITE (default: site)"
	@echo "make bench                  how fast the harness is, beside others' code (five minutes; ACCEPT=1, TRIALS=\"1000 10000 100000\")"
	@echo "make profile-vilt           where the time of a request goes: ViLT and a region model, profiled, then the report (ARMS)"
	@echo "make tensorboard            scalars and profiles of the store in TensorBoard, at PORT (default: 6006)"
	@echo "make test | test-slow | lint | clean | setup"
	@echo "Variables: PROFILE=smoke|laptop|..., DEVICE=cpu|cuda, JOBS=N, EXECUTOR=local|inline|slurm, STORE=DIR, OUT=DIR, SITE=DIR, PORT=N"

# Of clip-benchmark only its lists of class names and templates are read, so it comes without what it depends on.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; name another with PYTHON=..." >&2; exit 2; }
	@echo "Installing into $(VENV): once, about 5 GB with torch."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@$(PIP) --no-deps clip-benchmark
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@$(PIP) --editable '.[test]'
	@touch $@

setup: $(VENV)/installed

# Every command adds what it took to an account; the report's says what the whole came to.
ACCOUNT := export HARNESS_ACCOUNT=$$(mktemp); trap 'rm -f "$$HARNESS_ACCOUNT"' EXIT

# A sweep with failed trials (exit status 3) still has a report, and the status is passed on after it.
$(REPRODUCE): reproduce-%: $(VENV)/installed
	@$(ACCOUNT); $(BIN)/harness run $* $(SELECT) $(RUN); status=$$?; \
	if [ $$status -eq 0 ] || [ $$status -eq 3 ]; then $(BIN)/harness report $* $(REPORT) || exit $$?; fi; \
	exit $$status

reproduce: WANTED := $(HEADLINES)
reproduce-everything: WANTED := $(EXPERIMENTS)
reproduce reproduce-everything: $(VENV)/installed
	@$(ACCOUNT); worst=0; for name in $(WANTED); do \
	  $(BIN)/harness run $$name $(SELECT) $(RUN); status=$$?; \
	  if [ $$status -eq 130 ]; then exit 130; fi; \
	  if [ $$status -gt $$worst ]; then worst=$$status; fi; \
	done; $(BIN)/harness report $(WANTED) $(REPORT) || exit $$?; exit $$worst

measure-gpu: $(VENV)/installed
	@$(BIN)/python -m experiments.measure_gpu --store $(or $(STORE),results) $(ARGUMENTS)

report: $(VENV)/installed
	@$(BIN)/harness report $(REPORT)

claims: $(VENV)/installed
	@$(BIN)/harness claims $(if $(DEVICE),--device $(DEVICE)) $(if $(STORE),--store $(STORE)) --out docs/claims.md

# Needs Chromium, as the tests in tests/browser do.
pictures: $(VENV)/installed-test
	@PYTHONPATH=tests $(BIN)/python -m browser.make_pictures $(or $(SITE),site) docs

# Systems of the profile by name; the smoke profile has the region model at its own small size. Others: ARMS="vilt-b32 ...".
ARMS ?= vilt-b32 vilt-b32-lean $(if $(filter smoke,$(PROFILE)),uniter-base uniter-base-optimised,uniter-base-300 uniter-base-300-optimised)

profile-vilt: $(VENV)/installed
	@$(BIN)/harness profile vilt-speed $(SELECT) $(addprefix --arm system=,$(ARMS))
	@$(BIN)/harness report vilt-speed $(REPORT)

tensorboard: $(VENV)/installed
	@$(BIN)/harness tensorboard $(if $(PORT),--port $(PORT)) $(if $(STORE),--store $(STORE))

# Three processes, as tests often wait. A file of tests each at a time: modules share what their fixtures made.
test: $(VENV)/installed-test
	@$(BIN)/python -m pytest --quiet --benchmark-disable --numprocesses 3 --dist loadfile

test-slow: $(VENV)/installed-test
	@$(BIN)/python -m pytest --quiet -m slow --numprocesses 3 --dist load --timeout 1800 $(TESTS)

# Ours beside others' code and beside floors, kept in the store; fails where something is slower than accepted (docs/speed.md).
bench: $(VENV)/installed-test
	@mkdir -p build
	@TRIALS="$(TRIALS)" $(BIN)/python -m pytest --quiet tests/benchmarks --benchmark-only --benchmark-quiet -rfE \
	  --timeout 7200 --benchmark-json build/bench.json
	@$(BIN)/harness bench build/bench.json $(if $(STORE),--store $(STORE)) $(if $(ACCEPT),--accept)

lint: $(VENV)/installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/harness check

format: $(VENV)/installed-test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) results site build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

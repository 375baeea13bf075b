# Two commands do all set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STUDY := examples/video/study.yaml
# Two processes, each with whole files for as long as there are any: fixtures of a file are made once.
SHARED := -n 2 --dist worksteal

.PHONY: demo test test-all test-nightly coverage lint clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## encode, train, judge, export, report: real video, about five minutes on two cores
	$(BIN)/heldout video encode $(STUDY)
	$(BIN)/heldout run $(STUDY) --runs demo/runs --variant unseen-encoder
	$(BIN)/heldout run $(STUDY) --runs demo/runs
	$(BIN)/heldout video export $(STUDY) --runs demo/runs

test: $(VENV)/.installed  ## the fast tests; of one room in seconds: make test ROOM=gate
	$(BIN)/python -m pytest -q $(SHARED) $(if $(ROOM),tests/$(ROOM))

test-all: $(VENV)/.installed  ## real encoders, long trainings, browsers and end-to-end runs too; what CI runs
	$(BIN)/python -m pytest -q -m '' $(SHARED)

test-nightly: $(VENV)/.installed  ## 20,000 mutations of every kind of document, and what CI repeats less often
	HELDOUT_FUZZ=20000 HELDOUT_FUZZ_RECORD=docs/fuzzing.md $(BIN)/python -m pytest -q -m slow $(SHARED) tests/fuzz
	$(MAKE) coverage
	HELDOUT_NIGHTLY=1 $(BIN)/python -m pytest -q -m slow $(SHARED) $(shell grep -rl 'from nightly import' tests)

# Python 3.11 counts lines by a trace function, which takes 1.6 to 2 times as long: not for every commit.
coverage: $(VENV)/.installed  ## lines that no fast test runs, of its own process: make coverage ROOM=gate
	$(BIN)/python -m pytest -q $(SHARED) $(if $(ROOM),tests/$(ROOM)) \
		--cov=heldout$(if $(ROOM),.$(subst /,.,$(ROOM))) --cov-report=term-missing:skip-covered

lint: $(VENV)/.installed
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo

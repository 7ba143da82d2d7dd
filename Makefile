# Every target does its own set-up: a fresh clone needs Python 3.11 or newer and make, nothing else.
# Words after ARGS= go to the command, e.g. make test ARGS="-k breaker -x"; PYTHON= names an interpreter for the venv.

VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
PYTHON ?=
UV     := $(shell command -v uv 2>/dev/null)
ARGS   ?=

# What a complete run of the tests must cover, in percent of lines and branches.
COVERAGE_FLOOR ?= 98

# $(call install,GROUP): this project, all its extras and one dependency group, into the venv.
ifneq ($(UV),)
install = $(UV) pip install --quiet --python $(PY) --editable '.[all]' --group $(1)
else
# A venv made by uv has no pip, and pip knows --group since 25.1.
install = { $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; } \
	&& $(PY) -m pip install --quiet --upgrade 'pip>=25.1' \
	&& $(PY) -m pip install --quiet --editable '.[all]' --group $(1)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-httpx2 check bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-dev ## a client, failing services and live telemetry, on this machine
	@$(BIN)/spanwire demo $(ARGS)

# `coverage run` rather than `pytest --cov`: pytest loads spanwire's plugin before pytest-cov starts to measure.
test: $(VENV)/.installed-dev ## the tests with branch coverage; a part of them with ARGS="-k retry"
	@$(BIN)/coverage erase; $(BIN)/coverage run -m pytest $(ARGS); tests=$$?; $(BIN)/coverage combine --quiet; \
	$(BIN)/coverage report --fail-under=$(if $(strip $(ARGS)),0,$(COVERAGE_FLOOR)); coverage=$$?; \
	[ $$tests -eq 0 ] && exit $$coverage; exit $$tests

test-httpx2: $(VENV)/.installed-dev ## the same tests where `httpx` means httpx2
	@SPANWIRE_TEST_HTTPX2=1 $(PY) -m pytest $(ARGS)

check: $(VENV)/.installed-dev ## format, lint, types and the draft of the next release's news
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if [ ! -d tests/typing ]; then \
		echo "pyright: no tests/typing, nothing to check"; \
	elif $(BIN)/pyright --version >/dev/null 2>&1; then \
		echo "$(BIN)/pyright"; $(BIN)/pyright --pythonpath $(PY); \
	else \
		echo "pyright cannot start: it is a Node.js program and fetches itself when first run (npm)" >&2; \
		[ "$$CI" != true ]; \
	fi
	$(BIN)/towncrier build --draft

bench: $(VENV)/.installed-dev $(VENV)/.installed-bench ## what a call costs, beside other libraries
	@$(PY) benchmarks/overhead.py $(ARGS)

docs: $(VENV)/.installed-dev ## write the telemetry reference into docs/telemetry
	@if $(PY) -c 'import spanwire.telemetry.reference' 2>/dev/null; then \
		$(PY) -m spanwire.telemetry.reference --write docs/telemetry; \
	else \
		echo "spanwire.telemetry.reference is not there yet; the pages so far:"; \
		find docs -name '*.md' 2>/dev/null | sort; \
	fi

clean: ## remove caches, reports and builds; the venv stays
	rm -rf build dist htmlcov .coverage .coverage.* coverage.xml .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per dependency group. A venv without stamps is used as it is and installed into.
$(VENV)/.installed-%: pyproject.toml | $(PY)
	@echo "installing spanwire[all] and the group '$*' into $(VENV)"
	@$(call install,$*)
	@touch $@

$(PY):
ifneq ($(UV),)
	@$(UV) venv --quiet --python '$(or $(PYTHON),>=3.11)' $(VENV)
else
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			"$$python" -m venv $(VENV) && exit; rm -rf $(VENV); exit 1; \
		fi; \
	done; \
	echo "spanwire needs Python 3.11 or newer, and found none: make PYTHON=/path/to/python3.11 ..." >&2; exit 1
endif

# Everything happens in .venv, made from constraints.txt. The stamp says what it was made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIENTS := build/clients
NODE_SDK := $(CLIENTS)/node/.installed

.PHONY: drill test test-wheel test-clients lint sample bench bench-peers calibrate clean

drill: $(STAMP)
	$(BIN)/exitdrill run support_triage

test: $(STAMP) $(NODE_SDK) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=90

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tests on an installed wheel, with the sources gone: copies of the tests and what they read only.
WHEEL := build/wheel
test-wheel:
	rm -rf $(WHEEL) && mkdir -p $(WHEEL)/run
	$(PYTHON) -m venv $(WHEEL)/venv
	$(WHEEL)/venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL) .
	$(WHEEL)/venv/bin/python -m pip install --quiet --constraint constraints.txt \
		"$$(ls $(WHEEL)/*.whl)[local,dev]"
	cp -r tests README.md pyproject.toml $(WHEEL)/run/
	mkdir $(WHEEL)/run/adapters $(WHEEL)/run/harness
	cp adapters/README.md $(WHEEL)/run/adapters/ && cp harness/*.md $(WHEEL)/run/harness/
	cd $(WHEEL)/run && ../venv/bin/python -m pytest -n 2 --dist loadfile

# The gateway under clients that others wrote, each installed by this target alone. What cannot be
# installed is skipped, and its reason is said.
test-clients: $(STAMP) $(NODE_SDK) $(CLIENTS)/.installed
	$(BIN)/python tests/clients

$(CLIENTS)/.installed:
	mkdir -p $(CLIENTS)
	test -x $(CLIENTS)/venv/bin/python || $(PYTHON) -m venv $(CLIENTS)/venv
	-$(CLIENTS)/venv/bin/python -m pip install --quiet langchain-openai==1.7.3
	-$(CLIENTS)/venv/bin/python -m pip install --quiet litellm==1.106.2 mcp==2.3.0
	touch $@

# An app in Node is drilled with it. Without npm, or without a registry, that test is skipped.
$(NODE_SDK):
	mkdir -p $(CLIENTS)/node
	-npm install --prefix $(CLIENTS)/node --silent --no-audit --no-fund --fetch-retries=1 \
		--fetch-timeout=30000 openai@6.49.0 && touch $@

# The report in reports/, the built-in drill's, and its picture for the README (needs Chromium).
sample: $(STAMP)
	rm -rf reports/sample
	$(BIN)/exitdrill run support_triage --out reports/sample
	cd reports/sample && rm -f cases.jsonl journal.sqlite* *.log
	$(BIN)/python -m tests.harness.browser reports/sample/report.html reports/sample/report.png

# Figures, not tests: tests/bench/README.md says what each means. BENCH="replay --write" is passed on.
bench: $(STAMP)
	$(BIN)/python tests/bench $(BENCH)

# How often verdicts err, on thousands of drills with a known truth; minutes. BENCH="--write" keeps
# the table in harness/VERDICT.md.
calibrate: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python tests/calibration $(BENCH)

# The same drill with other tools, in an environment of their own. What cannot be installed is
# skipped, and the table says so.
PEERS := build/bench-peers
bench-peers: $(STAMP) $(PEERS)/.installed
	$(BIN)/python tests/bench peers $(BENCH)

$(PEERS)/.installed:
	mkdir -p $(PEERS)
	test -x $(PEERS)/venv/bin/python || $(PYTHON) -m venv $(PEERS)/venv
	-$(PEERS)/venv/bin/python -m pip install --quiet llmshift==0.1.4
	-$(PEERS)/venv/bin/python -m pip install --quiet inspect-ai==0.3.285 openai==3.54.0
	-npm install --prefix $(PEERS)/node --silent --no-audit --no-fund promptfoo@0.121.20
	touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local,dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage*

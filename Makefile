# Everything a fresh machine with Python 3.11+ needs: `make demo` and `make test`.

PYTHON := $(shell scripts/python.sh)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Whatever the surroundings say: what is compiled is kept, for hundreds of processes use it.
export PYTHONDONTWRITEBYTECODE :=

# What needs no browser, no PostgreSQL and no time to pass: pure functions, payloads, the ledger.
QUICK := $(addprefix tests/,domain loop bergen config secrets ledger cli sandbox)

.PHONY: demo test tests quick quick-tests check bench soak audit sbom images lock lock-new screenshots clean

demo: .venv/installed ## the whole flow, running: sandbox, service and console
	@$(BIN)/python -m demo $(DEMO)

test: .venv/installed ## everything that must hold
	scripts/system-deps.sh
	@$(MAKE) --no-print-directory -j2 check tests

tests: .venv/installed
	@# Read once, with what that compiles kept: not by each process anew.
	$(BIN)/python -m pytest -qq --collect-only $(TESTS) >/dev/null || true
	@# Waits and clocks may be missed on a busy machine: what fails is told, and run once more alone.
	$(BIN)/python -m pytest -n 4 --dist loadgroup $(TESTS) || { \
		echo "FAILED at first; once more, alone:" >&2; \
		$(BIN)/python -m pytest -v --last-failed --last-failed-no-failures none $(TESTS); }

quick: .venv/installed ## style, types, layers, and the tests that answer within a minute
	@$(MAKE) --no-print-directory -O -j2 check quick-tests

quick-tests: .venv/installed
	$(BIN)/python -m pytest -q -n 2 -m "not postgres and not browser" $(QUICK)

check: .venv/installed ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

bench: .venv/installed ## measure, and write docs/benchmarks.md
	scripts/system-deps.sh
	scripts/bench-deps.sh
	$(BIN)/python -m bench $(BENCH)

soak: .venv/installed ## a time-boxed search for lost or doubled returns; seeds are printed
	$(BIN)/python tools/soak --minutes $(or $(MINUTES),10)
	SPOILED_EXAMPLES=200 $(BIN)/python -m pytest -q --timeout 0 tests/cases/test_cases_spoiled.py

audit: .venv/installed ## known weaknesses of what is installed (asks an advisory service)
	$(BIN)/python scripts/audit.py

screenshots: .venv/installed ## docs/images, from the running product
	scripts/system-deps.sh
	PYTHONPATH=. $(BIN)/python scripts/screenshots.py

sbom: .venv/installed ## var/sbom.json: what a user installs, as CycloneDX
	@mkdir -p var
	$(BIN)/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
		--output-file var/sbom.json requirements.lock

images: .venv/installed ## the image's and the unit's faults, as far as they show without building
	$(BIN)/hadolint deploy/Dockerfile
	@! command -v systemd-analyze >/dev/null \
		|| systemd-analyze security --offline=true --threshold=20 --no-pager deploy/bergen-loop.service

COMPILE := uv pip compile pyproject.toml --universal --generate-hashes --no-header \
	--no-emit-index-url --no-annotate

lock-new: .venv/installed ## as `lock`, for what is new in pyproject.toml: the rest stays as it is
	$(BIN)/$(COMPILE) --extra dev -o requirements-dev.lock
	$(BIN)/$(COMPILE) -c requirements-dev.lock -o requirements.lock

lock: .venv/installed ## pin what pyproject.toml asks for, with hashes; users' packages and ours
	$(BIN)/$(COMPILE) --extra dev --upgrade -o requirements-dev.lock
	$(BIN)/$(COMPILE) --upgrade -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf .venv var .pytest_cache .ruff_cache .hypothesis

.venv/installed: requirements-dev.lock pyproject.toml
	@echo "Installing into .venv what it needs, by its hashes: a minute or two, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --require-hashes \
		-r requirements-dev.lock
	@# Compiled by all cores at once, which pip does by one.
	-@$(BIN)/python -m compileall -qq -j 0 .venv/lib
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

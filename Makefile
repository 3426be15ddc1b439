# Two commands do all the set-up: `make demo` runs the product in a box, `make test` passes the tests.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
DEMO_ARGS ?= --tws-port 0 --telegram-port 0 --model-port 0 --control-port 0 --state .demo

.PHONY: install demo run setup doctor test check format oracle crash properties risk mutants bench lock clean soak fuzz
.DEFAULT_GOAL := help
help:
	@printf '%s\n' 'make demo    the whole thing in a box: simulated broker, chat page and bot (no account needed)' \
	  'make run     the bot against the real world, from .env' \
  'make setup   asks for what is missing in .env, checks each answer, and writes it' \
  'make doctor  what works in that world and what to do about what does not; only looks' \
	  'make test    every test' 'make check   format, lint, types, import contracts' \
	  'make oracle  300,000 random texts read by the simulated Telegram and by tdjson, the original' \
	  'make crash   kill the bot everywhere and compare the books: KILLS=10000 SIGKILLS=300 SEED=1' \
	  'make properties   random lives of the desk against a model of a broker: EXAMPLES=10000 SEED=1' \
	  'make risk    every rule of the gate against a slow twin: PAIRS=100000 SEED=1' \
	  'make mutants   small mistakes put into risk, sizing and executor, one at a time: do the tests notice?' \
	  'make soak    a month of trading in minutes: the books agree every evening, and nothing grows' \
	  'make fuzz    a million malformed broker frames, 100,000 answers of Telegram and of the model: N=20000' \
	  'make bench   the benchmarks' 'make lock    write the locked requirements anew (needs uv)'

install: $(VENV)/.runtime

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Greenlight needs Python 3.11 or newer; this is $$($(PYTHON) --version). Say which one with: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.runtime
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-test.txt
	@touch $@

demo: install
	@exec $(RUN) -m sim $(DEMO_ARGS)

run: install
	@exec $(RUN) -m bot run

setup: install
	@exec $(RUN) -m bot setup

doctor: install
	@exec $(RUN) -m bot doctor

# PYTEST_ARGS="-n 0 tests/core" runs a part of it, one test at a time.
PYTEST_ARGS ?= -n auto
test: $(VENV)/.test
	$(RUN) -m pytest $(PYTEST_ARGS)

check: $(VENV)/.test
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.test
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# ORACLE_ARGS="--seed 2 --markup HTML" makes other texts.
oracle: $(VENV)/.test
	$(RUN) -m tests.sim.telegram_proof $(ORACLE_ARGS)

# CRASH_ARGS="--flow market --at COMMIT" looks at a part of it; --replay '...' tells one run again.
KILLS ?= 2000
SIGKILLS ?= 60
SEED ?= 1
crash: $(VENV)/.test
	$(RUN) -m tests.crash --kills $(KILLS) --sigkill $(SIGKILLS) --seed $(SEED) $(CRASH_ARGS)

# Random lives of the desk against a model of a broker; EXAMPLES lives of sixty steps each.
EXAMPLES ?= 1000
properties: $(VENV)/.test
	$(RUN) -m tests.properties --examples $(EXAMPLES) --seed $(SEED) $(PROPERTIES_ARGS)

# The gate and a slow twin, written apart from it, about as many random orders.
PAIRS ?= 100000
risk: $(VENV)/.test
	$(RUN) -m tests.core.risk_reference_run --pairs $(PAIRS) --seed $(SEED)

# Wrong versions of the rooms that decide about money; MUTANTS_ARGS="--room risk --only order_size" tries a part of them.
mutants: $(VENV)/.test
	$(RUN) -m tests.mutation $(MUTANTS_ARGS)

# SOAK_ARGS="--days 60 --seed 2" lives longer, or another month.
soak: $(VENV)/.test
	$(RUN) -m tests.endurance.soak $(SOAK_ARGS)

# N=20000 throws less; FUZZ_ARGS="tws --seed 2" only frames, and other ones.
fuzz: $(VENV)/.test
	$(RUN) -m tests.endurance.fuzz $(if $(N),--number $(N)) $(FUZZ_ARGS)

bench: $(VENV)/.test
	$(RUN) -m benchmarks

# Both files are compiled against each other, so that the tests run what the product runs.
lock:
	uv pip compile pyproject.toml --extra test --universal --generate-hashes --no-emit-index-url --no-header -q --python-version 3.11 -o requirements-test.txt
	uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header -q --python-version 3.11 -c requirements-test.txt -o requirements.txt

clean:
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info

# make bench    build, and run the default suite: every engine on a LAN and across five regions
# make test     build, and run the tests, compiled and pure
# make mutants  put bugs into the engines, one at a time, and see that the checks catch them
# make soak     random faults on real processes for 10 minutes, and two minutes of overload for each engine; not in CI
# make fuzz     a million harmed frames, and as many harmed logs; not in CI
# make explore  10,000 random schedules of faults for each engine, in the simulation and 1,000 of locks (SEEDS=0:100 LOCK_SEEDS=0:100 for fewer); not in CI
# make check    lint, types and layout
# make reference  predict and measure three replicas on this machine, into results/both-reference; leave it alone meanwhile
# make locks-reference  all that there is to ask of a lock service, in the simulation, into results/locks-reference
# make locks-processes-reference  a lock service in processes on this machine, into results/locks-processes-reference; leave it alone meanwhile
# make build    only build
# make clean    remove what was built, the environment included; results stay
#
# The environment is .venv. Another interpreter: make PYTHON=python3.12 ...

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

# A module is compiled when a .pxd stands beside its .py or .pyx (see setup.py).
CONTRACTS := $(shell find ext engines bench -name '*.pxd')
SOURCES := $(CONTRACTS) $(wildcard $(CONTRACTS:.pxd=.py) $(CONTRACTS:.pxd=.pyx)) setup.py ext/build.py

SEEDS ?= 0:10000
LOCK_SEEDS ?= 0:1000

.PHONY: bench test mutants soak fuzz explore check reference locks-reference locks-processes-reference build parts whole clean

bench: build
	$(BIN)/replbench run quick

test: build
	$(BIN)/python -m pytest -n 3
	REPLBENCH_PURE=1 $(BIN)/python -m pytest -n 3 -m "not once" tests/engines tests/simulation tests/bench

mutants: build
	$(BIN)/python -m tests.mutants

soak: build
	$(BIN)/python -m tests.processes.soak --minutes 10
	REPLBENCH_OVERLOAD_S=120 $(BIN)/python -m pytest -rP tests/processes/test_overload.py

fuzz: build
	REPLBENCH_FUZZ=1000000 $(BIN)/python -m pytest -n 2 --timeout 7200 tests/processes -k in_bulk

explore: build
	$(BIN)/replbench explore any --seeds $(SEEDS)
	$(BIN)/replbench explore any-locks --seeds $(LOCK_SEEDS)

check: $(VENV)/installed
	$(BIN)/ruff check .
	PATH="$(BIN):$$PATH" cython-lint ext engines bench
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layout.py

reference: build
	rm -rf results/both-reference
	$(BIN)/replbench run both-3 --out results/both-reference
	cd results/both-reference && rm -f history-*.jsonl.gz latencies.npz plots/*.png plots/cdf* plots/timeline*

locks-reference: RUN = locks
locks-processes-reference: RUN = real-locks --world processes --set network.latency=0ms --set network.bandwidth=unlimited
locks-processes-reference: LEFT_OUT = locks-*.npz plots/lock-keepalives-* plots/lock-holds-lock-*

# Of many trials the figures show only what points.csv and result.json have, and of the first one its locks.
locks-reference locks-processes-reference: build
	rm -rf results/$@
	$(BIN)/replbench run $(RUN) --engine raft,paxos,zab --no-plots --out results/$@
	$(BIN)/replbench plot results/$@ --kind lock-failover --kind lock-holds --kind lock-latency --kind lock-keepalives
	cd results/$@ && rm -f history-*.jsonl.gz latencies.npz plots/*.png $(LEFT_OUT)
	cd results/$@ && awk -F, 'NR > 1 && $$5 > 0 { print "locks-" NR - 2 ".npz" }' points.csv | xargs rm -f
	find results/$@ -name 'locks-*.npz' -size +200k -delete

# Libraries are fetched while the modules compile, which takes the compiler alone. Times say when to build; contents say
# whether that was enough, as when an older source is put back.
build:
	@$(MAKE) --no-print-directory --jobs 2 parts
	@$(MAKE) --no-print-directory whole
	@$(BIN)/python -c 'import sys; from ext import build; sys.exit(not build.fresh())' \
		|| $(BIN)/python setup.py --quiet build_ext --inplace --force

parts: $(VENV)/libraries build/stamp.json
	@:

whole: $(VENV)/installed
	@:

build/stamp.json: $(VENV)/compiler $(SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/compiler: pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo 'replbench: $(PYTHON) is missing: install python3, or name one: make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) .ci/preflight.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) $$($(BIN)/python .ci/requirements.py build)
	@touch $@

$(VENV)/libraries: $(VENV)/compiler
	$(PIP) $$($(BIN)/python .ci/requirements.py)
	@touch $@

$(VENV)/installed: $(VENV)/libraries | build/stamp.json
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find ext engines bench -name '*.so' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

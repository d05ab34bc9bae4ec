# make up      set everything up, start a redundant pair, prove it with a drill, serve until Ctrl-C
# make test    set everything up, run all tests
# make check   formatting, lint, types
# make bench   all benches, tables on the terminal, JSON in bench/results/
# make simulate SEEDS=n   n random histories of a simulated pair with faults, on all cores
# make model FAULTS=n STATES=n   every state of a pair that n faults lead to (default 1), on the code that runs
# make soak MINUTES=n     a real pair under load while everything is killed, frozen, cut and moved
# make lab [FAULTS=1,3,5-9]   every fault of the table done to a pair in network namespaces (root)
SHELL := /bin/bash
DIR ?= ./var/pair
PORT ?= 1935
WORKERS ?= $(shell nproc)
E2E_WORKERS ?= $(if $(filter 1,$(WORKERS)),1,2)
MINUTES ?= 60
SEEDS ?= 2000
BENCHES := $(basename $(notdir $(filter-out bench/__init__.py bench/table.py,$(wildcard bench/[a-z]*.py))))
stage = @start=$$SECONDS; printf '\n\033[1m== %s\033[0m\n' "$(1)"; set -e -o pipefail; $(2); printf '== %s: %d s\n' "$(1)" $$((SECONDS - start))

.PHONY: up test check bench simulate model soak lab setup setup-dev clean

up: setup
	@.venv/bin/rtmp-sync pair --dir $(DIR) --port $(PORT) --apps apps --drill

test: setup-dev
	$(call stage,tests in parallel,.venv/bin/python -m pytest -q -n $(WORKERS) -m "not e2e")
	$(call stage,end-to-end tests,.venv/bin/python -m pytest -q --durations=20 -n $(E2E_WORKERS) --dist loadfile -m e2e)

check: setup-dev
	$(call stage,format,.venv/bin/ruff format --check .)
	$(call stage,lint,.venv/bin/ruff check .)
	$(call stage,types,.venv/bin/mypy)

bench: setup-dev
	@.ci/setup dev redis-server
	@mkdir -p bench/results
	@set -e; for name in $(BENCHES); do .venv/bin/python -m bench.$$name --json bench/results/$$name.json; done

simulate: setup-dev
	@.venv/bin/python -m tests.simulation --seeds $(SEEDS) --jobs $(WORKERS)

model: setup-dev
	@.venv/bin/python -m tests.model --coordinator file $(if $(FAULTS),--faults $(FAULTS)) $(if $(STATES),--states $(STATES))
	@.venv/bin/python -m tests.model --coordinator etcd $(if $(FAULTS),--faults $(FAULTS)) $(if $(STATES),--states $(STATES))
	@.venv/bin/python -m tests.model --rules all-broken
	@.venv/bin/python -m tests.model --rules article

soak: setup-dev
	@mkdir -p bench/results
	@.venv/bin/python -m tests.checker --minutes $(MINUTES) --json bench/results/soak.json $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults "$(FAULTS)")

lab: setup-dev
	@mkdir -p bench/results
	@.venv/bin/python -m tests.lab --json bench/results/lab.json $(if $(FAULTS),--faults "$(FAULTS)",--markdown docs/lab.md)

setup:
	@.ci/setup

setup-dev:
	@.ci/setup dev chromium etcd etcdctl ffmpeg ffprobe gst-launch-1.0 haproxy ip iptables nft nginx npm openssl rtmpdump tshark

clean:
	rm -rf .venv build dist var .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/results

# GNU make and bash. Every target does its own set-up: .venv from pyproject.toml, Debian packages where it needs them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
SOFTPHONE := gateway/web/softphone

# Peers the tests call: a browser, a capture, a phone and a load generator. Node.js runs the page's modules by themselves,
# and Playwright's own driver does not start without libatomic, which a bare Debian lacks.
PEERS := chromium:chromium tcpdump:tcpdump baresip:baresip-core sipp:sip-tester node:nodejs libatomic.so.1:libatomic1
PEERS += openssl:openssl kamailio:kamailio dnsmasq:dnsmasq-base ip:iproute2
# A second browser, for `make test-interop` only; its tests are marked slow, so `make test` leaves them out.
FIREFOX := firefox-esr:firefox-esr

# Seconds per target of `make fuzz`; `make test` gives each a few.
FUZZ_SECONDS ?= 300

# How long `make soak` takes, and how many calls it holds; a short one: SOAK_MINUTES=1 SOAK_CALLS=50.
SOAK_MINUTES ?= 20
SOAK_CALLS ?= 300
SOAK_DIR ?= run/soak

.PHONY: help setup peers run test test-interop test-attacks fuzz bench soak lint types imports format docs lock release softphone sipjs

help: ## What the targets do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

setup: ## .venv with the project and what it needs, as locked
	@.ci/setup

peers: setup
	@.ci/need $(PEERS)

run: ## The demonstration: gateway, PBX and softphone page on this machine
	@.ci/setup run
	@$(BIN)/sip-gateway demo

test: peers ## All tests but the slow ones, real peers included; under 10 minutes
	@.ci/test

test-interop: peers ## Calls between real peers: Chromium, Firefox, pjsua2, baresip, sipp
	@.ci/need $(FIREFOX)
	$(PYTEST) tests/interop

test-attacks: peers ## Attacks on a running gateway
	$(PYTEST) tests/attacks

fuzz: setup ## Mutated messages for FUZZ_SECONDS per target, every generated case with fresh randomness, 100,000 steps of calls
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) tests/fuzz
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) $$(grep -rlw hypothesis --include=test_*.py tests)

bench: peers ## What a packet and a call cost beside rtpengine and Kamailio, with a plot in docs/relay.svg
	@.ci/need rtpengine:rtpengine-daemon '/usr/lib/*/kamailio/modules/websocket.so:kamailio-websocket-modules'
	$(BIN)/python -m bench --rounds 5 --seconds 3 --plot docs/relay.svg

soak: setup ## SOAK_CALLS calls at a time (300) for SOAK_MINUTES (20): memory, delay, loss; report and plot in run/soak
	SOAK_MINUTES=$(SOAK_MINUTES) SOAK_CALLS=$(SOAK_CALLS) SOAK_DIR=$(SOAK_DIR) $(BIN)/python -m bench.soak

lint: setup ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## Types, strictly
	$(BIN)/mypy

imports: setup ## Import directions between the layers
	$(BIN)/lint-imports

format: setup ## Put everything into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## docs/configuration.md from the schema, tables of docs/architecture.md and docs/policy.md from the code
	$(BIN)/sip-gateway reference > docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md
	$(BIN)/python -m gateway.cli.pictures docs/architecture.md
	$(BIN)/python -m gateway.cli.pictures docs/policy.md

lock: ## requirements*.lock anew from pyproject.toml, with hashes
	.ci/lock

release: ## Wheel, source archive and bill of materials in dist/; known faults looked up where an index can be reached
	.ci/release

sipjs: ## The bundle of the tests' SIP.js page (tests/interop/sipjs/dist), which is committed
	@.ci/need node:nodejs npm:npm
	cd tests/interop/sipjs && npm ci --no-audit --no-fund && npm run build
	cd tests/interop/jssip && npm ci --no-audit --no-fund && npm run build

softphone: ## The softphone's bundle and gateway-security.js (gateway/web/softphone/dist), which are committed
	@.ci/need node:nodejs npm:npm
	cd $(SOFTPHONE) && npm ci --no-audit --no-fund && npm run build

# `make` or `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# cargo install puts cargo-nextest here; a new shell may not have it on its PATH yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# The demo shares the build of the tests: the samples take no time even without optimisation, and
# a user waits for one build, not for two. `make demo PROFILE=fast` shows the speed.
PROFILE ?= dev

.PHONY: help setup build demo test nextest lint fmt chaos bench up down clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | \
	  while IFS= read -r line; do printf '  \033[1m%-8s\033[0m %s\n' "$${line%%:*}" "$${line##*## }"; done

setup: ## Check for Rust, a C compiler and make; install what is missing (Debian, Ubuntu)
	@scripts/setup.sh

build: setup ## Build the release binary: target/release/fleetline
	cargo build --release --package fleetline

demo: setup ## Run both pipelines on the samples: no key, no server, no network
	@echo "Building; the first time this takes some minutes."
	cargo build --profile $(PROFILE) --workspace --bins
	@scripts/demo.sh "$${CARGO_TARGET_DIR:-target}/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/fleetline"

test: setup nextest ## Run all tests, on private servers that are started for them
	cargo build --workspace --tests
	scripts/services.sh with .dev/test -- cargo nextest run --workspace
	cargo test --workspace --doc

nextest:
	@cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked

lint: setup ## rustfmt, clippy without warnings, cargo-deny if it is installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; \
	  else echo "cargo-deny is not installed: licences and advisories were not checked"; fi

fmt: ## Format the code
	cargo fmt --all

chaos: setup ## Crash and fault suite for MINUTES=30 with SEED=random; prints a report
	@MINUTES="$(MINUTES)" SEED="$(SEED)" FAULT="$(FAULT)" cargo test --workspace --test it fleet::long -- --ignored --nocapture

bench: setup ## Run the benchmarks; each prints a ratio
	cargo bench --profile fast --workspace --bench embedded
	scripts/services.sh with .dev/bench -- cargo bench --profile fast --workspace --bench fleet
	WINDOW=$${WINDOW:-10s} cargo bench --profile fast --workspace --bench quota

up: ## Start private PostgreSQL, Redis and RabbitMQ under .dev (installs them if missing)
	@scripts/services.sh up

down: ## Stop them and remove their data
	@scripts/services.sh down

clean: down ## Remove what was built, and .dev
	cargo clean
	rm -rf .dev

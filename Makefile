# `make help` lists the targets. Every target installs what it needs, by dev/setup.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

HOST := $(shell rustc -vV | sed -n 's/^host: //p')
BINARY := target/$(HOST)/release/offsite
STATIC := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,-T,$(CURDIR)/dev/image/no-unwinding.ld
LINKER_FLAGS := CARGO_TARGET_$(shell echo $(HOST) | tr a-z- A-Z_)_RUSTFLAGS
export RUST_BACKTRACE ?= 1

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the static release binary
	@dev/setup build
	$(LINKER_FLAGS)="$(STATIC)" cargo build --release --locked --package offsite --target $(HOST)
	@ls -l $(BINARY)

.PHONY: build-static
build-static: build ## The same, and a look at it: no dynamic dependencies, at most 16 MB
	dev/image/static $(BINARY) 16

.PHONY: build-directories
build-directories: ## Build the program for directories alone, static, at most 13 MB
	@dev/setup build
	$(LINKER_FLAGS)="$(STATIC)" cargo build --release --locked --package offsite --no-default-features --target $(HOST) --target-dir target/directories
	dev/image/static target/directories/$(HOST)/release/offsite 13

IMAGE ?= offsite:$(shell sed -n '/^\[workspace.package\]/,/^$$/s/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: image
image: build-static ## Build the container image, from the binary built here; pulls nothing
	@dev/setup image
	dev/image/with-docker dev/image/build $(BINARY) $(IMAGE)

.PHONY: image-test
image-test: build-static ## Build the image, run it, and look at what it does
	@dev/setup image
	cargo build --locked --package local-s3
	dev/image/with-docker bash -c 'dev/image/build $(BINARY) $(IMAGE) && dev/image/test $(IMAGE) target/debug/local-s3'

.PHONY: demo
demo: ## Back up, change, back up, restore and verify on an embedded S3 server
	@dev/setup build
	cargo build --locked --package offsite --package local-s3
	@PATH="$(CURDIR)/target/debug:$$PATH" dev/demo/demo

.PHONY: test
test: ## Run all tests
	@dev/setup test
	cargo test --locked --workspace

.PHONY: test-long
test-long: ## Run all tests, and try each moment where `make test` tries some
	@dev/setup test
	@dev/bench/install-restic
	OFFSITE_TEST_LONG=1 cargo test --locked --workspace

.PHONY: check
check: ## What CI runs: formatting, lints, tests, deployment files, documentation, licences
	@dev/setup check
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(MAKE) test
	$(MAKE) deploy-check
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	dev/deny

.PHONY: deploy-check
deploy-check: ## Lint, render and validate the Helm chart, the Terraform module and the ECS files
	@dev/setup deploy
	cargo build --locked --package offsite --package local-s3
	dev/deploy/helm-check
	dev/deploy/terraform-check
	dev/deploy/ecs-check

BENCH := dev/bench --offsite $(BINARY) --built target/release
RUNS ?= 5

# Together: what one of them needs of a shared dependency, both are built with.
.PHONY: bench-tools
bench-tools:
	cargo build --release --locked --package local-s3 --package floor

.PHONY: bench
bench: build bench-tools ## Compare with other tools, side by side; all of it or as JOBS=first,large RUNS=3
	@dev/setup bench
	.venv/bin/python $(BENCH) compare --runs $(RUNS) $(if $(JOBS),--jobs $(JOBS))

.PHONY: bench-prune
bench-prune: build bench-tools ## Measure a prune of 1,000 snapshots
	@dev/setup bench
	.venv/bin/python dev/bench/prune.py --offsite $(BINARY) --built target/release

.PHONY: bench-memory
bench-memory: build bench-tools ## Fail if a pass takes more memory than it may: 64 MiB for 1,000,000 files, 128 for large ones
	@dev/setup bench-memory
	python3 $(BENCH) memory

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: clean
clean: ## Remove what was built and installed here
	cargo clean
	rm -rf .venv

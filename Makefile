# Ocellus. `make demo` shows it, `make test` proves it; `make help` lists the rest.

# Build output lives outside the checkout, so that fresh clones build quickly. Override as you like.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ocellus/target
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO_PROFILE := --release
SHELL := /bin/bash
# Mesa asks the window system which device to prefer, and complains where there is none.
export NODEVICE_SELECT ?= 1

.PHONY: help setup setup-test build deb deb-arm64 container demo test test-deb test-container test-gpu test-vm lint doc fmt bench bench-counts bench-tracks bench-evidence bench-outbox bench-fleet bench-redaction bench-serve bench-kills bench-gpu audit fuzz clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

setup: ## install what building and the demo need (Debian packages, and Rust where there is none)
	@scripts/setup build

setup-test: ## install what the tests need besides (Debian packages, and test peers in the cache folder)
	@scripts/setup build test

build: setup ## build the binary
	@echo "Building into $(CARGO_TARGET_DIR); the first time takes some twenty minutes on two cores."
	cargo build $(CARGO_PROFILE) --locked

demo: build ## run the whole loop on this machine; optional: SOURCE=…, MODEL=…, PROFILE=…
	$(CARGO_TARGET_DIR)/release/ocellus demo $(if $(MODEL),--model $(MODEL)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(SOURCE),--source $(SOURCE))

test: setup-test ## run every test that needs no GPU
	scripts/test

deb: build ## the Debian package, for this machine's architecture
	@scripts/setup deb
	scripts/deb

deb-arm64: build ## the Debian package for arm64, cross-compiled (some twenty minutes more the first time)
	@scripts/setup deb arm64
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	    cargo build $(CARGO_PROFILE) --locked --target aarch64-unknown-linux-gnu
	scripts/deb arm64

test-deb: deb ## install, supervise, upgrade and remove the package in a container with systemd (a minute; root)
	@scripts/setup nspawn
	scripts/test-deb

container: build ## the container image, with podman or docker, for this machine's architecture
	scripts/container

test-container: build ## build the container image from Debian's packages, and run it without rights (minutes; root)
	@scripts/setup container
	scripts/test-container

test-gpu: setup-test ## run the models on whatever Vulkan device there is, software ones included
	cargo test $(CARGO_PROFILE) --locked --workspace -- --ignored gpu

test-vm: deb ## cameras, the package's limits and power cuts in a virtual machine with a kernel of its own (minutes; root)
	@scripts/setup vm
	scripts/test-vm

# Only types are checked here, so the quicker profile does: nothing is generated twice.
lint: setup ## formatting, clippy and documentation, without a warning
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo check --locked --workspace --features ocellus/spirv
	$(MAKE) doc

doc: ## the documentation of the code
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

fmt: ## format the code
	cargo fmt --all

bench: build ## measure: models against ONNX Runtime, and the daemon from end to end
	@scripts/setup bench
	scripts/bench

bench-counts: build ## what models cost before they run, and what a frame launches on a Vulkan device (minutes on lavapipe)
	scripts/bench counts

bench-tracks: build ## tracks and counts on the simulated conveyor, next to a plain IoU tracker
	cargo build $(CARGO_PROFILE) --locked --example conveyor_frames
	scripts/bench tracks

bench-evidence: build ## which frames would be kept of the sample clips, and how many of them the model gets wrong
	cargo build $(CARGO_PROFILE) --locked --example conveyor_frames --example evidence_picks
	scripts/bench evidence

bench-outbox: build ## what it costs that no event is lost: 64 cameras through mosquitto, next to rumqttc alone (minutes)
	@scripts/setup bench
	cargo build $(CARGO_PROFILE) --locked --example outbox_load
	scripts/bench outbox

bench-redaction: setup-test ## blurring and pixelating whole pictures, next to OpenCV
	cargo build $(CARGO_PROFILE) --locked --example redaction_speed
	scripts/bench redaction

bench-serve: build ## scoring for others over HTTP, next to the engine alone, and cameras beside the load (a minute or two)
	scripts/bench serve

bench-fleet: build ## Spark's report on 12 to 100 simulated nodes over 30 days: time, and how it grows (minutes)
	@scripts/setup spark
	cargo build $(CARGO_PROFILE) --locked --example fleet
	scripts/bench fleet

bench-kills: setup-test ## kill the daemon 1,000 times, and the broker, and look for every event (an hour); optional: KILLS=…
	OCELLUS_KILLS=$(or $(KILLS),1000) cargo test $(CARGO_PROFILE) --locked --workspace --test e2e -- --nocapture every_event_that_was_kept

bench-gpu: ## measure on this machine's GPU against ONNX Runtime WebGPU and PyTorch CUDA (less than ten minutes)
	scripts/bench-gpu

audit: ## licences and banned crates, by deny.toml
	@command -v cargo-deny >/dev/null || env -u CARGO_TARGET_DIR cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources

fuzz: ## fuzz loading and lowering of models, a minute each (needs a nightly toolchain and cargo-fuzz)
	cargo +nightly fuzz run onnx_load -- -max_total_time=60
	cargo +nightly fuzz run onnx_lower -- -max_total_time=60

clean: ## remove the build output
	cargo clean

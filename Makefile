# Thin on purpose: every target is a command that can be typed by hand, and
# .ci/run runs the same ones.

STATICCHECK  := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT      := mvdan.cc/gofumpt@v0.12.0

ifeq ($(shell command -v go),)
$(error wsplice needs Go 1.26 or newer: install it from https://go.dev/dl/ and put it on the PATH)
endif

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 30s
GO       ?= go

.DEFAULT_GOAL := check
.PHONY: arch bench bench-endpoints bench-frames bench-full bench-peers bench-secure build check clean e2e e2e-tls fmt fuzz help lint micro race run test unit

build: ## build bin/wsplice
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/wsplice ./cmd/wsplice

run: build ## build, then run the demo on http://127.0.0.1:8080/
	bin/wsplice demo

test: unit e2e ## every test: the rooms, then the built binary with real clients

# What drives tunnels is tested with each engine: by default with io_uring, where
# the kernel offers it, and then with epoll.
unit: ## tests of the rooms only
	$(GO) test ./...
	WSPLICE_ENGINE=epoll $(GO) test ./proxy

# What moves the bytes of tunnels runs a third time, with goroutines instead of loops.
E2E_TUNNELS  := Interop|HalfClose|Early|SegmentOfThe101|LateBytes|Chaos|BackPressure|SlowReader$$|OneByteSegments|$\
	LanesChange|ManyTunnels|ClientGoes|IdleTimeout$$|DrainLets|DrainTimeout|DescriptorLimit|EMFILE|LaneMetrics|$\
	TunnelOpens|ForwardedHead|HeadTimeout|HeadBytes|NoBackend|SilentBackend|TunnelsLimit

# And with TLS in each pair, by one engine or the other; with it on both sides also what
# libraries and browsers do. e2e-tls runs everything in all pairs.
E2E_SECURE := HalfClose|Early|SegmentOfThe101|LateBytes|Chaos|SlowReader$$|OneByteSegments|LanesChange|$\
	ClientGoes|IdleTimeout$$|DrainLets|DrainTimeout|DescriptorLimit|TunnelOpens|HeadTimeout|HeadBytes|NoBackend|$\
	SilentBackend|TunnelsLimit|PongTimeout|SideDies|RefusalCannot|Farewell|AllServersDown|BackPressure|LaneMetrics

E2E_LIBRARIES := Interop|Pings|ManyTunnels|Deflate|Wstunnel|Conformance|Understood|MQTT|Redis|NoVNC|$\
	ForwardedHead|Warm|HealthTCP|FramesAuto|LargeFrames|DrainServesTheQueue

# And with clients that open their WebSockets by HTTP/2.
E2E_HTTP2 := SlowReader$$|OneByteSegments|LanesChange|IdleTimeout$$|DrainLets|DrainTimeout|NoBackend|SilentBackend|$\
	RefusalCannot|AllServersDown|BackPressure|LateBytes

e2e: export WSPLICE_E2E_REQUIRE := 1
e2e: export WSPLICE_BIN := $(CURDIR)/bin/wsplice
e2e: build ## end-to-end tests only, with each engine; they need chromium, node and npm
	.ci/deps
	cd e2e && for engine in auto epoll; do WSPLICE_ENGINE=$$engine $(GO) test -timeout 20m ./... || exit 1; done
	cd e2e && WSPLICE_ASYNC=off $(GO) test -short -run '$(E2E_TUNNELS)' .
	cd e2e && WSPLICE_TLS=both $(GO) test -timeout 20m -short -run '$(E2E_LIBRARIES)' .
	cd e2e && for tls in client backend; do \
		WSPLICE_TLS=$$tls WSPLICE_ENGINE=epoll $(GO) test -short -run '$(E2E_SECURE)' . || exit 1; done
	cd e2e && WSPLICE_TLS=both WSPLICE_ASYNC=off $(GO) test -short -run '$(E2E_SECURE)' .
	cd e2e && WSPLICE_TLS=h2 $(GO) test -short -run '$(E2E_HTTP2)' .

e2e-tls: export WSPLICE_E2E_REQUIRE := 1
e2e-tls: export WSPLICE_BIN := $(CURDIR)/bin/wsplice
e2e-tls: build ## end-to-end tests with TLS on one side and on both, each with each engine; about an hour
	.ci/deps
	cd e2e && for tls in client backend both; do for engine in auto epoll; do \
		WSPLICE_TLS=$$tls WSPLICE_ENGINE=$$engine $(GO) test -timeout 20m ./... || exit 1; done; \
		WSPLICE_TLS=$$tls WSPLICE_ASYNC=off $(GO) test -short -run '$(E2E_TUNNELS)' . || exit 1; done

race: ## the rooms under the race detector, and the binary under chaos, hostile heads and stops
	$(GO) test -race ./...
	cd e2e && for engine in auto epoll; do \
		WSPLICE_ENGINE=$$engine WSPLICE_RACE=1 $(GO) test -count=1 -run 'Chaos|Hostile|Drain|SideDies|Stderr|Signal' ./... || exit 1; done
	cd e2e && WSPLICE_ASYNC=off WSPLICE_RACE=1 $(GO) test -count=1 -run 'Chaos|DrainLets' .
	cd e2e && for async in on off; do \
		WSPLICE_TLS=both WSPLICE_ASYNC=$$async WSPLICE_RACE=1 $(GO) test -short -count=1 -run 'Chaos|WarmConnectionsDie' . || exit 1; done

arch: ## only the rules about imports and sources
	$(GO) test -count=1 ./internal/archtest

fmt: ## rewrite the sources as gofumpt wants them
	$(GO) run $(GOFUMPT) -w .

lint: ## gofumpt, go vet, staticcheck and golangci-lint, for e2e too
	@files=$$($(GO) run $(GOFUMPT) -l .) && if [ -n "$$files" ]; then \
		echo "not formatted; run make fmt:" >&2; echo "$$files" >&2; exit 1; fi
	$(GO) vet ./...
	cd e2e && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd e2e && $(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOLANGCI) run ./...
	cd e2e && $(GO) run $(GOLANGCI) run --config ../.golangci.yml ./...

fuzz: ## fuzz every target for FUZZTIME (30s) each
	@set -e; packages=$$($(GO) list ./...); for package in $$packages; do \
		targets=$$($(GO) test -list '^Fuzz' $$package); \
		for target in $$(echo "$$targets" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			.ci/fuzz-one $$package $$target $(FUZZTIME); \
		done; \
	done

micro: ## run every benchmark of the hot paths once, so that none can rot
	$(GO) test -run '^$$' -bench . -benchtime 1x ./...

bench: build ## measure the judged rows beside nginx and HAProxy, in under five minutes
	$(GO) run ./bench/wsbench

bench-full: build ## measure everything beside every peer and write BENCHMARKS.md
	$(GO) run ./bench/wsbench --full --report

bench-frames: build ## measure what following frames costs wsplice, in 61 pairs, in about six minutes
	$(GO) run ./bench/wsbench --pairs 61

bench-endpoints: build ## measure endpoint mode beside lighttpd and websockify, and warm connections, in about five minutes
	$(GO) run ./bench/wsbench --endpoints

bench-secure: build ## measure tunnels over TLS beside nginx and HAProxy, in under six minutes
	$(GO) run ./bench/wsbench --secure

bench-peers: ## install the other proxies from Debian's packages, as root
	bench/install-peers

check: lint test race ## lint, test and race: what to run before a commit

clean: ## remove what the other targets made
	rm -rf bin
	$(GO) clean -testcache

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | \
		awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

# Everything one does with this repository. `make help` lists it.
# A newcomer needs two commands: `go run ./cmd/switchboard demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE   ?= switchboard:$(VERSION)
# The longest the slowest package may take, with the race detector on two cores.
TIMEOUT ?= 25m
# Seconds each fuzz target runs.
FUZZTIME ?= 20s
PACKAGES ?= ./...

.PHONY: help
help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { gsub(/\$$\$$/, "$$"); printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## The whole fleet in one process, with nothing installed but Go
	go run ./cmd/switchboard demo

.PHONY: test
test: ## All tests, with the race detector, on a real RabbitMQ, PostgreSQL and Prosody
	@scripts/services need gcc chromium slixmpp curl python3 node
	scripts/services run go test -race -shuffle=on -tags services -count=1 -timeout $(TIMEOUT) $(PACKAGES)
	@$(MAKE) --no-print-directory examples

.PHONY: test-fast
test-fast: ## The tests that need no server
	go test -shuffle=on -timeout $(TIMEOUT) $(PACKAGES)

.PHONY: examples
examples: ## Build and test the examples, a module of its own, against this checkout
	cd examples && go mod tidy && go vet ./... && go test -shuffle=on ./... && go run . check fleet

.PHONY: api
api: ## Name what changed for others since the last tag
	scripts/api

# Servers of its own, since they are killed, in a directory of their own.
.PHONY: chaos
chaos: build ## Attack a fleet on servers of its own, and account for every message (CHAOS="--seed 7 --duration 10m")
	dir="$$(mktemp -d)"; SERVICES_DIR="$$dir" scripts/services run --private bin/switchboard chaos $(CHAOS); rm -rf "$$dir"

.PHONY: bench
bench: ## Measure on a real RabbitMQ, beside yardsticks and the stored baseline (BENCH="flags", such as -old COMMIT)
	scripts/services run go run ./internal/bench $(BENCH)

# golangci-lint is built from source: the first time takes some minutes.
LINT := bin/tools/golangci-lint-v2.15.0
$(LINT):
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/tools/golangci-lint $@

.PHONY: lint
lint: $(LINT) ## golangci-lint; .golangci.yml says which rules are off, and why
	go vet ./...
	@out="$$(go tool gofumpt -l .)"; [[ -z $$out ]] || { echo "not gofumpt-formatted (go tool gofumpt -w .):"; echo "$$out"; exit 1; }
	$(LINT) run ./...

GOVULNCHECK := bin/tools/govulncheck-v1.9.0
$(GOVULNCHECK):
	GOBIN=$(CURDIR)/bin/tools go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv bin/tools/govulncheck $@

CYCLONEDX := bin/tools/cyclonedx-gomod-v1.10.0
$(CYCLONEDX):
	GOBIN=$(CURDIR)/bin/tools go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
	mv bin/tools/cyclonedx-gomod $@

.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## Known vulnerabilities in what the binary calls (asks vuln.go.dev)
	$(GOVULNCHECK) ./cmd/switchboard

PLATFORMS := linux-amd64 linux-arm64 darwin-arm64
.PHONY: binaries
binaries: $(CYCLONEDX) ## dist/: static binaries, what is in them (CycloneDX), checksums
	rm -rf dist && mkdir dist
	for platform in $(PLATFORMS); do \
		CGO_ENABLED=0 GOOS=$${platform%-*} GOARCH=$${platform#*-} go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' \
			-o dist/switchboard-$(VERSION)-$$platform ./cmd/switchboard; \
	done
	$(CYCLONEDX) bin -json -licenses -std -version $(VERSION) -output dist/switchboard-$(VERSION).cdx.json dist/switchboard-$(VERSION)-$(firstword $(PLATFORMS))
	cd dist && sha256sum switchboard-* >SHA256SUMS

.PHONY: release
release: vulncheck binaries ## All that a release has; fails when a known vulnerability is called

.PHONY: build
build: ## A static binary, bin/switchboard
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/switchboard ./cmd/switchboard

.PHONY: image
image: ## The container image (IMAGE=name:tag)
	docker build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

.PHONY: image-test
image-test: ## Build the image and run a fleet from it; needs an engine
	scripts/image-test

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (20s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
		done; \
	done

.PHONY: generate
generate: ## Write again what is generated from the source
	go generate ./...

.PHONY: services
services: ## Leave a RabbitMQ and PostgreSQL running: eval "$$(scripts/services env)"
	scripts/services up

.PHONY: down
down: ## Stop what `make services` started
	scripts/services down

.PHONY: clean
clean: down ## Remove what was built, and stop the servers
	rm -rf bin dist .services

# The tasks of this repository. All of them use the Node.js that package.json pins, which ./kvci installs on its first start.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MACHINE := $(subst x86_64,x64,$(subst aarch64,arm64,$(shell uname -m)))
export PATH := $(CURDIR)/node_modules/node-linux-$(MACHINE)/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: setup test-setup check lint format types test unit e2e test-part test-full golden-update schema bench package clean help

setup: ## install the pinned Node.js and the locked dependencies
	@./kvci --version >/dev/null

check: setup ## types, lint and format
	tsc -p .
	eslint .
	prettier --check .

format: setup ## write the format that "make check" wants
	prettier --write .

test-setup: setup ## install what kvci and its tests need of the host
	test/set-up

test: test-setup unit e2e ## everything with one real build of each kind, with all its set-up

unit: setup ## unit, command line and architecture tests
	vitest run --project unit

e2e: setup ## tests that build real images
	vitest run --project e2e

test-part: test ## the whole suite of one part of the project: make test-part N=1
	@test -n "$(N)" || { echo 'make test-part needs a part: make test-part N=1' >&2; exit 2; }
	@if [ -d test/full/part-$(N) ]; then vitest run --project full test/full/part-$(N); fi

test-full: test ## the whole suites of all parts
	@if [ -d test/full ]; then vitest run --project full; fi

golden-update: setup ## rewrite the golden files from what the code renders now; read the diff
	KVCI_UPDATE_GOLDEN=1 vitest run --project unit test/golden

schema: setup ## rewrite schema/kvci.schema.json
	./kvci config schema >schema/kvci.schema.json

bench: setup ## each speed and size ratio beside its bound
	@failed=0; for file in bench/*.ts; do node "$$file" || failed=1; done; exit "$$failed"

package: setup ## the npm package, as kvci-VERSION.tgz
	npm pack

clean: ## remove what builds left in the checkout (not the user's cache: see "kvci cache prune")
	rm -rf dist coverage .vitest .install *.tgz

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Everything is done in an environment of its own, .venv, made from the hashed lock. `make help` lists the words.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
FORGET_KERNEL := $(UV) uninstall --quiet --python $(BIN)/python miniwatch-native
DEMO := var/demo
DOCS := build/docs
RULES_TESTED := detectors/rules/tested.json

# Where `make install` puts things; DESTDIR, for those who pack, comes before all of it. The units say /opt/miniwatch too.
DESTDIR ?=
PREFIX := /opt/miniwatch
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
WHEEL = dist/miniwatch-$(VERSION)-py3-none-any.whl
# What goes with it for people to read, and to copy to Prometheus and Grafana.
DOCUMENTS = docs/*.md docs/openapi.json docs/figures config.toml CHANGELOG.md LICENSE
TO_COPY = deploy/prometheus deploy/grafana/dashboards deploy/grafana/provisioning
# What an installation is made of. One that is there, and may run, is never written over: another one of the same version has a name of its own.
MADE_FROM = $(shell { $(SYSTEM_PYTHON) -V; cat $(WHEEL) $(wildcard build/native/*.whl) requirements/run.txt; find $(DOCUMENTS) $(TO_COPY) -type f | LC_ALL=C sort | xargs cat; } 2>/dev/null | sha256sum | cut -c 1-8)
MADE_FROM_FILE := share/miniwatch-made-from
INSTALLED = $(DESTDIR)$(PREFIX)/$(VERSION)
RELEASE = $(shell if [ ! -e $(INSTALLED) ] || [ "$$(cat $(INSTALLED)/$(MADE_FROM_FILE) 2>/dev/null)" = $(MADE_FROM) ]; then echo $(INSTALLED); else echo $(INSTALLED)-$(MADE_FROM); fi)
UNITS := $(DESTDIR)/usr/local/lib/systemd/system
# The distribution's: one in the home of somebody is out of reach for a service.
SYSTEM_PYTHON ?= /usr/bin/python3

.DEFAULT_GOAL := help
.PHONY: help run test laws check bench lock twins chaos kill-demo native docs wheel image k8s release install install-program install-version install-service uninstall clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# The environment is made again when the lock changes. pip fetches one tool, uv, by its hash; uv does the rest in seconds.
$(VENV)/.made: requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Miniwatch needs Python 3.11 or later; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements/dev.txt
	$(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Rust is no requirement: where cargo does not answer, or the build fails, everything works in Python, only slower. A kernel built
# from other sources is removed whatever comes after; a build that failed is tried again the next time.
$(VENV)/.kernel: $(VENV)/.made requirements/native.txt detectors/kernel.sha256 native/Cargo.toml native/Cargo.lock $(wildcard native/src/*.rs)
	@$(FORGET_KERNEL)
	@if ! cargo --version >/dev/null 2>&1; then touch $@; else $(MAKE) --no-print-directory native || echo "The native kernel could not be built (above is why); going on without it, slower."; fi

native: $(VENV)/.made ## Build the optional kernel (needs cargo): decoding and redaction several times faster
	@echo "Building the native kernel: a minute or two, once ..."
	@$(FORGET_KERNEL)
	@rm -rf build/native
	@$(UV) install --quiet --python $(BIN)/python --target build/maturin --require-hashes -r requirements/native.txt
	@build/maturin/bin/maturin build --quiet --release --locked --manifest-path native/Cargo.toml --interpreter $(BIN)/python --out build/native
	@$(UV) install --quiet --python $(BIN)/python --no-deps --force-reinstall build/native/*.whl
	@touch $(VENV)/.kernel

run: $(VENV)/.kernel ## Simulate a day of a platform, watch it, and tell what was found
	@if [ -e $(DEMO) ]; then echo "Removing $(DEMO), which an earlier run left ..."; fi
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(BIN)/miniwatch simulate --seed 2026 --events 300000 --output-file $(DEMO)/day.ndjson --registry $(DEMO)/apps.ndjson --labels $(DEMO)/truth.ndjson
	$(BIN)/miniwatch apps import $(DEMO)/apps.ndjson --data-dir $(DEMO)/data
	$(BIN)/miniwatch run --until-end --source file:$(DEMO)/day.ndjson --data-dir $(DEMO)/data

# Three at a time: a test that waits for a server leaves its processor to another. Small frames are worked on faster without threads.
test: $(VENV)/.kernel ## All tests but the slow ones; those for which this machine lacks a server are skipped, and say so
	EXAMPLES_SHARE=$${EXAMPLES_SHARE:-0.2} POLARS_MAX_THREADS=1 $(BIN)/pytest -m "not slow" -rs -n 3 --dist loadfile --no-loadscope-reorder

laws: $(VENV)/.kernel ## All tests, the slow ones too, and each law with all of its examples: hours
	EXAMPLES_SHARE=1 $(BIN)/pytest -rs -n 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.kernel ## Everything a machine can check: format, lint, types, contracts, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory test

bench: $(VENV)/.kernel ## Measure the whole path and its stages on this machine
	$(BIN)/python tests/bench/whole_path.py

chaos: $(VENV)/.kernel ## Two million events through three workers while broker, database and workers are killed (needs a JDK and PostgreSQL; half an hour)
	$(BIN)/python tests/live/chaos.py

kill-demo: $(VENV)/.kernel ## Kill the daemon twenty times in the middle of its work; the account stays balanced
	$(BIN)/python tests/journeys/kill_demo.py

twins: $(VENV)/.made ## Run every built-in rule on its twin, and note which content passed
	$(BIN)/python -m monitor.rules

$(DOCS)/.made: $(VENV)/.made requirements/docs.txt
	@mkdir -p $(DOCS)
	$(BIN)/uv venv --quiet --clear --no-project --python $(BIN)/python $(DOCS)/env
	$(UV) sync --quiet --python $(DOCS)/env/bin/python --require-hashes requirements/docs.txt
	@touch $@

docs: $(DOCS)/.made ## Build the documentation as a site, build/docs/html; whatever Sphinx warns of is an error
	$(DOCS)/env/bin/sphinx-build -W --keep-going --quiet --builder html --doctree-dir $(DOCS)/read docs $(DOCS)/html

wheel: $(VENV)/.made ## Build wheel and sdist into dist/
	$(BIN)/python -m hatchling build

release: $(VENV)/.made ## Make dist/VERSION from a clean tag: wheel, sdist, lock, SBOM and checksums, built twice and the same
	PYTHONPATH=deploy/release $(BIN)/python -m miniwatch_release

# Files are of the time of the last commit, or of that which who builds the same again says: the same packages make the same image.
image: $(VENV)/.kernel wheel ## Make a container image with its list of parts in build/image (needs Debian), and try it where runc and umoci are
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} PYTHONPATH=deploy/image $(BIN)/python -m miniwatch_image dist/miniwatch-$(VERSION)-py3-none-any.whl $(addprefix --kernel ,$(wildcard build/native/*.whl))
	PYTHON=$(BIN)/python tests/deploy/helm/tools.sh
	$(BIN)/pytest -rs tests/deploy/image

k8s: $(VENV)/.made ## Have a real Kubernetes API server look at the chart; the first time it is built (needs Go): ten minutes and 4 GB for a while
	PYTHON=$(BIN)/python tests/deploy/helm/tools.sh
	$(BIN)/python tests/deploy/kubernetes/apiserver_made.py
	$(BIN)/pytest -rs tests/deploy/kubernetes

install: install-program install-service ## Install for systemd, as root: the program under /opt/miniwatch, units, an example configuration

# Each version has an environment of its own, made from the hashed lock beside the others; `current` is changed to it at the end, at once.
install-program: $(VENV)/.kernel wheel
	$(eval MADE_FROM := $(MADE_FROM))
	$(eval RELEASE := $(RELEASE))
	@if [ -e $(RELEASE) ]; then echo "$(notdir $(RELEASE)) is there already, made of the same."; else $(MAKE) --no-print-directory install-version MADE_FROM=$(MADE_FROM) RELEASE=$(RELEASE); fi
	@was=$$(readlink $(DESTDIR)$(PREFIX)/current); \
	ln -sfn $(notdir $(RELEASE)) $(DESTDIR)$(PREFIX)/current.new && mv -T $(DESTDIR)$(PREFIX)/current.new $(DESTDIR)$(PREFIX)/current && \
	echo "$(PREFIX)/current is $(notdir $(RELEASE)) now$${was:+, and was $$was before}."

install-version:
	@rm -rf $(RELEASE).new && mkdir -p $(DESTDIR)$(PREFIX)
	$(BIN)/uv venv --quiet --relocatable --no-project --python $(SYSTEM_PYTHON) $(RELEASE).new
	$(UV) sync --quiet --python $(RELEASE).new/bin/python --link-mode copy --require-hashes --compile-bytecode requirements/run.txt
	$(UV) install --quiet --python $(RELEASE).new/bin/python --link-mode copy --no-deps --offline --compile-bytecode $(WHEEL) $(wildcard build/native/*.whl)
	@rm -f $(RELEASE).new/.lock
	@mkdir -p $(RELEASE).new/share/doc/miniwatch
	@cp -r $(DOCUMENTS) $(RELEASE).new/share/doc/miniwatch/
	@cp -r --parents $(TO_COPY) $(RELEASE).new/share/doc/miniwatch/
	@sed -i 's|](\.\./|](|g' $(RELEASE).new/share/doc/miniwatch/*.md # what is above the pages in a clone lies beside them there
	@echo $(MADE_FROM) >$(RELEASE).new/$(MADE_FROM_FILE)
	@mv -T $(RELEASE).new $(RELEASE)

# What is configured already stays as it is.
install-service:
	@install -d $(UNITS) $(DESTDIR)/usr/local/lib/sysusers.d $(DESTDIR)/usr/local/lib/tmpfiles.d $(DESTDIR)/usr/local/bin $(DESTDIR)/etc/miniwatch
	@install -m 644 deploy/systemd/miniwatch.service deploy/systemd/miniwatch@.service deploy/systemd/miniwatch.socket $(UNITS)
	@install -m 644 deploy/systemd/sysusers.conf $(DESTDIR)/usr/local/lib/sysusers.d/miniwatch.conf
	@install -m 644 deploy/systemd/tmpfiles.conf $(DESTDIR)/usr/local/lib/tmpfiles.d/miniwatch.conf
	@install -d -m 700 $(DESTDIR)/etc/miniwatch/secrets
	@if [ ! -e $(DESTDIR)/etc/miniwatch/config.toml ]; then install -m 644 deploy/systemd/config.toml $(DESTDIR)/etc/miniwatch/config.toml; fi
	@ln -sfn $(PREFIX)/current/bin/miniwatch $(DESTDIR)/usr/local/bin/miniwatch
	@install -m 755 deploy/systemd/miniwatch-as-service $(DESTDIR)/usr/local/bin/miniwatch-as-service
	@install -d $(DESTDIR)/usr/local/share/doc
	@ln -sfn $(PREFIX)/current/share/doc/miniwatch $(DESTDIR)/usr/local/share/doc/miniwatch
	@if [ -z "$(DESTDIR)" ]; then systemd-sysusers miniwatch.conf && systemd-tmpfiles --create miniwatch.conf && if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; fi

uninstall: ## Stop and remove what `make install` has installed; configuration, secrets and data stay
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl disable --quiet --now miniwatch.socket miniwatch.service 2>/dev/null || true; systemctl stop --quiet 'miniwatch@*.service' 2>/dev/null || true; fi
	@rm -f $(UNITS)/miniwatch.service $(UNITS)/miniwatch@.service $(UNITS)/miniwatch.socket $(DESTDIR)/usr/local/bin/miniwatch $(DESTDIR)/usr/local/bin/miniwatch-as-service $(DESTDIR)/usr/local/share/doc/miniwatch
	@rm -f $(DESTDIR)/usr/local/lib/sysusers.d/miniwatch.conf $(DESTDIR)/usr/local/lib/tmpfiles.d/miniwatch.conf
	@rm -rf $(DESTDIR)$(PREFIX)
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

lock: $(VENV)/.made ## Resolve the dependencies anew, with hashes
	$(UV) compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --extra apprise -o requirements/run.txt
	$(UV) compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --extra dev -o requirements/dev.txt
	$(UV) compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --group docs -o requirements/docs.txt
	echo uv | $(UV) compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-annotate - -o requirements/uv.txt

clean: ## Remove what was made here
	rm -rf $(VENV) build dist native/target var

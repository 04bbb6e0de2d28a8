# One command each; `make help` lists them. All of them make the virtual environment first, if it is missing or outdated:
# with what a study needs, and for lab, test, bench and the like with the rest, too.
#
#   make study [PROFILE=sample|mini|paper-lite|paper] [ONLY=02_pruning] [LANGUAGES=swa,yor] [ENGINE=local|ray] [ADDRESS=host:6379]
#   make rehearse PROFILE=paper [ONLY=...] [LANGUAGES=...]
#   make fetch PROFILE=paper|mini [ARGS=--dry-run]
#   make test [ARGS="-k lock"]

PYTHON ?= python3
PROFILE ?= sample
ONLY ?=
LANGUAGES ?=
ENGINE ?=
ADDRESS ?=
ARGS ?=

# Relative, and each tool run as a module: so a checkout may stand in a folder with a space in its name.
environment := .venv
python := $(environment)/bin/python
installed := $(environment)/.installed
complete := $(environment)/.installed-all
UV ?= $(shell command -v uv)

.DEFAULT_GOAL := study
.PHONY: study rehearse fetch test test-web rehearsal lab report bench check lock layout clean clean-all help

study: $(installed)  ## run the notebooks of a profile and render the report
	@$(python) -m smaller study --profile "$(PROFILE)" \
		$(if $(ONLY),--only "$(ONLY)") $(if $(LANGUAGES),--languages "$(LANGUAGES)") \
		$(if $(ENGINE),--engine "$(ENGINE)") $(if $(ADDRESS),--address "$(ADDRESS)") $(ARGS)

rehearse: $(installed)  ## before days of training: two updates of each, here; says what takes long and what does not fit
	@$(python) -m smaller study --rehearse --profile "$(PROFILE)" \
		$(if $(ONLY),--only "$(ONLY)") $(if $(LANGUAGES),--languages "$(LANGUAGES)") $(ARGS)

fetch: $(installed)  ## bring all that a profile reads to this machine, once: its study then needs no network
	@$(python) -m smaller fetch --profile "$(PROFILE)" $(ARGS)

test: $(complete)  ## run the tests
	@$(python) -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

test-web: $(complete) web/node_modules/.package-lock.json  ## run shipped models in transformers.js on Node, and their page
	@$(python) -m pytest tests/test_web.py tests/test_demo.py $(ARGS)

rehearsal: $(complete)  ## test: run the paper profile, from fetch to report, against a played hub with tiny contents
	@$(python) tests/rehearsal.py $(ARGS)

lab: $(complete)  ## open the notebooks in JupyterLab
	@$(python) -m jupyterlab notebooks $(ARGS)

report: $(installed)  ## render the report again from the notebooks that were run
	@$(python) -m smaller report $(ARGS)

bench: $(complete)  ## measure speed and memory beside the plain way
	@$(python) -m smaller bench $(ARGS)

check: $(installed)  ## say of each requirement whether it is met, and what to do
	@$(python) -m smaller check $(ARGS)

lock: $(complete)  ## write requirements.lock anew from what is installed
	@$(python) .ci/lock.py > requirements.lock.new && mv requirements.lock.new requirements.lock
	@touch $(installed) $(complete) && echo "requirements.lock holds $$(wc -l < requirements.lock | tr -d ' ') packages"

layout: $(installed)  ## write the layout in README.md anew from what the rooms say of themselves
	@$(python) .ci/layout.py

clean:  ## remove all that was generated in outputs/, but not outputs/reference/
	@if [ -d outputs ]; then find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +; fi
	@echo "outputs/ is empty, but for outputs/reference/"

clean-all: clean  ## and the virtual environment
	@rm -rf $(environment) && echo "$(environment)/ is gone"

help:  ## list the commands
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

# Threads that wait sleep (see lib/smaller/__init__.py), also where PyTorch is imported first.
export OMP_WAIT_POLICY ?= PASSIVE

# Nothing is downloaded in the middle of a run: what a profile reads is fetched before, by `make fetch`.
study rehearse test test-web: export HF_HUB_OFFLINE ?= 1

web/node_modules/.package-lock.json: web/package-lock.json
	@npm ci --prefix web
	@touch $@

$(installed): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "smaller needs Python 3.11 or newer, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=python3.12"; exit 1; } >&2
	@$(python) -m pip --version >/dev/null 2>&1 || { \
		echo "Making $(environment)/ with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear $(environment); }
	@UV="$(UV)" .ci/install $(environment)
	@touch $@

$(complete): $(installed)
	@UV="$(UV)" .ci/install $(environment) all
	@touch $@

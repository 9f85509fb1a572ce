# `make` or `make help` lists the targets. Times are for two cores. Without make: `python -m distillcse_kit env`, then the
# command `distillcse` in .venv/bin, which does what is done here.
VENV := .venv
RUN := $(VENV)/bin/
PYTHON ?= $(or $(wildcard $(RUN)python),python3)
PROFILE ?= laptop
NOTEBOOKS := runs/course-smoke/notebooks
.DEFAULT_GOAL := help
.PHONY: help env course real sweeps has-data test browser screenshots check lab notebooks docs

help:  ## list the targets
	@echo "DistillCSE Kit. Each target first makes what it needs:"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-11s %s\n", $$1, $$2}'

env:  ## make the virtual environment .venv, with what the tests need (2 minutes, once)
	@$(PYTHON) -m distillcse_kit env $(if $(EXTRAS),--extras $(EXTRAS))

course: env  ## run all notebooks offline on the profile smoke, into runs/course-smoke (4 minutes)
	@$(RUN)distillcse course

real: has-data env  ## run the course on your data and the profile laptop: make real DATA=folder (40 minutes)
	@echo "Run it again to continue if it stops."
	@$(RUN)distillcse course --profile laptop --data-dir "$(DATA)"

sweeps: has-data env  ## make the shipped tables again on your data: make sweeps DATA=folder (100 minutes)
	@echo "Training and scoring all sweeps, profile laptop: about 100 minutes; run it again to continue if it stops ..."
	@for name in $$($(RUN)python -c 'from distillcse_kit.experiments.names import SWEEP_NAMES; print(*SWEEP_NAMES)'); do \
		$(RUN)distillcse sweep $$name --data-dir "$(DATA)" --json distillcse_kit/results/sweeps/$$name.json || exit 1; \
	done

has-data:
	@test -n "$(DATA)" || { echo "Name the folder with your data, as in make real DATA=folder (README, 'Real data')." >&2; exit 2; }

test: env  ## run the tests (at most 8 minutes)
	@$(RUN)distillcse test

browser: env  ## test notebooks and explorers in JupyterLab with a browser; skips if there is none (at most 6 minutes)
	@echo "Running all notebooks in JupyterLab and using their explorers: at most 6 minutes, less after make course ..."
	@$(RUN)python -m pytest tests/browser

screenshots: env  ## make figures/explorers again, light and dark; needs a browser (10 minutes, more before make course)
	@echo "Taking pictures of all explorers in JupyterLab, profile $(PROFILE); runs that the store does not have are trained first ..."
	@$(RUN)python -m tests.browser.screenshots --profile $(PROFILE)

check: env  ## check style and types, and that the notebooks match their sources (1 minute)
	@echo "Checking style, types and notebooks: about a minute ..."
	@$(RUN)ruff check .
	@$(RUN)ruff format --check .
	@$(RUN)mypy
	@$(RUN)distillcse notebooks --check

lab: env  ## open the first notebook in JupyterLab (stop it with Ctrl-C)
	@$(RUN)distillcse lab

notebooks: env  ## write notebooks/*.ipynb from notebooks/src/*.py (seconds)
	@$(RUN)distillcse notebooks

docs: env  ## the documentation as a site in site/ (under a minute; runs the course first if it has not run)
	@$(RUN)python -m distillcse_kit env --extras docs
	@ls $(NOTEBOOKS)/*.ipynb > /dev/null 2>&1 || $(RUN)distillcse course
	@echo "Building the site from docs/ and the notebooks in $(NOTEBOOKS): under a minute ..."
	@NO_MKDOCS_2_WARNING=1 $(RUN)mkdocs build --strict --quiet
	@$(RUN)python -m pytest -q tests/test_docs.py
	@echo "Built: site/index.html. To search in it, serve it: $(RUN)python -m http.server --directory site"

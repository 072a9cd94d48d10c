# make run    sets everything up and makes the default grid
# make test   sets everything up and runs the tests
# make report the run's results in one file to pass on: results/report.zip
# make images the pictures of the README, from the default grid
# make check  everything a maintainer needs before a commit

PYTHON ?= python3
VENV := .venv
CONSTRAINTS := workflow/envs/constraints.txt
CORES ?= all
GPUS ?= 1
CONFIG ?= config/config.yaml

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run report test check lint format images clean

run: $(VENV)/.installed
	@test -f "$(CONFIG)" || { echo "There is no file $(CONFIG). Try: make run CONFIG=config/config.yaml"; exit 1; }
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) --configfile "$(CONFIG)"

REPORTED := all results/report/gallery
report: run
	$(VENV)/bin/snakemake $(REPORTED) --cores $(CORES) --configfile "$(CONFIG)"
	$(VENV)/bin/snakemake $(REPORTED) --configfile "$(CONFIG)" \
	  --report results/report.zip --report-stylesheet workflow/report/style.css
	@echo "Unpack results/report.zip and open report/report.html in a browser."

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest

check: lint test

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint

format: $(VENV)/.installed-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile workflow

images: $(VENV)/.installed-test run
	$(VENV)/bin/python docs/make_images.py

clean:
	rm -rf $(VENV) .snakemake

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	@echo "Installing into $(VENV): about two minutes and 6 GB, most of it torch."
	$(VENV)/bin/pip install --quiet --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	@echo "Installing into $(VENV): about two minutes and 6 GB, most of it torch."
	$(VENV)/bin/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test]'
	touch $(VENV)/.installed $@

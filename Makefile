# The whole project is a few commands; each prints what to do when it cannot go on.
# PYTHON=python3.12 make book    picks another Python (3.11 or newer).

ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

# Windows would write and read everything in its own encoding.
export PYTHONUTF8 := 1
# Beside another program, torch's threads would wait for each other in busy loops, and a
# chapter that takes half a minute takes five.
export GOMP_SPINCOUNT ?= 1000

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock
SITE := _build/html/index.html
SOURCES := _config.yml _toc.yml references.bib \
  $(wildcard book/*.md book/_*/* book/_*/*/* notebooks/*.ipynb nbcode/*.py)

.PHONY: book test arithmetic colab lab bench mutants run links name lock clean

book: $(SITE)
	@echo "The book is built. Open $(SITE) in a browser."

$(SITE): .venv/book $(SOURCES)
	$(BIN)/jupyter-book build --quiet --all . # all pages: each holds the menu and links the styles
	@touch $@

test: .venv/test
	$(BIN)/python tools/run.py

# Executes the chapters once more, as on a plainer processor, and compares what they print.
arithmetic: .venv/test
	$(BIN)/python tools/run.py arithmetic

# Executes the chapters where Colab would: its versions, nbcode from the address they name.
colab: .venv/test
	$(BIN)/python tools/run.py colab

lab: .venv/lab
	$(BIN)/jupyter lab notebooks

bench: .venv/test book
	$(BIN)/python tools/bench.py

# Changes the code in 300 small ways and says which no test notices; half an hour.
mutants: .venv/test
	$(INSTALL) mutmut
	$(BIN)/python tools/mutants.py

# Executes the chapters (all, or FILES=notebooks/01_signal.ipynb) and stores their outputs.
run: .venv/test
	$(BIN)/python tools/book.py run $(FILES)

# Asks every address that the book names whether it is still there.
links: .venv/book
	$(BIN)/jupyter-book build --quiet --builder linkcheck .

# make name REPO=owner/repo
name: .venv/book
	$(BIN)/python tools/book.py name $(REPO)

# Rewrites requirements.lock with the newest versions that pyproject.toml allows.
lock: .venv/book
	$(INSTALL) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
	  --no-annotate --custom-compile-command "make lock" -o requirements.lock pyproject.toml

clean:
	rm -rf .venv _build mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis nbcode.egg-info

# One file a set of packages: make installs it when it is missing or its versions changed.
.venv/book .venv/lab .venv/test: pyproject.toml requirements.lock
	$(PYTHON) tools/environment.py .venv
	$(INSTALL) --editable ".[$(@F)]"
	@touch $@

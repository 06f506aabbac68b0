"""Runs the checks in order, and says at the end which failed and what to do about it.

python tools/run.py            all but the last two, as `make test` does
python tools/run.py lint site  those two alone
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from edges import PLAIN

PYTEST = ["-m", "pytest", "-q", "--tb=short"]
NBVAL = ["--nbval", "--nbval-current-env", "-n", "2", "--dist", "loadfile"]
STEPS = {
    "lint": (
        "Ruff says what it would change: `.venv/bin/ruff check --fix .` and then "
        "`.venv/bin/ruff format .` do most of it. What is said of a notebook ends in its "
        "own remedy; `make run` executes notebooks and fills in their numbers. mypy names "
        "the line whose types do not fit.",
        ["-m", "ruff", "check", "--quiet", "."],
        ["-m", "ruff", "format", "--quiet", "--diff", "."],
        ["-m", "mypy"],
        ["tools/book.py", "check"],
    ),
    "unit": (
        "A function of nbcode, or of the checks, does not do what its test or its "
        "docstring's example says: mend the one that is wrong.",
        [*PYTEST, "--doctest-modules", "nbcode"],
        [*PYTEST, "-n", "2", "tests/nbcode", "tests/tools"],
    ),
    "notebooks": (
        "A cell gives another output than it stores (nbval counts code cells from 0, and "
        "prints the cell). If the new output is right, `make run` stores it; else mend the "
        "code that the cell calls. If it differs from machine to machine, print fewer "
        "digits or assert instead.",
        [*PYTEST, *NBVAL, "notebooks"],
    ),
    "site": (
        "The strict build names the file and, in a notebook, the cell: mend the reference, "
        "link or picture there.",
        ["tools/build.py"],
    ),
    "browser": (
        "The built site misbehaves in Chromium: open the page named above in "
        "_build/strict and look.",
        [*PYTEST, "-n", "2", "tests/site"],
    ),
    "arithmetic": (
        "A cell gives another output on a plainer processor. Its number lies next to a "
        "rounding edge: print fewer digits, or another quantity. Or an assert lies within "
        "the noise: measure its margin.",
        [*PYTEST, *NBVAL, "notebooks"],
    ),
    "colab": (
        "A chapter does not run where Colab would run it: look at its set-up cell, and for "
        "what it imports beyond numpy, scipy, scikit-learn, matplotlib and torch.",
        [*PYTEST, "-n", "2", "tests/colab"],
    ),
}
# Not part of `make test`, for time.
APART = ("arithmetic", "colab")


def good(commands, env):
    """Run all of them, also after one failed: whoever mends it wants to see everything."""
    root = Path(__file__).resolve().parent.parent
    runs = [
        subprocess.run([sys.executable, *command], cwd=root, env=env)
        for command in commands
    ]
    return not any(run.returncode for run in runs)


def main(chosen):
    failed = []
    # Threads that outnumber the cores spend their time waiting for each other, and
    # notebooks run two at a time.
    env = {"OMP_NUM_THREADS": "1", **os.environ}
    for name in chosen or [name for name in STEPS if name not in APART]:
        start = time.perf_counter()
        print(f"--- {name}", flush=True)
        remedy, *commands = STEPS[name]
        if not good(commands, env | PLAIN if name == "arithmetic" else env):
            failed.append(f"{name} failed. {remedy}")
        print(f"--- {name}: {time.perf_counter() - start:.0f} s", flush=True)
    sys.exit("\n\n".join(["", *failed]) if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])

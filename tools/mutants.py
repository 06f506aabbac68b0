"""Changes the code in small ways, and says which changes no test notices.

    python tools/mutants.py [NUMBER] [SEED]    a random sample, 300 and 0 where not said

mutmut makes the mutants and runs the tests that reach each; [tool.mutmut] in pyproject.toml
says of which files. A mutant that survives is shown as a diff: give it a test, or know why
it does not matter. All is kept in mutants/, so that a second run goes on from there.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTHING = "no mutant has this name"
MUTMUT = [sys.executable, "-m", "mutmut"]
# Threads of torch do not survive a fork, and a bar of progress hides what is printed.
QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def call(*arguments):
    """What mutmut says."""
    command = [*MUTMUT, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | QUIET, capture_output=True, text=True
    )
    if done.returncode and NOTHING not in arguments:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return done.stdout


def states():
    """{mutant: "killed", "survived", "not checked", ...}, of all there are."""
    lines = (line.strip() for line in call("results", "--all", "true").splitlines())
    return dict(line.split(": ") for line in lines if ": " in line)


def main(number=300, seed=0):
    call("run", NOTHING)  # makes the mutants, and finds out which test runs what
    sample = random.Random(seed).sample(sorted(states()), number)
    call("run", *sample)
    found = states()
    # A mutant that runs forever is noticed, too.
    lived = [name for name in sample if found[name] not in ("killed", "timeout")]
    for name in lived:
        print(f"--- {name}: {found[name]}\n{call('show', name)}")
    share = 1 - len(lived) / number
    print(f"{number - len(lived)} of {number} mutants killed, {share:.0%}")
    sys.exit(share < 0.9)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Makes a virtual environment with pip, in whatever way this machine has for it.

    python3 tools/environment.py FOLDER

Debian's python3 comes without ensurepip, so that there `python3 -m venv` fails.
"""

import os
import shutil
import subprocess
import sys

REMEDY = (
    "This Python makes no virtual environment with pip: `apt install python3-venv`, or "
    "your system's package of that kind, mends it; uv, once installed, is used as well."
)


def run(*command):
    """True if the command is there and succeeds."""
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


def make(folder):
    """Try one way after another; True as soon as the folder's Python has pip."""
    python = os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python")
    venv = [sys.executable, "-m", "venv", "--clear", folder]
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "pip"]
    uv = ["uv", "venv", "--clear", "--seed", "--python", sys.executable, folder]
    apt = ["apt-get", "install", "-y", "--no-install-recommends", "python3-venv"]
    return (
        run(python, "-m", "pip", "--version")  # it was made before
        or run(*venv)
        or (run(*venv, "--without-pip") and run(*pip))
        or run(*uv)
        or (run("apt-get", "update") and run(*apt) and run(*venv))  # for root alone
    )


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("The book needs Python 3.11 or newer: make PYTHON=python3.12, or alike.")
    if not make(sys.argv[1]):
        sys.exit(REMEDY)

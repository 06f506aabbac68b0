"""Importing nbcode is quick: what is heavy is loaded by the functions that need it."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "matplotlib", "scipy", "sklearn", "IPython")
PROGRAM = """
import importlib, json, pkgutil, sys
import nbcode, nbcode.exercises
found = {module.name for module in pkgutil.iter_modules(nbcode.__path__, "nbcode.")}
light = sorted(found - {"nbcode.networks", "nbcode.training", "nbcode._stack"})  # torch's
for name in light:
    importlib.import_module(name)
print(json.dumps([light, sorted(sys.modules)]))
"""


def fresh(program, **changes):
    """What a fresh interpreter prints, warnings being errors; None unsets a variable."""
    command = [sys.executable, "-W", "error", "-c", program]
    env = {k: v for k, v in {**os.environ, **changes}.items() if v is not None}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def imported():
    return fresh(PROGRAM)


def test_all_modules_are_found(imported):
    modules, _ = imported
    named = {"initializers", "theory", "signals", "norms", "datasets", "figures", "check"}
    assert {f"nbcode.{name}" for name in named} <= set(modules)
    assert "nbcode.exercises" in modules  # a chapter's judges are loaded by number


@pytest.mark.parametrize("package", HEAVY)
def test_importing_every_module_does_not_import(imported, package):
    _, loaded = imported
    assert not [name for name in loaded if name.split(".")[0] == package]


def test_numpy_alone_is_enough_for_weights_and_signals():
    """Initializers, norms and named activations of a book page need only NumPy."""
    loaded = fresh(
        "import json, sys, numpy as np\n"
        "from nbcode import initializers, norms, signals\n"
        "w = [initializers.variance_scaling((4, 4), rng=np.random.default_rng(0))]\n"
        "zs, xs = signals.forward(np.ones(4), w, 'tanh')\n"
        "norms.batch_norm_backward(*norms.batch_norm(np.eye(4)))\n"
        "signals.rms(signals.backward(zs[0], w, zs, 'tanh')[0])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    import nbcode

    assert nbcode.__version__ == version("nbcode")


def test_waiting_threads_are_tamed_before_torch_loads_and_by_the_user_first():
    """Only the environment that OpenMP finds when torch loads it has an effect."""
    program = (
        "import json, os, sys, nbcode; "
        "print(json.dumps([os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules]))"
    )
    assert fresh(program, GOMP_SPINCOUNT=None) == ["1000", False]
    assert fresh(program, GOMP_SPINCOUNT="7") == ["7", False]

"""Shared by the judges: comparing a number or an array with what it should be."""

from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded():
    """torch's generator at a fixed place, and back to the reader's afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def near(answer, target, rtol=0.01):
    """True if ``answer`` is one finite number within ``rtol`` of ``target``."""
    try:
        value = float(answer)
    except (TypeError, ValueError):
        return False
    return abs(value - target) <= rtol * abs(target)


def number(answer, target, praise, wrong_turns, otherwise, rtol=0.01):
    """Judge one number: right, a known wrong turn, or neither.

    ``wrong_turns`` maps a wrong value to the sentence that says how one gets there.
    """
    try:
        value = float(answer)
    except (TypeError, ValueError):
        return False, f"a single number is asked for, and this is {type(answer).__name__}."
    if near(value, target, rtol):
        return True, praise
    for wrong, why in wrong_turns.items():
        if near(value, wrong, rtol):
            return False, why
    return False, otherwise


def function(answer, hint):
    """Complain unless ``answer`` can be called."""
    if not callable(answer):
        return f"pass the function itself, without brackets: {hint}"
    return None


def array(got, expected, what):
    """Complain unless ``got`` has the shape and the entries of ``expected``."""
    got = np.asarray(got, dtype=float)
    if got.shape != expected.shape:
        return f"{what} should have shape {expected.shape}, yours has {got.shape}."
    if not np.allclose(got, expected, rtol=1e-6, atol=1e-12):
        worst = np.max(np.abs(got - expected))
        return f"{what} has the right shape, but an entry is off by {worst:.3g}."
    return None

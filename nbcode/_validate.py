"""Answers to bad input: the argument's name, its value, and the remedy."""

import math
from numbers import Integral, Real

import numpy as np


def number(name, value, remedy, *, above=None, at_least=None):
    """Return ``value`` as a float if it is a finite real number in range."""
    ok = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not ok or (above is not None and value <= above):
        raise ValueError(_sentence(name, value, "a finite number", above, at_least, remedy))
    if at_least is not None and value < at_least:
        raise ValueError(_sentence(name, value, "a finite number", above, at_least, remedy))
    return float(value)


def integer(name, value, remedy, *, at_least=1):
    """Return ``value`` as an int if it is a whole number of at least ``at_least``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise ValueError(_sentence(name, value, "a whole number", None, at_least, remedy))
    return int(value)


def array(name, value, remedy, *, ndim=None, finite=True):
    """Return ``value`` as a NumPy array of real numbers, by default finite ones."""
    try:
        out = np.asarray(value)
        ok = out.dtype.kind in "fiu" and out.size > 0
        ok = ok and (not finite or bool(np.all(np.isfinite(out))))
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor that needs grad
        ok = False
    if not ok:
        kind = "finite numbers" if finite else "numbers"
        raise ValueError(
            f"{name} must be a non-empty array of {kind}, got {_short(value)}: {remedy}"
        )
    if ndim is not None and out.ndim not in ndim:
        dims = " or ".join(str(d) for d in ndim)
        raise ValueError(f"{name} must have {dims} axes, got shape {out.shape}: {remedy}")
    return out


def arrays(name, value, remedy):
    """Return ``value`` as a list if it lists at least one thing."""
    try:
        out = list(value)
    except TypeError:
        out = []
    if not out:
        raise ValueError(
            f"{name} must list an array or more, got {_short(value)}: {remedy}"
        )
    return out


def ndim(value):
    """The number of axes of ``value``; -1 where rows differ in length."""
    try:
        return np.ndim(value)
    except ValueError:
        return -1


def choice(name, value, options):
    """Return ``value`` if it is one of ``options``."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {_short(value)}")
    return value


def generator(name, value):
    """Return ``value`` if it is a NumPy random generator."""
    if not isinstance(value, np.random.Generator):
        raise ValueError(
            f"{name} must be a NumPy Generator, got {_short(value)}: "
            f"pass np.random.default_rng(0), say"
        )
    return value


def _sentence(name, value, kind, above, at_least, remedy):
    bound = f" above {above}" if above is not None else ""
    bound += f" of at least {at_least}" if at_least is not None else ""
    return f"{name} must be {kind}{bound}, got {_short(value)}: {remedy}"


def _short(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."

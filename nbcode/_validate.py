"""Answers to bad input: the argument's name, its value, and the remedy."""

from math import inf, isfinite
from numbers import Integral, Real

import numpy as np


def number(name, value, remedy, *, above=-inf, at_least=-inf, below=inf, at_most=inf):
    """Return ``value`` as a float if it is a finite real number in range."""
    real = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    if not (real and above < value < below and at_least <= value <= at_most):
        ends = {"above": above, "of at least": at_least, "below": below, "at most": at_most}
        said = " and ".join(
            f"{words} {end}" for words, end in ends.items() if isfinite(end)
        )
        kind = f"a finite number {said}".rstrip()
        raise ValueError(f"{name} must be {kind}, got {_short(value)}: {remedy}")
    return float(value)


def integer(name, value, remedy, *, at_least=1):
    """Return ``value`` as an int if it is a whole number of at least ``at_least``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        kind = f"a whole number of at least {at_least}"
        raise ValueError(f"{name} must be {kind}, got {_short(value)}: {remedy}")
    return int(value)


def array(name, value, remedy, *, ndim=None, finite=True, empty=False) -> np.ndarray:
    """Return ``value`` as an array of real numbers, by default finite ones, one or more."""
    try:
        out = np.asarray(value)
        ok = out.dtype.kind in "fiu" and (empty or out.size > 0)
        ok = ok and (not finite or bool(np.all(np.isfinite(out))))
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor that needs grad
        ok = False
    if not ok:
        kind = ("an array" if empty else "a non-empty array") + " of finite" * finite
        raise ValueError(f"{name} must be {kind} numbers, got {_short(value)}: {remedy}")
    if ndim is not None and out.ndim not in ndim:
        dims = " or ".join(str(d) for d in ndim)
        raise ValueError(f"{name} must have {dims} axes, got shape {out.shape}: {remedy}")
    return out


def layers(value, remedy, *, ndim, fan_in=None) -> list[np.ndarray]:
    """Return weights (..., fan_out, fan_in) as arrays that fit behind each other."""
    listed = list(value) if hasattr(value, "__iter__") else []
    if not listed:
        said = f"weights must list an array or more, got {_short(value)}"
        raise ValueError(f"{said}: {remedy}")
    named = ((f"weights[{i}]", W) for i, W in enumerate(listed))
    out = [array(name, W, remedy, ndim=(ndim,), finite=False) for name, W in named]
    *runs, _, width = out[0].shape
    before = fan_in or width
    for i, W in enumerate(out):
        if W.shape != (*runs, W.shape[-2], before):
            said = ", ".join(map(str, (*runs, "fan_out", before)))
            said = f"weights[{i}] must have shape ({said}), got {W.shape}"
            raise ValueError(f"{said}: {remedy}")
        before = W.shape[-2]
    return out


def choice(name, value, options):
    """Return ``value`` if it is one of ``options``."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {_short(value)}")
    return value


def generator(name, value):
    """Return ``value`` if it is a NumPy random generator."""
    if not isinstance(value, np.random.Generator):
        remedy = "pass np.random.default_rng(0), say"
        raise ValueError(f"{name} must be a NumPy Generator, got {_short(value)}: {remedy}")
    return value


def _short(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."

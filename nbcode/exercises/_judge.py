"""Shared by the judges: how a row reads, and how numbers and arrays are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class NotYet(Exception):
    """Says, in a sentence for the reader, why an answer is not right."""


def refuse(*findings):
    """Raise NotYet with the sentence of the first (it is so, sentence) that is so."""
    for it_is_so, why in findings:
        if it_is_so:
            raise NotYet(why)


@dataclass(frozen=True)
class Number:
    """An answer that is one number, and the wrong turns by which it is missed."""

    target: float
    praise: str
    wrong: Mapping[float, str]
    otherwise: str
    rtol: float = 0.01

    def judge(self, answer):
        try:
            float(answer)
        except (TypeError, ValueError):
            kind = type(answer).__name__
            raise NotYet(f"a single number is asked for, and this is {kind}.") from None
        number(answer, self.target, self.wrong, self.otherwise, self.rtol)
        return self.praise


@dataclass(frozen=True)
class Function:
    """An answer that is a function or a class, the name of which the exercise gives."""

    name: str
    judge: Callable[[Any], str]


def near(value, target, rtol):
    """True if ``value`` is one finite number within ``rtol`` of ``target``."""
    try:
        return abs(float(value) - target) <= rtol * abs(target)
    except (TypeError, ValueError):
        return False


def number(value, target, wrong, otherwise, rtol=1e-9, prefix=""):
    """Raise NotYet unless ``value`` is near ``target``; say which wrong turn it is."""
    if near(value, target, rtol):
        return
    why = next((why for turn, why in wrong.items() if near(value, turn, rtol)), otherwise)
    raise NotYet(prefix + why)


def array(value, target, what, wrong=(), otherwise=""):
    """Raise NotYet unless two arrays are the same; ``wrong`` holds pairs (array, why)."""
    value = np.asarray(value, dtype=float)
    if _same(value, target):
        return
    for turn, why in wrong:
        if _same(value, turn):
            raise NotYet(why)
    shape(value, target, what, otherwise)
    off = f"{np.max(np.abs(value - target)):.3g}"
    raise NotYet(f"{what} has the right shape, but an entry is off by {off}.{otherwise}")


def shape(value, target, what, otherwise=""):
    """Raise NotYet unless two arrays have one shape."""
    if value.shape != target.shape:
        shapes = f"{target.shape}, yours has {value.shape}"
        raise NotYet(f"{what} should have shape {shapes}.{otherwise}")


def _same(a, b):
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-12)


def parts(value, count, otherwise):
    """The arrays, or numbers, of which there should be ``count``."""
    if not isinstance(value, tuple | list | np.ndarray) or len(value) != count:
        raise NotYet(otherwise)
    return [np.asarray(part, dtype=float) for part in value]

"""Judges of chapter 1."""

import numpy as np

from nbcode import theory
from nbcode.exercises import _judge


def _overflow(answer):
    return _judge.number(
        answer,
        24,
        "23.6 layers to the limit, so layer 24 is the first past it.",
        {
            23: "at layer 23 the rms is 1.6^23 = 49 500, still below 65504; round up.",
            23.595: "nearly: layers are whole, and the first one past 23.6 is the next.",
            90: "that is with ReLU; this network is linear.",
            3: "the growth factor is s times the square root of n, not s times n.",
        },
        "find the growth factor g = s√n first, then the smallest L with g^L > 65504.",
        rtol=0.001,
    )


def _uniform(answer):
    return _judge.number(
        answer,
        np.sqrt(6 / 300),
        "s = a/√3 and s√(n/2) = 1 give a = √(6/n).",
        {
            np.sqrt(3 / 300): "that keeps a linear network; ReLU halves the mean square.",
            np.sqrt(2 / 300): "that is the standard deviation s; a uniform's s is a/√3.",
            np.sqrt(1 / 300): "that is s for a linear network: ReLU and a/√3 are missing.",
            np.sqrt(24 / 300): "the variance of U(−a, a) is (2a)²/12 = a²/3, not a²/12.",
        },
        "two conditions: s√(n/2) = 1, and s² = a²/3 for a uniform on [−a, a].",
    )


def _gives_out(answer):
    complaint = _judge.function(answer, 'check.exercise("1.3", gives_out)')
    if complaint:
        return False, complaint
    cases = [(0.1, 512, True), (0.02, 512, True), (0.02, 512, False), (1.0, 256, False)]
    for std, width, relu in cases:
        g = std * np.sqrt(width / 2 if relu else width)
        start = np.sqrt(2 * np.log(width))
        limit = theory.overflow_layer if g > 1 else theory.underflow_layer
        expected = int(np.ceil(limit(g, "float16", start)))
        got = answer(std, width, relu)
        if not _judge.near(got, expected, 1e-9):
            call = f"gives_out({std}, {width}, {relu})"
            why = _why_not(got, g, limit, start, relu)
            return False, f"{call} is {got}, not {expected}: {why}"
    still = answer(0.0625, 256, False)
    if still != np.inf:
        return (
            False,
            f"at g = 1 exactly the signal never gives out: return inf, not {still}.",
        )
    return True, "overflow, underflow and the eye of the needle, all three."


def _why_not(got, g, limit, start, relu):
    exact = limit(g, "float16", start)
    if _judge.near(got, exact, 1e-6):
        return "layers are whole; round up to the first one past the limit."
    if g < 1 and _judge.near(got, np.ceil(exact - np.log(2) / -np.log(g)), 1e-9):
        return "what is below *half* of 2^-24 is rounded to zero; half of it is not yet."
    if _judge.near(got, np.ceil(limit(g, "float16")), 1e-9):
        return "start from the largest entry, √(2 log n), not from 1."
    other = g * np.sqrt(2) if relu else g / np.sqrt(2)
    same_side = (other > 1) == (g > 1)
    if same_side and _judge.near(got, np.ceil(limit(other, "float16", start)), 1e-9):
        return "ReLU has s√(n/2), a linear network s√n."
    return "find g, then log(limit/start)/log(g), rounded up."


def _weight_gradient(answer):
    complaint = _judge.function(answer, 'check.exercise("1.4", weight_gradient)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(0)
    delta, x = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    expected = np.zeros((3, 2))
    for sample in range(4):
        for i in range(3):
            for j in range(2):
                expected[i, j] += delta[sample, i] * x[sample, j]
    got = np.asarray(answer(delta.copy(), x.copy()), dtype=float)
    if got.shape == (2, 3):
        return False, "that is its transpose: a weight is stored as (fan_out, fan_in)."
    if got.shape == expected.shape and np.allclose(got, expected / 4):
        return (
            False,
            "that is the mean over the batch; the loss here is a sum over samples.",
        )
    complaint = _judge.array(got, expected, "the gradient")
    return (
        (False, complaint) if complaint else (True, "one outer product a sample, added up.")
    )


def _sparse(answer):
    return _judge.number(
        answer,
        1 / 400,
        "s² = p, so p·n = 1: one non-zero weight a unit on average.",
        {
            1 / 20: "that is 1/√n; the variance of such a weight is p itself, not p².",
            2 / 400: "each sign has probability p/2: a weight is non-zero with p.",
        },
        "the variance of a weight is E[w²] = p·1; then ask for s√n = 1.",
    )


class _Doubled:
    """A generator whose normal numbers have rms 2: a ratio to the rms does not notice."""

    def __init__(self, rng):
        self.rng = rng

    def normal(self, loc=0.0, scale=1.0, size=None):
        return 2 * self.rng.normal(loc, scale, size)

    def standard_normal(self, size=None):
        return 2 * self.rng.standard_normal(size)


def _largest(answer):
    complaint = _judge.function(answer, 'check.exercise("1.6", largest_over_rms)')
    if complaint:
        return False, complaint
    got = np.mean([answer(4096, np.random.default_rng(seed)) for seed in range(200)])
    rng = np.random.default_rng(1000)
    z = rng.normal(size=(400, 4096))
    target = np.mean(np.abs(z).max(axis=1) / np.sqrt((z**2).mean(axis=1)))
    signed = np.mean(z.max(axis=1) / np.sqrt((z**2).mean(axis=1)))
    doubled = np.mean([answer(4096, _Doubled(np.random.default_rng(i))) for i in range(50)])
    if _judge.near(got, target, 0.02) and not _judge.near(doubled, target, 0.05):
        return False, "right for numbers of rms 1; divide by the rms to be right for all."
    if _judge.near(got, target, 0.02):
        return (
            True,
            "about 3.8 at n = 4096, against √(2 log n) = 4.1: seven percent too high.",
        )
    if _judge.near(got, signed, 0.02):
        return False, "a large negative entry overflows too: take the absolute value first."
    return False, f"at n = 4096 it should be about 3.8 on average, yours is {got:.2f}."


def _zero_layer(answer):
    return _judge.number(
        answer,
        3,
        "only the last: its own gradient needs no weight above it, and not its own either.",
        {
            1: "with ReLU, z¹ = 0 gives x¹ = 0 and slope 0: nothing flows up or down.",
            2: "with ReLU, z² = 0 gives x² = 0 and slope 0: nothing flows up or down.",
        },
        "layers are counted 1, 2, 3; run the experiment for each of them.",
        rtol=1e-9,
    )


def _silence(answer):
    return _judge.number(
        answer,
        0.8663,
        "the rounded map keeps at most 1.33 of the mean square, and 1/√1.33 = 0.866.",
        {
            1.0: "there the *exact* signal stops fading; rounding adds to it before.",
            1.3325: "that is the largest ratio; the growth factor enters squared, as 1/g².",
            1.1543: "that is the root of the largest ratio; g is one over it.",
            0.7505: "that is g²; take the root.",
        },
        "find the largest E[round(σz)²]/σ² over σ; noise lives if g² times it is ≥ 1.",
        rtol=0.004,
    )


CHECKS = {
    "1.1": _overflow,
    "1.2": _uniform,
    "1.3": _gives_out,
    "1.4": _weight_gradient,
    "1.5": _sparse,
    "1.6": _largest,
    "1.7": _zero_layer,
    "1.8": _silence,
}

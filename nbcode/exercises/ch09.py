"""Judges of chapter 9."""

from math import sqrt

import numpy as np

from nbcode.exercises._judge import Function, NotYet, Number, near, parts, shape

RATES = np.array([0.02, 0.2, 2.0, 20.0])
PLAIN = np.array([[2.0, 2, 2], [1, 1, 1.2], [0.9, 1.1, 4], [3, 3, 3]])
DEAD = np.array([[2.0, 2, 2], [1, 1, 1], [0.1, np.nan, np.nan], [3, np.nan, 3]])
SKEW = np.array([[2.0, 2, 2], [1, 1, 1], [0.9, 0.9, 9], [3, 3, 3]])


def _best_rate(answer):
    for losses, place, why in (
        (PLAIN, 1, "take the rate with the smallest median over the seeds."),
        (DEAD, 1, "a run that died counts as infinite, not as missing."),
        (SKEW, 2, "the median over the seeds, not the mean or the worst."),
    ):
        got = answer(RATES.copy(), losses.copy())
        if near(got, place, 1e-9) and place == 1:
            raise NotYet("return the rate, not its place.")
        if not near(got, RATES[place], 1e-9):
            raise NotYet(why)
    for order in ([1, 0, 2, 3], [0, 2, 3, 1]):
        try:
            answer(RATES.copy(), PLAIN[order].copy())
        except ValueError:
            continue
        raise NotYet("a best rate at an end of the sweep must raise a ValueError.")
    return "the median, with dead runs infinite, and no best at an end."


def _balance(answer):
    rng = np.random.default_rng(8)
    W1, W2 = rng.normal(size=(5, 3)), 4 * rng.normal(size=(2, 5))
    x = rng.normal(size=(3, 20))
    one, two = parts(answer(W1.copy(), W2.copy()), 2, "return two matrices, W1 and W2.")
    shape(one, W1, "W1")
    shape(two, W2, "W2")
    if not np.allclose(two @ np.maximum(one @ x, 0), W2 @ np.maximum(W1 @ x, 0)):
        raise NotYet("the function has changed: what a row gains, its column must lose.")
    ratio = np.linalg.norm(W2, axis=0) / np.linalg.norm(W1, axis=1)
    if any(np.allclose(one, ratio[:, None] ** power * W1) for power in (-0.5, 0)):
        raise NotYet("the lengths are not equal yet: a² is the ratio of the old ones.")
    if np.allclose(one, ratio[:, None] * W1):
        raise NotYet("a is the root of the ratio of the lengths, not the ratio.")
    if not np.allclose(one, np.sqrt(ratio)[:, None] * W1, rtol=1e-6):
        raise NotYet("each unit has its own factor: row and column must be equally long.")
    return "the function is the same, and row and column are equally long."


CHECKS = {
    "9.1": Number(1.5**12, "each of the twelve matrices adds a factor 1.5.", {
        1.5: "that is a network with a norm at each hidden layer.",
        1.5 * 12: "factors of successive layers multiply.",
        1.5**11: "the readout counts, too: twelve matrices.",
        2.25**12: "that is for the mean square of the logits.",
    }, "ReLU lets a positive factor through; count the matrices in (9.1)."),
    "9.2": Number(8.0, "the 22nd to the 24th lie behind the last norm.", {
        2.0: "two more matrices lie between the last norm and the readout.",
        4.0: "the readout counts, too.",
        2.0**24: "a norm divides out every factor before it.",
        2.0**17: "a layer without a norm of its own still has later ones above it.",
        16.0: "the 21st has its norm behind it.",
    }, "k in (9.1) counts the matrices behind the last norm."),
    "9.3": Number(2**0.25, "64 on the logits, and its 24th root.", {
        2.0: "the factor on the logits would be 2 to the power 24.",
        2 ** (1 / 24): "the factor on the logits is 2 to the power 6, not 2.",
        0.5: "a scale above He's is asked for; take the 24th root of 64.",
        16.0: "a deeper network bears less, not more: upside down.",
        64.0: "that is the factor on the logits; take its 24th root.",
    }, "the factor on the logits is s to the power of the number of layers, 2⁶ "
       "here.", rtol=0.003),
    "9.4": Number(4.0, "the relative step is ηr/s², and r = s = 4.", {
        16.0: "that is with the readout left alone; it scales the gradient up, too.",
        1.0: "the gradient stays, but the weights are four times as long.",
        0.25: "that is what γ and β want, or what the step has become.",
        64.0: "the readout's factor makes the hidden gradients larger, not smaller.",
        1 / 16: "upside down, and the readout left out.",
    }, "by (9.4) a hidden matrix takes a relative step of ηr/s²."),
    "9.5": Number(sqrt(1.5 / 32 * 96 / 127), "the root of 3/64 · 96/127.", {
        sqrt(1.5 / 32): "that is for batches from an endless supply.",
        1.5 / 32 * 96 / 127: "that is the mean square; take its root.",
        sqrt(96 / 127 / 32): "that is the mean's noise; the variance has its own.",
        sqrt(0.5 / 32 * 96 / 127): "that is the variance's; the mean has its own.",
        1.5 / 32: "that is the mean square, and from an endless supply.",
    }, "put m = 32 and n = 128 into (9.6).", rtol=0.003),
    "9.6": Number(sqrt(2 / 12), "the variance 2·10⁻⁶ over 12·10⁻⁶, and its root.", {
        1.0: "eps is larger than the variance of z here.",
        2 / 12: "that is the variance; take its root.",
        sqrt(1 / 11): "He's weights have the variance 2/fan_in.",
        sqrt(2 / 3): "the variance of z goes with the square of 10⁻³.",
        sqrt(0.2): "eps is added to the variance: 2/(2 + 10).",
    }, "the variance of z is 2·10⁻⁶; divide by √(variance + eps)."),
    "9.7": Function("best_rate", _best_rate),
    "9.8": Function("balance", _balance),
}  # fmt: skip

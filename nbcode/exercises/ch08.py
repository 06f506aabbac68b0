"""Judges of chapter 8."""

from math import sqrt

import numpy as np

from nbcode import theory
from nbcode.exercises._judge import Function, Number, array


def _rms_backward(answer):
    def mean(a):
        return a.mean(axis=1, keepdims=True)

    rng = np.random.default_rng(0)
    x, dy = rng.normal(1, 2, (5, 7)), rng.normal(size=(5, 7))
    r, std = np.sqrt(mean(x**2)), x.std(axis=1, keepdims=True)
    y, x_hat = x / r, (x - mean(x)) / std
    dx = (dy - y * mean(dy * y)) / r
    array(answer(dy.copy(), x.copy()), dx, "dx", [
        ((dy - mean(dy) - x_hat * mean(dy * x_hat)) / std, "that is layer norm's, which "
            "centres x and dy; RMSNorm does neither."),
        (dy / r, "that treats the rms as a constant; it depends on x."),
        (dx - mean(dy) / r, "there is no mean in the forward pass, so none in the backward "
            "pass."),
        ((dy - x * mean(dy * x)) / r, "take out the part along y = x/rms, not along x."),
        ((dy - 7 * y * mean(dy * y)) / r, "the part along y is a mean over the units, not "
            "a sum."),
        (dx * r, "the direction is right; divide by the rms of x."),
    ])  # fmt: skip
    return "dy loses its part along y and is divided by the rms."


def _channels_norm(answer):
    x = 0.01 * np.random.default_rng(0).normal(1, 2, (3, 5, 2, 4))

    def norm(axes, eps=1e-5, ddof=0):
        var = x.var(axis=axes, keepdims=True, ddof=ddof)
        return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(var + eps)

    rms = np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)
    centred, std = x - x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    array(answer(x.copy()), norm(1), "the output", [
        (norm((1, 2, 3)), "those statistics are over channels and positions; each pixel "
            "has its own."),
        (norm(3), "that is over the width: channels are axis 1, not the last."),
        (norm((2, 3)), "that is instance norm, over the positions of a channel."),
        (norm((0, 2, 3)), "that is batch norm; here the channels of one pixel are "
            "averaged."),
        (norm(1, ddof=1), "the variance is biased: divide by the number of channels."),
        (x / rms, "that is RMSNorm: subtract the mean over the channels."),
        (norm(1, eps=0.0), "ε is missing: it is added to the variance."),
        (centred / (std + 1e-5), "ε belongs inside the root."),
    ])  # fmt: skip
    return "one axis, the channels; each pixel is a token of its own."


MOMENT, SLOPE = theory.second_moment("tanh"), theory.slope_second_moment("tanh")

CHECKS = {
    "8.1": Number(6 * 144, "six channels of 144 positions, in one sample.", {
        16 * 6 * 144: "a group's mean is within one sample; the batch does not enter.",
        8 * 144: "eight is the number of groups; each of them has 48/8 channels.",
        48 * 144: "that is with one group, the statistics of layer norm.",
        144: "that is one channel, instance norm; a group has six of them.",
        16 * 144: "that is batch norm; group norm does not look across samples.",
        6 * 12: "both axes of an image count: 12·12 positions.",
    }, "channels a group times positions, within one sample.", rtol=1e-6),
    "8.2": Number(3.0, "(7 − 0.7)/2.1; it is √(n − 1), whatever the 7 was.", {
        6.3 / sqrt(4.9): "the variance is biased: divide by n, not by n − 1.",
        sqrt(10): "that is RMSNorm; subtract the mean, and from the square as well.",
        -1 / 3: "that is what becomes of a zero; the 7 is asked for.",
        7 / 2.1: "subtract the mean, 0.7, before dividing.",
        6.3 / 4.41: "that divides by the variance; take its root.",
        6.3: "divide by the standard deviation, too.",
    }, "the mean is 0.7 and the mean of the squares 4.9.", rtol=0.002),
    "8.3": Function("rms_backward", _rms_backward),
    "8.4": Function("channels_norm", _channels_norm),
    "8.5": Number(2.0**-6, "a factor 1/√2 a branch, twelve times.", {
        2.0**-12: "that is the mean square; the rms is its root.",
        2.0**6: "upside down: the gradient at the bottom is the smaller one.",
        2.0**-5.5: "all twelve branches lie between top and bottom.",
        (13 / 2) ** 0.5: "that is pre-norm's; post-norm divides again at every branch.",
        1.0: "that is for g = v; here the branch hands back nothing.",
        0.5: "that is one branch, in the mean square; there are twelve.",
        2.0**-0.5: "that is one branch; there are twelve.",
    }, "each branch multiplies the mean square by (1 + g)/(1 + v)."),
    "8.6": Number(sqrt(2 / 49), "1/(1 + 48) against 1/(1 + 1), and the root.", {
        2 / 49: "that is the ratio of the mean squares; take the root.",
        sqrt(49 / 2): "upside down: the last over the first is asked for.",
        1 / 7: "the first branch's mean square is 1/(1 + 1), not 1.",
        sqrt(2 / 25): "a layer has two branches: there are 48.",
        1 / sqrt(48): "a stream after s branches has mean square 1 + s, also at s = 1.",
        1.0: "that is post-norm's, (8.9).",
    }, "by (8.8) the mean square at branch s is 1/(1 + s).", rtol=0.005),
    "8.7": Number(7, "one half a step in the rms, and 2⁻⁷ is the first below 0.01.", {
        6: "2⁻⁶ is 0.016, not yet below 0.01.",
        np.log2(100): "steps are whole: round up.",
        4: "that is for the mean square, 1/4 a step; the rms falls by 1/2.",
        14: "that is with an input of mean square 1, 1/√2 a step.",
    }, "the mean square falls by s²/(s² + 3) a step.", rtol=1e-6),
    "8.8": Number(sqrt(SLOPE / MOMENT), "√(0.464/0.394), at any scale of the weights.", {
        SLOPE / MOMENT: "that is the mean square; the rms is its root.",
        sqrt(MOMENT / SLOPE):
            "upside down: the gradient passes φ′ and is divided by φ's size.",
        sqrt(SLOPE):
            "that leaves out the norm, which divides by the size of tanh's output.",
        1.0: "that is for activations that are straight on both sides of zero.",
        sqrt(1 / MOMENT):
            "the slope of tanh is below 1 away from zero; its mean square counts.",
    }, "put tanh for ReLU in (8.3): E[φ′²] over E[φ²], at q = 1.", rtol=0.005),
}  # fmt: skip

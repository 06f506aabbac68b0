"""Judges of chapter 8."""

import numpy as np

from nbcode.exercises import _judge


def _group_values(answer):
    return _judge.number(
        answer,
        6 * 144,
        "six channels of 144 positions, in one sample.",
        {
            16 * 6 * 144: "a group's mean is within one sample; the batch does not enter.",
            8 * 144: "eight is the number of groups; each of them has 48/8 channels.",
            48 * 144: "that is with one group, the statistics of layer norm.",
            144: "that is one channel, instance norm; a group has six of them.",
            16 * 144: "that is batch norm; group norm does not look across samples.",
            6 * 12: "both axes of an image count: 12·12 positions.",
        },
        "channels a group times positions, within one sample.",
        rtol=1e-6,
    )


def _one_speaks(answer):
    return _judge.number(
        answer,
        3.0,
        "(7 − 0.7)/2.1; it is √(n − 1), whatever the 7 was.",
        {
            6.3 / np.sqrt(4.9): "the variance is biased: divide by n, not by n − 1.",
            np.sqrt(10): "that is RMSNorm; subtract the mean, and from the square as well.",
            -1 / 3: "that is what becomes of a zero; the 7 is asked for.",
            7 / 2.1: "subtract the mean, 0.7, before dividing.",
            6.3 / 4.41: "that divides by the variance; take its root.",
            6.3: "divide by the standard deviation, too.",
        },
        "the mean is 0.7 and the mean of the squares 4.9.",
        rtol=0.002,
    )


def _rms_backward(answer):
    complaint = _judge.function(answer, 'check.exercise("8.3", rms_backward)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(0)
    x, dy = rng.normal(1, 2, (5, 7)), rng.normal(size=(5, 7))
    r = np.sqrt((x**2).mean(axis=1, keepdims=True))
    y = x / r
    along = (dy * y).mean(axis=1, keepdims=True)
    dx = (dy - y * along) / r
    got = np.asarray(answer(dy.copy(), x.copy()), dtype=float)
    centred = x - x.mean(axis=1, keepdims=True)
    std = centred.std(axis=1, keepdims=True)
    x_hat = centred / std
    layer = dy - dy.mean(axis=1, keepdims=True)
    layer = (layer - x_hat * (dy * x_hat).mean(axis=1, keepdims=True)) / std
    wrong_turns = {
        "that is layer norm's, which centres x and dy; RMSNorm does neither.": layer,
        "that treats the rms as a constant; it depends on x.": dy / r,
        "there is no mean in the forward pass, so none in the backward pass.": dx
        - dy.mean(axis=1, keepdims=True) / r,
        "take out the part along y = x/rms, not along x.": (
            dy - x * (dy * x).mean(axis=1, keepdims=True)
        )
        / r,
        "the part along y is a mean over the units, not a sum.": (
            dy - y * (dy * y).sum(axis=1, keepdims=True)
        )
        / r,
        "the direction is right; divide by the rms of x.": dx * r,
    }
    for why, value in wrong_turns.items():
        if got.shape == dx.shape and np.allclose(got, value, rtol=1e-6, atol=1e-9):
            return False, why
    complaint = _judge.array(got, dx, "dx")
    if complaint:
        return False, complaint
    return True, "dy loses its part along y and is divided by the rms."


def _channels(answer):
    complaint = _judge.function(answer, 'check.exercise("8.4", channels_norm)')
    if complaint:
        return False, complaint
    x = 0.01 * np.random.default_rng(0).normal(1, 2, (3, 5, 2, 4))

    def norm(axes, eps=1e-5):
        var = x.var(axis=axes, keepdims=True)
        return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(var + eps)

    got = np.asarray(answer(x.copy()), dtype=float)
    wrong_turns = {
        "those statistics are over channels and positions; each pixel has its own.": norm(
            (1, 2, 3)
        ),
        "that is over the width: channels are axis 1, not the last.": norm(3),
        "that is instance norm, over the positions of a channel.": norm((2, 3)),
        "that is batch norm; here the channels of one pixel are averaged.": norm((0, 2, 3)),
        "the variance is biased: divide by the number of channels.": (
            x - x.mean(axis=1, keepdims=True)
        )
        / np.sqrt(x.var(axis=1, ddof=1, keepdims=True) + 1e-5),
        "that is RMSNorm: subtract the mean over the channels.": x
        / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5),
        "ε is missing: it is added to the variance.": norm(1, 0.0),
        "ε belongs inside the root.": (x - x.mean(axis=1, keepdims=True))
        / (x.std(axis=1, keepdims=True) + 1e-5),
    }
    for why, value in wrong_turns.items():
        if got.shape == x.shape and np.allclose(got, value, rtol=1e-6, atol=1e-9):
            return False, why
    complaint = _judge.array(got, norm(1), "the output")
    if complaint:
        return False, complaint
    return True, "one axis, the channels; each pixel is a token of its own."


def _worst_post(answer):
    return _judge.number(
        answer,
        2.0**-6,
        "a factor 1/√2 a branch, twelve times.",
        {
            2.0**-12: "that is the mean square; the rms is its root.",
            2.0**6: "upside down: the gradient at the bottom is the smaller one.",
            2.0**-5.5: "all twelve branches lie between top and bottom.",
            (13 / 2) ** 0.5: "that is pre-norm's; post-norm divides again at every branch.",
            1.0: "that is for g = v; here the branch hands back nothing.",
            0.5: "that is one branch, in the mean square; there are twelve.",
            2.0**-0.5: "that is one branch; there are twelve.",
        },
        "each branch multiplies the mean square by (1 + g)/(1 + v).",
    )


def _top_pre(answer):
    return _judge.number(
        answer,
        np.sqrt(2 / 49),
        "1/(1 + 48) against 1/(1 + 1), and the root.",
        {
            2 / 49: "that is the ratio of the mean squares; take the root.",
            np.sqrt(49 / 2): "upside down: the last over the first is asked for.",
            1 / 7: "the first branch's mean square is 1/(1 + 1), not 1.",
            np.sqrt(2 / 25): "a layer has two branches: there are 48.",
            1
            / np.sqrt(
                48
            ): "a stream after s branches has mean square 1 + s, also at s = 1.",
            1.0: "that is post-norm's, (8.9).",
        },
        "by (8.8) the mean square at branch s is 1/(1 + s).",
        rtol=0.005,
    )


def _memory(answer):
    return _judge.number(
        answer,
        7,
        "one half a step in the rms, and 2⁻⁷ is the first below 0.01.",
        {
            6: "2⁻⁶ is 0.016, not yet below 0.01.",
            np.log2(100): "steps are whole: round up.",
            4: "that is for the mean square, 1/4 a step; the rms falls by 1/2.",
            14: "that is with an input of mean square 1, 1/√2 a step.",
        },
        "the mean square falls by s²/(s² + 3) a step.",
        rtol=1e-6,
    )


def _tanh_layer(answer):
    z = np.linspace(-12, 12, 24001)
    density = np.exp(-z * z / 2) / np.sum(np.exp(-z * z / 2))
    t = np.tanh(z)
    moment, slope = np.sum(t**2 * density), np.sum((1 - t**2) ** 2 * density)
    return _judge.number(
        answer,
        np.sqrt(slope / moment),
        "√(0.464/0.394), at any scale of the weights.",
        {
            slope / moment: "that is the mean square; the rms is its root.",
            np.sqrt(
                moment / slope
            ): "upside down: the gradient passes φ′ and is divided by φ's size.",
            np.sqrt(
                slope
            ): "that leaves out the norm, which divides by the size of tanh's output.",
            1.0: "that is for activations that are straight on both sides of zero.",
            np.sqrt(
                1 / moment
            ): "the slope of tanh is below 1 away from zero; its mean square counts.",
        },
        "put tanh for ReLU in (8.3): E[φ′²] over E[φ²], at q = 1.",
        rtol=0.005,
    )


CHECKS = {
    "8.1": _group_values,
    "8.2": _one_speaks,
    "8.3": _rms_backward,
    "8.4": _channels,
    "8.5": _worst_post,
    "8.6": _top_pre,
    "8.7": _memory,
    "8.8": _tanh_layer,
}

"""Judges of chapter 3."""

from math import log, log10, pi, sqrt

import numpy as np

from nbcode import theory
from nbcode.exercises._judge import Function, NotYet, Number, array, number, parts


def _xavier_conv_limit(answer):
    for k, groups in ((3, 1), (5, 1), (3, 4)):
        fans, call = k**2 * (32 + 64) / groups, f"xavier_conv_limit(64, 32, {k}, {groups})"
        number(answer(64, 32, k, groups), sqrt(6 / fans), {
            sqrt(2 / fans): "is off: that is the standard deviation, a uniform's limit is "
                "√3 times it.",
            sqrt(6 * k / fans): "is off: the kernel has k² entries.",
            sqrt(6 / (k**2 * (32 / groups + 64))): "is off: groups divide both fans; "
                "PyTorch, reading the shape, divides only the fan-in.",
            sqrt(6 / (k**2 * (32 + 64))): "is off: groups divide both fans.",
            sqrt(6 / (32 + 64)): "is off: a fan is channels times kernel area.",
        }, "should be √(6/(fan_in + fan_out)), fans are channels·k²/groups.",
        rtol=1e-6, prefix=f"{call} ")  # fmt: skip
    return "√(6·groups/(k²(in + out)))."


def _centred_layer(answer):
    W = np.random.default_rng(0).normal(size=(3, 5))
    given, sums = W.copy(), W.sum(axis=1)
    mean = theory.expectation(theory.activation("softplus"))
    two = "return two arrays, the weights and the biases."
    weights, biases = parts(answer(given), 2, two)
    if not np.array_equal(given, W):
        raise NotYet("your function changes the W that it was given; return new arrays.")
    half = "the softplus is multiplied by 2, and W is not: the weights are 2W."
    array(weights, 2 * W, "the matrix of weights", [(W, half)])
    if biases.shape == (5,):
        raise NotYet("a bias belongs to a unit, a row of W: sum over axis 1.")
    array(biases, -2 * mean * sums, "the vector of biases", [
        (0 * sums, "the biases are off: they are zero, so the mean stays."),
        (2 * mean * sums, "the biases are off: the sign: the mean is taken *away*."),
        (-mean * sums, "the biases are off: the mean is multiplied by 2 as well."),
        (-2 * 0.5 * sums, "the biases are off: ½ is the sigmoid's mean; softplus has "
            "another."),
        (-2 * log(2) * sums, "the biases are off: log 2 is softplus at 0, not its mean."),
    ])  # fmt: skip
    return "2W, and a bias of −2m times each row's sum."


CHECKS = {
    "3.1": Number(0.1 / sqrt(6 / 400), "0.1/√(6/(300 + 100)), and the variance is 1/300.", {
        0.1 / sqrt(2 / 400): "that compares a limit with a standard deviation; a "
            "uniform's limit is √3 times it.",
        sqrt(6 / 400) / 0.1: "turn it over: gain times √(6/400) is 0.1.",
        0.01 / (6 / 400): "that is the variance's factor; a gain multiplies the weights.",
        0.1 / sqrt(3 / 300): "that compares with the limit that keeps the signal; Xavier "
            "takes the mean of both fans.",
        0.1 / sqrt(3 / 100): "that compares with the limit that keeps the gradient; Xavier "
            "takes the mean of both fans.",
        sqrt(6 / 400): "that is the limit at gain 1; the gain turns it into 0.1.",
    }, "at gain 1 the limit is √(6/(fan_in + fan_out)), and a gain multiplies it."),
    "3.2": Number(4 * 784 * 20 / 804**2, "4·784·20/804², by (3.4).", {
        804**2 / (4 * 784 * 20):
            "that is how many times smaller; turn it over: a factor below 1.",
        sqrt(4 * 784 * 20) / 804: "that is the factor of the rms; take its square.",
        2 * 784 / 804: "that is the first layer alone; the second has a factor of its own.",
        2 * 20 / 804: "that is the second layer alone; the first has a factor of its own.",
        20 / 784: "that is not Xavier: each layer's variance is 2/804.",
    }, "each layer multiplies q by fan_in·2/(fan_in + fan_out); there are two."),
    "3.3": Number(29 / 2 * log10(3), "29 layers, each √3 in rms: 3^14.5 = 10^6.9.", {
        # 15·log10(3) = 7.157, and the same to two digits
        7.18: "nearly: from layer 30 to layer 1 there are 29 steps, not 30.",
        29 * log10(3): "that is the mean square; the rms loses half as many powers.",
        14: "that looks like the mean square; the rms loses half as many powers.",
        30 * log10(3): "that is the mean square, and there are 29 steps, not 30.",
        29 / 2 * log(3): "those are powers of e; divide by log 10.",
        -29 / 2 * log10(3): "the right size; powers *below* are asked for, positive.",
        7: "nearly: not rounded to whole powers, please.",
    }, "the variance is a third of Xavier's, so each layer divides the mean square by "
       "3.", rtol=0.005),
    "3.4": Function("xavier_conv_limit", _xavier_conv_limit),
    "3.5": Number(1, "E[sin²] = q − q² + …, so 1/q grows by 1 a layer.", {
        0.5: "that is tanh: sin²z = z² − z⁴/3, half of tanh's 2/3.",
        2: "turn it over: 1/q grows by 1 a layer.",
        1 / 3: "the coefficient of z⁴ is 1/3, and E[z⁴] = 3q².",
        3: "E[z⁴] = 3q² cancels the third.",
    }, "square sin z = z − z³/6, take the mean with E[z⁴] = 3q², and solve dq/dl = −kq²."),
    "3.6": Function("centred_layer", _centred_layer),
    "3.7": Number(0.4, "2/640 over 2/256: the call takes four gates for one layer.", {
        2.5: "that is how many times too small the variance is; the share is below 1.",
        sqrt(0.4): "that is the standard deviation; the variance is asked for.",
        0.25: "fan_in is right as it is; only fan_out is four times too large.",
        0.5: "that is attention's three matrices; here are four.",
        4: "four times the units are not four times the variance: compare the fans' sums.",
    }, "compare 2/(128 + 128) with 2/(128 + 4·128)."),
    "3.8": Number(pi / 8, "p = 2 and c = 4/k² with k = 4√(2/π).", {
        4 / sqrt(2 / pi) / 4: "you need k² in 4/k², with k = 4√(2/π).",
        pi / 2: "φ² = z² − 2|z|³ and E|z|³ = 2√(2/π)·q^1.5, so k = 4√(2/π).",
        pi / 32: "the derivative of q^(−1/2) is k/2, so q = (2/(k l))².",
        1 / (4 * sqrt(2 / pi)): "that treats dq/dl = −k q² ; here the power is 3/2.",
        pi / 16: "k is 4√(2/π): φ² loses 2|z|³, and E|z|³ has a 2 of its own.",
        2: "that is p; c is asked for.",
    }, "dq/dl = −k·q^(3/2) with k = 4√(2/π); look at the derivative of q^(−1/2)."),
}  # fmt: skip

"""Judges of chapter 3."""

import numpy as np

from nbcode import theory
from nbcode.exercises import _judge


def _limit(answer):
    return _judge.number(
        answer,
        np.sqrt(6 / 400),
        "√(6/(300 + 100)).",
        {
            np.sqrt(
                2 / 400
            ): "that is the standard deviation; a uniform's limit is √3 times it.",
            6 / 400: "take the root.",
            np.sqrt(
                3 / 300
            ): "that keeps the forward signal; Xavier takes the mean of both fans.",
            np.sqrt(
                3 / 100
            ): "that keeps the gradient; Xavier takes the mean of both fans.",
            np.sqrt(
                24 / 400
            ): "a uniform on [−a, a] has variance a²/3; a²/12 is for [0, a].",
        },
        "a²/3 = 2/(fan_in + fan_out).",
    )


def _hourglass(answer):
    return _judge.number(
        answer,
        4 * 784 * 20 / 804**2,
        "4·784·20/804², by (3.4).",
        {
            804**2
            / (
                4 * 784 * 20
            ): "that is how many times smaller; turn it over: a factor below 1.",
            np.sqrt(4 * 784 * 20) / 804: "that is the factor of the rms; take its square.",
            2
            * 784
            / 804: "that is the first layer alone; the second has a factor of its own.",
            2
            * 20
            / 804: "that is the second layer alone; the first has a factor of its own.",
            20 / 784: "that is not Xavier: each layer's variance is 2/804.",
        },
        "each layer multiplies q by fan_in·2/(fan_in + fan_out); there are two.",
    )


def _forgotten_three(answer):
    return _judge.number(
        answer,
        29 / 2 * np.log10(3),
        "29 layers, each √3 in rms: 3^14.5 = 10^6.9.",
        {
            15
            * np.log10(3): "nearly: from layer 30 to layer 1 there are 29 steps, not 30.",
            29 * np.log10(3): "that is the mean square; the rms loses half as many powers.",
            30 * np.log10(3): "that is the mean square, and there are 29 steps, not 30.",
            29 / 2 * np.log(3): "those are powers of e; divide by log 10.",
            -29
            / 2
            * np.log10(3): "the right size; powers *below* are asked for, positive.",
            7: "nearly: not rounded to whole powers, please.",
        },
        "the variance is a third of Xavier's, so each layer divides the mean square by 3.",
        rtol=0.005,
    )


def _conv_limit(answer):
    complaint = _judge.function(answer, 'check.exercise("3.4", xavier_conv_limit)')
    if complaint:
        return False, complaint
    for out, inputs, k, groups in ((64, 32, 3, 1), (64, 32, 5, 1), (64, 32, 3, 4)):
        fans = k**2 * (inputs + out) / groups
        got = answer(out, inputs, k, groups)
        if _judge.near(got, np.sqrt(6 / fans), 1e-6):
            continue
        call = f"xavier_conv_limit({out}, {inputs}, {k}, {groups})"
        hints = {
            np.sqrt(
                2 / fans
            ): "that is the standard deviation, a uniform's limit is √3 times it",
            np.sqrt(6 * k / fans): "the kernel has k² entries",
            np.sqrt(
                6 / (k**2 * (inputs / groups + out))
            ): "groups divide both fans; PyTorch, "
            "reading the shape, divides only the fan-in",
            np.sqrt(6 / (k**2 * (inputs + out))): "groups divide both fans",
            np.sqrt(6 / (inputs + out)): "a fan is channels times kernel area",
        }
        for wrong, hint in hints.items():
            if _judge.near(got, wrong, 1e-6):
                return False, f"{call} is off: {hint}."
        return (
            False,
            f"{call} should be √(6/(fan_in + fan_out)), fans are channels·k²/groups.",
        )
    return True, "√(6·groups/(k²(in + out)))."


def _sine(answer):
    return _judge.number(
        answer,
        1,
        "E[sin²] = q − q² + …, so 1/q grows by 1 a layer.",
        {
            0.5: "that is tanh: sin²z = z² − z⁴/3, half of tanh's 2/3.",
            2: "turn it over: 1/q grows by 1 a layer.",
            1 / 3: "the coefficient of z⁴ is 1/3, and E[z⁴] = 3q².",
            3: "E[z⁴] = 3q² cancels the third.",
        },
        "square sin z = z − z³/6, take the mean with E[z⁴] = 3q², and solve dq/dl = −kq².",
    )


def _centred_layer(answer):
    complaint = _judge.function(answer, 'check.exercise("3.6", centred_layer)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(0)
    W, z = rng.normal(size=(3, 5)), rng.normal(size=5)
    before = W.copy()
    softplus = theory.activation("softplus")
    mean = theory.expectation(softplus)
    got = answer(W)
    if not isinstance(got, tuple) or len(got) != 2:
        return False, "return two arrays, the weights and the biases."
    if not np.array_equal(W, before):
        return False, "your function changes the W that it was given; return new arrays."
    weights, biases = (np.asarray(part, dtype=float) for part in got)
    if np.allclose(weights, W):
        return False, "the softplus is multiplied by 2, and W is not: the weights are 2W."
    complaint = _judge.array(weights, 2 * W, "the matrix of weights")
    if complaint:
        return False, complaint
    if biases.shape == (5,):
        return False, "a bias belongs to a unit, a row of W: sum over axis 1."
    if biases.shape == (3,):
        for wrong, why in (
            (0 * W.sum(1), "they are zero, so the mean stays."),
            (2 * mean * W.sum(1), "the sign: the mean is taken *away*."),
            (-mean * W.sum(1), "the mean is multiplied by 2 as well."),
            (-2 * 0.5 * W.sum(1), "½ is the sigmoid's mean; softplus has another."),
            (-2 * np.log(2) * W.sum(1), "log 2 is softplus at 0, not its mean."),
        ):
            if np.allclose(biases, wrong, rtol=1e-4):
                return False, f"the biases are off: {why}"
    complaint = _judge.array(biases, -2 * mean * W.sum(1), "the vector of biases")
    if complaint:
        return False, complaint
    assert np.allclose(weights @ softplus(z) + biases, W @ (2 * softplus(z) - 2 * mean))
    return True, "2W, and a bias of −2m times each row's sum."


def _four_gates(answer):
    return _judge.number(
        answer,
        0.4,
        "2/640 over 2/256: the call takes four gates for one layer.",
        {
            2.5: "the other way round: the weights get too *small*.",
            np.sqrt(0.4): "that is the standard deviation; the variance is asked for.",
            0.25: "fan_in is right as it is; only fan_out is four times too large.",
            0.5: "that is attention's three matrices; here are four.",
            4: "four times the units are not four times the variance: compare two fans.",
        },
        "compare 2/(128 + 128) with 2/(128 + 4·128).",
    )


def _softsign(answer):
    return _judge.number(
        answer,
        np.pi / 8,
        "p = 2 and c = 4/k² with k = 4√(2/π).",
        {
            4 / np.sqrt(2 / np.pi) / 4: "you need k² in 4/k², with k = 4√(2/π).",
            np.pi / 2: "φ² = z² − 2|z|³ and E|z|³ = 2√(2/π)·q^1.5, so k = 4√(2/π).",
            np.pi / 32: "the derivative of q^(−1/2) is k/2, so q = (2/(k l))².",
            1
            / (
                4 * np.sqrt(2 / np.pi)
            ): "that treats dq/dl = −k q² ; here the power is 3/2.",
            np.pi / 16: "k is 4√(2/π): φ² loses 2|z|³, and E|z|³ has a 2 of its own.",
            2: "that is p; c is asked for.",
        },
        "dq/dl = −k·q^(3/2) with k = 4√(2/π); look at the derivative of q^(−1/2).",
    )


CHECKS = {
    "3.1": _limit,
    "3.2": _hourglass,
    "3.3": _forgotten_three,
    "3.4": _conv_limit,
    "3.5": _sine,
    "3.6": _centred_layer,
    "3.7": _four_gates,
    "3.8": _softsign,
}

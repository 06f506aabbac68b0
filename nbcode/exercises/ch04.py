"""Judges of chapter 4."""

import numpy as np

from nbcode.exercises import _judge


def _leaky_std(answer):
    return _judge.number(
        answer,
        np.sqrt(2 / (1.04 * 512)),
        "Var[w] = 2/((1 + 0.2²)·512).",
        {
            np.sqrt(2 / 512): "that is plain ReLU's; the slope lets 0.2² of half through.",
            np.sqrt(1 / (1.04 * 512)): "the 2 is missing: half of z² gets through whole.",
            np.sqrt(2 / (1.2 * 512)): "the slope counts with its square, 1 + 0.2².",
            2 / (1.04 * 512): "that is the variance of a weight; its root is asked for.",
            np.sqrt(2 / 1.04): "that is the gain; divide it by √512.",
            np.sqrt(1.04 / (2 * 512)): "the other way: what is lost has to be made up for.",
        },
        "E[φ²] = (1 + a²)/2 for slope a, and 512·Var[w]·E[φ²] must be 1.",
        rtol=0.005,
    )


def _conv_bound(answer):
    return _judge.number(
        answer,
        np.sqrt(6 / 576),
        "√3 standard deviations of √(2/576).",
        {
            np.sqrt(
                1 / 576
            ): "that is PyTorch's default, a third of a linear layer's variance.",
            np.sqrt(2 / 576): "that is the standard deviation; a bound is √3 of them.",
            np.sqrt(6 / 864): "that is fan_out; the fan-in has the 64 input channels.",
            np.sqrt(6 / 64): "the kernel's nine positions belong to the fan-in.",
            np.sqrt(6 / 192): "the kernel is 3×3: nine positions, not three.",
            np.sqrt(3 / 576): "the 2 of ReLU is missing.",
            np.sqrt(
                12 * 2 / 576
            ): "that is the whole width of the interval; the bound is half of it.",
        },
        "fan-in is channels times kernel area; a uniform variable's variance is bound²/3.",
    )


def _linear_default(answer):
    return _judge.number(
        answer,
        1 / 512,
        "q = q/3 + 1/(3·256) is solved by 1/512.",
        {
            0.4 / 256: "that is with ReLU, which halves; a linear layer keeps q/3.",
            0: "that forgets the biases, which the default draws at random too.",
            1 / 768: "that is what one layer's biases add; the layers before add to it.",
            1.5 / 256: "a bias has the variance 1/(3·256), like a weight.",
            1 / 256 / (1 - 1 / 6): "that is with ReLU, and a bias has variance 1/(3·256).",
            np.sqrt(1 / 512): "that is the rms; q is its square.",
        },
        "a layer multiplies q by n·Var[w] = 1/3 and adds Var[b] = 1/(3·256).",
        rtol=0.03,
    )


def _two_ratios(answer):
    complaint = _judge.function(answer, 'check.exercise("4.4", two_ratios)')
    if complaint:
        return False, complaint
    widths = [50, 100, 300, 200]
    for mode, expected in (
        ("fan_in", (1.0, 2.0)),
        ("fan_out", (0.5, 1.0)),
        ("fan_avg", (0.5 * 1.2, 1.5 * 0.8)),
    ):
        got = answer(list(widths), mode)
        call = f'two_ratios({widths}, "{mode}")'
        if np.shape(got) != (2,):
            return False, f"{call} should return two numbers, forward and backward."
        for way, value, target in zip(("forward", "backward"), got, expected, strict=True):
            if not _judge.near(value, target, 1e-9):
                return False, _why_not(call, mode, way, got, value, target, expected)
    return True, "fan_in and fan_out telescope, and fan_avg does not."


def _why_not(call, mode, way, got, value, target, expected):
    if mode == "fan_in" and _judge.near(value, 4.0, 1e-9):
        hint = "from layer 1 to layer L there are the matrices W² to W^L, without W¹"
    elif _judge.near(got[0], expected[1], 1e-9) and _judge.near(got[1], expected[0], 1e-9):
        hint = "forward comes first"
    elif _judge.near(value, np.sqrt(target), 1e-9) and target != 1:
        hint = "mean squares are asked for, not their roots"
    elif _judge.near(value, 1 / target, 1e-9) and target != 1:
        hint = "upside down: the signal grows by fan_in/fan, the gradient by fan_out/fan"
    elif mode == "fan_avg":
        hint = "divide by the mean of both fans, layer by layer"
    else:
        hint = "multiply fan_in/fan (or fan_out/fan) over the layers 2 to L"
    return f"{call}: {way} should be {target:g}, yours is {value}; {hint}."


def _golden(answer):
    eigenvalue = (1 + 2 * np.cos(np.pi / 5)) / 3
    return _judge.number(
        answer,
        eigenvalue**2,
        "λ = (1 + 1.618)/3, squared for two axes.",
        {
            eigenvalue: "that is for one axis; an image has two.",
            (10 / 12) ** 2: "that is the first layer, from a flat start; go on.",
            ((1 + 2 * np.cos(np.pi / 4)) / 3)
            ** 2: "the sine vanishes at 0 and at H + 1 = 5, not at H.",
            1
            / eigenvalue
            ** 2: "that is how many times smaller; the fraction left is one over it.",
            (1 + 2 * np.cos(np.pi / 9)) ** 2 / 9: "that is for 8×8; here H = 4.",
            eigenvalue**4: "q is a mean square already; λ² is for the two axes.",
        },
        "λ = (1 + 2·cos(π/(H+1)))/3 for one axis, H = 4.",
        rtol=0.005,
    )


def _moved(answer):
    return _judge.number(
        answer,
        0.5,
        "the gradient is √2 larger and moves a weight that counts √2-fold.",
        {
            2.0: "the other way: this network takes the longer steps at the same rate.",
            1
            / np.sqrt(2): "the gradient is √2 larger, and so is what a step of v is worth.",
            np.sqrt(
                2
            ): "the chain rule gives a √2, but upwards, and there is a second one.",
            1.0: "the function is the same, but its gradient is with respect to v = w/√2.",
        },
        "write w = √2·v, express ∂L/∂v by ∂L/∂w, then the step of w by that of v.",
    )


def _maxout(answer):
    return _judge.number(
        answer,
        1.0,
        "max² + min² = z₁² + z₂², and both halves are equal on average.",
        {
            np.sqrt(2): "that is ReLU's; max(z, 0) has a zero where maxout has a second z.",
            1 / np.sqrt(2): "E[max²] is one z's second moment, not the sum of two.",
            1 / np.sqrt(1 - 1 / np.pi): "that compensates the variance; take E[x²].",
            np.sqrt(
                np.pi
            ): "one over the mean of the larger, 0.564; take the second moment.",
        },
        "max(z₁,z₂)² + min(z₁,z₂)² = z₁² + z₂²; use symmetry for the two.",
    )


def _gate(answer):
    return _judge.number(
        answer,
        1 / np.sqrt(2048),
        "E[y²] = (4/2)·4 = 8, and 1024·Var[w]·8 = 4.",
        {
            np.sqrt(2 / 1024): "right for a mean square of 1: the block is not linear.",
            1 / np.sqrt(1024): "that makes the output 8: E[y²] is (4/2)·4.",
            1 / 64: "ReLU halves one of the two factors.",
            1 / 32 / np.sqrt(8): "that brings the output to 1, not back to 4.",
            1 / 2048: "that is the variance of a weight; its root is asked for.",
        },
        "E[y²] = E[relu(u)²]·E[v²], both of which know that the input has mean square 4.",
    )


CHECKS = {
    "4.1": _leaky_std,
    "4.2": _conv_bound,
    "4.3": _linear_default,
    "4.4": _two_ratios,
    "4.5": _golden,
    "4.6": _moved,
    "4.7": _maxout,
    "4.8": _gate,
}

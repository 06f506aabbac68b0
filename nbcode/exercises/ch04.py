"""Judges of chapter 4."""

from math import cos, pi, sqrt

from nbcode.exercises._judge import Function, Number, number, parts


def _two_ratios(answer):
    by_mean = "divide by the mean of both fans, layer by layer"
    along = "multiply fan_in/fan (or fan_out/fan) over the layers 2 to L"
    for mode, right, hint in (
        ("fan_in", (1.0, 2.0), along),
        ("fan_out", (0.5, 1.0), along),
        ("fan_avg", (0.5 * 1.2, 1.5 * 0.8), by_mean),
    ):
        widths = [50, 100, 300, 200]
        call = f'two_ratios({widths}, "{mode}")'
        two = f"{call} should return two numbers, forward and backward."
        got = parts(answer(widths, mode), 2, two)
        for way, value, target, other in zip(
            ("forward", "backward"), got, right, right[::-1], strict=True
        ):
            prefix = f"{call}: {way} should be {target:g}, yours is {value}; "
            number(value, target, {
                4.0: "from layer 1 to layer L there are the matrices W² to W^L, without "
                    "W¹.",
                other: "forward comes first.",
                sqrt(target): "mean squares are asked for, not their roots.",
                1 / target: "upside down: the signal grows by fan_in/fan, the gradient by "
                    "fan_out/fan.",
            }, f"{hint}.", prefix=prefix)  # fmt: skip
    return "fan_in and fan_out telescope, and fan_avg does not."


def _walk(size):
    """The largest eigenvalue of the mean over three neighbours, that many in a row."""
    return (1 + 2 * cos(pi / (size + 1))) / 3


CHECKS = {
    "4.1": Number(sqrt(2 / (1.04 * 512)), "Var[w] = 2/((1 + 0.2²)·512).", {
        sqrt(2 / 512): "that is plain ReLU's; the slope lets 0.2² of half through.",
        sqrt(1 / (1.04 * 512)): "the 2 is missing: half of z² gets through whole.",
        sqrt(2 / (1.2 * 512)): "the slope counts with its square, 1 + 0.2².",
        2 / (1.04 * 512): "that is the variance of a weight; its root is asked for.",
        sqrt(2 / 1.04): "that is the gain; divide it by √512.",
        sqrt(1.04 / (2 * 512)): "the other way: what is lost has to be made up for.",
    }, "E[φ²] = (1 + a²)/2 for slope a, and 512·Var[w]·E[φ²] must be 1.", rtol=0.005),
    "4.2": Number(sqrt(6 / 576), "√3 standard deviations of √(2/576).", {
        sqrt(1 / 576): "that is PyTorch's default, a third of a linear layer's variance.",
        sqrt(2 / 576): "that is the standard deviation; a bound is √3 of them.",
        sqrt(6 / 864): "that is fan_out; the fan-in has the 64 input channels.",
        sqrt(6 / 64): "the kernel's nine positions belong to the fan-in.",
        sqrt(6 / 192): "the kernel is 3×3: nine positions, not three.",
        sqrt(3 / 576): "the 2 of ReLU is missing.",
        sqrt(12 * 2 / 576):
            "that is the whole width of the interval; the bound is half of it.",
    }, "fan-in is channels times kernel area; a uniform variable's variance is bound²/3."),
    "4.3": Number(1 / 512, "q = q/3 + 1/(3·256) is solved by 1/512.", {
        0.4 / 256: "that is with ReLU, which halves; a linear layer keeps q/3.",
        0: "that forgets the biases, which the default draws at random too.",
        1 / 768: "that is what one layer's biases add; the layers before add to it.",
        1.5 / 256: "a bias has the variance 1/(3·256), like a weight.",
        1 / 256 / (1 - 1 / 6): "that is with ReLU, and a bias has variance 1/(3·256).",
        sqrt(1 / 512): "that is the rms; q is its square.",
    }, "a layer multiplies q by n·Var[w] = 1/3 and adds Var[b] = 1/(3·256).", rtol=0.03),
    "4.4": Function("two_ratios", _two_ratios),
    "4.5": Number(_walk(4) ** 2, "λ = (1 + 1.618)/3, squared for two axes.", {
        _walk(4): "that is for one axis; an image has two.",
        (10 / 12) ** 2: "that is the first layer, from a flat start; go on.",
        _walk(3) ** 2: "the sine vanishes at 0 and at H + 1 = 5, not at H.",
        1 / _walk(4) ** 2:
            "that is how many times smaller; the fraction left is one over it.",
        _walk(8) ** 2: "that is for 8×8; here H = 4.",
        _walk(4) ** 4: "q is a mean square already; λ² is for the two axes.",
    }, "λ = (1 + 2·cos(π/(H+1)))/3 for one axis, H = 4.", rtol=0.005),
    "4.6": Number(0.5,
        "the gradient is √2 larger and moves a weight that counts √2-fold.", {
        2.0: "the other way: this network takes the longer steps at the same rate.",
        1 / sqrt(2): "the gradient is √2 larger, and so is what a step of v is worth.",
        sqrt(2): "the chain rule gives a √2, but upwards, and there is a second one.",
        1.0: "the function is the same, but its gradient is with respect to v = w/√2.",
    }, "write w = √2·v, express ∂L/∂v by ∂L/∂w, then the step of w by that of v."),
    "4.7": Number(1.0, "max² + min² = z₁² + z₂², and both halves are equal on average.", {
        sqrt(2): "that is ReLU's; max(z, 0) has a zero where maxout has a second z.",
        1 / sqrt(2): "E[max²] is one z's second moment, not the sum of two.",
        1 / sqrt(1 - 1 / pi): "that compensates the variance; take E[x²].",
        sqrt(pi): "one over the mean of the larger, 0.564; take the second moment.",
    }, "max(z₁,z₂)² + min(z₁,z₂)² = z₁² + z₂²; use symmetry for the two."),
    "4.8": Number(1 / sqrt(2048), "E[y²] = (4/2)·4 = 8, and 1024·Var[w]·8 = 4.", {
        sqrt(2 / 1024): "right for a mean square of 1: the block is not linear.",
        1 / sqrt(1024): "that makes the output 8: E[y²] is (4/2)·4.",
        1 / 64: "ReLU halves one of the two factors.",
        1 / 32 / sqrt(8): "that brings the output to 1, not back to 4.",
        1 / 2048: "that is the variance of a weight; its root is asked for.",
    }, "E[y²] = E[relu(u)²]·E[v²], both of which know that the input has mean square 4."),
}  # fmt: skip

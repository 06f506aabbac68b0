"""Judges of chapter 2."""

from math import ceil, exp, log, sqrt

from nbcode import theory
from nbcode.exercises._judge import Function, Number, number, parts


def _conv_fans(answer):
    area = "channels times kernel area"
    for out, stride, groups, hint_in, hint_out in (
        (64, 1, 1, area, area),
        (64, 2, 1, area, "the stride skips positions along both axes"),
        (64, 1, 4, "a unit sees one group only", "an input reaches one group only"),
        (10, 2, 1, area, "it is an average over pixels, so do not round it"),
    ):
        call = f"conv_fans({out}, 32, 3, {stride}, {groups})"
        hint = f"{call} should return two numbers, (fan_in, fan_out)."
        got_in, got_out = parts(answer(out, 32, 3, stride, groups), 2, hint)
        fan_in, fan_out = 32 // groups * 9, out // groups * 9 / stride**2
        why = f"fan_in should be {fan_in}, yours is {got_in}; {hint_in}."
        number(got_in, fan_in, {}, why, prefix=f"{call}: ")
        why = f"fan_out should be {fan_out:g}, yours is {got_out:g}; {hint_out}."
        number(got_out, fan_out, {}, why, prefix=f"{call}: ")
    return "kernel area, stride and groups, in both directions."


# the slope of log E[gelu(√q z)²] over log q, at q = 1
UP, DOWN = (theory.second_moment("gelu", exp(h)) for h in (1e-3, -1e-3))
S = log(UP / DOWN) / 2e-3

CHECKS = {
    "2.1": Number(0.13, "0.01 times the second moment, 4 + 3² = 13.", {
        0.04: "that is the product of the variances; x has a mean, so use E[x²].",
        0.09: "that leaves out the variance of x: E[x²] = Var[x] + E[x]².",
        0.05: "E[x²] adds the square of the mean, 9, not the mean, 1.",
        0.07: "E[x²] adds the square of the mean, 3² = 9, to the variance.",
    }, "Var[wx] = Var[w]·E[x²] when E[w] = 0, and E[x²] = Var[x] + E[x]²."),
    "2.2": Number(sqrt(2 / 3), "E[relu(z)⁴] = E[z⁴]/2 = 3/2, so the gain is √(2/3).", {
        2 / 3: "that is the gain squared, n·Var[w].",
        1.5: "that is E[φ²]; the gain is one over its root.",
        sqrt(1 / 3): "half of E[z⁴] = 3 counts: negative z give nothing.",
        sqrt(1.5): "one over it: a larger second moment needs smaller weights.",
        sqrt(2): "that is ReLU's own; here φ² = relu(z)⁴.",
    }, "φ(z)² = z⁴ for positive z; E[z⁴] = 3 for a standard normal."),
    "2.3": Function("conv_fans", _conv_fans),
    "2.4": Number(sqrt(2 / 1.44 - 1), "2/(1+a²) = 1.44 gives a² = 0.389.", {
        2 / 1.44 - 1: "that is a²; take the root.",
        sqrt(2 / 1.2 - 1): "the gain enters squared: 2/(1+a²) = 1.2².",
        -sqrt(2 / 1.44 - 1): "true, and with a negative slope φ folds; take the positive.",
    }, "E[φ²] = (1 + a²)/2 for slope a, so gain² = 2/(1+a²)."),
    "2.5": Number(sqrt(1.6 / 512),
        "dropout raises E[x²] by 1/0.8, so Var[w] = 2·0.8/512.", {
        sqrt(2 / 512): "that is without dropout: E[x²] after dropout is larger.",
        sqrt(2.5 / 512): "the other way: the second moment grows by 1/0.8, so w shrinks.",
        sqrt(0.4 / 512): "0.2 is what is dropped; 0.8 is kept.",
        1.6 / 512: "that is the variance of a weight; its root is asked for.",
    }, "kept entries are divided by 0.8: E[x²] becomes 0.8·(x/0.8)² = x²/0.8 on average."),
    "2.6": Number(363, "1.96·√(5·100/n) ≤ log 10 asks for n ≥ 362.3, so 363.", {
        362: "almost: 1.96·√(500/362) = 2.3035 is above log 10 = 2.3026; round up.",
        500 * (1.96 / log(10)) ** 2: "a width is a whole number: round up.",
        ceil(500 * 1.96**2): "the formula has natural logarithms: log 10 = 2.30.",
        ceil(125 * (1.96 / log(10)) ** 2): "5L/n belongs to log‖x‖², the mean square's "
        "own.",
        ceil(500 / log(10) ** 2): "95 % of a normal lie within 1.96 standard deviations.",
    }, "log of the mean square is normal with variance 5L/n; 95 % lie within ±1.96 "
       "std. Give the smallest whole number.", rtol=1e-4),
    "2.7": Number(128,
        "32 channels times (4/2)² kernel positions that reach one output pixel.", {
        256: "that is what PyTorch computes: 16 output channels times 16.",
        512: "not all 16 kernel positions reach an output pixel at stride 2.",
        64: "the sum runs over input channels, of which there are 32.",
    }, "count the terms of one output pixel: input channels × positions that hit "
       "it.", rtol=1e-6),
    "2.8": Number(sqrt(1 - 1 / S), "the slope of the whole map is (1 − σ_b²)·S, and S = "
        "1.144.", {
        1 - 1 / S: "that is σ_b²; take the root.",
        1 / S: "that is the share that the weights keep, 1 − σ_b².",
        sqrt(S - 1): "divide: (1 − σ_b²)·S = 1, not S − σ_b² = 1.",
    }, "q = σ_w²·E[φ²] + σ_b²: at q = 1 the first part is 1 − σ_b². Take its slope."),
}  # fmt: skip

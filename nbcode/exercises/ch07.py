"""Judges of chapter 7."""

from math import pi, sqrt

import numpy as np

from nbcode import theory
from nbcode.exercises._judge import Function, NotYet, Number, array, parts


def _eval_backward(answer):
    rng, eps = np.random.default_rng(4), 0.1
    x, dy = rng.normal(2, 3, (5, 3)), rng.normal(size=(5, 3))
    gamma, mean, var = rng.normal(size=3), rng.normal(size=3), rng.uniform(1, 2, 3)
    given = [part.copy() for part in (dy, x, gamma, mean, var)]
    dx, dgamma, dbeta = parts(answer(*given, eps), 3, "return three arrays, dx, dγ and dβ.")
    std, batch_std = np.sqrt(var + eps), np.sqrt(x.var(0) + eps)
    g, xhat, batch_xhat = gamma * dy, (x - mean) / std, (x - x.mean(0)) / batch_std
    training = (
        "dx: that is training mode: constants carry no gradient, so nothing is taken out."
    )
    if dx.shape == x.shape and np.allclose(dx.sum(0), 0):
        raise NotYet(training)
    differentiate = " Differentiate y = γ(x − running_mean)/√(running_var + eps) + β."
    array(dx, g / std, "dx", [
        (g / np.sqrt(var), "dx: eps belongs under the root."),
        (dy / std, "dx: γ scales what comes back, too."),
        ((g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, training),
        (g / batch_std, "dx: that is the batch's variance; the forward pass used the "
            "running one."),
    ], differentiate)  # fmt: skip
    array(dgamma, (dy * xhat).sum(0), "dγ", [
        ((dy * batch_xhat).sum(0), "dγ: that is the batch's x̂; the forward pass used the "
            "running statistics."),
        ((dy * x).sum(0), "dγ: γ multiplies x̂, not x."),
    ], differentiate)  # fmt: skip
    why = "dβ: a sum over the batch, not a mean: every sample uses the same β."
    array(dbeta, dy.sum(0), "dβ", [(dy.mean(0), why)], differentiate)
    return "an affine layer: nothing is taken out, and x̂ is the running statistics'."


def _scale_backward(answer):
    rng, eps = np.random.default_rng(5), 0.2
    x, dy = rng.normal(1, 2, (6, 3)), rng.normal(size=(6, 3))
    s = np.sqrt((x**2).mean(0) + eps)
    y, bare = x / s, x / np.sqrt((x**2).mean(0))
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    centred = dy - dy.mean(0)
    array(answer(dy.copy(), x.copy(), eps), (dy - y * (dy * y).mean(0)) / s, "dx", [
        (dy / s, "that treats the size as a constant; it depends on x."),
        ((centred - y * (dy * y).mean(0)) / s, "no mean was subtracted forward, so none is "
            "taken out backward."),
        ((centred - xhat * (dy * xhat).mean(0)) / std, "that is batch norm; here no mean "
            "is subtracted."),
        (dy - y * (dy * y).mean(0), "divide by the size at the end."),
        ((dy - y * (dy * y).sum(0)) / s, "a mean over the batch, not a sum: ∂s/∂x_j = "
            "y_j/m."),
        ((dy - bare * (dy * bare).mean(0)) / s, "with eps, y = x/s with eps under s's "
            "root; use that y."),
        ((dy - x * (dy * x).mean(0)) / s, "∂s/∂x_j = y_j/m: the second term has y twice, "
            "not x."),
    ], " Differentiate y = x/s by the quotient rule, with ∂s/∂x_j = y_j/m.")  # fmt: skip
    return "one direction is taken out, y; the mean stays."


SIGMA = sqrt(14 / 3)
VARIANCE, SLOPE = theory.second_moment("tanh"), theory.slope_second_moment("tanh")

CHECKS = {
    "7.1": Number(8 / 21 / SIGMA, "(1 − 1/3 − x̂₁²/3)/σ, with x̂₁² = 6/7.", {
        1 / SIGMA: "that treats mean and variance as constants; both depend on x₁.",
        2 / 3 / SIGMA: "that is the mean's part; the variance depends on x₁ too.",
        5 / 7 / SIGMA: "that is the variance's part; the mean depends on x₁ too.",
        8 / 21: "that is σ·dx₁; divide by σ.",
        8 / 21 / (14 / 3): "that divides by the variance; σ is its root.",
        (2 / 3 - 4 / 21) / sqrt(7):
            "that is the unbiased variance; batch norm divides by m.",
        2 / 21 / SIGMA: "x̂₁² is counted twice: 1 − 1/3 − 2/7 is left.",
    }, "by (7.1), dx₁ = (1 − 1/m − x̂₁²/m)/σ; here μ = 3 and v = 14/3.", rtol=0.005),
    "7.2": Number(30 / 32, "m = 2·16 = 32 entries a channel, of which two directions go.", {
        0.0: "that is a dense layer; here the statistics are over positions too.",
        14 / 16: "that is one image; the statistics are over both.",
        31 / 32: "that takes out the mean alone; x̂ goes as well.",
        2 / 32: "that is what is taken out.",
        2 / 4: "that is a batch of 4 values; here a channel has 2·4·4.",
        6 / 8: "that counts one axis of the image; a map has 4·4 positions.",
        1.0: "two directions of the m are taken out.",
    }, "a channel's statistics are over batch and positions; count m, then (m − "
       "2)/m.", rtol=0.003),
    "7.3": Number(1 / sqrt(1 - 2 / pi),
        "E[φ'²]/Var[φ] = 1/(1 − 2/π), and the root of it for the rms.", {
        1 / (1 - 2 / pi): "that is for the mean square; the rms is its root.",
        1.0: "that is without batch norm, or with E[φ²] below the line; take Var[φ].",
        sqrt(pi / (pi - 1)): "that is ReLU's.",
        pi / (pi - 1): "that is ReLU's, and for the mean square.",
        sqrt(1 - 2 / pi): "upside down: the gradient is divided by σ.",
        sqrt(0.5 / (1 - 2 / pi)): "the slope is ±1 everywhere: E[φ'²] is 1.",
        sqrt(pi / 2): "that is 1/E|z|; subtract its square from E[z²] = 1.",
    }, "by (7.13) it is the root of E[φ'²]/Var[φ], and Var|z| = 1 − (E|z|)².", rtol=0.005),
    "7.4": Function("eval_backward", _eval_backward),
    "7.5": Function("scale_backward", _scale_backward),
    "7.6": Number(4.0, "the squared length goes from 25 to 25 + 0.25·300 = 100.", {
        2.0: "that is the length; the effective rate has its square below the line.",
        0.25: "that is what is left of it; the factor is one over that.",
        13.0: "the squared gradients count with η², and that is 0.25.",
        7.0: "the squared gradients count with η², not with η.",
        16.0: "the effective rate is η/‖w‖², and ‖w‖² grows from 25 to 100.",
    }, "‖w‖² = 25 + η²·300 by (7.9), and the effective rate is η/‖w‖²."),
    "7.7": Number(5000, "d‖w‖⁴/dt = −4ηλ‖w‖⁴ + 2η²g̃².", {
        10_000: "that is 1/(2ηλ), for the squared length under the decay alone.",
        20_000: "that is 1/(ηλ), for the length under the decay alone.",
        2500: "‖w‖⁴ is the square of ‖w‖², which shrinks by 2ηλ a step: 4ηλ.",
        100: "that is one over the angle a step; the length settles far more slowly.",
        500: "the rate η belongs in: decay shrinks w by ηλ a step.",
    }, "write u = ‖w‖², u̇ = −2ηλu + η²g̃²/u, and find the equation of u²."),
    "7.8": Number(SLOPE / VARIANCE / 2,
        "half of E[φ'²]/Var[φ] = 1.178; the scale of the weights drops out.", {
        SLOPE / VARIANCE: "that is for the mean square; the rms has half the exponent.",
        sqrt(SLOPE / VARIANCE): "a root of a power halves its exponent.",
        pi / (pi - 1) / 2: "that is ReLU's.",
        SLOPE / 2: "the variance grows by Var[φ] a block, and that divides.",
        VARIANCE / SLOPE / 2: "upside down: E[φ'²] is above the line.",
        0.5: "that would be E[φ'²] = Var[φ]; for tanh they differ.",
    }, "the product of 1 + aE[φ'²]/(1 + a·l·Var[φ]) grows as "
       "L^(E[φ'²]/Var[φ]).", rtol=0.005),
}  # fmt: skip

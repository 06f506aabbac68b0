"""Judges of chapter 7."""

import numpy as np

from nbcode.exercises import _judge


def _three(answer):
    sigma = np.sqrt(14 / 3)
    return _judge.number(
        answer,
        8 / 21 / sigma,
        "(1 − 1/3 − x̂₁²/3)/σ, with x̂₁² = 6/7.",
        {
            1 / sigma: "that treats mean and variance as constants; both depend on x₁.",
            2 / 3 / sigma: "that is the mean's part; the variance depends on x₁ too.",
            5 / 7 / sigma: "that is the variance's part; the mean depends on x₁ too.",
            8 / 21: "that is σ·dx₁; divide by σ.",
            8 / 21 / (14 / 3): "that divides by the variance; σ is its root.",
            (2 / 3 - 4 / 21)
            / np.sqrt(7): "that is the unbiased variance; batch norm divides by m.",
            2 / 21 / sigma: "x̂₁² is counted twice: 1 − 1/3 − 2/7 is left.",
        },
        "by (7.1), dx₁ = (1 − 1/m − x̂₁²/m)/σ; here μ = 3 and v = 14/3.",
        rtol=0.005,
    )


def _two(answer):
    return _judge.number(
        answer,
        30 / 32,
        "m = 2·16 = 32 entries a channel, of which two directions go.",
        {
            0.0: "that is a dense layer; here the statistics are over positions too.",
            14 / 16: "that is one image; the statistics are over both.",
            31 / 32: "that takes out the mean alone; x̂ goes as well.",
            2 / 32: "that is what is taken out.",
            2 / 4: "that is a batch of 4 values; here a channel has 2·4·4.",
            6 / 8: "that counts one axis of the image; a map has 4·4 positions.",
            1.0: "two directions of the m are taken out.",
        },
        "a channel's statistics are over batch and positions; count m, then (m − 2)/m.",
        rtol=0.003,
    )


def _absolute(answer):
    return _judge.number(
        answer,
        1 / np.sqrt(1 - 2 / np.pi),
        "E[φ'²]/Var[φ] = 1/(1 − 2/π), and the root of it for the rms.",
        {
            1 / (1 - 2 / np.pi): "that is for the mean square; the rms is its root.",
            1.0: "that is without batch norm, or with E[φ²] below the line; take Var[φ].",
            np.sqrt(np.pi / (np.pi - 1)): "that is ReLU's.",
            np.pi / (np.pi - 1): "that is ReLU's, and for the mean square.",
            np.sqrt(1 - 2 / np.pi): "upside down: the gradient is divided by σ.",
            np.sqrt(0.5 / (1 - 2 / np.pi)): "the slope is ±1 everywhere: E[φ'²] is 1.",
            np.sqrt(np.pi / 2): "that is 1/E|z|; subtract its square from E[z²] = 1.",
        },
        "by (7.13) it is the root of E[φ'²]/Var[φ], and Var|z| = 1 − (E|z|)².",
        rtol=0.005,
    )


def _eval_backward(answer):
    complaint = _judge.function(answer, 'check.exercise("7.4", eval_backward)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(4)
    x, dy = rng.normal(2, 3, (5, 3)), rng.normal(size=(5, 3))
    gamma, mean, var = rng.normal(size=3), rng.normal(size=3), rng.uniform(1, 2, 3)
    eps = 0.1
    got = answer(dy.copy(), x.copy(), gamma.copy(), mean.copy(), var.copy(), eps)
    if not isinstance(got, tuple | list) or len(got) != 3:
        return False, "return three arrays, dx, dγ and dβ."
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    dx, dgamma, dbeta = (np.asarray(part, dtype=float) for part in got)
    for array, expected, name in (
        (dx, gamma * dy / std, "dx"),
        (dgamma, (dy * xhat).sum(0), "dγ"),
        (dbeta, dy.sum(0), "dβ"),
    ):
        why = _judge.array(array, expected, name)
        if why:
            return False, f"{why} {_eval_hint(array, name, x, dy, gamma, mean, std, var)}"
    return True, "an affine layer: nothing is taken out, and x̂ is the running statistics'."


def _eval_hint(got, name, x, dy, gamma, mean, std, var):
    def same(expected):
        return got.shape == expected.shape and np.allclose(got, expected)

    batch = (x - x.mean(0)) / np.sqrt(x.var(0) + 0.1)
    if name == "dx" and same(gamma * dy / np.sqrt(var)):
        return "eps belongs under the root."
    if name == "dx" and same(dy / std):
        return "γ scales what comes back, too."
    g, running = gamma * dy, (x - mean) / std
    if name == "dx" and (
        same((g - g.mean(0) - running * (g * running).mean(0)) / std)
        or (got.shape == x.shape and np.allclose(got.sum(0), 0))
    ):
        return (
            "that is training mode: constants carry no gradient, so nothing is taken out."
        )
    if name == "dγ" and same((dy * batch).sum(0)):
        return "that is the batch's x̂; the forward pass used the running statistics."
    if name == "dx" and same(gamma * dy / np.sqrt(x.var(0) + 0.1)):
        return "that is the batch's variance; the forward pass used the running one."
    if name == "dγ" and same((dy * x).sum(0)):
        return "γ multiplies x̂, not x."
    if name == "dβ" and same(dy.mean(0)):
        return "a sum over the batch, not a mean: every sample uses the same β."
    return "Differentiate y = γ(x − running_mean)/√(running_var + eps) + β."


def _scale_backward(answer):
    complaint = _judge.function(answer, 'check.exercise("7.5", scale_backward)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(5)
    x, dy, eps = rng.normal(1, 2, (6, 3)), rng.normal(size=(6, 3)), 0.2
    s = np.sqrt((x**2).mean(0) + eps)
    y = x / s
    got = np.asarray(answer(dy.copy(), x.copy(), eps), dtype=float)
    why = _judge.array(got, (dy - y * (dy * y).mean(0)) / s, "dx")
    if not why:
        return True, "one direction is taken out, y; the mean stays."
    if got.shape == x.shape:
        bare = y * np.sqrt((s**2) / (s**2 - eps))
        c = x - x.mean(0)
        xhat = c / np.sqrt((c**2).mean(0) + eps)
        full = (dy - dy.mean(0) - xhat * (dy * xhat).mean(0)) / np.sqrt(
            (c**2).mean(0) + eps
        )
        if np.allclose(got, dy / s):
            why = "that treats the size as a constant; it depends on x."
        elif np.allclose(got, (dy - dy.mean(0) - y * (dy * y).mean(0)) / s):
            why = "no mean was subtracted forward, so none is taken out backward."
        elif np.allclose(got, full):
            why = "that is batch norm; here no mean is subtracted."
        elif np.allclose(got, dy - y * (dy * y).mean(0)):
            why = "divide by the size at the end."
        elif np.allclose(got, (dy - y * (dy * y).sum(0)) / s):
            why = "a mean over the batch, not a sum: ∂s/∂x_j = y_j/m."
        elif np.allclose(got, (dy - bare * (dy * bare).mean(0)) / s):
            why = "with eps, y = x/s with eps under s's root; use that y."
        elif np.allclose(got, (dy - x * (dy * x).mean(0)) / s):
            why = "∂s/∂x_j = y_j/m: the second term has y twice, not x."
        else:
            why += " Differentiate y = x/s by the quotient rule, with ∂s/∂x_j = y_j/m."
    return False, why


def _rate(answer):
    return _judge.number(
        answer,
        4.0,
        "the squared length goes from 25 to 25 + 0.25·300 = 100.",
        {
            2.0: "that is the length; the effective rate has its square below the line.",
            0.25: "that is what is left of it; the factor is one over that.",
            13.0: "the squared gradients count with η², and that is 0.25.",
            7.0: "the squared gradients count with η², not with η.",
            16.0: "the effective rate is η/‖w‖², and ‖w‖² grows from 25 to 100.",
        },
        "‖w‖² = 25 + η²·300 by (7.9), and the effective rate is η/‖w‖².",
    )


def _settle(answer):
    return _judge.number(
        answer,
        5000,
        "d‖w‖⁴/dt = −4ηλ‖w‖⁴ + 2η²g̃².",
        {
            10_000: "that is 1/(2ηλ), for the squared length under the decay alone.",
            20_000: "that is 1/(ηλ), for the length under the decay alone.",
            2500: "‖w‖⁴ is the square of ‖w‖², which shrinks by 2ηλ a step: 4ηλ.",
            100: "that is one over the angle a step; the length settles far more slowly.",
            500: "the rate η belongs in: decay shrinks w by ηλ a step.",
        },
        "write u = ‖w‖², u̇ = −2ηλu + η²g̃²/u, and find the equation of u².",
    )


def _exponent(answer):
    # E[φ'²]/Var[φ] of tanh: a sum on a fine grid
    z = np.linspace(-12, 12, 24001)
    weight = np.exp(-z * z / 2) / np.sum(np.exp(-z * z / 2))
    slope, var = np.sum(weight / np.cosh(z) ** 4), np.sum(weight * np.tanh(z) ** 2)
    return _judge.number(
        answer,
        slope / var / 2,
        "half of E[φ'²]/Var[φ] = 1.178; the scale of the weights drops out.",
        {
            slope / var: "that is for the mean square; the rms has half the exponent.",
            np.sqrt(slope / var): "a root of a power halves its exponent.",
            np.pi / (np.pi - 1) / 2: "that is ReLU's.",
            slope / 2: "the variance grows by Var[φ] a block, and that divides.",
            var / slope / 2: "upside down: E[φ'²] is above the line.",
            0.5: "that would be E[φ'²] = Var[φ]; for tanh they differ.",
        },
        "the product of 1 + aE[φ'²]/(1 + a·l·Var[φ]) grows as L^(E[φ'²]/Var[φ]).",
        rtol=0.005,
    )


CHECKS = {
    "7.1": _three,
    "7.2": _two,
    "7.3": _absolute,
    "7.4": _eval_backward,
    "7.5": _scale_backward,
    "7.6": _rate,
    "7.7": _settle,
    "7.8": _exponent,
}

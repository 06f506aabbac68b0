"""Judges of chapter 5."""

import numpy as np

from nbcode import theory
from nbcode.exercises import _judge


def _strangers(answer):
    return _judge.number(
        answer,
        1 / np.pi,
        "the means alone give 2·(√(q/2π))²/q = 1/π.",
        {
            0.0: "two inputs are independent, and yet ReLU's outputs both have a mean.",
            1 / (2 * np.pi): "He's gain doubles the covariance: σ_w² = 2.",
            0.5: "that is the slope of the map at c = 0, (π − θ)/π with θ = π/2.",
            1 / np.sqrt(2 * np.pi): "that is the mean of ReLU; the product has it squared.",
        },
        "for c = 0, E[φ(z₁)φ(z₂)] = E[φ(z)]², and E[relu(z)] = √(q/2π).",
    )


def _six_scales(answer):
    return _judge.number(
        answer,
        -6 / np.log(0.9),
        "ξ = 1/0.105 = 9.5 layers, six times.",
        {
            -1 / np.log(0.9): "that is one depth scale; the rule says six.",
            -6 / np.log10(0.9): "take the natural logarithm: χ^l = e^(−l/ξ).",
            60.0: "1 − χ is not |log χ|: take the logarithm itself.",
            -12 / np.log(0.9): "no root of χ is taken: 1 − c itself shrinks by χ.",
        },
        "ξ = 1/|log χ| by (5.5), and six of them.",
    )


def _edge_point(answer):
    complaint = _judge.function(answer, 'check.exercise("5.3", edge_point)')
    if complaint:
        return False, complaint
    for name, q in (("tanh", 0.1), ("tanh", 1.0), ("hardtanh", 0.5)):
        sigma_w = theory.slope_second_moment(name, q) ** -0.5
        moment = theory.second_moment(name, q)
        sigma_b = np.sqrt(q - sigma_w**2 * moment)
        got, call = answer(name, q), f"edge_point({name!r}, {q})"
        if np.shape(got) != (2,):
            return False, f"{call} should return two numbers, (σ_w, σ_b)."
        if _judge.near(got[0], sigma_w**2, 1e-6):
            return False, f"{call}: that is σ_w², the variance; take the root."
        if _judge.near(got[0], moment**-0.5, 1e-6):
            return False, f"{call}: σ_w has φ'² in it, not φ²: χ = 1 is about slopes."
        if _judge.near(got[0], sigma_b, 1e-6) and _judge.near(got[1], sigma_w, 1e-6):
            return False, f"{call}: that is (σ_b, σ_w); the weights come first."
        at_one = theory.slope_second_moment(name) ** -0.5
        if q != 1 and _judge.near(got[0], at_one, 1e-6):
            return False, f"{call}: the slopes belong to z of variance q, not 1."
        if not _judge.near(got[0], sigma_w, 1e-6):
            return False, f"{call}: σ_w is not the one with χ = σ_w²·E[φ'(z)²] = 1."
        if _judge.near(got[1], sigma_b**2, 1e-5):
            return False, f"{call}: that is σ_b², the variance; take the root."
        if not _judge.near(got[1], sigma_b, 1e-5):
            return False, (
                f"{call}: σ_b should be {sigma_b:.4f}, yours is {got[1]}; "
                "q = σ_w²·E[φ²] + σ_b²."
            )
    return True, "slopes give the weights, the fixed point the biases."


def _leaky_spectrum(answer):
    v = 2 * (1 + 0.5**4) / (1 + 0.5**2) ** 2 - 1
    return _judge.number(
        answer,
        20 * v,
        "0.36 a layer from the slopes, nothing from the weights.",
        {
            v: "that is one layer's; spread adds up over twenty.",
            20 * (1 + v): "Gaussian weights would add 1 a layer; orthogonal ones add 0.",
            20.0: "that is ReLU's; a slope of ½ on the other side shuts nothing off.",
            (1 + v) ** 20 - 1: "it adds up, layer by layer; it does not multiply.",
        },
        "v_φ = E[φ'⁴]/E[φ'²]² − 1, with slopes 1 and ½ half of the time each.",
    )


def _meet(answer):
    return _judge.number(
        answer,
        57,
        "57 layers; (5.4) says 67, since it starts from infinitely far away.",
        {
            np.sqrt(4.5 * np.pi**2 / 0.01): "that is (5.4); iterate the map itself.",
            67: "that is (5.4), rounded up; iterate the map itself.",
            56: "the correlation 0.3 belongs to layer 1: 56 is the number of steps.",
        },
        "iterate theory.correlation_map from c = 0.3, layer 1, until c > 0.99.",
        rtol=1e-4,
    )


def _parallel(answer):
    root = 2 ** (1 / 24) - 1
    return _judge.number(
        answer,
        np.sqrt(root / 2),
        "(1 + 2β²)^24 = 2.",
        {
            root / 2: "that is β²; take the root.",
            np.sqrt(root): "there are two branches, and each adds β².",
            np.sqrt(root) / 2: "independent branches add their squares: 2β², not (2β)².",
            np.sqrt(1 / 48): "that makes it e; the second moment should double.",
        },
        "second moments of independent terms add: 1 + 2β² a block, 24 blocks.",
    )


def _selu_dropout(answer):
    return _judge.number(
        answer,
        theory.fixed_point("selu", sigma_w=0.9**-0.5),
        "the fixed point of q = E[φ²]/0.9: 11 percent a layer become 63.",
        {
            1.0: "that is without dropout, or with AlphaDropout.",
            1 / 0.9: "that is after one layer; the next starts from there.",
            0.9 * theory.fixed_point("selu", sigma_w=0.9**-0.5): "that is E[φ²] before the "
            "dropout; q = E[z²] comes after it.",
            theory.fixed_point("selu", sigma_w=1 / 0.9): "E[x²] grows by 1/0.9, not by "
            "its square: dropout keeps 0.9 of the entries.",
        },
        "E[z²] is E[φ(z)²]/0.9 of the layer below; iterate until it stays.",
        rtol=0.05,
    )


def _highway(answer):
    g = 1 / (1 + np.exp(-2))
    return _judge.number(
        answer,
        np.sqrt(1 + 2 * np.exp(2)),
        "s² = (1 + g)/(1 − g) = 1 + 2e².",
        {
            1 + 2 * np.exp(2): "that is s²; take the root.",
            1.0: "with s = 1 a layer keeps g² + (1 − g)² = 0.79.",
            1 / (1 - g): "that makes the branch alone full size; g·x is there already.",
            np.sqrt(1 - g**2): "that is (1 − g)·s; divide by 1 − g.",
            np.sqrt(2 * (1 + 2 * np.exp(2))): "He's weights keep E[x²]: no further √2.",
            (g**2 + (1 - g) ** 2) ** -0.5: "this scales both parts; s is the branch's.",
        },
        "the layer multiplies E[x²] by g² + (1 − g)²·s²; set it to 1.",
    )


CHECKS = {
    "5.1": _strangers,
    "5.2": _six_scales,
    "5.3": _edge_point,
    "5.4": _leaky_spectrum,
    "5.5": _meet,
    "5.6": _parallel,
    "5.7": _selu_dropout,
    "5.8": _highway,
}

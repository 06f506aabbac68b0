"""Judges of chapter 5."""

from math import exp, log, log10, pi, sqrt

from nbcode import theory
from nbcode.exercises._judge import Function, Number, number, parts


def _edge_point(answer):
    for name, q in (("tanh", 0.1), ("tanh", 1.0), ("hardtanh", 0.5)):
        slope, moment = theory.slope_second_moment(name, q), theory.second_moment(name, q)
        sigma_w, sigma_b = slope**-0.5, sqrt(q - moment / slope)
        call = f"edge_point({name!r}, {q})"
        two = f"{call} should return two numbers, (σ_w, σ_b)."
        got_w, got_b = parts(answer(name, q), 2, two)
        number(got_w, sigma_w, {
            sigma_w**2: "that is σ_w², the variance; take the root.",
            moment**-0.5: "σ_w has φ'² in it, not φ²: χ = 1 is about slopes.",
            sigma_b: "that is (σ_b, σ_w); the weights come first.",
            theory.slope_second_moment(name) ** -0.5:
                "the slopes belong to z of variance q, not 1.",
        }, "σ_w is not the one with χ = σ_w²·E[φ'(z)²] = 1.", rtol=1e-6,
        prefix=f"{call}: ")  # fmt: skip
        root = {sigma_b**2: "that is σ_b², the variance; take the root."}
        why = f"σ_b should be {sigma_b:.4f}, yours is {got_b}; q = σ_w²·E[φ²] + σ_b²."
        number(got_b, sigma_b, root, why, rtol=1e-5, prefix=f"{call}: ")
    return "slopes give the weights, the fixed point the biases."


SPREAD = 2 * (1 + 0.5**4) / (1 + 0.5**2) ** 2 - 1  # E[φ'⁴]/E[φ'²]² − 1
ROOT = 2 ** (1 / 24) - 1
SETTLED = theory.fixed_point("selu", sigma_w=0.9**-0.5)
GATE = 1 / (1 + exp(-2))

CHECKS = {
    "5.1": Number(1 / pi, "the means alone give 2·(√(q/2π))²/q = 1/π.", {
        0.0: "two inputs are independent, and yet ReLU's outputs both have a mean.",
        1 / (2 * pi): "He's gain doubles the covariance: σ_w² = 2.",
        0.5: "that is the slope of the map at c = 0, (π − θ)/π with θ = π/2.",
        1 / sqrt(2 * pi): "that is the mean of ReLU; the product has it squared.",
    }, "for c = 0, E[φ(z₁)φ(z₂)] = E[φ(z)]², and E[relu(z)] = √(q/2π)."),
    "5.2": Number(-6 / log(0.9), "ξ = 1/0.105 = 9.5 layers, six times.", {
        -1 / log(0.9): "that is one depth scale; the rule says six.",
        -6 / log10(0.9): "take the natural logarithm: χ^l = e^(−l/ξ).",
        60.0: "1 − χ is not |log χ|: take the logarithm itself.",
        -12 / log(0.9): "no root of χ is taken: 1 − c itself shrinks by χ.",
    }, "ξ = 1/|log χ| by (5.5), and six of them."),
    "5.3": Function("edge_point", _edge_point),
    "5.4": Number(20 * SPREAD, "0.36 a layer from the slopes, nothing from the weights.", {
        SPREAD: "that is one layer's; spread adds up over twenty.",
        20 * (1 + SPREAD): "Gaussian weights would add 1 a layer; orthogonal ones add 0.",
        20.0: "that is ReLU's; a slope of ½ on the other side shuts nothing off.",
        (1 + SPREAD) ** 20 - 1: "it adds up, layer by layer; it does not multiply.",
    }, "v_φ = E[φ'⁴]/E[φ'²]² − 1, with slopes 1 and ½ half of the time each."),
    "5.5": Number(57,
        "57 layers; (5.4) says 67, since it starts from infinitely far away.", {
        sqrt(4.5 * pi**2 / 0.01): "that is (5.4); iterate the map itself.",
        67: "that is (5.4), rounded up; iterate the map itself.",
        56: "the correlation 0.3 belongs to layer 1: 56 is the number of steps.",
    }, "iterate theory.correlation_map from c = 0.3, layer 1, until c > 0.99.", rtol=1e-4),
    "5.6": Number(sqrt(ROOT / 2), "(1 + 2β²)^24 = 2.", {
        ROOT / 2: "that is β²; take the root.",
        sqrt(ROOT): "there are two branches, and each adds β².",
        sqrt(ROOT) / 2: "independent branches add their squares: 2β², not (2β)².",
        sqrt(1 / 48): "that makes it e; the second moment should double.",
    }, "second moments of independent terms add: 1 + 2β² a block, 24 blocks."),
    "5.7": Number(SETTLED,
        "the fixed point of q = E[φ²]/0.9: 11 percent a layer become 63.", {
        1.0: "that is without dropout, or with AlphaDropout.",
        1 / 0.9: "that is after one layer; the next starts from there.",
        0.9 * SETTLED:
            "that is E[φ²] before the dropout; q = E[z²] comes after it.",
        theory.fixed_point("selu", sigma_w=1 / 0.9):
            "E[x²] grows by 1/0.9, not by its square: dropout keeps 0.9 of the entries.",
    }, "E[z²] is E[φ(z)²]/0.9 of the layer below; iterate until it stays.", rtol=0.05),
    "5.8": Number(sqrt(1 + 2 * exp(2)), "s² = (1 + g)/(1 − g) = 1 + 2e².", {
        1 + 2 * exp(2): "that is s²; take the root.",
        1.0: "with s = 1 a layer keeps g² + (1 − g)² = 0.79.",
        1 / (1 - GATE): "that makes the branch alone full size; g·x is there already.",
        sqrt(1 - GATE**2): "that is (1 − g)·s; divide by 1 − g.",
        sqrt(2 * (1 + 2 * exp(2))): "He's weights keep E[x²]: no further √2.",
        (GATE**2 + (1 - GATE) ** 2) ** -0.5: "this scales both parts; s is the branch's.",
    }, "the layer multiplies E[x²] by g² + (1 − g)²·s²; set it to 1."),
}  # fmt: skip

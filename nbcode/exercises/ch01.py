"""Judges of chapter 1."""

import itertools
from math import ceil, log, sqrt
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from nbcode.exercises._judge import Function, NotYet, Number, array, near, number, refuse
from nbcode.exercises._torch import linears, rms, seeded

CASES = [(0.1, 512, True), (0.02, 512, True), (0.02, 512, False), (1.0, 256, False)]


def _gives_out(answer):
    def layer(g, start, smallest=2**-25):
        return log((65504 if g > 1 else smallest) / start) / log(g)

    for std, width, relu in CASES:
        linear, halved = std * sqrt(width), std * sqrt(width / 2)
        g, other = (halved, linear) if relu else (linear, halved)
        start = sqrt(2 * log(width))
        exact = layer(g, start)
        got = answer(std, width, relu)
        turns = {
            ceil(layer(other, start)): "ReLU has s√(n/2), a linear network s√n.",
            ceil(layer(g, 1.0)): "start from the largest entry, √(2 log n), not from 1.",
            ceil(layer(g, start, 2**-24)): "what is below *half* of 2^-24 is rounded to "
            "zero; half of it is not yet.",
            exact: "layers are whole; round up to the first one past the limit.",
        }
        hint = "find g, then log(limit/start)/log(g), rounded up."
        call = f"gives_out({std}, {width}, {relu}) is {got}, not {ceil(exact)}: "
        number(got, ceil(exact), turns, hint, prefix=call)
    still = answer(0.0625, 256, False)
    if still != np.inf:
        why = f"return inf, not {still}."
        raise NotYet(f"at g = 1 exactly the signal never gives out: {why}")
    return "overflow, underflow and the eye of the needle, all three."


def _weight_gradient(answer):
    rng = np.random.default_rng(0)
    delta, x = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    right = np.sum([np.outer(d, v) for d, v in zip(delta, x, strict=True)], axis=0)
    array(answer(delta.copy(), x.copy()), right, "the gradient", [
        (right.T, "that is its transpose: a weight is stored as (fan_out, fan_in)."),
        (right / 4, "that is the mean over the batch; the loss here is a sum over "
            "samples."),
    ])  # fmt: skip
    return "one outer product a sample, added up."


def _largest_over_rms(answer):
    def doubled(seed):
        """A generator whose normal numbers have rms 2; a ratio does not notice."""
        rng = np.random.default_rng(seed)
        return SimpleNamespace(
            normal=lambda *a, **k: 2 * rng.normal(*a, **k),
            standard_normal=lambda *a, **k: 2 * rng.standard_normal(*a, **k),
        )

    def mean(function, make=np.random.default_rng):
        return np.mean([function(4096, make(seed)) for seed in range(200)])

    def ratio(n, rng, size=np.abs):
        z = rng.normal(size=n)
        return size(z).max() / np.sqrt((z**2).mean())

    got, target = mean(answer), mean(ratio)
    signed = mean(lambda n, rng: ratio(n, rng, size=np.asarray))
    if not near(got, target, 0.02) and near(got, signed, 0.02):
        raise NotYet("a large negative entry overflows too: take the absolute value first.")
    if not near(got, target, 0.02):
        raise NotYet(f"at n = 4096 it should be about 3.8 on average, yours is {got:.2f}.")
    if not near(mean(answer, doubled), target, 0.02):
        raise NotYet("right for numbers of rms 1; divide by the rms to be right for all.")
    return "about 3.8 at n = 4096, against √(2 log n) = 4.1: seven percent too high."


@seeded
def _repair(answer):
    sizes = [256, 128, 512, 256]
    pairs = itertools.pairwise(sizes)
    model = nn.Sequential(*(m for n, k in pairs for m in (nn.Linear(n, k), nn.ReLU())))
    before = [layer.weight.detach().clone() for layer in linears(model)]
    answer(model)
    for old, layer in zip(before, linears(model), strict=False):
        weight, (fan_out, fan_in) = layer.weight.detach(), old.shape
        std = rms(weight)
        refuse(
            (torch.equal(weight, old), "a weight is as it was: change the model itself, in "
             "place, in every nn.Linear."),
            (weight.shape != old.shape, "a weight should keep its shape."),
            (weight.std() < 0.1 * std, "all weights of a layer are alike, so its units "
             "stay twins: draw them at random."),
            (near(std, sqrt(1 / fan_in), 0.03), "s = 1/√n keeps a linear network; ReLU "
             "halves the mean square."),
            (near(std, 2 / fan_in, 0.03), "2/n is the variance; normal_ takes the standard "
             "deviation, its root."),
            (near(std, sqrt(2 / fan_out), 0.03), "n is the number of inputs: weight.shape "
             "is (fan_out, fan_in)."),
            (not near(std, sqrt(2 / fan_in), 0.03), f"the weights of a layer with {fan_in} "
             f"inputs have std {std:.3f}; s√(n/2) = 1 asks for {sqrt(2 / fan_in):.3f}."),
            (bool(layer.bias.detach().any()), "the biases are not zero yet: they alone "
             "reach the output, whatever the input."),
        )  # fmt: skip
    return "each layer has growth factor 1, by its own number of inputs."


LAYERS = log(65504) / log(0.05 * sqrt(1024))

CHECKS = {
    "1.1": Number(ceil(LAYERS), "23.6 layers to the limit, so layer 24 is the first past "
        "it.", {
        ceil(LAYERS) - 1: "at layer 23 the rms is 1.6^23 = 49 500, still below 65504; "
            "round up.",
        LAYERS: "nearly: layers are whole, and the first one past 23.6 is the next.",
        90: "that is with ReLU; this network is linear.",
        3: "the growth factor is s times the square root of n, not s times n.",
    }, "find the growth factor g = s√n first, then the smallest L with g^L > "
       "65504.", rtol=0.001),
    "1.2": Number(sqrt(6 / 300), "s = a/√3 and s√(n/2) = 1 give a = √(6/n).", {
        sqrt(3 / 300): "that keeps a linear network; ReLU halves the mean square.",
        sqrt(2 / 300): "that is the standard deviation s; a uniform's s is a/√3.",
        sqrt(1 / 300): "that is s for a linear network: ReLU and a/√3 are missing.",
        sqrt(24 / 300): "the variance of U(−a, a) is (2a)²/12 = a²/3, not a²/12.",
    }, "two conditions: s√(n/2) = 1, and s² = a²/3 for a uniform on [−a, a]."),
    "1.3": Function("gives_out", _gives_out),
    "1.4": Function("weight_gradient", _weight_gradient),
    "1.5": Number(1 / 400, "s² = p, so p·n = 1: one non-zero weight a unit on average.", {
        1 / 20: "that is 1/√n; the variance of such a weight is p itself, not p².",
        2 / 400: "each sign has probability p/2: a weight is non-zero with p.",
    }, "the variance of a weight is E[w²] = p·1; then ask for s√n = 1."),
    "1.6": Function("largest_over_rms", _largest_over_rms),
    "1.7": Number(3,
        "only the last: its own gradient needs no weight above it, and not its own "
            "either.", {
        1: "with ReLU, z¹ = 0 gives x¹ = 0 and slope 0: nothing flows up or down.",
        2: "with ReLU, z² = 0 gives x² = 0 and slope 0: nothing flows up or down.",
    }, "layers are counted 1, 2, 3; run the experiment for each of them.", rtol=1e-9),
    "1.8": Function("repair", _repair),
}  # fmt: skip

"""Judges of chapter 6."""

from math import log, sqrt

import numpy as np

from nbcode.exercises._judge import Function, NotYet, Number, array, number, parts

SHAPES = ((8, 5), (4, 3, 6), (2, 7, 3, 4), (2, 7, 3, 4, 5))


def _counts(answer):
    for shape in SHAPES:
        channels, size = shape[1], int(np.prod(shape))
        hint = f"counts({shape}) should return three numbers."
        got = tuple(part.tolist() for part in parts(answer(shape), 3, hint))
        right = (2 * channels, 2 * channels, size // channels)
        if got == right:
            continue
        why = next((why for it_is_so, why in (
            (2 in got[:2], "γ, β, mean and variance are one number a channel"),
            (channels in got[:2], "there are two of each a channel: γ and β, mean and "
                "variance"),
            (2 * channels + 1 in got[:2], "num_batches_tracked is one number, and no "
                "statistic of a channel"),
            (got[2] == shape[0], "the trailing axes belong to the statistics, too"),
            (got[2] == size, "the channels are not averaged over"),
            (right[0] != got[0] == 2 * size // shape[0], "γ and β are one number a "
                "channel, not one a position"),
        ) if it_is_so), f"yours is {got}")  # fmt: skip
        raise NotYet(f"counts({shape}) should be {right}: {why}.")
    return "γ and β, mean and variance a channel; statistics over all other axes."


def _fold_before(answer):
    rng = np.random.default_rng(3)
    W, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    gamma, beta, mean = rng.normal(size=(3, 3))
    var = rng.uniform(0.5, 2, 3)
    given = [part.copy() for part in (W, b, gamma, beta, mean, var)]
    two = "fold_before should return two arrays, W' and b'."
    new_W, new_b = parts(answer(*given, 0.1), 2, two)
    s = gamma / np.sqrt(var + 0.1)
    shift = beta - s * mean
    array(new_W, W * s, "W'", [
        (W * s[:, None], "W': s multiplies the columns of W; rows are for a norm after "
            "it."),
        (W * gamma / np.sqrt(var), "W': eps is added to the variance."),
        (W * gamma / (var + 0.1), "W': divide by the root of var + eps."),
    ])  # fmt: skip
    array(new_b, b + W @ shift, "b'", [
        (b + shift, "b': the norm's shift passes through W, as W @ (β − sμ)."),
        (W @ shift, "b': the layer's own bias is missing."),
        (b + W @ beta, "b': the running mean is missing."),
        (s * (b - mean) + beta, "b': that is (6.10), for a norm after W; here β − sμ "
            "passes through W."),
        (b + W @ (beta - mean), "b': the mean is scaled as x is: β − sμ."),
        (b + (W * s) @ shift, "b': the shift β − sμ already holds s; take W, not W'."),
    ])  # fmt: skip
    return "W·diag(s) and b + W(β − sμ)."


def _merge(answer):
    rng = np.random.default_rng(5)
    devices = [rng.normal(m, s, n) for m, s, n in ((0, 1, 4), (3, 2, 9), (-2, 0.5, 17))]
    whole = np.concatenate(devices)
    means, variances = [d.mean() for d in devices], [d.var() for d in devices]
    counts = [d.size for d in devices]
    got = answer(list(means), list(variances), list(counts))
    mean, var = parts(got, 2, "merge should return two numbers, mean and variance.")
    turns = {np.mean(means): "the mean: weigh each device by its count."}
    why = f"the mean should be {whole.mean():.4f}, yours is {mean}."
    number(mean, whole.mean(), turns, why)
    within = np.average(variances, weights=counts)
    number(var, whole.var(), {
        within: "the variance: the scatter of the means is missing.",
        whole.var(ddof=1): "the variance: the biased one is asked for.",
        np.mean(whole**2): "the variance: that is the mean square; subtract the squared "
            "mean.",
        within + np.var(means): "the variance: weigh the squared distances of the means, "
            "too.",
    }, f"the variance should be {whole.var():.4f}, yours is {var}.")  # fmt: skip
    return "mean of the variances plus variance of the means."


CHECKS = {
    "6.1": Number(3 / sqrt(3.5), "mean 3, biased variance 14/4, and 3/√3.5.", {
        3 / sqrt(14 / 3): "that is the unbiased variance; the batch takes m.",
        3 / 3.5: "divide by the root of the variance.",
        6 / sqrt(3.5): "subtract the mean first.",
        sqrt(3): "that is the largest that any value can become in a batch of 4.",
        0.9 * 6 + 0.1 * 3: "that is a running mean, which training does not use.",
    }, "mean, mean squared deviation with m = 4 below, and its root."),
    "6.2": Number(sqrt(15), "m = 4·2·2 = 16 values, and √(m − 1).", {
        sqrt(3): "the positions count, too: m = N·H·W.",
        4: "that is √m; the mean takes one away.",
        15: "take the root.",
        1: "an average value comes out at 0; this one is as far out as can be.",
        1e6: "it is divided by a standard deviation that it dominates.",
    }, "a² + a²/(m − 1) ≤ m, with m the number of values of the channel.", rtol=0.005),
    "6.3": Function("counts", _counts),
    "6.4": Number(688, "0.99⁶⁸⁸ is just below a thousandth.", {
        687: "0.99⁶⁸⁷ is still a little above a thousandth; round up.",
        log(1e-3) / log(0.99): "steps are whole: round up.",
        66: "that is for momentum 0.1.",
        459: "that is for one percent.",
        691: "e^(−at) is an approximation; solve 0.99^t = 0.001.",
        2: "0.01 is the weight of the new batch; the old one keeps 0.99 a step.",
    }, "the start has the weight (1 − a)^t after t steps, a = 0.01.", rtol=1e-4),
    "6.5": Number(2 / 51, "(2 − a)/a = 50.", {
        1 / 50: "that is the weight of the newest; the older ones count less.",
        49 / 51: "that is 1 − a, as Keras has it.",
        1 / 51: "that makes the lag 50 steps; the noise has a/(2 − a).",
        2 / 49: "a/(2 − a) = 1/50 gives 50a = 2 − a.",
        2 / (1 + sqrt(50)): "mind the variance, not the standard deviation.",
        2 / 50: "solve (2 − a)/a = 50, not 2/a = 50.",
    }, "the noise variance is a/(2 − a) of a single batch's.", rtol=0.005),
    "6.6": Function("fold_before", _fold_before),
    "6.7": Function("merge", _merge),
    "6.8": Number(sqrt(10),
        "about the running mean of 3 the mean square is 1 + 3², and the variance is 1.", {
        1: "that is with mixed batches; here no batch holds both kinds.",
        10: "that is the mean square; its root is asked for.",
        3: "that is how far their means lie out; each has a variance besides.",
        sqrt(37): "the running mean lies between the kinds, not at one of them.",
        sqrt(19): "the running mean is not 0: it follows both kinds.",
    }, "find the running mean and the running variance (the mean of the batches' "
       "own).", rtol=0.015),
}  # fmt: skip

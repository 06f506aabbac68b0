"""Judges of chapter 6."""

import numpy as np

from nbcode.exercises import _judge


def _by_hand(answer):
    return _judge.number(
        answer,
        3 / np.sqrt(3.5),
        "mean 3, biased variance 14/4, and 3/√3.5.",
        {
            3 / np.sqrt(14 / 3): "that is the unbiased variance; the batch takes m.",
            3 / 3.5: "divide by the root of the variance.",
            6 / np.sqrt(3.5): "subtract the mean first.",
            np.sqrt(3): "that is the largest that any value can become in a batch of 4.",
            0.9 * 6 + 0.1 * 3: "that is a running mean, which training does not use.",
        },
        "mean, mean squared deviation with m = 4 below, and its root.",
    )


def _bright(answer):
    return _judge.number(
        answer,
        np.sqrt(15),
        "m = 4·2·2 = 16 values, and √(m − 1).",
        {
            np.sqrt(3): "the positions count, too: m = N·H·W.",
            4: "that is √m; the mean takes one away.",
            15: "take the root.",
            1: "an average value comes out at 0; this one is as far out as can be.",
            1e6: "it is divided by a standard deviation that it dominates.",
        },
        "a² + a²/(m − 1) ≤ m, with m the number of values of the channel.",
        rtol=0.005,
    )


def _counts(answer):
    complaint = _judge.function(answer, 'check.exercise("6.3", counts)')
    if complaint:
        return False, complaint
    for shape in ((8, 5), (4, 3, 6), (2, 7, 3, 4), (2, 7, 3, 4, 5)):
        got, values = answer(shape), int(np.prod(shape)) // shape[1]
        if np.shape(got) != (3,):
            return False, f"counts({shape}) should return three numbers."
        expected = (2 * shape[1], 2 * shape[1], values)
        if tuple(got) != expected:
            return False, f"counts({shape}) should be {expected}: {_miscount(got, shape)}."
    return True, "γ and β, mean and variance a channel; statistics over all other axes."


def _miscount(got, shape):
    channels, values = shape[1], int(np.prod(shape)) // shape[1]
    if got[0] == 2 or got[1] == 2:
        return "γ, β, mean and variance are one number a channel"
    if got[0] == channels or got[1] == channels:
        return "there are two of each a channel: γ and β, mean and variance"
    if got[0] == 2 * channels + 1 or got[1] == 2 * channels + 1:
        return "num_batches_tracked is one number, and no statistic of a channel"
    if got[2] == shape[0] and values != shape[0]:
        return "the trailing axes belong to the statistics, too"
    if got[2] == int(np.prod(shape)):
        return "the channels are not averaged over"
    if got[0] == 2 * int(np.prod(shape[1:])):
        return "γ and β are one number a channel, not one a position"
    return f"yours is {tuple(got)}"


def _forgets(answer):
    exact = np.log(1e-3) / np.log(0.99)
    return _judge.number(
        answer,
        688,
        "0.99⁶⁸⁸ is just below a thousandth.",
        {
            687: "0.99⁶⁸⁷ is still a little above a thousandth; round up.",
            exact: "steps are whole: round up.",
            66: "that is for momentum 0.1.",
            459: "that is for one percent.",
            691: "e^(−at) is an approximation; solve 0.99^t = 0.001.",
            2: "0.01 is the weight of the new batch; the old one keeps 0.99 a step.",
        },
        "the start has the weight (1 − a)^t after t steps, a = 0.01.",
        rtol=1e-4,
    )


def _fifty(answer):
    return _judge.number(
        answer,
        2 / 51,
        "(2 − a)/a = 50.",
        {
            1 / 50: "that is the weight of the newest; the older ones count less.",
            49 / 51: "that is 1 − a, as Keras has it.",
            1 / 51: "that makes the lag 50 steps; the noise has a/(2 − a).",
            2 / 49: "a/(2 − a) = 1/50 gives 50a = 2 − a.",
            2 / (1 + np.sqrt(50)): "mind the variance, not the standard deviation.",
            2 / 50: "solve (2 − a)/a = 50, not 2/a = 50.",
        },
        "the noise variance is a/(2 − a) of a single batch's.",
        rtol=0.005,
    )


def _fold_before(answer):
    complaint = _judge.function(answer, 'check.exercise("6.6", fold_before)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(3)
    W, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    gamma, beta, mean = rng.normal(size=(3, 3))
    var = rng.uniform(0.5, 2, 3)
    got = answer(
        W.copy(), b.copy(), gamma.copy(), beta.copy(), mean.copy(), var.copy(), 0.1
    )
    if not isinstance(got, tuple | list) or len(got) != 2:
        return False, "fold_before should return two arrays, W' and b'."
    s = gamma / np.sqrt(var + 0.1)
    new_W, new_b = (np.asarray(part, dtype=float) for part in got)
    if new_W.shape == W.shape and np.allclose(new_W, W * s[:, None]):
        return False, "W': s multiplies the columns of W; rows are for a norm after it."
    if new_W.shape == W.shape and np.allclose(new_W, W * gamma / np.sqrt(var)):
        return False, "W': eps is added to the variance."
    if new_W.shape == W.shape and np.allclose(new_W, W * gamma / (var + 0.1)):
        return False, "W': divide by the root of var + eps."
    complaint = _judge.array(new_W, W * s, "W'")
    if complaint:
        return False, complaint
    if new_b.shape == b.shape:
        if np.allclose(new_b, b + beta - s * mean):
            return False, "b': the norm's shift passes through W, as W @ (β − sμ)."
        if np.allclose(new_b, W @ (beta - s * mean)):
            return False, "b': the layer's own bias is missing."
        if np.allclose(new_b, b + W @ beta):
            return False, "b': the running mean is missing."
        if np.allclose(new_b, s * (b - mean) + beta):
            return (
                False,
                "b': that is (6.10), for a norm after W; here β − sμ passes through W.",
            )
        if np.allclose(new_b, b + W @ (beta - mean)):
            return False, "b': the mean is scaled as x is: β − sμ."
        if np.allclose(new_b, b + (W * s) @ (beta - s * mean)):
            return False, "b': the shift β − sμ already holds s; take W, not W'."
    complaint = _judge.array(new_b, b + W @ (beta - s * mean), "b'")
    return (False, complaint) if complaint else (True, "W·diag(s) and b + W(β − sμ).")


def _merge(answer):
    complaint = _judge.function(answer, 'check.exercise("6.7", merge)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(5)
    parts = [rng.normal(m, s, n) for m, s, n in ((0, 1, 4), (3, 2, 9), (-2, 0.5, 17))]
    means, variances = [p.mean() for p in parts], [p.var() for p in parts]
    counts, whole = [p.size for p in parts], np.concatenate(parts)
    got = answer(list(means), list(variances), list(counts))
    if np.shape(got) != (2,):
        return False, "merge should return two numbers, mean and variance."
    if _judge.near(got[0], np.mean(means), 1e-9):
        return False, "the mean: weigh each device by its count."
    if not _judge.near(got[0], whole.mean(), 1e-9):
        return False, f"the mean should be {whole.mean():.4f}, yours is {got[0]}."
    if _judge.near(got[1], np.average(variances, weights=counts), 1e-9):
        return False, "the variance: the scatter of the means is missing."
    if _judge.near(got[1], whole.var(ddof=1), 1e-9):
        return False, "the variance: the biased one is asked for."
    if _judge.near(got[1], whole.var() + whole.mean() ** 2, 1e-9):
        return False, "the variance: that is the mean square; subtract the squared mean."
    if _judge.near(got[1], np.average(variances, weights=counts) + np.var(means), 1e-9):
        return False, "the variance: weigh the squared distances of the means, too."
    if not _judge.near(got[1], whole.var(), 1e-9):
        return False, f"the variance should be {whole.var():.4f}, yours is {got[1]}."
    return True, "mean of the variances plus variance of the means."


def _two_kinds(answer):
    return _judge.number(
        answer,
        np.sqrt(10),
        "about the running mean of 3 the mean square is 1 + 3², and the variance is 1.",
        {
            1: "that is with mixed batches; here no batch holds both kinds.",
            10: "that is the mean square; its root is asked for.",
            3: "that is how far their means lie out; each has a variance besides.",
            np.sqrt(37): "the running mean lies between the kinds, not at one of them.",
            np.sqrt(19): "the running mean is not 0: it follows both kinds.",
        },
        "find the running mean and the running variance (the mean of the batches' own).",
        rtol=0.015,
    )


CHECKS = {
    "6.1": _by_hand,
    "6.2": _bright,
    "6.3": _counts,
    "6.4": _forgets,
    "6.5": _fifty,
    "6.6": _fold_before,
    "6.7": _merge,
    "6.8": _two_kinds,
}

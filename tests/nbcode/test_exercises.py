"""Every exercise knows its solution, and each usual wrong turn by its own sentence."""

import random
import re
from importlib import import_module
from itertools import combinations

import numpy as np
import pytest
import solutions
import torch
from scipy.stats import norm
from torch import nn

from nbcode import check, exercises

ALL = solutions.exercises()
ROWS = {number: exercises.find(number) for number in ALL}
NUMBERS = [n for n, row in ROWS.items() if isinstance(row, exercises.Number)]
FUNCTIONS = [n for n in ALL if n not in NUMBERS]
SOLVED = [n for n in ALL if solutions.find(n, solved=True) is not None]
PROGRAMS = [n for n in FUNCTIONS if n.startswith(("10.", "11."))]
BUILDERS = [f"11.{k}" for k in range(1, 7)]


def told(capsys, number, answer):
    """What check.exercise prints: one line, which names the exercise."""
    check.exercise(number, answer)
    out, err = capsys.readouterr()
    assert not err and out.count("\n") == 1 and out.startswith(f"{number} ")
    return out.removeprefix(f"{number} ").rstrip("\n")


# the answers that stand in the chapters


def test_every_row_has_its_exercise():
    kept = [n for name in exercises.CHAPTERS.values() for n in import_module(name).CHECKS]
    assert kept == ALL and None not in ROWS.values()
    assert len(NUMBERS) == 56 and len(FUNCTIONS) == 40
    assert set(FUNCTIONS) <= set(SOLVED)


@pytest.mark.parametrize("number", ALL)
def test_an_exercise_as_it_is_handed_out_is_told_what_the_chapter_shows(capsys, number):
    answer = solutions.answer(number, solved=False)
    said = told(capsys, number, answer)
    assert f"{number} {said}" == solutions.said(number, solved=False)
    assert said.startswith(("waits for your answer: replace the ...", "not yet: "))


@pytest.mark.parametrize("number", SOLVED)
def test_the_chapters_solution_is_right(capsys, number):
    said = told(capsys, number, solutions.answer(number))
    assert f"{number} {said}" == solutions.said(number, solved=True)
    assert said.startswith("right: ")


@pytest.mark.parametrize("number", ALL)
def test_a_judge_leaves_the_global_generators_alone(number):
    answers = [ROWS[number].target, 123.4] if number in NUMBERS else [len]
    if number in SOLVED and number in FUNCTIONS:
        answers = [solutions.answer(number), solutions.answer(number, solved=False), len]

    def states():
        numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
        return random.getstate(), numpy, torch.random.get_rng_state().tolist()

    for answer in answers:
        before = states()
        check.exercise(number, answer)
        assert states() == before


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("number", PROGRAMS)
def test_a_judge_of_programs_does_not_depend_on_the_readers_generator(capsys, number, seed):
    answer = solutions.answer(number, solved=False)
    torch.manual_seed(seed)
    assert f"{number} {told(capsys, number, answer)}" == solutions.said(
        number, solved=False
    )


# numbers: the rows are data


def rounding_keeps():
    """The largest E[round(σz)²]/σ²: sums of probabilities, on a fine grid of σ."""
    sigma, k = np.linspace(0.2, 1.5, 5001), np.arange(1, 30)[:, None]
    probability = norm.cdf((k + 0.5) / sigma) - norm.cdf((k - 0.5) / sigma)
    return np.max((2 * k**2 * probability).sum(axis=0) / sigma**2)


def mean_of(function, q=1.0):
    """E[function(z)] for z ~ N(0, q), by a sum on a fine grid."""
    z = np.linspace(-12, 12, 24001)
    return np.sum(function(np.sqrt(q) * z) * norm.pdf(z)) / np.sum(norm.pdf(z))


def gelu_slope():
    """S = d log E[φ(√q z)²] / d log q at q = 1, which is E[z φ φ'] / E[φ²]."""

    def phi(z):
        return z * norm.cdf(z)

    up = mean_of(lambda z: z * phi(z) * (norm.cdf(z) + z * norm.pdf(z)))
    return up / mean_of(lambda z: phi(z) ** 2)


def border(size, axes=2):
    """Largest eigenvalue of the walk that adds up three neighbours, for that many axes."""
    walk = (np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)) / 3
    return np.linalg.eigvalsh(walk).max() ** axes


def merging_layer(c=0.3, layer=1):
    """The first layer with c > 0.99, by the arc-cosine kernel."""
    while c <= 0.99:
        c, layer = (np.sqrt(1 - c * c) + c * (np.pi - np.arccos(c))) / np.pi, layer + 1
    return layer


def selu_settles(factor, q=1.0):
    """The q to which q → factor·E[selu²] goes."""

    def squared(z):
        negative = 1.6732632423543772 * np.expm1(np.minimum(z, 0))
        return (1.0507009873554805 * np.where(z > 0, z, negative)) ** 2

    for _ in range(300):
        q = factor * mean_of(squared, q)
    return q


def of_three():
    """∂x̂₁/∂x₁ of batch norm on 1, 2, 6, by a complex step."""
    x = np.array([1, 2, 6]) + 1e-30j * np.array([1, 0, 0])
    x = x - x.mean()
    return (x / np.sqrt((x**2).mean())).imag[0] / 1e-30


def settles_in(rate=0.1, decay=5e-4):
    """Steps until the deviation of the length's fourth power has fallen by e."""
    u, steps = 1 + 1e-4, 0
    while u**2 - 1 > (2e-4 + 1e-8) / np.e:
        u, steps = u - 2 * rate * decay * (u - 1 / u), steps + 1
    return steps


TANH = mean_of(lambda z: np.cosh(z) ** -4.0), mean_of(lambda z: np.tanh(z) ** 2)
NINE_ZEROS = np.array([7] + [0] * 9)
#: the answers that a chapter gives in prose, and those it measures, found another way
FOUND = {
    "1.1": np.ceil(np.log(65504) / np.log(0.05 * np.sqrt(1024))),
    "1.2": np.sqrt(2 / 300) * np.sqrt(3),
    "1.8": 1 / np.sqrt(rounding_keeps()),
    "2.1": 0.01 * (4 + 3**2),
    "2.2": mean_of(lambda z: np.maximum(z, 0) ** 4) ** -0.5,
    "2.4": np.sqrt(2 / 1.2**2 - 1),
    "2.6": 5 * 100 * (1.96 / np.log(10)) ** 2,
    "2.8": np.sqrt(1 - 1 / gelu_slope()),
    "3.1": np.sqrt(3) * np.sqrt(2 / (300 + 100)),
    "3.2": 2 * 784 / (784 + 20) * 2 * 20 / (784 + 20),
    "3.3": np.log10(3 ** (29 / 2)),
    "4.1": np.sqrt(2 / (1 + 0.2**2) / 512),
    "4.2": np.sqrt(3) * np.sqrt(2 / (64 * 9)),
    "4.5": border(4),
    "5.1": 2 * mean_of(lambda z: np.maximum(z, 0)) ** 2,
    "5.2": 6 / np.log(1 / 0.9),
    "5.5": merging_layer(),
    "5.6": np.sqrt((2 ** (1 / 24) - 1) / 2),
    "5.7": selu_settles(1 / 0.9),
    "6.1": (6 - 3) / np.std([1, 2, 3, 6]),
    "6.2": np.sqrt(4 * 2 * 2 - 1),
    "6.4": np.ceil(np.log(0.001) / np.log(0.99)),
    "7.1": of_three(),
    "7.3": (1 / (1 - mean_of(np.abs) ** 2)) ** 0.5,
    "7.6": (5**2 + 0.5**2 * 300) / 5**2,
    "7.7": settles_in(),
    "7.8": TANH[0] / TANH[1] / 2,
    "8.1": 48 // 8 * 12 * 12,
    "8.2": (7 - 0.7) / np.std(NINE_ZEROS),
    "8.5": 0.5 ** (12 / 2),
    "8.6": np.sqrt((1 / 49) / (1 / 2)),
    "8.8": np.sqrt(TANH[0] / TANH[1]),
    "9.1": np.prod(np.full(12, 1.5)),
    "9.2": 2 ** len([22, 23, 24]),
    "9.3": (2**6) ** (1 / 24),
    "9.4": 4**2 / 4,
    "9.5": np.sqrt(3 / 64 * 96 / 127),
}
#: wrong turns whose value is found another way, and words of their sentence
FOUND_WRONG = [
    ("1.8", rounding_keeps(), "largest ratio"),
    ("1.8", np.sqrt(rounding_keeps()), "one over it"),
    ("1.8", 1 / rounding_keeps(), "take the root"),
    ("2.8", 1 / gelu_slope(), "weights keep"),
    ("2.8", np.sqrt(gelu_slope() - 1), "divide"),
    ("4.5", border(8), "that is for 8×8"),
    ("4.5", border(4, axes=1), "one axis"),
    ("4.5", border(3), "not at H"),
    ("4.5", border(4, axes=4), "mean square already"),
    ("5.5", merging_layer(layer=0), "number of steps"),
    ("5.7", 0.9 * selu_settles(1 / 0.9), "before the dropout"),
    ("5.7", selu_settles(1 / 0.9**2), "by its square"),
    ("6.1", 3 / np.std([1, 2, 3, 6], ddof=1), "unbiased variance"),
    ("6.1", 3 / np.var([1, 2, 3, 6]), "divide by the root"),
    ("7.1", 1 / np.std([1, 2, 6]), "as constants"),
    ("7.1", of_three() / np.std([1, 2, 6]), "divides by the variance"),
    ("7.8", TANH[0] / TANH[1], "half the exponent"),
    ("7.8", TANH[0] / 2, "and that divides"),
    ("8.2", 6.3 / np.std(NINE_ZEROS, ddof=1), "n − 1"),
    ("8.2", 7 / np.std(NINE_ZEROS), "before dividing"),
    ("8.8", np.sqrt(TANH[0]), "leaves out the norm"),
    ("8.8", np.sqrt(1 / TANH[1]), "slope of tanh"),
]


def test_every_answer_is_found_a_second_time():
    assert set(NUMBERS) <= set(FOUND) | set(SOLVED)


@pytest.mark.parametrize("number", FOUND)
def test_a_target_is_what_is_found_another_way(capsys, number):
    assert told(capsys, number, FOUND[number]).startswith("right: ")


@pytest.mark.parametrize(("number", "value", "words"), FOUND_WRONG)
def test_a_wrong_turn_is_what_is_found_another_way(capsys, number, value, words):
    sentence = told(capsys, number, value)
    assert sentence.startswith("not yet: ") and words in sentence


@pytest.mark.parametrize("number", NUMBERS)
def test_the_limits_of_a_number(capsys, number):
    """Right and each wrong turn, within their tolerance on both sides and not beyond."""
    row = ROWS[number]
    sentences = {row.target: f"right: {row.praise}"}
    sentences |= {turn: f"not yet: {why}" for turn, why in row.wrong.items()}
    assert len(sentences) == 1 + len(row.wrong) == len(set(sentences.values()))
    for value, sentence in sentences.items():
        for off in (-row.rtol, row.rtol):
            assert told(capsys, number, value * (1 + 0.9 * off)) == sentence
            if value:
                assert told(capsys, number, value * (1 + 1.1 * off)) != sentence


@pytest.mark.parametrize("number", NUMBERS)
def test_no_wrong_turn_is_hidden_by_another_or_by_the_target(number):
    row = ROWS[number]
    for one, other in combinations([row.target, *row.wrong], 2):
        assert abs(one - other) > row.rtol * (abs(one) + abs(other))


def test_one_percent_where_the_row_says_no_more(capsys):
    row = exercises.Number(100, "p", {}, "o")
    assert row.judge(100.99) == row.judge(99.01) == "p"
    for value in (101.01, 98.99):
        with pytest.raises(exercises.NotYet, match=r"^o$"):
            row.judge(value)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_may_come_in_any_form(capsys, number):
    value = float(ROWS[number].target)
    forms = [np.float64(value), np.float32(value), np.array(value), torch.tensor(value)]
    if value == int(value):
        forms += [int(value), np.int64(value)]
    assert all(told(capsys, number, form).startswith("right: ") for form in forms)


@pytest.mark.parametrize("number", NUMBERS)
def test_any_other_number_gets_a_hint(capsys, number):
    for value in (-12345.678, 1e30, np.nan, np.inf, -np.inf):
        assert told(capsys, number, value) == f"not yet: {ROWS[number].otherwise}"


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("answer", ["much", [1, 2], np.ones(3), object(), len, 1j])
def test_what_is_no_number_is_told_so(capsys, number, answer):
    sentence = told(capsys, number, answer)
    kind = type(answer).__name__
    assert sentence == f"not yet: a single number is asked for, and this is {kind}."


def test_every_sentence_is_one():
    for row in map(ROWS.get, NUMBERS):
        for text in [row.praise, row.otherwise, *row.wrong.values()]:
            assert len(text.split()) >= 3 and text.endswith(".") and "\n" not in text


# functions: changes of the chapter's own code


SCALE_8 = "(2 / x.shape[-1]) ** 0.5"
DEEP_NORM = "self.norm(self.alpha * x + gx)"
WINE = "return model, optimizer, (x - x.mean(0)) / x.std(0), y"
EVAL_DX = "return gamma * dy / std"
#: (exercise, what a reader does instead, words of the sentence that tells them); a string
#: is what replaces the text before it in the solution's cell
WRONG_TURNS = [
    ("1.3", ["limit / np.sqrt(2 * np.log(width))", "limit"], "largest entry"),
    ("1.3", ["2**-25", "2**-24"], "*half*"),
    ("1.3", ["width / 2 if relu else width", "width"], "ReLU has s√(n/2)"),
    ("1.3", ["np.ceil(", "("], "round up"),
    ("1.3", ["np.ceil(", "-0.3 + np.ceil("], "find g"),
    ("1.3", ["return np.inf", "return 1000"], "return inf, not 1000"),
    ("1.3", lambda *a: "soon", "is soon, not 21"),
    ("1.4", lambda delta, x: x.T @ delta, "transpose"),
    ("1.4", lambda delta, x: delta.T @ x / len(x), "mean over the batch"),
    ("1.4", lambda delta, x: 2 * delta.T @ x, "off by"),
    ("1.4", lambda delta, x: delta[:, :, None] * x[:, None], "should have shape (3, 2)"),
    ("1.6", ["np.abs(z)", "z"], "absolute value"),
    ("1.6", [" / signals.rms(z)", ""], "divide by the rms"),
    ("1.6", lambda n, rng: np.abs(rng.standard_normal(n)).max(), "divide by the rms"),
    ("1.6", lambda n, rng: np.sqrt(2 * np.log(n)), "about 3.8"),
    ("2.3", lambda out, inputs, k, stride, groups: inputs * k**2, "two numbers"),
    ("2.3", lambda out, inputs, k, s, g: (out * k**2, inputs * k**2), "fan_in should be"),
    ("2.3", [" / stride**2", ""], "stride"),
    ("2.3", ["stride**2", "stride"], "both axes"),
    ("2.3", [" // groups", ""], "one group only"),
    ("2.3", ["out // groups", "out"], "an input reaches one group"),
    ("3.4", ["sqrt(6", "sqrt(2"], "standard deviation"),
    ("3.4", ["k**2", "k"], "k² entries"),
    ("3.4", ["(inputs + out) / groups", "(inputs / groups + out)"], "only the fan-in"),
    ("3.4", [" / groups", ""], "divide both fans"),
    ("3.4", ["k**2 * (inputs + out) / groups", "inputs + out"], "times kernel area"),
    ("3.4", lambda *a: 1.0, "should be"),
    ("3.6", lambda W: 2 * W, "return two arrays"),
    ("3.6", ["return 2 * W", "return W"], "weights are 2W"),
    ("3.6", ["return 2 * W", "return 3 * W"], "weights has the right shape"),
    ("3.6", ["-2 * mean", "0"], "the mean stays"),
    ("3.6", ["axis=1", "axis=0"], "a row of W"),
    ("3.6", ["-2 * mean", "2 * mean"], "taken *away*"),
    ("3.6", ["-2 * mean", "-mean"], "multiplied by 2"),
    ("3.6", ["-2 * mean", "-1.0"], "the sigmoid's mean"),
    ("3.6", ["-2 * mean", "-2 * np.log(2)"], "softplus at 0"),
    ("3.6", ["return 2 * W", "return np.multiply(W, 2, out=W)"], "return new arrays"),
    ("4.4", lambda widths, mode: 1.0, "two numbers"),
    ("4.4", ["pairwise(widths[1:])", "pairwise(widths)"], "without W¹"),
    ("4.4", ["return up, down", "return down, up"], "forward comes first"),
    ("4.4", ["return up, down", "return up**0.5, down**0.5"], "not their roots"),
    ("4.4", ["return up, down", "return 1 / up, 1 / down"], "upside down"),
    ("4.4", ["(fan_in + fan_out) / 2", "fan_in"], "the mean of both fans"),
    ("4.4", lambda widths, mode: (7, 7), "over the layers 2 to L"),
    ("5.3", ["return variance**0.5, ", "return "], "two numbers"),
    ("5.3", ["return variance**0.5", "return variance"], "that is σ_w²"),
    ("5.3", ["return variance**0.5", "return theory.second_moment(name, q) ** -0.5"],
        "not φ²"),
    ("5.3", ["return variance**0.5", "return 1.234"], "σ_w is not the one"),
    ("5.3", lambda *a: solutions.answer("5.3")(*a)[::-1], "weights come first"),
    ("5.3", lambda name, q: solutions.answer("5.3")(name, 1.0), "q, not 1"),
    ("5.3", ["(name, q)) ** 0.5", "(name, q))"], "that is σ_b²"),
    ("5.3", ["(q - variance", "0 * (q - variance"], "σ_b should be"),
    ("6.3", lambda shape: shape[1], "three numbers"),
    ("6.3", ["2 * channels", "channels"], "two of each"),
    ("6.3", ["return 2 * channels,", "return channels,"], "two of each"),
    ("6.3", [" * int(np.prod(trailing))", ""], "trailing axes"),
    ("6.3", ["channels, samples *", "channels + 1, samples *"], "num_batches_tracked"),
    ("6.3", ["samples * int(np.prod(trailing))", "np.prod(shape)"], "not averaged over"),
    ("6.3", ["return 2 * channels", "return 2 * np.prod(shape[1:])"], "one a position"),
    ("6.3", ["2 * channels", "2"], "one number a channel"),
    ("6.3", lambda s: (7, 7, 7), "yours is (7.0, 7.0, 7.0)"),
    ("6.6", lambda W, *rest: W, "two arrays"),
    ("6.6", ["b + W @ (beta - s * mean)", "s * (b - mean) + beta"], "(6.10)"),
    ("6.6", ["s * mean", "mean"], "scaled as x is"),
    ("6.6", ["W @", "(W * s) @"], "already holds s"),
    ("6.6", ["W * s,", "W * s[:, None],"], "columns of W"),
    ("6.6", ["var + eps", "var"], "eps is added"),
    ("6.6", ["np.sqrt(var + eps)", "(var + eps)"], "the root of var"),
    ("6.6", ["W * s,", "(W * s).T,"], "W' has the right shape, but an entry is off"),
    ("6.6", ["b + W @ (beta - s * mean)", "b"], "b' has the right shape, but an entry"),
    ("6.6", ["b + W @", "W @"], "own bias"),
    ("6.6", [" - s * mean", ""], "running mean"),
    ("6.6", ["W @ (", "("], "passes through W"),
    ("6.7", ["return mean, ", "return "], "two numbers"),
    ("6.7", ["mean = np.average(means, weights=counts)", "mean = np.mean(means)"],
        "weigh each device"),
    ("6.7", ["mean = np.average(means, weights=counts)", "mean = np.sum(means)"],
        "the mean should be"),
    ("6.7", [" + (means - mean) ** 2", ""], "scatter"),
    ("6.7", ["variances + (means - mean) ** 2", "variances + np.var(means)"],
        "weigh the squared"),
    ("6.7", ["return mean, ", "return mean, 30 / 29 * "], "biased one"),
    ("6.7", ["(means - mean) ** 2", "means**2"], "mean square"),
    ("6.7", ["return mean, ", "return mean, 7 * "], "the variance should be"),
    ("7.4", ["gamma * dy / std, ", ""], "three arrays"),
    ("7.4", [EVAL_DX, "return gamma * dy / np.sqrt(running_var)"], "under the root"),
    ("7.4", [EVAL_DX, "return dy / std"], "γ scales"),
    ("7.4", [EVAL_DX, "return gamma * (dy - dy.mean(0)) / std"], "training mode"),
    ("7.4", [EVAL_DX, "g = gamma * dy\n    return (g - g.mean(0) - xhat * (g * xhat)"
        ".mean(0)) / std"], "training mode"),
    ("7.4", [EVAL_DX, "return gamma * dy / np.sqrt(x.var(0) + eps)"], "batch's variance"),
    ("7.4", [EVAL_DX, "return dy[0]"], "dx should have shape"),
    ("7.4", ["(dy * xhat)", "(dy * (x - x.mean(0)) / np.sqrt(x.var(0) + eps))"],
        "the batch's x̂"),
    ("7.4", ["dy * xhat", "dy * x"], "not x"),
    ("7.4", [", dy.sum", ", dy.mean"], "a sum over the batch"),
    ("7.4", [", dy.sum", ", 2 * dy.sum"], "Differentiate y"),
    ("7.5", ["dy - y * (dy * y).mean(axis=0)", "dy"], "as a constant"),
    ("7.5", ["(dy - y", "(dy - dy.mean(0) - y"], "no mean was subtracted"),
    ("7.5", ["    s =", "    x, dy = x - x.mean(0), dy - dy.mean(0)\n    s ="],
        "that is batch norm"),
    ("7.5", [".mean(axis=0)) / s", ".mean(axis=0))"], "at the end"),
    ("7.5", ["y).mean", "y).sum"], "not a sum"),
    ("7.5", ["y = x / s", "y = x / np.sqrt((x**2).mean(axis=0))"], "with eps"),
    ("7.5", ["return (", "return dy[0] + 0 * ("], "entry is off"),
    ("7.5", lambda dy, x, eps: dy[0], "dx should have shape (6, 3), yours has (3,)"),
    ("7.5", ["return (", "return 2 * ("], "quotient rule"),
    ("7.5", ["y = x / s", "y = x"], "y twice"),
    ("8.3", ["    r =", "    x, dy = (a - a.mean(1, keepdims=True) for a in (x, dy))\n"
        "    r ="], "layer norm's"),
    ("8.3", ["dy - y * (dy * y).mean(axis=1, keepdims=True)", "dy"], "as a constant"),
    ("8.3", ["(dy - y", "(dy - dy.mean(1, keepdims=True) - y"], "none in the backward"),
    ("8.3", ["y = x / r", "y = x"], "not along x"),
    ("8.3", ["y).mean", "y).sum"], "not a sum"),
    ("8.3", ["True)) / r", "True))"], "divide by the rms"),
    ("8.3", ["return (", "return 2 * ("], "off by"),
    ("8.3", lambda dy, x: dy[0], "should have shape"),
    ("8.4", ["normalize(x, 1)", "normalize(x, (1, 2, 3))"], "each pixel has its own"),
    ("8.4", ["normalize(x, 1)", "normalize(x, 3)"], "not the last"),
    ("8.4", ["normalize(x, 1)", "normalize(x, (2, 3))"], "instance norm"),
    ("8.4", ["normalize(x, 1)", "normalize(x, (0, 2, 3))"], "batch norm"),
    ("8.4", ["normalize(x, 1)", "normalize(x, 1, eps=0)"], "is missing"),
    ("8.4", ["normalize(x, 1)", "2 * normalize(x, 1)"], "off by"),
    ("8.4", lambda x: x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5), "that is RMSNorm"),
    ("8.4", lambda x: centred(x) / np.sqrt(x.var(1, ddof=1, keepdims=True) + 1e-5),
        "is biased"),
    ("8.4", lambda x: centred(x) / (x.std(1, keepdims=True) + 1e-5), "inside the root"),
    ("9.7", ["np.where(np.isnan(losses), np.inf, losses)", "losses"], "infinite"),
    ("9.7", ["np.inf, losses)", "99, losses)", "np.median", "np.mean"], "not the mean"),
    ("9.7", ["np.inf, losses)", "np.nan, losses)", "median", "nanmedian"], "infinite"),
    ("9.7", ["return rates[i]", "return i"], "not its place"),
    ("9.7", ["argmin", "argmax", "i in (0, len(rates) - 1)", "False"], "smallest median"),
    ("9.7", ["i in (0, len(rates) - 1)", "i == 0"], "ValueError"),
    ("9.7", ["i in (0, len(rates) - 1)", "i == len(rates) - 1"], "ValueError"),
    ("9.8", lambda W1, W2: W1, "two matrices"),
    ("9.8", ["a[:, None] * W1, W2 / a", "W1, W2"], "not equal yet"),
    ("9.8", ["a[:, None] * W1, W2 / a", "W1 / a[:, None], W2 * a"], "not equal yet"),
    ("9.8", ["W2 / a", "W2"], "has changed"),
    ("9.8", ["np.sqrt", ""], "not the ratio"),
    ("9.8", ["return a", "a = np.full(len(a), 2.0)\n    return a"], "its own factor"),
    ("9.8", lambda W1, W2: (W1.T, W2), "W1 should have shape"),
    ("9.8", lambda W1, W2: (W1, W2.T), "W2 should have shape"),
    ("10.1", ["zeros_(readout.weight)", "normal_(readout.weight)"], "no norm divides by"),
    ("10.1", ['kaiming_normal_(hidden.weight, nonlinearity="relu")',
        "zeros_(hidden.weight)"], "look alike"),
    ("10.1", ["zeros_(readout.weight)", "kaiming_normal_(readout.weight)"], "cost s²/2"),
    ("10.1", ["nn.init.zeros_(readout.bias)", "readout.requires_grad_(False)"],
        "80 steps later still 2.3"),
    ("10.1", lambda width: width, "should be a torch.nn.Module, yours is int"),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "xavier_normal_(layer.weight)"], "leaves 1/√2"),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "zeros_(layer.weight)"], "smaller"),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "normal_(layer.weight, 0, 0.165)"], "signal smaller"),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "normal_(layer.weight, 0, 0.5)"], "larger"),
    ("10.2", lambda depth: depth, "should be a torch.nn.Module"),
    ("10.3", lambda out, n, rng: rng.uniform(-1, 1, (out, n)) * np.sqrt(2 / n),
        "√3 times larger"),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(2 / out), (out, n)), "second"),
    ("10.3", lambda out, n, rng: rng.uniform(-1, 1, (out, n)) * np.sqrt(18 / out),
        "uniform bound with the fan-out"),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(1 / n), (out, n)), "half out"),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(2 / (n + out)), (out, n)), "Xavier"),
    ("10.3", lambda out, n, rng: rng.normal(0, 2 / n, (out, n)), "take the root"),
    ("10.3", lambda out, n, rng: rng.normal(0, 1, (out, n)), "by half of it"),
    ("10.3", lambda out, n, rng: rng.uniform(0, 1, (out, n)), "have a mean"),
    ("10.3", lambda out, n, rng: np.zeros((out, n)), "zero"),
    ("10.3", lambda out, n, rng: rng.normal(size=(n, out)), "shape"),
    ("10.4", ["std=1 / width, scale=width", "std=width**-0.5, scale=width**0.5"],
        "√d = 16"),
    ("10.4", ["std=1 / width, scale=width", "std=0.02, scale=1"], "has lost it"),
    ("10.4", ["scale=width", "scale=0"], "has lost it"),
    ("10.4", ["std=1 / width, scale=width", "std=0.02, scale=50"],
        "at width 512 the first loss is 1"),
    ("10.4", ["std=1 / width", "std=0"], "has lost it"),
    ("10.4", lambda v, d: nn.Sequential(nn.Embedding(v, d), nn.Linear(d, v)), "one matrix"),
    ("10.4", lambda v, d: 3, "should be a torch.nn.Module"),
    ("10.5", ["not isinstance(after, nn.BatchNorm1d)", "False"], "without a norm"),
    ("10.5", ["not isinstance(after, nn.BatchNorm1d)", "isinstance(after, nn.Identity)"],
        "in front of layer norm the bias is alive"),
    ("10.5", ["not isinstance", "isinstance"], "upside down"),
    ("10.5", ["bias=bias), after", "bias=bias)"], "lost its norm"),
    ("10.5", lambda n, m, norm: norm(m), "one nn.Linear"),
    ("10.5", lambda n, m, norm: nn.Sequential(nn.Linear(n, n), norm(m)), "from 8 units"),
    ("10.5", lambda n, m, norm: 3, "should be a torch.nn.Module"),
    ("10.6", ["p for p in model.parameters() if p.ndim >= 2",
        "p for name, p in model.named_parameters() if 'bias' not in name",
        "p for p in model.parameters() if p.ndim < 2",
        "p for name, p in model.named_parameters() if 'bias' in name"], "is called weight"),
    ("10.6", ["weight_decay=0.1", "weight_decay=0.0"], "does not decay"),
    ("10.6", ["ndim >= 2", "ndim == 2", "ndim < 2", "ndim != 2"], "does not decay"),
    ("10.6", [', {"params": others, "weight_decay": 0.0}', ""], "not trained at all"),
    ("10.6", ["AdamW", "Adam"], "divides by its size"),
    ("10.6", lambda model: model, "torch optimizer"),
    ("10.7", [DEEP_NORM, "self.alpha * x + gx"], "norm is missing"),
    ("10.7", [DEEP_NORM, "x + self.alpha * gx"], "weighed by α, and the norm"),
    ("10.7", [DEEP_NORM, "self.norm(self.alpha * (x + gx))"], "both sides"),
    ("10.7", [DEEP_NORM, "self.alpha * self.norm(x) + gx"], "sum, not on x"),
    ("10.7", [DEEP_NORM, "self.alpha * x + self.norm(gx)"], "not on the branch"),
    ("10.7", [DEEP_NORM, "self.alpha * self.norm(x + gx)"], "inside the norm"),
    ("10.7", [DEEP_NORM, "self.norm(self.alpha * x) + gx"], "norm of αx alone"),
    ("10.7", [DEEP_NORM, "x + self.norm(self.alpha * gx)"], "α beside x"),
    ("10.7", [DEEP_NORM, "self.norm(x) + self.norm(gx)"], "term by term"),
    ("10.7", ["nn.LayerNorm(width)", "nn.LayerNorm(width, elementwise_affine=False)"],
        "γ and β"),
    ("10.7", [DEEP_NORM, DEEP_NORM + "[0]"], "shape"),
    ("10.7", lambda width, alpha: width, "should be a torch.nn.Module"),
    ("10.8", [SCALE_8, "1", "half", "bfloat16"], "bfloat16 is not finite"),
    ("10.8", ["half()", "float()"], "mend the scale, in float16"),
    ("10.8", [SCALE_8, "1", "W.half().T)", "W.half().T).clamp(max=65504)"],
        "float16's end"),
    ("10.8", [SCALE_8, "0"], "the same output"),
    ("10.8", [SCALE_8, "x.shape[-1] ** -0.5"], "the half that ReLU takes"),
    ("10.8", [SCALE_8, "1.65 / x.shape[-1] ** 0.5"], "on its way"),
    ("10.8", lambda x, depth: depth, "a tensor"),
    ("10.9", lambda n, m, rng: np.array_split(rng.permutation(n), -(-n // m)),
        "a batch of one"),
    ("10.9", ["rng.permutation(samples)", "np.arange(samples)"],
        "all epochs have one order"),
    ("10.9", ["permutation(samples)", "permutation(samples - samples % batch_size)"],
        "batches of 4: 1 never came"),
    ("10.9", lambda n, m, rng: [rng.integers(n, size=m) for _ in range(n // m)], "twice"),
    ("10.9", ["batch_size)]", "batch_size)][:-1]"], "more is left out"),
    ("10.9", lambda n, m, rng: [rng.permutation(n)], "too large"),
    ("10.9", ["return [", "return [order[:0]] + ["], "is empty"),
    ("10.9", lambda n, m, rng: [], "is empty"),
    ("10.9", ["order[i", "1 + order[i"], "between 0 and 1436"),
    ("10.10", ["nn.LayerNorm(width)", "nn.BatchNorm1d(width, track_running_stats=False)"],
        "cross the batch"),
    ("10.10", ["nn.LayerNorm(width)", "nn.BatchNorm1d(width, momentum=0.01)"], "cross"),
    ("10.10", ["nn.LayerNorm(width)", "nn.Identity()"], "nothing is normalized"),
    ("10.10", ["nn.LayerNorm(width)", "nn.GroupNorm(width, width)"], "a group of one"),
    ("10.10", ["nn.ReLU()", "nn.Identity()"], "the ReLU belongs"),
    ("10.10", ["    return", "    width += 1\n    return"], "values a sample"),
    ("10.11", ["len(x)", "(len(x_part) * parts)"], "weigh each part"),
    ("10.11", ["model.zero_grad()", "pass"], "start at zero"),
    ("10.11", ["loss / len(x)", "loss"], "30 times the length"),
    ("10.11", ["model.parameters()])", "model.parameters()])[:-1]"], "in one vector"),
    ("10.11", ["chunk(parts)", "chunk(1)"], "a batch of 30 of 30"),
    ("10.12", ["model.eval()", "model[1].eval()"], "dropout is still on"),
    ("10.12", ["model.eval()", "model[3].eval()"], "statistics moved"),
    ("10.12", ["module.training = mode", "pass"], "was found in training"),
    ("10.12", ["module.training = mode", "module.training = True"], "was found in eval"),
    ("10.12", ["module.training = mode", "model.train(modes[model])"], "found frozen"),
    ("10.12", ["return answer", "return answer * 0"], "not those of eval"),
    ("10.12", lambda m, x: m.eval()(x), "64 classes"),
    ("10.13", ["nn.ReLU()]\n    return", "nn.ReLU(), nn.Dropout(1 - keep)]\n    return"],
        "before a norm"),
    ("10.13", ["nn.BatchNorm1d(width), nn.ReLU()]\n    return",
        "nn.Dropout(1 - keep), nn.BatchNorm1d(width), nn.ReLU()]\n    return"],
        "before a norm"),
    ("10.13", [", nn.Dropout(1 - keep))", ")"], "no dropout"),
    ("10.13", ["nn.BatchNorm1d(width)", "nn.Identity()"], "no norm"),
    ("10.13", ["range(depth)", "range(depth - 1)"], "yours are 2 and 2"),
    ("10.13", ["nn.BatchNorm1d(width), nn.ReLU()]\n    return", "nn.ReLU()]\n    return"],
        "yours are 3 and 1"),
    ("10.13", ["    layers = ", "    width += 1\n    layers = "], "256 values"),
    ("10.14", ["backbone.eval()", "backbone[1].momentum = 0.0"],
        "training uses the batch's"),
    ("10.14", ["model.train()", "model.eval()"], "the head's dropout"),
    ("10.14", ["backbone.requires_grad_(False)", "pass", "head.par", "model.par"],
        "weights have been trained"),
    ("10.14", ["backbone.requires_grad_(False)", "backbone[0].requires_grad_(False)",
        "head.parameters()", "[*backbone[1].parameters(), *head.parameters()]"], "γ and β"),
    ("10.14", ["(), rate)", "(), 0.0)"], "has not been trained"),
    ("10.14", ["        optimizer.step()", "        backbone[1].running_var += 0.1"],
        "has not been trained"),
    ("10.14", ["optimizer.step()", "optimizer.step()\n    backbone[1].running_var += 0.1"],
        "a running variance of the backbone"),
    ("10.15", ["        self.norm_a", "        self.second = nn.Linear(fan_in, width)\n"
        "        self.norm_a"], "should share one"),
    ("10.15", ["nn.BatchNorm1d(width)", "nn.BatchNorm1d(width, track_running_stats=False)"],
        "depends on the company"),
    ("10.15", ["nn.BatchNorm1d(width)", "nn.Identity()"], "not normalized"),
    ("10.15", ["return self.norm_a(self.linear(a)),", "return"], "should return two views"),
    ("10.16", ["x.float() if x.dtype in (torch.float16, torch.bfloat16) else x", "x"],
        "comes out as zeros"),
    ("10.16", [".to(x.dtype)", ""], "float16 came in, and torch.float32"),
    ("10.16", ["    wide =", "    x = x.float()\n    wide ="], "float64 came in"),
    ("10.16", ["(centred**2).mean(-1, keepdim=True)", "centred.var(-1, keepdim=True)"],
        "come out otherwise"),
    ("10.16", [".to(x.dtype)", ".to(x.dtype).sum(-1)"], "should stay one"),
    ("10.16", [".to(x.dtype)", ".to(x.dtype) * (1.1 if x.dtype == torch.half else 1)"],
        "size 1000 is off"),
    ("11.1", [WINE, "return model, torch.optim.SGD(model.parameters(), 5e-4), x, y"],
        "look at x"),
    ("11.1", ["(x - x.mean(0)) / x.std(0)", "(x - x.mean()) / x.std()"], "one by one"),
    ("11.1", [WINE, "return model"], "return model, optimizer, x, y"),
    ("11.1", [WINE, "return model, optimizer, x"], "return model, optimizer, x, y"),
    ("11.1", ["return model,", "return 3,"], "should be the model"),
    ("11.1", ["return model, optimizer", "return model, 0.05"], "should be the optimizer"),
    ("11.2", ["he_(model), optimizer",
        "model, torch.optim.SGD(model.parameters(), 0.1, 0.9)"], "signal and spread"),
    ("11.2", ["he_(model), optimizer",
        "he_(model), torch.optim.SGD(model.parameters(), 0.1, 0.9)"], "momentum"),
    ("11.2", ["he_(model)", "nn.Linear(64, 10)"], "another model"),
    ("11.2", ["he_(model)", "model[:14]"], "yours has 7"),
    ("11.3", ["nn.init.normal_(model.tokens.weight, std=0.02)",
        "optimizer = torch.optim.Adam(model.parameters(), 1e-5)"], "share"),
    ("11.3", ["return model, optimizer",
        "return model, torch.optim.Adam(model.parameters(), 1e-6)"], "too low"),
    ("11.3", ["nn.init.normal_(model.tokens.weight, std=0.02)",
        "optimizer = torch.optim.Adam(model.parameters(), 1e-2)"], "hides the cause"),
    ("11.4", ["nn.init.zeros_(block.down.weight)",
        "optimizer = torch.optim.SGD(model.parameters(), 1e-5)"], "the one about the rate"),
    ("11.5", ["return model,", "return he_(model),", "lr=1e-3", "lr=0.1"],
        "before the first step"),
    ("11.5", ["lr=1e-3", "lr=1e-6"], "too low"),
    ("11.5", ["return model, torch.optim.Adam(model.parameters()",
        "return model, torch.optim.Adam(nn.Linear(2, 2).parameters()"], "another model"),
    ("11.6", ["model.train(), optimizer",
        "model, torch.optim.SGD(model.parameters(), 1e-3, 0.9)"], "training=True"),
    ("11.6", ["model.train(), optimizer",
        "model.train(), torch.optim.SGD(model.parameters(), 100.0, 0.9)"],
        "lr large (chapter 9)"),
    ("11.7", ["not torch.isfinite(output).all()", "output.isnan().any()"], "infinite"),
    ("11.7", [" if not list(m.children())", "", "bad[0]", "bad[-1]"], "children"),
    ("11.7", ["bad[0]", "bad[-1]"], "infinite is not"),
    ("11.7", ["handle.remove()", "pass"], "hooks are left on the"),
    ("11.7", ["    try:\n        model(x)\n    finally:", "    model(x)\n    if True:"],
        "in finally"),
    ("11.7", ["return bad[0]", "return min(bad, key=[n for n, _ in leaves].index)"],
        "of execution"),
    ("11.7", ["bad[0] if bad", "'0' if bad"], "yours is '0'"),
    ("11.7", lambda m, x: "0", "None"),
]  # fmt: skip
#: (exercise, solved or as it is handed out, another mend that is right)
OTHER_MENDS = [
    ("10.3", False, ["np.sqrt(6 / fan_in)", "np.sqrt(2 / fan_in)"]),
    ("10.7", True, [DEEP_NORM, "self.norm(x + gx / self.alpha)"]),
    ("10.9", True, ["range(0, whole", "range(0, samples - 1"]),
    ("10.9", True, ["return ", "return np.split(order, range(batch_size, samples - 1, "
        "batch_size)) or "]),
    ("10.10", True, ["nn.LayerNorm(width)", "nn.GroupNorm(4, width)"]),
    ("10.10", True, ["nn.LayerNorm(width)", "nn.RMSNorm(width)"]),
    ("10.13", False, ["nn.BatchNorm1d", "nn.LayerNorm"]),
    ("10.15", False, ["nn.BatchNorm1d", "nn.LayerNorm"]),
    ("10.15", True, ["self.norm_a(self.linear(a)), self.norm_b(self.linear(b))",
        "self.norm_a(self.linear(torch.cat([a, b]))).split([len(a), len(b)])"]),
    ("10.16", True, ["    wide =", "    if x.ndim > 1:\n"
        "        return torch.stack([by_hand(row) for row in x])\n    wide ="]),
    ("10.16", True, ["    wide =", "    return F.layer_norm(x, x.shape[-1:])\n    wide ="]),
]  # fmt: skip


def centred(x):
    return x - x.mean(1, keepdims=True)


def pairs(texts):
    return zip(texts[::2], texts[1::2], strict=True)


@pytest.mark.parametrize(("number", "turn", "words"), WRONG_TURNS)
def test_a_wrong_turn_is_told_which_one_it_is(capsys, number, turn, words):
    answer = turn if callable(turn) else solutions.answer(number, *pairs(turn))
    sentence = told(capsys, number, answer)
    assert sentence.startswith("not yet: ") and words in sentence


@pytest.mark.parametrize(("number", "solved", "turn"), OTHER_MENDS)
def test_another_mend_is_right_too(capsys, number, solved, turn):
    answer = solutions.answer(number, *pairs(turn), solved=solved)
    assert told(capsys, number, answer).startswith("right: ")


#: (exercise, which of its results, the tolerance): 1.6 is a mean over generators
TOLERANCES = [
    ("1.3", None, 1e-9), ("1.4", None, 1e-6), ("1.6", None, 0.02), ("2.3", 0, 1e-9),
    ("2.3", 1, 1e-9), ("3.4", None, 1e-6), ("3.6", 0, 1e-6), ("3.6", 1, 1e-6),
    ("4.4", 0, 1e-9), ("4.4", 1, 1e-9), ("5.3", 0, 1e-6), ("5.3", 1, 1e-5),
    ("6.6", 0, 1e-6), ("6.6", 1, 1e-6), ("6.7", 0, 1e-9), ("6.7", 1, 1e-9),
    ("7.4", 0, 1e-6), ("7.4", 1, 1e-6), ("7.4", 2, 1e-6), ("7.5", None, 1e-6),
    ("8.3", None, 1e-6), ("8.4", None, 1e-6), ("9.7", None, 1e-9),
]  # fmt: skip


@pytest.mark.parametrize(("number", "part", "rtol"), TOLERANCES)
def test_the_limits_of_a_function(capsys, number, part, rtol):
    solution = solutions.answer(number)
    for off, verdict in ((0.9, "right: "), (1.1, "not yet: ")):
        for factor in (1 + off * rtol, 1 - off * rtol):

            def answer(*given, factor=factor):
                result = solution(*given)
                if part is None:
                    return result * factor
                return [r * factor if i == part else r for i, r in enumerate(result)]

            assert told(capsys, number, answer).startswith(verdict)


@pytest.mark.parametrize("number", FUNCTIONS)
def test_a_value_instead_of_a_function_is_told_so(capsys, number):
    cell = solutions.cells(number.split(".")[0])[solutions.find(number, solved=False)][0]
    call = f'check.exercise("{number}", {solutions.call(cell)[1]})'
    for answer in (3.0, "f", np.ones(2)):
        sentence = told(capsys, number, answer)
        assert sentence == f"not yet: pass the function itself, without brackets: {call}"


@pytest.mark.parametrize("number", FUNCTIONS)
def test_a_function_that_raises_is_reported_not_raised(capsys, number):
    def fails(*_):
        return {}["width"]

    def other(*_):
        raise ZeroDivisionError("division by zero")

    sentence = told(capsys, number, fails)
    assert sentence == "not yet: your answer raised KeyError: 'width'"
    sentence = told(capsys, number, other)
    assert sentence == "not yet: your answer raised ZeroDivisionError: division by zero"
    if number in BUILDERS:
        return  # they have no arguments to be wrong
    sentence = told(capsys, number, lambda: 0)
    assert re.match("not yet: your answer raised TypeError: .*argument", sentence)


@pytest.mark.parametrize("number", FUNCTIONS)
@pytest.mark.parametrize("value", [None, np.nan, -1.0, "a", (), np.zeros(2)])
def test_a_function_that_returns_nonsense_is_not_right(capsys, number, value):
    assert told(capsys, number, lambda *_: value).startswith("not yet: ")


# check.exercise itself


def bare(x): ...


def passes(x):
    pass


def documented(x):
    """Say where it ends."""
    ...  # noqa: PIE790


def only_a_docstring(x):
    """Say where it ends."""


def returns_documented(std, width, relu=True, *rest, **more):
    """Say where it ends."""
    return ...


def returns_none(x):
    return None


STUBS = [..., None, bare, passes, documented, only_a_docstring, returns_documented,
    returns_none, lambda: ..., lambda n, rng: ..., lambda x: None]  # fmt: skip


@pytest.mark.parametrize("number", ALL)
def test_no_answer_yet(capsys, number):
    for answer in STUBS:
        sentence = told(capsys, number, answer)
        assert sentence == "waits for your answer: replace the ... and run it again."


def nothing(x, kept=...):
    return kept


def by_name(x):
    return nothing


def after_work(x):
    x.sort()
    return None


def sometimes(x):
    if x:
        return ...


def a_generator(x):
    yield ...


@pytest.mark.parametrize(
    "answer",
    [nothing, by_name, after_work, sometimes, a_generator, lambda x: 0, lambda x: "...",
     lambda x: (...,), lambda x: False, lambda x: x, len, np.sqrt, nn.Identity, str],
)  # fmt: skip
def test_what_does_anything_is_an_answer(capsys, answer):
    assert told(capsys, "1.4", answer).startswith("not yet: ")


def test_a_reader_who_interrupts_is_obeyed():
    def endless(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check.exercise(FUNCTIONS[0], endless)


@pytest.mark.parametrize(
    "number", ["0.1", "1", "1.9", "1.10", "10.17", "12.1", "01.1", "", 1.1, None, ["1.1"]]
)
def test_an_unknown_exercise_is_told_how_one_is_named(number):
    with pytest.raises(ValueError, match=r"such as '1\.2'") as error:
        check.exercise(number, 1)
    assert repr(number) in str(error.value)

"""Every exercise knows its solution, and each usual wrong turn by its own sentence."""

import random
import re
import sys
from importlib import import_module
from itertools import combinations

import numpy as np
import pytest
import solutions
import torch
import torch.nn.functional as F
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


@pytest.fixture
def loaded_anew(monkeypatch):
    """What a chapter's judges compute while they load, they compute in the test."""
    for name in exercises.CHAPTERS.values():
        monkeypatch.delitem(sys.modules, name)


# the answers that stand in the chapters


def test_every_row_has_its_exercise():
    kept = [n for name in exercises.CHAPTERS.values() for n in import_module(name).CHECKS]
    assert kept == ALL and None not in ROWS.values()
    assert len(NUMBERS) == 55 and len(FUNCTIONS) == 41
    assert set(FUNCTIONS) <= set(SOLVED)


@pytest.mark.parametrize("number", ALL)
def test_an_exercise_as_it_is_handed_out_is_told_what_the_chapter_shows(capsys, number):
    answer = solutions.answer(number, solved=False)
    said = told(capsys, number, answer)
    assert f"{number} {said}" == solutions.said(number, solved=False)
    assert said.startswith(("waits for your answer: replace the ...", "not yet: "))


@pytest.mark.parametrize("number", SOLVED)
@pytest.mark.usefixtures("loaded_anew")
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
    "2.1": 0.01 * (4 + 3**2),
    "2.2": mean_of(lambda z: np.maximum(z, 0) ** 4) ** -0.5,
    "2.4": np.sqrt(2 / 1.2**2 - 1),
    "2.6": next(n for n in range(1, 999) if 1.96 * np.sqrt(500 / n) <= np.log(10)),
    "2.8": np.sqrt(1 - 1 / gelu_slope()),
    "3.1": 0.1 / np.sqrt(3) / np.sqrt(2 / (300 + 100)),
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
    ("2.6", 362, "round up"),
    ("2.6", 5 * 100 * (1.96 / np.log(10)) ** 2, "whole number"),
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
@pytest.mark.usefixtures("loaded_anew")
def test_a_target_is_what_is_found_another_way(capsys, number):
    assert told(capsys, number, FOUND[number]).startswith("right: ")


@pytest.mark.parametrize(("number", "value", "words"), FOUND_WRONG)
@pytest.mark.usefixtures("loaded_anew")
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


@pytest.mark.parametrize(
    ("answer", "part"),
    [(7.157, "29 steps"), (7.2, "29 steps"), (13.8, "mean square"), (14, "mean square")],
)
def test_two_digits_are_enough_to_be_told_the_wrong_turn(capsys, answer, part):
    assert part in told(capsys, "3.3", answer)


def test_every_sentence_is_one():
    for row in map(ROWS.get, NUMBERS):
        for text in [row.praise, row.otherwise, *row.wrong.values()]:
            assert len(text.split()) >= 3 and text.endswith(".") and "\n" not in text


# functions: changes of the chapter's own code


SCALE_8 = "(2 / x.shape[-1]) ** 0.5"
DEEP_NORM = "self.norm(self.alpha * x + gx)"
WINE = "return model, optimizer, (x - x.mean(0)) / x.std(0), y"
EVAL_DX = "return gamma * dy / std"
#: (exercise, what a reader does instead, the sentence that tells them); a string is what
#: replaces the text before it in the solution's cell, and … stands for measured digits
WRONG_TURNS = [
    ("1.3", ["limit / np.sqrt(2 * np.log(width))", "limit"],
        "gives_out(0.1, 512, True) is 24.0, not 21: start from the largest entry, √(2 "
        "log n), not from 1."),
    ("1.3", ["2**-25", "2**-24"],
        "gives_out(0.02, 512, True) is 16.0, not 17: what is below *half* of 2^-24 is "
        "rounded to zero; half of it is not yet."),
    ("1.3", ["width / 2 if relu else width", "width"],
        "gives_out(0.1, 512, True) is 13.0, not 21: ReLU has s√(n/2), a linear network "
        "s√n."),
    ("1.3", ["np.ceil(", "("],
        "gives_out(0.1, 512, True) is 20.9…, not 21: layers are whole; round up to the "
        "first one past the limit."),
    ("1.3", ["np.ceil(", "-0.3 + np.ceil("],
        "gives_out(0.1, 512, True) is 20.7, not 21: find g, then "
        "log(limit/start)/log(g), rounded up."),
    ("1.3", ["return np.inf", "return 1000"],
        "at g = 1 exactly the signal never gives out: return inf, not 1000."),
    ("1.3", lambda *a: "soon",
        "gives_out(0.1, 512, True) is soon, not 21: find g, then "
        "log(limit/start)/log(g), rounded up."),
    ("1.4", lambda delta, x: x.T @ delta,
        "that is its transpose: a weight is stored as (fan_out, fan_in)."),
    ("1.4", lambda delta, x: delta.T @ x / len(x),
        "that is the mean over the batch; the loss here is a sum over samples."),
    ("1.4", lambda delta, x: 2 * delta.T @ x,
        "the gradient has the right shape, but an entry is off by 1.84."),
    ("1.4", lambda delta, x: delta[:, :, None] * x[:, None],
        "the gradient should have shape (3, 2), yours has (4, 3, 2)."),
    ("1.6", ["np.abs(z)", "z"],
        "a large negative entry overflows too: take the absolute value first."),
    ("1.6", [" / signals.rms(z)", ""],
        "right for numbers of rms 1; divide by the rms to be right for all."),
    ("1.6", lambda n, rng: np.abs(rng.standard_normal(n)).max(),
        "right for numbers of rms 1; divide by the rms to be right for all."),
    ("1.6", lambda n, rng: np.sqrt(2 * np.log(n)),
        "at n = 4096 it should be about 3.8 on average, yours is 4.08."),
    ("1.8", lambda model: model,
        "a weight is as it was: change the model itself, in place, in every nn.Linear."),
    ("1.8", lambda model: setattr(model[0], "weight", nn.Parameter(torch.randn(9, 9))),
        "a weight should keep its shape."),
    ("1.8", ["normal_(0, ", "fill_("],
        "all weights of a layer are alike, so its units stay twins: draw them at random."),
    ("1.8", ["np.sqrt(2 /", "np.sqrt(1 /"],
        "s = 1/√n keeps a linear network; ReLU halves the mean square."),
    ("1.8", ["np.sqrt(2 /", "(2 /"],
        "2/n is the variance; normal_ takes the standard deviation, its root."),
    ("1.8", ["shape[1]", "shape[0]"],
        "n is the number of inputs: weight.shape is (fan_out, fan_in)."),
    ("1.8", ["np.sqrt(2 /", "np.sqrt(3 /"],
        "the weights of a layer with 256 inputs have std 0.108; s√(n/2) = 1 asks for "
        "0.088."),
    ("1.8", ["layer.bias.zero_()", "layer.bias.add_(0.1)"],
        "the biases are not zero yet: they alone reach the output, whatever the input."),
    ("2.3", lambda out, inputs, k, stride, groups: inputs * k**2,
        "conv_fans(64, 32, 3, 1, 1) should return two numbers, (fan_in, fan_out)."),
    ("2.3", lambda out, inputs, k, s, g: (out * k**2, inputs * k**2),
        "conv_fans(64, 32, 3, 1, 1): fan_in should be 288, yours is 576.0; channels "
        "times kernel area."),
    ("2.3", [" / stride**2", ""],
        "conv_fans(64, 32, 3, 2, 1): fan_out should be 144, yours is 576; the stride "
        "skips positions along both axes."),
    ("2.3", ["stride**2", "stride"],
        "conv_fans(64, 32, 3, 2, 1): fan_out should be 144, yours is 288; the stride "
        "skips positions along both axes."),
    ("2.3", [" // groups", ""],
        "conv_fans(64, 32, 3, 1, 4): fan_in should be 72, yours is 288.0; a unit sees "
        "one group only."),
    ("2.3", [" / stride**2", " // stride**2"],
        "conv_fans(10, 32, 3, 2, 1): fan_out should be 22.5, yours is 22; it is an "
        "average over pixels, so do not round it."),
    ("2.3", ["out // groups", "out"],
        "conv_fans(64, 32, 3, 1, 4): fan_out should be 144, yours is 576; an input "
        "reaches one group only."),
    ("3.4", ["sqrt(6", "sqrt(2"],
        "xavier_conv_limit(64, 32, 3, 1) is off: that is the standard deviation, a "
        "uniform's limit is √3 times it."),
    ("3.4", ["k**2", "k"],
        "xavier_conv_limit(64, 32, 3, 1) is off: the kernel has k² entries."),
    ("3.4", ["(inputs + out) / groups", "(inputs / groups + out)"],
        "xavier_conv_limit(64, 32, 3, 4) is off: groups divide both fans; PyTorch, "
        "reading the shape, divides only the fan-in."),
    ("3.4", [" / groups", ""],
        "xavier_conv_limit(64, 32, 3, 4) is off: groups divide both fans."),
    ("3.4", ["k**2 * (inputs + out) / groups", "inputs + out"],
        "xavier_conv_limit(64, 32, 3, 1) is off: a fan is channels times kernel area."),
    ("3.4", lambda *a: 1.0,
        "xavier_conv_limit(64, 32, 3, 1) should be √(6/(fan_in + fan_out)), fans are "
        "channels·k²/groups."),
    ("3.6", lambda W: 2 * W, "return two arrays, the weights and the biases."),
    ("3.6", ["return 2 * W", "return W"],
        "the softplus is multiplied by 2, and W is not: the weights are 2W."),
    ("3.6", ["return 2 * W", "return 3 * W"],
        "the matrix of weights has the right shape, but an entry is off by 2.33."),
    ("3.6", ["-2 * mean", "-3 * mean"],
        "the vector of biases has the right shape, but an entry is off by 3.52."),
    ("3.6", ["-2 * mean", "0"], "the biases are off: they are zero, so the mean stays."),
    ("3.6", ["axis=1", "axis=0"], "a bias belongs to a unit, a row of W: sum over axis 1."),
    ("3.6", ["-2 * mean", "2 * mean"],
        "the biases are off: the sign: the mean is taken *away*."),
    ("3.6", ["-2 * mean", "-mean"],
        "the biases are off: the mean is multiplied by 2 as well."),
    ("3.6", ["-2 * mean", "-1.0"],
        "the biases are off: ½ is the sigmoid's mean; softplus has another."),
    ("3.6", ["-2 * mean", "-2 * np.log(2)"],
        "the biases are off: log 2 is softplus at 0, not its mean."),
    ("3.6", ["return 2 * W", "return np.multiply(W, 2, out=W)"],
        "your function changes the W that it was given; return new arrays."),
    ("4.4", lambda widths, mode: 1.0,
        'two_ratios([50, 100, 300, 200], "fan_in") should return two numbers, forward '
        'and backward.'),
    ("4.4", ["zip(widths[1:-1], widths[2:]", "zip(widths[:-1], widths[1:]"],
        'two_ratios([50, 100, 300, 200], "fan_in"): backward should be 2, yours is 4.0; '
        'from layer 1 to layer L there are the matrices W² to W^L, without W¹.'),
    ("4.4", ["return up, down", "return down, up"],
        'two_ratios([50, 100, 300, 200], "fan_in"): forward should be 1, yours is 2.0; '
        'forward comes first.'),
    ("4.4", ["return up, down", "return up**0.5, down**0.5"],
        'two_ratios([50, 100, 300, 200], "fan_in"): backward should be 2, yours is '
        '1.41…; mean squares are asked for, not their roots.'),
    ("4.4", ["return up, down", "return 1 / up, 1 / down"],
        'two_ratios([50, 100, 300, 200], "fan_in"): backward should be 2, yours is 0.5; '
        'upside down: the signal grows by fan_in/fan, the gradient by fan_out/fan.'),
    ("4.4", ["(fan_in + fan_out) / 2", "fan_in"],
        'two_ratios([50, 100, 300, 200], "fan_avg"): forward should be 0.6, yours is '
        '1.0; divide by the mean of both fans, layer by layer.'),
    ("4.4", lambda widths, mode: (7, 7),
        'two_ratios([50, 100, 300, 200], "fan_in"): forward should be 1, yours is 7.0; '
        'multiply fan_in/fan (or fan_out/fan) over the layers 2 to L.'),
    ("5.3", ["return variance**0.5, ", "return "],
        "edge_point('tanh', 0.1) should return two numbers, (σ_w, σ_b)."),
    ("5.3", ["return variance**0.5", "return variance"],
        "edge_point('tanh', 0.1): that is σ_w², the variance; take the root."),
    ("5.3", ["return variance**0.5", "return theory.second_moment(name, q) ** -0.5"],
        "edge_point('tanh', 0.1): σ_w has φ'² in it, not φ²: χ = 1 is about slopes."),
    ("5.3", ["return variance**0.5", "return 1.234"],
        "edge_point('tanh', 0.1): σ_w is not the one with χ = σ_w²·E[φ'(z)²] = 1."),
    ("5.3", lambda *a: solutions.answer("5.3")(*a)[::-1],
        "edge_point('tanh', 0.1): that is (σ_b, σ_w); the weights come first."),
    ("5.3", lambda name, q: solutions.answer("5.3")(name, 1.0),
        "edge_point('tanh', 0.1): the slopes belong to z of variance q, not 1."),
    ("5.3", ["(name, q)) ** 0.5", "(name, q))"],
        "edge_point('tanh', 0.1): that is σ_b², the variance; take the root."),
    ("5.3", ["(q - variance", "0 * (q - variance"],
        "edge_point('tanh', 0.1): σ_b should be 0.0288, yours is 0.0; q = σ_w²·E[φ²] + "
        "σ_b²."),
    ("6.3", lambda shape: shape[1], "counts((8, 5)) should return three numbers."),
    ("6.3", ["2 * channels", "channels"],
        "counts((8, 5)) should be (10, 10, 8): there are two of each a channel: γ and β, "
        "mean and variance."),
    ("6.3", ["return 2 * channels,", "return channels,"],
        "counts((8, 5)) should be (10, 10, 8): there are two of each a channel: γ and β, "
        "mean and variance."),
    ("6.3", [" * int(np.prod(trailing))", ""],
        "counts((4, 3, 6)) should be (6, 6, 24): the trailing axes belong to the "
        "statistics, too."),
    ("6.3", ["samples * int(np.prod(trailing))", "len(shape)"],
        "counts((8, 5)) should be (10, 10, 8): yours is (10.0, 10.0, 2.0)."),
    ("6.3", ["channels, samples *", "channels + 1, samples *"],
        "counts((8, 5)) should be (10, 10, 8): num_batches_tracked is one number, and no "
        "statistic of a channel."),
    ("6.3", ["samples * int(np.prod(trailing))", "np.prod(shape)"],
        "counts((8, 5)) should be (10, 10, 8): the channels are not averaged over."),
    ("6.3", ["return 2 * channels", "return 2 * np.prod(shape[1:])"],
        "counts((4, 3, 6)) should be (6, 6, 24): γ and β are one number a channel, not "
        "one a position."),
    ("6.3", ["2 * channels", "2"],
        "counts((8, 5)) should be (10, 10, 8): γ, β, mean and variance are one number a "
        "channel."),
    ("6.3", lambda s: (7, 7, 7),
        "counts((8, 5)) should be (10, 10, 8): yours is (7.0, 7.0, 7.0)."),
    ("6.6", lambda W, *rest: W, "fold_before should return two arrays, W' and b'."),
    ("6.6", ["b + W @ (beta - s * mean)", "s * (b - mean) + beta"],
        "b': that is (6.10), for a norm after W; here β − sμ passes through W."),
    ("6.6", ["s * mean", "mean"], "b': the mean is scaled as x is: β − sμ."),
    ("6.6", ["W @", "(W * s) @"], "b': the shift β − sμ already holds s; take W, not W'."),
    ("6.6", ["W * s,", "W * s[:, None],"],
        "W': s multiplies the columns of W; rows are for a norm after it."),
    ("6.6", ["var + eps", "var"], "W': eps is added to the variance."),
    ("6.6", ["np.sqrt(var + eps)", "(var + eps)"], "W': divide by the root of var + eps."),
    ("6.6", ["W * s,", "(W * s).T,"],
        "W' has the right shape, but an entry is off by 1.56."),
    ("6.6", ["b + W @ (beta - s * mean)", "b"],
        "b' has the right shape, but an entry is off by 1.4."),
    ("6.6", ["b + W @", "W @"], "b': the layer's own bias is missing."),
    ("6.6", [" - s * mean", ""], "b': the running mean is missing."),
    ("6.6", ["W @ (", "("], "b': the norm's shift passes through W, as W @ (β − sμ)."),
    ("6.7", ["return mean, ", "return "],
        "merge should return two numbers, mean and variance."),
    ("6.7", ["mean = np.average(means, weights=counts)", "mean = np.mean(means)"],
        "the mean: weigh each device by its count."),
    ("6.7", ["mean = np.average(means, weights=counts)", "mean = np.sum(means)"],
        "the mean should be -0.3556, yours is 0.4496…."),
    ("6.7", [" + (means - mean) ** 2", ""],
        "the variance: the scatter of the means is missing."),
    ("6.7", ["variances + (means - mean) ** 2", "variances + np.var(means)"],
        "the variance: weigh the squared distances of the means, too."),
    ("6.7", ["return mean, ", "return mean, 30 / 29 * "],
        "the variance: the biased one is asked for."),
    ("6.7", ["(means - mean) ** 2", "means**2"],
        "the variance: that is the mean square; subtract the squared mean."),
    ("6.7", ["return mean, ", "return mean, 7 * "],
        "the variance should be 6.5795, yours is 46.056…."),
    ("7.4", ["gamma * dy / std, ", ""], "return three arrays, dx, dγ and dβ."),
    ("7.4", [EVAL_DX, "return gamma * dy / np.sqrt(running_var)"],
        "dx: eps belongs under the root."),
    ("7.4", [EVAL_DX, "return dy / std"], "dx: γ scales what comes back, too."),
    ("7.4", [EVAL_DX, "return gamma * (dy - dy.mean(0)) / std"],
        "dx: that is training mode: constants carry no gradient, so nothing is taken out."),
    ("7.4", [EVAL_DX, "g = gamma * dy\n    return (g - g.mean(0) - xhat * (g * xhat)"
        ".mean(0)) / std"],
        "dx: that is training mode: constants carry no gradient, so nothing is taken out."),
    ("7.4", [EVAL_DX, "g = gamma * dy / std\n    return g - g.mean()"],
        "dx has the right shape, but an entry is off by 0.0708. Differentiate y = γ(x "
        "− running_mean)/√(running_var + eps) + β."),
    ("7.4", [EVAL_DX, "return gamma * dy / np.sqrt(x.var(0) + eps)"],
        "dx: that is the batch's variance; the forward pass used the running one."),
    ("7.4", [EVAL_DX, "return dy[0]"],
        "dx should have shape (5, 3), yours has (3,). Differentiate y = γ(x − "
        "running_mean)/√(running_var + eps) + β."),
    ("7.4", ["(dy * xhat)", "(dy * (x - x.mean(0)) / np.sqrt(x.var(0) + eps))"],
        "dγ: that is the batch's x̂; the forward pass used the running statistics."),
    ("7.4", ["(dy * xhat).sum", "2 * (dy * xhat).sum"],
        "dγ has the right shape, but an entry is off by 10.9. Differentiate y = γ(x − "
        "running_mean)/√(running_var + eps) + β."),
    ("7.4", ["dy * xhat", "dy * x"], "dγ: γ multiplies x̂, not x."),
    ("7.4", [", dy.sum", ", dy.mean"],
        "dβ: a sum over the batch, not a mean: every sample uses the same β."),
    ("7.4", [", dy.sum", ", 2 * dy.sum"],
        "dβ has the right shape, but an entry is off by 3.47. Differentiate y = γ(x − "
        "running_mean)/√(running_var + eps) + β."),
    ("7.5", ["dy - y * (dy * y).mean(axis=0)", "dy"],
        "that treats the size as a constant; it depends on x."),
    ("7.5", ["(dy - y", "(dy - dy.mean(0) - y"],
        "no mean was subtracted forward, so none is taken out backward."),
    ("7.5", ["    s =", "    x, dy = x - x.mean(0), dy - dy.mean(0)\n    s ="],
        "that is batch norm; here no mean is subtracted."),
    ("7.5", [".mean(axis=0)) / s", ".mean(axis=0))"], "divide by the size at the end."),
    ("7.5", ["y).mean", "y).sum"], "a mean over the batch, not a sum: ∂s/∂x_j = y_j/m."),
    ("7.5", ["y = x / s", "y = x / np.sqrt((x**2).mean(axis=0))"],
        "with eps, y = x/s with eps under s's root; use that y."),
    ("7.5", ["return (", "return dy[0] + 0 * ("],
        "dx has the right shape, but an entry is off by 0.952. Differentiate y = x/s by "
        "the quotient rule, with ∂s/∂x_j = y_j/m."),
    ("7.5", lambda dy, x, eps: dy[0],
        "dx should have shape (6, 3), yours has (3,). Differentiate y = x/s by the "
        "quotient rule, with ∂s/∂x_j = y_j/m."),
    ("7.5", ["return (", "return 2 * ("],
        "dx has the right shape, but an entry is off by 0.571. Differentiate y = x/s by "
        "the quotient rule, with ∂s/∂x_j = y_j/m."),
    ("7.5", ["y = x / s", "y = x"], "∂s/∂x_j = y_j/m: the second term has y twice, not x."),
    ("8.3", ["    r =", "    x, dy = (a - a.mean(1, keepdims=True) for a in (x, dy))\n"
        "    r ="], "that is layer norm's, which centres x and dy; RMSNorm does neither."),
    ("8.3", ["dy - y * (dy * y).mean(axis=1, keepdims=True)", "dy"],
        "that treats the rms as a constant; it depends on x."),
    ("8.3", ["(dy - y", "(dy - dy.mean(1, keepdims=True) - y"],
        "there is no mean in the forward pass, so none in the backward pass."),
    ("8.3", ["y = x / r", "y = x"], "take out the part along y = x/rms, not along x."),
    ("8.3", ["y).mean", "y).sum"], "the part along y is a mean over the units, not a sum."),
    ("8.3", ["True)) / r", "True))"], "the direction is right; divide by the rms of x."),
    ("8.3", ["return (", "return 2 * ("],
        "dx has the right shape, but an entry is off by 1.89."),
    ("8.3", lambda dy, x: dy[0], "dx should have shape (5, 7), yours has (7,)."),
    ("8.4", ["normalize(x, 1)", "normalize(x, (1, 2, 3))"],
        "those statistics are over channels and positions; each pixel has its own."),
    ("8.4", ["normalize(x, 1)", "normalize(x, 3)"],
        "that is over the width: channels are axis 1, not the last."),
    ("8.4", ["normalize(x, 1)", "normalize(x, (2, 3))"],
        "that is instance norm, over the positions of a channel."),
    ("8.4", ["normalize(x, 1)", "normalize(x, (0, 2, 3))"],
        "that is batch norm; here the channels of one pixel are averaged."),
    ("8.4", ["normalize(x, 1)", "normalize(x, 1, eps=0)"],
        "ε is missing: it is added to the variance."),
    ("8.4", ["normalize(x, 1)", "2 * normalize(x, 1)"],
        "the output has the right shape, but an entry is off by 1.91."),
    ("8.4", lambda x: x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5),
        "that is RMSNorm: subtract the mean over the channels."),
    ("8.4", lambda x: centred(x) / np.sqrt(x.var(1, ddof=1, keepdims=True) + 1e-5),
        "the variance is biased: divide by the number of channels."),
    ("8.4", lambda x: centred(x) / (x.std(1, keepdims=True) + 1e-5),
        "ε belongs inside the root."),
    ("9.7", ["np.where(np.isnan(losses), np.inf, losses)", "losses"],
        "a run that died counts as infinite, not as missing."),
    ("9.7", ["np.inf, losses)", "99, losses)", "np.median", "np.mean"],
        "the median over the seeds, not the mean or the worst."),
    ("9.7", ["np.inf, losses)", "np.nan, losses)", "median", "nanmedian"],
        "a run that died counts as infinite, not as missing."),
    ("9.7", ["return rates[i]", "return i"], "return the rate, not its place."),
    ("9.7", ["argmin", "argmax", "i in (0, len(rates) - 1)", "False"],
        "take the rate with the smallest median over the seeds."),
    ("9.7", ["i in (0, len(rates) - 1)", "i == 0"],
        "a best rate at an end of the sweep must raise a ValueError."),
    ("9.7", ["i in (0, len(rates) - 1)", "i == len(rates) - 1"],
        "a best rate at an end of the sweep must raise a ValueError."),
    ("9.8", lambda W1, W2: W1, "return two matrices, W1 and W2."),
    ("9.8", ["a[:, None] * W1, W2 / a", "W1, W2"],
        "the lengths are not equal yet: a² is the ratio of the old ones."),
    ("9.8", ["a[:, None] * W1, W2 / a", "W1 / a[:, None], W2 * a"],
        "the lengths are not equal yet: a² is the ratio of the old ones."),
    ("9.8", ["W2 / a", "W2"],
        "the function has changed: what a row gains, its column must lose."),
    ("9.8", ["np.sqrt", ""], "a is the root of the ratio of the lengths, not the ratio."),
    ("9.8", ["return a", "a = np.full(len(a), 2.0)\n    return a"],
        "each unit has its own factor: row and column must be equally long."),
    ("9.8", lambda W1, W2: (W1.T, W2), "W1 should have shape (5, 3), yours has (3, 5)."),
    ("9.8", lambda W1, W2: (W1, W2.T), "W2 should have shape (2, 5), yours has (5, 2)."),
    ("10.1", ["zeros_(readout.weight)", "normal_(readout.weight)"],
        "at width 1280 the first loss is …, and ln 10 is 2.3; measure the logits, and "
        "see which matrix no norm divides by."),
    ("10.1", ['kaiming_normal_(hidden.weight, nonlinearity="relu")',
        "zeros_(hidden.weight)"],
        "the first loss is 2.3, but all digits look alike to the last layer: zeros are "
        "safe in that layer alone."),
    ("10.1", ["zeros_(readout.weight)", "kaiming_normal_(readout.weight)"],
        "at width 1280 the first loss is …: logits of size s = 1 cost s²/2 more than ln "
        "10 = 2.3. That does little harm; go smaller."),
    ("10.1", ["nn.init.zeros_(readout.bias)", "readout.requires_grad_(False)"],
        "the first loss is 2.3, and 80 steps later still 2.3: nothing gets through to "
        "what it could learn with."),
    ("10.1", lambda width: width,
        "classifier(1280) should be a torch.nn.Module, yours is int."),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "xavier_normal_(layer.weight)"],
        "at 30 layers the output varies by …e-06 from digit to digit; a layer leaves "
        "1/√2, so ReLU's half is not made up for."),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "zeros_(layer.weight)"],
        "at 30 layers the output varies by 0e+00 from digit to digit; each layer makes "
        "the signal smaller; find its factor, and (10.2)."),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "normal_(layer.weight, 0, 0.165)"],
        "at 30 layers the output varies by … from digit to digit; each layer makes the "
        "signal smaller; find its factor, and (10.2)."),
    ("10.2", ["kaiming_normal_(layer.weight, nonlinearity=\"relu\")",
        "normal_(layer.weight, 0, 0.5)"],
        "at 30 layers the output varies by …e+12 from digit to digit; each layer makes "
        "the signal larger; find its factor, and (10.2)."),
    ("10.2", lambda depth: depth, "mlp(3) should be a torch.nn.Module, yours is int."),
    ("10.3", lambda out, n, rng: rng.uniform(-1, 1, (out, n)) * np.sqrt(2 / n),
        "fan-in times variance is 0.66 and should be 2: √(2/n) is a standard deviation; "
        "a bound is √3 times larger."),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(2 / out), (out, n)),
        "fan-in times variance is 0.5 and should be 2: that divides by the fan-out; "
        "fan_in is the second argument."),
    ("10.3", lambda out, n, rng: rng.uniform(-1, 1, (out, n)) * np.sqrt(18 / out),
        "fan-in times variance is 1.5 and should be 2: that is a uniform bound with the "
        "fan-out; fan_in is the second argument."),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(1 / n), (out, n)),
        "fan-in times variance is 1 and should be 2: that leaves ReLU's half out."),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(2 / (n + out)), (out, n)),
        "fan-in times variance is 0.4 and should be 2: that is Xavier's variance, "
        "2/(fan_in + fan_out)."),
    ("10.3", lambda out, n, rng: rng.normal(0, 2 / n, (out, n)),
        "fan-in times variance is 0.04 and should be 2: take the root: 2/n is a variance."),
    ("10.3", lambda out, n, rng: rng.normal(0, 1, (out, n)),
        "fan-in times variance is 1e+02 and should be 2: a layer multiplies the mean "
        "square by half of it."),
    ("10.3", lambda out, n, rng: rng.uniform(0, 1, (out, n)),
        "the weights have a mean; they should be as often below zero as above."),
    ("10.3", lambda out, n, rng: np.zeros((out, n)), "all weights are zero."),
    ("10.3", lambda out, n, rng: rng.normal(size=(n, out)),
        "kaiming(400, 100, rng) should have shape (400, 100), not (100, 400)."),
    ("10.4", ["std=1 / width, scale=width", "std=width**-0.5, scale=width**0.5"],
        "the first loss is …: the logits are of size 1, but for the present token's own, "
        "which is √d = 16."),
    ("10.4", ["std=1 / width, scale=width", "std=0.02, scale=1"],
        "the first loss is 6.9, but the present token's logit is …% of what its "
        "embedding alone would give: the stream has lost it."),
    ("10.4", ["scale=width", "scale=0"],
        "the first loss is 6.9, but the present token's logit is …% of what its "
        "embedding alone would give: the stream has lost it."),
    ("10.4", ["std=1 / width, scale=width", "std=0.02, scale=50"],
        "at width 512 the first loss is …, and ln V is 6.9; the present token's own "
        "logit is …, by (10.4) σ·d."),
    ("10.4", ["std=1 / width", "std=0"],
        "the first loss is 6.9, but the present token's logit is 0% of what its "
        "embedding alone would give: the stream has lost it."),
    ("10.4", lambda v, d: nn.Sequential(nn.Embedding(v, d), nn.Linear(d, v)),
        "there should be one matrix of 1000 tokens, not 2."),
    ("10.4", lambda v, d: 3,
        "LanguageModel(1000, 256) should be a torch.nn.Module, yours is int."),
    ("10.5", ["not isinstance(after, nn.BatchNorm1d)", "False"],
        "without a norm behind it the bias is needed, and here it is gone."),
    ("10.5", ["not isinstance(after, nn.BatchNorm1d)", "isinstance(after, nn.Identity)"],
        "in front of layer norm the bias is alive, and here it is gone."),
    ("10.5", ["nn.BatchNorm1d)\n    return", "nn.Identity)\n    return"],
        "upside down: the bias is dead in front of batch norm."),
    ("10.5", ["not isinstance", "isinstance"],
        "upside down: the bias is dead in front of batch norm."),
    ("10.5", ["bias=bias), after", "bias=bias)"],
        "block(8, 16, nn.BatchNorm1d) has lost its norm."),
    ("10.5", lambda n, m, norm: norm(m),
        "a block should have one nn.Linear, from 8 units to 16."),
    ("10.5", lambda n, m, norm: nn.Sequential(nn.Linear(n, n), norm(m)),
        "a block should have one nn.Linear, from 8 units to 16."),
    ("10.5", lambda n, m, norm: 3,
        "block(8, 16, nn.BatchNorm1d) should be a torch.nn.Module, yours is int."),
    ("10.6", ["p for p in model.parameters() if p.ndim >= 2",
        "p for name, p in model.named_parameters() if 'bias' not in name",
        "p for p in model.parameters() if p.ndim < 2",
        "p for name, p in model.named_parameters() if 'bias' in name"],
        "1.weight still decays: the γ of a norm is called weight."),
    ("10.6", ["weight_decay=0.1", "weight_decay=0.0"],
        "0.weight is a matrix or a kernel, and it does not decay."),
    ("10.6", ["ndim >= 2", "ndim == 2", "ndim < 2", "ndim != 2"],
        "0.weight is a matrix or a kernel, and it does not decay."),
    ("10.6", [', {"params": others, "weight_decay": 0.0}', ""],
        "0.bias is in no group, so that it is not trained at all."),
    ("10.6", ["AdamW", "Adam"],
        "a weight of 1 without a gradient should become 0.9999; is this decay, or a term "
        "of the gradient that Adam divides by its size?"),
    ("10.6", lambda model: model,
        "optimizer_for should return a torch optimizer, yours is Sequential."),
    ("10.7", [DEEP_NORM, "self.alpha * x + gx"],
        "the sum is right, and the norm is missing."),
    ("10.7", [DEEP_NORM, "x + self.alpha * gx"],
        "the branch is weighed by α, and the norm is missing."),
    ("10.7", [DEEP_NORM, "self.norm(self.alpha * (x + gx))"],
        "α multiplies both sides, which a norm takes out again."),
    ("10.7", [DEEP_NORM, "self.alpha * self.norm(x) + gx"],
        "the norm belongs around the sum, not on x."),
    ("10.7", [DEEP_NORM, "self.alpha * x + self.norm(gx)"],
        "the norm belongs around the sum, not on the branch."),
    ("10.7", [DEEP_NORM, "self.alpha * self.norm(x + gx)"],
        "α belongs inside the norm, on x alone."),
    ("10.7", [DEEP_NORM, "self.norm(self.alpha * x) + gx"],
        "the norm belongs around the sum, and α is lost in a norm of αx alone."),
    ("10.7", [DEEP_NORM, "x + self.norm(self.alpha * gx)"],
        "the norm belongs around the sum, and α beside x."),
    ("10.7", [DEEP_NORM, "self.norm(x) + self.norm(gx)"],
        "compare with LN(αx + G), term by term."),
    ("10.7", ["nn.LayerNorm(width)", "nn.LayerNorm(width, elementwise_affine=False)"],
        "the function is right, but the norm's γ and β are not trained."),
    ("10.7", [DEEP_NORM, DEEP_NORM + "[0]"],
        "the output should have shape (4, 6), as x has."),
    ("10.7", lambda width, alpha: width,
        "DeepNorm(6, 3.0) should be a torch.nn.Module, yours is int."),
    ("10.8", [SCALE_8, "1", "half", "bfloat16"],
        "at 40 layers the output of bfloat16 is not finite; a layer multiplies the "
        "signal by 11.3, which is √(256/2)."),
    ("10.8", ["half()", "float()"],
        "the output is float32, of size … at 40 layers; mend the scale, in float16."),
    ("10.8", [SCALE_8, "1", "W.half().T)", "W.half().T).clamp(max=65504)"],
        "at 40 layers entries stand at float16's end, 65504: held there, they say "
        "nothing about the input."),
    ("10.8", [SCALE_8, "0"], "at 40 layers all inputs give the same output."),
    ("10.8", [SCALE_8, "x.shape[-1] ** -0.5"],
        "of size …e-07 at 40 layers: the half that ReLU takes from the mean square is "
        "not made up for."),
    ("10.8", [SCALE_8, "1.65 / x.shape[-1] ** 0.5"],
        "finite, but of size …e+02 at 40 layers: it is on its way."),
    ("10.8", lambda x, depth: depth, "half_network should return a tensor, not int."),
    ("10.9", lambda n, m, rng: np.array_split(rng.permutation(n), -(-n // m)),
        "5 samples in batches of 2 leave a batch of one, which batch norm refuses."),
    ("10.9", ["rng.permutation(samples)", "np.arange(samples)"],
        "1437 samples in batches of 4: all epochs have one order; shuffle before you cut."),
    ("10.9", ["permutation(samples)", "permutation(samples - samples % batch_size)"],
        "1437 samples in batches of 4: 1 never came; shuffle all, then cut."),
    ("10.9", lambda n, m, rng: [rng.integers(n, size=m) for _ in range(n // m)],
        "1437 samples in batches of 4: a sample came twice in an epoch."),
    ("10.9", ["batch_size)]", "batch_size)][:-1]"],
        "1437 samples in batches of 4: more is left out than the last short batch."),
    ("10.9", ["permutation(samples)",
        "permutation(samples)[: samples - bool(samples % batch_size)]",
        "range(0, whole", "range(0, len(order)"],
        "8 samples in batches of 3 leave a batch of one, which batch norm refuses."),
    ("10.9", ["range(0, whole", "range(0, samples - batch_size"],
        "6 samples in batches of 3: more is left out than the last short batch."),
    ("10.9", lambda n, m, rng: [rng.permutation(n)],
        "1437 samples in batches of 4: a batch of 1437 is too large."),
    ("10.9", ["return [", "return [order[:0]] + ["],
        "1437 samples in batches of 4: an epoch or a batch is empty."),
    ("10.9", lambda n, m, rng: [],
        "1437 samples in batches of 4: an epoch or a batch is empty."),
    ("10.9", ["order[i", "1 + order[i"],
        "1437 samples in batches of 4: indices should lie between 0 and 1436."),
    ("10.10", ["nn.LayerNorm(width)", "nn.BatchNorm1d(width, track_running_stats=False)"],
        "in training mode a sample's output changes when its company does: the "
        "statistics still cross the batch."),
    ("10.10", ["nn.LayerNorm(width)", "nn.BatchNorm1d(width, momentum=0.01)"],
        "in training mode a sample's output changes when its company does: the "
        "statistics still cross the batch."),
    ("10.10", ["nn.LayerNorm(width)", "nn.Identity()"],
        "ten times the input gives another output: nothing is normalized."),
    ("10.10", ["nn.LayerNorm(width)", "nn.GroupNorm(width, width)"],
        "all outputs are 0: a group of one channel has nothing but its mean."),
    ("10.10", ["nn.ReLU()", "nn.Identity()"],
        "outputs below zero: the ReLU belongs to the block."),
    ("10.10", ["    return", "    width += 1\n    return"],
        "block(24, 32) should give 32 values a sample, got shape (8, 33)."),
    ("10.11", ["len(x)", "(len(x_part) * parts)"],
        "30 samples in 4 parts are 8, 8, 8 and 6: weigh each part by its samples."),
    ("10.11", ["model.zero_grad()", "pass"],
        "the second call adds to the first: the gradients start at zero."),
    ("10.11", ["loss / len(x)", "loss"],
        "in 2 parts the gradient has 30 times the length that the whole batch's has."),
    ("10.11", ["model.parameters()])", "model.parameters()])[:-1]"],
        "accumulated should return all gradients in one vector."),
    ("10.11", lambda model, x, y, parts: torch.zeros(3),
        "accumulated should return all gradients in one vector."),
    ("10.11", ["chunk(parts)", "chunk(1)"],
        "for 2 parts a batch of 30 of 30 went through the model: memory does not hold so "
        "many."),
    ("10.12", ["model.eval()", "model[1].eval()"],
        "asked twice, it gives different answers: dropout is still on."),
    ("10.12", ["model.eval()", "model[3].eval()"],
        "the running statistics moved: the norm is not in eval mode."),
    ("10.12", ["module.training = mode", "pass"],
        "right answers, but the model was found in training mode."),
    ("10.12", ["module.training = mode", "module.training = True"],
        "right answers, but the model was found in eval mode."),
    ("10.12", ["module.training = mode", "model.train(modes[model])"],
        "right answers, but a norm that was found frozen, in eval mode, is in training "
        "mode now: remember each module's."),
    ("10.12", ["return answer", "return answer * 0"],
        "some answers are not those of eval mode."),
    ("10.12", lambda m, x: m.eval()(x),
        "predict should return 64 classes, got shape (64, 5)."),
    ("10.13", ["nn.ReLU()]\n    return", "nn.ReLU(), nn.Dropout(1 - keep)]\n    return"],
        "what leaves the last norm has in eval mode 0.… of its size in training: a "
        "dropout still comes before a norm."),
    ("10.13", ["nn.BatchNorm1d(width), nn.ReLU()]\n    return",
        "nn.Dropout(1 - keep), nn.BatchNorm1d(width), nn.ReLU()]\n    return"],
        "what leaves the last norm has in eval mode 0.… of its size in training: a "
        "dropout still comes before a norm."),
    ("10.13", [", nn.Dropout(1 - keep))", ")"],
        "two passes in training mode agree: no dropout is left."),
    ("10.13", ["nn.BatchNorm1d(width)", "nn.Identity()"],
        "there is no norm left in the stack."),
    ("10.13", ["range(depth)", "range(depth - 1)"],
        "3 layers with a norm each, yours are 2 and 2."),
    ("10.13", ["nn.BatchNorm1d(width), nn.ReLU()]\n    return", "nn.ReLU()]\n    return"],
        "3 layers with a norm each, yours are 3 and 1."),
    ("10.13", ["    layers = ", "    width += 1\n    layers = "],
        "stack(2, 256, 0.5) should give 256 values a sample."),
    ("10.14", ["backbone.eval()", "backbone[1].momentum = 0.0"],
        "the running statistics stay, but training uses the batch's: the head learns "
        "from features that eval mode does not have."),
    ("10.14", ["model.train()", "model.eval()"],
        "the backbone is frozen, but so is the head's dropout."),
    ("10.14", ["backbone.requires_grad_(False)", "pass", "head.par", "model.par"],
        "the backbone's weights have been trained."),
    ("10.14", ["backbone.requires_grad_(False)", "backbone[0].requires_grad_(False)",
        "head.parameters()", "[backbone[1].weight, *head.parameters()]"],
        "γ and β of the backbone have been trained."),
    ("10.14", ["backbone.requires_grad_(False)", "backbone[0].requires_grad_(False)",
        "head.parameters()", "[backbone[1].bias, *head.parameters()]"],
        "γ and β of the backbone have been trained."),
    ("10.14", ["(), rate)", "(), 0.0)"], "the head has not been trained."),
    ("10.14", ["        optimizer.step()", "        backbone[1].running_var += 0.1"],
        "the head has not been trained."),
    ("10.14", ["optimizer.step()", "optimizer.step()\n    backbone[1].running_var += 0.1"],
        "a running variance of the backbone has moved."),
    ("10.15", ["        self.norm_a", "        self.second = nn.Linear(fan_in, width)\n"
        "        self.norm_a"], "there are two matrices now; the views should share one."),
    ("10.15", ["nn.BatchNorm1d(width)", "nn.BatchNorm1d(width, track_running_stats=False)"],
        "in eval mode the answer depends on the company."),
    ("10.15", ["nn.BatchNorm1d(width)", "nn.Identity()"],
        "the views are not normalized any more."),
    ("10.15", ["return self.norm_a(self.linear(a)),", "return"],
        "forward should return two views."),
    ("10.16", ["x.float() if x.dtype in (torch.float16, torch.bfloat16) else x", "x"],
        "the constant row is mended, but one of size 1000 comes out as zeros: its "
        "squares are beyond 65504."),
    ("10.16", lambda x: large_is_wide(x),
        "a float16 row of size 0.0001 is not finite: its squares are zero."),
    ("10.16", ["    return (", "    if not variance.any():\n        return x\n"
        "    return ("],
        "a constant row should come out as zeros, a small one near them."),
    ("10.16", [".to(x.dtype)", ""], "float16 came in, and torch.float32 out."),
    ("10.16", ["    wide =", "    x = x.float()\n    wide ="],
        "float64 came in, and torch.float32 out."),
    ("10.16", ["(centred**2).mean(-1, keepdim=True)", "centred.var(-1, keepdim=True)"],
        "rows of mean 0 and variance 1, float64, come out otherwise."),
    ("10.16", [".to(x.dtype)", ".to(x.dtype).sum(-1)"],
        "a row of 64 should stay one, got shape (4,)."),
    ("10.16", [".to(x.dtype)", ".to(x.dtype) * (1.1 if x.dtype == torch.half else 1)"],
        "a float16 row of size 1000 is off: squares need a wider dtype."),
    ("11.1", [WINE, "return model, torch.optim.SGD(model.parameters(), 5e-4), x, y"],
        "after 100 steps the loss is above 0.4. The first thing that goes wrong is the "
        "first thing there is: look at x."),
    ("11.1", ["(x - x.mean(0)) / x.std(0)", "(x - x.mean()) / x.std()"],
        "after 100 steps the loss is above 0.4, and the probe finds nothing. It looks at "
        "the input as a whole. Look at its features one by one: each should have mean 0 "
        "and standard deviation 1."),
    ("11.1", [WINE, "return model"], "build should return model, optimizer, x, y."),
    ("11.1", [WINE, "return model, optimizer, x"],
        "build should return model, optimizer, x, y."),
    ("11.1", ["return model,", "return 3,"],
        "the first that build returns should be the model."),
    ("11.1", ["return model, optimizer", "return model, 0.05"],
        "the second that build returns should be the optimizer."),
    ("11.2", ["he_(model), optimizer",
        "model, torch.optim.SGD(model.parameters(), 0.1, 0.9)"],
        "after 100 steps the loss is above 1.7. Compare signal and spread, layer by "
        "layer."),
    ("11.2", ["he_(model), optimizer",
        "he_(model), torch.optim.SGD(model.parameters(), 0.1, 0.9)"],
        "after 100 steps the loss is above 1.7, and the probe finds nothing. Is it the "
        "rate, or the momentum, of which the probe sees only the first step? Or "
        "PyTorch's scale, which a norm does not mend altogether?"),
    ("11.2", ["he_(model)", "nn.Linear(64, 10)"],
        "the optimizer has parameters of another model: make a new one for yours."),
    ("11.2", ["he_(model)", "model[:14]"], "20 layers are to train, and yours has 7."),
    ("11.3", ["nn.init.normal_(model.tokens.weight, std=0.02)",
        "optimizer = torch.optim.Adam(model.parameters(), 1e-5)"],
        "after 100 steps the loss is above 2.5. Compare the first row of the table with "
        "the last. What do they share?"),
    ("11.3", ["return model, optimizer",
        "return model, torch.optim.Adam(model.parameters(), 1e-6)"],
        "after 100 steps the loss is above 2.5, and the probe finds nothing. Is the rate "
        "too low for a hundred steps?"),
    ("11.3", ["nn.init.normal_(model.tokens.weight, std=0.02)",
        "optimizer = torch.optim.Adam(model.parameters(), 1e-2)"],
        "it gets there, but its first loss is …: a higher rate hides the cause. Compare "
        "the first row of the table with the last. What do they share?"),
    ("11.4", ["nn.init.zeros_(block.down.weight)",
        "optimizer = torch.optim.SGD(model.parameters(), 1e-5)"],
        "the loss is not finite. Read the first finding, not the one about the rate."),
    ("11.5", ["return model,", "return he_(model),", "lr=1e-3", "lr=0.1"],
        "after 100 steps the loss is above 1. Give the probe what you give to the "
        "training loop, before the first step."),
    ("11.5", ["lr=1e-3", "lr=1e-6"],
        "after 100 steps the loss is above 1, and the probe finds nothing. Is the rate "
        "too low for a hundred steps?"),
    ("11.5", ["return model, torch.optim.Adam(model.parameters()",
        "return model, torch.optim.Adam(nn.Linear(2, 2).parameters()"],
        "the optimizer has parameters of another model: make a new one for yours."),
    ("11.6", ["model.train(), optimizer",
        "model, torch.optim.SGD(model.parameters(), 1e-3, 0.9)"],
        "after 100 steps the loss is above 1. Probe what photos() returns, with "
        "training=True."),
    ("11.6", ["model.train(), optimizer",
        "model.train(), torch.optim.SGD(model.parameters(), 100.0, 0.9)"],
        "after 100 steps the loss is above 1, and of your network the probe says: lr "
        "large (chapter 9)."),
    ("11.7", ["not torch.isfinite(output).all()", "output.isnan().any()"],
        "infinite is not finite either: the nan of 2 comes from 1.0."),
    ("11.7", ["not torch.isfinite(output).all()", "output.isinf().any()"],
        "nan is not finite either: that is the log of a negative number."),
    ("11.7", [" if not list(m.children())", "", "bad[0]", "bad[-1]"],
        "a module with children says less than its child, 1.0."),
    ("11.7", ["bad[0]", "bad[-1]"], "the first is asked for, and that is the last."),
    ("11.7", ["handle.remove()", "pass"],
        "hooks are left on the model: remove the handles."),
    ("11.7", ["    try:\n        model(x)\n    finally:", "    model(x)\n    if True:"],
        "hooks are left when the model raises: remove them in finally."),
    ("11.7", ["return bad[0]", "return min(bad, key=[n for n, _ in leaves].index)"],
        "the order is that of execution, not of definition."),
    ("11.7", ["bad[0] if bad", "'0' if bad"],
        "the first bad output is that of 1.0; yours is '0'."),
    ("11.7", lambda m, x: "0",
        "of a model whose outputs are all finite it should return None."),
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


def large_is_wide(x):
    """Layer norm in x's own dtype but for large rows, and zeros of a constant one."""
    if x.abs().max() > 255 or (x == x[..., :1]).all():
        return F.layer_norm(x.float(), x.shape[-1:]).to(x.dtype)
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred**2).mean(-1, keepdim=True).sqrt()


def pairs(texts):
    return zip(texts[::2], texts[1::2], strict=True)


@pytest.mark.parametrize(("number", "turn", "sentence"), WRONG_TURNS)
def test_a_wrong_turn_is_told_which_one_it_is(capsys, number, turn, sentence):
    answer = turn if callable(turn) else solutions.answer(number, *pairs(turn))
    pattern = ".+".join(map(re.escape, f"not yet: {sentence}".split("…")))
    said = told(capsys, number, answer)
    assert re.fullmatch(pattern, said), said


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
@pytest.mark.usefixtures("loaded_anew")
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

"""Bad input is answered by a sentence: the argument, its value, and what to do instead.

A case is (call, what the message says in this order): the argument's name first, the value
or its shape, and the remedy last. A message starts with the name unless that is said to
stand elsewhere, and is one line.
"""

import math
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from nbcode import check, datasets, figures, initializers, norms, signals, theory, training

mpl.use("agg")
RNG = np.random.default_rng(0)
NAN, INF = np.nan, np.inf
X, Y = np.ones((6, 4)), np.arange(6) % 5
STACK = [np.ones((2, 3, 4)), np.ones((2, 5, 3))]
W = [np.ones((3, 4)), np.ones((2, 3))]
ZS = signals.forward(np.ones(4), W)[0]
NAMES = ", ".join(theory.ACTIVATIONS)
GENERATOR = "pass np.random.default_rng(0)"


def explode(z):
    return np.exp(z**2)


def zero(z):
    return 0 * z


def scaling(shape=(3, 4), *args, rng=RNG, **options):
    return lambda: initializers.variance_scaling(shape, *args, rng=rng, **options)


def fans(*shape, **options):
    return lambda: initializers.fans(shape, **options)


def draw(name, shape=(3, 4), *args, rng=RNG, **options):
    return lambda: getattr(initializers, name)(shape, *args, rng=rng, **options)


def init(module=None, *scheme, rng=RNG):
    module = torch.nn.Linear(2, 2) if module is None else module
    return lambda: initializers.init_(module, *scheme, rng=rng)


def lsuv(module=None, batch=None, **options):
    module = torch.nn.Linear(2, 2) if module is None else module
    batch = torch.eye(2) if batch is None else batch
    return lambda: initializers.lsuv(module, batch, **options)


def biased():
    layer = torch.nn.Linear(2, 2)
    layer.weight.data, layer.bias.data = torch.eye(2), torch.tensor([-9.0, 9.0])
    return layer


INITIALIZERS = [
    (lambda: initializers.fans(5), "shape", "got 5", "set it by hand"),
    (lambda: initializers.fans(None), "shape", "at least two axes", "got None", "by hand"),
    (lambda: initializers.fans((64,)), "shape", "got (64,)", "a bias", "set it by hand"),
    (lambda: initializers.fans(()), "shape", "got ()", "set it by hand"),
    (lambda: initializers.fans((0, 3)), "shape", "got 0", "every axis of a weight"),
    (lambda: initializers.fans((4, -3)), "shape", "got -3", "every axis of a weight"),
    (lambda: initializers.fans((4, 3, 2.5)), "shape", "got 2.5", "every axis"),
    (lambda: initializers.fans((True, 3)), "shape", "got True", "every axis"),
    (lambda: initializers.fans((NAN, 3)), "shape", "got nan", "every axis"),
    (lambda: initializers.fans("ab"), "shape", "got 'ab'", "set it by hand"),
    (lambda: initializers.fans((8, 4, (3, 3))), "shape", "got (3, 3)", "every axis"),
    (lambda: initializers.fans(np.ones((4, 3))), "shape", "got array([[1.", "by hand"),
    (lambda: initializers.fans(torch.ones(99, 99)), "shape", "got tensor", "by hand"),
    (
        fans(4, 3, kind="conv"),
        "shape",
        "two axes for dense",
        "got (4, 3) for 'conv'",
        "own shape",
    ),
    (
        fans(4, 3, 2, kind="dense"),
        "shape",
        "two axes for dense",
        "got (4, 3, 2) for 'dense'",
        "own shape",
    ),
    (
        fans(4, 3, kind="transposed"),
        "shape",
        "more for conv",
        "got (4, 3) for 'transposed'",
        "own shape",
    ),
    (fans(4, 3, kind="linear"), "kind", "dense, conv, transposed", "got 'linear'"),
    (fans(4, 3, 2, kind=2), "kind", "dense, conv, transposed", "got 2"),
    (fans(4, 3, 2, groups=3), "groups", "divide", "got 3 for shape (4", "layer.groups"),
    (fans(4, 3, groups=2), "groups", "a convolution", "got 2 for shape (4", "layer.groups"),
    (fans(4, 3, 2, groups=0), "groups", "at least 1, got 0", "1 where"),
    (fans(4, 3, 2, groups=1.0), "groups", "whole number", "got 1.0", "1 where"),
    (fans(4, 3, 2, stride=0), "stride", "at least 1, got 0", "such as 2"),
    (fans(4, 3, 2, stride=0.5), "stride", "whole number", "got 0.5", "such as 2"),
    (fans(4, 3, 2, stride=(2, 2)), "stride", "got (2, 2) for shape", "layer.stride"),
    (fans(4, 3, 2, 2, stride=(2, None)), "stride", "got None", "such as 2"),
    (fans(4, 3, stride=2), "stride", "got 2 for shape (4, 3)", "layer.stride"),
    (lambda: initializers.gain("swish"), "activation", NAMES, "got 'swish'"),
    (lambda: initializers.gain(None), "activation", NAMES, "got None"),
    (lambda: initializers.gain(zero), "activation", "no gain", "zero at", "weight scale"),
    (lambda: initializers.gain("relu", 0.2), "negative_slope", "0.2", "'leaky_relu'"),
    (lambda: initializers.gain(abs, 0.2), "negative_slope", "got 0.2", "'leaky_relu'"),
    (lambda: initializers.gain("leaky_relu", NAN), "negative_slope", "nan", "as 0.2"),
    (lambda: initializers.gain("leaky_relu", "a"), "negative_slope", "'a'", "as 0.2"),
    (draw("xavier_uniform", (7,)), "shape", "got (7,)", "set it by hand"),
    (draw("xavier_uniform", gain=0), "gain", "above 0, got 0", "linear 1.0"),
    (draw("xavier_normal", gain="tanh"), "gain", "got 'tanh'", "linear 1.0"),
    (draw("xavier_uniform", rng=1), "rng", "Generator", "got 1", GENERATOR),
    (draw("xavier_normal", rng=None), "rng", "Generator", "got None", GENERATOR),
    (draw("he_uniform", (3, 0)), "shape", "got 0", "every axis of a weight"),
    (draw("he_normal", mode="in"), "mode", "fan_in, fan_out, fan_avg", "got 'in'"),
    (draw("he_uniform", mode=0.2), "mode", "fan_in, fan_out, fan_avg", "got 0.2"),
    (draw("he_normal", negative_slope=INF), "negative_slope", "got inf", "such as 0.2"),
    (draw("he_uniform", negative_slope=[0]), "negative_slope", "got [0]", "as 0.2"),
    (draw("he_normal", rng=0), "rng", "Generator", "got 0", GENERATOR),
    (draw("he_uniform", rng="a"), "rng", "Generator", "got 'a'", GENERATOR),
    (draw("orthogonal", (7,)), "shape", "got (7,)", "set it by hand"),
    (draw("orthogonal", (7, 0)), "shape", "got 0", "every axis"),
    (draw("orthogonal", gain=-1), "gain", "above 0, got -1", "linear 1.0"),
    (draw("orthogonal", rng=np.random), "rng", "got <module", GENERATOR),
    (init("net"), "module", "torch.nn.Module, got 'net'", "the model itself"),
    (init(torch.nn.Linear), "module", "got <class 'torch.nn", "the model itself"),
    (init([torch.nn.Linear(2, 2)]), "module", "got [Linear(", "the model itself"),
    (init(torch.nn.Linear(2, 2, device="meta")), "module", "got Linear", "to_empty"),
    (init(None, "he"), "scheme", "he_normal, he_uniform, xavier", "got 'he'"),
    (init(None, None), "scheme", "he_normal, he_uniform, xavier", "got None"),
    (init(rng=torch.Generator()), "rng", "got <torch", GENERATOR),
    (init(rng=0), "rng", "Generator", "got 0", GENERATOR),
    (lsuv(max), "module", "torch.nn.Module, got <built-in", "the model itself"),
    (lsuv(torch.nn.ReLU()), "module", "got ReLU without", "the model that holds"),
    (lsuv(torch.nn.Linear(2, 2, device="meta")), "module", "got Linear", "to_empty"),
    (lsuv(batch=torch.ones(2, 2) * NAN), "module", "not finite", "by init_ say"),
    (lsuv(batch=torch.full((2, 2), INF)), "module", "not finite", "by init_ say"),
    (lsuv(biased()), "module", "reach std 1, got", "10 divisions", "set its bias to 0"),
    (lsuv(tolerance=0), "tolerance", "above 0, got 0", "such as 0.1"),
    (lsuv(max_iterations=0), "max_iterations", "at least 1, got 0", "10 are plenty"),
    (scaling((7,)), "shape", "got (7,)", "set it by hand"),
    (scaling(gain=0), "gain", "above 0, got 0", "ReLU takes 2**0.5"),
    (scaling(gain=-1.5), "gain", "got -1.5", "linear 1.0"),
    (scaling(gain=NAN), "gain", "finite", "got nan", "linear 1.0"),
    (scaling(gain=INF), "gain", "finite", "got inf", "linear 1.0"),
    (scaling(gain="relu"), "gain", "got 'relu'", "ReLU takes 2**0.5"),
    (scaling(gain=[1.0, 2.0]), "gain", "got [1.0, 2.0]", "linear 1.0"),
    (scaling(gain=1j), "gain", "got 1j", "linear 1.0"),
    (scaling(mode="fan"), "mode", "fan_in, fan_out, fan_avg", "got 'fan'"),
    (scaling(mode=None), "mode", "fan_in, fan_out, fan_avg", "got None"),
    (scaling(rng=0), "rng", "Generator", "got 0", GENERATOR),
    (scaling(rng=None), "rng", "Generator", "got None", GENERATOR),
    (scaling(rng=np.random), "rng", "Generator", "got <module", GENERATOR),
]

THEORY = [
    (lambda: theory.activation("swish"), "activation", NAMES, "got 'swish'"),
    (lambda: theory.activation(None), "activation", NAMES, "got None"),
    (lambda: theory.activation(3), "activation", NAMES, "got 3"),
    (lambda: theory.derivative("Relu"), "activation", NAMES, "got 'Relu'"),
    (lambda: theory.activation(math.tanh)(X), "activation", "tanh", "use np.tanh"),
    (lambda: theory.activation(torch.nn.GELU)(X), "activation", "GELU", "use np.tanh"),
    (lambda: theory.activation(np.sum)(X), "activation", "(6, 4)", "sum", "()", "alone"),
    (lambda: theory.expectation(abs, 0.0), "q", "above 0, got 0.0", "the variance of z"),
    (lambda: theory.expectation(abs, -2), "q", "got -2", "such as 1.0"),
    (lambda: theory.expectation(abs, NAN), "q", "finite", "got nan", "such as 1.0"),
    (lambda: theory.expectation(abs, INF), "q", "finite", "got inf", "such as 1.0"),
    (lambda: theory.expectation(abs, "1"), "q", "got '1'", "such as 1.0"),
    (lambda: theory.expectation(abs, 1.0, None), "kinks", "got None", "such as (0.0,)"),
    (lambda: theory.expectation(abs, 1.0, "0"), "kinks", "got", "'0'", "such as (0.0,)"),
    (lambda: theory.expectation(abs, 1.0, (0, NAN)), "kinks", "nan", "such as (0.0,)"),
    (lambda: theory.expectation(explode, 3.5), "the expectation", "N(0, 3.5)", "clip it"),
    (lambda: theory.gain(explode), "the expectation", "N(0, 1)", "bounded growth"),
    (lambda: theory.gain(zero), "activation", "no gain", "zero at", "no weight scale"),
    (lambda: theory.gain("GELU"), "activation", NAMES, "got 'GELU'"),
    (
        lambda: theory.gain(lambda z: np.ones(3)),
        "activation",
        "the shape (",
        "(3,)",
        "alone",
    ),
    (lambda: theory.second_moment("relu", 0), "q", "got 0", "such as 1.0"),
    (lambda: theory.slope_second_moment("relu", [1]), "q", "got [1]", "such as 1.0"),
    (lambda: theory.second_moment_map(1, "relu", 0), "sigma_w", "got 0", "fan_in"),
    (lambda: theory.second_moment_map(1, "relu", NAN), "sigma_w", "nan", "such as 1.0"),
    (lambda: theory.second_moment_map(1, "relu", 1, -1), "sigma_b", "-1", "of a bias"),
    (lambda: theory.second_moment_map(0, "relu", 1), "q", "got 0", "such as 1.0"),
    (lambda: theory.growth_factor(0, 3), "std", "got 0", "such as 0.05"),
    (lambda: theory.growth_factor("a", 3), "std", "got 'a'", "such as 0.05"),
    (lambda: theory.growth_factor(1, 0), "fan_in", "got 0", "such as 256"),
    (lambda: theory.growth_factor(1, 2.5), "fan_in", "got 2.5", "such as 256"),
    (lambda: theory.growth_factor(1, 3, ["relu"]), "activation", NAMES, "got ['relu']"),
    (lambda: theory.overflow_layer(1, "float16"), "growth", "above 1, got 1", "grows"),
    (lambda: theory.overflow_layer(2, "half"), "dtype", "float16, bfloat16", "'half'"),
    (lambda: theory.overflow_layer(2, np.float16), "dtype", "float16, bfl", "got <class"),
    (lambda: theory.overflow_layer(2, "float16", 0), "start", "got 0", "rms of the input"),
    (
        lambda: theory.underflow_layer(1, "float16"),
        "growth",
        "above 0 and below 1, got 1",
        "lower std",
    ),
    (
        lambda: theory.underflow_layer(0, "float16"),
        "growth",
        "above 0 and below 1, got 0",
        "shrinks",
    ),
    (lambda: theory.underflow_layer(NAN, "float16"), "growth", "got nan", "shrinks"),
    (lambda: theory.underflow_layer(0.5, None), "dtype", "float64", "got None"),
    (lambda: theory.underflow_layer(0.5, "float16", -1), "start", "-1", "rms of the input"),
    (lambda: theory.log_norm_variance("relu", 0, 3), "depth", "got 0", "such as 50"),
    (lambda: theory.log_norm_variance("relu", 2, 1.5), "width", "got 1.5", "such as 64"),
    (lambda: theory.log_norm_variance(zero, 2, 3), "activation", "no gain", "zero at"),
    (lambda: theory.fixed_point("relu", 1.5), "sigma_w", "got 1.5", "'relu'", "lower it"),
    (lambda: theory.fixed_point("linear", 1, 0.1), "sigma_w", "got 1:", "lower it"),
    (lambda: theory.fixed_point("tanh", 0), "sigma_w", "above 0, got 0", "such as 1.0"),
    (lambda: theory.chi("tanh", 1, -0.1), "sigma_b", "got -0.1", "of a bias"),
    (lambda: theory.chi("Tanh", 1), "activation", NAMES, "got 'Tanh'"),
    (
        lambda: theory.correlation_map(1.1, "tanh", 1),
        "c",
        "at most 1, got 1.1",
        "correlation",
    ),
    (
        lambda: theory.correlation_map(-1.1, "tanh", 1),
        "c",
        "at least -1 and at most 1, got -1.1",
        "correlation",
    ),
    (lambda: theory.correlation_map([0.5], "tanh", 1), "c", "got [0.5]", "correlation"),
    (lambda: theory.correlation_map(NAN, "tanh", 1), "c", "got nan", "from -1 to 1"),
    (lambda: theory.depth_scale("relu", 2), "sigma_w", "got 2:", "lower it"),
    (lambda: theory.edge_of_chaos("tanh", -1), "sigma_b", "got -1", "such as 0.0"),
    (
        lambda: theory.edge_of_chaos("relu", 0.1),
        "sigma_b",
        "got 0.1",
        "'relu'",
        "see chi()",
    ),
    (lambda: theory.edge_of_chaos("gelu"), "sigma_b", "got 0:", "'gelu' has none"),
    # where σ_w has the slopes of χ = 1 at one q, and the signal settles at another
    (lambda: theory.edge_of_chaos("gelu", 0.3), "sigma_b", "got 0.3:", "'gelu' has none"),
    (lambda: theory.edge_of_chaos(None), "activation", NAMES, "got None"),
]


def weights(*widths, std=1.0, rng=RNG):
    return lambda: signals.random_weights(*widths, std, rng)


def forward(x=W, w=W, *activation):
    return lambda: signals.forward(x, w, *activation)


def backward(delta=(1.0, 1.0), w=W, zs=ZS, *activation):
    return lambda: signals.backward(delta, w, zs, *activation)


def breaking(std=1, width=4, dtype="float16", *activation, rng=RNG, **options):
    return lambda: signals.breaking_layer(
        std, width, dtype, *activation, rng=rng, **options
    )


SIGNALS = [
    (lambda: signals.rms([]), "a", "non-empty", "got []", ".detach().numpy()"),
    (lambda: signals.rms("abc"), "a", "got 'abc'", ".detach().numpy()"),
    (lambda: signals.rms(None), "a", "got None", ".detach().numpy()"),
    (lambda: signals.rms([[1, 2], [3]]), "a", "got [[1, 2], [3]]", ".detach().numpy()"),
    (lambda: signals.rms([1j]), "a", "got [1j]", ".detach().numpy()"),
    (
        lambda: signals.rms(torch.ones(2, requires_grad=True)),
        "a",
        "got tensor([1., 1.], requires_grad=True)",
        "convert a tensor with .detach().numpy()",
    ),
    (weights([4]), "widths", "got [4]", "[64, 64]"),
    (weights(None), "widths", "got None", "[64, 64]"),
    (weights([4, 0]), "widths", "got 0", "every layer has units"),
    (weights([4, 2.5]), "widths", "got 2.5", "every layer has units"),
    (weights([4, [3]]), "widths", "got [3]", "every layer has units"),
    (weights([4, 3], std=-1), "std", "got -1", "such as 0.05"),
    (weights([4, 3], std=NAN), "std", "got nan", "such as 0.05"),
    (weights([4, 3], rng=0), "rng", "got 0", GENERATOR),
    (forward([NAN, 1, 1, 1]), "x", "got [nan, 1, 1, 1]", "one sample (n,) or a batch"),
    (forward(1.0), "x", "shape ()", "one sample (n,) or a batch"),
    (forward(np.ones((2, 2, 4))), "x", "shape (2, 2, 4)", "one sample (n,) or a batch"),
    (forward("abcd"), "x", "got 'abcd'", "one sample (n,) or a batch"),
    (forward(np.ones(4), []), "weights", "got []", "(fan_out, fan_in)"),
    (forward(np.ones(4), None), "weights", "got None", "(fan_out, fan_in)"),
    (
        forward(np.ones(4), [W[0].T]),
        "weights[0]",
        "(fan_out, 4)",
        "got (4, 3)",
        "stored as (fan_out, fan_in)",
    ),
    (forward(np.ones(4), [W[0], W[0]]), "weights[1]", "(fan_out, 3)", "got (3, 4)"),
    (forward(np.ones(4), W[0]), "weights[0]", "2 axes", "(4,)", "(fan_out, fan_in)"),
    (forward(np.ones(4), ["a"]), "weights[0]", "got 'a'", "(fan_out, fan_in)"),
    (forward(np.ones(4), [[[1], [1, 2]]]), "weights[0]", "got [[1], [1, 2]]", "fan_in"),
    (forward(np.ones(4), W, "Tanh"), "activation", NAMES, "got 'Tanh'"),
    (forward(np.ones(4), W, math.tanh), "activation", "tanh", "use np.tanh"),
    (backward([NAN, 1]), "delta", "got [nan, 1]", "∂L/∂z of the last layer"),
    (
        backward(np.ones((1, 2))),
        "zs",
        "the shapes [(1, 3), (1, 2)]",
        "delta (1, 2)",
        "the first list",
    ),
    (backward(zs=[]), "zs", "got []", "the first list that forward() returned"),
    (backward(zs=ZS[1:]), "zs", "the shapes [(3,), (2,)]", "got [(2,)]", "the first list"),
    (
        backward(np.ones(3), zs=ZS[::-1]),
        "zs",
        "the shapes [(3,), (2,)]",
        "got [(2,), (3,)]",
        "the first list",
    ),
    (
        backward(np.ones((2, 2)), zs=[np.ones((5, 3)), np.ones((2, 2))]),
        "zs",
        "the shapes [(2, 3), (2, 2)]",
        "got [(5, 3), (2, 2)]",
        "the first list",
    ),
    (backward(w=[np.ones(3), W[1]]), "weights[0]", "2 axes", "(3,)", "(fan_out, fan_in)"),
    (backward(w=None), "weights", "got None", "(fan_out, fan_in)"),
    (backward([1, 1], W, ZS, "Relu"), "activation", NAMES, "got 'Relu'"),
    (breaking(std=0), "std", "got 0", "such as 0.05"),
    (breaking(width=0), "width", "got 0", "such as 256"),
    (breaking(width=2.5), "width", "got 2.5", "such as 256"),
    (breaking(dtype="half"), "dtype", "float16, bfloat16", "got 'half'"),
    (breaking(dtype=torch.float16), "dtype", "float16", "got torch.float16"),
    (breaking(1, 4, "float16", "Relu"), "activation", NAMES, "got 'Relu'"),
    (breaking(rng=None), "rng", "got None", GENERATOR),
    (breaking(max_depth=0), "max_depth", "got 0", "a number of layers"),
]


def batch(x=X, *args, **options):
    return lambda: norms.batch_norm(x, *args, **options)


def layer(x=X, shape=4, *args, **options):
    return lambda: norms.layer_norm(x, shape, *args, **options)


def group(x=X, num_groups=2, *args, **options):
    return lambda: norms.group_norm(x, num_groups, *args, **options)


def instance(x=STACK[0], *args, **options):
    return lambda: norms.instance_norm(x, *args, **options)


def rms(x=X, shape=4, *args, **options):
    return lambda: norms.rms_norm(x, shape, *args, **options)


def back(dy=X, cache=None):
    cache = norms.batch_norm(X)[1] if cache is None else cache
    return lambda: norms.batch_norm_backward(dy, cache)


def fold(*layers, module=None):
    net = torch.nn.Sequential(*layers).eval()
    return lambda: norms.fold_batch_norm(net if module is None else module)


class Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = LINEAR, NORM

    def forward(self, x):
        return x + self.norm(self.layer(x))


class Reversed(torch.nn.Sequential):
    def forward(self, x):
        return self[0](self[1](x))


class Scaled(torch.nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    layer = torch.nn.Linear(3, 3)
    layer.register_forward_hook(lambda m, args, out: out + 1)
    return layer


def watched():
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    net.register_forward_hook(lambda m, args, out: out + 1)
    return net


def half_way():
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).eval()
    net[1].train()
    return net


LINEAR, NORM, NOT = torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU()
STATE = (np.zeros(4), np.ones(4))
UNTRACKED = torch.nn.BatchNorm1d(3, track_running_stats=False)
SYNC = torch.nn.SyncBatchNorm(3)
PARAMETRIZED = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 3))

NORMS = [
    (batch(X[:1]), "x", "more than one value a channel", "(1, 4)", "a larger batch"),
    (batch(np.ones((1, 4, 1))), "x", "in training", "(1, 4, 1)", "training=False"),
    (batch(X[0]), "x", "(batch, channels, ...)", "shape (4,)", "x[None]"),
    (batch(X * NAN), "x", "finite", "got array([[nan", ".detach().numpy()"),
    (
        batch([[1.0, INF], [1.0, 2.0]]),
        "x",
        "finite",
        "got [[1.0, inf]",
        ".detach().numpy()",
    ),
    (batch("abc"), "x", "finite numbers", "got 'abc'", ".detach().numpy()"),
    (batch(torch.ones(2, 2, requires_grad=True)), "x", "got tensor", ".detach().numpy()"),
    (batch(X, np.ones(3)), "weight", "shape (4,)", "got shape (3,)", "or None"),
    (batch(X, np.ones((4, 1))), "weight", "shape (4,)", "got shape (4, 1)", "or None"),
    (batch(X, None, np.ones(6)), "bias", "shape (4,)", "got shape (6,)", "or None"),
    (batch(X, None, STATE[0] * NAN), "bias", "finite", "got array([nan", "or None"),
    (batch(X, None, None, STATE[0]), "running_var", "got None", "or both None"),
    (batch(X, running_var=STATE[1]), "running_mean", "got None", "or both None"),
    (batch(training=False), "running_mean", "got None", "or training=True"),
    (
        batch(X, None, None, np.zeros(3), np.ones(3)),
        "running_mean",
        "shape (4,)",
        "got shape (3,)",
        "np.zeros and np.ones",
    ),
    (batch(X, None, None, STATE[0], -STATE[1]), "running_var", "[-1.", "a variance"),
    (batch(momentum=1.5), "momentum", "at most 1, got 1.5", "such as 0.1"),
    (batch(momentum=-0.1), "momentum", "at least 0 and at most 1, got -0.1", "such as 0.1"),
    (batch(momentum=NAN), "momentum", "finite", "got nan", "such as 0.1"),
    (batch(X, None, None, *STATE, momentum=None), "num_batches_tracked", "None", "is 0"),
    (batch(num_batches_tracked=-1), "num_batches_tracked", "got -1", "before the first"),
    (batch(num_batches_tracked=1.0), "num_batches_tracked", "got 1.0", "before the"),
    (batch(eps=-1e-5), "eps", "at least 0, got -1e-05", "1e-5 is usual"),
    (batch(eps=0), "eps", "above 0 where", "got 0", "1e-5 is usual"),
    (batch(eps="a"), "eps", "a finite number", "got 'a'", "1e-5 is usual"),
    (layer(shape=3), "normalized_shape", "(3,) for shape (6, 4)", "x.shape[1:]"),
    (layer(shape=(6,)), "normalized_shape", "(6,) for shape (6, 4)", "x.shape[1:]"),
    (layer(shape=(2, 6, 4)), "normalized_shape", "(2, 6, 4)", "x.shape[1:]"),
    (layer(shape=()), "normalized_shape", "got () for shape (6, 4)", "x.shape[1:]"),
    (layer(shape="4"), "normalized_shape", "got ('4',)", "x.shape[1:]"),
    (layer(X > 0), "x", "finite numbers", "got array([[ True", ".detach().numpy()"),
    (layer(X, 4, np.ones(6)), "weight", "shape (4,)", "got shape (6,)", "or None"),
    (layer(X, 4, None, np.ones((6, 4))), "bias", "(4,)", "shape (6, 4)", "or None"),
    (layer(eps=NAN), "eps", "got nan", "1e-5 is usual"),
    (layer(eps=-1), "eps", "got -1", "1e-5 is usual"),
    (group(num_groups=3), "num_groups", "divide", "3 for shape (6, 4)", "axis 1"),
    (group(num_groups=8), "num_groups", "divide", "8 for shape (6, 4)", "axis 1"),
    (group(num_groups=0), "num_groups", "at least 1, got 0", "such as 32"),
    (group(num_groups=2.0), "num_groups", "whole number", "got 2.0", "such as 32"),
    (group(X[:1], 4), "x", "one value a group", "(1, 4) for 4 groups", "fewer groups"),
    (group(X[0]), "x", "(batch, channels, ...)", "got shape (4,)", "x[None]"),
    (group(X, 2, np.ones(2)), "weight", "shape (4,)", "got shape (2,)", "or None"),
    (instance(X), "x", "one trailing entry", "shape (6, 4)", "(batch, channels, length)"),
    (instance(np.ones((2, 3, 1))), "x", "one trailing", "(2, 3, 1)", "(batch, channels"),
    (instance(STACK[0], None, np.ones(4)), "bias", "(3,)", "got shape (4,)", "or None"),
    (rms(X, 4, np.ones(3)), "weight", "shape (4,)", "got shape (3,)", "or None"),
    (rms(X * 0, eps=0.0), "eps", "above 0 where", "got 0", "1e-5 is usual"),
    (rms(eps=-1), "eps", "got -1", "1e-5 is usual"),
    (back(X[:3]), "dy", "shape (6, 4)", "got shape (3, 4)", "shape of y"),
    (back(X * NAN), "dy", "finite", "got array([[nan", "shape of y"),
    (back(Y), "dy", "shape (6, 4)", "got shape (6,)", "shape of y"),
    (fold(module="net"), "module", "torch.nn.Module, got 'net'", "the model itself"),
    (fold(module=torch.nn.Linear(2, 2, device="meta")), "module", "values", "to_empty"),
    (fold(module=torch.nn.Linear(3, 3)), "module", "Linear in training", "module.eval()"),
    (
        fold(module=half_way()),
        "module",
        "BatchNorm1d at '1' in training mode",
        "module.eval()",
    ),
    (fold(LINEAR, UNTRACKED), "module", "at '1' without running", "track_running_stats"),
    (fold(LINEAR, SYNC), "module", "1d to 3d directly", "SyncBatchNorm at '1'", "unfolded"),
    (fold(NORM), "module", "at '0' first", "unfolded"),
    (fold(LINEAR, NOT, NORM), "module", "at '2' behind ReLU", "unfolded"),
    (
        fold(torch.nn.Sequential(LINEAR, NOT), NORM),
        "module",
        "BatchNorm1d at '1' behind",
        "unfolded",
    ),
    (
        fold(LINEAR, NORM, torch.nn.BatchNorm1d(3)),
        "module",
        "at '2' behind BatchNorm1d",
        "unfolded",
    ),
    (fold(Scaled(3, 3), NORM), "module", "at '1' behind Scaled", "unfolded"),
    (fold(PARAMETRIZED, NORM), "module", "behind ParametrizedLinear", "unfolded"),
    (
        fold(torch.nn.Conv2d(1, 3, 1), NORM),
        "module",
        "BatchNorm1d at '1' behind Conv2d",
        "unfolded",
    ),
    (fold(LINEAR, NORM, LINEAR), "module", "a layer once", "at '0' twice", "copy it"),
    (
        fold(LINEAR, NORM, torch.nn.Linear(3, 3), NORM),
        "module",
        "a layer once",
        "BatchNorm1d at '1' twice",
        "copy it",
    ),
    (fold(hooked(), NORM), "module", "no hooks", "Linear at '0'", "remove it first"),
    (fold(watched(), LINEAR), "module", "plain", "Sequential at '0' around", "by hand"),
    (fold(Residual()), "module", "Residual at '0' around a batch norm", "by hand"),
    (
        fold(module=Reversed(NORM, LINEAR).eval()),
        "module",
        "made of plain Sequentials, got Reversed around a batch norm",
        "by hand",
    ),
]


def train(w=STACK, x=X, y=Y, **options):
    options = {"learning_rate": [0.1, 0.1], "steps": 1, **options}
    return lambda: training.train(w, x, y, **options)


def accuracy(x, y):
    return lambda: train()().accuracy(x, y)


TRAINING = [
    (train([]), "weights", "got []", "stack the runs along a first axis"),
    (train(None), "weights", "got None", "stack the runs along a first axis"),
    (train([np.ones((3, 4))]), "weights[0]", "3 axes", "(3, 4)", "stack the runs"),
    (train(["a"]), "weights[0]", "got 'a'", "stack the runs"),
    (train([[[[1], [1, 2]]]]), "weights[0]", "got [[[1], [1, 2]]]", "stack the runs"),
    (train([STACK[0], np.ones((3, 5, 3))]), "weights[1]", "(2, fan_out, 3)", "(3, 5, 3)"),
    (train([STACK[0], np.ones((2, 5, 4))]), "weights[1]", "(2, fan_out, 3)", "(2, 5, 4)"),
    (
        train(x=X * NAN),
        "x",
        "finite",
        "got array([[nan",
        "pass inputs of shape (samples, 4)",
    ),
    (train(x=X[0]), "x", "2 axes", "(4,)", "pass inputs of shape (samples, 4)"),
    (train(x=X[:, :3]), "x", "4 columns", "the fan_in of W^1", "got (6, 3)"),
    (train(x=None), "x", "got None", "pass inputs of shape (samples, 4)"),
    (train(x=X[:0]), "x", "non-empty", "got array([]", "pass inputs of shape"),
    (train(y=Y * 1.0), "y", "whole numbers from 0 to 4", "got float64"),
    (train(y=Y + 1), "y", "whole numbers from 0 to 4", "from 1 to 5"),
    (train(y=Y - 1), "y", "whole numbers from 0 to 4", "from -1 to 3"),
    (train(y=Y[:4]), "y", "6 whole numbers", "shape (4,)"),
    (train(y=np.eye(5)[Y]), "y", "1 axes", "(6, 5)", "pass class numbers"),
    (train(y=["a"] * 6), "y", "got ['a'", "pass class numbers"),
    (train(learning_rate=0.1), "learning_rate", "1 axes", "shape ()", "one number a run"),
    (train(learning_rate=[0.1]), "learning_rate", "2 numbers", "got array([0.1])"),
    (train(learning_rate=[0.1, -1]), "learning_rate", "at least 0", "-1"),
    (train(learning_rate=[0.1, NAN]), "learning_rate", "got [0.1, nan]", "number a run"),
    (train(biases=[]), "biases", "got []", "(runs, fan_out) a layer"),
    (train(biases=[np.ones((2, 3))]), "biases", "[(2, 3), (2, 5)], got [(2, 3)]"),
    (train(biases=[np.ones(3), np.ones(5)]), "biases", "[(2, 3), (2, 5)], got [(3,), (5"),
    (train(biases=["a", "b"]), "biases[0]", "got 'a'", "(runs, fan_out) a layer"),
    (train(steps=0), "steps", "at least 1, got 0", "number of gradient steps"),
    (train(steps=2.5), "steps", "whole number", "got 2.5", "number of gradient steps"),
    (train(activation="Relu"), "activation", NAMES, "got 'Relu'"),
    (train(activation=np.tanh), "activation", NAMES, "got <ufunc 'tanh'>"),
    (train(batch_size=7, rng=RNG), "batch_size", "at most 6 samples", "got 7"),
    (train(batch_size=0, rng=RNG), "batch_size", "at least 1, got 0", "such as 64"),
    (train(batch_size=2.0, rng=RNG), "batch_size", "got 2.0", "such as 64"),
    (train(batch_size=2), "rng", "got None", GENERATOR),
    (train(batch_size=2, rng=3), "rng", "got 3", GENERATOR),
    (train(norm="bn"), "norm", "batch, layer", "got 'bn'"),
    (train(norm=True), "norm", "batch, layer", "got True"),
    (train(norm="batch", batch_size=1, rng=RNG), "batch_size", "2", "got 1", "own mean"),
    (train(optimizer="Adam"), "optimizer", "sgd, adam", "got 'Adam'"),
    (train(optimizer="adam", momentum=0.9), "momentum", "0 with", "got 0.9", "only 'sgd'"),
    (train(optimizer="adam", eps=0), "eps", "above 0, got 0", "1e-8 is usual"),
    (train(momentum=-0.1), "momentum", "at least 0 and", "got -0.1", "0.9 is usual"),
    (train(momentum=1), "momentum", "below 1, got 1", "0.9 is usual"),
    (train(momentum=NAN), "momentum", "got nan", "0.9 is usual"),
    (train(watch=(X[:, :3], Y)), "watch[0]", "4 columns", "got (6, 3)"),
    (train(watch=(X, Y + 1)), "watch[1]", "whole numbers from 0 to 4", "from 1 to 5"),
    (train(watch=(X, Y), every=0), "every", "at least 1, got 0", "such as 10"),
    (train(dtype="float16"), "dtype", "float32, float64", "got 'float16'"),
    (train(dtype=torch.float64), "dtype", "float32, float64", "got torch.float64"),
    (accuracy(X[:, :3], Y), "x", "4 columns", "got (6, 3)"),
    (accuracy(X, Y + 1), "y", "whole numbers from 0 to 4", "from 1 to 5"),
]


def digits(*fraction, rng=RNG):
    return lambda: datasets.digits(*fraction, rng=rng)


DATASETS = [
    (digits(0.0), "test_fraction", "above 0 and below 1, got 0.0", "such as 0.2"),
    (digits(-0.2), "test_fraction", "got -0.2", "such as 0.2"),
    (digits(1.0), "test_fraction", "below 1, got 1.0", "such as 0.2"),
    (digits(20), "test_fraction", "below 1, got 20", "such as 0.2"),
    (digits(NAN), "test_fraction", "finite", "got nan", "such as 0.2"),
    (digits(INF), "test_fraction", "finite", "got inf", "such as 0.2"),
    (digits("0.2"), "test_fraction", "got '0.2'", "such as 0.2"),
    (digits(None), "test_fraction", "got None", "such as 0.2"),
    (digits([0.2]), "test_fraction", "got [0.2]", "such as 0.2"),
    (digits(True), "test_fraction", "got True", "such as 0.2"),
    (digits(rng=0), "rng", "Generator", "got 0", GENERATOR),
    (digits(rng=None), "rng", "Generator", "got None", GENERATOR),
    (digits(rng=np.random.RandomState(0)), "rng", "RandomState", GENERATOR),
    (digits(rng=torch.Generator()), "rng", "got <torch", GENERATOR),
]


def subplots(*args, **options):
    return lambda: figures.subplots(*args, **options)


def bare():
    return figures.subplots()[1]


def lined(*y):
    ax = bare()
    ax.plot(range(len(y)), y)
    return ax


def band(x, runs):
    return lambda: figures.band(bare(), x, runs)


FIGURES = [
    (
        lambda: figures.end_label(lined(NAN, NAN), "a"),
        "line",
        "a finite point",
        "got y = [nan nan]",
    ),
    (lambda: figures.end_label(lined(), "a"), "line", "a finite point", "got y = []"),
]

FORM = "(what, predicted, measured, why)"


def rows(*rows, **options):
    return lambda: check.predicted_measured(*rows, **options)


def row(what="a", predicted=1.0, measured=1.0, why="same", **options):
    return rows((what, predicted, measured, why), **options)


def agree(mine=1.0, reference=1.0, atol=1e-9):
    return lambda: check.agree("these", mine, reference, atol=atol)


def claim(statement="s", **said):
    said = {"who": "w", "predicted": "p", "measured": "m", "verdict": "holds", **said}
    return lambda: check.claim(statement, **said)


def reproduced(figure="f", **said):
    said = {"paper": "p", "here": "h", "theirs": "t", "ours": "o", **said}
    return lambda: check.reproduced(figure, **said)


CHECK = [
    (rows(), "rows", "one or more, got ()", "pass (what, predicted, ...)"),
    (row(predicted=NAN), "predicted of row 'a'", "got nan", "before the table"),
    (row(measured=INF), "measured of row 'a'", "got inf", "before the table"),
    (row(measured="1"), "measured of row 'a'", "got '1'", "before the table"),
    (row(measured=torch.ones(())), "measured of row 'a'", "got tensor(1.)", "before"),
    (row(what="|a|"), "what and why", "cells of a table", "got '|a|'", "\\lvert a\\rvert"),
    (row(why="a\nb"), "what and why", "cells of a table", "'a\\nb'", "on one line"),
    (row(rtol=0), "rtol", "above 0, got 0", "such as 0.05"),
    (row(rtol=NAN), "rtol", "finite", "got nan", "such as 0.05"),
    (row(digits=0), "digits", "at least 1, got 0", "such as 3"),
    (row(digits=2.5), "digits", "whole number", "got 2.5", "such as 3"),
    (agree(atol=0), "atol", "above 0, got 0", "say 1e-12"),
    (agree(atol=-1), "atol", "got -1", "say 1e-12"),
    (agree(atol=None), "atol", "got None", "say 1e-12"),
    (lambda: check.glue(growth=16.0), "growth", "must be text, got 16.0", "format it"),
    (lambda: check.glue(a="1", b=None), "b", "must be text, got None", "format it"),
    (claim(verdict="true"), "verdict", "holds, holds in part, fails", "got 'true'"),
    (claim(verdict=None), "verdict", "holds, holds in part, fails", "got None"),
    (claim(" "), "statement", "a sentence", "got ' '", "in words"),
    (claim(3), "statement", "a sentence", "got 3", "in words"),
    (claim(who=""), "who", "a sentence", "got ''", "in words"),
    (claim(predicted=3), "predicted", "a sentence", "got 3", "in words"),
    (claim(measured=None), "measured", "a sentence", "got None", "in words"),
    (reproduced(""), "figure", "a sentence", "got ''", "in words"),
    (reproduced(paper=2010), "paper", "a sentence", "got 2010", "in words"),
    (reproduced(here=None), "here", "a sentence", "got None", "in words"),
    (reproduced(theirs=" "), "theirs", "a sentence", "got ' '", "in words"),
    (reproduced(ours=0.63), "ours", "a sentence", "got 0.63", "in words"),
    (lambda: check.exercise("0.1", 1), "number", "such as '1.2'", "got '0.1'", "below"),
    (lambda: check.exercise(["1.1"], 1), "number", "such as '1.2'", "got ['1.1']"),
]

TABLES = {
    "initializers": INITIALIZERS,
    "theory": THEORY,
    "signals": SIGNALS,
    "norms": NORMS,
    "training": TRAINING,
    "datasets": DATASETS,
    "figures": FIGURES,
    "check": CHECK,
}
CASES = [
    pytest.param(call, says, id=f"{module}-{i}-{says[0]}")
    for module, table in TABLES.items()
    for i, (call, *says) in enumerate(table)
]

# Two results that differ are no bad input but a finding: an AssertionError says so.
DISAGREE = [
    (row(measured=1.2), "row 'a'", "predicted 1", "measured 1.2", "rtol = 0.05"),
    (row(measured=-1.0), "row 'a'", "predicted 1", "measured -1", "rtol = 0.05"),
    (row(predicted=0), "row 'a'", "predicted 0", "measured 1", "rtol = 0.05"),
    (agree([1.0, 2.0], [1.0, 2.5]), "these", "largest difference 0.5", "more than 1e-09"),
    (agree([1.0], [NAN]), "these", "largest difference nan", "more than 1e-09"),
    (agree([INF], [INF]), "these", "largest difference nan", "more than 1e-09"),
    (agree(None, 1.0), "these", "largest difference nan", "more than 1e-09"),
    (agree(np.ones(3), np.ones((3, 1))), "these", "shapes differ", "(3,)", "(3, 1)"),
    (agree(np.ones(3), 1.0), "these", "shapes differ", "(3,)", "()"),
    (agree([], [1.0]), "these", "shapes differ", "(0,)", "(1,)"),
]


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def assert_says(message, says):
    """All that is to be said, in its order, the name of the argument first."""
    assert message.startswith(says[0])
    assert not re.match(r"\w", message[len(says[0]) :])
    place = 0
    for words in says:
        assert words in message[place:], f"{words!r} is not said in its place: {message}"
        place = message.index(words, place) + len(words)


@pytest.mark.parametrize(("call", "says"), CASES)
def test_bad_input(call, says):
    with pytest.raises(ValueError) as error:
        call()
    message = str(error.value)
    assert_says(message, says)
    assert re.search(r"\bmust \w+|\bhas no gain\b|\bis not finite\b", message)
    assert "\n" not in message and 25 < len(message) < 260
    assert type(error.value) is ValueError


def test_no_table_is_empty():
    assert all(TABLES.values())


@pytest.mark.parametrize(("call", "says"), [(call, says) for call, *says in DISAGREE])
def test_disagreement_is_an_assertion_error(call, says):
    with pytest.raises(AssertionError) as error:
        call()
    assert_says(str(error.value), says)
    assert "\n" not in str(error.value)


def test_the_good_input_beside_the_bad_is_taken(capsys):
    """Each helper above, with its defaults: so that a case fails for what it says."""
    for call in (fans(4, 3), draw("he_normal"), init(), lsuv()):
        call()
    for call in (scaling(), weights([4, 3]), forward(np.ones(4)), backward(), breaking()):
        call()
    for call in (train(), accuracy(X, Y), digits(), subplots(), band([0, 1], [[1, 2]])):
        call()
    for call in (
        batch(),
        batch(X, None, None, *STATE),
        layer(),
        group(),
        instance(),
        rms(),
    ):
        call()
    for call in (back(), fold(LINEAR, NORM), fold(NOT)):
        call()
    figures.end_label(lined(1, 2), "a", dy=3)
    for call in (row(), agree(), claim(), reproduced()):
        call()
    assert "these: agree to 1e-09" in capsys.readouterr().out

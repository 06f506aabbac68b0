"""Every exercise knows its solution, and each usual wrong turn by its own sentence."""

import itertools
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import erf
from scipy.stats import norm
from sklearn.datasets import load_wine
from torch import nn

from nbcode import check, datasets
from nbcode.exercises import CHECKS, _judge


def gives_out(std, width, relu, smallest=2**-25, start=None):
    g = std * np.sqrt(width / 2 if relu else width)
    if g == 1:
        return np.inf
    limit = 65504 if g > 1 else smallest
    return np.ceil(np.log(limit / (start or np.sqrt(2 * np.log(width)))) / np.log(g))


def largest_over_rms(n, rng):
    z = rng.normal(size=n)
    return np.abs(z).max() / np.sqrt(np.mean(z**2))


def conv_fans(out, inputs, k, stride, groups):
    return inputs // groups * k**2, out // groups * k**2 / stride**2


def rounding_keeps():
    """The largest E[round(σz)²]/σ²: sums of probabilities, on a fine grid of σ."""
    sigma, k = np.linspace(0.2, 1.5, 5001), np.arange(1, 30)[:, None]
    probability = norm.cdf((k + 0.5) / sigma) - norm.cdf((k - 0.5) / sigma)
    return np.max((2 * k**2 * probability).sum(axis=0) / sigma**2)


def gelu_slope():
    """S = d log E[φ(√q z)²] / d log q at q = 1, which is E[z φ φ'] / E[φ²]."""
    z = np.linspace(-12, 12, 24001)
    density, cdf = np.exp(-z * z / 2) / np.sqrt(2 * np.pi), (1 + erf(z / 2**0.5)) / 2
    phi, slope = z * cdf, cdf + z * density
    return np.sum(z * phi * slope * density) / np.sum(phi**2 * density)


def xavier_conv_limit(out, inputs, k, groups):
    fan_in, fan_out = conv_fans(out, inputs, k, 1, groups)
    return np.sqrt(6 / (fan_in + fan_out))


def softplus_mean():
    """E[log(1 + e^z)] for z ~ N(0, 1), a sum on a fine grid."""
    z = np.linspace(-12, 12, 24001)
    return np.sum(np.log1p(np.exp(z)) * norm.pdf(z)) / np.sum(norm.pdf(z))


def centred_layer(W, shift=None, scale=2):
    shift = scale * softplus_mean() if shift is None else shift
    return scale * W, -shift * W.sum(axis=1)


def kaiming(model):
    for m in model.modules():
        if isinstance(m, torch.nn.Linear):
            torch.nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            torch.nn.init.zeros_(m.bias)
    return model


def handwritten():
    split = datasets.digits(rng=np.random.default_rng(0))
    return torch.tensor(split.x_train), torch.tensor(split.y_train)


def plain(*widths, norm=None):
    layers = []
    for n, m in itertools.pairwise(widths):
        layers += [torch.nn.Linear(n, m), *([norm(m)] if norm else []), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 10))


def sgd(model, lr, momentum=0.0):
    return torch.optim.SGD(model.parameters(), lr, momentum)


def wines(scaled=lambda x: (x - x.mean(0)) / x.std(0), lr=0.05):
    x, y = (torch.tensor(part) for part in load_wine(return_X_y=True))
    model = plain(13, 64, 64)
    return model, sgd(model, lr), scaled(x.float()), y


def twenty_layers(init=kaiming, lr=0.01):
    model = init(plain(64, *[64] * 19))
    return model, sgd(model, lr, 0.9), *handwritten()


def counting(std=0.02, lr=1e-3):
    """Predict a symbol from the last one, by a matrix that serves twice."""
    embed, norm, head = (
        torch.nn.Embedding(60, 64), torch.nn.LayerNorm(64), torch.nn.Linear(64, 60, False)
    )  # fmt: skip
    torch.nn.init.normal_(embed.weight, std=std)
    head.weight = embed.weight
    middle = torch.nn.Linear(64, 64)
    model = torch.nn.Sequential(embed, middle, torch.nn.ReLU(), torch.nn.Linear(64, 64),
                                norm, head)  # fmt: skip
    x = torch.arange(600) % 60
    return model, torch.optim.Adam(model.parameters(), lr), x, (x + 1) % 60


class Added(torch.nn.Module):
    def __init__(self, zero):
        super().__init__()
        self.up, self.down = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
        kaiming(self)
        if zero:
            torch.nn.init.zeros_(self.down.weight)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


def stream(zero=True, lr=0.01):
    first, last = kaiming(torch.nn.Linear(64, 64)), torch.nn.Linear(64, 10)
    model = torch.nn.Sequential(first, *[Added(zero) for _ in range(24)], last)
    return model, sgd(model, lr), *handwritten()


def seven_layers(lr=1e-3, init=lambda model: model):
    model = init(plain(64, *[128] * 6))
    return model, torch.optim.Adam(model.parameters(), lr), *handwritten()


def forgetful(train=True, lr=0.05):
    layers, c = [torch.nn.Unflatten(1, (1, 8, 8))], 1
    for _ in range(8):
        layers += [torch.nn.Conv2d(c, 16, 3, padding=1), torch.nn.BatchNorm2d(16)]
        layers, c = [*layers, torch.nn.ReLU()], 16
    model = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                                torch.nn.Linear(16, 10))  # fmt: skip
    return model.train(train), sgd(model, lr, 0.9), *handwritten()


def foreign():
    model, _, x, y = seven_layers()
    return model, sgd(plain(64, 64), 0.1), x, y


def first_not_finite(
    model, x, bad=lambda t: not t.isfinite().all(), leaves=True, pick=0, tidy="always"
):
    """Name of a bad module, in the order in which modules end; or a usual mistake."""
    seen, handles = [], []
    for name, m in model.named_modules():
        if leaves and list(m.children()):
            continue

        def hook(_, __, out, name=name):
            if bad(out):
                seen.append(name)

        handles.append(m.register_forward_hook(hook))
    try:
        model(x)
    except RuntimeError:
        if tidy == "always":
            [handle.remove() for handle in handles]
        raise
    if tidy != "never":
        [handle.remove() for handle in handles]
    return seen[pick] if seen else None


def by_definition(model, x):
    """As it would be found by going through the modules' list."""
    seen = []
    order = [name for name, m in model.named_modules() if not list(m.children())]
    first_not_finite(model, x, bad=lambda t: seen.append(not t.isfinite().all()))
    if not any(seen):
        return None
    name = first_not_finite(model, x)
    return order[0] if order == ["late", "early"] else name


def two_ratios(widths, mode, first=1):
    up = down = 1.0
    for n, m in zip(widths[first:-1], widths[first + 1 :], strict=True):
        fan = {"fan_in": n, "fan_out": m, "fan_avg": (n + m) / 2}[mode]
        up, down = up * n / fan, down * m / fan
    return up, down


def border(size, axes=2):
    """Largest eigenvalue of the walk that adds up three neighbours, for that many axes."""
    walk = (np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)) / 3
    return np.linalg.eigvalsh(walk).max() ** axes


def two_moments(name, q):
    """E[φ²] and E[φ'²] for z ~ N(0, q), in closed form or as sums on a fine grid."""
    if name == "hardtanh":
        inside = erf(1 / np.sqrt(2 * q))
        tail = np.sqrt(2 * q / np.pi) * np.exp(-1 / (2 * q))
        return q * inside - tail + 1 - inside, inside
    t = np.linspace(-12, 12, 24001)
    density = np.exp(-t * t / 2) / np.sum(np.exp(-t * t / 2))
    x = np.tanh(np.sqrt(q) * t)
    return np.sum(x**2 * density), np.sum((1 - x**2) ** 2 * density)


def edge_point(name, q):
    moment, slope = two_moments(name, q)
    return slope**-0.5, np.sqrt(q - moment / slope)


def merging_layer(c=0.3, layer=1):
    """The first layer with c > 0.99, by the arc-cosine kernel."""
    while c <= 0.99:
        c, layer = (np.sqrt(1 - c * c) + c * (np.pi - np.arccos(c))) / np.pi, layer + 1
    return layer


def selu_settles(factor, q=1.0):
    """The q to which q → factor·E[selu²] goes, on a fine grid."""
    t = np.linspace(-12, 12, 24001)
    density = np.exp(-t * t / 2) / np.sum(np.exp(-t * t / 2))
    for _ in range(300):
        z = np.sqrt(q) * t
        x = 1.0507009873554805 * np.where(
            z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))
        )
        q = factor * np.sum(x**2 * density)
    return q


def bn_counts(shape, positions=True, per_channel=2):
    """Parameters, running statistics and values a statistic of a batch norm."""
    values = np.prod(shape) // shape[1] if positions else shape[0]
    return per_channel * shape[1], per_channel * shape[1], values


def fold_before(W, b, gamma, beta, mean, var, eps):
    """A linear layer is known by what it does to zero and to the unit vectors."""

    def both(x):
        return W @ (gamma * (x - mean) / np.sqrt(var + eps) + beta) + b

    shift = both(np.zeros(len(mean)))
    return np.stack([both(e) - shift for e in np.eye(len(mean))], axis=1), shift


def merge(means, variances, counts):
    counts, means, variances = map(np.asarray, (counts, means, variances))
    mean = (counts * means).sum() / counts.sum()
    return mean, (counts * (variances + means**2)).sum() / counts.sum() - mean**2


def bn_slope_over_variance(phi, slope):
    """E[φ'²]/Var[φ] for z ~ N(0, 1), by sums on a fine grid."""
    z = np.linspace(-12, 12, 24001)
    density = norm.pdf(z) / np.sum(norm.pdf(z))
    variance = np.sum(phi(z) ** 2 * density) - np.sum(phi(z) * density) ** 2
    return np.sum(slope(z) ** 2 * density) / variance


def bn_jacobian(x, centre=True, eps=0.0):
    """∂y_i/∂x_j of (x − mean)/√(mean square + eps), one column, by complex steps."""
    out = np.empty((len(x), len(x)))
    for j in range(len(x)):
        z = x.astype(complex)
        z[j] += 1e-30j
        z = z - z.mean() if centre else z
        out[:, j] = (z / np.sqrt((z**2).mean() + eps)).imag / 1e-30
    return out


def eval_backward(dy, x, gamma, mean, var, eps, inside=True):
    std = np.sqrt(var + eps) if inside else np.sqrt(var)
    return gamma * dy / std, (dy * (x - mean) / std).sum(0), dy.sum(0)


def running_as_batch(dy, x, gamma, mean, var, eps):
    """The backward pass of training, with the running statistics put in."""
    std, g = np.sqrt(var + eps), gamma * dy
    xhat = (x - mean) / std
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std


def frozen(part, change):
    """eval_backward with one of its three results changed."""

    def answer(*inputs):
        parts = list(eval_backward(*inputs))
        parts[part] = change(*inputs)
        return tuple(parts)

    return answer


def scale_backward(dy, x, eps, centre=False):
    columns = [bn_jacobian(x[:, k], centre, eps).T @ dy[:, k] for k in range(x.shape[1])]
    return np.stack(columns, axis=1)


def scale_parts(dy, x, eps):
    s = np.sqrt((x**2).mean(0) + eps)
    return s, x / s, dy - x / s * (dy * x / s).mean(0)


def settles_in(rate=0.1, decay=5e-4):
    """Steps until the deviation of the length's fourth power has fallen by e."""
    u, steps = 1 + 1e-4, 0
    while u**2 - 1 > (2e-4 + 1e-8) / np.e:
        u, steps = u - 2 * rate * decay * (u - 1 / u), steps + 1
    return steps


def batch_of_three():
    return bn_jacobian(np.array([1.0, 2.0, 6.0]))[0, 0]


SIGMA_OF_THREE = np.array([1, 2, 6]).std()
BN_TANH = bn_slope_over_variance(np.tanh, lambda z: np.cosh(z) ** -2.0)
BN_RELU = bn_slope_over_variance(lambda z: np.maximum(z, 0), lambda z: z > 0)


def rms_backward(dy, x, mean=True, by=None):
    r = np.sqrt(np.mean(x**2, axis=1, keepdims=True))
    along = np.mean if mean else np.sum
    by = x / r if by is None else by
    return (dy - by * along(dy * by, axis=1, keepdims=True)) / r


def over(x, axes, eps=1e-5, outside=0.0):
    mean = np.mean(x, axis=axes, keepdims=True)
    var = np.mean((x - mean) ** 2, axis=axes, keepdims=True)
    return (x - mean) / (np.sqrt(var + eps) + outside)


def layer_norm_dx(dy, x):
    """Layer norm's backward pass by its Jacobian, one sample at a time."""
    out = []
    for row, slope in zip(x, dy, strict=True):
        hat, n = (row - row.mean()) / row.std(), len(row)
        out.append((np.eye(n) - 1 / n - np.outer(hat, hat) / n) @ slope / row.std())
    return np.array(out)


def medians(losses):
    """Over the seeds, a run that died as infinite."""
    return np.median(np.nan_to_num(losses, nan=np.inf), axis=1)


def best_rate(rates, losses):
    best = np.argmin(medians(losses))
    if not 0 < best < len(rates) - 1:
        raise ValueError("extend the sweep")
    return rates[best]


def stretched(W1, W2, factors):
    return np.diag(factors) @ W1, W2 @ np.diag(1 / factors)


def imbalance(W1, W2):
    """Length of each unit's column over that of its row."""
    return np.sqrt(np.diag(W2.T @ W2) / np.diag(W1 @ W1.T))


def balance(W1, W2):
    return stretched(W1, W2, np.sqrt(imbalance(W1, W2)))


def ten_classes(hidden, readout):
    """A maker of classifiers whose two matrices are filled as told."""

    def classifier(width):
        model = torch.nn.Sequential(
            torch.nn.Linear(64, width),
            torch.nn.BatchNorm1d(width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, 10),
        )
        hidden(model[0].weight)
        readout(model[3].weight)
        return model

    return classifier


def deep_relu(fill, *, norm=False):
    """A maker of deep ReLU networks, filled as told, with or without norms."""

    def mlp(depth):
        layers = []
        for i in range(depth):
            linear = torch.nn.Linear(64, 64 if i < depth - 1 else 10)
            fill(linear.weight)
            torch.nn.init.zeros_(linear.bias)
            layers += [linear, torch.nn.BatchNorm1d(64), torch.nn.ReLU()]
        layers = layers[:-2]
        if not norm:
            layers = [m for m in layers if not isinstance(m, torch.nn.BatchNorm1d)]
        return torch.nn.Sequential(*layers)

    return mlp


def he_normal_(weight):
    return torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")


def default_mlp(depth):
    sizes = [64] * depth + [10]
    layers = []
    for n, m in pairwise(sizes):
        layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


class Tied(torch.nn.Module):
    def __init__(self, vocabulary, width, std=1.0, scale=1.0, out=1.0, residual=True):
        super().__init__()
        self.tokens = torch.nn.Embedding(vocabulary, width)
        torch.nn.init.normal_(self.tokens.weight, 0, std)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(width) for _ in range(2))
        self.up = torch.nn.Linear(width, 4 * width)
        self.down = torch.nn.Linear(4 * width, width)
        self.scale, self.out, self.residual = scale, out, residual

    def forward(self, tokens):
        x = self.scale * self.tokens(tokens)
        branch = self.down(torch.nn.functional.gelu(self.up(self.norms[0](x))))
        x = self.residual * x + branch
        return self.out * self.norms[1](x) @ self.tokens.weight.T


class Untied(torch.nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.tokens = torch.nn.Embedding(vocabulary, width)
        self.readout = torch.nn.Linear(width, vocabulary)

    def forward(self, tokens):
        return self.readout(self.tokens(tokens))


def builder(has_bias):
    def block(n_in, n_out, norm=torch.nn.BatchNorm1d):
        linear = torch.nn.Linear(n_in, n_out, bias=has_bias(norm))
        return torch.nn.Sequential(linear, norm(n_out), torch.nn.ReLU())

    return block


def without_norm(n_in, n_out, norm=None):
    return torch.nn.Sequential(torch.nn.Linear(n_in, n_out, bias=False), torch.nn.ReLU())


def adamw(decays, optimizer=torch.optim.AdamW):
    """A maker of optimizers that decay what `decays(name, parameter)` says."""

    def optimizer_for(model):
        groups = [
            {"params": [p], "weight_decay": 0.1 * bool(decays(name, p))}
            for name, p in model.named_parameters()
        ]
        return optimizer(groups, lr=1e-3)

    return optimizer_for


def matrices_only(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.ndim >= 2], lr=1e-3)


def residual(combine, *, norm=True):
    class DeepNorm(torch.nn.Module):
        def __init__(self, width, alpha):
            super().__init__()
            self.alpha = alpha
            self.norm = torch.nn.LayerNorm(width) if norm else None

        def forward(self, x, gx):
            norm = self.norm or (lambda z: torch.nn.functional.layer_norm(z, z.shape[-1:]))
            return combine(norm, self.alpha, x, gx)

    return DeepNorm


def half_precision(std, after=lambda x: x, dtype=torch.float16):
    def half_network(x, depth, width=256):
        x = x.to(dtype)
        for _ in range(depth):
            W = torch.randn(width, x.shape[-1]) * std(x.shape[-1])
            x = after(torch.relu(x @ W.to(dtype).T))
        return x

    return half_network


# pitfalls 9 to 16: the mended programs, and what people write instead


def batches(samples, batch_size, rng, *, shuffle=True, keep_from=None, cut=0, merge=False):
    order = rng.permutation(samples) if shuffle else np.arange(samples)
    parts = [order[i : i + batch_size] for i in range(cut, samples, batch_size)]
    if merge and len(parts[-1]) == 1:
        return [*parts[:-2], np.concatenate(parts[-2:])]
    return [part for part in parts if len(part) >= (keep_from or batch_size)]


def same_samples(samples, batch_size, rng):
    whole = samples - samples % batch_size
    return np.split(rng.permutation(whole), whole // batch_size)


def block(fan_in, width, make=nn.LayerNorm, relu=nn.ReLU):
    return nn.Sequential(nn.Linear(fan_in, width), make(width), relu())


def accumulated(model, x, y, parts, how="sum", zero=True):
    if zero:
        model.zero_grad()
    for xb, yb in zip(x.chunk(parts), y.chunk(parts), strict=True):
        loss = nn.functional.cross_entropy(model(xb), yb, reduction="sum")
        n = {"sum": len(x), "mean": len(xb), "parts": len(xb) * parts, "none": 1}[how]
        (loss / n).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@torch.no_grad()
def predict(model, x, before="eval", after="restore"):
    was = model.training
    modes = {part: part.training for part in model.modules()}
    if before == "eval":
        model.eval()
    elif before:
        for part in model.modules():
            if isinstance(part, before):
                part.eval()
    answer = model(x).argmax(1)
    if after == "restore":
        for part, mode in modes.items():
            part.training = mode
    elif after is not None:
        model.train(was if after == "one mode" else after)
    return answer


def stack(depth, width, keep, make=nn.BatchNorm1d, order="last"):
    layers, fan_in = [], 64
    for i in range(depth + 1):
        drop = [nn.Dropout(1 - keep)] if order != "none" else []
        linear, norm_, relu = nn.Linear(fan_in, width, bias=False), make(width), nn.ReLU()
        layers += {
            "behind": [linear, norm_, relu, *drop],
            "before": [*(drop if i else []), linear, norm_, relu],
            "beside": [linear, *drop, norm_, relu],
        }.get(order, [linear, norm_, relu])
        fan_in = width
    return nn.Sequential(*layers, *(drop if order == "last" else []))


def fine_tune(backbone, head, batches, mode="backbone", frozen=True, rate=0.1):
    backbone.requires_grad_(not frozen)
    if mode == "momentum":
        backbone[1].momentum = 0.0
    model = nn.Sequential(backbone, head)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], rate)
    for x, y in batches:
        model.train(mode != "all")
        if mode == "backbone":
            backbone.eval()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def only_weights_frozen(backbone, head, batches):
    backbone[0].requires_grad_(False)
    optimizer = torch.optim.SGD([*backbone[1].parameters(), *head.parameters()], 0.1)
    for x, y in batches:
        nn.functional.cross_entropy(head(backbone.eval()(x)), y).backward()
        optimizer.step()


class TwoViews(nn.Module):
    def __init__(self, fan_in, width, norms=2, linears=1, make=nn.BatchNorm1d):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(fan_in, width) for _ in range(linears))
        self.norms = nn.ModuleList(make(width) for _ in range(norms))

    def forward(self, a, b):
        a, b = self.linears[0](a), self.linears[-1](b)
        return self.norms[0](a), self.norms[-1](b)


class Joined(TwoViews):
    def forward(self, a, b):
        return self.norms[0](self.linears[0](torch.cat([a, b]))).split([len(a), len(b)])


def no_statistics(width):
    return nn.BatchNorm1d(width, track_running_stats=False)


def by_hand(x, eps=1e-5, wide=True, back=True, outside=False, unbiased=False):
    z = x.float() if wide and x.dtype == torch.float16 else x
    z = z - z.mean(-1, keepdim=True)
    variance = (z**2).sum(-1, keepdim=True) / (z.shape[-1] - unbiased)
    root = variance.sqrt() + eps if outside else (variance + eps).sqrt()
    return (z / root).to(x.dtype) if back else z / root


def by_rows(x):
    return torch.stack([by_hand(row) for row in x])


USE_PITFALLS = {
    "10.9": batches,
    "10.10": block,
    "10.11": accumulated,
    "10.12": predict,
    "10.13": stack,
    "10.14": fine_tune,
    "10.15": TwoViews,
    "10.16": by_hand,
}
#: (exercise, another mend that is right)
OTHER_MENDS = [
    ("10.9", lambda *a: batches(*a, keep_from=2)),
    ("10.9", lambda *a: batches(*a, merge=True)),
    ("10.10", lambda n, m: block(n, m, lambda w: nn.GroupNorm(4, w))),
    ("10.10", lambda n, m: block(n, m, nn.RMSNorm)),
    ("10.13", lambda *a: stack(*a, make=nn.LayerNorm, order="before")),
    ("10.15", lambda n, m: Joined(n, m, norms=1)),
    ("10.15", lambda n, m: TwoViews(n, m, norms=1, make=nn.LayerNorm)),
    ("10.16", lambda x: nn.functional.layer_norm(x, x.shape[-1:])),
    ("10.16", by_rows),
]
USE_WRONG_TURNS = [
    ("10.9", lambda *a: batches(*a, keep_from=1), "a batch of one"),
    (
        "10.9",
        lambda n, m, rng: np.array_split(rng.permutation(n), -(-n // m)),
        "a batch of one",
    ),
    ("10.9", lambda *a: batches(*a, shuffle=False), "all epochs have one order"),
    ("10.9", same_samples, "never came"),
    ("10.9", lambda n, m, rng: [rng.integers(n, size=m) for _ in range(n // m)], "twice"),
    ("10.9", lambda n, m, rng: batches(n, m, rng)[:-1], "more is left out"),
    ("10.9", lambda n, m, rng: [rng.permutation(n)], "too large"),
    ("10.10", lambda n, m: block(n, m, nn.BatchNorm1d), "cross the batch"),
    ("10.10", lambda n, m: block(n, m, no_statistics), "cross the batch"),
    (
        "10.10",
        lambda n, m: block(n, m, lambda w: nn.BatchNorm1d(w, momentum=0.01)),
        "cross",
    ),
    ("10.10", lambda n, m: block(n, m, nn.Identity), "nothing is normalized"),
    ("10.10", lambda n, m: block(n, m, lambda w: nn.GroupNorm(w, w)), "a group of one"),
    ("10.10", lambda n, m: block(n, m, relu=nn.Identity), "the ReLU belongs"),
    ("10.10", lambda n, m: block(n, m + 1), "values a sample"),
    ("10.11", lambda *a: accumulated(*a, how="mean"), "the loss is a mean"),
    ("10.11", lambda *a: accumulated(*a, how="parts"), "weigh each part"),
    ("10.11", lambda *a: accumulated(*a, zero=False), "start at zero"),
    ("10.11", lambda *a: accumulated(*a, how="none"), "30 times the length"),
    ("10.11", lambda *a: accumulated(*a)[:-1], "in one vector"),
    ("10.11", lambda model, x, y, parts: accumulated(model, x, y, 1), "does not hold"),
    ("10.12", lambda m, x: predict(m, x, before=None), "Which mode"),
    ("10.12", lambda m, x: predict(m, x, before=nn.BatchNorm1d), "dropout is still on"),
    ("10.12", lambda m, x: predict(m, x, before=nn.Dropout), "statistics moved"),
    ("10.12", lambda m, x: predict(m, x, after=None), "was found in training"),
    ("10.12", lambda m, x: predict(m, x, after=True), "was found in eval"),
    ("10.12", lambda m, x: predict(m, x, after="one mode"), "found frozen"),
    ("10.12", lambda m, x: predict(m, x) * 0, "not those of eval"),
    ("10.12", lambda m, x: m.eval()(x), "64 classes"),
    ("10.13", lambda *a: stack(*a, order="before"), "before a norm"),
    ("10.13", lambda *a: stack(*a, order="behind"), "before a norm"),
    ("10.13", lambda *a: stack(*a, order="beside"), "before a norm"),
    ("10.13", lambda *a: stack(*a, order="none"), "no dropout"),
    ("10.13", lambda *a: stack(*a, make=nn.Identity), "no norm"),
    ("10.13", lambda d, w, k: stack(d - 1, w, k), "3 layers"),
    ("10.13", lambda d, w, k: stack(d, w + 1, k), "256 values"),
    ("10.14", lambda *a: fine_tune(*a, mode="train"), "88% of the way"),
    ("10.14", lambda *a: fine_tune(*a, mode="momentum"), "training uses the batch's"),
    ("10.14", lambda *a: fine_tune(*a, mode="all"), "the head's dropout"),
    ("10.14", lambda *a: fine_tune(*a, frozen=False), "weights have been trained"),
    ("10.14", only_weights_frozen, "γ and β"),
    ("10.14", lambda *a: fine_tune(*a, rate=0.0), "has not been trained"),
    ("10.15", lambda n, m: TwoViews(n, m, norms=1), "one pair of running"),
    ("10.15", lambda n, m: TwoViews(n, m, linears=2), "should share one"),
    ("10.15", lambda n, m: TwoViews(n, m, make=no_statistics), "depends on the company"),
    ("10.15", lambda n, m: TwoViews(n, m, make=nn.Identity), "not normalized"),
    ("10.16", lambda x: by_hand(x, 1e-8, wide=False), "what is eps in float16"),
    ("10.16", lambda x: by_hand(x, 1e-5, wide=False), "comes out as zeros"),
    ("10.16", lambda x: by_hand(x, back=False), "float16 came in, and torch.float32"),
    ("10.16", lambda x: by_hand(x.float()), "float64 came in"),
    ("10.16", lambda x: by_hand(x, unbiased=True), "come out otherwise"),
    ("10.16", lambda x: by_hand(x).sum(-1), "should stay one"),
]


SOLUTIONS = {
    "1.1": np.ceil(np.log(65504) / np.log(0.05 * np.sqrt(1024))),
    "1.2": np.sqrt(2 / 300) * np.sqrt(3),
    "1.3": gives_out,
    "1.4": lambda delta, x: delta.T @ x,
    "1.5": 1 / 400,
    "1.6": largest_over_rms,
    "1.7": 3,
    "1.8": 1 / np.sqrt(rounding_keeps()),
    "2.1": 0.01 * (4 + 3**2),
    "2.2": 1 / np.sqrt(3 / 2),
    "2.3": conv_fans,
    "2.4": np.sqrt(2 / 1.2**2 - 1),
    "2.5": np.sqrt(2 * 0.8 / 512),
    "2.6": 5 * 100 * (1.96 / np.log(10)) ** 2,
    "2.7": 32 * (4 / 2) ** 2,
    "2.8": np.sqrt(1 - 1 / gelu_slope()),
    "3.1": np.sqrt(3) * np.sqrt(2 / (300 + 100)),
    "3.2": 2 * 784 / (784 + 20) * 2 * 20 / (784 + 20),
    "3.3": np.log10(3 ** (29 / 2)),
    "3.4": xavier_conv_limit,
    "3.5": 1.0,
    "3.6": centred_layer,
    "3.7": (2 / (128 + 4 * 128)) / (2 / (128 + 128)),
    "3.8": 4 / (4 * np.sqrt(2 / np.pi)) ** 2,
    "4.1": np.sqrt(2 / (1 + 0.2**2) / 512),
    "4.2": np.sqrt(3) * np.sqrt(2 / (64 * 9)),
    "4.3": 1 / (3 * 256) / (1 - 1 / 3),
    "4.4": two_ratios,
    "4.5": border(4),
    "4.6": 1 / np.sqrt(2) ** 2,
    "4.7": 1,
    "4.8": np.sqrt(4 / (1024 * (4 / 2) * 4)),
    "5.1": 2 * (1 / np.sqrt(2 * np.pi)) ** 2,
    "5.2": 6 / np.log(1 / 0.9),
    "5.3": edge_point,
    "5.4": 20 * ((1 + 1 / 16) / 2 / ((1 + 1 / 4) / 2) ** 2 - 1),
    "5.5": merging_layer(),
    "5.6": np.sqrt((2 ** (1 / 24) - 1) / 2),
    "5.7": selu_settles(1 / 0.9),
    "5.8": np.sqrt(1 + 2 * np.e**2),
    "6.1": (6 - 3) / np.std([1, 2, 3, 6]),
    "6.2": np.sqrt(4 * 2 * 2 - 1),
    "6.3": bn_counts,
    "6.4": np.ceil(np.log(0.001) / np.log(0.99)),
    "6.5": 2 / (50 + 1),
    "6.6": fold_before,
    "6.7": merge,
    "6.8": np.sqrt(1 + 3**2),
    "7.1": batch_of_three(),
    "7.2": (2 * 4 * 4 - 2) / (2 * 4 * 4),
    "7.3": bn_slope_over_variance(np.abs, np.sign) ** 0.5,
    "7.4": eval_backward,
    "7.5": scale_backward,
    "7.6": (5**2 + 0.5**2 * 300) / 5**2,
    "7.7": settles_in(),
    "7.8": BN_TANH / 2,
    "8.1": 48 // 8 * 12 * 12,
    "8.2": (7 - 0.7) / np.std([7] + [0] * 9),
    "8.3": rms_backward,
    "8.4": lambda x: over(x, 1),
    "8.5": 0.5 ** (12 / 2),
    "8.6": np.sqrt((1 / 49) / (1 / 2)),
    "8.7": np.ceil(np.log(0.01) / np.log(np.sqrt(1 / 4))),
    "8.8": np.sqrt(two_moments("tanh", 1)[1] / two_moments("tanh", 1)[0]),
    "9.1": np.prod(np.full(12, 1.5)),
    "9.2": 2 ** len([22, 23, 24]),
    "9.3": (2**6) ** (1 / 24),
    "9.4": 4**2 / 4,
    "9.5": np.sqrt(3 / 64 * 96 / 127),
    "9.6": np.sqrt(2e-6 / (2e-6 + 1e-5)),
    "9.7": best_rate,
    "9.8": balance,
    "10.1": ten_classes(he_normal_, torch.nn.init.zeros_),
    "10.2": deep_relu(he_normal_),
    "10.3": lambda out, n, rng: rng.normal(0, np.sqrt(2 / n), (out, n)),
    "10.4": lambda vocabulary, width: Tied(vocabulary, width, out=1 / width),
    "10.5": builder(lambda norm: not issubclass(norm, torch.nn.BatchNorm1d)),
    "10.6": adamw(lambda name, p: p.ndim > 1),
    "10.7": residual(lambda norm, alpha, x, g: norm(x + g / alpha)),
    "10.8": half_precision(lambda n: (2 / n) ** 0.5),
    **USE_PITFALLS,
    "11.1": wines,
    "11.2": twenty_layers,
    "11.3": counting,
    "11.4": stream,
    "11.5": seven_layers,
    "11.6": forgetful,
    "11.7": first_not_finite,
    "11.8": -np.log(np.exp([1.0] + [0.0] * 999)[0] / np.sum(np.exp([1.0] + [0.0] * 999))),
}
FUNCTIONS = sorted(number for number, answer in SOLUTIONS.items() if callable(answer))
BUILDERS = [f"11.{k}" for k in range(1, 7)]
NUMBERS = sorted(set(SOLUTIONS) - set(FUNCTIONS))

# (exercise, what a reader does instead, words of the sentence that tells them)
WRONG_TURNS = [
    ("1.1", 23, "round up"),
    ("1.1", np.log(65504) / np.log(1.6), "layers are whole"),
    ("1.1", np.ceil(np.log(65504) / np.log(0.05 * np.sqrt(1024 / 2))), "with ReLU"),
    ("1.1", np.ceil(np.log(65504) / np.log(0.05 * 1024)), "not s times n"),
    ("1.2", np.sqrt(3 / 300), "ReLU halves"),
    ("1.2", np.sqrt(2 / 300), "standard deviation"),
    ("1.2", np.sqrt(1 / 300), "linear network"),
    ("1.2", np.sqrt(2 / 300) * np.sqrt(12), "not a²/12"),
    ("1.3", lambda *a: gives_out(*a, start=1.0), "largest entry"),
    ("1.3", lambda *a: gives_out(*a, smallest=2**-24), "*half*"),
    ("1.3", lambda std, width, relu: gives_out(std, width, False), "ReLU has s√(n/2)"),
    ("1.3", lambda *a: gives_out(*a) - 0.3, "find g"),
    ("1.3", lambda *a: min(gives_out(*a), 1000), "return inf"),
    ("1.3", lambda *a: "soon", "is soon, not 21"),
    ("1.4", lambda delta, x: x.T @ delta, "transpose"),
    ("1.4", lambda delta, x: delta.T @ x / len(x), "mean over the batch"),
    ("1.4", lambda delta, x: 2 * delta.T @ x, "off by"),
    ("1.4", lambda delta, x: delta[:, :, None] * x[:, None], "should have shape (3, 2)"),
    ("1.5", 1 / np.sqrt(400), "not p²"),
    ("1.5", 2 / 400, "probability p/2"),
    ("1.6", lambda n, rng: (z := rng.normal(size=n)).max() / z.std(), "absolute value"),
    ("1.6", lambda n, rng: np.abs(rng.normal(size=n)).max(), "divide by the rms"),
    ("1.6", lambda n, rng: np.sqrt(2 * np.log(n)), "about 3.8"),
    ("1.7", 1, "z¹ = 0"),
    ("1.7", 2, "z² = 0"),
    ("1.7", 0, "counted 1, 2, 3"),
    ("1.8", 1.0, "*exact* signal"),
    ("1.8", rounding_keeps(), "largest ratio"),
    ("1.8", np.sqrt(rounding_keeps()), "one over it"),
    ("1.8", 1 / rounding_keeps(), "take the root"),
    ("2.1", 0.01 * 4, "use E[x²]"),
    ("2.1", 0.01 * 3**2, "leaves out the variance"),
    ("2.1", 0.01 * (4 + 1), "not the mean"),
    ("2.1", 0.01 * (4 + 3), "3² = 9"),
    ("2.2", 2 / 3, "gain squared"),
    ("2.2", 3 / 2, "one over its root"),
    ("2.2", np.sqrt(1 / 3), "half of E[z⁴]"),
    ("2.2", np.sqrt(3 / 2), "larger second moment"),
    ("2.2", np.sqrt(2), "ReLU's own"),
    ("2.3", lambda out, inputs, k, stride, groups: inputs * k**2, "two numbers"),
    ("2.3", lambda out, inputs, k, s, g: (out * k**2, inputs * k**2), "fan_in should be"),
    ("2.3", lambda out, inputs, k, s, g: conv_fans(out, inputs, k, 1, g), "stride"),
    ("2.3", lambda out, inputs, k, s, g: conv_fans(out, inputs, k, s**0.5, g), "both axes"),
    ("2.3", lambda out, inputs, k, s, g: conv_fans(out, inputs, k, s, 1), "one group only"),
    (
        "2.3",
        lambda out, inputs, k, s, g: (inputs // g * k**2, out * k**2 / s**2),
        "an input reaches one group",
    ),
    ("2.4", 2 / 1.44 - 1, "take the root"),
    ("2.4", np.sqrt(2 / 1.2 - 1), "enters squared"),
    ("2.4", -np.sqrt(2 / 1.44 - 1), "take the positive"),
    ("2.5", np.sqrt(2 / 512), "without dropout"),
    ("2.5", np.sqrt(2 / 0.8 / 512), "the other way"),
    ("2.5", np.sqrt(2 * 0.2 / 512), "0.8 is kept"),
    ("2.5", 2 * 0.8 / 512, "root is asked for"),
    ("2.6", 500 * 1.96**2, "natural logarithms"),
    ("2.6", 500 * (1.96 / (2 * np.log(10))) ** 2, "the mean square's own"),
    ("2.6", 500 / np.log(10) ** 2, "1.96 standard deviations"),
    ("2.7", 16 * 4**2, "PyTorch computes"),
    ("2.7", 32 * 4**2, "at stride 2"),
    ("2.7", 16 * 2**2, "of which there are 32"),
    ("2.8", 1 - 1 / gelu_slope(), "take the root"),
    ("2.8", 1 / gelu_slope(), "weights keep"),
    ("2.8", np.sqrt(gelu_slope() - 1), "divide"),
    ("3.1", np.sqrt(2 / 400), "√3 times"),
    ("3.1", 6 / 400, "take the root"),
    ("3.1", np.sqrt(3 / 300), "forward signal"),
    ("3.1", np.sqrt(3 / 100), "keeps the gradient"),
    ("3.1", np.sqrt(24 / 400), "a²/12 is for"),
    ("3.2", 1 / (4 * 784 * 20 / 804**2), "turn it over"),
    ("3.2", np.sqrt(4 * 784 * 20 / 804**2), "of the rms"),
    ("3.2", 2 * 784 / 804, "first layer alone"),
    ("3.2", 2 * 20 / 804, "second layer alone"),
    ("3.2", 20 / 784, "that is not Xavier"),
    ("3.3", np.log10(3**15), "29 steps, not 30"),
    ("3.3", np.log10(3.0**29), "that is the mean square; the rms"),
    ("3.3", np.log10(3.0**30), "mean square, and there are 29"),
    ("3.3", np.log(3 ** (29 / 2)), "powers of e"),
    ("3.3", -np.log10(3 ** (29 / 2)), "*below* are asked for"),
    ("3.3", 7, "whole powers"),
    ("3.4", lambda *a: xavier_conv_limit(*a) / np.sqrt(3), "standard deviation"),
    ("3.4", lambda o, i, k, g: xavier_conv_limit(o, i, k, g) * k**0.5, "k² entries"),
    ("3.4", lambda o, i, k, g: np.sqrt(6 / (k**2 * (i / g + o))), "only the fan-in"),
    ("3.4", lambda o, i, k, g: xavier_conv_limit(o, i, k, 1), "divide both fans"),
    ("3.4", lambda o, i, k, g: np.sqrt(6 / (i + o)), "times kernel area"),
    ("3.4", lambda *a: 1.0, "should be"),
    ("3.5", 1 / 2, "half of tanh's"),
    ("3.5", 2, "turn it over"),
    ("3.5", 1 / 3, "E[z⁴] = 3q²"),
    ("3.5", 3, "cancels the third"),
    ("3.6", lambda W: 2 * W, "return two arrays"),
    ("3.6", lambda W: centred_layer(W, scale=1), "weights are 2W"),
    ("3.6", lambda W: centred_layer(W, scale=3), "weights has the right shape"),
    ("3.6", lambda W: centred_layer(W, 0), "the mean stays"),
    ("3.6", lambda W: (2 * W, W.sum(axis=0)), "a row of W"),
    ("3.6", lambda W: centred_layer(W, -2 * softplus_mean()), "taken *away*"),
    ("3.6", lambda W: centred_layer(W, softplus_mean()), "multiplied by 2"),
    ("3.6", lambda W: centred_layer(W, 1.0), "the sigmoid's mean"),
    ("3.6", lambda W: centred_layer(W, 2 * np.log(2)), "softplus at 0"),
    ("3.6", lambda W: (np.multiply(W, 2, out=W), -W.sum(axis=1)), "return new arrays"),
    ("3.7", 2.5, "too *small*"),
    ("3.7", np.sqrt(0.4), "the variance is asked for"),
    ("3.7", 1 / 4, "only fan_out"),
    ("3.7", 1 / 2, "three matrices"),
    ("3.7", 4, "compare two fans"),
    ("3.8", 1 / np.sqrt(2 / np.pi), "k² in 4/k²"),
    ("3.8", 4 / (2 * np.sqrt(2 / np.pi)) ** 2, "E|z|³"),
    ("3.8", 1 / (4 * np.sqrt(2 / np.pi)) ** 2, "(2/(k l))²"),
    ("3.8", 1 / (4 * np.sqrt(2 / np.pi)), "3/2"),
    ("3.8", np.pi / 16, "a 2 of its own"),
    ("3.8", 2, "that is p"),
    ("4.1", np.sqrt(2 / 512), "plain ReLU's"),
    ("4.1", np.sqrt(1 / 1.04 / 512), "the 2 is missing"),
    ("4.1", np.sqrt(2 / (1 + 0.2) / 512), "with its square"),
    ("4.1", 2 / 1.04 / 512, "root is asked for"),
    ("4.1", np.sqrt(2 / 1.04), "divide it by √512"),
    ("4.1", np.sqrt(1.04 / 2 / 512), "the other way"),
    ("4.2", np.sqrt(1 / 576), "PyTorch's default"),
    ("4.2", np.sqrt(2 / 576), "√3 of them"),
    ("4.2", np.sqrt(6 / (96 * 9)), "that is fan_out"),
    ("4.2", np.sqrt(6 / 64), "nine positions belong"),
    ("4.2", np.sqrt(6 / (64 * 3)), "not three"),
    ("4.2", np.sqrt(3 / 576), "the 2 of ReLU"),
    ("4.2", 2 * np.sqrt(6 / 576), "half of it"),
    ("4.3", 1 / (3 * 256) / (1 - 1 / 6), "with ReLU, which halves"),
    ("4.3", 0, "forgets the biases"),
    ("4.3", 1 / (3 * 256), "layers before"),
    ("4.3", 1 / 256 / (1 - 1 / 3), "like a weight"),
    ("4.3", 1 / 256 / (1 - 1 / 6), "and a bias has variance"),
    ("4.3", np.sqrt(1 / 512), "that is the rms"),
    ("4.4", lambda widths, mode: two_ratios(widths, mode)[0], "two numbers"),
    ("4.4", lambda widths, mode: two_ratios(widths, mode, first=0), "without W¹"),
    ("4.4", lambda widths, mode: two_ratios(widths, mode)[::-1], "forward comes first"),
    ("4.4", lambda widths, mode: np.sqrt(two_ratios(widths, mode)), "not their roots"),
    ("4.4", lambda widths, mode: 1 / np.array(two_ratios(widths, mode)), "upside down"),
    (
        "4.4",
        lambda widths, mode: two_ratios(widths, mode) if mode != "fan_avg" else (1, 1),
        "the mean of both fans",
    ),
    ("4.4", lambda widths, mode: (7, 7), "over the layers 2 to L"),
    ("4.5", 1 / border(4), "one over it"),
    ("4.5", border(8), "that is for 8×8"),
    ("4.5", border(4, axes=1), "one axis"),
    ("4.5", (10 / 12) ** 2, "the first layer"),
    ("4.5", border(3), "not at H"),
    ("4.5", border(4, axes=4), "mean square already"),
    ("4.6", 2, "longer steps"),
    ("4.6", 1 / np.sqrt(2), "worth"),
    ("4.6", np.sqrt(2), "a second one"),
    ("4.6", 1, "with respect to v"),
    ("4.7", np.sqrt(2), "that is ReLU's"),
    ("4.7", 1 / np.sqrt(2), "not the sum of two"),
    ("4.7", 1 / np.sqrt(1 - 1 / np.pi), "take E[x²]"),
    ("4.7", 1 / np.sqrt(1 / np.pi), "the larger"),
    ("4.8", np.sqrt(2 / 1024), "not linear"),
    ("4.8", np.sqrt(1 / 1024), "makes the output 8"),
    ("4.8", np.sqrt(4 / (1024 * 4 * 4)), "halves one"),
    ("4.8", np.sqrt(1 / (1024 * 8)), "not back to 4"),
    ("4.8", 4 / (1024 * 8), "root is asked for"),
    ("5.1", 0, "both have a mean"),
    ("5.1", 1 / (2 * np.pi), "He's gain"),
    ("5.1", 1 / 2, "slope of the map"),
    ("5.1", (2 * np.pi) ** -0.5, "mean of ReLU"),
    ("5.2", 1 / np.log(1 / 0.9), "says six"),
    ("5.2", 6 / np.log10(1 / 0.9), "natural logarithm"),
    ("5.2", 6 / np.log(0.9**-0.5), "no root"),
    ("5.3", lambda *a: edge_point(*a)[0], "two numbers"),
    ("5.3", lambda *a: (edge_point(*a)[0] ** 2, edge_point(*a)[1]), "that is σ_w²"),
    ("5.3", lambda *a: (two_moments(*a)[0] ** -0.5, 0.1), "not φ²"),
    ("5.3", lambda *a: (1.234, edge_point(*a)[1]), "σ_w is not the one"),
    ("5.3", lambda *a: edge_point(*a)[::-1], "weights come first"),
    ("5.3", lambda name, q: edge_point(name, 1.0), "of variance q, not 1"),
    ("5.2", 6 / (1 - 0.9), "take the logarithm itself"),
    ("5.3", lambda *a: (edge_point(*a)[0], edge_point(*a)[1] ** 2), "that is σ_b²"),
    ("5.3", lambda *a: (edge_point(*a)[0], 0.0), "σ_b should be"),
    ("5.4", 0.36, "one layer's"),
    ("5.4", 20 * 1.36, "Gaussian weights"),
    ("5.4", 20, "that is ReLU's"),
    ("5.4", 1.36**20 - 1, "does not multiply"),
    ("5.5", 3 * np.pi / np.sqrt(2) * 10, "iterate the map itself"),
    ("5.5", np.ceil(3 * np.pi / np.sqrt(2) * 10), "rounded up"),
    ("5.5", merging_layer(layer=0), "number of steps"),
    ("5.6", (2 ** (1 / 24) - 1) / 2, "take the root"),
    ("5.6", np.sqrt(2 ** (1 / 24) - 1), "two branches"),
    ("5.6", np.sqrt((2 ** (1 / 24) - 1) / 4), "add their squares"),
    ("5.6", 1 / np.sqrt(2 * 24), "makes it e"),
    ("5.7", 1, "AlphaDropout"),
    ("5.7", 0.9 * selu_settles(1 / 0.9), "before the dropout"),
    ("5.7", 1 / 0.9, "after one layer"),
    ("5.7", selu_settles(1 / 0.9**2), "by its square"),
    ("5.8", 1 + 2 * np.e**2, "take the root"),
    ("5.8", 1, "0.79"),
    ("5.8", 1 + np.e**2, "is there already"),
    ("5.8", np.sqrt(1 - (np.e**2 / (1 + np.e**2)) ** 2), "divide by 1 − g"),
    ("5.8", np.sqrt(2 + 4 * np.e**2), "no further √2"),
    ("5.8", (1 - 2 * np.e**2 / (1 + np.e**2) ** 2) ** -0.5, "both parts"),
    ("6.1", 3 / np.std([1, 2, 3, 6], ddof=1), "unbiased variance"),
    ("6.1", 3 / np.var([1, 2, 3, 6]), "divide by the root"),
    ("6.1", 6 / np.std([1, 2, 3, 6]), "subtract the mean"),
    ("6.1", np.sqrt(4 - 1), "largest that any value"),
    ("6.1", 0.9 * 6 + 0.1 * 3, "running mean"),
    ("6.2", np.sqrt(4 - 1), "positions count"),
    ("6.2", np.sqrt(16), "takes one away"),
    ("6.2", 15, "take the root"),
    ("6.2", 1, "as far out"),
    ("6.2", 1e6, "dominates"),
    ("6.3", lambda shape: shape[1], "three numbers"),
    ("6.3", lambda shape: bn_counts(shape, per_channel=1), "two of each"),
    ("6.3", lambda shape: bn_counts(shape, positions=False), "trailing axes"),
    ("6.3", lambda s: (2 * s[1], 2 * s[1] + 1, 0), "num_batches_tracked"),
    ("6.3", lambda s: (2 * s[1], 2 * s[1], np.prod(s)), "not averaged over"),
    ("6.3", lambda s: (2 * np.prod(s[1:]), 2 * s[1], np.prod(s) // s[1]), "one a position"),
    ("6.3", lambda s: (2, 2, np.prod(s) // s[1]), "one number a channel"),
    ("6.3", lambda s: (7, 7, 7), "yours is (7, 7, 7)"),
    ("6.4", 687, "still a little above"),
    ("6.4", np.log(0.001) / np.log(0.99), "steps are whole"),
    ("6.4", np.ceil(np.log(0.001) / np.log(0.9)), "momentum 0.1"),
    ("6.4", np.ceil(np.log(0.01) / np.log(0.99)), "one percent"),
    ("6.4", np.ceil(-100 * np.log(0.001)), "approximation"),
    ("6.4", 2, "keeps 0.99"),
    ("6.5", 1 / 50, "weight of the newest"),
    ("6.5", 2 / 50, "not 2/a = 50"),
    ("6.5", 1 - 2 / 51, "as Keras"),
    ("6.5", 1 / 51, "makes the lag"),
    ("6.5", 2 / 49, "50a = 2"),
    ("6.5", 2 / (1 + np.sqrt(50)), "not the standard deviation"),
    ("6.6", lambda *a: fold_before(*a)[0], "two arrays"),
    (
        "6.6",
        lambda W, b, g, be, m, v, e: (
            W * g / np.sqrt(v + e),
            g / np.sqrt(v + e) * (b - m) + be,
        ),
        "(6.10)",
    ),
    (
        "6.6",
        lambda W, b, g, be, m, v, e: (W * g / np.sqrt(v + e), b + W @ (be - m)),
        "scaled as x is",
    ),
    (
        "6.6",
        lambda W, b, g, be, m, v, e: (
            W * g / np.sqrt(v + e),
            b + (W * g / np.sqrt(v + e)) @ (be - g / np.sqrt(v + e) * m),
        ),
        "already holds s",
    ),
    ("6.6", lambda W, b, g, be, m, v, e: ((W.T * g / np.sqrt(v + e)).T, b), "columns of W"),
    ("6.6", lambda *a: fold_before(*a[:6], 0.0), "eps is added"),
    ("6.6", lambda W, b, g, be, m, v, e: (W * g / (v + e), b), "the root of var"),
    ("6.6", lambda *a: (fold_before(*a)[0].T, a[1]), "an entry is off"),
    ("6.6", lambda W, b, *a: (fold_before(W, b, *a)[0], b), "an entry is off"),
    ("6.6", lambda W, b, *a: fold_before(W, 0 * b, *a), "own bias"),
    ("6.6", lambda W, b, *a: (fold_before(W, b, *a)[0], b + W @ a[1]), "running mean"),
    (
        "6.6",
        lambda W, b, *a: (fold_before(W, b, *a)[0], b + fold_before(np.eye(3), 0, *a)[1]),
        "passes through W",
    ),
    ("6.7", lambda *a: merge(*a)[0], "two numbers"),
    ("6.7", lambda m, v, n: (np.mean(m), np.mean(v)), "weigh each device"),
    ("6.7", lambda m, v, n: (np.sum(m), np.mean(v)), "the mean should be"),
    ("6.7", lambda m, v, n: (merge(m, v, n)[0], np.average(v, weights=n)), "scatter"),
    (
        "6.7",
        lambda m, v, n: (merge(m, v, n)[0], np.average(v, weights=n) + np.var(m)),
        "weigh the squared",
    ),
    ("6.7", lambda *a: (merge(*a)[0], merge(*a)[1] * 30 / 29), "biased one"),
    ("6.7", lambda *a: (merge(*a)[0], merge(*a)[1] + merge(*a)[0] ** 2), "mean square"),
    ("6.7", lambda *a: (merge(*a)[0], 7.0), "the variance should be"),
    ("6.8", 1, "mixed batches"),
    ("6.8", 1 + 3**2, "root is asked for"),
    ("6.8", 3, "variance besides"),
    ("6.8", np.sqrt(1 + 6**2), "between the kinds"),
    ("6.8", np.sqrt(1 + 6**2 / 2), "is not 0"),
    ("7.1", 1 / SIGMA_OF_THREE, "as constants"),
    ("7.1", (1 - 1 / 3) / SIGMA_OF_THREE, "the variance depends on x₁"),
    ("7.1", (1 - 6 / 7 / 3) / SIGMA_OF_THREE, "the mean depends on x₁"),
    ("7.1", batch_of_three() * SIGMA_OF_THREE, "divide by σ"),
    ("7.1", batch_of_three() / SIGMA_OF_THREE, "divides by the variance"),
    ("7.1", (1 - 1 / 3 - 4 / 7 / 3) / np.sqrt(14 / 2), "unbiased"),
    ("7.1", (1 - 1 / 3 - 2 * 6 / 7 / 3) / SIGMA_OF_THREE, "counted twice"),
    ("7.2", 0, "a dense layer"),
    ("7.2", (16 - 2) / 16, "one image"),
    ("7.2", (32 - 1) / 32, "the mean alone"),
    ("7.2", 2 / 32, "what is taken out"),
    ("7.2", (2 * 4 - 2) / (2 * 4), "one axis"),
    ("7.2", 1, "two directions"),
    ("7.2", (4 - 2) / 4, "batch of 4"),
    ("7.3", bn_slope_over_variance(np.abs, np.sign), "for the mean square; the rms"),
    ("7.3", 1, "without batch norm"),
    ("7.3", BN_RELU**0.5, "that is ReLU's."),
    ("7.3", BN_RELU, "that is ReLU's, and"),
    ("7.3", bn_slope_over_variance(np.abs, np.sign) ** -0.5, "upside down"),
    ("7.3", (0.5 / (1 - 2 / np.pi)) ** 0.5, "±1 everywhere"),
    ("7.3", 1 / np.sqrt(2 / np.pi), "subtract its square"),
    ("7.4", lambda *a: eval_backward(*a)[0], "three arrays"),
    ("7.4", frozen(0, lambda dy, x, g, m, v, e: g * dy / np.sqrt(v)), "under the root"),
    ("7.4", frozen(0, lambda dy, x, g, m, v, e: dy / np.sqrt(v + e)), "γ scales"),
    (
        "7.4",
        frozen(0, lambda dy, x, g, m, v, e: g * (dy - dy.mean(0)) / np.sqrt(v + e)),
        "training mode",
    ),
    (
        "7.4",
        frozen(
            1,
            lambda dy, x, g, m, v, e: (dy * (x - x.mean(0))).sum(0) / np.sqrt(x.var(0) + e),
        ),
        "the batch's x̂",
    ),
    ("7.4", frozen(1, lambda dy, x, *rest: (dy * x).sum(0)), "not x"),
    ("7.4", frozen(2, lambda dy, x, *rest: dy.mean(0)), "a sum over the batch"),
    ("7.4", frozen(2, lambda dy, x, *rest: 2 * dy.sum(0)), "Differentiate y"),
    (
        "7.4",
        frozen(0, lambda dy, x, g, *rest: g * dy / np.sqrt(x.var(0) + 0.1)),
        "batch's variance",
    ),
    ("7.4", frozen(0, running_as_batch), "training mode"),
    ("7.4", frozen(0, lambda dy, x, *rest: dy[0]), "shape"),
    ("7.5", lambda dy, x, eps: dy / scale_parts(dy, x, eps)[0], "as a constant"),
    (
        "7.5",
        lambda dy, x, eps: (
            scale_backward(dy, x, eps) - dy.mean(0) / scale_parts(dy, x, eps)[0]
        ),
        "no mean was subtracted",
    ),
    ("7.5", lambda *a: scale_backward(*a, centre=True), "that is batch norm"),
    ("7.5", lambda *a: scale_parts(*a)[2], "at the end"),
    (
        "7.5",
        lambda dy, x, eps: (
            (dy - (y := scale_parts(dy, x, eps)[1]) * (dy * y).sum(0))
            / scale_parts(dy, x, eps)[0]
        ),
        "not a sum",
    ),
    (
        "7.5",
        lambda dy, x, eps: (
            (dy - x * (dy * x).mean(0) / (x**2).mean(0)) / scale_parts(dy, x, eps)[0]
        ),
        "with eps",
    ),
    ("7.5", lambda dy, x, eps: dy[0], "shape"),
    ("7.5", lambda dy, x, eps: 2 * dy, "quotient rule"),
    (
        "7.5",
        lambda dy, x, eps: (dy - x * (dy * x).mean(0)) / scale_parts(dy, x, eps)[0],
        "y twice",
    ),
    ("7.6", 10 / 5, "that is the length"),
    ("7.6", 25 / 100, "one over that"),
    ("7.6", (25 + 300) / 25, "and that is 0.25"),
    ("7.6", (25 + 0.5 * 300) / 25, "not with η"),
    ("7.6", (100 / 25) ** 2, "from 25 to 100"),
    ("7.7", 1 / (2 * 0.1 * 5e-4), "the squared length"),
    ("7.7", 1 / (0.1 * 5e-4), "for the length"),
    ("7.7", 1 / (8 * 0.1 * 5e-4), "the square of"),
    ("7.7", 1 / np.sqrt(2 * 0.1 * 5e-4), "the angle"),
    ("7.7", 1 / (4 * 5e-4), "belongs in"),
    ("7.8", BN_TANH, "half the exponent"),
    ("7.8", np.sqrt(BN_TANH), "a root of a power"),
    ("7.8", BN_RELU / 2, "that is ReLU's"),
    ("7.8", two_moments("tanh", 1)[1] / 2, "and that divides"),
    ("7.8", 1 / BN_TANH / 2, "upside down"),
    ("7.8", 1 / 2, "they differ"),
    ("8.1", 16 * 6 * 144, "within one sample"),
    ("8.1", 8 * 144, "number of groups"),
    ("8.1", 48 * 144, "one group"),
    ("8.1", 144, "instance norm"),
    ("8.1", 16 * 144, "batch norm"),
    ("8.1", 6 * 12, "both axes"),
    ("8.2", 6.3 / np.std([7] + [0] * 9, ddof=1), "n − 1"),
    ("8.2", 7 / np.sqrt(4.9), "RMSNorm"),
    ("8.2", -0.7 / np.std([7] + [0] * 9), "becomes of a zero"),
    ("8.2", 7 / np.std([7] + [0] * 9), "before dividing"),
    ("8.2", 6.3 / np.var([7] + [0] * 9), "take its root"),
    ("8.2", 7 - 0.7, "standard deviation, too"),
    ("8.3", layer_norm_dx, "layer norm's"),
    ("8.3", lambda dy, x: rms_backward(dy, x, by=np.zeros_like(x)), "as a constant"),
    (
        "8.3",
        lambda dy, x: (
            rms_backward(dy, x)
            - rms_backward(dy * 0 + dy.mean(1, keepdims=True), x, by=0 * x)
        ),
        "none in the backward",
    ),
    ("8.3", lambda dy, x: rms_backward(dy, x, by=x), "not along x"),
    ("8.3", lambda dy, x: rms_backward(dy, x, mean=False), "not a sum"),
    (
        "8.3",
        lambda dy, x: rms_backward(dy, x) * np.sqrt((x**2).mean(1, keepdims=True)),
        "divide by the rms",
    ),
    ("8.3", lambda dy, x: 2 * rms_backward(dy, x), "off by"),
    ("8.3", lambda dy, x: dy[0], "should have shape"),
    (
        "8.4",
        lambda x: (
            (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, ddof=1, keepdims=True) + 1e-5)
        ),
        "is biased",
    ),
    ("8.4", lambda x: x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5), "that is RMSNorm"),
    ("8.4", lambda x: over(x, (1, 2, 3)), "each pixel has its own"),
    ("8.4", lambda x: over(x, 3), "not the last"),
    ("8.4", lambda x: over(x, (2, 3)), "instance norm"),
    ("8.4", lambda x: over(x, (0, 2, 3)), "batch norm"),
    ("8.4", lambda x: over(x, 1, eps=0), "is missing"),
    ("8.4", lambda x: over(x, 1, eps=0, outside=1e-5), "inside the root"),
    ("8.4", lambda x: 2 * over(x, 1), "off by"),
    ("8.5", 0.5, "one branch, in the mean square"),
    ("8.5", 2**-0.5, "one branch; there"),
    ("8.5", 0.5**12, "that is the mean square"),
    ("8.5", 0.5**-6, "upside down"),
    ("8.5", 0.5 ** (11 / 2), "all twelve"),
    ("8.5", np.sqrt((1 / 2) / (1 / 13)), "pre-norm's"),
    ("8.5", 1, "g = v"),
    ("8.6", (1 / 49) / (1 / 2), "take the root"),
    ("8.6", np.sqrt((1 / 2) / (1 / 49)), "upside down"),
    ("8.6", np.sqrt(1 / 49), "not 1"),
    ("8.6", np.sqrt((1 / 25) / (1 / 2)), "two branches"),
    ("8.6", np.sqrt(1 / 48), "also at s = 1"),
    ("8.6", 1, "post-norm's"),
    ("8.7", 6, "not yet below"),
    ("8.7", np.log(0.01) / np.log(1 / 2), "round up"),
    ("8.7", np.ceil(np.log(0.01) / np.log(1 / 4)), "for the mean square"),
    ("8.7", np.ceil(np.log(0.01) / np.log(np.sqrt(1 / 2))), "input of mean square 1"),
    (
        "8.8",
        two_moments("tanh", 1)[1] / two_moments("tanh", 1)[0],
        "that is the mean square",
    ),
    ("8.8", np.sqrt(two_moments("tanh", 1)[0] / two_moments("tanh", 1)[1]), "upside down"),
    ("8.8", np.sqrt(two_moments("tanh", 1)[1]), "leaves out the norm"),
    ("8.8", 1, "straight on both sides"),
    ("8.8", np.sqrt(1 / two_moments("tanh", 1)[0]), "slope of tanh"),
    ("9.1", 1.5, "a norm at each"),
    ("9.1", 12 * 1.5, "multiply"),
    ("9.1", 1.5**11, "the readout counts"),
    ("9.1", 1.5**24, "mean square"),
    ("9.2", 2, "two more"),
    ("9.2", 2**2, "the readout counts"),
    ("9.2", 2**24, "divides out"),
    ("9.2", 2 ** (24 - 7), "later ones"),
    ("9.2", 2**4, "the 21st"),
    ("9.3", 2, "power 24"),
    ("9.3", 2 ** (1 / 24), "not 2"),
    ("9.3", 1 / 2, "above He's"),
    ("9.3", 2**4, "upside down"),
    ("9.3", 2**6, "24th root"),
    ("9.4", 4**2, "the readout left alone"),
    ("9.4", 1, "four times as long"),
    ("9.4", 1 / 4, "what γ and β want"),
    ("9.4", 4**3, "not smaller"),
    ("9.4", 1 / 4**2, "upside down"),
    ("9.5", np.sqrt(3 / 64), "endless supply"),
    ("9.5", 3 / 64 * 96 / 127, "take its root"),
    ("9.5", np.sqrt(2 / 64 * 96 / 127), "the mean's noise"),
    ("9.5", np.sqrt(1 / 64 * 96 / 127), "the variance's"),
    ("9.5", 3 / 64, "mean square, and"),
    ("9.6", 1, "larger than the variance"),
    ("9.6", 2 / 12, "take its root"),
    ("9.6", np.sqrt(1e-6 / (1e-6 + 1e-5)), "2/fan_in"),
    ("9.6", np.sqrt(2e-5 / (2e-5 + 1e-5)), "the square of 10⁻³"),
    ("9.6", np.sqrt(2e-6 / 1e-5), "added to the variance"),
    ("9.7", lambda rates, losses: rates[np.argmin(losses.mean(1))], "infinite"),
    (
        "9.7",
        lambda rates, losses: rates[np.argmin(np.nan_to_num(losses, nan=99).mean(1))],
        "not the mean",
    ),
    ("9.7", lambda rates, losses: rates[np.argmin(np.nanmedian(losses, 1))], "infinite"),
    ("9.7", lambda rates, losses: np.argmin(medians(losses)), "not its place"),
    ("9.7", lambda rates, losses: rates[np.argmax(medians(losses))], "smallest median"),
    ("9.7", lambda rates, losses: rates[np.argmin(medians(losses))], "ValueError"),
    ("9.8", lambda W1, W2: W1, "two matrices"),
    ("9.8", lambda W1, W2: (W1, W2), "not equal yet"),
    ("9.8", lambda W1, W2: (2 * W1, W2), "has changed"),
    ("9.8", lambda W1, W2: stretched(W1, W2, imbalance(W1, W2)), "not the ratio"),
    ("9.8", lambda W1, W2: stretched(W1, W2, np.full(len(W1), 2.0)), "its own factor"),
    ("9.8", lambda W1, W2: (W1.T, W2), "shape"),
    ("10.1", ten_classes(torch.nn.init.normal_, torch.nn.init.normal_), "first loss is"),
    ("10.1", ten_classes(he_normal_, torch.nn.init.normal_), "no norm divides by"),
    ("10.1", ten_classes(torch.nn.init.zeros_, torch.nn.init.zeros_), "look alike"),
    ("10.1", ten_classes(he_normal_, he_normal_), "cost s²/2"),
    ("10.1", lambda width: width, "should be a torch.nn.Module"),
    ("10.2", default_mlp, "PyTorch's 1/(3n)"),
    ("10.2", deep_relu(torch.nn.init.xavier_normal_), "leaves 1/√2"),
    ("10.2", deep_relu(torch.nn.init.zeros_), "smaller"),
    ("10.2", deep_relu(lambda w: torch.nn.init.normal_(w, 0, 0.5)), "larger"),
    ("10.2", lambda depth: depth, "should be a torch.nn.Module"),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(6 / n), (out, n)), "is a bound"),
    (
        "10.3",
        lambda out, n, rng: rng.uniform(-np.sqrt(2 / n), np.sqrt(2 / n), (out, n)),
        "√3 times larger",
    ),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(2 / out), (out, n)), "second"),
    (
        "10.3",
        lambda out, n, rng: rng.uniform(-1, 1, (out, n)) * np.sqrt(6 / out) * 3**0.5,
        "uniform bound with the fan-out",
    ),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(1 / n), (out, n)), "half out"),
    ("10.3", lambda out, n, rng: rng.normal(0, np.sqrt(2 / (n + out)), (out, n)), "Xavier"),
    ("10.3", lambda out, n, rng: rng.normal(0, 2 / n, (out, n)), "take the root"),
    ("10.3", lambda out, n, rng: rng.normal(0, 1, (out, n)), "by half of it"),
    ("10.3", lambda out, n, rng: rng.uniform(0, 1, (out, n)), "have a mean"),
    ("10.3", lambda out, n, rng: np.zeros((out, n)), "zero"),
    ("10.3", lambda out, n, rng: rng.normal(size=(n, out)), "shape"),
    ("10.4", Tied, "own logit is 251"),
    ("10.4", lambda v, d: Tied(v, d, std=d**-0.5, scale=d**0.5), "√d = 16"),
    ("10.4", lambda v, d: Tied(v, d, std=0.02), "has lost it"),
    (
        "10.4",
        lambda v, d: Tied(v, d, std=0.02, scale=50),
        "at width 512 the first loss is 1",
    ),
    ("10.4", lambda v, d: Tied(v, d, std=1 / d, residual=False), "has lost it"),
    ("10.4", lambda v, d: Tied(v, d, std=0), "has lost it"),
    ("10.4", Untied, "one matrix"),
    ("10.4", lambda v, d: None, "should be a torch.nn.Module"),
    (
        "10.5",
        builder(lambda norm: not isinstance(norm, torch.nn.BatchNorm1d)),
        "isinstance says of a class",
    ),
    ("10.5", builder(lambda norm: False), "without a norm"),
    (
        "10.5",
        builder(lambda norm: norm is torch.nn.Identity),
        "in front of layer norm the bias is alive",
    ),
    ("10.5", builder(lambda norm: issubclass(norm, torch.nn.BatchNorm1d)), "upside down"),
    ("10.5", without_norm, "lost its norm"),
    ("10.5", lambda n, m, norm: norm(m), "one nn.Linear"),
    ("10.5", lambda n, m, norm: None, "should be a torch.nn.Module"),
    ("10.6", adamw(lambda name, p: True), "6 tensors shrink"),
    ("10.6", adamw(lambda name, p: "bias" not in name), "is called weight"),
    ("10.6", adamw(lambda name, p: False), "does not decay"),
    ("10.6", adamw(lambda name, p: p.ndim == 2), "does not decay"),
    ("10.6", matrices_only, "not trained at all"),
    ("10.6", adamw(lambda name, p: p.ndim > 1, torch.optim.Adam), "divides by its size"),
    ("10.6", lambda model: model, "torch optimizer"),
    ("10.7", residual(lambda norm, a, x, g: norm(x + a * g)), "larger share"),
    ("10.7", residual(lambda norm, a, x, g: a * x + g), "norm is missing"),
    ("10.7", residual(lambda norm, a, x, g: x + a * g), "weighed by α, and the norm"),
    ("10.7", residual(lambda norm, a, x, g: norm(a * (x + g))), "both sides"),
    ("10.7", residual(lambda norm, a, x, g: a * norm(x) + g), "sum, not on x"),
    ("10.7", residual(lambda norm, a, x, g: a * x + norm(g)), "not on the branch"),
    ("10.7", residual(lambda norm, a, x, g: a * norm(x + g)), "inside the norm"),
    ("10.7", residual(lambda norm, a, x, g: norm(a * x) + g), "norm of αx alone"),
    ("10.7", residual(lambda norm, a, x, g: x + norm(a * g)), "α beside x"),
    ("10.7", residual(lambda norm, a, x, g: norm(x) + norm(g)), "term by term"),
    ("10.7", residual(lambda norm, a, x, g: norm(a * x + g), norm=False), "γ and β"),
    ("10.7", residual(lambda norm, a, x, g: norm(a * x + g)[0]), "shape"),
    ("10.7", lambda width, alpha: width, "should be a torch.nn.Module"),
    ("10.8", half_precision(lambda n: 1), "is not finite"),
    ("10.8", half_precision(lambda n: 1, dtype=torch.bfloat16), "bfloat16 is not finite"),
    (
        "10.8",
        half_precision(lambda n: (2 / n) ** 0.5, dtype=torch.float32),
        "mend the scale, in float16",
    ),
    ("10.8", half_precision(lambda n: 1, lambda x: x.clamp(max=65504)), "float16's end"),
    ("10.8", half_precision(lambda n: 0), "the same output"),
    ("10.8", half_precision(lambda n: n**-0.5), "the half that ReLU takes"),
    ("10.8", half_precision(lambda n: 1.65 / n**0.5), "on its way"),
    ("10.8", lambda x, depth: depth, "a tensor"),
    *USE_WRONG_TURNS,
    ("11.1", lambda: wines(lambda x: x), "look at x"),
    ("11.1", lambda: wines(lambda x: x, lr=5e-4), "look at x"),
    ("11.1", lambda: wines(lambda x: (x - x.mean()) / x.std()), "one by one"),
    ("11.1", lambda: wines()[0], "return model, optimizer, x, y"),
    ("11.1", lambda: (3, *wines()[1:]), "should be the model"),
    ("11.1", lambda: (wines()[0], 0.05, *wines()[2:]), "should be the optimizer"),
    ("11.2", lambda: twenty_layers(lambda model: model), "signal and spread"),
    ("11.2", lambda: twenty_layers(lambda model: model, lr=0.1), "signal and spread"),
    ("11.2", lambda: twenty_layers(lr=0.1), "momentum"),
    ("11.2", lambda: (plain(64, 64), *twenty_layers()[1:]), "another model"),
    ("11.2", lambda: seven_layers(), "yours has 7"),
    ("11.3", lambda: counting(std=1.0, lr=1e-5), "share"),
    ("11.3", lambda: counting(lr=1e-6), "too low"),
    ("11.3", lambda: counting(std=1.0, lr=1e-2), "hides the cause"),
    ("11.4", lambda: stream(zero=False), "the one about the rate"),
    ("11.4", lambda: stream(zero=False, lr=1e-5), "the one about the rate"),
    ("11.5", lambda: seven_layers(lr=0.1), "before the first step"),
    ("11.5", lambda: seven_layers(lr=0.1, init=kaiming), "before the first step"),
    ("11.5", lambda: seven_layers(lr=1e-6), "too low"),
    ("11.5", foreign, "another model"),
    ("11.6", lambda: forgetful(train=False), "training=True"),
    ("11.6", lambda: forgetful(train=False, lr=1e-3), "training=True"),
    ("11.6", lambda: forgetful(lr=100.0), "lr large (chapter 9)"),
    (
        "11.7",
        lambda m, x: first_not_finite(m, x, bad=lambda t: t.isnan().any()),
        "infinite",
    ),
    ("11.7", lambda m, x: first_not_finite(m, x, leaves=False, pick=-1), "children"),
    ("11.7", lambda m, x: first_not_finite(m, x, pick=-1), "infinite is not"),
    ("11.7", lambda m, x: first_not_finite(m, x, tidy="never"), "hooks are left on the"),
    ("11.7", lambda m, x: first_not_finite(m, x, tidy="if well"), "in finally"),
    ("11.7", by_definition, "of execution"),
    ("11.7", lambda m, x: "0", "None"),
    ("11.8", np.log(1000), "of guessing"),
    ("11.8", np.log(np.e + 999), "is taken"),
    ("11.8", 0, "one softmax"),
    ("11.8", np.log(np.e + 9) - 1, "ten classes"),
    ("11.8", np.log(np.e + 999) - np.e, "not e"),
]


def told(capsys, number, answer):
    """What check.exercise prints: one line, which names the exercise."""
    check.exercise(number, answer)
    out, err = capsys.readouterr()
    assert not err and out.count("\n") == 1 and out.startswith(f"{number} ")
    return out.removeprefix(f"{number} ").rstrip("\n")


def test_every_exercise_has_its_solution_here():
    assert set(SOLUTIONS) == set(CHECKS), "add the new exercise's solution to SOLUTIONS"


@pytest.mark.parametrize("number", sorted(SOLUTIONS))
def test_the_solution_is_right(capsys, number):
    assert told(capsys, number, SOLUTIONS[number]).startswith("right: ")


@pytest.mark.parametrize(("number", "answer"), OTHER_MENDS)
def test_another_mend_is_right_too(capsys, number, answer):
    assert told(capsys, number, answer).startswith("right: ")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_may_come_in_any_form(capsys, number):
    value = float(SOLUTIONS[number])
    forms = [np.float64(value), np.float32(value), np.array(value), torch.tensor(value)]
    if value == int(value):
        forms += [int(value), np.int64(value)]
    assert all(told(capsys, number, form).startswith("right: ") for form in forms)


@pytest.mark.parametrize(("number", "answer", "words"), WRONG_TURNS)
def test_a_wrong_turn_is_told_which_one_it_is(capsys, number, answer, words):
    sentence = told(capsys, number, answer)
    assert sentence.startswith("not yet: ")
    assert words in sentence


@pytest.fixture
def turns(monkeypatch):
    """The wrong turns that a judge of a number lists, as it hands them over."""
    seen = {}

    def record(answer, target, praise, wrong_turns, otherwise, rtol=0.01):
        seen.update(target=target, praise=praise, wrong=wrong_turns, otherwise=otherwise)
        return True, ""

    def listed(number):
        with monkeypatch.context() as patch:
            patch.setattr(_judge, "number", record)
            CHECKS[number](0.0)
        return dict(seen)

    return listed


@pytest.mark.parametrize("number", NUMBERS)
def test_no_listed_wrong_turn_is_hidden_by_another_or_by_the_solution(
    capsys, turns, number
):
    listed = turns(number)
    for value, why in listed["wrong"].items():
        assert told(capsys, number, value) == f"not yet: {why}"
    assert len(set(listed["wrong"].values())) == len(listed["wrong"])


@pytest.mark.parametrize("number", NUMBERS)
def test_every_listed_wrong_turn_is_one_that_somebody_takes(capsys, turns, number):
    """Each sentence is met in WRONG_TURNS, where its value is derived again."""
    met = {told(capsys, n, answer) for n, answer, _ in WRONG_TURNS if n == number}
    assert {f"not yet: {why}" for why in turns(number)["wrong"].values()} <= met


@pytest.mark.parametrize("number", NUMBERS)
def test_any_other_number_gets_a_hint(capsys, turns, number):
    listed = turns(number)
    for value in (-12345.678, 1e30, np.nan, np.inf, -np.inf):
        assert told(capsys, number, value) == f"not yet: {listed['otherwise']}"


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("answer", ["much", [1, 2], np.ones(3), object(), len, 1j])
def test_what_is_no_number_is_told_so(capsys, number, answer):
    sentence = told(capsys, number, answer)
    assert sentence.startswith("not yet: a single number is asked for")
    assert type(answer).__name__ in sentence


@pytest.mark.parametrize("number", FUNCTIONS)
def test_a_value_instead_of_a_function_is_told_so(capsys, number):
    for answer in (3.0, "f", np.ones(2)):
        sentence = told(capsys, number, answer)
        assert sentence.startswith("not yet: pass the function itself")
        assert f'check.exercise("{number}", ' in sentence


def test_every_sentence_is_one(turns):
    for number in NUMBERS:
        listed = turns(number)
        for text in [listed["praise"], listed["otherwise"], *listed["wrong"].values()]:
            assert len(text.split()) >= 3 and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize("number", sorted(SOLUTIONS))
def test_no_answer_yet(capsys, number):
    def stub(a, b, c=0, *rest):
        return ...

    def with_docstring(std, width, relu):
        """Say where it ends."""
        return ...

    for answer in (..., None, stub, with_docstring, lambda: ..., lambda n, rng: ...):
        sentence = told(capsys, number, answer)
        assert sentence.startswith("waits for your answer: replace the ...")


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


def test_a_reader_who_interrupts_is_obeyed():
    def endless(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check.exercise(FUNCTIONS[0], endless)


@pytest.mark.parametrize("number", FUNCTIONS)
@pytest.mark.parametrize("value", [None, np.nan, -1.0, "a", (), np.zeros(2)])
def test_a_function_that_returns_nonsense_is_not_right(capsys, number, value):
    assert told(capsys, number, lambda *_: value).startswith("not yet: ")


@pytest.mark.parametrize("number", ["0.1", "1", "1.9", "1.10", "", 1.1, None, ["1.1"]])
def test_an_unknown_exercise_is_told_which_there_are(number):
    if number in list(CHECKS):
        pytest.skip("there is such an exercise now")
    with pytest.raises(ValueError, match=r"from 1\.1 to \d") as error:
        check.exercise(number, 1)
    assert repr(number) in str(error.value)


def test_judges_do_not_use_the_global_seed():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for number in FUNCTIONS:
        CHECKS[number](SOLUTIONS[number])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002

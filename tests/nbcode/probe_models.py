"""Models on which the bounds of probe's verdict were set, and eight ways to break them.

The models on which the result is measured are others: tests/nbcode/zoo.py.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Case:
    """A model with what its user's training loop has."""

    model: nn.Module
    batch: Any
    loss: Any = None
    lr: float | None = None
    adam: bool = False
    training: bool | None = None

    def probe(self):
        from nbcode import signals

        lr = self.lr
        if lr and self.adam:
            lr = torch.optim.Adam(self.model.parameters(), lr)
        return signals.probe(
            self.model, self.batch, loss=self.loss, lr=lr, training=self.training
        )


def classes(*shape, n=10, samples=32, dtype=torch.float32):
    return torch.randn(samples, *shape, dtype=dtype), torch.arange(samples) % n


def digits(samples=64, flat=True):
    """Handwritten digits, every pixel with mean 0 and std 1 over all of them."""
    from nbcode import datasets

    data = datasets.digits(rng=np.random.default_rng(0))
    x = torch.as_tensor(data.x_train[:samples], dtype=torch.float32)
    y = torch.as_tensor(data.y_train[:samples])
    return (x if flat else x.reshape(-1, 1, 8, 8)), y


# --- The eight ways ----------------------------------------------------------------------


def scaled(case, factor):
    """Every matrix of a layer, ten times too large or too small."""
    case = replace(case, model=copy.deepcopy(case.model))
    with torch.no_grad():
        for m in case.model.modules():
            if isinstance(m, nn.Linear | nn.modules.conv._ConvNd | nn.RNNBase):
                for p in m.parameters(recurse=False):
                    if p.dim() > 1:
                        p *= factor
            elif isinstance(m, nn.MultiheadAttention):
                m.in_proj_weight *= factor
    return case


def dead(case, layer):
    case = replace(case, model=copy.deepcopy(case.model))
    nn.init.constant_(case.model.get_submodule(layer).bias, -10.0)
    return case


def last(case, layer, factor=20.0):
    case = replace(case, model=copy.deepcopy(case.model))
    with torch.no_grad():
        case.model.get_submodule(layer).weight *= factor
    return case


def raw(case):
    """Pictures or features from 0 to 255."""
    first, *rest = case.batch
    return replace(case, batch=(127 + 60 * first, *rest))


def fast(case):
    return replace(case, lr=30 * case.lr)


def broken(build, *, relu=None, head=None, norm=True, mode=True, act=True, picture=True):
    """{(way, the cause that is right): case} of what build(act=..., norm=...) makes."""
    case = build()
    ways = {
        ("weights x10", "weights_large"): scaled(case, 10.0),
        ("weights /10", "weights_small"): scaled(case, 0.1),
        ("learning rate x30", "lr_large"): fast(case),
    }
    if relu:
        ways["dead ReLU bias", "dead"] = dead(case, relu)
    if head:
        ways["last layer", "last_layer"] = last(case, head)
    if act:
        ways["sigmoid throughout", "sigmoid"] = build(act=nn.Sigmoid)
    if norm:
        ways["no normalization", "missing_norm"] = build(norm=False)
    if picture:
        ways["input 0 to 255", "input_scale"] = raw(case)
    if mode:
        ways["forgotten eval", "forgotten_eval"] = replace(case, training=False)
        model = copy.deepcopy(case.model).eval()
        ways["forgotten train", "forgotten_train"] = replace(
            case, model=model, training=True
        )
    return ways


# --- Models ------------------------------------------------------------------------------


def he(model):
    for m in model.modules():
        if isinstance(m, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return model


def mlp(act=nn.ReLU, norm=False, depth=3, width=128, lr=0.3, init=None):
    layers, n = [], 64
    for _ in range(depth):
        layers += [nn.Linear(n, width), *([nn.BatchNorm1d(width)] if norm else []), act()]
        n = width
    model = nn.Sequential(*layers, nn.Linear(n, 10))
    return Case(init(model) if init else model, digits(), F.cross_entropy, lr)


def deep_bn(act=nn.ReLU, norm=True):
    return mlp(act, norm, depth=10, lr=0.1)


def he_mlp(act=nn.ReLU, norm=False):
    return mlp(act, norm, depth=8, lr=0.03, init=he)


def tanh_mlp(act=nn.Tanh, norm=False):
    def xavier(model):
        for m in model.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_normal_(m.weight)
        return model

    return mlp(act, norm, depth=5, lr=0.1, init=xavier)


def cnn(act=nn.ReLU, norm=True, blocks=4, init=None):
    layers, c = [], 3
    for i in range(blocks):
        out = 16 * 2 ** min(i, 2)
        layers += [
            nn.Conv2d(c, out, 3, padding=1),
            *([nn.BatchNorm2d(out)] if norm else []),
        ]
        layers += [act(), *([nn.MaxPool2d(2)] if i < 3 else [])]
        c = out
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10))
    return Case(
        init(model) if init else model,
        classes(3, 16, 16),
        F.cross_entropy,
        0.1 if norm else 0.3,
    )


def deep_cnn(act=nn.ReLU, norm=True):
    return cnn(act, norm, blocks=12)


class Block(nn.Module):
    def __init__(self, inputs, out, stride, act, norm):
        super().__init__()
        make = nn.BatchNorm2d if norm else (lambda n: nn.Identity())
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        self.bn1, self.act1 = make(out), act()
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2, self.act2 = make(out), act()
        self.down = None
        if stride > 1 or inputs != out:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, out, 1, stride, bias=False), make(out)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(y + (x if self.down is None else self.down(x)))


def resnet(act=nn.ReLU, norm=True):
    blocks, c = [], 16
    for i in range(9):
        out = 16 * 2 ** (i // 3)
        blocks.append(Block(c, out, 2 if i in (3, 6) else 1, act, norm))
        c = out
    stem = [nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16) if norm else nn.Identity(), act()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10)]
    model = nn.Sequential(*stem, *blocks, *head)
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
    return Case(model, classes(3, 16, 16), F.cross_entropy, 0.1)


class Encoder(nn.Module):
    def __init__(self, act, norm, pre=True, depth=6, d=64):
        super().__init__()
        self.embed = nn.Linear(8, d)
        self.position = nn.Parameter(0.02 * torch.randn(1, 8, d))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d, 4, 4 * d, 0.1, act(), batch_first=True, norm_first=pre
            )
            for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)
        if not norm:
            self.norm = nn.Identity()
            for m in self.layers:
                m.norm1 = m.norm2 = nn.Identity()

    def forward(self, x):
        x = self.embed(x.reshape(-1, 8, 8)) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


def encoder(act=nn.ReLU, norm=True, pre=True):
    return Case(Encoder(act, norm, pre), digits(), F.cross_entropy, 1e-3, adam=True)


def post_ln(act=nn.ReLU, norm=True):
    return encoder(act, norm, pre=False)


class GPT(nn.Module):
    """As nanoGPT: pre-norm, tied, std 0.02."""

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            b, t, d = x.shape
            q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
            return x + self.down(F.gelu(self.up(self.ln2(x))))

    def __init__(self, d=64, vocabulary=100, depth=4, std=0.02):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(32, d)
        self.blocks = nn.ModuleList(GPT.Block(d) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary, bias=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                small = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(p, std=std / math.sqrt(2 * depth) if small else std)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt():
    tokens = torch.randint(100, (8, 33))
    return Case(
        GPT(),
        (tokens[:, :-1], tokens[:, 1:]),
        lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()),
        1e-3,
        adam=True,
    )


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.rnn(x.reshape(-1, 8, 8))[0][:, -1])


def rnn(kind=nn.RNN):
    return Case(Recurrent(kind), digits(), F.cross_entropy, 1e-3, adam=True)


class HandLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates, self.head = nn.Linear(8 + 64, 256), nn.Linear(64, 10)

    def forward(self, x):
        h = c = torch.zeros(len(x), 64)
        for row in x.reshape(-1, 8, 8).unbind(1):
            i, f, g, o = self.gates(torch.cat([row, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 128), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(128, 8), nn.Linear(128, 8)
        self.decode = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        h = self.encode(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * torch.exp(log_variance / 2)
        return self.decode(z), mean, log_variance


def vae_loss(out, x):
    recon, mean, log_variance = out
    kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
    return F.mse_loss(recon, x, reduction="sum") / len(x) + kl


class SE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
        self.down, self.up = nn.Linear(c, c // 4), nn.Linear(c // 4, c)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        gate = torch.sigmoid(self.up(F.relu(self.down(y.mean((2, 3))))))
        return x + y * gate[:, :, None, None]


def senet():
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3), SE(32), SE(32), SE(32), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip
    return Case(model, classes(3, 16, 16), F.cross_entropy, 0.1)


def autoencoder():
    layers = []
    for a, b in ((64, 48), (48, 24), (24, 8), (8, 24), (24, 48)):
        layers += [nn.Linear(a, b), nn.ReLU()]
    x, _ = digits()
    return Case(nn.Sequential(*layers, nn.Linear(48, 64)), (x, x), F.mse_loss, 1e-3, True)


HEALTHY = {
    "mlp": mlp,
    "mlp, BN": lambda: mlp(norm=True, lr=0.1),
    "deep mlp, BN": deep_bn,
    "He mlp": he_mlp,
    "tanh mlp": tanh_mlp,
    "cnn": cnn,
    "cnn without BN": lambda: cnn(norm=False, blocks=3),
    "deep cnn, BN": deep_cnn,
    "resnet": resnet,
    "pre-LN encoder": encoder,
    "post-LN encoder": post_ln,
    "GPT": gpt,
    "RNN": rnn,
    "LSTM": lambda: rnn(nn.LSTM),
    "LSTM by hand": lambda: replace(rnn(), model=HandLSTM()),
    "VAE": lambda: Case(VAE(), (digits()[0],) * 2, vae_loss, 1e-3, True),
    "SE net": senet,
    "autoencoder": autoencoder,
}
BROKEN = {
    "mlp": lambda: broken(mlp, relu="2", head="6", norm=False, mode=False),
    "deep mlp, BN": lambda: broken(deep_bn, relu="13", head="30"),
    "He mlp": lambda: broken(he_mlp, relu="4", head="16", norm=False, mode=False),
    "tanh mlp": lambda: broken(tanh_mlp, head="10", norm=False, mode=False),
    "cnn": lambda: broken(cnn, relu="5", head="17", norm=False),
    "deep cnn, BN": lambda: broken(deep_cnn, relu="5", head="41"),
    "resnet": lambda: broken(resnet, relu="5.bn1", head="14"),
    "pre-LN encoder": lambda: broken(
        encoder, relu="layers.2.linear1", head="head", norm=False
    ),
    "post-LN encoder": lambda: broken(
        post_ln, relu="layers.2.linear1", head="head", norm=False
    ),
}

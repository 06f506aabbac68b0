"""Models as their users write them, on which probe is measured.

No bound of the verdict was set on them: that was done on probe_models.py. Learning
rates are those of a sweep (the best of half decades after 40 steps), or what is usual.
"""

import functools
import math

import torch
import torch.nn.functional as F
from probe_models import Case, broken, classes
from torch import nn


def images(channels=3, size=16, samples=32, n=10):
    """Blobs of a class's colour and place, and noise; mean 0 and std 1."""
    y = torch.arange(samples) % n
    draw = torch.Generator().manual_seed(1)
    kinds = torch.randn(n, channels, 4, 4, generator=draw)
    x = F.interpolate(kinds[y], size=(size, size), mode="bilinear") + 0.5 * torch.randn(
        samples, channels, size, size
    )
    return (x - x.mean()) / x.std(), y


def tokens(samples=16, length=20, vocabulary=200):
    return torch.randint(1, vocabulary, (samples, length))


def norm2d(norm, c):
    return nn.BatchNorm2d(c) if norm else nn.Identity()


# --- Those that are broken too: convolutions, attention, points, sequences ---------------


class LeNet(nn.Module):
    def __init__(self, act=nn.Tanh):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = (
            nn.Linear(144, 120),
            nn.Linear(120, 84),
            nn.Linear(84, 10),
        )
        self.act = act()

    def forward(self, x):
        x = F.avg_pool2d(self.act(self.conv1(x)), 2)
        x = F.avg_pool2d(self.act(self.conv2(F.pad(x, (1, 1, 1, 1)))), 2)
        x = self.act(self.fc1(x.flatten(1)))
        return self.fc3(self.act(self.fc2(x)))


def lenet(act=nn.Tanh, norm=False):
    return Case(LeNet(act), images(1, 16), F.cross_entropy, 0.3)


def vgg(act=nn.ReLU, norm=True):
    layers, c = [], 3
    for width in (16, 16, "M", 32, 32, "M", 64, 64, 64, "M", 64, 64, 64):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(c, width, 3, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers.append(act())
        c = width
    classifier = nn.Sequential(
        nn.Linear(256, 64), act(), nn.Dropout(0.5), nn.Linear(64, 10)
    )
    model = nn.Sequential(nn.Sequential(*layers), nn.Flatten(), classifier)
    return Case(model, images(), F.cross_entropy, 0.1)


class PreAct(nn.Module):
    def __init__(self, c, out, stride, act, norm):
        super().__init__()
        self.bn1, self.conv1 = norm2d(norm, c), nn.Conv2d(c, out, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = norm2d(norm, out), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(c, out, 1, stride, bias=False) if c != out else None
        self.act = act(inplace=True) if act is nn.ReLU else act()

    def forward(self, x):
        h = self.act(self.bn1(x))
        short = x if self.shortcut is None else self.shortcut(h)
        return self.conv2(self.act(self.bn2(self.conv1(h)))) + short


def preact_resnet(act=nn.ReLU, norm=True):
    widths = [16] * 4 + [32] * 4 + [64] * 4
    blocks, c = [], 16
    for width in widths:
        blocks.append(PreAct(c, width, 1 + (width > c), act, norm))
        c = width
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), *blocks, norm2d(norm, c), act(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10),
    )  # fmt: skip
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
    return Case(model, images(), F.cross_entropy, 0.1)


class Dense(nn.Module):
    def __init__(self, c, growth, depth, act, norm):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(norm2d(norm, c + i * growth), act(),
                          nn.Conv2d(c + i * growth, growth, 3, padding=1, bias=False))
            for i in range(depth)
        )  # fmt: skip

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


def densenet(act=nn.ReLU, norm=True):
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Dense(16, 8, 4, act, norm), norm2d(norm, 48), act(),
        nn.Conv2d(48, 24, 1, bias=False), nn.AvgPool2d(2), Dense(24, 8, 4, act, norm),
        norm2d(norm, 56), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(56, 10),
    )  # fmt: skip
    return Case(model, images(), F.cross_entropy, 0.1)


class Inverted(nn.Module):
    def __init__(self, c, out, stride, act, norm):
        super().__init__()
        wide = 4 * c
        self.body = nn.Sequential(
            nn.Conv2d(c, wide, 1, bias=False),
            norm2d(norm, wide),
            act(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            norm2d(norm, wide),
            act(),
            nn.Conv2d(wide, out, 1, bias=False),
            norm2d(norm, out),
        )
        self.same = stride == 1 and c == out

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


def mobilenet(act=nn.ReLU6, norm=True):
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), norm2d(norm, 16), act(),
        Inverted(16, 16, 1, act, norm), Inverted(16, 24, 2, act, norm),
        Inverted(24, 24, 1, act, norm), Inverted(24, 32, 2, act, norm),
        nn.Conv2d(32, 64, 1, bias=False), norm2d(norm, 64), act(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10),
    )  # fmt: skip
    return Case(model, images(), F.cross_entropy, 0.1)


class ViT(nn.Module):
    class Block(nn.Module):
        def __init__(self, d, act, norm):
            super().__init__()
            self.norm1, self.norm2 = (
                nn.LayerNorm(d) if norm else nn.Identity() for _ in "ab"
            )
            self.attention = nn.MultiheadAttention(d, 4, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), act(), nn.Linear(4 * d, d))

        def forward(self, x):
            h = self.norm1(x)
            x = x + self.attention(h, h, h, need_weights=False)[0]
            return x + self.mlp(self.norm2(x))

    def __init__(self, act=nn.GELU, norm=True, d=64, depth=6):
        super().__init__()
        self.patches = nn.Conv2d(3, d, 4, 4)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 17, d), std=0.02))
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*(ViT.Block(d, act, norm) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(d) if norm else nn.Identity(), nn.Linear(d, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(self.drop(x)))[:, 0])


def vit(act=nn.GELU, norm=True):
    return Case(ViT(act, norm), images(), F.cross_entropy, 1e-3, adam=True)


class Mixer(nn.Module):
    class Block(nn.Module):
        def __init__(self, n, d, act, norm):
            super().__init__()
            self.norm1, self.norm2 = (
                nn.LayerNorm(d) if norm else nn.Identity() for _ in "ab"
            )
            self.tokens = nn.Sequential(nn.Linear(n, 64), act(), nn.Linear(64, n))
            self.channels = nn.Sequential(nn.Linear(d, 128), act(), nn.Linear(128, d))

        def forward(self, x):
            x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.norm2(x))

    def __init__(self, act, norm):
        super().__init__()
        self.stem = nn.Conv2d(3, 48, 4, 4)
        self.blocks = nn.Sequential(*(Mixer.Block(16, 48, act, norm) for _ in range(6)))
        self.norm, self.head = (
            nn.LayerNorm(48) if norm else nn.Identity(),
            nn.Linear(48, 10),
        )

    def forward(self, x):
        x = self.blocks(self.stem(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(x).mean(1))


def mixer(act=nn.ReLU, norm=True):
    return Case(Mixer(act, norm), images(), F.cross_entropy, 3e-3, adam=True)


class ConvNeXt(nn.Module):
    def __init__(self, c, act, norm):
        super().__init__()
        self.depthwise = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.norm = nn.LayerNorm(c) if norm else nn.Identity()
        self.wide, self.act, self.narrow = nn.Linear(c, 4 * c), act(), nn.Linear(4 * c, c)
        self.scale = nn.Parameter(1e-2 * torch.ones(c))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(self.act(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext(act=nn.GELU, norm=True):
    model = nn.Sequential(
        nn.Conv2d(3, 32, 2, 2), nn.GroupNorm(1, 32) if norm else nn.Identity(),
        *(ConvNeXt(32, act, norm) for _ in range(6)), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.LayerNorm(32) if norm else nn.Identity(), nn.Dropout(0.1), nn.Linear(32, 10),
    )  # fmt: skip
    return Case(model, images(), F.cross_entropy, 3e-3, adam=True)


def tcn(act=nn.ReLU, norm=True):
    layers, c = [], 4
    for i in range(9):
        layers.append(nn.Conv1d(c, 32, 3, padding=2 ** (i % 4), dilation=2 ** (i % 4)))
        layers += [nn.BatchNorm1d(32)] if norm else []
        layers += [act(), nn.Dropout(0.1)]
        c = 32
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 5))
    t = torch.linspace(0, 6, 64)
    x, y = classes(4, 64, n=5)
    x = torch.sin((1 + y[:, None, None]) * t + x[:, :, :1]) * 2**0.5
    return Case(model, (x, y), F.cross_entropy, 0.1)


class PointNet(nn.Module):
    def __init__(self, act, norm):
        super().__init__()
        layers, c = [], 3
        for width in (32, 64, 128):
            layers.append(nn.Conv1d(c, width, 1))
            layers += [nn.BatchNorm1d(width)] if norm else []
            layers.append(act())
            c = width
        self.each = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(128, 64), act(), nn.Dropout(0.3), nn.Linear(64, 10)
        )

    def forward(self, points):
        return self.head(self.each(points).amax(-1))


def pointnet(act=nn.ReLU, norm=True):
    return Case(PointNet(act, norm), classes(3, 64), F.cross_entropy, 0.03)


# --- The others --------------------------------------------------------------------------


class Text(nn.Module):
    """Sequence models of tokens: an embedding, something recurrent, a head."""

    def __init__(self, kind, **options):
        super().__init__()
        self.embedding = nn.Embedding(200, 32, padding_idx=0)
        self.rnn = kind(32, 48, **options)
        self.head = nn.Linear(48 * (2 if options.get("bidirectional") else 1), 4)

    def forward(self, x):
        return self.head(self.rnn(self.embedding(x.t()))[0].mean(0))


def text(kind, **options):
    y = torch.arange(16) % 4
    return Case(Text(kind, **options), (tokens(), y), F.cross_entropy, 1e-3, adam=True)


class TransformerText(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(200, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(32, 4)

    def forward(self, x, mask=None):
        position = torch.arange(x.shape[1])[:, None] / 10 ** (torch.arange(32) / 8)
        x = self.embedding(x) * math.sqrt(32) / 4 + torch.sin(position)
        return self.head(self.encoder(x, src_key_padding_mask=mask)[:, 0])


def transformer_text():
    x = tokens()
    mask = torch.arange(20).expand(16, -1) >= torch.randint(10, 20, (16, 1))
    y = torch.arange(16) % 4
    return Case(TransformerText(), (x, mask, y), nn.CrossEntropyLoss(), 3e-4, adam=True)


class SmallGPT(nn.Module):
    """Attention by hand with a mask in a buffer, untied, torch's own initialization."""

    def __init__(self, d=48, depth=4):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(200, d), nn.Embedding(20, d)
        self.qkv = nn.ModuleList(nn.Linear(d, 3 * d, bias=False) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(d, d) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d)
            )
            for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 200)
        self.register_buffer("mask", torch.tril(torch.ones(20, 20)).bool())

    def forward(self, x, targets=None):
        t = x.shape[1]
        x = self.tokens(x) + self.positions(torch.arange(t))
        for qkv, out, mlp, norm in zip(
            self.qkv, self.out, self.mlp, self.norms, strict=True
        ):
            q, k, v = qkv(norm(x)).chunk(3, -1)
            scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
            scores = scores.masked_fill(~self.mask[:t, :t], float("-inf"))
            x = x + out(scores.softmax(-1) @ v)
            x = x + mlp(x)
        logits = self.head(self.norm(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def small_gpt():
    x = tokens(length=21)
    batch = x[:, :-1], x[:, 1:]
    return Case(SmallGPT(), batch, lambda out: out[1], 1e-3, adam=True)


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(200, 32), nn.Linear(32, 200)
        self.core = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)

    def forward(self, source, target, target_mask):
        x = self.core(self.embedding(source), self.embedding(target), tgt_mask=target_mask)
        return self.head(x)


def translator():
    mask = nn.Transformer.generate_square_subsequent_mask(20)
    batch = {"source": tokens(), "target": tokens(), "target_mask": mask}
    want = tokens()
    return Case(Translator(), batch, lambda out: F.cross_entropy(out.transpose(1, 2), want),
                1e-4, adam=True)  # fmt: skip


class UNet(nn.Module):
    def __init__(self):
        super().__init__()

        def double(a, b):
            return nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
                nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
            )  # fmt: skip

        self.down1, self.down2, self.bottom = double(3, 16), double(16, 32), double(32, 64)
        self.up2, self.up1 = (
            nn.ConvTranspose2d(64, 32, 2, 2),
            nn.ConvTranspose2d(32, 16, 2, 2),
        )
        self.dec2, self.dec1, self.out = double(64, 32), double(32, 16), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        b = self.dec2(torch.cat([self.up2(c), b], 1))
        return self.out(self.dec1(torch.cat([self.up1(b), a], 1)))


def unet():
    x, _ = images(samples=8)
    return Case(UNet(), (x, (x.mean(1) > 0).long()), F.cross_entropy, 1e-3, adam=True)


def pixels():
    x, _ = images(1)
    return x.sub(x.min()).div(x.max() - x.min())


def conv_autoencoder():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 8, 4), nn.ConvTranspose2d(8, 32, 4), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid(),
    )  # fmt: skip
    x = pixels()
    return Case(model, x, lambda out: F.mse_loss(out, x), 1e-3, adam=True)


class ConvVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1)
        self.both, self.back = nn.Linear(512, 2 * 10), nn.Linear(10, 512)
        self.up1 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(16, 1, 4, 2, 1)

    def forward(self, x):
        h = F.relu(self.conv2(F.relu(self.conv1(x))))
        mean, log_variance = self.both(h.flatten(1)).chunk(2, 1)
        z = torch.distributions.Normal(mean, (log_variance / 2).exp()).rsample()
        h = F.relu(self.back(z)).view(-1, 32, 4, 4)
        return torch.sigmoid(self.up2(F.relu(self.up1(h)))), mean, log_variance


def conv_vae():
    x = pixels()

    def elbo(out):
        fit = F.binary_cross_entropy(out[0], x, reduction="sum")
        return fit - 0.5 * torch.sum(1 + out[2] - out[1].pow(2) - out[2].exp())

    return Case(ConvVAE(), x, elbo, 1e-3, adam=True)


def dcgan_init(m):
    if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)


def generator():
    model = nn.Sequential(
        nn.ConvTranspose2d(64, 128, 4, 1, 0, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(True),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(True),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    return Case(model.apply(dcgan_init), torch.randn(16, 64, 1, 1))


def discriminator():
    model = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(128, 1, 4, 1, 0, bias=False),
        nn.Flatten(0),
    )
    x = torch.tanh(images()[0])
    loss = F.binary_cross_entropy_with_logits
    return Case(model.apply(dcgan_init), (x, torch.ones(32)), loss, 2e-4, adam=True)


class MoE(nn.Module):
    def __init__(self, d=32, experts=4):
        super().__init__()
        self.stem, self.gate = nn.Linear(64, d), nn.Linear(d, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, d))
            for _ in range(experts)
        )
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)

    def forward(self, x):
        x = self.norm(self.stem(x))
        weight, chosen = self.gate(x).softmax(-1).topk(2, -1)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            rows, slot = torch.where(chosen == i)
            if len(rows):
                y = y.index_add(0, rows, weight[rows, slot, None] * expert(x[rows]))
        return self.head(x + y)


class GraphConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(inputs, outputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, adjacency):
        return adjacency @ (x @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = GraphConv(16, 32), GraphConv(32, 4)

    def forward(self, x, adjacency):
        x = F.dropout(F.relu(self.conv1(x, adjacency)), 0.5, self.training)
        return F.log_softmax(self.conv2(x, adjacency), 1)


def gcn():
    a = (torch.rand(60, 60) < 0.08).float()
    a = ((a + a.t()) > 0).float().fill_diagonal_(1.0)
    a = a / (a.sum(1)[:, None] * a.sum(1)).sqrt()
    batch = torch.randn(60, 16), a, torch.arange(60) % 4
    return Case(GCN(), batch, F.nll_loss, 0.01, adam=True)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(800, 16),
        )

    def forward(self, a, b):
        return F.pairwise_distance(self.trunk(a), self.trunk(b))


def siamese():
    def contrastive(distance, same):
        return torch.mean(same * distance**2 + (1 - same) * F.relu(1 - distance) ** 2)

    batch = images(1)[0], images(1)[0], (torch.arange(32) % 2).float()
    return Case(Siamese(), batch, contrastive, 1e-3, adam=True)


class TiedLM(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.rnn = nn.Embedding(200, 64), nn.LSTM(64, 64, 2, dropout=0.2)
        self.decoder, self.drop = nn.Linear(64, 200), nn.Dropout(0.2)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, x):
        return self.decoder(self.drop(self.rnn(self.drop(self.encoder(x)))[0]))


def tied_lm():
    x = tokens(21, 16)

    def loss(out, y):
        return F.cross_entropy(out.view(-1, 200), y.reshape(-1))

    return Case(TiedLM(), (x[:-1], x[1:]), loss, 1e-3, adam=True)


def compiled():
    case = preact_resnet()
    case.model = torch.compile(case.model, backend="eager")
    return case


class DictModel(nn.Module):
    """As in a library of language models: keywords in, a dict with the loss out."""

    def __init__(self):
        super().__init__()
        self.body, self.drop, self.head = (
            Text(nn.GRU).rnn,
            nn.Dropout(0.1),
            nn.Linear(48, 4),
        )
        self.embedding = nn.Embedding(200, 32)

    def forward(self, input_ids, attention_mask=None, labels=None):
        h, _ = self.body(self.embedding(input_ids).transpose(0, 1))
        logits = self.head(self.drop(h[-1]))
        out = {"logits": logits, "hidden": h}
        if labels is not None:
            out["loss"] = F.cross_entropy(logits, labels)
        return out


def dict_model():
    ids = tokens()
    batch = {"input_ids": ids, "attention_mask": ids > 0, "labels": torch.arange(16) % 4}
    return Case(DictModel(), batch, lambda out: out["loss"], 1e-3, adam=True)


class TakesDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.kinds = nn.ModuleList(nn.Embedding(n, 8) for n in (5, 12, 30))
        self.numbers = nn.BatchNorm1d(6)
        self.net = nn.Sequential(
            nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )

    def forward(self, batch):
        parts = [e(batch["kinds"][:, i]) for i, e in enumerate(self.kinds)]
        x = torch.cat([*parts, self.numbers(batch["numbers"])], 1)
        return {"price": self.net(x).squeeze(-1)}


def tabular():
    batch = {
        "kinds": torch.randint(5, (32, 3)),
        "numbers": 1000 + 300 * torch.randn(32, 6),  # the model normalizes by itself
        "price": torch.randn(32),
    }
    return Case(TakesDict(), batch, lambda out, b: F.mse_loss(out["price"], b["price"]),
                1e-3, adam=True)  # fmt: skip


def bfloat16():
    case = vgg()
    x, y = case.batch
    return Case(case.model.bfloat16(), (x.bfloat16(), y), F.cross_entropy, 0.1)


def lazy():
    model = nn.Sequential(
        nn.LazyConv2d(16, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(),
        nn.LazyLinear(64), nn.ReLU(), nn.LazyLinear(10),
    )  # fmt: skip
    return Case(model, images(), F.cross_entropy, 0.03)


class Shared(nn.Module):
    """One block, used six times."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(8, 32), nn.Linear(32, 10)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True)

    def forward(self, x):
        x = self.embed(x)
        for _ in range(6):
            x = self.block(x)
        return self.head(x.mean(1))


def frozen():
    case = preact_resnet()
    case.model.requires_grad_(False)
    case.model[-1] = nn.Linear(64, 10)
    return case


def nothing_to_train():
    case = mixer()
    case.model.requires_grad_(False).eval()
    return Case(case.model, case.batch[0], training=False)


class NeRF(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList(
            [nn.Linear(39, 64), *(nn.Linear(64, 64) for _ in range(3))]
        )
        self.second = nn.ModuleList([nn.Linear(103, 64), nn.Linear(64, 64)])
        self.density, self.colour = nn.Linear(64, 1), nn.Linear(64, 3)

    def forward(self, xyz):
        bands = [f(2.0**i * xyz) for i in range(6) for f in (torch.sin, torch.cos)]
        x = h = torch.cat([xyz, *bands], -1)
        for layer in self.first:
            h = F.relu(layer(h))
        h = torch.cat([h, x], -1)
        for layer in self.second:
            h = F.relu(layer(h))
        # a ReLU of the density is dead for all points at once in many a draw
        return torch.sigmoid(self.colour(h)), F.softplus(self.density(h) - 1)


def nerf():
    xyz, want = 2 * torch.rand(256, 3) - 1, torch.rand(256, 3)

    def loss(out):
        return F.mse_loss(out[0] * (1 - torch.exp(-out[1])), want)

    return Case(NeRF(), xyz, loss, 5e-4, adam=True)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.policy, self.value = nn.Linear(64, 4), nn.Linear(64, 1)
        nn.init.orthogonal_(self.policy.weight, 0.01)

    def forward(self, state):
        h = self.body(state)
        return torch.distributions.Categorical(logits=self.policy(h)), self.value(h)


def actor_critic():
    action, gain = torch.randint(4, (64,)), torch.randn(64)

    def loss(out):
        policy, value = out
        return -(policy.log_prob(action) * gain).mean() + F.mse_loss(value[:, 0], gain)

    return Case(ActorCritic(), torch.randn(64, 8), loss, 3e-4, adam=True)


def dqn():
    model = nn.Sequential(
        nn.Conv2d(4, 16, 4, 2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(800, 128), nn.ReLU(), nn.Linear(128, 6),
    )  # fmt: skip
    action, want = torch.randint(6, (32,)), torch.randn(32)

    def loss(q):
        return F.smooth_l1_loss(q.gather(1, action[:, None])[:, 0], want)

    return Case(model, images(4)[0], loss, 1e-3, adam=True)


def selu_net():
    layers = []
    for i in range(12):
        layers += [nn.Linear(40 if i == 0 else 64, 64), nn.SELU(), nn.AlphaDropout(0.05)]
    model = nn.Sequential(*layers, nn.Linear(64, 2))
    for m in model:
        if isinstance(m, nn.Linear):
            nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
            nn.init.zeros_(m.bias)
    return Case(model, classes(40, n=2, samples=64), F.cross_entropy, 0.01)


class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                          nn.Linear(64, 8))
            for _ in range(4)
        )  # fmt: skip
        for net in self.nets:
            nn.init.zeros_(net[-1].weight)
            nn.init.zeros_(net[-1].bias)

    def forward(self, x):
        total = 0
        for net in self.nets:
            a, b = x.chunk(2, 1)
            scale, shift = net(a).chunk(2, 1)
            scale = torch.tanh(scale)
            x, total = torch.cat([b * scale.exp() + shift, a], 1), total + scale.sum(1)
        return x, total


def flow():
    return Case(Flow(), torch.randn(64, 8), lambda out: (out[0] ** 2 / 2).sum(1).mean()
                - out[1].mean(), 1e-3, adam=True)  # fmt: skip


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(64, 64), nn.Linear(64, 10)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(64), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 64)
            )
            for _ in range(4)
        )

    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        x = self.stem(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return self.head(x)


def critic():
    norm = nn.utils.parametrizations.spectral_norm
    model = nn.Sequential(
        norm(nn.Conv2d(3, 32, 3, 2, 1)),
        nn.LeakyReLU(0.1),
        norm(nn.Conv2d(32, 64, 3, 2, 1)),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        norm(nn.Linear(1024, 1)),
    )
    return Case(model, images()[0], lambda out: F.relu(1 - out).mean(), 2e-4, adam=True)


class Denoiser(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 64), nn.SiLU(), nn.Linear(64, c))
        self.stem, self.out = nn.Conv2d(1, c, 3, padding=1), nn.Conv2d(c, 1, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, c) for _ in range(5))
        self.convs = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for _ in range(4))
        nn.init.zeros_(self.out.weight)

    def forward(self, x, t):
        angles = t[:, None] / 1000 ** (torch.arange(8) / 8)
        time = self.time(torch.cat([angles.sin(), angles.cos()], 1))[:, :, None, None]
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = x + conv(F.silu(norm(x + time)))
        return self.out(F.silu(self.norms[-1](x)))


def denoiser():
    x, _ = images(1)
    return Case(
        Denoiser(),
        (x, torch.randint(1000, (32,)), torch.randn_like(x)),
        F.mse_loss,
        3e-4,
        adam=True,
    )


class Factors(nn.Module):
    def __init__(self):
        super().__init__()
        self.users, self.items = nn.Embedding(50, 16), nn.Embedding(80, 16)
        for e in (self.users, self.items):
            nn.init.normal_(e.weight, std=0.1)

    def forward(self, user, item):
        return (self.users(user) * self.items(item)).sum(-1)


def factors():
    batch = torch.randint(50, (64,)), torch.randint(80, (64,)), torch.randn(64)
    return Case(Factors(), batch, F.mse_loss, 1e-2, adam=True)


HEALTHY = {
    "LeNet": lenet,
    "VGG with BN": vgg,
    "pre-activation ResNet": preact_resnet,
    "DenseNet": densenet,
    "MobileNet": mobilenet,
    "ViT": vit,
    "MLP-Mixer": mixer,
    "ConvNeXt": convnext,
    "temporal convolutions": tcn,
    "PointNet": pointnet,
    "Elman RNN": functools.partial(text, nn.RNN),
    "LSTM, two directions": functools.partial(text, nn.LSTM, bidirectional=True),
    "GRU, two layers": functools.partial(text, nn.GRU, num_layers=2, dropout=0.1),
    "transformer encoder": transformer_text,
    "GPT": small_gpt,
    "encoder and decoder": translator,
    "U-Net": unet,
    "autoencoder": conv_autoencoder,
    "VAE": conv_vae,
    "GAN's generator": generator,
    "GAN's discriminator": discriminator,
    "mixture of experts": lambda: Case(MoE(), classes(64), F.cross_entropy, 1e-3, True),
    "graph network": gcn,
    "siamese": siamese,
    "tied language model": tied_lm,
    "compiled": compiled,
    "dict in, dict out": dict_model,
    "takes a dict": tabular,
    "bfloat16": bfloat16,
    "lazy": lazy,
    "shared block": lambda: Case(Shared(), classes(6, 8), F.cross_entropy, 1e-3, True),
    "frozen": frozen,
    "nothing to train": nothing_to_train,
    "NeRF": nerf,
    "actor and critic": actor_critic,
    "DQN": dqn,
    "SELU net": selu_net,
    "flow": flow,
    "checkpointed": lambda: Case(Checkpointed(), classes(64), F.cross_entropy, 1e-3, True),
    "spectral norm": critic,
    "denoiser": denoiser,
    "factorization": factors,
}
BROKEN = {
    "LeNet": lambda: broken(lenet, head="fc3", norm=False, mode=False),
    "VGG": lambda: broken(vgg, relu="0.4", head="2.3"),
    "ResNet": lambda: broken(preact_resnet, relu="4.bn2", head="17"),
    "DenseNet": lambda: broken(densenet, relu="2", head="11", norm=False),
    "MobileNet": lambda: broken(mobilenet, relu="8", head="13"),
    "ViT": lambda: broken(vit, relu="blocks.2.mlp.0", head="head", norm=False),
    "Mixer": lambda: broken(mixer, relu="blocks.2.channels.0", head="head", norm=False,
                            mode=False),
    "ConvNeXt": lambda: broken(convnext, relu="3.wide", head="12", norm=False),
    "TCN": lambda: broken(tcn, relu="9", head="38"),
    "PointNet": lambda: broken(pointnet, relu="head.0", head="head.3", norm=False),
}  # fmt: skip

"""init_ and lsuv on whole torch modules: what each weight is set to, and what is not.

As in test_initializers.py, draws have seeds, and bounds are set as if they had none.
"""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune
from scipy.stats import chi2, kstest
from torch import nn

from nbcode import initializers, networks, signals, theory

FALSE_ALARM = 1e-9
RELU = math.sqrt(2)
PHI = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(),
}


def rng(seed=0):
    return np.random.default_rng(seed)


def init(module, scheme="he_normal", seed=0):
    """{name: row} of what init_ did."""
    return {row.name: row for row in initializers.init_(module, scheme, rng=rng(seed))}


def following(module):
    """{layer's name: what the table says to follow it}, of weights only."""
    return {
        name.removesuffix(".weight"): row.followed_by
        for name, row in init(module).items()
        if row.followed_by
    }


def assert_std(weight, std):
    """The weights are draws of that std: a sum of squares over its variance is χ²."""
    low, high = chi2.ppf([FALSE_ALARM, 1 - FALSE_ALARM], weight.numel())
    assert low < weight.double().square().sum().item() / std**2 < high


def state(module):
    """Everything that a refused or finished call must leave alone, as values."""
    return {
        "weights": [p.detach().clone() for p in module.parameters() if not p.is_meta],
        "buffers": [b.clone() for b in module.buffers()],
        "modes": [m.training for m in module.modules()],
        "hooks": [len(m._forward_hooks) for m in module.modules()],
        "grads": [p.grad for p in module.parameters()],
        "needs": [p.requires_grad for p in module.parameters()],
        "torch": [torch.get_rng_state()],
        "numpy": [np.random.get_state()[1].copy()],  # noqa: NPY002
        "fast": [torch.backends.mha.get_fastpath_enabled()],
        "attributes": [set(vars(m)) for m in module.modules()],
    }


def assert_same(before, after, *but):
    for what in before.keys() - set(but):
        for a, b in zip(before[what], after[what], strict=True):
            assert a is b or np.array_equal(a, b), what


class Residual(nn.Module):
    """ReLU is called in forward, and the second one stands behind the sum."""

    def __init__(self, inputs, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = nn.Conv2d(inputs, out, 1, stride)

    def forward(self, x):
        y = F.leaky_relu(self.bn1(self.conv1(x)), 0.3)
        y = self.bn2(self.conv2(y))
        y += self.down(x)
        return y.relu_()


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 24, 5),
        nn.Tanh(),
        Residual(24, 48, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


def test_a_residual_net_is_set_by_the_activations_that_follow():
    net = resnet()
    nn.init.constant_(net[2].bn1.weight, 7.0)
    rows = init(net)
    leaky = math.sqrt(2 / 1.09)
    gains = {  # gain, fan_in, fan_out, what follows
        "0": (theory.gain("tanh"), 75, 600, "Tanh"),
        "2.conv1": (leaky, 216, 108, "leaky_relu"),
        "2.conv2": (RELU, 432, 432, "relu"),
        "2.down": (RELU, 24, 12, "relu"),
        "5": (1.0, 48, 10, "linear (end)"),
    }
    for name, (gain, fan_in, fan_out, follows) in gains.items():
        row = rows[f"{name}.weight"]
        assert (row.fan_in, row.fan_out, row.followed_by) == (fan_in, fan_out, follows)
        std = gain / math.sqrt(fan_in)
        assert row.set_to == f"normal, std {std:.3g}"
        assert_std(net.get_submodule(name).weight, std)
    assert rows["2.bn1.weight"].set_to == "1" and rows["2.bn1.bias"].set_to == "0"
    assert set(rows) == {name for name, _ in net.named_parameters()}
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    assert len(biases) == 5 and not any(map(torch.any, biases))
    assert bool((net[2].bn1.weight == 1).all())


class Summed(nn.Module):
    """x + b(relu(a(x))), with a step at the branch's end and one after the sum."""

    def __init__(self, end=None, after=None, shortcut=None):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)
        self.end, self.after = end or nn.Identity(), after or nn.Identity()
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x):
        return self.after(self.shortcut(x) + self.end(self.b(self.a(x).relu())))


class Chance(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.1, self.training)


class OwnNorm(nn.Module):
    def forward(self, x):
        return x / x.square().mean(-1, keepdim=True).sqrt()


class Looped(nn.Module):
    def __init__(self, rounds):
        super().__init__()
        self.block, self.rounds = Summed(), rounds

    def forward(self, x):
        for _ in range(self.rounds):
            x = self.block(x)
        return x


class Parallel(nn.Module):
    """Two paths that are equals: their sum is no residual one."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        return self.a(x) + self.b(x)


@pytest.mark.parametrize(
    "make, branches",
    [
        (lambda: nn.Sequential(*[Summed() for _ in range(8)]), 8),
        (lambda: nn.Sequential(*[Summed(end=nn.Dropout(0.1)) for _ in range(3)]), 3),
        (lambda: nn.Sequential(*[Summed(shortcut=nn.Linear(64, 64)) for _ in "ab"]), 2),
        (lambda: nn.Sequential(*[Summed(after=nn.ReLU()) for _ in range(5)]), 5),
        (lambda: Looped(6), 6),
        (lambda: Summed(), 1),
        (lambda: nn.Sequential(*[Summed(end=nn.LayerNorm(64)) for _ in range(4)]), 1),
        (lambda: nn.Sequential(*[Summed(after=nn.LayerNorm(64)) for _ in range(4)]), 1),
        (lambda: nn.Sequential(*[Summed(end=OwnNorm()) for _ in range(4)]), 1),
        (lambda: nn.Sequential(*[Parallel() for _ in range(4)]), 1),
    ],
)
def test_the_more_residual_branches_the_smaller_the_last_weight_of_each(make, branches):
    net = make()
    rows = init(net)
    said = f", with 1/√{branches} for {branches} residual branches"
    ends = {name for name, row in rows.items() if "residual branches" in row.set_to}
    assert all(rows[name].set_to.endswith(said) for name in ends)
    lasts = {name for name in rows if name.endswith("b.weight")} if branches > 1 else set()
    assert ends == lasts and lasts <= set(rows)
    for name in lasts:
        gain = 1.0 if rows[name].followed_by.startswith("linear") else RELU
        assert_std(dict(net.named_parameters())[name], gain / 8 / math.sqrt(branches))


def test_a_residual_net_with_chance_leaves_torchs_generator_and_hooks_alone():
    calls = []
    net = nn.Sequential(*[Summed(end=Chance()) for _ in range(3)])
    net[0].end.register_forward_hook(lambda *_: calls.append(1))
    before = torch.random.get_rng_state()
    rows = init(net)
    assert torch.equal(torch.random.get_rng_state(), before) and not calls
    assert rows["0.b.weight"].set_to.endswith("for 3 residual branches")


def test_a_deep_residual_net_starts_with_a_signal_of_ordinary_size():
    """(1 + 1/32)^32 is below e, where branches of full size give 2^32."""
    net = nn.Sequential(*[Summed() for _ in range(32)])
    init(net)
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert 1.5 < net(x).square().mean() < 5


@pytest.mark.parametrize("scheme", networks.SCHEMES)
def test_each_scheme_draws_its_law(scheme):
    net = nn.Sequential(nn.Linear(60, 180), nn.GELU(), nn.Linear(180, 60))
    rows = init(net, scheme)
    gelu = theory.gain("gelu")
    spread = {
        "he": (1 / 60, 1 / 180),
        "xavier": (2 / 240,) * 2,
        "orthogonal": (1 / 180,) * 2,
    }
    for name, gain, variance in zip(
        "02", (gelu, 1.0), spread[scheme.split("_")[0]], strict=True
    ):
        w, std = net.get_submodule(name).weight.detach(), gain * math.sqrt(variance)
        assert f"std {std:.3g}" in rows[f"{name}.weight"].set_to
        assert rows[f"{name}.weight"].set_to.startswith(scheme.split("_")[-1])
        if scheme == "orthogonal":
            q = w.double() / gain
            q = q.T @ q if len(q) > 60 else q @ q.T
            torch.testing.assert_close(q, torch.eye(60).double(), atol=1e-5, rtol=0)
        else:
            assert_std(w, std)
            cdf = "norm" if "normal" in scheme else uniform_cdf
            assert kstest(w.double().numpy().ravel() / std, cdf).pvalue > FALSE_ALARM


def uniform_cdf(t):
    return np.clip(t / math.sqrt(12) + 0.5, 0, 1)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Conv2d(24, 48, 3, groups=8), 27, 54),
        (nn.Conv2d(32, 64, 3, groups=32), 9, 18),
        (nn.Conv2d(12, 48, 4, stride=2), 192, 192),
        (nn.ConvTranspose2d(32, 16, 4, stride=2), 128, 256),
        (nn.ConvTranspose2d(32, 16, 4, stride=2, groups=4), 32, 64),
        (nn.ConvTranspose1d(32, 16, 5), 160, 80),
        (nn.Conv1d(32, 16, 3, stride=2), 96, 24),
        (nn.ConvTranspose3d(8, 16, 3, stride=(1, 2, 3)), 36, 432),
        (nn.Bilinear(3, 4, 5), None, None),
    ],
    ids=str,
)
def test_fans_are_the_layers_own(layer, fan_in, fan_out):
    for scheme in ("he_normal", "xavier_normal"):
        row = init(nn.Sequential(layer, nn.ReLU()), scheme)["0.weight"]
        assert (row.fan_in, row.fan_out) == (fan_in, fan_out)
        if fan_in is None:
            assert row.set_to == "left alone: no rule for weight of Bilinear"
            continue
        fan = fan_in if scheme == "he_normal" else (fan_in + fan_out) / 2
        assert_std(layer.weight, RELU / math.sqrt(fan))


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(12, 24, 2, groups=3), nn.ConvTranspose1d(12, 9, 4, groups=3)]
)
def test_each_group_is_an_orthogonal_matrix(layer):
    init(layer, "orthogonal")
    for block in layer.weight.detach().double().chunk(3):
        q = block.reshape(len(block), -1)
        eye = torch.eye(len(q)).double()
        torch.testing.assert_close(q @ q.T, eye, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid", "selu"])
def test_a_deep_net_has_the_signal_that_theory_predicts(name):
    """The first weight makes E[z²] gain², and the map of one layer does the rest."""
    net = nn.Sequential(*(m for _ in range(5) for m in (nn.Linear(800, 800), PHI[name])))
    init(net)
    gain = q = theory.gain(name)
    q = q**2
    for _ in range(4):
        q = theory.second_moment_map(q, name, gain)
    torch.manual_seed(0)
    z = net[:-1](torch.randn(200, 800)).detach()
    assert signals.rms(z.numpy()) ** 2 == pytest.approx(q, rel=0.2)


OTHERS = [
    (nn.LeakyReLU(0.2), math.sqrt(2 / 1.04)),
    (nn.PReLU(init=0.5), math.sqrt(2 / 1.25)),
    (nn.PReLU(num_parameters=32, init=0.5), math.sqrt(2 / 1.25)),
    (nn.RReLU(0.1, 0.4), math.sqrt(2 / (1 + 0.25**2))),
    (nn.ELU(0.5), theory.gain(nn.ELU(0.5))),
    (nn.GELU("tanh"), theory.gain(nn.GELU("tanh"))),
    (nn.Mish(), theory.gain(nn.Mish())),
    (nn.Softsign(), theory.gain(nn.Softsign())),
    (nn.Hardswish(), theory.gain(nn.Hardswish())),
    (nn.Threshold(0.0, 0.0), RELU),
    (nn.Sequential(nn.ReLU(), nn.Dropout()), RELU),
    (nn.Identity(), 1.0),
    (nn.Softmax(-1), 1.0),
    (nn.LogSoftmax(-1), 1.0),
    (nn.GLU(), 1.0),
]


@pytest.mark.parametrize(
    ("phi", "gain"),
    [*((phi, theory.gain(name)) for name, phi in PHI.items()), *OTHERS],
    ids=str,
)
def test_the_gain_is_that_of_any_torch_activation(phi, gain):
    row = init(nn.Sequential(nn.Linear(16, 32), phi))["0.weight"]
    std = float(row.set_to.removeprefix("normal, std "))
    assert std == pytest.approx(gain / 4, rel=5e-3)


class Calls(nn.Module):
    """A layer and what forward does to its output."""

    def __init__(self, after, **parts):
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.next = nn.Linear(8, 8)
        self.act = nn.Tanh()
        self.after = after

    def forward(self, x):
        return self.after(self, self.layer(x))


@torch.fx.wrap
def unfold(z):
    """Named as one of torch's functions, and another."""
    return torch.sigmoid(3 * z)


@torch.fx.wrap
def padded_to_ten(z):
    return F.pad(z, (0, 10 - len(z)))


FORWARDS = [
    (lambda m, z: F.relu(z), "relu"),
    (lambda m, z: F.relu(z, inplace=True), "relu"),
    (lambda m, z: z.relu_(), "relu"),
    (lambda m, z: torch.tanh(z), "tanh"),
    (lambda m, z: m.act(z), "Tanh"),
    (lambda m, z: z.clamp(min=0), "clamp"),
    (lambda m, z: torch.sin(3 * z), "sin"),
    (lambda m, z: z * z, "mul"),
    (lambda m, z: torch.relu(input=z), "relu"),
    (lambda m, z: torch.tanh(2 * z), "tanh"),
    (lambda m, z: torch.tanh(z / 2), "tanh"),
    (lambda m, z: torch.tanh(2 / z), "linear (not seen: truediv)"),
    (lambda m, z: torch.tanh(z * m.next.bias), "tanh"),
    (lambda m, z: torch.tanh(m.next.bias * z), "tanh"),
    (lambda m, z: torch.tanh(z / m.next.bias), "tanh"),
    (lambda m, z: torch.tanh(m.next.bias / z), "linear (not seen: truediv)"),
    (lambda m, z: torch.tanh(z.clamp(-9, 9)), "tanh"),
    (lambda m, z: torch.tanh(z + 0.1 * torch.randn_like(z)), "tanh"),
    (lambda m, z: torch.tanh(z.reshape(len(z.shape) * [-1])), None),
    (lambda m, z: torch.tanh(z.masked_fill(z < 0, 1.0)), "tanh"),
    (lambda m, z: torch.tanh(z.norm()), "linear (not seen: norm)"),
    (lambda m, z: unfold(z), "unfold"),
    (lambda m, z: torch.tanh(padded_to_ten(z)), "linear (not seen: padded_to_ten)"),
    (lambda m, z: F.relu(z.view(z.size(0), -1)), "relu"),
    (lambda m, z: F.relu(F.dropout(z + 1, 0.2).mean(0)), "relu"),
    (lambda m, z: F.relu(torch.cat([z, z], 1).T), "relu"),
    (lambda m, z: F.relu(F.layer_norm(z, (8,))), "relu"),
    (lambda m, z: m.next(z), "linear (Linear)"),
    (lambda m, z: m.act(m.next(z)), "linear (Linear)"),
    (lambda m, z: z, "linear (end)"),
    (lambda m, z: z.softmax(-1), "linear (softmax)"),
    (lambda m, z: z @ z.T, "linear (matmul)"),
    (lambda m, z: (torch.relu(z), z), "relu, also linear (end)"),
    (lambda m, z: z * torch.sigmoid(z), "linear (not seen: mul)"),
    (lambda m, z: z.cumsum(0), "linear (not seen: cumsum)"),
    (lambda m, z: F.relu(z) if z.sum() > 0 else z, None),
]


@pytest.mark.parametrize(("after", "text"), FORWARDS)
def test_what_forward_calls_next_is_found(after, text):
    module = Calls(after)
    untraced = "linear (not seen: the forward of Calls cannot be traced)"
    assert following(module)["layer"] == (text or untraced)


def test_a_layer_that_forward_does_not_call_is_said_to_be_unseen():
    found = following(Calls(lambda m, z: F.relu(z)))
    assert found["next"] == "linear (not seen: forward does not call it)"


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.out = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x, mask=None):
        skip = F.relu(self.down(x))
        up = self.up(F.silu(self.middle(F.max_pool2d(skip, 2))))
        return self.out(torch.cat([up if mask is None else up * mask, skip], dim=1))


class Gated(nn.Module):
    """A layer times an activation of another, and norms before activations."""

    def __init__(self):
        super().__init__()
        self.gate, self.value, self.out = (nn.Linear(8, 8) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))

    def forward(self, x):
        for norm in self.norms:
            h = norm(x)
            x = x + self.out(F.silu(self.gate(h)) * self.value(h))
        return F.relu(x)


class Causal(nn.Module):
    """Attention by hand, its mask cut to the length of the input."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.register_buffer("mask", torch.ones(16, 16).tril())

    def forward(self, x):
        _, length, width = x.size()
        q, k, v = self.qkv(x).split(width, dim=2)
        scores = (q @ k.transpose(-2, -1)) * width**-0.5
        scores = scores.masked_fill(self.mask[:length, :length] == 0, -torch.inf)
        return F.gelu(self.out(scores.softmax(-1) @ v))


NETS = [
    (Causal, {"qkv": "linear (matmul)", "out": "gelu"}),
    (
        UNet,
        {"down": "relu", "middle": "silu", "up": "linear (Conv2d)", "out": "linear (end)"},
    ),
    (
        Gated,
        {
            "gate": "silu",
            "value": "linear (not seen: mul)",
            "out": "linear (Linear), also relu",
        },
    ),
    (
        lambda: nn.Transformer(16, 2, 1, 1, 32, batch_first=True).decoder,
        {
            "layers.0.self_attn.in_proj_weight": "linear (attention)",
            "layers.0.self_attn.out_proj": "linear (residual sum)",
            "layers.0.multihead_attn.in_proj_weight": "linear (attention)",
            "layers.0.multihead_attn.out_proj": "linear (residual sum)",
            "layers.0.linear1": "relu",
            "layers.0.linear2": "linear (residual sum)",
        },
    ),
]


@pytest.mark.parametrize(("make", "found"), NETS)
def test_what_follows_in_nets_with_branches(make, found):
    assert following(make()) == found


class Swish(nn.Module):
    def forward(self, z):
        return z * torch.sigmoid(z)


class RMSNormOfOurs(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((8,), 3.0))

    def forward(self, x):
        return self.scale * x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def test_own_modules_are_read_and_their_parameters_left_alone():
    net = nn.Sequential(
        nn.Linear(8, 8), RMSNormOfOurs(), Swish(), nn.Linear(8, 8), nn.LSTM(8, 4)
    )
    rows = init(net)
    assert rows["0.weight"].followed_by == "Swish"
    assert rows["0.weight"].set_to == f"normal, std {theory.gain('silu') / 8**0.5:.3g}"
    assert rows["3.weight"].followed_by == "linear (LSTM)"
    assert rows["1.scale"].set_to == "left alone: no rule for scale of RMSNormOfOurs"
    assert rows["4.bias_hh_l0"].set_to == "left alone: no rule for bias_hh_l0 of LSTM"
    assert bool((net[1].scale == 3).all()) and bool(net[4].bias_hh_l0.any())


THROUGH = [
    nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.FeatureAlphaDropout(),
    nn.MaxPool2d(2), nn.AdaptiveAvgPool1d(1), nn.LPPool1d(2, 2),
    nn.FractionalMaxPool2d(2, 3),
    nn.ZeroPad2d(1), nn.ReflectionPad1d(1), nn.CircularPad1d(1), nn.Flatten(),
    nn.Unflatten(1, (4, 2)), nn.Unfold(2), nn.Fold(2, 1), nn.PixelShuffle(2),
    nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.Upsample(scale_factor=2),
    nn.UpsamplingNearest2d(scale_factor=2), nn.BatchNorm1d(8), nn.SyncBatchNorm(8),
    nn.InstanceNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm(8), nn.LocalResponseNorm(2),
    nn.RMSNorm(8), nn.CrossMapLRN2d(2), nn.Identity(),
]  # fmt: skip
MIXES = [nn.Softmax(-1), nn.LogSoftmax(-1), nn.Softmin(-1), nn.Softmax2d(), nn.LSTM(8, 8),
         nn.Bilinear(8, 8, 8), nn.Conv1d(8, 8, 1), nn.MultiheadAttention(8, 2)]  # fmt: skip


def next_to(*modules):
    return following(nn.Sequential(nn.Linear(8, 8), *modules))["0"]


@pytest.mark.parametrize("module", THROUGH, ids=lambda m: type(m).__name__)
def test_torchs_own_modules_that_a_signal_passes(module):
    assert next_to(module, nn.Sigmoid()) == "Sigmoid"


@pytest.mark.parametrize("module", MIXES, ids=lambda m: type(m).__name__)
def test_torchs_own_modules_that_mix_units(module):
    assert next_to(module, nn.Sigmoid()) == f"linear ({type(module).__name__})"


PASSED = [
    lambda z: F.dropout1d(z), lambda z: F.feature_alpha_dropout(z), lambda z: z.mean(-1),
    lambda z: F.max_pool1d(z, 2), lambda z: F.adaptive_avg_pool2d(z, 1),
    lambda z: F.lp_pool2d(z, 2, 2), lambda z: F.avg_pool3d(z, 2),
    lambda z: F.pad(z, (1, 1)),
    lambda z: F.interpolate(z, 9), lambda z: F.pixel_shuffle(z, 2),
    lambda z: F.unfold(z, 2),
    lambda z: F.group_norm(z, 2), lambda z: F.rms_norm(z, (8,)), lambda z: F.normalize(z),
    lambda z: F.batch_norm(z, None, None, training=True), lambda z: F.instance_norm(z),
    lambda z: F.local_response_norm(z, 2), lambda z: torch.stack([z, z]),
    lambda z: z[:, 1:],
    lambda z: z.chunk(2)[0], lambda z: z.unsqueeze(0).expand(3, 8, 8), lambda z: z.mT,
    lambda z: z.view_as(z), lambda z: z.permute(1, 0).contiguous(), lambda z: z.add_(1),
    lambda z: z.to(torch.float64).type_as(z), lambda z: z.roll(1), lambda z: z - 3,
    lambda z: torch.max(z, 1)[0], lambda z: z.flatten().unflatten(0, (8, 8)).detach(),
]  # fmt: skip
MIXED = {
    "linear": lambda z: F.linear(z, torch.eye(8)),
    "conv1d": lambda z: F.conv1d(z, torch.ones(8, 8, 1)),
    "conv_transpose2d": lambda z: F.conv_transpose2d(z, torch.ones(8, 8, 1, 1)),
    "bmm": lambda z: torch.bmm(z, z),
    "mm": lambda z: z.mm(z),
    "einsum": lambda z: torch.einsum("ij,kj->ik", z, z),
    "log_softmax": lambda z: z.log_softmax(-1),
    "gumbel_softmax": lambda z: F.gumbel_softmax(z),
    "scaled_dot_product_attention": lambda z: F.scaled_dot_product_attention(z, z, z),
    "smooth_l1_loss": lambda z: F.smooth_l1_loss(z, z),
    "binary_cross_entropy_with_logits": lambda z: F.binary_cross_entropy_with_logits(z, z),
}


@pytest.mark.parametrize("passes", PASSED)
def test_torchs_own_functions_that_a_signal_passes(passes):
    assert following(Calls(lambda m, z: torch.tanh(passes(z))))["layer"] == "tanh"


@pytest.mark.parametrize("name", MIXED)
def test_torchs_own_functions_that_mix_units(name):
    found = following(Calls(lambda m, z: torch.tanh(MIXED[name](z))))["layer"]
    assert found == f"linear ({name})"


class PadeActivation(nn.Module):
    """A rational function with trained coefficients."""

    def __init__(self):
        super().__init__()
        self.top = nn.Parameter(torch.tensor([0.02, 0.5, 1.5]))
        self.bottom = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        above = self.top[0] + self.top[1] * x + self.top[2] * x**2
        return above / (1 + (self.bottom * x).abs())


class Does(nn.Module):
    """A module of a given name, with one parameter or none, that does what it is told."""

    def __init__(self, does, scale=None):
        super().__init__()
        self.does = does
        self.scale = nn.Parameter(torch.linspace(0.5, 2, scale)) if scale else None

    def forward(self, x):
        return self.does(x) if self.scale is None else self.does(x, self.scale)


def named(name, does, scale=None, base=Does):
    return type(name, (base,), {})(does, scale)


class Untraced(Does):
    def forward(self, x):
        return super().forward(x) if x.sum() < 1e9 else x


def rms(x):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def channel_first(x, scale):
    """As ConvNeXt's norm: over axis 1 of four."""
    assert x.dim() == 4
    x = x - x.mean(1, keepdim=True)
    return x / (x.pow(2).mean(1, keepdim=True) + 1e-6).sqrt() * scale[:, None, None]


def tokens(x, scale):
    """Over the last axis of three."""
    assert x.dim() == 3
    return rms(x) * scale


def time_series(x, scale):
    """Over axis 1 of three."""
    return tokens(x.transpose(1, 2), scale).transpose(1, 2)


OWN = [  # a module of a user's, and what is said of it; a sigmoid comes next
    (PadeActivation(), "PadeActivation"),
    (named("Scaffold", torch.tanh), "Scaffold"),
    (named("NormalizedReLU", lambda x: 1.7 * F.relu(x)), "NormalizedReLU"),
    (named("PoolFormerGELU", F.gelu), "PoolFormerGELU"),
    (named("EnormousSoftmaxLoss", torch.sin), "EnormousSoftmaxLoss"),
    (named("NotQuiteLinear", lambda x: F.leaky_relu(x, 0.9999)), "NotQuiteLinear"),
    (named("SharedPad", lambda x: F.pad(x, (1, 1))), "Sigmoid"),
    (named("AddNoise", lambda x: x + 0.1 * torch.randn_like(x)), "Sigmoid"),
    (named("MyDropout", lambda x: F.dropout(x, 0.5, training=True)), "Sigmoid"),
    (named("MyIdentity", lambda x: x), "Sigmoid"),
    (named("Half", lambda x: 0.5 * x + 1, base=Untraced), "Sigmoid"),
    (named("Tiny", lambda x: 1e-9 * F.relu(x)), "Tiny"),
    (named("TinyNorm", lambda x: 1e-9 * rms(x), base=Untraced), "Sigmoid"),
    (named("Nothing", lambda x: 0 * x), "linear (not seen: Nothing)"),
    (named("Ones", lambda x: torch.ones_like(x)), "Ones"),
    (named("LogRelu", lambda x: F.relu(x).log()), "linear (not seen: LogRelu)"),
    (named("Llama", lambda x, w: rms(x.float()).type_as(x) * w, 8, Untraced), "Sigmoid"),
    (named("Narrow", lambda x, w: rms(x) * w, 3, Untraced), "Sigmoid"),
    (named("ScaleNorm", lambda x, w: rms(x) * w, 1, Untraced), "Sigmoid"),
    (named("ConvNext", channel_first, 8, Untraced), "Sigmoid"),
    (named("Tokens", tokens, 8, Untraced), "Sigmoid"),
    (named("Series", time_series, 8, Untraced), "Sigmoid"),
    (named("Center", lambda x: x - x.mean(-1, keepdim=True), base=Untraced), "Sigmoid"),
    (named("NormTanh", lambda x: torch.tanh(rms(x))), "linear (not seen: truediv)"),
    (named("LayerNorm", lambda x: x.cumsum(-1)), "linear (not seen: cumsum)"),
    (named("BatchNorm", lambda x: rms(x).relu(), base=Untraced),
     "linear (not seen: BatchNorm)"),
    (named("NormPool", lambda x, w: x @ w.diag().roll(1, 0), 8, Untraced),
     "linear (not seen: NormPool)"),
    (named("Slopes", lambda x, w: torch.where(x > 0, x, x * (0 * w + 0.2)), 6),
     "linear (not seen: mul)"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "text"), OWN, ids=lambda m: type(m).__name__)
def test_a_name_does_not_say_what_a_module_of_ones_own_does(module, text):
    assert next_to(module, nn.Sigmoid()) == text


def test_the_gain_of_an_activation_of_ones_own_is_measured():
    rows = init(nn.Sequential(nn.Linear(16, 8), PadeActivation()))
    top, bottom = [0.02, 0.5, 1.5], 0.3
    gain = theory.gain(
        lambda z: (top[0] + top[1] * z + top[2] * z**2) / (1 + np.abs(bottom * z))
    )
    assert rows["0.weight"].set_to == f"normal, std {gain / 4:.3g}"
    assert rows["1.top"].set_to == "left alone: no rule for top of PadeActivation"


class NormBlock(nn.Module):
    """With layers of its own inside it is no norm, whatever it is called."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return torch.tanh(self.inner(x)) if x.sum() > 0 else x


def test_a_block_with_layers_is_no_norm():
    assert next_to(NormBlock(), nn.Sigmoid()) == "linear (not seen: NormBlock)"


class Branching(nn.Module):
    """Control flow: forward cannot be recorded, so that registration has to do."""

    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Linear(8, 8), nn.Tanh()
        self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        self.norm = nn.LayerNorm(8)
        self.act2 = nn.Sigmoid()
        self.hidden, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        x = self.act(self.first(x))
        x = self.block(x) if x.sum() > 0 else x
        return self.last(F.relu(self.hidden(self.act2(self.norm(x)))))


def test_without_a_record_registration_is_used_and_the_rest_said_to_be_unseen():
    unseen = "linear (not seen: the forward of Branching cannot be traced)"
    found = {
        "first": "Tanh (registered next)",
        "block.0": "ReLU",
        "block.2": "Sigmoid (registered next)",
        "hidden": unseen,  # and rightly so: a ReLU follows that nobody registered
        "last": unseen,
    }
    assert following(Branching()) == found
    inside = following(nn.Sequential(nn.Linear(8, 8), Branching(), nn.ReLU()))
    assert inside["0"] == "linear (not seen: Branching)"
    assert {k.removeprefix("1."): v for k, v in inside.items() if k != "0"} == found
    loose = following(nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]))
    assert set(loose.values()) == {"linear (not seen: its order is not known)"}


@pytest.mark.parametrize("activation", ["relu", "gelu", F.silu, nn.LeakyReLU(1.0)])
def test_a_transformer_encoder(activation):
    layer = nn.TransformerEncoderLayer(32, 4, 64, activation=activation, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    net = nn.Sequential(nn.Embedding(20, 32), encoder, nn.Linear(32, 20))
    rows = init(net, "xavier_normal")
    named = {"relu": RELU, "gelu": theory.gain("gelu"), F.silu: theory.gain("silu")}
    gain = named.get(activation, 1.0)
    for i in (0, 1):
        m, name = net[1].layers[i], f"1.layers.{i}."
        # each of q, k and v is a layer of fans 32 and 32, not one of fan_out 96
        assert rows[f"{name}self_attn.in_proj_weight"].fan_out == 32
        for block in m.self_attn.in_proj_weight.chunk(3):
            assert_std(block, 1 / math.sqrt(32))
        assert_std(m.self_attn.out_proj.weight, 1 / math.sqrt(32))
        assert_std(m.linear1.weight, gain / math.sqrt(48))
        assert_std(m.linear2.weight, 1 / math.sqrt(48))
        assert not m.self_attn.in_proj_bias.any() and not m.linear1.bias.any()
    assert set(rows) == {name for name, _ in net.named_parameters()}


def test_attention_of_other_widths_and_its_blocks():
    net = nn.MultiheadAttention(32, 4, kdim=8, vdim=16, add_bias_kv=True)
    kept = net.bias_k.detach().clone()
    rows = init(net)
    fans = [rows[f"{x}_proj_weight"].fan_in for x in "qkv"]
    assert fans == [32, 8, 16]
    assert_std(net.k_proj_weight, 1 / math.sqrt(8))
    assert "left alone" in rows["bias_k"].set_to and torch.equal(net.bias_k, kept)
    net = nn.MultiheadAttention(12, 2)
    init(net, "orthogonal")
    for block in net.in_proj_weight.detach().chunk(3):
        torch.testing.assert_close(block @ block.T, torch.eye(12), atol=1e-5, rtol=0)


class Tied(nn.Module):
    """As language models are: the head reads the embedding's weight."""

    def __init__(self, frozen=False, by_data=False):
        super().__init__()
        self.wte = nn.Embedding(50, 32, padding_idx=3)
        self.hidden = nn.Linear(32, 32)
        self.head = nn.Linear(32, 50, bias=False)
        if by_data:
            self.head.weight.data = self.wte.weight.data
        else:
            self.head.weight = self.wte.weight
        self.wte.weight.requires_grad_(not frozen)

    def forward(self, tokens, targets=None):
        logits = self.head(F.gelu(self.hidden(self.wte(tokens))))
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("by_data", [False, True])
def test_a_tied_weight_is_set_once_by_the_linears_rule(by_data):
    net = Tied(by_data=by_data)
    rows = init(net)
    assert list(rows) == ["wte.weight = head.weight", "hidden.weight", "hidden.bias"]
    row = rows["wte.weight = head.weight"]
    assert (row.layer, row.fan_in, row.followed_by) == ("Linear", 32, "linear (end)")
    assert row.set_to == "normal, std 0.177; row 3 is 0"
    rest = net.wte.weight[torch.arange(50) != 3]
    assert_std(rest, 1 / math.sqrt(32))
    assert not net.wte.weight[3].any()
    assert net.head.weight.data_ptr() == net.wte.weight.data_ptr()
    assert rows["hidden.weight"].followed_by == "gelu"
    # once: the first numbers of the generator are the tied weight's, the next are hidden's
    generator = rng()
    tied = generator.normal(0, 1 / math.sqrt(32), (50, 32))
    np.testing.assert_allclose(rest.detach(), np.delete(tied, 3, axis=0), atol=1e-6)
    gain = theory.gain("gelu")
    hidden = generator.normal(0, gain / math.sqrt(32), (32, 32))
    np.testing.assert_allclose(net.hidden.weight.detach(), hidden, atol=1e-6)


def test_a_layer_that_is_called_twice_goes_by_its_first_call():
    shared = nn.Linear(8, 8)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    rows = init(net)
    assert list(rows) == ["0.weight", "0.bias"]
    assert rows["0.weight"].followed_by == "ReLU"


def test_an_embedding_is_normal_and_its_padding_zero():
    net = nn.Embedding(300, 40, padding_idx=-1)
    row = init(net, "xavier_uniform")["weight"]
    assert (row.fan_in, row.fan_out) == (1, 40)
    assert row.set_to == "normal, std 1; row 299 is 0"
    assert_std(net.weight[:-1], 1.0)
    assert not net.weight[-1].any()


def test_frozen_parameters_are_left_alone_and_said_to_be():
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8))
    nn.init.constant_(net[1].weight, 7.0)
    for p in (net[0].weight, net[1].weight, net[2].bias):
        p.requires_grad_(False)
    before = state(net)["weights"]
    rows = init(net)
    said = [row.set_to == "left alone: frozen" for row in rows.values()]
    assert said == [True, False, True, False, False, True]
    now = list(net.parameters())
    assert all(torch.equal(before[i], now[i]) for i in (0, 2, 5))
    assert not torch.equal(before[4], now[4]) and not now[1].any()
    assert rows["0.weight"].fan_in is None
    frozen = Tied(frozen=True)
    before = frozen.head.weight.detach().clone()
    assert init(frozen)["wte.weight = head.weight"].set_to == "left alone: frozen"
    assert torch.equal(before, frozen.head.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype(dtype):
    net = nn.Sequential(nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 64)).to(dtype)
    init(net)
    assert net[0].weight.dtype == dtype
    assert_std(net[0].weight, math.sqrt(2 / (1 + 0.25**2)) / 8)


def test_weights_that_are_not_contiguous():
    net = nn.Sequential(nn.Linear(30, 60), nn.ReLU(), nn.Conv2d(8, 16, 3))
    net[0].weight = nn.Parameter(torch.zeros(30, 60).T)
    net[2] = net[2].to(memory_format=torch.channels_last)
    init(net)
    assert not net[0].weight.is_contiguous() and not net[2].weight.is_contiguous()
    drawn = rng().normal(0, RELU / math.sqrt(30), (60, 30))
    np.testing.assert_allclose(net[0].weight.detach(), drawn, atol=1e-6)


@pytest.mark.parametrize("make", [resnet, Branching, Tied, lambda: nn.Linear(3, 3)])
def test_only_weights_change(make):
    """Nor do attributes that forward sets on the way, or torch's random state."""
    net = make().eval()
    first = next(net.children(), net)
    first.train()
    for m in net.modules():
        m.register_forward_hook(lambda *_: pytest.fail("init_ ran a hook"))
    for p in net.parameters():
        p.grad = torch.full_like(p, 2.0)
    before = state(net)
    init(net)
    assert_same(before, state(net), "weights")
    pairs = zip(before["weights"], net.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs if a.ndim > 1)


class Remembers(nn.Module):
    """Its forward leaves things behind; its activation draws numbers."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen, self.calls = nn.Linear(4, 4), None, 0

    def forward(self, x):
        self.seen = self.layer(x)
        self.calls, self.extra = self.calls + 1, x
        return F.relu(self.seen + torch.rand(4))


def test_what_forward_leaves_behind_is_undone():
    net = nn.Sequential(Remembers(), nn.RReLU(), nn.Dropout())
    before = state(net)
    assert following(net) == {"0.layer": "relu"}
    assert_same(before, state(net), "weights")
    assert net[0].seen is None and net[0].calls == 0


def test_a_module_without_parameters_and_an_empty_weight():
    assert init(nn.ReLU()) == {} == init(nn.Sequential())
    assert str(initializers.init_(nn.ReLU(), rng=rng())) == "(no parameters)"
    layer = nn.Linear(3, 3)
    layer.weight = nn.Parameter(torch.empty(0, 3))
    assert init(layer)["weight"].set_to == "left alone: it is empty"


def test_the_table_is_text_and_markdown():
    table = initializers.init_(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), rng=rng())
    lines = str(table).splitlines()
    assert lines[0].split("  ")[0] == "name" and "followed by" in lines[0]
    assert len(lines) == 3 and "normal, std 0.707" in lines[1]
    assert repr(table) == str(table) and "None" not in str(table)
    markdown = table._repr_markdown_().splitlines()
    assert len(markdown) == 4 and {line.count("|") for line in markdown} == {8}


def refused():
    """(module, what is said) of modules that init_ and lsuv refuse, and why."""
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    pruned = nn.utils.prune.random_unstructured(nn.Conv1d(3, 3, 1), "weight", 0.5)
    with warnings.catch_warnings():  # torch is about to move its quantization elsewhere
        warnings.simplefilter("ignore")
        quantized = torch.ao.nn.quantized.dynamic.Linear(3, 3)
        lazy, lazy_norm = nn.LazyLinear(3), nn.LazyBatchNorm1d()
    whole = nn.Linear(3, 3, bias=False)
    whole.weight = nn.Parameter(torch.ones(3, 3, dtype=torch.int8), requires_grad=False)
    with torch.inference_mode():
        inference = nn.Linear(3, 3)
    return {
        "lazy": (lazy, "LazyLinear", "send a batch"),
        "lazy norm": (lazy_norm, "LazyBatchNorm1d", "send a batch"),
        "weight norm": (normed, "ParametrizedLinear", "add it again"),
        "pruned": (pruned, "Conv1d", "add it again"),
        "quantized": (quantized, "Linear", "then quantize"),
        "integers": (whole, "Linear", "then quantize"),
        "meta": (nn.Linear(3, 3, device="meta"), "Linear", "to_empty"),
        "inference": (inference, "Linear", "outside inference_mode"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "lazy",
        "lazy norm",
        "weight norm",
        "pruned",
        "quantized",
        "integers",
        "meta",
        "inference",
    ],
)
@pytest.mark.parametrize("call", ["init_", "lsuv"])
def test_what_cannot_be_set_is_refused_before_anything_is(case, call):
    last, kind, remedy = refused()[case]
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), last)
    weight = net[0].weight.detach().clone()
    modes = [m.training for m in net.modules()]
    with pytest.raises(ValueError, match=f"module must .*got {kind} at '2': .*{remedy}"):
        if call == "init_":
            initializers.init_(net, rng=rng())
        else:
            initializers.lsuv(net, torch.randn(5, 3))
    assert torch.equal(weight, net[0].weight)
    assert modes == [m.training for m in net.modules()]


# lsuv


def stds(module, batch):
    """The std of each layer's output in eval mode, in order of execution."""
    out, kinds = [], (nn.Linear, nn.modules.conv._ConvNd)
    hooks = [
        m.register_forward_hook(lambda m, x, z: out.append(z.std(correction=0).item()))
        for m in module.modules()
        if isinstance(m, kinds)
    ]
    with torch.no_grad():
        module.eval()(batch)
    for hook in hooks:
        hook.remove()
    return out


def images(seed=0):
    return torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


def upsampling():
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, groups=3),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Dropout(),
        nn.ConvTranspose2d(12, 6, 4, stride=2),
        nn.Tanh(),
        nn.Conv2d(6, 4, 3),
    )


@pytest.mark.parametrize("make", [resnet, upsampling])
def test_lsuv_gives_each_layer_a_std_of_one(make):
    torch.manual_seed(4)
    net = make()
    net[1].train(False)
    for p in net.parameters():
        p.grad = torch.full_like(p, 2.0)
    biases = [p.detach().clone() for n, p in net.named_parameters() if "bias" in n]
    directions = [nn.functional.normalize(m.weight.flatten(), dim=0) for m in layers(net)]
    first = stds(net, images())
    net.train()
    net[1].train(False)
    before = state(net)
    table = initializers.lsuv(net, images(), tolerance=0.01)
    assert_same(before, state(net), "weights")
    np.testing.assert_allclose(stds(net, images()), 1, atol=0.0101)
    assert [row.iterations for row in table] != [0] * len(table)
    assert table[0].std_before == pytest.approx(first[0], rel=1e-5)
    assert all(abs(row.std_after - 1) <= 0.01 for row in table)
    after = [p for n, p in net.named_parameters() if "bias" in n]
    assert all(map(torch.equal, biases, after))
    for m, direction in zip(layers(net), directions, strict=True):
        same = nn.functional.normalize(m.weight.flatten(), dim=0)
        torch.testing.assert_close(same, direction)


def layers(net):
    return [m for m in net.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]


def test_lsuv_goes_by_the_order_of_execution_and_once_through_a_shared_layer():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a, self.unused = (nn.Linear(6, 6, bias=False) for _ in range(3))
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return self.a(torch.relu(self.b(self.a(x))))

    torch.manual_seed(5)
    net, x = Backwards(), torch.randn(200, 6)
    table = initializers.lsuv(net, x, tolerance=1e-4)
    assert [row.name for row in table] == ["a", "b", "unused"]
    assert [row.iterations for row in table] == [1, 1, 0]
    assert table[2].note == "left alone: not called" and net.calls == 0
    np.testing.assert_allclose(stds(net, x)[:2], 1, atol=1e-4)  # at the first call of a


def test_lsuv_leaves_frozen_weights_and_sets_a_shared_weight_once():
    torch.manual_seed(6)
    net = nn.Sequential(*(nn.Linear(6, 6) for _ in range(3)))
    net[0].weight.requires_grad_(False)
    net[2].weight = net[1].weight
    frozen = net[0].weight.clone()
    table = initializers.lsuv(net, torch.randn(50, 6))
    assert table[0].note == "left alone: frozen" and torch.equal(frozen, net[0].weight)
    assert table[0].std_before == table[0].std_after
    assert table[2].note == "left alone: shares the weight of 1"


def test_lsuv_leaves_nothing_changed_where_it_fails():
    torch.manual_seed(7)
    net = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 6), nn.ReLU()
    )
    net[1].train(False)
    nn.init.zeros_(net[3].weight)
    nn.init.zeros_(net[3].bias)
    x = torch.randn(50, 7)
    before = state(net)
    with pytest.raises(ValueError, match="vary in Linear at '3', got a constant"):
        initializers.lsuv(net, x[:, :6])
    assert_same(before, state(net))
    with pytest.raises(RuntimeError, match="50x7 and 6x6"):
        initializers.lsuv(net, x)
    assert_same(before, state(net))


class Counting(nn.Module):
    """It counts its calls in buffers, in place and anew, and in a list."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(6))
        self.log = []

    def forward(self, x):
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        self.log.append(len(x))
        return self.layer(self.norm(x))


@pytest.mark.parametrize("constant", [False, True])
def test_lsuv_puts_back_what_forward_counts(constant):
    net, x = Counting(), torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    held = list(net.buffers())
    before = state(net)
    if constant:
        with pytest.raises(ValueError, match="reach std 1"):
            initializers.lsuv(net, 0 * x)
        assert_same(before, state(net))
    else:
        initializers.lsuv(net, x)
        assert_same(before, state(net), "weights")
        assert stds(net, x)[0] == pytest.approx(1, abs=0.1)
        net.calls -= 1  # of stds
        net.log.pop()
    assert net.log == [] and net.calls == 0
    assert all(a is b for a, b in zip(held, net.buffers(), strict=True)) == constant


def test_lsuv_divides_as_often_as_it_must_and_may():
    def net(bias):
        layer = nn.Linear(2, 2)
        layer.weight.data, layer.bias.data = 2 * torch.eye(2), torch.tensor([-bias, bias])
        return layer

    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # std is 2 without a bias, exactly
    assert initializers.lsuv(net(0.0), x, tolerance=1.0)[0].iterations == 0
    assert initializers.lsuv(net(0.0), x, tolerance=0.99)[0].iterations == 1
    needed = initializers.lsuv(net(0.5), x, tolerance=1e-3)[0].iterations
    assert needed > 2
    again = initializers.lsuv(net(0.5), x, tolerance=1e-3, max_iterations=needed)
    assert again[0].iterations == needed
    with pytest.raises(ValueError, match=f"after {needed - 1} divisions"):
        initializers.lsuv(net(0.5), x, tolerance=1e-3, max_iterations=needed - 1)


def test_lsuv_leaves_a_weight_that_lies_in_a_frozen_ones_memory():
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    net[1].weight.data = net[0].weight.data
    net[0].weight.requires_grad_(False)
    frozen = net[0].weight.clone()
    table = initializers.lsuv(net, torch.randn(50, 6))
    assert table[1].note == "left alone: shares the weight of 0"
    assert torch.equal(frozen, net[0].weight)


def test_lsuv_runs_torchs_transformer_layer_by_layer():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x = torch.randn(8, 5, 32, generator=torch.Generator().manual_seed(0))
    notes = {row.name: row.note for row in initializers.lsuv(net, x)}
    assert notes["layers.1.linear2"] is None
    assert notes["layers.1.self_attn.out_proj"] == "left alone: not called"


def test_lsuv_leaves_torchs_random_state():
    torch.manual_seed(9)
    net, x = Calls(lambda m, z: m.next(F.dropout(z))), torch.randn(50, 8)
    before = state(net)
    initializers.lsuv(net, x)
    assert_same(before, state(net), "weights")


def test_lsuv_in_half_precision():
    torch.manual_seed(8)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).half()
    x = torch.randn(100, 64).half()
    initializers.lsuv(net, x)
    np.testing.assert_allclose(stds(net, x), 1, atol=0.1)

"""probe: what it measures, that it leaves no trace, and whether its verdicts are right."""

import copy
import math
import random
import re
import subprocess
import sys
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import probe_models
import pytest
import torch
import torch.nn.functional as F
import zoo
from torch import nn

from nbcode import __main__ as command
from nbcode import signals

mpl.use("agg")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def mlp():
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.Tanh(),
                         nn.Linear(32, 10))  # fmt: skip


X, Y = (
    torch.randn(32, 64, generator=torch.Generator().manual_seed(0)),
    torch.arange(32) % 10,
)


# --- What it measures --------------------------------------------------------------------


def test_numbers_are_those_of_autograd():
    model = mlp()
    report = signals.probe(model, (X, Y), loss=F.cross_entropy, lr=0.1)
    h, outputs = X, []
    for m in model:
        h = m(h)
        h.retain_grad()
        outputs.append(h)
    loss = F.cross_entropy(h, Y)
    loss.backward()
    assert report.loss == pytest.approx(loss.item(), rel=1e-6)
    assert [x.name for x in report.layers] == ["0", "2", "4"]
    assert [x.activation for x in report.layers] == ["relu", "tanh", ""]
    for row, i in zip(report.layers, (0, 2, 4), strict=True):
        out, m = outputs[i].detach().numpy(), model[i]
        assert row.signal == pytest.approx(signals.rms(out), rel=1e-5)
        assert row.gradient == pytest.approx(signals.rms(outputs[i].grad), rel=1e-5)
        step = 0.1 * m.weight.grad.norm() / m.weight.norm()
        assert row.update == pytest.approx(step.item(), rel=1e-5)
        gain = signals.rms(m.weight.detach().numpy()) * m.in_features**0.5
        assert row.gain == pytest.approx(gain, rel=1e-5)
        assert row.spread == pytest.approx(np.sqrt(out.var(0, ddof=1).mean()), rel=1e-4)
        u = out / np.linalg.norm(out, axis=1, keepdims=True)
        cosines = (u @ u.T)[~np.eye(32, dtype=bool)]
        assert row.correlation == pytest.approx(cosines.mean(), abs=1e-4)
    y = outputs[3].detach().numpy()
    assert report.layers[1].saturated == np.mean(1 - y**2 < 0.1)
    assert report.layers[0].dead == 0


def test_of_a_large_layer_a_sample_is_enough():
    model = nn.Sequential(nn.Conv2d(3, 40, 3), nn.ReLU(), nn.Flatten(), nn.Linear(9000, 9))
    x = torch.randn(100, 3, 17, 17) + 0.5 * torch.randn(100, 1, 1, 1)
    out = model[0](x).detach().numpy()
    row = signals.probe(model, x).layers[0]
    assert row.signal == pytest.approx(signals.rms(out), rel=1e-4)
    # 32 of 100 samples: the relative error of their std is 1/√62
    assert row.spread == pytest.approx(np.sqrt(out.var(0, ddof=1).mean()), rel=0.3)


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.SiLU()])
@pytest.mark.parametrize("samples", [1, 2, 40])
def test_dead_units_are_counted(act, samples):
    conv = nn.Conv2d(3, 20, 3)
    with torch.no_grad():
        conv.bias[:7] = -30.0
        conv.bias[7:] = 3.0
    model = nn.Sequential(conv, act, nn.Conv2d(20, 2, 3))
    row = signals.probe(model, torch.randn(samples, 3, 12, 12)).layers[0]
    assert row.dead == 7 / 20


def test_a_unit_that_wakes_once_is_not_dead():
    """In the last of many samples, beyond those that are looked at first."""
    model = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 1))
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    x = -torch.ones(5000, 1)
    assert signals.probe(model, x).layers[0].dead == 1
    x[-1] = 1.0
    assert signals.probe(model, x).layers[0].dead == 0


def test_functions_count_as_activations_where_modules_do():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(64, 48), nn.Linear(48, 32), nn.Linear(32, 10)

        def forward(self, x):
            return self.c(torch.tanh(self.b(self.a(x).relu_())))

    rows = signals.probe(Functional(), X).layers
    assert [x.activation for x in rows] == ["relu", "tanh", ""]
    assert rows[0].dead is not None
    assert rows[1].saturated is not None


def test_an_optimizer_knows_the_step():
    model = mlp()
    groups = [
        {"params": model[0].parameters()},
        {"params": model[2].parameters(), "lr": 0.5},
    ]
    rows = signals.probe(model, (X, Y), loss=F.cross_entropy,
                         lr=torch.optim.Adam(groups, lr=1e-3)).layers  # fmt: skip
    steps = [copy.deepcopy(model)]
    adam = torch.optim.Adam(steps[0].parameters(), lr=1e-3)
    F.cross_entropy(steps[0](X), Y).backward()
    adam.step()
    moved = (steps[0][0].weight - model[0].weight).norm() / model[0].weight.norm()
    assert rows[0].update == pytest.approx(moved.item(), rel=0.01)
    assert rows[1].update > 300 * rows[0].update
    assert rows[2].update is None


def test_loops_and_shared_layers_have_one_row():
    cell, head = nn.Linear(64, 64), nn.Linear(64, 2)

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = cell, head

        def forward(self, x):
            for _ in range(20):
                x = torch.tanh(self.cell(x))
            return self.head(x)

    rows = signals.probe(Loop(), X).layers
    assert [(x.name, x.calls) for x in rows] == [("cell", 20), ("head", 1)]
    assert rows[0].signal == pytest.approx(signals.rms(cell(X).detach().numpy()), rel=1e-5)


# --- It leaves no trace ------------------------------------------------------------------


def state(model):
    named = dict(model.named_modules())
    return {
        "values": [t.detach().clone() for t in [*model.parameters(), *model.buffers()]],
        "tensors": [id(t) for t in [*model.parameters(), *model.buffers()]],
        "memory": [t.data_ptr() for t in model.parameters()],
        "grads": [id(p.grad) for p in model.parameters()],
        "grad values": [
            0 if p.grad is None else p.grad.clone() for p in model.parameters()
        ],
        "needs": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in named.values()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in named.values()
        ],
        "attributes": [
            (list(vars(m)), list(map(id, vars(m).values()))) for m in named.values()
        ],
        "torch": [torch.get_rng_state()],
        "numpy": [np.random.get_state()[1].copy(), np.random.get_state()[2]],  # noqa: NPY002
        "python": [random.getstate()],
        "global": [torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled()],
    }


def same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else np.array_equal(a, b)


def assert_untouched(before, after):
    for what in before:
        pairs = zip(before[what], after[what], strict=True)
        assert all(
            a == b if isinstance(a, tuple | int) else same(a, b) for a, b in pairs
        ), what


def tensors_of(batch):
    parts = batch.values() if isinstance(batch, dict) else batch
    return [batch] if isinstance(batch, torch.Tensor) else list(parts)


@pytest.mark.parametrize("name", zoo.HEALTHY)
@pytest.mark.parametrize("grads", [False, True])
def test_no_trace_is_left(name, grads):
    case = zoo.HEALTHY[name]()
    if name == "lazy":
        case.probe()
        assert all(torch.nn.parameter.is_lazy(p) for p in case.model.parameters())
        return
    if grads:
        for p in case.model.parameters():
            p.grad = torch.randn_like(p) if p.requires_grad else None
    before, batch = state(case.model), [t.clone() for t in tensors_of(case.batch)]
    with torch.no_grad():
        report = case.probe()
    assert_untouched(before, state(case.model))
    assert all(map(same, batch, tensors_of(case.batch)))
    assert report.layers
    assert any(x.gradient for x in report.layers) == (name != "nothing to train")
    if name == "checkpointed":  # which runs its blocks again while it differentiates
        assert {x.calls for x in report.layers} == {1}
    assert len(str(report).splitlines()) > len(report.layers)


class Restless(nn.Module):
    """Moves all that a forward pass can."""

    def __init__(self, fail=""):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 10)
        self.rows = nn.Embedding(4, 64, max_norm=0.1)
        self.norm, self.drop = nn.BatchNorm1d(64), nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(64))
        self.register_buffer("state", None)
        self.memory, self.history, self.cache = torch.zeros(64), [], {"last": None}
        self.torchs, self.numpys = torch.Generator(), np.random.default_rng(0)
        self.pythons, self.count, self.fail = random.Random(0), 0, fail

    def forward(self, x):
        x.mul_(2.0)
        self.count += 1
        self.history.append(x)
        self.cache["last"] = x
        self.memory += 1.0
        self.seen = self.seen + x.detach().mean(0)
        self.state = x.detach()
        x = x + torch.rand(64, generator=self.torchs) + self.numpys.random()
        x = x + self.pythons.random() + random.random() + np.random.rand()  # noqa: NPY002
        self.a.weight.data.clamp_(-0.05, 0.05)
        self.a.bias.data = torch.zeros(64)
        with torch.no_grad():
            self.b.bias.add_(1.0)
            self.norm.weight[:] = 2.0
        self.b.weight.detach().mul_(0.9)
        self.b.weight.grad = torch.ones(10, 64)
        self.eval()
        self.b.requires_grad_(False)
        self.extra = self.extra_layer = nn.Linear(2, 2)
        x = self.a(x) + self.rows(torch.zeros(len(x), dtype=torch.long))
        self.train()
        if self.fail == "forward":
            raise KeyError("halfway")
        return self.b(self.drop(self.norm(x)))


@pytest.mark.parametrize("fail", ["", "forward", "loss", "interrupt", "backward"])
def test_what_a_forward_pass_moves_is_put_back(fail):
    model = Restless(fail)
    model.drop.eval()

    def loss(out):
        if fail == "interrupt":
            raise KeyboardInterrupt
        if fail == "backward":
            out.register_hook(lambda g: 1 / 0)
        return out.sum() if fail != "loss" else out

    before, lists = state(model), (model.history, model.cache, model.memory.clone())
    generators = model.torchs.get_state(), model.numpys.bit_generator.state, model.pythons
    python = model.pythons.getstate()
    x = X.clone()
    try:
        signals.probe(model, x, loss=loss)
        assert not fail
    except (ValueError, KeyboardInterrupt, ZeroDivisionError):
        assert fail
    assert_untouched(before, state(model))
    assert model.history == []
    assert model.cache == {"last": None}
    assert torch.equal(model.memory, lists[2])
    assert torch.equal(model.torchs.get_state(), generators[0])
    assert model.numpys.bit_generator.state == generators[1]
    assert model.pythons.getstate() == python
    assert torch.equal(x, X)


class Around(nn.Module):
    """A forward that is a function of a model inside."""

    def __init__(self, inside, forward):
        super().__init__()
        self.inside, self.how = inside, forward

    def forward(self, *args):
        return self.how(self.inside, *args)


def amplitude(weight, x):
    return weight((torch.fft.fft(x) * 1j).abs())


def slopes(net, x):
    u = net(x)
    return torch.autograd.grad(u.sum(), x, create_graph=True)[0]


def under_autocast(net, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return net(x)


def packed():
    x = nn.utils.rnn.pack_padded_sequence(torch.randn(3, 7, 8), [7, 4, 1], batch_first=True)
    return Around(nn.LSTM(8, 16, batch_first=True), lambda m, x: m(x)[1][0][-1]), x


def compiled_in_place():
    model = mlp()
    model.compile(backend="eager")
    return model, X


SMOOTH = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 1))
ODD = {
    "parallel": lambda: (nn.DataParallel(mlp()), X),
    "weight norm": lambda: (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 9))),
        X,
    ),
    "spectral norm, old": lambda: (nn.utils.spectral_norm(nn.Linear(64, 9)), X),
    "half": lambda: (mlp().half(), X.half()),
    "complex": lambda: (Around(nn.Linear(64, 9), amplitude), X),
    "sparse": lambda: (
        Around(nn.Linear(64, 9), lambda m, x, a: torch.sparse.mm(a, m(x))),
        (X, torch.eye(32).to_sparse()),
    ),
    "packed": packed,
    "derivatives": lambda: (Around(SMOOTH, slopes), X.clone().requires_grad_()),
    "vmap": lambda: (Around(mlp(), lambda m, x: torch.vmap(m)(x)), X),
    "autocast": lambda: (Around(mlp(), under_autocast), X),
    "compiled in place": compiled_in_place,
    "evaluated encoder": lambda: (
        nn.TransformerEncoderLayer(64, 4, 64, batch_first=True).eval(),
        X[None],
    ),
    "one sample": lambda: (mlp(), X[0]),
    "without weights": lambda: (nn.Sequential(nn.Flatten(), nn.ReLU()), X),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_models_are_taken_and_left_as_they_are(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of what it is about to drop
        model, batch = ODD[name]()
        before = state(model)
        report = signals.probe(model, batch)
    assert_untouched(before, state(model))
    assert report.healthy
    assert len(report.layers) == 0 or report.layers[0].signal > 0
    assert ("no layer was seen" in report.verdict) == (name in ("vmap", "without weights"))


def test_of_compiled_code_the_arguments_are_known():
    model = torch.compile(Two(), backend="eager")
    report = signals.probe(model, {"x": X, "labels": Y}, loss=squares)
    assert [x.name for x in report.layers] == ["a"]


def test_gradients_that_a_model_takes_itself_are_not_the_losses():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
    x = torch.randn(6, 4, requires_grad=True)
    report = signals.probe(Around(net, slopes), x, loss=squares)
    h, outputs = x, []
    for m in net:
        h = m(h)
        outputs.append(h)
    (inner,) = torch.autograd.grad(h.sum(), x, create_graph=True)
    expected = torch.autograd.grad(squares(inner), outputs[0])[0]
    assert report.layers[0].gradient == pytest.approx(signals.rms(expected), rel=1e-4)


def test_scripted_code_is_run():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.script(mlp())
    assert "no layer was seen" in signals.probe(model, X).verdict


def test_twice_is_the_same():
    case = zoo.vgg()  # with dropout
    assert str(case.probe()) == str(case.probe())
    model = mlp()  # and without randomness of its own at any seed
    first = str(signals.probe(model, X))
    torch.manual_seed(1)
    assert str(signals.probe(model, X)) == first


def test_a_compiled_block_inside_is_looked_into():
    model = mlp()
    model[2] = torch.compile(
        nn.Sequential(nn.Linear(48, 32), nn.Sigmoid()), backend="eager"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its compiler
        model(X)
    report = signals.probe(model, X)
    assert [(x.name, x.activation) for x in report.layers][1] == ("2.0", "sigmoid")


# --- What it takes -----------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 10)

    def forward(self, x, shift=None, *, scale=1.0):
        x = scale * self.a(x)
        return x if shift is None else x + shift


def squares(out):
    return out.square().mean()


@pytest.mark.parametrize(
    ("batch", "loss"),
    [
        (X, None),
        (X, squares),
        ((X,), squares),
        ([X, torch.ones(10)], squares),
        ({"x": X, "scale": 2.0}, squares),
        ({"x": X, "labels": Y}, squares),
        ({"x": X, "labels": Y}, lambda out, b: F.cross_entropy(out, b["labels"])),
        ((X, Y), F.cross_entropy),
        ([X, Y], nn.CrossEntropyLoss()),
        (([X, torch.ones(10)], Y), F.cross_entropy),
        ((X, torch.ones(10), Y), F.cross_entropy),
        (({"x": X, "shift": torch.ones(10)}, Y), F.cross_entropy),
        ((X, torch.ones(10)), lambda out, y=None: squares(out)),
    ],
)
def test_batches_as_training_loops_have_them(batch, loss):
    report = signals.probe(Two(), batch, loss=loss)
    assert report.layers[0].gradient > 0
    assert report.loss is not None


def test_a_pair_without_a_loss_is_inputs_and_targets_if_it_is_not_two_arguments():
    assert signals.probe(mlp(), (X, Y)).healthy


def test_the_models_own_loss_is_taken():
    class Own(Two):
        def forward(self, x):
            out = super().forward(x)
            return {"out": out, "loss": 7 * out.square().mean()}

    model = Own()
    assert signals.probe(model, X).loss == pytest.approx(7 * squares(model.a(X)).item())


BAD = [
    (lambda: signals.probe(nn.ReLU, X), "model", "Module", "got <class", "its class"),
    (lambda: signals.probe(3, X), "model", "Module", "got 3", "the model itself"),
    (lambda: signals.probe(mlp().to("meta"), X), "model", "values", "meta", "to_empty"),
    (
        lambda: signals.probe(torch.inference_mode()(mlp)(), X),
        "model",
        "may change",
        "Linear at '0'",
        "outside inference_mode",
    ),
    (lambda: signals.probe(mlp(), X, loss="mse"), "loss", "function", "'mse'", "output["),
    (lambda: signals.probe(mlp(), X, training=1.5), "training", "got 1.5", "say"),
    (lambda: signals.probe(mlp(), X, lr=0), "lr", "above 0, got 0", "such as 0.1"),
    (lambda: signals.probe(mlp(), X, lr="a"), "lr", "got 'a'", "the optimizer"),
    (
        lambda: signals.probe(mlp(), X, lr=torch.optim.SGD(mlp().parameters(), 0.1)),
        "lr",
        "of this model",
        "got SGD",
        "model.parameters()",
    ),
    (
        lambda: signals.probe(mlp(), X[:, :5]),
        "batch",
        "(32, 5)",
        "RuntimeError",
        "pass what",
    ),
    (lambda: signals.probe(mlp(), None), "batch", "got None", "TypeError", "pass what"),
    (
        lambda: signals.probe(mlp(), {"x": X}, loss=squares),
        "batch",
        "dict of x",
        "pass what",
    ),
    (
        lambda: signals.probe(mlp(), X, loss=F.cross_entropy),
        "batch",
        "(inputs, targets)",
        "got a tensor of shape (32, 64)",
        "(x, y)",
    ),
    (
        lambda: signals.probe(mlp(), X, loss=lambda out: out["loss"]),
        "loss",
        "takes|take",
        "got a tensor of shape (32, 10)",
        "lambda output",
    ),
    (
        lambda: signals.probe(mlp(), X, loss=lambda out: out),
        "loss",
        "one number",
        "got a tensor of shape (32, 10)",
        "mean",
    ),
    (
        lambda: signals.probe(mlp(), X, loss=lambda out: 3.0),
        "loss",
        "one number",
        "got 3.0",
    ),
    (lambda: signals.probe(mlp(), X[:0]), "batch", "samples", "(0, 64)", "one or more"),
    (lambda: signals.probe(nn.Embedding(3, 2), Y[:1].bool().new_zeros(1, 1)), "batch"),
    (
        lambda: command._probe("nothing", None, None),
        "factory",
        "module:function",
        "'nothing'",
        "mymodel:build",
    ),
    (
        lambda: command._probe("no_such_module.py:f", None, None),
        "factory",
        "'no_such_module.py:f' (No module named 'no_such_module'",
        "mymodel.py",
    ),
    (
        lambda: command._probe("zoo:nothing", None, None),
        "factory",
        "'zoo:nothing' (module 'zoo' has no attribute 'nothing')",
        "mymodel:build",
    ),
    (lambda: command._probe("zoo", None, None), "factory", "'zoo', which cannot be called"),
    (
        lambda: command._probe("zoo:dcgan_init.__name__.title", None, None),
        "factory",
        "(model, batch)",
        "got str",
    ),
]


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_with_its_value_and_a_remedy(case):
    call, name, *parts = case
    with pytest.raises(ValueError) as caught:
        call()
    said = str(caught.value)
    assert said.startswith(name + " "), said
    assert "\n" not in said
    for part in parts:
        assert re.search("|".join(map(re.escape, part.split("|"))), said), (part, said)


# --- What it says ------------------------------------------------------------------------


def spoil(model, layer, value):
    with torch.no_grad():
        model[layer].weight[0, 0] = value
    return model


class Half(nn.Module):
    def forward(self, x):
        return x.half() * 300 * 300


class Roots(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.b(self.a(x).mul(0).sqrt())


def constant():
    model = mlp()
    for m in (model[0], model[2]):
        nn.init.constant_(m.weight, 0.02)
        nn.init.zeros_(m.bias)
    return model


def chain(depth, scale, act=nn.ReLU, norm=nn.Identity, width=64, bias=0.0):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(64, width)
        nn.init.normal_(linear.weight, std=scale / 8)
        nn.init.normal_(linear.bias, std=bias)
        layers += [linear, norm(width) if norm is not nn.Identity else norm(), act()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


HE = math.sqrt(2)
SAID = {
    "nan in the data": (mlp, X * float("nan"), {}, "not_finite_input", 10, ""),
    "one inf in the data": (mlp, X.where(X < 3, torch.inf), {}, "not_finite_input", 10, ""),
    "nan in a weight": (
        lambda: spoil(mlp(), 2, math.nan),
        X,
        {},
        "not_finite_weight",
        1,
        "2",
    ),
    "overflow": (
        lambda: spoil(mlp(), 2, 3e38),
        1e3 * X.sign(),
        {},
        "not_finite_signal",
        1,
        "2",
    ),
    "logarithm of 0": (
        mlp,
        X,
        {"loss": lambda out: (0 * out).log().sum()},
        "not_finite_loss",
        1,
        "",
    ),
    "root of 0": (Roots, X, {}, "not_finite_gradient", 1, "a"),
    "equal weights": (constant, X, {}, "symmetry", 1, "0"),
    "detached": (mlp, X, {"loss": lambda out: out.detach().sum()}, "no_gradient", 10, ""),
    "flat": (mlp, X, {"loss": lambda out: (out - 99).relu().sum()}, "no_gradient", 4, ""),
    "raw": (mlp, 255 * X.sigmoid(), {}, "input_scale", 2, "0"),
    "divided twice": (mlp, X / 255, {}, "input_scale", 2, "0"),
    "far from zero": (mlp, 5 + 0.1 * X, {}, "input_scale", 2, "0"),
    "chain, half": (lambda: chain(14, HE / 2), X, {}, "missing_norm", 4, "27 30 33"),
    "chain, 1.4": (lambda: chain(20, 1.4 * HE), X, {}, "missing_norm", 5, "30 33 36"),
    "ordered tanh": (
        lambda: chain(20, 0.8, nn.Tanh, bias=0.3),
        X,
        {},
        "rank_collapse",
        5,
        "",
    ),
    "deep, BN": (
        lambda: chain(45, HE, norm=nn.BatchNorm1d),
        X,
        {},
        "batch_norm_depth",
        7,
        "0",
    ),
    "small steps": (mlp, (X, Y), {"loss": F.cross_entropy, "lr": 1e-9}, "lr_small", 9, ""),
    "batch of one": (
        lambda: chain(2, HE, norm=nn.BatchNorm1d),
        X[:1],
        {},
        "batch_of_one",
        6,
        "",
    ),
    "batch of two": (
        lambda: chain(2, HE, norm=nn.BatchNorm1d),
        X[:2],
        {},
        "batch_of_one",
        6,
        "1",
    ),
    "one image": (
        lambda: zoo.vgg().model,
        zoo.images()[0][:1],
        {},
        "forgotten_eval",
        6,
        "",
    ),
    "never trained": (
        lambda: zoo.vgg().model.eval(),
        zoo.images()[0],
        {},
        "stale_statistics",
        6,
        "0.1",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_the_verdict_names_cause_chapter_and_layer(name):
    build, batch, options, cause, chapter, where = SAID[name]
    report = signals.probe(build(), batch, **options)
    assert (report.cause, report.chapter) == (cause, chapter), str(report)
    assert not where or report.findings[0].where in where.split()
    assert f"chapter {chapter}, " in report.verdict
    if cause.startswith("not_finite"):
        assert len(report.findings) == 1  # the rest would be judged on what is no number
    assert report.findings[0].where in report.verdict


@pytest.mark.parametrize("gain", [1.0, HE])
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_deep_networks_of_the_book_are_healthy(gain, norm):
    assert signals.probe(chain(20, gain, norm=norm), X).cause == "healthy"
    assert signals.probe(chain(20, HE), X).cause == "healthy"


def test_norms_after_the_input_excuse_its_scale():
    for norm in (nn.BatchNorm1d(64), nn.LayerNorm(64)):
        assert signals.probe(nn.Sequential(norm, *mlp()), 300 + 50 * X).healthy


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(64, 64), nn.Linear(64, 64)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x):
        return x + self.down(F.relu(self.up(x)))


def test_zeros_that_wait_for_a_readout_of_zeros_are_no_symmetry():
    model = nn.Sequential(nn.Linear(64, 64), Branch(), Branch(), nn.Linear(64, 10))
    nn.init.zeros_(model[-1].weight)
    assert signals.probe(model, (X, Y), loss=F.cross_entropy, lr=0.1).cause != "symmetry"
    for p in model.parameters():  # from here nothing but the last bias ever moves
        nn.init.zeros_(p)
    assert signals.probe(model, (X, Y), loss=F.cross_entropy, lr=0.1).cause == "symmetry"


def test_two_equal_units_are_no_symmetry():
    """Nor are units that start alike but for their biases."""
    model = mlp()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = model[0].weight[0], model[0].bias[0]
        model[2].weight[1], model[2].bias[1] = model[2].weight[0], model[2].bias[0]
        model[4].weight[:, 1] = model[4].weight[:, 0]
        model[2].weight[:, 1] = model[2].weight[:, 0]
    assert signals.probe(model, X).cause == "healthy"
    model = constant()
    nn.init.normal_(model[0].bias)
    nn.init.normal_(model[2].bias)
    assert signals.probe(model, X).cause != "symmetry"


def test_what_a_norm_hands_on_is_not_the_input():
    norm = nn.LayerNorm(64)
    nn.init.constant_(norm.weight, 20.0)
    assert signals.probe(nn.Sequential(norm, *mlp()), X).cause != "input_scale"


def test_sigmoids_among_others_are_not_throughout():
    layers = [m for act in (nn.Tanh, nn.Sigmoid) * 3 for m in (nn.Linear(64, 64), act())]
    assert signals.probe(nn.Sequential(*layers, nn.Linear(64, 9)), X).cause != "sigmoid"


def test_saturated_units_are_named():
    net = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 9))
    report = signals.probe(net, 8 * X)
    assert (report.cause, report.chapter, report.findings[0].where) == ("saturated", 3, "0")


def test_a_rate_is_judged_by_what_the_network_bears():
    """0.15 of a weight behind norms, 1/2L without; in between a deep one misses a norm."""

    def cause(lr, norm, depth=9):
        model = chain(depth, HE, norm=norm)
        weights = [m.weight for m in model if isinstance(m, nn.Linear)]
        unit = signals.probe(model, (X, Y), loss=F.cross_entropy, lr=1.0)
        step = float(np.median([x.update for x in unit.layers if x.update]))
        assert len(weights) == depth + 1
        return signals.probe(model, (X, Y), loss=F.cross_entropy, lr=lr / step).cause

    assert cause(0.14, nn.BatchNorm1d) == "healthy"
    assert cause(0.16, nn.BatchNorm1d) == "lr_large"
    assert cause(0.04, nn.Identity) == "healthy"
    assert cause(0.06, nn.Identity) == "missing_norm"
    assert cause(0.16, nn.Identity) == "lr_large"
    assert cause(0.1, nn.Identity, depth=3) == "healthy"
    assert cause(0.14, nn.Identity, depth=3) == "lr_large"


def test_a_summed_loss_is_no_larger_loss():
    def summed(output, y):
        return F.cross_entropy(output, y, reduction="sum")

    assert signals.probe(mlp(), (X, Y), loss=summed).healthy


def test_gates_are_no_saturated_layers():
    lstm = probe_models.HandLSTM()
    nn.init.constant_(lstm.gates.bias, 4.0)  # the usual trick: remember, to begin with
    report = signals.probe(lstm, X)
    assert report.layers[0].saturated > 0.5
    assert report.healthy


def right(collection):
    """Healthy models that are called healthy, and broken ones whose cause is named."""
    wrong = [
        f"{name}: {report.verdict}"
        for name, build in collection.HEALTHY.items()
        if not (report := build().probe()).healthy
    ]
    ways = [
        (f"{name}, {way}: {report.cause}", report.cause == cause)
        for name, build in collection.BROKEN.items()
        for (way, cause), case in build().items()
        if (report := case.probe())
    ]
    return wrong, ways


@pytest.mark.parametrize("collection", [probe_models, zoo])
def test_healthy_models_are_called_healthy_and_nine_in_ten_broken_ones_rightly(collection):
    wrong, ways = right(collection)
    assert 30 * len(wrong) <= len(collection.HEALTHY), wrong
    misses = [what for what, ok in ways if not ok]
    assert len(misses) <= 0.1 * len(ways), misses


# --- How it is shown ---------------------------------------------------------------------


def test_table_html_and_picture():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict({"<a>": nn.Linear(64, 10)})

        def forward(self, x):
            return self.layers["<a>"](x)

    report = signals.probe(Named(), 100 * X)
    text, page = str(report), report._repr_html_()
    assert text == repr(report)
    assert "layers.<a>  Linear" in text
    assert "input is not normalized" in text.replace("\n", " ")
    assert "<td>layers.&lt;a&gt;</td><td>Linear</td>" in page
    assert "<a>" not in page
    fig = report.plot()
    assert {t.get_text() for t in fig.axes[0].texts} == {"signal", "spread", "gradient"}
    assert "input scale" in fig.axes[0].get_title()
    plt.close(fig)
    plt.close(signals.probe(mlp(), X * math.nan).plot())
    plt.close(signals.probe(nn.Flatten(), X).plot())


def deep(act, std, layers=6):
    parts = [m for _ in range(layers) for m in (nn.Linear(64, 64, bias=False), act())]
    model = nn.Sequential(*parts, nn.Linear(64, 10))
    for m in model[::2]:
        nn.init.normal_(m.weight, 0, std)
    return model


@pytest.mark.parametrize(
    ("act", "scheme"), [(nn.ReLU, "with He's scheme"), (nn.Tanh, "with Xavier's scheme")]
)
def test_the_scheme_to_take_is_that_of_the_activation(act, scheme):
    report = signals.probe(deep(act, 0.005), (X, Y), loss=F.cross_entropy, lr=0.1)
    assert report.cause == "weights_small" and scheme in report.verdict
    assert "behind a norm" not in report.verdict
    said = str(report).replace("\n", " ")
    assert "[weights_small]" in said
    assert "No single weight" not in said  # all are far off
    assert "Multiply the learning rate" not in said  # it would not help


def test_all_dead_layers_are_named():
    model = deep(nn.ReLU, 0.18, layers=3)
    for m in (model[2], model[4]):
        m.bias = nn.Parameter(torch.full((64,), -9.0))
    verdict = signals.probe(model, (X, Y), loss=F.cross_entropy).verdict
    assert "units behind 2 are dead" in verdict
    assert "those behind 4" in verdict and "those of the others" in verdict


def test_the_loss_and_what_guessing_costs_come_first():
    report = signals.probe(mlp(), (X, Y), loss=F.cross_entropy)
    opening = f"loss {report.loss:.3g}; guessing among 10 costs 2.30"
    assert str(report).splitlines()[0] == opening and opening in report._repr_html_()
    assert "loss" not in str(signals.probe(mlp(), X)).splitlines()[0]


def build():
    return mlp(), X


def build_sick():
    return mlp(), (100 * X, Y), F.cross_entropy


def test_command_line(capsys):
    assert command.main(["probe", "test_probe:build"]) == 0
    assert "Healthy" in capsys.readouterr().out
    assert (
        command.main(["probe", "test_probe:build_sick", "--lr", "0.1", "--training"]) == 1
    )
    assert "The input is not normalized" in capsys.readouterr().out
    assert command.main(["probe", "test_probe"]) == 2
    assert "factory must be module:function" in capsys.readouterr().err


def test_command_line_as_a_program(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\ndef build():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Linear(4, 2), torch.randn(8, 4)\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "nbcode", "probe", "mine:build"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "Healthy" in run.stdout


def test_no_warning_is_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signals.probe(mlp(), X * math.inf)
        signals.probe(spoil(mlp(), 0, math.nan), X)
        signals.probe(mlp(), 0 * X)
        signals.probe(nn.Linear(64, 3), X[0])
        signals.probe(mlp().double(), 1e200 * X.double())

"""Training many networks at once is training them one by one, and each is on its own."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys

import joblib
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient

from nbcode import _stack, theory, training
from nbcode.training import train

MODULES = {
    "linear": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "relu6": torch.nn.ReLU6,
    "hardtanh": torch.nn.Hardtanh,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "softplus": torch.nn.Softplus,
    "elu": torch.nn.ELU,
    "selu": torch.nn.SELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}


OPTIMIZERS = [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks as small as these are slower on two, where another process is at work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def problem(runs=3, widths=(5, 7, 6, 4), samples=40, seed=0):
    rng = np.random.default_rng(seed)
    pairs = zip(widths[1:], widths[:-1], strict=True)
    weights = [rng.normal(0, b**-0.5, (runs, a, b)) for a, b in pairs]
    x = rng.normal(size=(samples, widths[0])).astype(np.float32)
    y = rng.integers(0, widths[-1], samples)
    return weights, x, y


def one_by_one(
    weights, run, x, y, rate, steps, name, batch_size=None, rng=None, bias=True,
    biases=None, norm=None, momentum=0.0, dtype=torch.float32, watch=None, every=10,
    optimizer="sgd", eps=1e-8,
):  # fmt: skip
    """The training loop that every tutorial has, for a single run.

    (losses, linear layers, gradients of the first step, accuracy, norms, watched accuracy)
    """
    norms = {"batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}
    layers = []
    for i, w in enumerate(weights):
        linear = torch.nn.Linear(w.shape[2], w.shape[1], bias=bias, dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(w[run]))
            if bias:
                linear.bias.zero_()
            if biases:
                linear.bias.copy_(torch.tensor(biases[i][run]))
        layers.append(linear)
        if i < len(weights) - 1:
            if norm:
                layers.append(norms[norm](w.shape[1], dtype=dtype))
            layers.append(MODULES[name]())
    model = torch.nn.Sequential(*layers)
    if optimizer == "adam":
        steps_of = torch.optim.Adam(model.parameters(), lr=rate, eps=eps)
    else:
        steps_of = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    loss_function, losses, first, curve = torch.nn.CrossEntropyLoss(), [], None, []
    x, y = torch.tensor(x, dtype=dtype), torch.tensor(y)

    def accuracy(x, y):
        model.eval()
        right = (
            model(torch.as_tensor(x, dtype=dtype)).argmax(1) == torch.as_tensor(y)
        ).float()
        model.train()
        return right.mean().item()

    for step in range(steps):
        if watch and step % every == 0:
            curve.append(accuracy(*watch))
        rows = np.arange(len(x))
        if batch_size is not None:
            rows = rng.choice(len(x), batch_size, replace=False)
        steps_of.zero_grad()
        loss = loss_function(model(x[rows]), y[rows])
        loss.backward()
        grads = [layer.weight.grad for layer in model if isinstance(layer, torch.nn.Linear)]
        first = first or [g.pow(2).mean().sqrt().item() for g in grads]
        steps_of.step()
        losses.append(loss.item())
    linears = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    normed = [layer for layer in model if isinstance(layer, tuple(norms.values()))]
    return losses, linears, first, accuracy(x, y), normed, curve


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("name", theory.ACTIVATIONS)
def test_a_stack_of_runs_is_torch_nn_one_by_one(name, batch_size):
    weights, x, y = problem()
    rates, steps = [0.05, 0.3, 0.0], 20

    def generator():
        return np.random.default_rng(5) if batch_size else None

    runs = train(
        weights,
        x,
        y,
        learning_rate=rates,
        steps=steps,
        activation=name,
        batch_size=batch_size,
        rng=generator(),
    )
    assert runs.loss.shape == (steps, 3) and runs.grad_rms.shape == (3, 3)
    assert runs.activation == name and runs.norm is None and runs.curve is None
    assert all(w.dtype == torch.float32 and w.is_contiguous() for w in runs.weights)
    accuracy = runs.accuracy(x, y)
    for run, rate in enumerate(rates):
        losses, linears, first, right, *_ = one_by_one(
            weights, run, x, y, rate, steps, name, batch_size, generator()
        )
        np.testing.assert_allclose(runs.loss[:, run], losses, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(runs.grad_rms[:, run], first, rtol=1e-5)
        assert accuracy[run] == pytest.approx(right, abs=1e-6)
        for i, linear in enumerate(linears):
            mine = runs.weights[i][run], runs.biases[i][run]
            for ours, theirs in zip(mine, (linear.weight, linear.bias), strict=True):
                theirs = theirs.detach().numpy()
                np.testing.assert_allclose(
                    ours.numpy().reshape(theirs.shape), theirs, rtol=1e-4, atol=1e-5
                )
    moved = [
        np.abs(w.numpy() - v).max(axis=(1, 2))
        for w, v in zip(runs.weights, weights, strict=True)
    ]
    assert all(m[0] > 1e-3 and m[2] < 1e-6 for m in moved)


@given(
    runs=st.integers(1, 4),
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple),
    samples=st.integers(1, 9),
    name=st.sampled_from(["relu", "linear"]),
    norm=st.sampled_from([None, "layer"]),
)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_every_shape_trains_and_says_its_shapes(runs, widths, samples, name, norm):
    weights, x, y = problem(runs, widths, samples)
    options = {"steps": 3, "norm": norm}
    got = train(weights, x, y, learning_rate=[0.1] * runs, activation=name, **options)
    assert got.loss.shape == (3, runs)
    assert [tuple(w.shape) for w in got.weights] == [w.shape for w in weights]
    assert [tuple(b.shape) for b in got.biases] == [w.shape[:2] for w in weights]
    assert got.grad_rms.shape == (len(weights), runs)
    for run in range(runs):
        losses, *_ = one_by_one(weights, run, x, y, 0.1, name=name, **options)
        np.testing.assert_allclose(got.loss[:, run], losses, rtol=1e-5, atol=1e-6)


def test_biases_that_are_not_trained_stay_at_zero():
    weights, x, y = problem()
    runs = train(weights, x, y, learning_rate=[0.3] * 3, steps=20, bias=False)
    assert all(not b.any() for b in runs.biases)
    for run in range(3):
        losses, *_ = one_by_one(weights, run, x, y, 0.3, 20, "relu", bias=False)
        np.testing.assert_allclose(runs.loss[:, run], losses, rtol=1e-5, atol=1e-6)


def test_biases_start_where_they_are_told_to():
    weights, x, y = problem()
    rng = np.random.default_rng(2)
    biases = [rng.normal(size=w.shape[:2]) for w in weights]
    runs = train(weights, x, y, learning_rate=[0.1] * 3, steps=20, biases=biases)
    for run in range(3):
        losses, *_ = one_by_one(weights, run, x, y, 0.1, 20, "relu", biases=biases)
        np.testing.assert_allclose(runs.loss[:, run], losses, rtol=1e-5, atol=1e-6)
    kept = train(
        weights, x, y, learning_rate=[0.1] * 3, steps=2, bias=False, biases=biases
    ).biases
    for b, start in zip(kept, biases, strict=True):
        np.testing.assert_allclose(b.numpy(), start, rtol=1e-6)


def test_the_first_loss_is_the_mean_cross_entropy_in_nats():
    weights, x, y = problem()
    zeros = [0 * w for w in weights]
    runs = train(zeros, x, y, learning_rate=[0.1] * 3, steps=1)
    np.testing.assert_allclose(runs.loss, np.log(4), rtol=1e-6)


@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize("rate", [1e30, 300.0])
def test_a_run_that_diverges_leaves_the_others_as_they_were(batch_size, rate):
    """Not nearly, but to the last bit, whatever the divergent one does."""
    weights, x, y = problem(runs=4)

    def runs(wild):
        return train(
            weights,
            x,
            y,
            learning_rate=[0.1, wild, 0.2, 0.3],
            steps=25,
            batch_size=batch_size,
            rng=np.random.default_rng(1),
        )

    calm, wild = runs(0.1), runs(rate)
    assert np.isfinite(calm.loss).all()
    assert np.nan_to_num(wild.loss[:, 1], nan=np.inf).max() > 1e5
    others = [0, 2, 3]
    assert np.array_equal(calm.loss[:, others], wild.loss[:, others])
    assert np.array_equal(calm.grad_rms, wild.grad_rms)
    for a, b in zip(calm.weights + calm.biases, wild.weights + wild.biases, strict=True):
        assert torch.equal(a[others], b[others])
    assert np.array_equal(calm.accuracy(x, y)[others], wild.accuracy(x, y)[others])
    if not np.isfinite(wild.loss[-1, 1]):
        assert wild.accuracy(x, y)[1] == 0  # nan is no answer, not class 0


def test_what_goes_in_is_not_changed():
    weights, x, y = problem()
    rates = np.array([0.1, 0.2, 0.3])
    biases = [np.ones(w.shape[:2]) for w in weights]
    given = [*weights, *biases, x, y, rates]
    before = [a.copy() for a in given]
    train(weights, x, y, learning_rate=rates, steps=3, biases=biases)
    # float32 needs no conversion, so nothing copies it
    single = [a.astype(np.float32) for a in weights + biases]
    kept = [a.copy() for a in single]
    train(single[:3], x, y, learning_rate=rates, steps=3, biases=single[3:]).accuracy(x, y)
    for a, b in zip(given + single, before + kept, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_goes_on_from_what_an_earlier_call_returned(dtype):
    """To the last bit, with the generator where it was left, and without a warning."""
    weights, x, y = problem()

    def options(steps):
        return {
            "x": x, "y": y, "learning_rate": [0.1, 0.2, 0.3], "steps": steps,
            "batch_size": 8, "rng": rng, "dtype": dtype,
        }  # fmt: skip

    rng = np.random.default_rng(3)
    whole = train(weights, **options(7))
    rng = np.random.default_rng(3)
    first = train(weights, **options(4))
    before = [b.clone() for b in first.biases]
    second = train(first.weights, biases=first.biases, **options(3))
    assert np.array_equal(whole.loss, np.concatenate([first.loss, second.loss]))
    assert all(map(torch.equal, whole.weights, second.weights))
    assert all(map(torch.equal, whole.biases, second.biases))
    assert all(map(torch.equal, before, first.biases))
    assert not any(t.requires_grad for t in first.weights + first.biases)


@pytest.mark.parametrize("eps", [1e-8, 1e-12])
def test_adam_divides_by_small_gradients_as_torch_does(eps):
    """Where gradients are of the size of ε, it matters where ε stands."""
    weights, x, y = problem(widths=(5, 4))
    x = x * 3e-8
    runs = train(
        weights, x, y, learning_rate=[0.1, 0.01, 0.3], steps=9, optimizer="adam",
        bias=False, dtype="float64", eps=eps,
    )  # fmt: skip
    for run, rate in enumerate([0.1, 0.01, 0.3]):
        _, (linear,), *_ = one_by_one(
            weights, run, x, y, rate, 9, "relu", bias=False, dtype=torch.float64,
            optimizer="adam", eps=eps,
        )  # fmt: skip
        want = linear.weight.detach().numpy()
        assert np.abs(want - weights[0][run]).max() > rate
        np.testing.assert_allclose(runs.weights[0][run], want, rtol=1e-7)


def test_the_generator_draws_the_batches_and_nothing_else_does():
    weights, x, y = problem()

    def losses(seed):
        rng = np.random.default_rng(seed)
        options = {"learning_rate": [0.1] * 3, "steps": 5, "batch_size": 8}
        return train(weights, x, y, rng=rng, **options).loss

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert np.array_equal(losses(0), losses(0))
    assert torch.equal(state, torch.get_rng_state())
    assert not np.array_equal(losses(0), losses(1))


def test_a_batch_of_all_samples_is_the_whole_set():
    weights, x, y = problem()
    rate = {"learning_rate": [0.1] * 3, "steps": 5}
    whole = train(weights, x, y, **rate)
    batch = train(weights, x, y, batch_size=len(x), rng=np.random.default_rng(0), **rate)
    np.testing.assert_allclose(whole.loss, batch.loss, rtol=1e-5)


def flushes_denormals():
    return (torch.tensor([1e-38]) * 0.01).item() == 0


def test_denormal_numbers_are_zero_in_training_and_nowhere_else():
    """1e-30 · 1e-12 is denormal; if it is 0, the second layer's weights get no gradient."""
    weights = [np.full((2, 3, 4), 1e-30), np.ones((2, 3, 3))]
    x, y = np.full((6, 4), 1e-12, "float32"), np.arange(6) % 3
    torch.set_flush_denormal(False)
    runs = train(weights, x, y, learning_rate=[0.0] * 2, steps=1)
    assert not runs.grad_rms[1].any()
    assert not flushes_denormals()


@pytest.mark.parametrize("norm", [None, "batch"])
def test_runs_on_several_cores_are_the_runs_on_one(norm):
    weights, x, y = problem(runs=5)

    def runs(threads):
        torch.set_num_threads(threads)
        options = {"norm": norm, "optimizer": "adam", "watch": (x, y), "every": 2}
        got = train(weights, x, y, learning_rate=[0.1] * 5, steps=5, **options)
        assert torch.get_num_threads() == threads
        return got

    one, three = runs(1), runs(3)
    torch.set_num_threads(1)
    for name in ("loss", "grad_rms", "curve"):
        assert np.array_equal(getattr(one, name), getattr(three, name))
    for name in ("weights", "biases", "gammas", "running_vars"):
        for a, b in zip(getattr(one, name), getattr(three, name), strict=True):
            assert torch.equal(a, b)


def test_an_error_in_training_comes_out_and_leaves_torch_as_it_was(monkeypatch):
    weights, x, y = problem()
    torch.set_num_threads(2)

    def fail(*_, **__):
        raise RuntimeError("out of memory, say")

    monkeypatch.setattr(torch.autograd, "grad", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(weights, x, y, learning_rate=[0.1] * 3, steps=1)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_accuracy_is_the_share_of_right_classes():
    """Weights that pick the class: run r shifts it by r, so only run 0 is right."""
    classes = 4
    shifted = np.stack([np.roll(np.eye(classes), r, axis=0) for r in range(3)])
    x, y = np.eye(classes, dtype=np.float32), np.arange(classes)
    runs = train([shifted], x, y, learning_rate=[0.0] * 3, steps=1)
    assert runs.accuracy(x, y).tolist() == [1.0, 0.0, 0.0]
    assert runs.accuracy(x, (y + 1) % classes).tolist() == [0.0, 1.0, 0.0]
    half = np.where(np.arange(classes) < 2, y, (y + 1) % classes)
    assert runs.accuracy(x, half).tolist() == [0.5, 0.5, 0.0]


def test_where_one_logit_is_infinite_there_is_no_answer():
    weights = [torch.tensor([[[3e38], [1.0]], [[3e8], [1.0]]])]
    zeros = np.zeros((1, 2))
    runs = training.Runs(zeros, weights, [torch.zeros(2, 2)], zeros, "relu", 1)
    assert runs.accuracy([[10.0]], [0]).tolist() == [0.0, 1.0]


def test_a_test_set_is_watched_every_ten_steps():
    weights, x, y = problem()
    runs = train(weights, x, y, learning_rate=[0.3] * 3, steps=21, watch=(x, y))
    assert runs.curve.shape == (3, 3)
    for row, steps in enumerate((10, 20), 1):
        upto = train(weights, x, y, learning_rate=[0.3] * 3, steps=steps)
        assert np.array_equal(runs.curve[row], upto.accuracy(x, y).astype(float))


def test_training_learns():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 200)
    x = (4 * np.eye(3)[y] + rng.normal(size=(200, 3))).astype(np.float32)
    weights = [rng.normal(0, 0.5, (5, 16, 3)), rng.normal(0, 0.25, (5, 3, 16))]
    runs = train(weights, x, y, learning_rate=[0.2] * 5, steps=60)
    assert np.all(runs.loss[-1] < 0.3 * runs.loss[0])
    assert np.all(runs.accuracy(x, y) > 0.9)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize(("optimizer", "momentum"), OPTIMIZERS)
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_norms_and_optimizers_are_those_of_torch(norm, optimizer, momentum, batch_size):
    weights, x, y = problem()
    other = problem(samples=90, seed=3)[1:]
    rates, steps = [0.05, 0.2, 0.0], 20

    def options():
        rng = np.random.default_rng(5) if batch_size else None
        return {
            "steps": steps,
            "batch_size": batch_size,
            "rng": rng,
            "norm": norm,
            "optimizer": optimizer,
            "momentum": momentum,
            "watch": other,
            "every": 7,
        }

    runs = train(weights, x, y, learning_rate=rates, dtype="float64", **options())
    assert runs.norm == norm and runs.steps == steps and runs.curve.shape == (3, 3)
    assert len(runs.gammas) == len(runs.betas) == (2 if norm else 0)
    assert len(runs.running_means) == len(runs.running_vars) == 2 * (norm == "batch")
    close = {"rtol": 1e-5, "atol": 1e-12}
    # A bias before batch norm has a gradient of rounding errors, which Adam magnifies.
    atol = 1e-8 if optimizer == "adam" else 1e-9
    for run, rate in enumerate(rates):
        losses, linears, first, right, normed, curve = one_by_one(
            weights, run, x, y, rate, name="relu",
            dtype=torch.float64, **options(),
        )  # fmt: skip
        np.testing.assert_allclose(runs.loss[:, run], losses, **close)
        np.testing.assert_allclose(runs.grad_rms[:, run], first, **close)
        np.testing.assert_allclose(runs.curve[:, run], curve, atol=1e-6)
        assert runs.accuracy(x, y)[run] == pytest.approx(right, abs=1e-6)
        assert len(normed) == len(runs.gammas)
        ours = [runs.weights, runs.biases, runs.gammas, runs.betas]
        theirs = [
            *([getattr(a, name) for a in linears] for name in ("weight", "bias")),
            *([getattr(a, name) for a in normed] for name in ("weight", "bias")),
        ]
        if norm == "batch":
            ours += [runs.running_means, runs.running_vars]
            theirs += [[a.running_mean for a in normed], [a.running_var for a in normed]]
        for mine, torchs in zip(ours, theirs, strict=True):
            for a, b in zip(mine, torchs, strict=True):
                assert a.dtype == torch.float64
                np.testing.assert_allclose(a[run], b.detach(), rtol=1e-5, atol=atol)
    for gamma, beta in zip(runs.gammas, runs.betas, strict=True):
        assert (gamma[1] - 1).abs().max() > 1e-3 and beta[1].abs().max() > 1e-3


WIDE, ODD = (16, 32, 16, 16), (5, 7, 6, 4)


@pytest.mark.parametrize(("optimizer", "momentum"), OPTIMIZERS)
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("widths", [WIDE, ODD])
def test_the_dead_leave_the_others_as_they_were(widths, norm, optimizer, momentum):
    """To the last bit, in whatever order they die."""
    weights, x, y = problem(runs=24, widths=widths, samples=48)
    rng = np.random.default_rng(1)
    dead, others = np.split(rng.permutation(24), 2)
    rates = rng.uniform(0.01, 0.1, 24)

    def runs(wild):
        start = [w.copy() for w in weights]
        start[1][dead[:6]] *= wild  # nan at once
        rate = rates.copy()
        if np.isnan(wild):
            rate[dead[6:]] = 10.0 ** rng.uniform(20, 38, 6)  # nan some steps later
        return train(
            start, x, y, learning_rate=rate, steps=15, norm=norm, optimizer=optimizer,
            momentum=momentum, watch=(x, y), every=5,
        )  # fmt: skip

    calm, wild = runs(1.0), runs(np.nan)
    assert np.isfinite(calm.loss).all() and calm.curve[-1].min() > 0
    gone = dead if norm is None else dead[:6]
    assert np.isnan(wild.loss[-1, gone]).all() and wild.steps == 15
    assert (wild.accuracy(x, y)[gone] == 0).all() and (wild.curve[-1, gone] == 0).all()
    for name in ("loss", "curve", "grad_rms"):
        a, b = getattr(calm, name), getattr(wild, name)
        assert np.array_equal(a[:, others], b[:, others])
    for name in ("weights", "biases", "gammas", "betas", "running_means", "running_vars"):
        for a, b in zip(getattr(calm, name), getattr(wild, name), strict=True):
            assert torch.equal(a[others], b[others])


@pytest.mark.parametrize("widths", [WIDE, ODD])
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_a_run_among_the_dead_is_the_run_alone(widths, norm):
    weights, x, y = problem(runs=40, widths=widths)
    alive = [3, 17, 18, 39]
    alone = [w[alive] for w in weights]
    weights[0][np.setdiff1d(np.arange(40), alive)] = np.nan
    options = {"steps": 20, "norm": norm, "dtype": "float64"}
    rates = np.linspace(0.01, 0.2, 40)
    among = train(weights, x, y, learning_rate=rates, **options)
    alone = train(alone, x, y, learning_rate=rates[alive], **options)
    np.testing.assert_allclose(among.loss[:, alive], alone.loss, rtol=1e-6)
    for a, b in zip(among.weights, alone.weights, strict=True):
        np.testing.assert_allclose(a[alive], b, rtol=1e-6, atol=1e-9)


def test_a_loss_that_is_infinite_may_recover():
    """Logits of 3e38 and −3e38 differ by more than float32 holds."""
    w = [np.array([[[3e38], [-3e38]]])]
    x, y = np.array([[1.0]], "float32"), np.array([1])
    loss = train(w, x, y, learning_rate=[3e38], steps=3).loss[:, 0]
    assert np.isinf(loss[0]) and loss[1] < 1


FILES = {training.__file__, _stack.__file__}
OUTSIDE = "outside of the loop"


def interrupted(trip, **options):
    """train() with a KeyboardInterrupt at the trip-th line of its code, or None."""
    left = trip

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        runs = train(**options)
    except KeyboardInterrupt:
        return OUTSIDE
    finally:
        sys.settrace(before)
    return runs if left <= 0 else None


def test_an_interrupt_returns_the_steps_done_wherever_it_comes():
    """At every line of the loop and of what it calls: never half a step."""
    weights, x, y = problem(runs=3, widths=(16, 16, 16), samples=32)
    weights[0][1, 0, 0] = np.nan

    def options(steps):
        return {
            "weights": weights,
            "x": x,
            "y": y,
            "learning_rate": [0.1, 0.1, 0.2],
            "steps": steps,
            "batch_size": 16,
            "rng": np.random.default_rng(0),
            "norm": "batch",
            "momentum": 0.9,
            "watch": (x, y),
            "every": 2,
        }

    shorter = {n: train(**options(n)) for n in (1, 2, 3)}
    seen = []
    for trip in range(1, 2000):
        runs = interrupted(trip, **options(3))
        torch.set_flush_denormal(False)
        if runs is None:
            break
        if runs is OUTSIDE:
            seen.append(OUTSIDE)
            continue
        done = runs.steps
        seen.append(done)
        assert torch.is_grad_enabled()
        assert np.isnan(runs.loss[done:]).all() and runs.loss.shape == (3, 3)
        rows = -(-done // 2)
        assert np.isnan(runs.curve[rows:]).all() and runs.curve.shape == (2, 3)
        if done == 0:
            for a, b in zip(runs.weights, weights, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6)
            continue
        want = shorter[done]
        assert np.array_equal(runs.loss[:done], want.loss, equal_nan=True)
        assert np.array_equal(runs.curve[:rows], want.curve)
        for name in ("weights", "biases", "gammas", "betas", "running_vars"):
            for a, b in zip(getattr(runs, name), getattr(want, name), strict=True):
                assert np.array_equal(a, b, equal_nan=True)
    # Checks, then the loop without a gap, then the result.
    assert [key for key, _ in itertools.groupby(seen)] == [OUTSIDE, 0, 1, 2, 3, OUTSIDE]
    assert len(seen) - seen.count(OUTSIDE) > 25


CTRL_C = """
import os, signal, threading
import numpy as np
from nbcode.training import train
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a script ignores it
w, x, y = [np.ones((2, 3, 4)), np.ones((2, 5, 3))], np.ones((6, 4)), np.arange(6) % 5
options = {"learning_rate": [0.1, 0.2], "steps": 1_000_000}
train(w, x, y, **{**options, "steps": 1})  # all is imported
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
runs = train(w, x, y, **options)
assert 0 < runs.steps < 1_000_000, runs.steps
assert np.isfinite(runs.loss[: runs.steps]).all()
assert np.isnan(runs.loss[runs.steps :]).all()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there a process ends of a SIGINT")
def test_ctrl_c_ends_training():
    run = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == "", run.stderr


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_all_is_computed_on_the_device(norm, monkeypatch):
    """Without a GPU: torch's meta device has shapes, no numbers, and mixes with none."""

    def fetch(tensor):
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")

    weights, x, y = problem()
    with pytest.raises(NotImplementedError, match="meta"):
        train(weights, x, y, learning_rate=[0.1] * 3, steps=1, device="meta")
    monkeypatch.setattr(torch.Tensor, "cpu", fetch)
    runs = train(
        weights, x, y, learning_rate=[0.1] * 3, steps=3, norm=norm, momentum=0.9,
        batch_size=8, rng=np.random.default_rng(0), watch=(x, y), every=2, device="meta",
    )  # fmt: skip
    assert runs.loss.tolist() == [[0.0] * 3] * 3  # as fetch has it
    tensors = runs.weights + runs.biases + runs.gammas + runs.betas + runs.running_vars
    assert {t.device.type for t in tensors} == {"cpu"}
    assert runs.accuracy(x, y).shape == (3,)


SLOW = """
import numpy as np
import torch
import tqdm.std
from nbcode import training

now = 0.0
tqdm.std.time = lambda: now


def slow_batches(*_):
    global now
    while True:
        now += 0.95  # seconds
        yield x, y


x, y = torch.ones(6, 4), torch.arange(6)
training._batches = slow_batches
for steps in (1, 4):
    runs = training.train([np.ones((2, 6, 4))], x, y, learning_rate=[0.1] * 2, steps=steps)
print(runs.steps)
"""


def executed(source):
    """What a notebook would store of a cell: the text on stdout, and that on stderr."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(nb, kernel_name="python3", timeout=60).execute()
    texts = {"stdout": "", "stderr": ""}
    for output in nb.cells[0].outputs:
        texts[output["name"]] += output["text"]
    return texts["stdout"], texts["stderr"]


def test_a_notebook_shows_a_bar_after_two_seconds_and_takes_it_away(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE")
    said, shown = executed(SLOW)
    assert said == "4\n"
    *lines, blank, end = shown.split("\r")
    assert [line.split("|")[-1][:4] for line in lines] == ["", " 3/4", " 4/4"]
    assert blank.strip() == "" and end == ""


def test_a_notebook_that_is_stored_shows_none():
    """The book's tools set TQDM_DISABLE, and so does conftest.py."""
    assert executed(SLOW) == ("4\n", "")


def test_a_worker_shows_no_bar(monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    assert training._shown(3) == range(3)


def tiles(count=6):
    """A map of learning rates in tiles, each with its own generator."""
    rngs = np.random.default_rng(4).spawn(count)
    for i, rng in enumerate(rngs):
        weights, x, y = problem(runs=2, samples=60, seed=i)
        yield {
            "weights": weights,
            "x": x,
            "y": y,
            "learning_rate": [0.01 * 2**i, 0.1],
            "steps": 20,
            "batch_size": 16,
            "rng": rng,
            "norm": "batch",
        }


def assert_same(got, want):
    for a, b in zip(got, want, strict=True):
        assert np.array_equal(a.loss, b.loss)
        for v, w in zip(
            a.weights + a.running_vars, b.weights + b.running_vars, strict=True
        ):
            assert torch.equal(v, w)


def test_tiles_on_two_cores_are_the_tiles_one_by_one():
    want = [train(**tile) for tile in tiles()]
    got = joblib.Parallel(n_jobs=2)(joblib.delayed(train)(**tile) for tile in tiles())
    assert_same(got, want)


def train_or_die(i, marker, tile):
    """Train the tile; the first process that comes to the third one is killed."""
    if i == 2 and not marker.exists():
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return train(**tile), os.getpid()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
@pytest.mark.filterwarnings("ignore")  # of Dask, about the worker that is lost
def test_tiles_on_a_dask_cluster_survive_a_killed_worker(tmp_path):
    import distributed

    want = [train(**tile) for tile in tiles()]
    marker = tmp_path / "killed"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        at_first = set(client.run(os.getpid).values())
        results = joblib.Parallel()(
            joblib.delayed(train_or_die)(i, marker, tile) for i, tile in enumerate(tiles())
        )
    got, pids = zip(*results, strict=True)
    assert_same(got, want)
    assert len(at_first) == 2 and int(marker.read_text()) in at_first
    assert os.getpid() not in pids  # all tiles were trained by workers

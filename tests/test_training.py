"""Training many networks at once is training them one by one, and each is on its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcode import theory
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
    weights, run, x, y, rate, steps, name, batch_size=None, rng=None, bias=True, biases=None
):
    """The training loop that every tutorial has, for a single run."""
    layers = []
    for i, w in enumerate(weights):
        linear = torch.nn.Linear(w.shape[2], w.shape[1], bias=bias)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(w[run]))
            if bias:
                linear.bias.zero_()
            if biases:
                linear.bias.copy_(torch.tensor(biases[i][run]))
        layers += [linear] if i == len(weights) - 1 else [linear, MODULES[name]()]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loss_function, losses, first = torch.nn.CrossEntropyLoss(), [], None
    x, y = torch.tensor(x), torch.tensor(y)
    for _ in range(steps):
        rows = np.arange(len(x))
        if batch_size is not None:
            rows = rng.choice(len(x), batch_size, replace=False)
        optimizer.zero_grad()
        loss = loss_function(model(x[rows]), y[rows])
        loss.backward()
        grads = [layer.weight.grad for layer in model if isinstance(layer, torch.nn.Linear)]
        first = first or [g.pow(2).mean().sqrt().item() for g in grads]
        optimizer.step()
        losses.append(loss.item())
    linears = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    return losses, linears, first, accuracy


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
    assert runs.activation == name
    accuracy = runs.accuracy(x, y)
    for run, rate in enumerate(rates):
        losses, linears, first, right = one_by_one(
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
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_every_shape_trains_and_says_its_shapes(runs, widths, samples):
    weights, x, y = problem(runs, widths, samples)
    got = train(weights, x, y, learning_rate=[0.1] * runs, steps=2)
    assert got.loss.shape == (2, runs)
    assert [tuple(w.shape) for w in got.weights] == [w.shape for w in weights]
    assert [tuple(b.shape) for b in got.biases] == [w.shape[:2] for w in weights]
    assert got.grad_rms.shape == (len(weights), runs)
    for run in range(runs):
        losses, *_ = one_by_one(weights, run, x, y, 0.1, 2, "relu")
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


def test_flushing_of_denormal_numbers_is_undone(monkeypatch):
    weights, x, y = problem()
    torch.set_flush_denormal(False)
    assert not flushes_denormals()
    train(weights, x, y, learning_rate=[0.1] * 3, steps=1)
    assert not flushes_denormals()

    def fail(*_, **__):
        raise RuntimeError("out of memory, say")

    torch.set_flush_denormal(True)
    train(weights, x, y, learning_rate=[0.1] * 3, steps=1)
    left = flushes_denormals()
    torch.set_flush_denormal(False)
    assert left
    monkeypatch.setattr(torch.autograd, "grad", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(weights, x, y, learning_rate=[0.1] * 3, steps=1)
    assert not flushes_denormals()


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


def test_training_learns():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 200)
    x = (4 * np.eye(3)[y] + rng.normal(size=(200, 3))).astype(np.float32)
    weights = [rng.normal(0, 0.5, (5, 16, 3)), rng.normal(0, 0.25, (5, 3, 16))]
    runs = train(weights, x, y, learning_rate=[0.2] * 5, steps=60)
    assert np.all(runs.loss[-1] < 0.3 * runs.loss[0])
    assert np.all(runs.accuracy(x, y) > 0.9)

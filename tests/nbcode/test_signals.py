"""Signals: forward and backward against autograd, differences, plain loops."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcode import signals, theory

DTYPES = ["float16", "bfloat16", "float32", "float64"]
TORCH = {
    "linear": lambda z: z * 1,
    "softplus": lambda z: torch.nn.functional.softplus(z, threshold=40),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def torch_activation(name):
    return TORCH.get(name) or getattr(torch.nn.functional, name)


def exact_rms(values):
    """√mean(a²) in exact fractions, rounded once: what no overflow can disturb."""
    mean = sum(Fraction(float(v)) ** 2 for v in values) / len(values)
    root = math.isqrt((mean.numerator << 2400) // mean.denominator)
    return float(Fraction(root, 1 << 1200))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_rms_at_every_magnitude(values):
    assert signals.rms(values) == pytest.approx(exact_rms(values), rel=1e-12, abs=1e-322)


@pytest.mark.parametrize("size", [1e300, 1e-300, 1e-310, 5e-324, 1.7e308, 1.0])
def test_rms_scales_with_its_argument(size):
    assert signals.rms(np.full((3, 4), size)) == size
    assert signals.rms([size, -size, 0, 0]) == pytest.approx(
        size / 2**0.5, rel=1e-9, abs=5e-324
    )


def test_rms_is_over_all_entries_and_of_squares():
    a = np.random.default_rng(0).normal(2, 1, size=(3, 4, 5))
    assert signals.rms(a) == pytest.approx(np.linalg.norm(a) / np.sqrt(60), rel=1e-12)
    assert signals.rms(a) == pytest.approx(np.sqrt(a.var() + a.mean() ** 2), rel=1e-12)
    assert signals.rms([3, -4]) == pytest.approx(12.5**0.5, rel=1e-12)
    assert signals.rms(torch.tensor([3.0, -4.0])) == pytest.approx(12.5**0.5, rel=1e-6)
    assert signals.rms(7) == 7


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
def test_rms_of_whole_numbers_as_far_as_their_type_goes(dtype):
    ends = [np.iinfo(dtype).min, np.iinfo(dtype).max]
    assert signals.rms(np.array(ends, dtype)) == pytest.approx(exact_rms(ends), rel=1e-12)
    assert signals.rms(np.array(ends[:1], dtype)) == abs(float(ends[0]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rms_of_a_narrow_type_is_that_of_its_numbers(dtype):
    """One large entry among many small ones, whose squares the type itself would lose."""
    a = np.full(5000, 3e-4, dtype)
    a[0] = 1
    assert signals.rms(a) == pytest.approx(exact_rms(a), rel=1e-12)


def test_rms_of_what_is_no_longer_a_number_says_so():
    assert signals.rms([0.0, 0.0]) == 0
    assert signals.rms([1.0, -np.inf]) == np.inf
    assert np.isnan(signals.rms([1.0, np.nan]))
    assert np.isnan(signals.rms([np.inf, np.nan]))


@given(widths=st.lists(st.integers(1, 7), min_size=2, max_size=5))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_random_weights_have_torchs_layout(widths):
    weights = signals.random_weights(widths, 1.0, np.random.default_rng(0))
    pairs = pairwise(widths)
    assert [w.shape for w in weights] == [(out, inputs) for inputs, out in pairs]
    assert all(w.dtype == np.float64 for w in weights)


def test_random_weights_have_each_layers_own_std():
    stds = [0.1, 3.0, 0.0]
    weights = signals.random_weights([400, 300, 500, 9], stds, np.random.default_rng(0))
    for w, std in zip(weights[:2], stds, strict=False):
        # the std of a sample std is 1/√(2·120000), so this is 9 of them
        assert np.std(w) == pytest.approx(std, rel=0.02)
        assert abs(np.mean(w)) < 6 * std / np.sqrt(w.size)
    assert not weights[2].any()
    same = signals.random_weights([4, 4, 4], 1.0, np.random.default_rng(1))
    assert not np.array_equal(*same)
    again = signals.random_weights((4, 4, 4), (1.0, 1.0), rng=np.random.default_rng(1))
    assert np.array_equal(same, again)
    (alone,) = signals.random_weights([4, 4], [2.0], rng=np.random.default_rng(1))
    assert np.array_equal(alone, 2 * same[0])


NETWORKS = st.fixed_dictionaries(
    {
        "widths": st.lists(st.integers(1, 6), min_size=2, max_size=6),
        "batch": st.sampled_from([None, 1, 2, 5]),
        "name": st.sampled_from(theory.ACTIVATIONS),
        "seed": st.integers(0, 10**6),
        "scale": st.sampled_from([0.2, 1.0, 4.0]),
    }
)


def draw(widths, batch, name, seed, scale):
    rng = np.random.default_rng(seed)
    weights = signals.random_weights(widths, scale, rng)
    x = rng.normal(size=widths[0] if batch is None else (batch, widths[0]))
    return x, weights, name, rng


@given(network=NETWORKS)
@settings(deadline=None, derandomize=True, max_examples=80)
def test_forward_and_backward_are_torchs(network):
    """∂L/∂z of every layer for L = Σ δ·z^L, as autograd has it."""
    x, weights, name, rng = draw(**network)
    zs, xs = signals.forward(x, weights, name)
    phi, h, kept = torch_activation(name), torch.from_numpy(x), []
    for i, w in enumerate(weights):
        assert np.array_equal(xs[i].shape, h.shape)
        np.testing.assert_allclose(xs[i], h.detach(), rtol=1e-10, atol=1e-11)
        z = h @ torch.from_numpy(w).T
        if not i:
            z.requires_grad_()
        z.retain_grad()
        kept.append(z)
        h = phi(z)
    np.testing.assert_allclose(xs[-1], h.detach(), rtol=1e-10, atol=1e-11)
    assert len(zs) == len(weights) == len(xs) - 1
    delta = rng.normal(size=zs[-1].shape)
    (torch.from_numpy(delta) * kept[-1]).sum().backward()
    deltas = signals.backward(delta, weights, zs, name)
    assert len(deltas) == len(weights)
    for ours, z, theirs in zip(deltas, zs, kept, strict=True):
        np.testing.assert_allclose(z, theirs.detach(), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(ours, theirs.grad, rtol=1e-9, atol=1e-9)
        assert ours.shape == z.shape


@given(network=NETWORKS)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_sample_alone_gives_its_row_of_the_batch(network):
    x, weights, name, rng = draw(**{**network, "batch": 3})
    zs, xs = signals.forward(x, weights, name)
    delta = rng.normal(size=zs[-1].shape)
    deltas = signals.backward(delta, weights, zs, name)
    for row in range(3):
        alone, outputs = signals.forward(x[row], weights, name)
        back = signals.backward(delta[row], weights, alone, name)
        for one, many in ((alone, zs), (outputs, xs), (back, deltas)):
            for a, b in zip(one, many, strict=True):
                np.testing.assert_allclose(a, b[row], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["linear", "tanh", "sigmoid", "softplus", "gelu", "silu"])
@given(network=NETWORKS)
@settings(deadline=None, derandomize=True, max_examples=10)
def test_backward_is_the_finite_difference(name, network):
    """Nudge each entry of each z and carry it to the last layer by hand."""
    x, weights, name, rng = draw(**{**network, "scale": 0.5, "name": name})
    zs, _ = signals.forward(x, weights, name)
    delta = rng.normal(size=zs[-1].shape)
    deltas = signals.backward(delta, weights, zs, name)
    phi, step = theory.activation(name), 1e-6

    def loss(z, layer):
        for w in weights[layer + 1 :]:
            z = phi(z) @ w.T
        return np.sum(delta * z)

    for layer, z in enumerate(zs):
        for i in np.ndindex(z.shape):
            nudge = np.zeros_like(z)
            nudge[i] = step
            up, down = loss(z + nudge, layer), loss(z - nudge, layer)
            slope = (up - down) / (2 * step)
            assert deltas[layer][i] == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_one_unit_a_layer_by_hand():
    weights = [np.array([[3.0]]), np.array([[-1.0]]), np.array([[7.0]])]
    zs, xs = signals.forward(np.array([2.0]), weights, "relu")
    assert [z.item() for z in zs] == [6.0, -6.0, 0.0]
    assert [x.item() for x in xs] == [2.0, 6.0, 0.0, 0.0]
    deltas = signals.backward(np.array([5.0]), weights, zs)
    assert [d.item() for d in deltas] == [-35.0, 35.0, 5.0]
    deltas = signals.backward(np.array([5.0]), weights, zs, "leaky_relu")
    assert [d.item() for d in deltas] == pytest.approx([-0.35, 0.35, 5.0], rel=1e-12)


def test_lists_do_as_arrays():
    lists, arrays = (
        [[[1, 2], [3, -4]], [[1, 1]]],
        [np.array([[1, 2], [3, -4.0]]), np.ones((1, 2))],
    )
    (zs, xs), expected = (
        signals.forward([1, -1], lists),
        signals.forward(np.array([1, -1]), arrays),
    )
    for a, b in zip(zs + xs, expected[0] + expected[1], strict=True):
        assert np.array_equal(a, b)
    deltas = signals.backward([2], lists, [z.tolist() for z in zs])
    assert [d.tolist() for d in deltas] == [[2.0, 2.0], [2]]


def test_a_callable_does_as_its_name():
    rng = np.random.default_rng(3)
    weights, x = signals.random_weights([4, 5, 3], 0.7, rng), rng.normal(size=(2, 4))
    zs, xs = signals.forward(x, weights, "tanh")
    for f in (np.tanh, torch.tanh):
        others, outputs = signals.forward(x, weights, f)
        for a, b in zip(zs + xs, others + outputs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        by_name = signals.backward(zs[-1], weights, zs, "tanh")
        by_function = signals.backward(zs[-1], weights, zs, f)
        for a, b in zip(by_name, by_function, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_nothing_that_goes_in_is_changed():
    rng = np.random.default_rng(4)
    weights, x = signals.random_weights([4, 5, 3], 0.7, rng), rng.normal(size=(2, 4))
    delta = np.ones((2, 3))
    before = [x.copy(), delta.copy(), *(w.copy() for w in weights)]
    zs, _ = signals.forward(x, weights, "relu")
    kept = [z.copy() for z in zs]
    signals.backward(delta, weights, zs, "relu")
    for a, b in zip([x, delta, *weights, *zs], before + kept, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("scale", "name"), [(2.0, "linear"), (0.5, "linear"), (3.0, "relu")]
)
def test_a_signal_and_its_gradient_grow_by_the_growth_factor(scale, name):
    """Over 20 layers at width 400 the log of the size strays by √(5·20/400)/2 = 0.25."""
    rng, width, depth = np.random.default_rng(5), 400, 20
    std = scale / np.sqrt(width)
    weights = signals.random_weights([width] * (depth + 1), std, rng)
    zs, _ = signals.forward(rng.normal(size=width), weights, name)
    growth = np.log(theory.growth_factor(std, width, name))
    forward = np.log(signals.rms(zs[-1]) / signals.rms(zs[0])) / (depth - 1)
    assert forward == pytest.approx(growth, abs=0.08)
    deltas = signals.backward(rng.normal(size=width), weights, zs, name)
    backward = np.log(signals.rms(deltas[0]) / signals.rms(deltas[-1])) / (depth - 1)
    assert backward == pytest.approx(growth, abs=0.08)


def plain_loop(std, width, dtype, name, rng, max_depth):
    """One number at a time, each stored in the dtype; sums in float64."""

    def stored(values):
        return torch.tensor(values, dtype=torch.float64).to(dtype).double().tolist()

    phi, zs = torch_activation(name), []
    x = stored(rng.normal(size=width).tolist())
    for layer in range(1, max_depth + 1):
        rows = [stored(row) for row in rng.normal(0.0, std, (width, width)).tolist()]
        z = stored([math.fsum(w * v for w, v in zip(row, x, strict=True)) for row in rows])
        x = stored(phi(torch.tensor(z, dtype=torch.float64)).tolist())
        zs.append(z)
        if not all(np.isfinite(z)):
            return (layer, "overflow"), zs
        if not any(x):
            return (layer, "underflow"), zs
    return (max_depth, "alive"), zs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("std", "name"),
    [(40.0, "linear"), (40.0, "relu"), (1e-5, "tanh"), (1e-5, "relu"), (0.3, "tanh")],
)
def test_breaking_layer_is_that_of_a_plain_loop(dtype, std, name):
    """And every number on the way there, seen by an activation that takes notes."""
    seen, phi = [], theory.activation(name)

    def noting(z):
        seen.append(z.copy())
        return phi(z)

    options = {"rng": np.random.default_rng(6), "max_depth": 70}
    where = signals.breaking_layer(std, 16, dtype, noting, **options)
    store = getattr(torch, dtype)
    expected, zs = plain_loop(std, 16, store, name, np.random.default_rng(6), 70)
    assert where == expected
    # sums in float64 may differ in their last bit, which shows only where it is stored
    tolerance = 1e-9 if dtype == "float64" else 0
    np.testing.assert_allclose(seen[:-1], zs[:-1], rtol=tolerance, atol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_signal_breaks_where_theory_says(dtype):
    for std, predict, how in (
        (1.0, theory.overflow_layer, "overflow"),
        (1 / 64, theory.underflow_layer, "underflow"),
    ):
        growth = theory.growth_factor(std, 64)
        layer, what = signals.breaking_layer(std, 64, dtype, rng=np.random.default_rng(7))
        # the largest of 64 entries is ahead of the rms by a factor of 3: a layer
        assert what == how
        assert abs(layer - predict(growth, dtype)) < 3


def test_a_signal_that_stays_in_range_is_alive_at_the_last_layer():
    std = theory.gain("relu") / 8
    rng = np.random.default_rng(8)
    assert signals.breaking_layer(std, 64, "float32", "relu", rng=rng, max_depth=5) == (
        5,
        "alive",
    )

"""Norms agree with torch, with finite differences, and with exact sums where torch errs."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nbcode import norms

KINDS = ("batch", "batch_eval", "layer", "group", "instance", "rms")
DRAWN = settings(deadline=None, derandomize=True, max_examples=60)
CASES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 5),
        "groups": st.integers(1, 4),
        "size": st.integers(1, 4),
        "trailing": st.lists(st.integers(1, 5), max_size=3),
        "last": st.integers(1, 4),
        "affine": st.tuples(st.booleans(), st.booleans()),
        "mean": st.sampled_from([0.0, 3.0]),
        "eps": st.sampled_from([1e-5, 1e-3, 0.5]),
        "seed": st.integers(0, 10**6),
    }
)


def defined(kind, case):
    """Whether there is more than one value to take the statistics of."""
    pixels = math.prod(case["trailing"])
    return {
        "batch": case["batch"] * pixels > 1,
        "group": case["batch"] * case["size"] * pixels > 1,
        "instance": pixels > 1,
    }.get(kind, True)


def build(kind, case, dtype=np.float64):
    """(x, parameters, ours, theirs): two functions of x and of weight and bias."""
    rng = np.random.default_rng(case["seed"])
    channels = case["groups"] * case["size"]
    shape = (case["batch"], channels, *case["trailing"])
    last = shape[-min(case["last"], len(shape)) :]
    x = (case["mean"] + rng.normal(size=shape)).astype(dtype)
    per = last if kind in ("layer", "rms") else (channels,)
    weight = rng.normal(1, 0.5, per).astype(dtype) if case["affine"][0] else None
    bias = rng.normal(size=per).astype(dtype) if case["affine"][1] else None
    mean, var = rng.normal(size=channels), rng.uniform(0.5, 2, channels)
    eps, tensors = case["eps"], [torch.tensor(a, dtype=torch.float64) for a in (mean, var)]
    tensors = [t.to(torch.from_numpy(x).dtype) for t in tensors]
    training = kind == "batch"
    mean, var = mean.astype(dtype), var.astype(dtype)

    def ours(x, g, b):
        if kind in ("batch", "batch_eval"):
            return norms.batch_norm(x, g, b, mean, var, training=training, eps=eps)
        if kind == "layer":
            return norms.layer_norm(x, last, g, b, eps)
        if kind == "group":
            return norms.group_norm(x, case["groups"], g, b, eps)
        if kind == "instance":
            return norms.instance_norm(x, g, b, eps)
        return norms.rms_norm(x, last, g, eps)

    def theirs(x, g, b):
        if kind in ("batch", "batch_eval"):
            return F.batch_norm(x, *tensors, g, b, training, 0.1, eps)
        if kind == "layer":
            return F.layer_norm(x, last, g, b, eps)
        if kind == "group":
            if b is not None and g is None:  # torch 2.13's backward cannot do without
                g = torch.ones_like(b)
            return F.group_norm(x, case["groups"], g, b, eps)
        if kind == "instance":
            return F.instance_norm(x, weight=g, bias=b, eps=eps)
        return F.rms_norm(x, last, g, eps)

    if kind == "rms":
        bias = None
    return x, (weight, bias), ours, theirs, tensors


def backward(kind, dy, cache):
    name = "batch" if kind == "batch_eval" else kind
    return getattr(norms, f"{name}_norm_backward")(dy, cache)


def tensor(a):
    return None if a is None else torch.from_numpy(a.copy()).requires_grad_()


def same(ours, theirs, tolerance, scale=1.0):
    """Equal in dtype, in shape, and up to tolerance of the largest entry, or of scale."""
    theirs = theirs.detach().numpy()
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    scale = max(scale, float(np.max(np.abs(theirs), initial=0)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def compare(kind, case, dtype, tolerance):
    x, parameters, ours, theirs, running = build(kind, case, dtype)
    if not defined(kind, case):
        with pytest.raises(ValueError, match=r"x must have more than one .* got shape"):
            ours(x, *parameters)
        with pytest.raises(ValueError, match="Expected more than 1"):
            theirs(*map(tensor, (x, *parameters)))
        return
    y, cache = ours(x, *parameters)
    inputs = [tensor(a) for a in (x, *parameters)]
    reference = theirs(*inputs)
    smallest = np.min(cache.std)
    if dtype == np.float32:  # torch subtracts in float32, and loses the digits of the mean
        tolerance *= max(1, np.max(np.abs(x)) / smallest / 10)
    same(y, reference, tolerance)
    dy = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
    reference.backward(torch.from_numpy(dy))
    for gradient, t in zip(backward(kind, dy, cache), inputs, strict=False):
        if t is None:
            assert gradient is None
        else:
            # terms of that size cancel in dx
            same(gradient, t.grad, tolerance, scale=np.max(np.abs(dy)) / smallest)
    if kind in ("batch", "batch_eval"):
        same(cache.running_mean, running[0], tolerance)
        same(cache.running_var, running[1], tolerance)


@pytest.mark.parametrize("kind", KINDS)
@given(case=CASES)
@DRAWN
def test_torch_in_float64(kind, case):
    compare(kind, case, np.float64, 1e-11)


@pytest.mark.parametrize("kind", KINDS)
@given(case=CASES)
@DRAWN
def test_torch_in_float32(kind, case):
    compare(kind, case, np.float32, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(case=CASES)
@settings(deadline=None, derandomize=True, max_examples=12)
def test_backward_is_the_finite_difference(kind, case):
    case = {**case, "trailing": case["trailing"][:1], "size": min(case["size"], 2)}
    case = {**case, "affine": (True, True), "eps": 0.5}
    x, parameters, ours, _, _ = build(kind, case)
    if not defined(kind, case):
        return
    dy = np.random.default_rng(1).normal(size=x.shape)
    _, cache = ours(x, *parameters)
    inputs, step = [x, *parameters], 1e-6
    for k, gradient in enumerate(backward(kind, dy, cache)):
        if inputs[k] is None:
            continue
        for i in np.ndindex(inputs[k].shape):
            up, down = ([a if a is None else a.copy() for a in inputs] for _ in range(2))
            up[k][i] += step
            down[k][i] -= step
            slope = np.sum(dy * (ours(*up)[0] - ours(*down)[0])) / (2 * step)
            assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_fifty_training_steps_in_step_with_torch(momentum):
    """Gradient descent on x, weight and bias alike, and the state after every step."""
    rng, rate = np.random.default_rng(0), 0.02
    module = nn.BatchNorm2d(4, momentum=momentum, dtype=torch.float64)
    weight, bias = np.ones(4), np.zeros(4)
    mean, var, batches = np.zeros(4), np.ones(4), 0
    x, target = rng.normal(2, 3, (6, 4, 3, 2)), rng.normal(size=(6, 4, 3, 2))
    t = torch.from_numpy(x.copy()).requires_grad_()
    optimizer = torch.optim.SGD([t, *module.parameters()], lr=rate)
    for _ in range(50):
        y, cache = norms.batch_norm(
            x, weight, bias, mean, var, momentum=momentum, num_batches_tracked=batches
        )
        mean, var, batches = cache[-3:]
        dx, dweight, dbias = norms.batch_norm_backward(y - target, cache)
        x, weight, bias = x - rate * dx, weight - rate * dweight, bias - rate * dbias
        optimizer.zero_grad()
        ((module(t) - torch.from_numpy(target)) ** 2).sum().div(2).backward()
        optimizer.step()
        same(mean, module.running_mean, 1e-11)
        same(var, module.running_var, 1e-11)
        assert batches == module.num_batches_tracked
        same(x, t, 1e-10)
        same(weight, module.weight, 1e-10)
        same(bias, module.bias, 1e-10)
    y, _ = norms.batch_norm(x, weight, bias, mean, var, training=False)
    same(y, module.eval()(t), 1e-10)


def exact(values, eps):
    """(values − mean)/√(variance + eps) of a list of numbers, the sums without error."""
    from fractions import Fraction

    values = [Fraction(float(v)) for v in values]
    mean = sum(values) / len(values)
    var = sum((v - mean) ** 2 for v in values) / len(values)
    root = math.sqrt(var + Fraction(eps))
    return [float(v - mean) / root for v in values], float(mean), float(var)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["batch", "layer", "group", "instance"])
def test_a_mean_of_very_many_standard_deviations(dtype, kind):
    """As far off as the dtype has different numbers at all: 1e8, and 2000 for float16."""
    rng, n = np.random.default_rng(2), 120
    mean, std = {np.float16: (60000, 30.0), np.float32: (1e8, 8.0)}.get(dtype, (1e8, 1.0))
    values = (mean + std * rng.normal(size=n)).astype(dtype)
    expected, exact_mean, exact_var = exact(values, 1e-5)
    if kind == "batch":
        state = np.zeros(1), np.ones(1)
        y, cache = norms.batch_norm(values[:, None], None, None, *state, momentum=1.0)
        assert cache.running_mean[0] == pytest.approx(exact_mean, rel=1e-15)
        assert cache.running_var[0] == pytest.approx(exact_var * n / (n - 1), rel=1e-12)
    elif kind == "layer":
        y, cache = norms.layer_norm(values[None], n)
    elif kind == "group":
        y, cache = norms.group_norm(values.reshape(1, 4, 30), 1)
    else:
        y, cache = norms.instance_norm(values.reshape(1, 1, n))
    assert y.dtype == dtype
    np.testing.assert_allclose(cache.normalized.reshape(-1), expected, atol=1e-12)
    # what is left is the rounding of the result to its dtype
    ulp = max(np.finfo(dtype).eps, 1e-12)
    np.testing.assert_allclose(y.reshape(-1), expected, rtol=ulp, atol=1e-12)
    # and the gradient is that of the same numbers less their mean
    dy = rng.normal(size=y.shape)
    less = (values.astype(float) - exact_mean).reshape(y.shape)
    if kind == "batch":
        reference = norms.batch_norm(less)[1]
    else:
        reference = norms.layer_norm(less, less.shape)[1]
    wide = cache._replace(dtype=np.dtype(float))
    a, b = backward(kind, dy, wide)[0], norms.layer_norm_backward(dy, reference)[0]
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_long_batch_with_a_large_mean_in_float64():
    """A sum along axis 0 is added up one by one: the first mean is off by far more."""
    x = 1e8 + np.random.default_rng(3).normal(size=(100_000, 2))
    y, _ = norms.batch_norm(x)
    expected = x - 1e8  # exact, and its own mean is small
    expected = (expected - expected.mean(0)) / np.sqrt(expected.var(0) + 1e-5)
    assert np.max(np.abs(y - expected)) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_results_are_the_wide_ones_rounded(kind, dtype):
    case = {"batch": 7, "groups": 3, "size": 2, "trailing": [5, 2], "last": 3, "mean": 3.0}
    case = {**case, "affine": (True, True), "eps": 1e-5, "seed": 4}
    x, parameters, ours, _, _ = build(kind, case, dtype)
    wide = [None if a is None else a.astype(float) for a in (x, *parameters)]
    (y, cache), (reference, wide_cache) = ours(x, *parameters), ours(*wide)
    assert np.array_equal(y, reference.astype(dtype))
    dy = np.random.default_rng(5).normal(size=x.shape).astype(dtype)
    gradients = backward(kind, dy, cache), backward(kind, dy.astype(float), wide_cache)
    for a, b in zip(*gradients, strict=True):
        assert (a is None and b is None) or np.array_equal(a, b.astype(dtype))
    if kind == "batch":
        assert cache.running_mean.dtype == cache.running_var.dtype == dtype


@pytest.mark.parametrize("kind", KINDS)
def test_layout_in_memory_does_not_matter(kind):
    case = {"batch": 4, "groups": 2, "size": 3, "trailing": [5, 2], "last": 2, "mean": 3.0}
    case = {**case, "affine": (True, True), "eps": 1e-5, "seed": 6}
    x, parameters, ours, _, _ = build(kind, case)
    y, cache = ours(x, *parameters)
    dy = np.random.default_rng(7).normal(size=x.shape)
    expected = backward(kind, dy, cache)
    doubled = np.repeat(x, 2, axis=3)[..., ::2]
    channels_last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    for other in (np.asfortranarray(x), doubled, np.moveaxis(channels_last, -1, 1)):
        assert not other.flags.c_contiguous
        again, other_cache = ours(other, *parameters)
        np.testing.assert_allclose(again, y, rtol=1e-12, atol=1e-13)
        for a, b in zip(backward(kind, dy, other_cache), expected, strict=True):
            if b is not None:
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    back = backward(kind, np.asfortranarray(dy), cache)
    np.testing.assert_allclose(back[0], expected[0], rtol=1e-12, atol=1e-13)


def reached(call):
    """What torch returns; None where it trips over a channel that is not there."""
    try:
        return call()
    except IndexError as error:
        assert "out of range for tensor of size [0]" in str(error)
        return None


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (2, 4, 0), (0, 4, 0), (2, 0, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_empty_inputs_do_as_torch_does(kind, shape):
    """No result, no gradient of x, zero gradients, and a state that is what it was."""
    x, channels = np.zeros(shape), shape[1]
    per = (channels,) if kind not in ("layer", "rms") else shape[1:]
    weight, bias, dy = np.full(per, 2.0), np.ones(per), np.zeros(shape)
    mean, var = np.full(channels, 3.0), np.full(channels, 5.0)
    training, t = kind == "batch", tensor(x)
    g, b = tensor(weight), tensor(bias)
    state = torch.from_numpy(mean.copy()), torch.from_numpy(var.copy())
    if kind in ("batch", "batch_eval"):
        options = {"training": training, "num_batches_tracked": 6, "momentum": None}
        y, cache = norms.batch_norm(x, weight, bias, mean, var, **options)
        theirs = reached(lambda: F.batch_norm(t, *state, g, b, training))
        assert cache.num_batches_tracked == 6 + training  # as torch's module counts
        same(cache.running_mean, state[0], 0)
        same(cache.running_var, state[1], 0)
    elif kind == "layer":
        y, cache = norms.layer_norm(x, shape[1:], weight, bias)
        theirs = F.layer_norm(t, shape[1:], g, b)
    elif kind == "group":
        y, cache = norms.group_norm(x, 2, weight, bias)
        theirs = F.group_norm(t, 2, g, b)
    elif kind == "instance":
        if len(shape) == 2:
            with pytest.raises(ValueError, match="Expected more than 1 spatial"):
                F.instance_norm(t)
            with pytest.raises(ValueError, match="x must have more than one trailing"):
                norms.instance_norm(x)
            return
        y, cache = norms.instance_norm(x, weight, bias)
        theirs = reached(lambda: F.instance_norm(t, weight=g, bias=b))
    else:
        y, cache = norms.rms_norm(x, shape[1:], weight)
        theirs = F.rms_norm(t, shape[1:], g)
    assert y.shape == shape
    if theirs is not None:
        same(y, theirs, 0)
    dx, dweight, *dbias = backward(kind, dy, cache)
    assert dx.shape == x.shape
    assert dweight.shape == per and not dweight.any()
    assert all(d.shape == per and not d.any() for d in dbias)


def test_the_default_eps_is_torchs():
    """Where the variance is as small as eps, eps is half of what is divided by."""
    x = 3e-3 * np.random.default_rng(11).normal(size=(3, 4, 5))
    t = torch.from_numpy(x)
    same(norms.batch_norm(x)[0], F.batch_norm(t, None, None, training=True), 1e-11)
    same(norms.layer_norm(x, 5)[0], F.layer_norm(t, (5,)), 1e-11)
    same(norms.group_norm(x, 2)[0], F.group_norm(t, 2), 1e-11)
    same(norms.instance_norm(x)[0], F.instance_norm(t), 1e-11)


def test_the_default_momentum_is_torchs():
    x, state = np.random.default_rng(12).normal(2, 3, (6, 4)), (np.zeros(4), np.ones(4))
    _, cache = norms.batch_norm(x, None, None, *state)
    module = nn.BatchNorm1d(4, dtype=torch.float64)
    module(torch.from_numpy(x))
    same(cache.running_mean, module.running_mean, 1e-12)
    same(cache.running_var, module.running_var, 1e-12)
    assert cache.num_batches_tracked is None  # nobody counted


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_at_its_ends_keeps_or_forgets_all(momentum):
    x, state = np.random.default_rng(13).normal(2, 3, (6, 4)), (np.full(4, 5.0), np.ones(4))
    _, cache = norms.batch_norm(x, None, None, *state, momentum=momentum)
    expected = (x.mean(0), x.var(0, ddof=1)) if momentum else state
    np.testing.assert_allclose(cache.running_mean, expected[0], rtol=1e-12)
    np.testing.assert_allclose(cache.running_var, expected[1], rtol=1e-12)


def test_whole_numbers_count_as_float64():
    x, dy = np.array([[1, 2], [3, 7]]), np.array([[1, 0], [2, 5]])
    y, cache = norms.batch_norm(x, [2, 3], [0, 1])
    expected, wide = norms.batch_norm(x * 1.0, np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert y.dtype == np.float64 and np.array_equal(y, expected)
    gradients = (
        norms.batch_norm_backward(dy, cache),
        norms.batch_norm_backward(1.0 * dy, wide),
    )
    for a, b in zip(*gradients, strict=True):
        assert a.dtype == np.float64 and np.array_equal(a, b)


@pytest.mark.parametrize("kind", ["batch", "layer", "group", "instance", "rms"])
def test_zero_over_zero_is_refused_and_no_variance_below(kind):
    """eps is 0: one constant entry among others is enough to refuse; a tiny one is not."""
    x = np.random.default_rng(14).normal(size=(3, 4, 5))
    calls = {
        "batch": (lambda: norms.batch_norm(x, eps=0.0), np.s_[:, 0]),
        "layer": (lambda: norms.layer_norm(x, (4, 5), eps=0.0), np.s_[0]),
        "group": (lambda: norms.group_norm(x, 2, eps=0.0), np.s_[0, :2]),
        "instance": (lambda: norms.instance_norm(x, eps=0.0), np.s_[0, 0]),
        "rms": (lambda: norms.rms_norm(x, (4, 5), eps=0.0), np.s_[0]),
    }
    call, where = calls[kind]
    x[where] *= 1e-100
    assert np.isfinite(call()[0]).all()
    x[where] = 0
    with pytest.raises(ValueError, match="eps must be above 0 where a variance is 0"):
        call()


def test_rms_norms_default_eps_is_torchs():
    for dtype in (np.float16, np.float32, np.float64):
        x = np.full((2, 4), 1e-5, dtype)
        theirs = F.rms_norm(torch.from_numpy(x), (4,))
        same(norms.rms_norm(x, 4)[0], theirs, 1e-12 if dtype == np.float64 else 1e-4)


def test_batch_norm_without_state_keeps_none():
    _, cache = norms.batch_norm(np.arange(6.0).reshape(3, 2))
    assert cache[-3:] == (None, None, None)


def test_a_momentum_of_none_is_the_mean_of_all_batches():
    rng, mean, var, batches = np.random.default_rng(8), np.full(2, 9.0), np.full(2, 9.0), 0
    drawn = [rng.normal(size=(n, 2)) for n in (3, 4, 5)]
    for x in drawn:
        state = {"momentum": None, "num_batches_tracked": batches}
        _, cache = norms.batch_norm(x, None, None, mean, var, **state)
        mean, var, batches = cache[-3:]
    np.testing.assert_allclose(mean, np.mean([x.mean(0) for x in drawn], 0), rtol=1e-12)
    expected = np.mean([x.var(0, ddof=1) for x in drawn], 0)
    np.testing.assert_allclose(var, expected, rtol=1e-12)
    assert batches == 3


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_goes_in_is_changed_or_comes_out(kind):
    rng, shape = np.random.default_rng(9), (4, 6, 5)
    x, dy = rng.normal(size=shape), rng.normal(size=shape)
    per = 5 if kind in ("layer", "rms") else 6
    weight, bias, mean, var = np.ones(per), np.zeros(per), np.full(6, 2.0), np.full(6, 3.0)
    arrays = [x, dy, weight, bias, mean, var]
    before = [a.copy() for a in arrays]
    if kind in ("batch", "batch_eval"):
        y, cache = norms.batch_norm(x, weight, bias, mean, var, training=kind == "batch")
        assert not np.shares_memory(cache.running_mean, mean)
        assert not np.shares_memory(cache.running_var, var)
    elif kind == "rms":
        y, cache = norms.rms_norm(x, 5, weight)
    elif kind == "group":
        y, cache = norms.group_norm(x, 3, weight, bias)
    elif kind == "layer":
        y, cache = norms.layer_norm(x, 5, weight, bias)
    else:
        y, cache = norms.instance_norm(x, weight, bias)
    first = backward(kind, dy, cache)
    y[:] = 0  # the cache is no view of the result
    for a, b in zip(first, backward(kind, dy, cache), strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(arrays, before, strict=True):
        assert np.array_equal(a, b)

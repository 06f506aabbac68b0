"""Initial weights: the fans that torch counts too, and the variance that was asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from nbcode import initializers

FALSE_ALARM = 1e-7
KERNELS = [(), (3,), (3, 5), (3, 5, 2)]


def rng(seed=0):
    return np.random.default_rng(seed)


@given(
    out=st.integers(1, 9),
    inputs=st.integers(1, 9),
    kernel=st.lists(st.integers(1, 5), max_size=3),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_fans_are_those_that_torch_counts(out, inputs, kernel):
    weight = torch.empty(out, inputs, *kernel)
    expected = torch.nn.init._calculate_fan_in_and_fan_out(weight)
    assert initializers.fans((out, inputs, *kernel)) == expected
    assert initializers.fans(weight.shape) == expected


@pytest.mark.parametrize("layer", [torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d])
def test_fan_in_counts_the_terms_of_an_output_and_fan_out_those_of_an_input(layer):
    axes = int(layer.__name__[4])
    conv = layer(3, 5, 3, padding=1, padding_mode="circular", bias=False)
    fan_in, fan_out = initializers.fans(tuple(conv.weight.shape))
    torch.nn.init.ones_(conv.weight)
    x = torch.ones(1, 3, *[4] * axes, requires_grad=True)
    z = conv(x)
    z.sum().backward()
    assert torch.all(z == fan_in)
    assert torch.all(x.grad == fan_out)


def test_fans_of_huge_weights_do_not_overflow():
    side = 2**20
    assert initializers.fans((side, side, side, side)) == (side**3, side**3)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("mode", initializers.MODES)
@pytest.mark.parametrize("gain", [0.3, 1.0, 2**0.5])
def test_std_is_gain_over_the_root_of_the_fan(kernel, mode, gain):
    """A sum of squares over its variance is χ²; fans 8:1 apart tell the modes apart."""
    inputs, out = 12, 96
    weights = initializers.variance_scaling(
        (out, inputs, *kernel), gain, mode, rng=rng(len(kernel))
    )
    area = np.prod(kernel, dtype=int)
    fan = {"fan_in": inputs, "fan_out": out, "fan_avg": (inputs + out) / 2}[mode] * area
    statistic = np.sum(weights**2) / (gain**2 / fan)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], weights.size)
    assert low < statistic < high
    # The interval is narrow enough to refuse the nearest of the usual mistakes.
    others = [gain / fan, gain**2 / fan**2, 2 * gain**2 / fan, gain**4 / fan]
    mistakes = {v for v in others if not np.isclose(v, gain**2 / fan, rtol=0.01)}
    assert all(not low < np.sum(weights**2) / v < high for v in mistakes)


@pytest.mark.parametrize("mode", initializers.MODES)
def test_weights_are_normal_and_centred(mode):
    weights = initializers.variance_scaling((64, 32, 3, 3), 1.7, mode, rng=rng(1)).ravel()
    assert kstest(weights / weights.std(), "norm").pvalue > FALSE_ALARM
    assert abs(weights.mean()) < 5.4 * weights.std() / np.sqrt(weights.size)


def test_units_are_independent():
    weights = initializers.variance_scaling((400, 300), rng=rng(2))
    rows = np.corrcoef(weights)[np.triu_indices(400, 1)]
    assert abs(rows.mean()) < 5.4 / np.sqrt(300 * rows.size)
    assert np.max(np.abs(rows)) < 0.5


@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_shape_and_dtype_are_those_asked_for(shape):
    weights = initializers.variance_scaling(shape, rng=rng())
    assert weights.shape == shape
    assert weights.dtype == np.float64


def test_gain_scales_and_the_generator_alone_decides():
    once = initializers.variance_scaling((5, 4), rng=rng(3))
    assert np.array_equal(once, initializers.variance_scaling((5, 4), rng=rng(3)))
    assert not np.array_equal(once, initializers.variance_scaling((5, 4), rng=rng(4)))
    tripled = initializers.variance_scaling((5, 4), 3.0, rng=rng(3))
    np.testing.assert_allclose(tripled, 3 * once, rtol=1e-14)
    generator = rng(3)
    first = initializers.variance_scaling((5, 4), rng=generator)
    assert not np.array_equal(first, initializers.variance_scaling((5, 4), rng=generator))


def test_the_global_seed_is_neither_used_nor_moved():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    initializers.variance_scaling((5, 4), rng=rng())
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002

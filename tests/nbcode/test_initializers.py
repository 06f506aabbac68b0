"""Initial weights: the fans that layers have, and the laws that were asked for.

Every draw has a seed, so that a run repeats. The bounds are set as if it had none: a right
initializer fails one assertion in FALSE_ALARM seeds, all of them (fewer than 600) less than
once in a million.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, chi2, ks_2samp, kstest

from nbcode import initializers, theory

FALSE_ALARM = 1e-9
SIGMAS = 6.2  # a normal variable is further out once in 2e9
MODES = ("fan_in", "fan_out", "fan_avg")
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
@pytest.mark.parametrize("mode", MODES)
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


@pytest.mark.parametrize("mode", MODES)
def test_weights_are_normal_and_centred(mode):
    weights = initializers.variance_scaling((64, 32, 3, 3), 1.7, mode, rng=rng(1)).ravel()
    assert kstest(weights / weights.std(), "norm").pvalue > FALSE_ALARM
    assert abs(weights.mean()) < SIGMAS * weights.std() / np.sqrt(weights.size)


def test_units_are_independent():
    weights = initializers.variance_scaling((400, 300), rng=rng(2))
    rows = np.corrcoef(weights)[np.triu_indices(400, 1)]
    assert abs(rows.mean()) < SIGMAS / np.sqrt(300 * rows.size)
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


def counted(layer, size=12):
    """(fan_in, fan_out) of a torch convolution as it counts them itself, with ones.

    A sum of ones is its number of terms, and the gradient of the sum of all outputs the
    number of sums that an input enters. Both are means over whole periods of the stride.
    """
    layer = layer.double()
    torch.nn.init.ones_(layer.weight)
    axes = layer.weight.ndim - 2
    x = torch.ones(1, layer.in_channels, *[size] * axes, dtype=torch.float64)
    z = layer(x.requires_grad_())
    z.sum().backward()
    if layer.transposed:  # which knows no circular padding: away from the border
        for axis, s in enumerate(layer.stride, start=2):
            z = z.narrow(axis, 4 * s, 4 * s)
    return z.mean().item(), x.grad.mean().item()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_fans_of_convolutions_are_those_that_torch_sums(axes, groups, stride):
    ring = {"padding": 1, "padding_mode": "circular"}
    options = {"stride": stride, "groups": groups, "bias": False}
    layer = getattr(torch.nn, f"Conv{axes}d")(6, 18, 3, **options, **ring)
    ours = initializers.fans(layer.weight.shape, kind="conv", groups=groups, stride=stride)
    assert ours == pytest.approx(counted(layer), rel=1e-12)
    layer = getattr(torch.nn, f"ConvTranspose{axes}d")(6, 18, 3, **options)
    ours = initializers.fans(
        layer.weight.shape, kind="transposed", groups=groups, stride=stride
    )
    assert ours == pytest.approx(counted(layer), rel=1e-12)


def test_a_stride_an_axis_and_a_kernel_that_is_no_square():
    options = {"stride": (1, 3), "bias": False}
    layer = torch.nn.Conv2d(
        4, 6, (3, 5), **options, padding=(1, 2), padding_mode="circular"
    )
    ours = initializers.fans((6, 4, 3, 5), kind="conv", stride=(1, 3))
    assert ours == (60, 30) == pytest.approx(counted(layer))
    layer = torch.nn.ConvTranspose2d(4, 6, (3, 5), **options)
    ours = initializers.fans((4, 6, 3, 5), kind="transposed", stride=(1, 3))
    assert ours == (20, 90) == pytest.approx(counted(layer))


def test_fans_are_ints_where_whole():
    conv = {"kind": "conv", "stride": 2}
    assert [type(n) for n in initializers.fans((2, 3, 2, 2), **conv)] == [int, int]
    assert initializers.fans((2, 3, 3, 3), **conv) == (27, 4.5)


def test_groups_and_strides_default_to_one_and_kinds_to_the_axes():
    assert initializers.fans((4, 3)) == initializers.fans((4, 3), kind="dense", groups=1)
    assert initializers.fans((4, 3, 5)) == initializers.fans(
        (4, 3, 5), kind="conv", groups=1, stride=[1]
    )
    assert initializers.fans((1, 1)) == (1, 1)


def test_the_defaults_are_gain_one_and_fan_in():
    shape, options = (160, 40), {"mode": "fan_in"}
    for law, more in (
        (initializers.variance_scaling, {"gain": 1.0, **options}),
        (initializers.xavier_uniform, {"gain": 1.0}),
        (initializers.xavier_normal, {"gain": 1.0}),
        (initializers.he_uniform, {"negative_slope": 0.0, **options}),
        (initializers.he_normal, {"negative_slope": 0.0, **options}),
        (initializers.orthogonal, {"gain": 1.0}),
    ):
        assert np.array_equal(law(shape, rng=rng()), law(shape, rng=rng(), **more))


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.2, 1.0, -0.5, 3.0])
def test_gain_of_a_leaky_relu_is_what_torch_and_quadrature_say(slope):
    gain = initializers.gain("leaky_relu", slope)
    assert gain == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", slope))
    assert gain == pytest.approx(theory.gain(lambda z: np.where(z > 0, z, slope * z)))


@pytest.mark.parametrize("activation", [*theory.ACTIVATIONS, np.tanh, torch.nn.GELU()])
def test_gain_is_that_of_the_theory(activation):
    assert initializers.gain(activation) == theory.gain(activation)


# 4:1 apart, so that no fan is taken for another, and large enough to tell √2 from 1
SHAPES = [(160, 40), (48, 12, 7), (32, 8, 5, 5), (24, 6, 3, 3, 3)]
INIT = torch.nn.init
LEAKY = {"a": 0.3, "nonlinearity": "leaky_relu"}

# name, ours, torch's own on a tensor, variance by fan_in and fan_out
LAWS = [
    (
        "uniform",
        lambda shape, rng: initializers.xavier_uniform(shape, 1.7, rng=rng),
        lambda w: INIT.xavier_uniform_(w, 1.7),
        lambda i, o: 1.7**2 * 2 / (i + o),
    ),
    (
        "normal",
        lambda shape, rng: initializers.xavier_normal(shape, 1.7, rng=rng),
        lambda w: INIT.xavier_normal_(w, 1.7),
        lambda i, o: 1.7**2 * 2 / (i + o),
    ),
    (
        "uniform",
        lambda shape, rng: initializers.xavier_uniform(shape, rng=rng),
        INIT.xavier_uniform_,
        lambda i, o: 2 / (i + o),
    ),
    (
        "uniform",
        lambda shape, rng: initializers.he_uniform(shape, rng=rng),
        lambda w: INIT.kaiming_uniform_(w, nonlinearity="relu"),
        lambda i, o: 2 / i,
    ),
    (
        "normal",
        lambda shape, rng: initializers.he_normal(shape, rng=rng),
        lambda w: INIT.kaiming_normal_(w, nonlinearity="relu"),
        lambda i, o: 2 / i,
    ),
    (
        "uniform",
        lambda shape, rng: initializers.he_uniform(shape, "fan_out", 0.3, rng=rng),
        lambda w: INIT.kaiming_uniform_(w, mode="fan_out", **LEAKY),
        lambda i, o: 2 / 1.09 / o,
    ),
    (
        "normal",
        lambda shape, rng: initializers.he_normal(shape, "fan_out", 0.3, rng=rng),
        lambda w: INIT.kaiming_normal_(w, mode="fan_out", **LEAKY),
        lambda i, o: 2 / 1.09 / o,
    ),
    (
        "normal",
        lambda shape, rng: initializers.he_normal(shape, negative_slope=1.0, rng=rng),
        lambda w: INIT.kaiming_normal_(w, nonlinearity="linear"),
        lambda i, o: 1 / i,
    ),
]


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize(("law", "ours", "torchs", "variance"), LAWS)
def test_a_law_is_the_one_of_the_paper_and_of_torch(shape, law, ours, torchs, variance):
    """The law is known to the last digit, so torch's weights are asked the same."""
    torch.manual_seed(1)
    weights = ours(shape, rng(5))
    assert weights.shape == shape and weights.dtype == np.float64
    area = math.prod(shape[2:])
    std = math.sqrt(variance(shape[1] * area, shape[0] * area))
    reference = torchs(torch.empty(shape)).double().numpy()
    for w in (weights.ravel(), reference.ravel()):
        square, cdf = {
            "normal": (2.0, "norm"),  # Var[w²] in units of σ⁴
            "uniform": (0.8, lambda t: np.clip(t / math.sqrt(12) + 0.5, 0, 1)),
        }[law]
        off = (np.mean(w**2) / std**2 - 1) / math.sqrt(square / w.size)
        assert abs(off) < SIGMAS
        assert abs(w.mean()) < SIGMAS * std / math.sqrt(w.size)
        assert kstest(w / std, cdf).pvalue > FALSE_ALARM
    if law == "uniform":
        # the largest of n lies within ε of the bound but for a chance (1 − ε)^n
        edge = 1 + math.log(FALSE_ALARM) / weights.size
        assert edge < np.max(np.abs(weights)) / (math.sqrt(3) * std) <= 1
    same = ks_2samp(weights.ravel(), reference.ravel(), method="asymp").pvalue
    assert same > FALSE_ALARM


@pytest.mark.parametrize("law", ["he_normal", "he_uniform"])
def test_fan_avg_is_between_the_fans(law):
    draw = getattr(initializers, law)
    one, mean = (draw((160, 40), mode, rng=rng()) for mode in ("fan_in", "fan_avg"))
    np.testing.assert_allclose(mean, one * math.sqrt(40 / 100), atol=1e-15)


@pytest.mark.parametrize("shape", [(7, 7), (9, 4), (4, 9), (6, 2, 3), (5, 2, 2, 2), (1, 3)])
def test_rows_or_columns_are_orthonormal(shape):
    weights = initializers.orthogonal(shape, 1.5, rng=rng(8)) / 1.5
    q = weights.reshape(shape[0], -1)
    assert weights.shape == shape
    small = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)
    w = INIT.orthogonal_(torch.empty(shape), 1.5)
    assert np.sum(weights**2) == pytest.approx(w.square().sum().item() / 1.5**2, rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_every_orthogonal_matrix_is_equally_likely(shape):
    """Haar's measure: (1 + entry)/2 is Beta, entries are symmetric, determinants ±1."""
    generator, n = rng(9), max(shape)
    q = np.array([initializers.orthogonal(shape, rng=generator) for _ in range(3000)])
    torch.manual_seed(3)
    t = torch.stack([INIT.orthogonal_(torch.empty(shape)) for _ in range(600)])
    for i, j in np.ndindex(shape):
        law = beta((n - 1) / 2, (n - 1) / 2)
        assert kstest((1 + q[:, i, j]) / 2, law.cdf).pvalue > FALSE_ALARM
        same = ks_2samp(q[:, i, j], t[:, i, j].numpy(), method="asymp").pvalue
        assert same > FALSE_ALARM
    # signs of different entries know nothing of each other
    signs = np.sign(q.reshape(3000, -1))
    pairs = (signs.T @ signs / 3000)[np.triu_indices(signs.shape[1], 1)]
    assert np.max(np.abs(pairs)) < (SIGMAS + 1) / math.sqrt(3000)
    if shape == (3, 3):
        turns = int(np.sum(np.linalg.det(q) > 0))
        assert binomtest(turns, 3000).pvalue > FALSE_ALARM
        # trace of a random orthogonal matrix: mean 0, variance 1
        trace = np.trace(q, axis1=1, axis2=2)
        assert abs(trace.mean()) < SIGMAS / math.sqrt(3000)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3)])
def test_the_signs_are_those_of_the_one_qr_with_a_positive_diagonal(shape):
    """Whatever the habits of the routine beneath, which differ between libraries."""
    a = rng(10).normal(size=shape)
    r = initializers.orthogonal(shape, rng=rng(10)).T @ a
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-12)
    assert np.all(np.diag(r) > 0)


DRAWS = {
    "xavier_uniform": lambda rng: initializers.xavier_uniform((5, 4), rng=rng),
    "xavier_normal": lambda rng: initializers.xavier_normal((5, 4), rng=rng),
    "he_uniform": lambda rng: initializers.he_uniform((5, 4), rng=rng),
    "he_normal": lambda rng: initializers.he_normal((5, 4), rng=rng),
    "orthogonal": lambda rng: initializers.orthogonal((5, 4), rng=rng),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_generator_alone_decides(draw):
    generator = rng(3)
    assert np.array_equal(draw(rng(3)), draw(generator))
    assert not np.array_equal(draw(rng(3)), draw(generator))

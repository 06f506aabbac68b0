"""Theory: quadrature against closed forms, a dense trapezoid rule, and torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, erfcx, ndtr

from nbcode import theory

SCALE_FREE = {"linear": 1.0, "relu": 0.5, "leaky_relu": (1 + 0.01**2) / 2}
SMOOTH = ("tanh", "sigmoid", "softplus", "gelu", "silu")
TORCH = {
    "linear": lambda z: z * 1,
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "relu6": torch.nn.functional.relu6,
    "hardtanh": torch.nn.functional.hardtanh,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    # torch's own default turns softplus into z from 20 on, an error of 2e-9
    "softplus": lambda z: torch.nn.functional.softplus(z, threshold=40),
    "elu": torch.nn.functional.elu,
    "selu": torch.nn.functional.selu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
}
POINTS = np.concatenate(
    [np.linspace(-30.03, 30.01, 4001), [-700.5, -50.5, 1e-9, 50.5, 700.5]]
)


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def trapezoid(f, q=1.0):
    """E[f(z)] for smooth f: the trapezoid rule, whose error falls exponentially."""
    t, step = np.linspace(-40, 40, 400_001, retstep=True)
    with np.errstate(under="ignore", over="ignore"):
        return float(np.sum(f(np.sqrt(q) * t) * density(t)) * step)


def partial(power, low, high):
    """E[z^k; low < z < high] for a standard normal, by the recursion of its moments."""
    if power == 0:
        return ndtr(high) - ndtr(low)
    edges = [0.0 if np.isinf(z) else z ** (power - 1) * density(z) for z in (low, high)]
    rest = (power - 1) * partial(power - 2, low, high) if power > 1 else 0.0
    return edges[0] - edges[1] + rest


def clipped(low, high, q=1.0):
    """E[clip(z, low, high)²] for z ~ N(0, q)."""
    s = np.sqrt(q)
    inside = q * partial(2, low / s, high / s)
    return inside + low**2 * ndtr(low / s) + high**2 * ndtr(-high / s)


def exponential_unit(scale, alpha, q=1.0):
    """E[φ²] of scale·(z if z > 0 else alpha·(e^z − 1)), by completing the square."""

    def below(k):  # E[e^{kz}; z < 0] = e^{k²q/2}·P(z > k√q)
        return erfcx(k * np.sqrt(q / 2)) / 2

    return scale**2 * (q / 2 + alpha**2 * (below(2) - 2 * below(1) + 0.5))


# Klambauer et al. 2017 publish these digits.
SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
CLOSED = {
    **{name: lambda q, half=half: half * q for name, half in SCALE_FREE.items()},
    "hardtanh": lambda q: clipped(-1.0, 1.0, q),
    "relu6": lambda q: clipped(0.0, 6.0, q),
    "elu": lambda q: exponential_unit(1.0, 1.0, q),
    "selu": lambda q: exponential_unit(*SELU, q),
}


def test_every_activation_has_a_reference_here():
    assert set(theory.ACTIVATIONS) == set(CLOSED) | set(SMOOTH) == set(TORCH)


def test_closed_forms_of_hardtanh_and_relu6_in_erf():
    """The recursion above against the forms that textbooks print."""
    hardtanh = 1 - np.sqrt(2 / np.pi) * np.exp(-0.5)
    assert clipped(-1.0, 1.0) == pytest.approx(hardtanh, rel=1e-14)
    inside = erf(6 / 2**0.5) / 2 - 6 * np.exp(-18) / np.sqrt(2 * np.pi)
    tail = 36 * math.erfc(6 / 2**0.5) / 2
    assert clipped(0.0, 6.0) == pytest.approx(inside + tail, rel=1e-14)


@pytest.mark.parametrize("name", CLOSED)
def test_gain_against_a_closed_form(name):
    assert theory.gain(name) == pytest.approx(CLOSED[name](1.0) ** -0.5, rel=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_gain_of_smooth_activations_against_the_trapezoid_rule(name):
    phi = TORCH[name]
    moment = trapezoid(lambda z: phi(torch.from_numpy(z)).numpy() ** 2)
    assert theory.gain(name) == pytest.approx(moment**-0.5, rel=1e-9)


def test_gains_that_are_known_by_heart():
    assert theory.gain("linear") == pytest.approx(1, rel=1e-12)
    assert theory.gain("relu") == pytest.approx(2**0.5, rel=1e-12)
    assert theory.gain(np.sign) == pytest.approx(1, rel=1e-12)
    assert theory.gain("selu") == pytest.approx(1, rel=1e-9)  # what its constants are for
    assert theory.gain(erf) == pytest.approx(
        (2 / np.pi * np.arcsin(2 / 3)) ** -0.5, rel=1e-9
    )
    assert theory.gain(np.sin) == pytest.approx(((1 - np.exp(-2)) / 2) ** -0.5, rel=1e-9)
    assert theory.gain(np.exp) == pytest.approx(np.exp(-1), rel=1e-9)


@given(a=st.floats(-1.5, 1.5))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_gain_of_a_leaky_relu_of_any_slope(a):
    gain = theory.gain(lambda z: np.where(z > 0, z, a * z))
    assert gain == pytest.approx(np.sqrt(2 / (1 + a**2)), rel=1e-9)


@given(k=st.floats(-4.5, 4.5), q=st.floats(0.05, 20))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_a_kink_or_jump_may_stand_anywhere(k, q):
    """E[(z−c)²] = q + c² for |z−c|; ReLU and a step by the moments above c = k√q."""
    place = k * np.sqrt(q)
    fold = theory.second_moment(lambda z: np.abs(z - place), q)
    assert fold == pytest.approx(q + place**2, rel=1e-9)
    above = [partial(power, k, np.inf) for power in (0, 1, 2)]
    shifted = theory.second_moment(lambda z: np.maximum(z - place, 0), q)
    expected = q * (above[2] - 2 * k * above[1] + k * k * above[0])
    assert shifted == pytest.approx(expected, rel=1e-7, abs=1e-11)
    step = theory.expectation(lambda z: (z > place) * 1.0, q)
    assert step == pytest.approx(ndtr(-k), rel=1e-7, abs=1e-11)


def test_many_unnamed_jumps():
    k = np.arange(1, 40)
    probability = ndtr(k + 0.5) - ndtr(k - 0.5)
    rounded = theory.second_moment(np.round)
    assert rounded == pytest.approx(2 * np.sum(k**2 * probability), rel=1e-9)


@pytest.mark.parametrize("place", [0.3123, -1.77, 3.1])
def test_named_kinks_give_the_same_as_unnamed_ones(place):
    def bent(z):
        return np.maximum(z - place, 0) ** 2

    unnamed, named = theory.expectation(bent), theory.expectation(bent, 1.0, (place,))
    assert unnamed == pytest.approx(named, rel=1e-9)
    assert theory.expectation(bent, 1.0, ()) == pytest.approx(named, rel=1e-9)


@given(place=st.floats(-6, 5.9), width=st.floats(0.1, 0.4), q=st.floats(0.1, 10))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_a_feature_wider_than_a_tenth_is_found_unnamed(place, width, q):
    low, high = place * np.sqrt(q), (place + width) * np.sqrt(q)
    found = theory.expectation(lambda z: ((z > low) & (z < high)) * 1.0, q, ())
    expected = partial(0, low / np.sqrt(q), high / np.sqrt(q))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("width", [0.01, 1e-4])
@pytest.mark.parametrize("q", [0.25, 1.0, 9.0])
def test_a_narrower_feature_is_exact_where_it_is_named(width, q):
    low, high = 0.53, 0.53 + width

    def spike(z):
        return ((z > low) & (z < high)) * 1.0

    expected = partial(0, low / np.sqrt(q), high / np.sqrt(q))
    assert theory.expectation(spike, q, (low, high)) == pytest.approx(expected, rel=1e-6)
    assert theory.expectation(spike, q) == 0  # as the docstring warns: seen by no node


@pytest.mark.parametrize("start", [-6, -2, 0, 1, 2, 6])
def test_a_jump_or_kink_cannot_hide_at_the_end_of_an_interval(start):
    """Unnamed, at places ever nearer to one of the quadrature's own."""
    for k in start + np.array([1, -1, 0.5]) * 10.0 ** -np.arange(1, 8)[:, None]:
        for place in k:
            step = theory.expectation(lambda z, c=place: (z > c) * 1.0)
            assert step == pytest.approx(ndtr(-place), rel=1e-9)
            fold = theory.expectation(lambda z, c=place: np.abs(z - c))
            above = density(place) - place * ndtr(-place)
            assert fold == pytest.approx(2 * above + place, rel=1e-9)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_odd_moments_are_zero_and_not_refused(k):
    assert theory.expectation(lambda z: z**k) == pytest.approx(0, abs=1e-12)
    assert theory.expectation(lambda z: z**2 - 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("place", [6.0, 8.0, 10.0])
def test_a_rare_event_has_its_probability(place):
    assert theory.expectation(lambda z: (z > place) * 1.0) == pytest.approx(
        ndtr(-place), rel=1e-7
    )


def test_slopes_of_a_tanh_that_is_nearly_a_step():
    """E[φ'(z)²] → ∫ φ'² dz/√(2πq) = (4/3)/√(2πq) for large q."""
    for q in (1e6, 1e8, 1e12):
        expected = 4 / 3 / np.sqrt(2 * np.pi * q)
        assert theory.slope_second_moment("tanh", q) == pytest.approx(expected, rel=2 / q)


@pytest.mark.parametrize("q", [0.25, 1.0, 9.0])
def test_a_named_jump_is_exact_even_between_two_nodes(q):
    """At 2.002 √q it lies between the end of an interval and the first node in it."""
    place = 2.002 * np.sqrt(q)
    step = theory.expectation(lambda z: (z > place) * 1.0, q, (place,))
    assert step == pytest.approx(ndtr(-2.002), rel=1e-10)


def test_polynomials_have_the_moments_of_a_normal():
    """E[z^k] = q^{k/2}·(k−1)!!, at every q."""
    for q in (1e-6, 0.3, 1.0, 50.0, 1e6):
        for k, double_factorial in ((0, 1), (2, 1), (4, 3), (6, 15), (8, 105)):
            moment = theory.expectation(lambda z, k=k: z**k, q)
            assert moment == pytest.approx(double_factorial * q ** (k / 2), rel=1e-9)
    assert theory.expectation(lambda z: z) == pytest.approx(0, abs=1e-12)
    assert theory.expectation(lambda z: 3 - z) == pytest.approx(3, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-140, 1e-8, 1e8, 1e140])
def test_the_size_of_a_function_does_not_change_its_relative_accuracy(scale):
    gain = theory.gain(lambda z: scale * np.abs(z - 0.3123))
    assert gain * scale == pytest.approx((1 + 0.3123**2) ** -0.5, rel=1e-9)


def test_a_heavy_tail_that_is_still_finite():
    """E[e^{2az²}] = 1/√(1−4a) exists for a < 1/4."""
    for a in (0.05, 0.1, 0.2):
        moment = theory.second_moment(lambda z, a=a: np.exp(a * z * z))
        assert moment == pytest.approx((1 - 4 * a) ** -0.5, rel=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda z: np.exp(z**2),
        lambda z: np.exp(z**2 / 4),  # at the very edge: E[φ²] = ∫ 1 dz
        lambda z: np.exp(np.abs(z) ** 3),
        lambda z: 1 / z,
        lambda z: 1 / (z - 0.7),
        lambda z: np.abs(z - 0.3) ** -0.5,
        lambda z: z * np.nan,
        np.sqrt,  # nan for half of all z
        lambda z: np.where(z > 3, np.nan, z),
        lambda z: np.where(z > 3, np.inf, z),
    ],
    ids=[
        "exp z²",
        "exp z²/4",
        "exp z³",
        "1/z",
        "pole",
        "weak pole",
        "nan",
        "√",
        "nan>3",
        "inf>3",
    ],
)
def test_an_expectation_that_does_not_exist_is_refused(f):
    for q in (1.0, 1.7):
        with pytest.raises(ValueError, match="not finite"):
            theory.second_moment(f, q)
    for measure in (theory.gain, lambda g: theory.log_norm_variance(g, 2, 2)):
        with pytest.raises(ValueError, match="not finite"):
            measure(f)


def test_an_activation_that_is_zero_everywhere_has_no_gain():
    with pytest.raises(ValueError, match="no gain"):
        theory.gain(lambda z: 0 * z)


@pytest.mark.parametrize("name", theory.ACTIVATIONS)
def test_activations_are_torchs(name):
    ours = theory.activation(name)(POINTS)
    theirs = TORCH[name](torch.from_numpy(POINTS)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert ours.shape == POINTS.shape and ours.dtype == np.float64
    assert theory.activation(name)(POINTS[:6].reshape(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("name", theory.ACTIVATIONS)
def test_derivatives_are_torchs_gradients(name):
    leaf = torch.from_numpy(POINTS).clone().requires_grad_()
    TORCH[name](leaf).sum().backward()
    slope = theory.derivative(name)(POINTS)
    np.testing.assert_allclose(slope, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert theory.derivative(name)(POINTS[:6].reshape(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("relu", [0.0]),
        ("leaky_relu", [0.0]),
        ("relu6", [0.0, 6.0]),
        ("hardtanh", [-1.0, 1.0]),
        ("elu", [0.0]),
        ("selu", [0.0]),
    ],
)
def test_at_a_kink_the_derivative_is_one_of_the_two_slopes(name, places):
    slope = theory.derivative(name)
    for place in places:
        at, left, right = slope(np.array([place, place - 1e-9, place + 1e-9]))
        assert left != pytest.approx(right, rel=1e-3) or name == "elu"
        assert at in (pytest.approx(left, rel=1e-8), pytest.approx(right, rel=1e-8))


@pytest.mark.parametrize("name", theory.ACTIVATIONS)
@pytest.mark.parametrize("wrap", ["numpy", "torch"])
def test_a_callable_gives_what_its_name_gives(name, wrap):
    f = theory.activation(name) if wrap == "numpy" else TORCH[name]
    z = np.linspace(-3.03, 3.01, 57)
    expected = theory.activation(name)(z)
    np.testing.assert_allclose(theory.activation(f)(z), expected, atol=1e-12)
    slopes = theory.derivative(name)(z)
    np.testing.assert_allclose(theory.derivative(f)(z), slopes, atol=1e-8)
    assert theory.gain(f) == pytest.approx(theory.gain(name), rel=1e-9)
    squared_slope = theory.slope_second_moment(name)
    assert theory.slope_second_moment(f) == pytest.approx(squared_slope, rel=1e-5)


def test_torch_modules_and_their_parameters_are_left_alone():
    prelu = torch.nn.PReLU(init=0.25).double()
    assert theory.gain(prelu) == pytest.approx(np.sqrt(2 / (1 + 0.25**2)), rel=1e-9)
    assert prelu.weight.grad is None and prelu.weight.requires_grad


@pytest.mark.parametrize("q", [0.01, 0.5, 3.0, 400.0])
@pytest.mark.parametrize("name", theory.ACTIVATIONS)
def test_second_moments_at_other_variances(name, q):
    if name in CLOSED:
        expected = CLOSED[name](q)
    else:
        phi = TORCH[name]
        expected = trapezoid(lambda z: phi(torch.from_numpy(z)).numpy() ** 2, q)
    assert theory.second_moment(name, q) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("q", [0.5, 1.0, 9.0])
@pytest.mark.parametrize("name", theory.ACTIVATIONS)
def test_slope_second_moments_are_torchs_mean_squared_gradients(name, q):
    """Autograd's slopes on a fine grid, weighted as a normal."""

    def slope(z):
        leaf = torch.from_numpy(z).requires_grad_()
        TORCH[name](leaf).sum().backward()
        return leaf.grad.numpy()

    # A jump of the integrand costs the trapezoid rule half a step of it, 1e-4 here.
    tolerance = 1e-8 if name in (*SMOOTH, "linear") else 2e-4
    expected = trapezoid(lambda z: slope(z) ** 2, q)
    assert theory.slope_second_moment(name, q) == pytest.approx(expected, rel=tolerance)


def test_slope_second_moments_in_closed_form():
    assert theory.slope_second_moment("relu", 7.0) == pytest.approx(0.5, rel=1e-9)
    assert theory.slope_second_moment("leaky_relu") == pytest.approx(0.50005, rel=1e-9)
    for q in (0.2, 1.0, 30.0):
        inside = erf(1 / np.sqrt(2 * q))
        assert theory.slope_second_moment("hardtanh", q) == pytest.approx(inside, rel=1e-9)
        # E[erf'(z)²] is a Gaussian integral.
        expected = 4 / np.pi / np.sqrt(1 + 4 * q)
        assert theory.slope_second_moment(erf, q) == pytest.approx(expected, rel=1e-6)


@given(
    q=st.floats(1e-3, 1e3),
    sigma_w=st.floats(0.01, 10),
    sigma_b=st.floats(0, 5),
    name=st.sampled_from(["linear", "relu", "leaky_relu", "hardtanh"]),
)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_second_moment_map_is_weights_times_activation_plus_bias(q, sigma_w, sigma_b, name):
    expected = sigma_w**2 * CLOSED[name](q) + sigma_b**2
    mapped = theory.second_moment_map(q, name, sigma_w, sigma_b)
    assert mapped == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", theory.ACTIVATIONS)
def test_the_gain_makes_one_a_fixed_point(name):
    assert theory.second_moment_map(1.0, name, theory.gain(name)) == pytest.approx(
        1, rel=1e-9
    )


def test_growth_factor_is_that_of_a_wide_random_layer():
    assert theory.growth_factor(0.5, 64) == pytest.approx(4, rel=1e-12)
    assert theory.growth_factor(0.5, 128, "relu") == pytest.approx(4, rel=1e-9)
    rng, n = np.random.default_rng(0), 2000
    for name in ("relu", "tanh", "gelu"):
        x = theory.activation(name)(rng.normal(size=n))
        z = rng.normal(0, 0.3, (n, n)) @ x
        measured = np.sqrt(np.mean(z**2))
        # two means over n samples, of relative variance below 6/n together
        assert measured == pytest.approx(theory.growth_factor(0.3, n, name), rel=0.2)


def stored(number, dtype):
    """``number`` as the dtype stores it, by torch."""
    return torch.tensor(number, dtype=torch.float64).to(getattr(torch, dtype)).item()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("start", [1.0, 7.5])
def test_overflow_and_underflow_layers_are_where_torch_loses_the_number(dtype, start):
    info = torch.finfo(getattr(torch, dtype))
    for growth in (1.01, 3.7):
        layer = theory.overflow_layer(growth, dtype, start)
        assert layer * np.log(growth) + np.log(start) == pytest.approx(np.log(info.max))
    for growth in (0.99, 0.3):
        layer = theory.underflow_layer(growth, dtype, start)
        half = layer * np.log(growth) + np.log(start) + np.log(2)
        assert half == pytest.approx(np.log(info.smallest_normal) + np.log(info.eps))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_product_in_a_dtype_dies_in_the_predicted_layer(dtype):
    """Powers of two are exact, so that only the end of the range counts."""
    layer = int(np.ceil(theory.overflow_layer(2.0, dtype, 0.75)))
    assert math.isinf(stored(0.75 * 2.0**layer, dtype))
    assert math.isfinite(stored(0.75 * 2.0 ** (layer - 1), dtype))
    exact = theory.underflow_layer(0.5, dtype)
    assert exact == pytest.approx(round(exact), abs=1e-9)
    assert stored(0.5 ** round(exact), dtype) == 0  # a half rounds to even
    assert stored(0.5 ** (round(exact) - 1), dtype) > 0


def test_log_norm_variance_of_activations_that_only_scale():
    """κ = E[φ⁴]/E[φ²]² is 3 for a normal, 6 for half of one."""
    assert theory.log_norm_variance("linear", 30, 60) == pytest.approx(
        2 * 30 / 60, rel=1e-9
    )
    assert theory.log_norm_variance("relu", 30, 60) == pytest.approx(5 * 30 / 60, rel=1e-9)
    assert theory.log_norm_variance(np.sign, 3, 4) == pytest.approx(0, abs=1e-9)
    a = 0.01
    leaky = 3 * 2 * (1 + a**4) / (1 + a**2) ** 2 - 1
    assert theory.log_norm_variance("leaky_relu", 7, 5) == pytest.approx(
        leaky * 7 / 5, rel=1e-9
    )


def test_log_norm_variance_is_what_random_networks_show():
    """600 linear networks: the sample variance of a normal is χ², the next order is 1/n."""
    rng, depth, width, runs = np.random.default_rng(1), 10, 100, 600
    logs = np.empty(runs)
    for run in range(runs):
        x = rng.normal(size=width)
        x /= np.linalg.norm(x)
        for _ in range(depth):
            x = rng.normal(0, width**-0.5, (width, width)) @ x
        logs[run] = np.log(np.sum(x**2))
    assert np.var(logs) == pytest.approx(
        theory.log_norm_variance("linear", depth, width), rel=0.3
    )


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"),
    [
        ("tanh", 0.8, 0.05),
        ("tanh", 1.0, 0.1),
        ("tanh", 3.0, 0.0),
        ("hardtanh", 1.5, 0.3),
        ("sigmoid", 4.0, 0.0),
        ("selu", 0.75, 0.0),
        ("selu", 1.0, 0.0),
        ("linear", 0.5, 2.0),
        ("relu", 1.0, 30.0),
    ],
)
def test_fixed_point_is_where_iteration_from_one_ends(name, sigma_w, sigma_b):
    q = 1.0
    for _ in range(400):
        q = theory.second_moment_map(q, name, sigma_w, sigma_b)
    assert theory.fixed_point(name, sigma_w, sigma_b) == pytest.approx(q, rel=1e-6)


def test_fixed_points_without_a_place_of_their_own():
    assert theory.fixed_point("relu", 2**0.5) == theory.fixed_point("linear", 1.0) == 1
    assert theory.fixed_point("relu", 1.41) == theory.fixed_point("tanh", 0.9) == 0
    assert theory.fixed_point("tanh", 1.0) == theory.fixed_point("gelu", 1.5) == 0
    # near the edge q* = σ_w² − 1 over the coefficients of tanh²: E[tanh²] ≈ q − 2q²
    assert theory.fixed_point("tanh", 1.0001) == pytest.approx(1e-4, rel=0.01)


@pytest.mark.parametrize("sigma_b", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("name", ["tanh", "hardtanh", erf, np.sin])
def test_edge_of_chaos_has_chi_one(name, sigma_b):
    sigma_w = theory.edge_of_chaos(name, sigma_b)
    assert theory.chi(name, sigma_w, sigma_b) == pytest.approx(1, abs=2e-5)
    if sigma_b and name != "hardtanh":
        assert theory.chi(name, 0.97 * sigma_w, sigma_b) < 1
        assert theory.chi(name, 1.03 * sigma_w, sigma_b) > 1


def test_edges_that_are_known():
    assert theory.edge_of_chaos("relu") == pytest.approx(2**0.5, rel=1e-9)
    assert theory.edge_of_chaos("linear") == pytest.approx(1, rel=1e-9)
    assert theory.edge_of_chaos("tanh") == pytest.approx(1, rel=1e-6)
    leaky = np.sqrt(2 / (1 + 0.01**2))
    assert theory.edge_of_chaos("leaky_relu") == pytest.approx(leaky, rel=1e-9)


def test_chi_and_depth_scale_in_closed_form():
    """For erf both moments are Gaussian integrals; q* is found by iterating."""
    q = 1.0
    for _ in range(500):
        q = 1.4**2 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) + 0.04
    expected = 1.4**2 * 4 / np.pi / np.sqrt(1 + 4 * q)
    assert theory.chi(erf, 1.4, 0.2) == pytest.approx(expected, rel=1e-6)
    scale = theory.depth_scale(erf, 1.4, 0.2)
    assert scale == pytest.approx(1 / abs(np.log(expected)), rel=1e-4)
    assert theory.depth_scale("relu", 1.0) == pytest.approx(1 / np.log(2), rel=1e-9)
    assert theory.depth_scale("relu", 2**0.5) == np.inf


def arc_cosine(c):
    """Cho and Saul 2009, at He's gain."""
    return (np.sqrt(1 - c * c) + c * (np.pi - np.arccos(c))) / np.pi


@pytest.mark.parametrize("c", [-1.0, -0.7, 0.0, 0.3, 0.95, 1 - 1e-8, 1.0])
def test_correlation_map_in_closed_form(c):
    for sigma_w in (1.0, 2**0.5):  # ReLU's does not depend on the scale
        mapped = theory.correlation_map(c, "relu", sigma_w)
        assert mapped == pytest.approx(arc_cosine(c), abs=1e-12)
    for sigma_b in (0.3, 5.0):  # of small z, and of large
        q = theory.fixed_point(erf, 1.5, sigma_b)
        covariance = 1.5**2 * 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q)) + sigma_b**2
        mapped = theory.correlation_map(c, erf, 1.5, sigma_b)
        assert mapped == pytest.approx(covariance / q, abs=1e-9)
    linear = (0.25 * c * 4 / 3 + 1) / (4 / 3)
    assert theory.correlation_map(c, "linear", 0.5, 1.0) == pytest.approx(linear, abs=1e-9)
    assert theory.correlation_map(c, "tanh", 0.8) == pytest.approx(c, abs=1e-9)


@pytest.mark.parametrize("name", ["tanh", "hardtanh", "sigmoid", "elu", "selu"])
def test_correlation_map_is_one_at_one_with_slope_chi(name):
    sigma_w, h = 0.9, 1e-5
    assert theory.correlation_map(1.0, name, sigma_w, 0.2) == pytest.approx(1, abs=1e-9)
    below = theory.correlation_map(1 - h, name, sigma_w, 0.2)
    chi = theory.chi(name, sigma_w, 0.2)
    assert (1 - below) / h == pytest.approx(chi, rel=0.02)


@pytest.mark.parametrize("name", ["tanh", "hardtanh", "selu"])
def test_correlation_map_is_what_a_wide_layer_does(name):
    rng, n, c, sigma_w, sigma_b = np.random.default_rng(2), 1_000_000, 0.6, 0.9, 0.3
    q = theory.fixed_point(name, sigma_w, sigma_b)
    z, v = rng.normal(0, np.sqrt(q), (2, n))
    phi = theory.activation(name)
    product = np.mean(phi(z) * phi(c * z + np.sqrt(1 - c * c) * v))
    measured = (sigma_w**2 * product + sigma_b**2) / q
    assert theory.correlation_map(c, name, sigma_w, sigma_b) == pytest.approx(
        measured, abs=0.01
    )


@pytest.mark.parametrize("bad", ["Relu", "", "swish", None, 3, ["relu"]])
def test_an_unknown_activation_is_told_the_names(bad):
    for use in (
        theory.activation,
        theory.derivative,
        theory.gain,
        theory.slope_second_moment,
    ):
        with pytest.raises(ValueError, match="activation must be one of") as error:
            use(bad)
        assert all(name in str(error.value) for name in theory.ACTIVATIONS)

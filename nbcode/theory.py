"""What the theory predicts for a random network, as numbers.

Notation, as in the book: z^l = W^l x^{l-1} + b^l, x^l = φ(z^l), q = E[z²]. Every
expectation is over z ~ N(0, q), the limit of infinitely wide layers (Poole et al. 2016,
equations 3 and 4). What the functions take, where they say nothing else:

- activation: one of :data:`ACTIVATIONS`, or a function that takes a NumPy array or a
  torch tensor and acts on each entry alone
- q: E[z²], the variance of z; positive
- sigma_w: √(fan_in · Var[w]); positive
- sigma_b: standard deviation of a bias; not negative
- dtype: one of :data:`DTYPES`

A number out of range, an unknown name, an infinite expectation and an activation without
what is asked for raise a ValueError.
"""

from __future__ import annotations  # so that the API page says ArrayLike

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from nbcode import _activations, _quadrature, _validate

Activation = str | Callable

_NOTHING = 1e-12  # a q that stands for the limit q → 0

#: The names that every ``activation`` argument of this package accepts.
ACTIVATIONS = tuple(_activations.NAMED)

# dtype: (largest finite number, smallest positive one)
_RANGE = {
    "float16": (65504.0, 2.0**-24),
    "bfloat16": (2.0**128 * (1 - 2.0**-8), 2.0**-133),
    "float32": (float(np.finfo(np.float32).max), 2.0**-149),
    "float64": (float(np.finfo(np.float64).max), 2.0**-1074),
}

#: The names that every ``dtype`` argument of this module accepts.
DTYPES = tuple(_RANGE)


def activation(name: Activation) -> Callable[[np.ndarray], np.ndarray]:
    """The activation function φ of that name, or ``name`` itself if it is callable.

    It maps an array of any shape to one of the same shape; where a callable does not, the
    call raises a ValueError.

    >>> activation("relu")(np.array([-2.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    if callable(name):
        return lambda z: _activations.call(name, z)
    return _activations.NAMED[_validate.choice("activation", name, ACTIVATIONS)][0]


def derivative(name: Activation) -> Callable[[np.ndarray], np.ndarray]:
    """The derivative φ' of an activation: exact for a name, else a central difference.

    At a kink it is the slope on one side.

    >>> derivative("tanh")(np.array([0.0])).tolist()
    [1.0]
    """
    phi = activation(name)
    if not callable(name):
        return _activations.NAMED[name][1]
    step = 6e-6  # about the cube root of float64's precision: balances both errors
    return lambda z: (phi(z + step) - phi(z - step)) / (2 * step)


_phi = activation  # for functions whose argument of that name hides it


def expectation(f: Callable, q: float = 1.0, kinks: ArrayLike = (0.0,)) -> float:
    """E[f(z)] for z ~ N(0, q), by adaptive quadrature, split at the kinks.

    Args:
        f: a function of z that takes an array.
        q: variance of z.
        kinks: values of z where f bends or jumps. Others are found by bisection, in a few
            times the time; but name those that bound a feature narrower than √q/10, or
            further out than 6√q, which may be missed.

    Returns:
        The expectation, to about 1e-9 of that of abs(f).

    >>> round(expectation(lambda z: z**2, q=3.0), 9)
    3.0
    >>> spike = lambda z: (z > 0.5) & (z < 0.51)
    >>> round(expectation(spike, 1.0, (0.5, 0.51)), 6), expectation(spike)
    (0.003512, 0.0)
    """
    q = _validate.number("q", q, "q is the variance of z, such as 1.0", above=0)
    remedy = "list the values of z where f bends, such as (0.0,)"
    places = np.ravel(_validate.array("kinks", kinks, remedy, empty=True))
    value = _quadrature.normal_mean(f, np.sqrt(q), places)
    if not np.isfinite(value):
        raise ValueError(
            f"the expectation over z ~ N(0, {q:g}) is not finite: the function grows too "
            "fast, has a pole, or returns nan; clip it or use one with bounded growth"
        )
    return value


def second_moment(activation: Activation, q: float = 1.0) -> float:
    """E[φ(z)²] for z ~ N(0, q): the mean square that a wide layer hands on.

    Source: Poole et al. 2016, equation 3, without its weights and bias.

    >>> round(second_moment("relu"), 9)
    0.5
    """
    phi = _phi(activation)
    return expectation(lambda z: phi(z) ** 2, q, _kinks(activation))


def slope_second_moment(activation: Activation, q: float = 1.0) -> float:
    """E[φ'(z)²] for z ~ N(0, q): the factor that an activation puts on a gradient.

    Of a callable, good to about 1e-5 at a kink. Source: Schoenholz et al. 2017, equation 5.

    >>> round(slope_second_moment("relu"), 9)
    0.5
    """
    slope = derivative(activation)
    return expectation(lambda z: slope(z) ** 2, q, _kinks(activation))


def gain(activation: Activation) -> float:
    """The gain 1/√E[φ(z)²], z ~ N(0, 1): weights of std gain/√fan_in keep E[z²] at 1.

    Source: He et al. 2015, section 2.2, for ReLU; chapter 2 for any other.

    >>> round(gain("tanh"), 4)
    1.5925
    """
    moment = second_moment(activation)
    if moment < 1e-300:
        raise ValueError(
            f"activation has no gain, got {activation!r}: it is zero for every z, and no "
            "weight scale brings a signal back"
        )
    return float(1 / np.sqrt(moment))


def second_moment_map(
    q: float, activation: Activation, sigma_w: float, sigma_b: float = 0.0
) -> float:
    """One layer of the map q → σ_w² E[φ(z)²] + σ_b², z ~ N(0, q).

    Source: Poole et al. 2016, equation 3.

    >>> round(second_moment_map(1.0, "relu", sigma_w=2**0.5), 9)
    1.0
    """
    _validate.number("sigma_w", sigma_w, "it is √(fan_in · Var[w]), such as 1.0", above=0)
    _validate.number("sigma_b", sigma_b, "it is the std of a bias, such as 0.0", at_least=0)
    return sigma_w**2 * second_moment(activation, q) + sigma_b**2


def growth_factor(std: float, fan_in: int, activation: Activation = "linear") -> float:
    """The factor s·√(n·E[φ²]) by which a layer multiplies the rms of a unit-rms signal.

    s is the std of a weight, n the fan_in. Exact at every rms for activations
    that only scale (linear, ReLU, leaky ReLU); for the others it holds at rms 1.

    >>> growth_factor(1.0, 256)
    16.0
    """
    _validate.number("std", std, "it is the std of a weight, such as 0.05", above=0)
    _validate.integer("fan_in", fan_in, "it is the number of inputs, such as 256")
    moment = 1.0 if activation == "linear" else second_moment(activation)
    return float(std * np.sqrt(fan_in * moment))


def overflow_layer(growth: float, dtype: str, start: float = 1.0) -> float:
    """The (real-valued) layer at which a signal passes the largest number of a dtype.

    growth, above 1, is what :func:`growth_factor` returns; start the rms of the input.

    >>> round(overflow_layer(16.0, "float32"), 3)
    32.0
    """
    remedy = "a signal overflows only if it grows by the layer"
    _validate.number("growth", growth, remedy, above=1)
    _validate.choice("dtype", dtype, DTYPES)
    _validate.number("start", start, "it is the rms of the input", above=0)
    return float(np.log(_RANGE[dtype][0] / start) / np.log(growth))


def underflow_layer(growth: float, dtype: str, start: float = 1.0) -> float:
    """The (real-valued) layer at which a signal rounds to zero.

    Rounding makes zero of half the smallest positive number. growth is between 0 and 1.

    >>> round(underflow_layer(1 / 16, "float16"), 3)
    6.25
    """
    remedy = "a signal underflows only if it shrinks by the layer; lower std"
    _validate.number("growth", growth, remedy, above=0, below=1)
    _validate.choice("dtype", dtype, DTYPES)
    _validate.number("start", start, "it is the rms of the input", above=0)
    # log of the quotient, taken apart: half of float64's smallest number is itself zero
    return float((np.log(_RANGE[dtype][1]) - np.log(2) - np.log(start)) / np.log(growth))


def log_norm_variance(activation: Activation, depth: int, width: int) -> float:
    """Var[log ‖x^L‖²] of a random network at its gain: (E[φ⁴]/E[φ²]² − 1)·L/n.

    Leading order in depth L over width n, whole numbers from 1, for activations that only
    scale: 2L/n for a linear network, 5L/n for ReLU.
    Source: Hanin and Rolnick 2018, theorem 5, for the growth with Σ 1/n; chapter 2.

    >>> round(log_norm_variance("relu", depth=50, width=64), 3)
    3.906
    """
    _validate.integer("depth", depth, "it is the number of layers, such as 50")
    _validate.integer("width", width, "it is the number of units, such as 64")
    phi = _phi(activation)
    fourth = expectation(lambda z: phi(z) ** 4, 1.0, _kinks(activation))
    return float((fourth * gain(activation) ** 4 - 1) * depth / width)


def fixed_point(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """The second moment q* at which a signal that starts at q = 1 settles.

    The first q with q = σ_w² E[φ²] + σ_b² on the way that the map takes from 1; 1.0 if 1 is
    one (ReLU at its gain, where any q is), 0.0 if the signal dies. A signal that grows
    without bound raises a ValueError. Source: Poole et al. 2016, section 2.

    >>> round(fixed_point("tanh", sigma_w=1.5, sigma_b=0.3), 3)
    0.961
    """
    from scipy.optimize import brentq

    def excess(log_q):
        q = np.exp(log_q)
        return second_moment_map(q, activation, sigma_w, sigma_b) / q - 1

    here = excess(0.0)
    if abs(here) < 1e-9:
        return 1.0
    step = np.sign(here) * 0.5
    for place in step * np.arange(1, 57):  # to a q of 1e-12 or 1e12
        if excess(place) * here <= 0:
            return float(np.exp(brentq(excess, place - step, place, xtol=1e-12)))
    if here > 0:
        raise ValueError(
            f"sigma_w must let the signal settle, got {sigma_w:g}: at {activation!r} q "
            "grows without bound; lower it"
        )
    return 0.0


def chi(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """χ = σ_w² E[φ'(z)²] at q*: what a layer does to a small difference, or a gradient.

    Below 1 two inputs become alike and gradients vanish (order), above 1 they part and
    gradients explode (chaos). Source: Schoenholz et al. 2017, equation 5.

    >>> round(chi("relu", sigma_w=2**0.5), 9)
    1.0
    """
    q = fixed_point(activation, sigma_w, sigma_b)
    return float(sigma_w**2 * slope_second_moment(activation, max(q, _NOTHING)))


def correlation_map(
    c: float, activation: Activation, sigma_w: float, sigma_b: float = 0.0
) -> float:
    """One layer of the map of the correlation of two inputs, both at q*.

    c → (σ_w² E[φ(z₁)φ(z₂)] + σ_b²) / q*, where z₁ and z₂ are normal with variance q* and
    correlation c = E[z₁z₂]/q*, from −1 to 1. A callable that bends elsewhere than at zero
    costs a few digits. Source: Poole et al. 2016, equation 5.

    >>> round(correlation_map(0.0, "relu", sigma_w=2**0.5), 6)  # 1/π
    0.31831
    """
    _validate.number("c", c, "it is a correlation, from -1 to 1", at_least=-1, at_most=1)
    q = max(fixed_point(activation, sigma_w, sigma_b), _NOTHING)
    phi, kinks, rest = _phi(activation), _kinks(activation), np.sqrt(q * (1 - c**2))
    places = np.array([*kinks, -10.0, -1.0, 1.0, 10.0])

    def product(z):
        if rest == 0:
            return phi(z) * phi(c * z)
        return phi(z) * _quadrature.means_given(phi, c * z, rest, places)

    mean = expectation(product, q, (*kinks, *np.negative(kinks)))
    own = second_moment_map(q, activation, sigma_w, sigma_b)
    return float((sigma_w**2 * mean + sigma_b**2) / own)


def depth_scale(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """ξ = 1/abs(log χ): layers in which the mean square of a gradient changes by e.

    Infinite at the edge of chaos. Source: Schoenholz et al. 2017, sections 3 and 4.

    >>> round(depth_scale("relu", sigma_w=1.0), 3)  # 1/log 2
    1.443
    """
    rate = abs(np.log(chi(activation, sigma_w, sigma_b)))
    return float("inf") if rate < 1e-9 else float(1 / rate)


def edge_of_chaos(activation: Activation, sigma_b: float = 0.0) -> float:
    """The σ_w = √(fan_in · Var[w]) at which χ = 1 for a bias of standard deviation σ_b.

    Source: Poole et al. 2016, figure 1; Schoenholz et al. 2017, section 3.

    >>> round(edge_of_chaos("tanh", sigma_b=0.3), 3)
    1.396
    """
    from scipy.optimize import brentq

    _validate.number("sigma_b", sigma_b, "it is the std of a bias, such as 0.0", at_least=0)

    def surplus(log_q):  # χ = 1 fixes σ_w by q; which σ_b would q then need?
        q = np.exp(log_q)
        ratio = second_moment(activation, q) / slope_second_moment(activation, q)
        return q - ratio - sigma_b**2

    places, log_q = np.log(_NOTHING) + np.arange(0, 40, 0.5), np.log(_NOTHING)
    if surplus(log_q) < -1e-15:
        for low, high in pairwise(places):
            if surplus(high) >= 0:
                log_q = brentq(surplus, low, high, xtol=1e-12)
                break
    sigma_w = float(slope_second_moment(activation, np.exp(log_q)) ** -0.5)
    try:
        settles = abs(chi(activation, sigma_w, sigma_b) - 1) < 1e-4
    except ValueError:  # the signal grows without bound
        settles = False
    if not settles:
        raise ValueError(
            f"sigma_b must leave a signal that settles with χ = 1, got {sigma_b:g}: "
            f"{activation!r} has none there; see chi() for what there is"
        )
    return sigma_w


def _kinks(name):
    return (0.0,) if callable(name) else (0.0, *_activations.NAMED[name][2])

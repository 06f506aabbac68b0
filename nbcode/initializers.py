"""Initial weights, from scratch in NumPy, and the same for a whole torch module.

Each function of a shape draws one weight, float64; :func:`init_` sets all weights of a
network by what it reads off the network itself, and :func:`lsuv` by what it measures on a
batch. What they take, where they say nothing else:

- shape: (fan_out, fan_in) of a dense weight, (out_channels, in_channels, kernel...) of a
  convolution's
- gain: what the activation needs, as :func:`gain` returns it; positive
- mode: "fan_in" keeps the forward signal, "fan_out" the gradient, "fan_avg" takes the mean
  of both
- negative_slope: slope of a leaky ReLU below zero; 0 is ReLU
- rng: NumPy random generator

Uniform weights lie between ±√3 standard deviations. A shape without fans, a number out of
range and an unknown name raise a ValueError.
"""

from __future__ import annotations  # so that the API page says ArrayLike

import math

import numpy as np
from numpy.typing import ArrayLike

from nbcode import _validate, theory


def fans(
    shape: tuple[int, ...],
    *,
    kind: str | None = None,
    groups: int = 1,
    stride: ArrayLike = 1,
) -> tuple[float, float]:
    """(fan_in, fan_out) of a weight: the terms of a sum, and the sums that an input enters.

    Args:
        shape: (fan_out, fan_in) of a dense layer, (out_channels, in_channels / groups,
            kernel...) of a convolution, (in_channels, out_channels / groups, kernel...) of
            a transposed one: as torch stores them.
        kind: "dense", "conv" or "transposed"; None takes two axes for a dense weight and
            more for a convolution's.
        groups: parts of the channels that do not see each other.
        stride: pixels that a convolution moves by (one number, or one an axis of the
            kernel), or that a transposed one moves its output by.

    Ints where whole. A stride divides the fan_out of a convolution and the fan_in of a
    transposed one, on average over pixels away from the border.

    Source: He et al. 2015, section 2.2 (n_l = k²c), for stride 1; equation (2.8) and
    exercise 2.7 of the book for any other.

    >>> fans((64, 16, 3, 3))
    (144, 576)
    >>> fans((32, 16, 4, 4), kind="transposed", stride=2)
    (128, 256)
    """
    dims = _dims(shape)
    if kind is None:
        kind = "dense" if len(dims) == 2 else "conv"
    flat = _validate.choice("kind", kind, ("dense", "conv", "transposed")) == "dense"
    if flat != (len(dims) == 2):
        raise ValueError(
            f"shape must have two axes for dense, and more for conv and transposed, got "
            f"{tuple(dims)} for {kind!r}: pass the weight's own shape"
        )
    groups = _validate.integer("groups", groups, "1 where every channel sees all others")
    if dims[0] % groups or (flat and groups > 1):
        raise ValueError(
            f"groups must divide the channels of a convolution, got {groups} for shape "
            f"{tuple(dims)}: torch's layers know theirs, layer.groups"
        )
    axes, remedy = len(dims) - 2, "it is a number of pixels, such as 2"
    strides = [_validate.integer("stride", s, remedy) for s in np.ravel(stride).tolist()]
    if len(strides) not in (1, axes) or (flat and strides != [1]):
        raise ValueError(
            f"stride must be one number, or one an axis of the kernel, got {stride!r} for "
            f"shape {tuple(dims)}: torch's layers know theirs, layer.stride"
        )
    skip = math.prod(np.broadcast_to(strides, axes).tolist())
    area = math.prod(dims[2:])
    # one group's channels of axis 0, and all of axis 1, which torch stores by the group
    first, second = dims[0] // groups * area, dims[1] * area
    first = first // skip if first % skip == 0 else first / skip
    # a transposed one is a convolution's way back: axis 0 comes in, the stride too
    return (first, second) if kind == "transposed" else (second, first)


def gain(activation: theory.Activation, negative_slope: float | None = None) -> float:
    """The gain 1/√E[φ(z)²] of the activation that follows a weight, z ~ N(0, 1).

    activation is a name of :data:`nbcode.theory.ACTIVATIONS` or a vectorized callable.
    Leaky ReLU's gain is √(2/(1+a²)), where its slope a may be any finite number; None
    keeps its 0.01. Torch's ``calculate_gain`` has other numbers where it has any, 5/3 for
    tanh (here 1.59) and 3/4 for SELU (here 1).

    Source: He et al. 2015, equation 14, for leaky ReLU; :func:`nbcode.theory.gain`.

    >>> round(gain("relu"), 4), round(gain("leaky_relu", 1.0), 4)
    (1.4142, 1.0)
    """
    if negative_slope is None:
        return theory.gain(activation)
    if activation != "leaky_relu":
        raise ValueError(
            f"negative_slope must be None for {_validate._short(activation)}, got "
            f"{_validate._short(negative_slope)}: only 'leaky_relu' has a slope to choose"
        )
    remedy = "it is the slope below zero, such as 0.2"
    slope = _validate.number("negative_slope", negative_slope, remedy)
    return math.sqrt(2.0) / math.hypot(1.0, slope)


def variance_scaling(
    shape: tuple[int, ...],
    gain: float = 1.0,
    mode: str = "fan_in",
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Normal weights of variance gain²/fan: the one family that the book's schemes share.

    Source: equation (2.4) of the book; Glorot and Bengio 2010, equation 12, for fan_avg.

    >>> w = variance_scaling((500, 400), gain=2.0, rng=np.random.default_rng(0))
    >>> w.shape, round(float(w.std() * 400**0.5), 1)
    ((500, 400), 2.0)
    """
    std = _std(shape, gain, mode)
    return _validate.generator("rng", rng).normal(0.0, std, shape)


def xavier_uniform(
    shape: tuple[int, ...], gain: float = 1.0, *, rng: np.random.Generator
) -> np.ndarray:
    """Uniform weights of variance gain²·2/(fan_in + fan_out), Glorot's compromise.

    Source: Glorot and Bengio 2010, equation 16.

    >>> w = xavier_uniform((3, 3), rng=np.random.default_rng(0))
    >>> bool(abs(w).max() < 1.0)
    True
    """
    return _uniform(_std(shape, gain, "fan_avg"), shape, rng)


def xavier_normal(
    shape: tuple[int, ...], gain: float = 1.0, *, rng: np.random.Generator
) -> np.ndarray:
    """Normal weights of variance gain²·2/(fan_in + fan_out).

    Source: Glorot and Bengio 2010, equation 12.

    >>> w = xavier_normal((300, 100), rng=np.random.default_rng(0))
    >>> round(float(w.std() * 200**0.5), 2)
    1.0
    """
    return variance_scaling(shape, gain, "fan_avg", rng=rng)


def he_uniform(
    shape: tuple[int, ...],
    mode: str = "fan_in",
    negative_slope: float = 0.0,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Uniform weights of variance 2/((1 + a²)·fan), for a ReLU of negative_slope a.

    Source: He et al. 2015, equations 10, 14 (forward and backward) and 15.

    >>> w = he_uniform((3, 6), rng=np.random.default_rng(0))
    >>> bool(abs(w).max() < 1.0)
    True
    """
    return _uniform(_std(shape, gain("leaky_relu", negative_slope), mode), shape, rng)


def he_normal(
    shape: tuple[int, ...],
    mode: str = "fan_in",
    negative_slope: float = 0.0,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Normal weights of variance 2/((1 + a²)·fan), for ReLU and leaky ReLU.

    Source: as :func:`he_uniform`.

    >>> w = he_normal((300, 200), rng=np.random.default_rng(0))
    >>> round(float(w.std() * 100**0.5), 2)
    1.0
    """
    return variance_scaling(shape, gain("leaky_relu", negative_slope), mode, rng=rng)


def orthogonal(
    shape: tuple[int, ...], gain: float = 1.0, *, rng: np.random.Generator
) -> np.ndarray:
    """A random matrix with orthonormal rows or columns, times the gain.

    A convolution is a matrix (out, in · area), as for torch. A tall matrix has orthonormal
    columns and keeps every length, a wide one has orthonormal rows; an entry's mean square
    is gain²/max(rows, columns). Every such matrix is equally likely (Haar's measure).
    Source: Saxe et al. 2014 for the scheme; Mezzadri 2007 for the signs.

    >>> q = orthogonal((5, 3), rng=np.random.default_rng(0))
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """
    rows, *rest = _dims(shape)
    columns = math.prod(rest)
    _validate.number("gain", gain, "ReLU takes 2**0.5, linear 1.0", above=0)
    _validate.generator("rng", rng)
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    # QR fixes columns up to their signs, where LAPACK has habits (its first entry is never
    # positive). Signs that make r's diagonal positive have none.
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T).reshape(shape)


def init_(module, scheme: str = "he_normal", *, rng: np.random.Generator):
    """:func:`nbcode.networks.init_`: set every weight of a torch module in place."""
    from nbcode import networks  # torch is for those who have a module

    return networks.init_(module, scheme, rng=rng)


def lsuv(module, batch, *, tolerance: float = 0.1, max_iterations: int = 10):
    """:func:`nbcode.networks.lsuv`: scale every weight by what a batch makes of it."""
    from nbcode import networks

    return networks.lsuv(module, batch, tolerance=tolerance, max_iterations=max_iterations)


def _dims(shape):
    """The axes of a weight's shape as a list of ints, two or more."""
    if not isinstance(shape, list | tuple) or len(shape) < 2:
        raise ValueError(
            "shape must have at least two axes, (fan_out, fan_in), got "
            f"{_validate._short(shape)}: a bias or a norm's scale has no fans; "
            "set it by hand"
        )
    remedy = "every axis of a weight has entries"
    return [_validate.integer("shape", n, remedy) for n in shape]


def _std(shape, gain, mode):
    """gain/√fan of a dense or a convolution's weight, its arguments checked."""
    fan_in, fan_out = fans(shape)
    gain = _validate.number("gain", gain, "ReLU takes 2**0.5, linear 1.0", above=0)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    return gain / np.sqrt(fan[_validate.choice("mode", mode, fan)])


def _uniform(std, shape, rng):
    """Uniform weights of that std: a uniform variable's variance is its limit² over 3."""
    limit = math.sqrt(3.0) * std
    return _validate.generator("rng", rng).uniform(-limit, limit, shape)

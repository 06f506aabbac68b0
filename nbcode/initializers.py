"""Initial weights, from scratch in NumPy, in torch's layout.

A dense weight has shape (fan_out, fan_in); a convolution's has
(out_channels, in_channels, kernel...).
"""

import math

import numpy as np

from nbcode import _validate

MODES = ("fan_in", "fan_out", "fan_avg")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight: channels times kernel area.

    Args:
        shape: (fan_out, fan_in) of a dense layer, or (out_channels, in_channels, kernel...)
            of a convolution.

    Returns:
        fan_in, the terms in a unit's sum, and fan_out, the sums that an input enters (with
        stride 1; a stride s divides the latter by s in each direction).

    Raises:
        ValueError: for fewer than two axes or an axis below 1.

    Source: He et al. 2015, sections 2.2 (n_l = k²c) and following.

    >>> fans((64, 16, 3, 3))
    (144, 576)
    """
    if _validate.ndim(shape) != 1 or len(shape) < 2:
        raise ValueError(
            "shape must have at least two axes, (fan_out, fan_in), got "
            f"{_validate._short(shape)}: a bias or a norm's scale has no fans; "
            "set it by hand"
        )
    out, inputs, *kernel = (
        _validate.integer("shape", n, "every axis of a weight has entries") for n in shape
    )
    area = int(np.prod(kernel, dtype=int))
    return inputs * area, out * area


def variance_scaling(
    shape: tuple[int, ...],
    gain: float = 1.0,
    mode: str = "fan_in",
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Normal weights of variance gain²/fan: the one family that the book's schemes share.

    Args:
        shape: as in :func:`fans`.
        gain: what the activation before the weight needs, such as
            ``nbcode.theory.gain("tanh")``; positive.
        mode: the fan in the denominator: "fan_in" keeps the forward signal, "fan_out" the
            gradient, "fan_avg" is the mean of both.
        rng: NumPy random generator.

    Returns:
        Array of that shape, float64.

    Raises:
        ValueError: for a shape without fans, a gain that is not positive, an unknown mode.

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

    Args:
        shape: as in :func:`fans`, dense or a convolution's.
        gain: what the activation needs, such as ``nbcode.theory.gain("tanh")``; positive.
        rng: NumPy random generator.

    Returns:
        Array of that shape, float64, uniform between ±√3 standard deviations.

    Raises:
        ValueError: for a shape without fans or a gain that is not positive.

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

    Args, errors: as :func:`xavier_uniform`.

    Returns:
        Array of that shape, float64.

    Source: Glorot and Bengio 2010, equation 12.

    >>> w = xavier_normal((300, 100), rng=np.random.default_rng(0))
    >>> round(float(w.std() * 200**0.5), 2)
    1.0
    """
    return variance_scaling(shape, gain, "fan_avg", rng=rng)


def _std(shape, gain, mode):
    """gain/√fan of a dense or a convolution's weight, its arguments checked."""
    fan_in, fan_out = fans(shape)
    gain = _validate.number("gain", gain, "ReLU takes 2**0.5, linear 1.0", above=0)
    _validate.choice("mode", mode, MODES)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    return gain / np.sqrt(fan)


def _uniform(std, shape, rng):
    """Uniform weights of that std: a uniform variable's variance is its limit² over 3."""
    limit = math.sqrt(3.0) * std
    return _validate.generator("rng", rng).uniform(-limit, limit, shape)

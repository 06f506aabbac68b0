"""The activations that have a name, and the call of one that has none."""

from collections.abc import Callable

import numpy as np


def _ndtr(z):
    from scipy.special import ndtr

    return ndtr(z)


def _expit(z):
    from scipy.special import expit

    return expit(z)


def _gelu_slope(z):
    return _ndtr(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def _elu(scale, alpha):
    return (
        lambda z: scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))),
        lambda z: scale * np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0))),
        (0.0,),
    )


def _clip(low, high):
    return (
        lambda z: np.clip(z, low, high),
        lambda z: ((z > low) & (z < high)) * 1.0,
        (low, high),
    )


# name: (φ, φ', the kinks of φ)
NAMED: dict[str, tuple[Callable, Callable, tuple[float, ...]]] = {
    "linear": (lambda z: z * 1.0, lambda z: np.ones_like(z, dtype=float), ()),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0) * 1.0, (0.0,)),
    "leaky_relu": (
        lambda z: np.where(z > 0, z, 0.01 * z),
        lambda z: np.where(z > 0, 1.0, 0.01),
        (0.0,),
    ),
    "relu6": _clip(0.0, 6.0),
    "hardtanh": _clip(-1.0, 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2, ()),
    "sigmoid": (_expit, lambda z: _expit(z) * _expit(-z), ()),
    "softplus": (lambda z: np.logaddexp(0.0, z), _expit, ()),
    "elu": _elu(1.0, 1.0),
    "selu": _elu(1.0507009873554805, 1.6732632423543772),
    "gelu": (lambda z: z * _ndtr(z), _gelu_slope, ()),
    "silu": (lambda z: z * _expit(z), lambda z: _expit(z) * (1 + z * _expit(-z)), ()),
}


def call(f, z):
    """f(z) for a NumPy function, or for a torch one, which wants and returns tensors."""
    try:
        out = np.asarray(f(z), dtype=float)
    except (TypeError, AttributeError):
        import torch

        try:
            with torch.no_grad():
                out = f(torch.as_tensor(np.asarray(z, dtype=float)))
            out = np.asarray(out, dtype=float)
        except Exception as error:
            raise ValueError(
                f"activation must take an array or a tensor, got {f!r}, which raises "
                f"{type(error).__name__}: use np.tanh instead of math.tanh, say"
            ) from error
    if out.shape != np.shape(z):
        raise ValueError(
            f"activation must keep the shape {np.shape(z)} of its argument, got {f!r}, "
            f"which returns {out.shape}: it acts on each entry alone"
        )
    return out

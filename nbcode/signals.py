"""Random networks, forward and backward, and the scale of what flows through them.

Notation, as in the book: z^l = W^l x^{l-1}, x^l = φ(z^l), δ^l = ∂L/∂z^l, and W^l has
shape (fan_out, fan_in). A signal is an array whose last axis runs over the units: shape
(n,) for one sample, (batch, n) for many. What the functions take, where they say nothing
else:

- weights: [W^1, ..., W^L], W^l of shape (n_l, n_{l-1})
- activation: one of :data:`nbcode.theory.ACTIVATIONS`, or a vectorized callable
- rng: NumPy random generator

Shapes that do not fit, numbers out of range and unknown names raise a ValueError.
"""

from __future__ import annotations  # so that the API page says ArrayLike

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nbcode import _validate, theory

_STORED = "a weight is stored as (fan_out, fan_in), and its fan_in is the layer before"


def rms(a: ArrayLike) -> float:
    """Root mean square √mean(a²) over all entries: the scale of a signal.

    a has any shape, and one entry or more. Infinite and nan entries carry through.

    >>> rms([3.0, -3.0, 3.0])
    3.0
    """
    a = _validate.array("a", a, "convert a tensor with .detach().numpy()", finite=False)
    a = a.astype(np.float64)  # float16 would round the squares, and |−128| overflows int8
    largest = np.max(np.abs(a))
    if not np.isfinite(largest) or largest == 0:
        return float(largest)
    # dividing first keeps the squares of very large and very small entries in range
    return float(largest * np.sqrt(np.mean((a / largest) ** 2)))


def random_weights(
    widths: Sequence[int], std: ArrayLike, rng: np.random.Generator
) -> list[np.ndarray]:
    """[W^1, ..., W^L] of a fully connected network: independent, normal, float64.

    widths are the units a layer, input first: [n_0, ..., n_L], at least two of them. std is
    that of a weight, not negative: one for all layers, or one for each.

    >>> [w.shape for w in random_weights([4, 8, 2], 0.1, rng=np.random.default_rng(0))]
    [(8, 4), (2, 8)]
    """
    _validate.generator("rng", rng)
    if not hasattr(widths, "__len__") or len(widths) < 2:
        raise ValueError(
            f"widths must list the input and at least one layer, got {widths!r}: "
            "[64, 64], say"
        )
    sizes = [_validate.integer("widths", w, "every layer has units") for w in widths]
    remedy = "it is the std of a weight, such as 0.05"
    stds = np.broadcast_to(std, len(sizes) - 1).tolist()
    stds = [_validate.number("std", s, remedy, at_least=0) for s in stds]
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    return [rng.normal(0.0, s, shape) for s, shape in zip(stds, shapes, strict=True)]


def forward(
    x: ArrayLike, weights: Sequence[ArrayLike], activation: theory.Activation = "linear"
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Send a signal through a network: z^l = W^l x^{l-1}, x^l = φ(z^l).

    Args:
        x: the input x^0, shape (n_0,) or (batch, n_0).

    Returns:
        (zs, xs): the lists [z^1, ..., z^L] and [x^0, ..., x^L].

    >>> zs, xs = forward(np.ones(2), [np.eye(2), -np.eye(2)], "relu")
    >>> zs[-1].tolist(), len(zs), len(xs)
    ([-1.0, -1.0], 2, 3)
    """
    x = _validate.array("x", x, "pass one sample (n,) or a batch (batch, n)", ndim=(1, 2))
    phi = theory.activation(activation)
    zs, xs = [], [x]
    for W in _validate.layers(weights, _STORED, ndim=2, fan_in=x.shape[-1]):
        zs.append(xs[-1] @ W.T)
        xs.append(phi(zs[-1]))
    return zs, xs


def backward(
    delta: ArrayLike,
    weights: Sequence[ArrayLike],
    zs: Sequence[ArrayLike],
    activation: theory.Activation = "linear",
) -> list[np.ndarray]:
    """Send a gradient back: δ^l = φ'(z^l) · (W^{l+1})ᵀ δ^{l+1}.

    Args:
        delta: δ^L = ∂L/∂z^L, same shape as ``zs[-1]``.
        zs: the pre-activations that :func:`forward` returned for the other arguments.

    Returns:
        [δ^1, ..., δ^L], each of the shape of its z^l.

    Source: Rumelhart, Hinton and Williams 1986; chapter 1 derives it.

    >>> zs, xs = forward(np.ones(2), [np.eye(2), 3 * np.eye(2)])
    >>> [d.tolist() for d in backward(np.ones(2), [np.eye(2), 3 * np.eye(2)], zs)]
    [[3.0, 3.0], [1.0, 1.0]]
    """
    matrices = _validate.layers(weights, _STORED, ndim=2)
    arrays = [np.asarray(z) for z in zs]
    delta = _validate.array("delta", delta, "it is ∂L/∂z of the last layer")
    shapes = [(*delta.shape[:-1], W.shape[0]) for W in matrices]
    got = [z.shape for z in arrays]
    if got != shapes or delta.shape != shapes[-1]:
        raise ValueError(
            f"zs must have the shapes {shapes}, as weights and delta do, got {got} and "
            f"delta {delta.shape}: pass the first list that forward() returned"
        )
    slope, deltas = theory.derivative(activation), [delta]
    for W, z in zip(matrices[:0:-1], arrays[-2::-1], strict=True):
        deltas.append(slope(z) * (deltas[-1] @ W))
    return deltas[::-1]


def breaking_layer(
    std: float,
    width: int,
    dtype: str,
    activation: theory.Activation = "linear",
    *,
    rng: np.random.Generator,
    max_depth: int = 400,
) -> tuple[int, str]:
    """Run a random network in a dtype until its signal is no longer a number, or zero.

    Args:
        std: standard deviation of a weight; positive.
        width: units in every layer.
        dtype: "float16", "bfloat16", "float32" or "float64": what weights and signal are
            stored in. Sums are accumulated in float64, as wide as any hardware does it.
        rng: draws the input, which is N(0, 1), and the weights.
        max_depth: layers to try.

    Returns:
        (layer, what): what is "overflow" (an entry is infinite or nan), "underflow" (every
        entry is zero) or "alive" with layer = max_depth.

    >>> breaking_layer(1.0, 256, "float16", rng=np.random.default_rng(0))
    (4, 'overflow')
    """
    import torch

    _validate.number("std", std, "it is the std of a weight, such as 0.05", above=0)
    _validate.integer("width", width, "it is the number of units, such as 256")
    _validate.integer("max_depth", max_depth, "it is a number of layers")
    _validate.choice("dtype", dtype, theory.DTYPES)
    _validate.generator("rng", rng)
    phi = theory.activation(activation)
    store = getattr(torch, dtype)
    x = torch.from_numpy(rng.normal(size=width)).to(store)
    for layer in range(1, max_depth + 1):
        W = torch.from_numpy(rng.normal(0.0, std, (width, width))).to(store)
        z = (W.double() @ x.double()).to(store)
        x = torch.from_numpy(np.asarray(phi(z.double().numpy()))).to(store)
        if not torch.isfinite(z).all():
            return layer, "overflow"
        if not x.any():
            return layer, "underflow"
    return max_depth, "alive"


def probe(model, batch, loss=None, *, lr=None, training: bool | None = None):
    """:func:`nbcode.networks.probe`: look into a torch module on one batch."""
    from nbcode import networks  # torch is for those who have a module

    return networks.probe(model, batch, loss, lr=lr, training=training)

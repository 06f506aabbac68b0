"""Batch, layer, group, instance and RMS normalization, forward and backward, in NumPy.

A forward pass is called as ``y, cache = batch_norm(x, ...)``, and its backward pass as
``dx, dweight, dbias = batch_norm_backward(dy, cache)`` with dy = ∂L/∂y. All share one core,
x̂ = (x − mean)/√(variance + eps), and differ in the entries that the mean is over. What
they take, where they say nothing else:

- x: an array of shape (batch, channels, trailing...), with or without trailing axes
- weight, bias: scale and shift, the γ and β of papers, shape (channels,); None is 1 and 0
- eps: added to the variance, in its units; not negative

y has the shape and dtype of x (whole numbers count as float64), a gradient those of what it
is the gradient of; the arithmetic between is float64. Arrays that do not fit or are not
finite, numbers out of range, and 0/0 where eps is 0 raise a ValueError.
"""

from __future__ import annotations  # so that the API page says ArrayLike

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nbcode import _normalize, _validate

Gradients = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


class Cache(NamedTuple):
    """What a forward pass keeps for its backward pass, and batch norm's new running state.

    Callers may want the last three fields, for the next call; None where none were given.
    """

    normalized: np.ndarray  # x̂, float64, in the shape of x
    std: np.ndarray  # √(variance + eps), to divide x.reshape(split) by
    split: tuple[int, ...]  # the shape in which the statistics are over whole axes
    axes: tuple[int, ...]  # those axes; none where the statistics did not come from x
    centred: bool  # whether a mean was subtracted
    weight: np.ndarray | None  # as it broadcasts against x
    bias: np.ndarray | None
    shared: tuple[int, ...]  # the axes of x along which all entries have the same weight
    dtype: np.dtype  # of x
    running_mean: np.ndarray | None = None
    running_var: np.ndarray | None = None
    num_batches_tracked: int | None = None


def batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    *,
    training: bool = True,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: int | None = None,
) -> tuple[np.ndarray, Cache]:
    """Normalize each channel over the batch and all trailing axes, then scale and shift it.

    Args:
        x, weight, bias, eps: as above; in training more than one value a channel.
        running_mean: mean of the batches so far, shape (channels,); None keeps none.
        running_var: their variance, likewise; both or neither.
        training: True takes the statistics of x, False the running ones.
        momentum: share of this batch in the new running statistics, from 0 to 1, so that
            new = (1 − momentum)·old + momentum·batch, as torch has it; None weighs all
            batches alike and needs num_batches_tracked.
        num_batches_tracked: batches that the running statistics have seen.

    Returns:
        (y, cache). The new running statistics are ``cache.running_mean``,
        ``cache.running_var`` and ``cache.num_batches_tracked``; those passed in are not
        changed. x is divided by the biased variance, the running one is unbiased. An empty
        batch counts as one and leaves the statistics as they are.

    Source: Ioffe and Szegedy 2015, algorithms 1 (training) and 2 (inference).

    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> y, cache = batch_norm(x, None, None, np.zeros(1), np.ones(1), eps=0.0)
    >>> bool(abs(y.mean()) < 1e-12), round(float(y.std()), 6)
    (True, 1.0)
    >>> cache.running_mean.round(6).tolist(), cache.running_var.round(6).tolist()
    ([0.3], [1.366667])
    """
    x = _normalize.batch(x)
    mean, var = _normalize.running(running_mean, running_var, x.shape[1])
    batches, remedy = num_batches_tracked, "it is 0 before the first batch"
    if batches is not None or (momentum is None and training and mean is not None):
        _validate.integer("num_batches_tracked", batches, remedy, at_least=0)
    if momentum is not None:
        remedy = "it is the share of the new batch, such as 0.1"
        _validate.number("momentum", momentum, remedy, at_least=0, at_most=1)
    axes = (0, *range(2, x.ndim))
    if training:
        count = math.prod(x.shape[i] for i in axes)
        if count == 1:
            raise ValueError(
                f"x must have more than one value a channel in training, got shape "
                f"{x.shape}: a single one is its own mean; pass a larger batch, or "
                "training=False"
            )
        batches = None if batches is None else batches + 1
        batch_mean, values, variance = _normalize.moments(x, axes)
        if mean is not None and x.size:
            share = 1 / (batches or 1) if momentum is None else momentum
            mean = _normalize.mixed(mean, batch_mean, share)
            var = _normalize.mixed(var, variance * (count / (count - 1)), share)
    else:
        if mean is None:
            raise ValueError(
                "running_mean must be given where training is False, got None: pass the "
                "statistics of training, or training=True"
            )
        spread = (1, -1, *[1] * (x.ndim - 2))
        values = x.astype(np.float64) - mean.reshape(spread)
        variance = var.reshape(spread).astype(np.float64)
        axes = ()  # constants carry no gradient back to x
    y, kept = _normalize.scale(x, values, variance, axes, (1,), weight, bias, eps)
    state = {"running_mean": mean, "running_var": var, "num_batches_tracked": batches}
    return y, Cache(*kept)._replace(**state)


def batch_norm_backward(dy: ArrayLike, cache: Cache) -> Gradients:
    """The gradients of :func:`batch_norm`, in training or not as its forward pass was.

    With g = weight·dy and means over batch and trailing axes, dx is (g − mean(g) −
    x̂·mean(g·x̂))/σ in training: a mean and a variance that depend on x take two directions
    out of the gradient. With running statistics it is g/σ. The gradient of a weight or bias
    that was not given is None.

    Source: Ioffe and Szegedy 2015, section 3, where the six terms are not yet collected.

    >>> y, cache = batch_norm(np.array([[1.0], [2.0], [6.0]]), np.ones(1), np.zeros(1))
    >>> dx, dweight, dbias = batch_norm_backward(np.ones((3, 1)), cache)
    >>> bool(abs(dx).max() < 1e-12), dbias.tolist()
    (True, [3.0])
    """
    return _normalize.backward(dy, cache)


def layer_norm(
    x: ArrayLike,
    normalized_shape: int | tuple[int, ...],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Cache]:
    """Normalize each sample over its last axes, then scale and shift each entry.

    x is an array whose last axes are normalized_shape, a tuple or, for one, a number: the
    axes that the statistics are over, and the shape of weight and bias.

    Source: Ba, Kiros and Hinton 2016, equations 3 and 4.

    >>> y, cache = layer_norm(np.array([[1.0, 3.0], [20.0, 10.0]]), 2, eps=0.0)
    >>> y.tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    x, axes = _last_axes(x, normalized_shape)
    _, values, variance = _normalize.moments(x, axes)
    y, kept = _normalize.scale(x, values, variance, axes, axes, weight, bias, eps)
    return y, Cache(*kept)


def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Cache]:
    """Normalize each sample over groups of neighbouring channels and the trailing axes.

    num_groups is the number of parts of equal size that the channels are cut into, in their
    order; more than one value a group. Source: Wu and He 2018, equation 7.

    >>> y, cache = group_norm(np.array([[1.0, 3.0, 20.0, 10.0]]), 2, eps=0.0)
    >>> y.tolist()
    [[-1.0, 1.0, 1.0, -1.0]]
    """
    x = _normalize.batch(x)
    _validate.integer("num_groups", num_groups, "it is a number, such as 32")
    if x.shape[1] % num_groups:
        raise ValueError(
            f"num_groups must divide the channels of x, got {num_groups} for shape "
            f"{x.shape}: channels are axis 1"
        )
    if math.prod(x.shape) == num_groups:  # torch refuses this, and takes a larger batch
        raise ValueError(
            f"x must have more than one value a group, got shape {x.shape} for "
            f"{num_groups} groups: a single one is its own mean; take fewer groups"
        )
    return _groups(x, num_groups, weight, bias, eps)


def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Cache]:
    """Normalize each channel of each sample over the trailing axes: a group a channel.

    x has more than one trailing entry. Source: Ulyanov, Vedaldi and Lempitsky 2016; Wu and
    He 2018, equation 5.

    >>> y, cache = instance_norm(np.array([[[1.0, 3.0], [20.0, 10.0]]]), eps=0.0)
    >>> y.tolist()
    [[[-1.0, 1.0], [1.0, -1.0]]]
    """
    x = _normalize.batch(x)
    if math.prod(x.shape[2:]) == 1:
        raise ValueError(
            f"x must have more than one trailing entry, got shape {x.shape}: a single one "
            "is its own mean; pass (batch, channels, length), say"
        )
    return _groups(x, x.shape[1], weight, bias, eps)


def layer_norm_backward(dy: ArrayLike, cache: Cache) -> Gradients:
    """As :func:`batch_norm_backward`: dx = (g − mean(g) − x̂·mean(g·x̂))/σ, g = weight·dy.

    The means are over what the forward pass averaged: a sample's last axes, a group of
    channels, or a channel's trailing axes.

    >>> y, cache = layer_norm(np.array([[1.0, 3.0, 8.0]]), 3)
    >>> dx, dweight, dbias = layer_norm_backward(np.array([[1.0, 0.0, 0.0]]), cache)
    >>> bool(abs(dx.sum()) < 1e-12), dweight
    (True, None)
    """
    return _normalize.backward(dy, cache)


#: Names of :func:`layer_norm_backward`: the cache knows which entries the means are over.
group_norm_backward = instance_norm_backward = layer_norm_backward


def rms_norm(
    x: ArrayLike,
    normalized_shape: int | tuple[int, ...],
    weight: ArrayLike | None = None,
    eps: float | None = None,
) -> tuple[np.ndarray, Cache]:
    """Divide each sample by its root mean square over the last axes; no mean, no shift.

    As :func:`layer_norm`, but eps is added to the mean square; None is torch's default, the
    machine epsilon of x's dtype, and of float32 for float16.

    Source: Zhang and Sennrich 2019, equation 4.

    >>> y, cache = rms_norm(np.array([[3.0, -3.0], [20.0, 20.0]]), 2, eps=0.0)
    >>> y.tolist()
    [[1.0, -1.0], [1.0, 1.0]]
    """
    x, axes = _last_axes(x, normalized_shape)
    if eps is None:
        eps = float(np.finfo(np.promote_types(x.dtype, np.float32)).eps)
    values = x.astype(np.float64)
    square = _normalize.mean(values**2, axes)
    y, kept = _normalize.scale(
        x, values, square, axes, axes, weight, None, eps, centred=False
    )
    return y, Cache(*kept)


def rms_norm_backward(dy: ArrayLike, cache: Cache) -> tuple[np.ndarray, np.ndarray | None]:
    """(dx, dweight), the first without a mean to subtract: (g − x̂·mean(g·x̂))/rms.

    >>> y, cache = rms_norm(np.array([[3.0, 4.0]]), 2, np.ones(2), eps=0.0)
    >>> dx, dweight = rms_norm_backward(y, cache)
    >>> bool(abs(dx).max() < 1e-12), dweight.round(2).tolist()
    (True, [0.72, 1.28])
    """
    return _normalize.backward(dy, cache)[:2]


def fold_batch_norm(module):
    """:func:`nbcode.networks.fold_batch_norm`: fold batch norms, in a copy."""
    from nbcode import networks  # torch is for those who have a module

    return networks.fold_batch_norm(module)


def _last_axes(x, normalized_shape) -> tuple[np.ndarray, tuple[int, ...]]:
    """x as floats, and its last axes, which have that shape."""
    x = _normalize.floats("x", x, "convert a tensor with .detach().numpy()")
    dims = tuple(np.atleast_1d(normalized_shape).tolist())
    first = x.ndim - len(dims)
    if not dims or first < 0 or x.shape[first:] != dims:
        raise ValueError(
            f"normalized_shape must be the last axes of x, got {dims} for shape {x.shape}: "
            "x.shape[1:], say"
        )
    return x, tuple(range(first, x.ndim))


def _groups(x, num_groups, weight, bias, eps):
    """Group norm: neighbouring channels of a sample, cut off on an axis of their own."""
    size = x.shape[1] // max(num_groups, 1)  # instance norm of no channels has no groups
    split = x.reshape(x.shape[0], num_groups, size, *x.shape[2:])
    axes = tuple(range(2, split.ndim))
    _, values, variance = _normalize.moments(split, axes)
    y, kept = _normalize.scale(x, values, variance, axes, (1,), weight, bias, eps)
    return y, Cache(*kept)

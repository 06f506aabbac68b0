"""Batch, layer, group, instance and RMS normalization, forward and backward, in NumPy.

A forward pass is called as ``y, cache = batch_norm(x, ...)``, and its backward pass as
``dx, dgamma, dbeta = batch_norm_backward(dy, cache)`` with dy = ∂L/∂y. All share one core,
x̂ = (x − mean)/√(variance + eps), and differ in the entries that the mean is over. Results
have the dtype of what they belong to; the arithmetic between is float64.
"""

import math
from typing import NamedTuple

import numpy as np

from nbcode import _validate


class Cache(NamedTuple):
    """What a forward pass keeps for its backward pass, and batch norm's new running state.

    The last three fields are what a caller may want: the running statistics after this
    batch, new arrays, for the next call. They are None where none were given.
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
    x: np.ndarray,
    gamma: np.ndarray | None = None,
    beta: np.ndarray | None = None,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    *,
    training: bool = True,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: int | None = None,
) -> tuple[np.ndarray, Cache]:
    """Normalize each channel over the batch and all trailing axes, then scale and shift it.

    Args:
        x: floats of shape (batch, channels, trailing...), with or without trailing axes.
        gamma: scale, shape (channels,); None is 1.
        beta: shift, shape (channels,); None is 0.
        running_mean: mean of the batches so far, shape (channels,); None keeps none.
        running_var: their variance, likewise; both or neither.
        training: True takes the statistics of x, False the running ones.
        momentum: share of this batch in the new running statistics, from 0 to 1, so that
            new = (1 − momentum)·old + momentum·batch, as torch has it; None weighs all
            batches alike and needs num_batches_tracked.
        eps: added to the variance, in its units; not negative.
        num_batches_tracked: batches that the running statistics have seen.

    Returns:
        (y, cache): y in shape and dtype of x. The new running statistics are
        ``cache.running_mean``, ``cache.running_var`` and ``cache.num_batches_tracked``;
        those passed in are not changed. x is divided by the biased variance, the running
        one is unbiased. An empty batch counts as one and leaves the statistics as they are.

    Raises:
        ValueError: for one value a channel in training, running statistics that are missing
            or alone, arrays that do not fit, are not floats or not finite, numbers out of
            range, or eps = 0 with a constant channel.

    Source: Ioffe and Szegedy 2015, algorithms 1 (training) and 2 (inference).

    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> y, cache = batch_norm(x, None, None, np.zeros(1), np.ones(1), eps=0.0)
    >>> bool(abs(y.mean()) < 1e-12), round(float(y.std()), 6)
    (True, 1.0)
    >>> cache.running_mean.round(6).tolist(), cache.running_var.round(6).tolist()
    ([0.3], [1.366667])
    """
    x = _batch(x)
    channels = x.shape[1]
    shared = (0, *range(2, x.ndim))
    axes = shared if training else ()  # constants carry no gradient back to x
    count = math.prod(x.shape[a] for a in shared)  # values a channel
    per_channel = (channels, *(1,) * (x.ndim - 2))
    gamma, beta = _parameters(gamma, beta, (channels,), per_channel, ("gamma", "beta"))
    eps = _eps(eps)
    factor, batches = _factor(
        momentum, num_batches_tracked, training and running_mean is not None
    )
    mean, var = _running(running_mean, running_var, channels)
    if mean is None and not training:
        raise ValueError(
            "running_mean must be given where training is False, got None: pass the "
            "statistics of training, or training=True"
        )
    if training and count == 1:
        raise ValueError(
            f"x must have more than one value a channel in training, got shape {x.shape}: "
            "a single one is its own mean; pass a larger batch, or training=False"
        )
    if training:
        batch_mean, centred = _centre(x.astype(np.float64), axes)
        variance = _mean(centred**2, axes)
        if mean is not None and x.size:
            unbiased = variance * (count / (count - 1))
            mean = _mixed(mean, batch_mean.reshape(-1), factor)
            var = _mixed(var, unbiased.reshape(-1), factor)
    else:
        centred = x.astype(np.float64) - mean.reshape(per_channel)
        variance = var.reshape(per_channel).astype(np.float64)
        batches = num_batches_tracked
    std = _root(variance, eps, x.size)
    y, cache = _finish(centred, std, x, x.shape, axes, True, gamma, beta, shared)
    return y, cache._replace(
        running_mean=mean, running_var=var, num_batches_tracked=batches
    )


def batch_norm_backward(
    dy: np.ndarray, cache: Cache
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The gradients of :func:`batch_norm`, in training or not as its forward pass was.

    With g = γ·dy and means over batch and trailing axes, dx is (g − mean(g) −
    x̂·mean(g·x̂))/σ in training: a mean and a variance that depend on x take two directions
    out of the gradient. With running statistics it is g/σ.

    Args:
        dy: ∂L/∂y, floats in the shape of y.
        cache: what the forward pass returned.

    Returns:
        (dx, dgamma, dbeta): dx in shape and dtype of x, the others of gamma and beta; None
        for a gamma or beta that was not given.

    Raises:
        ValueError: for a dy that does not fit or is not finite, or for no cache.

    Source: Ioffe and Szegedy 2015, section 3, where the six terms are not yet collected.

    >>> y, cache = batch_norm(np.array([[1.0], [2.0], [6.0]]), np.ones(1), np.zeros(1))
    >>> dx, dgamma, dbeta = batch_norm_backward(np.ones((3, 1)), cache)
    >>> bool(abs(dx).max() < 1e-12), dbeta.tolist()
    (True, [3.0])
    """
    return _backward(dy, cache)


def layer_norm(
    x: np.ndarray,
    normalized_shape: int | tuple[int, ...],
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Cache]:
    """Normalize each sample over its last axes, then scale and shift each entry.

    Args:
        x: floats, whose last axes are normalized_shape.
        normalized_shape: the axes that the statistics are over, as a tuple or, for one, a
            number.
        weight: scale, of shape normalized_shape; None is 1.
        bias: shift, likewise; None is 0.
        eps: added to the variance, in its units; not negative.

    Returns:
        (y, cache): y in shape and dtype of x.

    Raises:
        ValueError: for arrays that do not fit, are not floats or not finite, a negative
            eps, or eps = 0 with a constant sample.

    Source: Ba, Kiros and Hinton 2016, equations 3 and 4.

    >>> y, cache = layer_norm(np.array([[1.0, 3.0], [20.0, 10.0]]), 2, eps=0.0)
    >>> y.tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    return _last_axes(x, normalized_shape, weight, bias, _eps(eps), centred=True)


def layer_norm_backward(
    dy: np.ndarray, cache: Cache
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The gradients of :func:`layer_norm`: dx = (g − mean(g) − x̂·mean(g·x̂))/σ, g = w·dy.

    Args, errors: as :func:`batch_norm_backward`.

    Returns:
        (dx, dweight, dbias), None for a weight or bias that was not given.

    >>> y, cache = layer_norm(np.array([[1.0, 3.0, 8.0]]), 3)
    >>> dx, dweight, dbias = layer_norm_backward(np.array([[1.0, 0.0, 0.0]]), cache)
    >>> bool(abs(dx.sum()) < 1e-12), dweight
    (True, None)
    """
    return _backward(dy, cache)


def group_norm(
    x: np.ndarray,
    num_groups: int,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Cache]:
    """Normalize each sample over groups of neighbouring channels and the trailing axes.

    Args:
        x: floats of shape (batch, channels, trailing...).
        num_groups: parts of equal size that the channels are cut into, in their order.
        weight: scale, shape (channels,); None is 1.
        bias: shift, shape (channels,); None is 0.
        eps: added to the variance, in its units; not negative.

    Returns:
        (y, cache): y in shape and dtype of x.

    Raises:
        ValueError: for groups that do not divide the channels, a batch of one with one
            value a group, arrays that do not fit, are not floats or not finite, a negative
            eps, or eps = 0 with a constant group.

    Source: Wu and He 2018, equation 7.

    >>> y, cache = group_norm(np.array([[1.0, 3.0, 20.0, 10.0]]), 2, eps=0.0)
    >>> y.tolist()
    [[-1.0, 1.0, 1.0, -1.0]]
    """
    x = _batch(x)
    num_groups = _validate.integer("num_groups", num_groups, "it is a number, such as 32")
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
    return _groups(x, num_groups, weight, bias, _eps(eps))


def group_norm_backward(
    dy: np.ndarray, cache: Cache
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The gradients of :func:`group_norm`, the formula of :func:`layer_norm_backward`.

    Args, errors: as :func:`batch_norm_backward`.

    Returns:
        (dx, dweight, dbias), None for a weight or bias that was not given.

    >>> y, cache = group_norm(np.array([[1.0, 3.0, 20.0, 11.0]]), 2, None, np.zeros(4))
    >>> dx, dweight, dbias = group_norm_backward(np.array([[1.0, 1.0, 2.0, 2.0]]), cache)
    >>> bool(abs(dx).max() < 1e-12), dbias.tolist()
    (True, [1.0, 1.0, 2.0, 2.0])
    """
    return _backward(dy, cache)


def instance_norm(
    x: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Cache]:
    """Normalize each channel of each sample over the trailing axes: a group a channel.

    Args:
        x: floats of shape (batch, channels, trailing...), more than one trailing entry.
        weight: scale, shape (channels,); None is 1.
        bias: shift, shape (channels,); None is 0.
        eps: added to the variance, in its units; not negative.

    Returns:
        (y, cache): y in shape and dtype of x.

    Raises:
        ValueError: for a channel of one entry, arrays that do not fit, are not floats or
            not finite, a negative eps, or eps = 0 with a constant channel.

    Source: Ulyanov, Vedaldi and Lempitsky 2016; Wu and He 2018, equation 5.

    >>> y, cache = instance_norm(np.array([[[1.0, 3.0], [20.0, 10.0]]]), eps=0.0)
    >>> y.tolist()
    [[[-1.0, 1.0], [1.0, -1.0]]]
    """
    x = _batch(x)
    if math.prod(x.shape[2:]) == 1:
        raise ValueError(
            f"x must have more than one trailing entry, got shape {x.shape}: a single one "
            "is its own mean; pass (batch, channels, length), say"
        )
    return _groups(x, x.shape[1], weight, bias, _eps(eps))


def instance_norm_backward(
    dy: np.ndarray, cache: Cache
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The gradients of :func:`instance_norm`, the formula of :func:`layer_norm_backward`.

    Args, errors: as :func:`batch_norm_backward`.

    Returns:
        (dx, dweight, dbias), None for a weight or bias that was not given.

    >>> y, cache = instance_norm(np.array([[[1.0, 3.0, 7.0]]]), np.ones(1))
    >>> dx, dweight, dbias = instance_norm_backward(np.ones((1, 1, 3)), cache)
    >>> bool(abs(dx).max() < 1e-12), bool(abs(dweight).max() < 1e-12)
    (True, True)
    """
    return _backward(dy, cache)


def rms_norm(
    x: np.ndarray,
    normalized_shape: int | tuple[int, ...],
    weight: np.ndarray | None = None,
    eps: float | None = None,
) -> tuple[np.ndarray, Cache]:
    """Divide each sample by its root mean square over the last axes; no mean, no shift.

    Args:
        x, normalized_shape, weight: as in :func:`layer_norm`.
        eps: added to the mean square, in its units; not negative. None is torch's default,
            the machine epsilon of x's dtype, and of float32 for float16.

    Returns:
        (y, cache): y in shape and dtype of x.

    Raises:
        ValueError: for arrays that do not fit, are not floats or not finite, a negative
            eps, or eps = 0 with a sample of zeros.

    Source: Zhang and Sennrich 2019, equation 4.

    >>> y, cache = rms_norm(np.array([[3.0, -3.0], [20.0, 20.0]]), 2, eps=0.0)
    >>> y.tolist()
    [[1.0, -1.0], [1.0, 1.0]]
    """
    x = _input(x)
    if eps is None:
        eps = np.finfo(np.promote_types(x.dtype, np.float32)).eps
    return _last_axes(x, normalized_shape, weight, None, _eps(eps), centred=False)


def rms_norm_backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray, np.ndarray | None]:
    """The gradients of :func:`rms_norm`: dx = (g − x̂·mean(g·x̂))/rms, g = w·dy.

    Args, errors: as :func:`batch_norm_backward`.

    Returns:
        (dx, dweight), None for a weight that was not given.

    >>> y, cache = rms_norm(np.array([[3.0, 4.0]]), 2, np.ones(2), eps=0.0)
    >>> dx, dweight = rms_norm_backward(y, cache)
    >>> bool(abs(dx).max() < 1e-12), dweight.round(2).tolist()
    (True, [0.72, 1.28])
    """
    dx, dweight, _ = _backward(dy, cache)
    return dx, dweight


def fold_batch_norm(module):
    """:func:`nbcode.networks.fold_batch_norm`: fold batch norms, in a copy."""
    from nbcode import networks  # torch is for those who have a module

    return networks.fold_batch_norm(module)


def _last_axes(x, normalized_shape, weight, bias, eps, *, centred):
    """Layer norm, or RMS norm where nothing is centred."""
    x = _input(x)
    remedy = "it lists the last axes of x, such as (64,)"
    dims = normalized_shape
    dims = (
        [dims]
        if _validate.ndim(dims) == 0
        else _validate.arrays("normalized_shape", dims, remedy)
    )
    dims = tuple(_validate.integer("normalized_shape", n, remedy, at_least=0) for n in dims)
    first = x.ndim - len(dims)
    if first < 0 or x.shape[first:] != dims:
        raise ValueError(
            f"normalized_shape must be the last axes of x, got {dims} for shape {x.shape}: "
            f"x.shape[1:], say"
        )
    weight, bias = _parameters(weight, bias, dims, dims, ("weight", "bias"))
    axes = tuple(range(first, x.ndim))
    values = x.astype(np.float64)
    if centred:
        _, values = _centre(values, axes)
    std = _root(_mean(values**2, axes), eps, x.size)
    shared = tuple(range(first))
    return _finish(values, std, x, x.shape, axes, centred, weight, bias, shared)


def _groups(x, num_groups, weight, bias, eps):
    """Group norm: neighbouring channels of a sample, cut off on an axis of their own."""
    batch, channels, *trailing = x.shape
    size = channels // max(num_groups, 1)  # instance norm of no channels has no groups
    split = (batch, num_groups, size, *trailing)
    axes = tuple(range(2, len(split)))
    per_channel = (channels, *(1,) * len(trailing))
    weight, bias = _parameters(weight, bias, (channels,), per_channel, ("weight", "bias"))
    _, values = _centre(x.reshape(split).astype(np.float64), axes)
    std = _root(_mean(values**2, axes), eps, x.size)
    shared = (0, *range(2, x.ndim))
    return _finish(values, std, x, split, axes, True, weight, bias, shared)


def _mean(a, axes):
    """The mean over axes, kept with length 1; zero over no entries."""
    count = math.prod(a.shape[i] for i in axes)
    return a.sum(axis=axes, keepdims=True) / max(count, 1)


def _centre(x, axes):
    """(mean, x − mean), as if the mean had no rounding error.

    A mean of 10⁸ standard deviations is rounded at 10⁻⁸ of one, many times over in a long
    sum. That error is in every centred entry alike, so that their own mean shows it: Chan,
    Golub and LeVeque 1983, equation 1.7. E[x²] − E[x]² would lose all digits there.
    """
    mean = _mean(x, axes)
    x = x - mean
    error = _mean(x, axes)
    return mean + error, x - error


def _root(variance, eps, size):
    """√(variance + eps), which is what a norm divides by."""
    std = np.sqrt(variance + eps)
    if size and not std.all():
        raise ValueError(
            f"eps must be above 0 where a variance is 0, got {eps:g}: 0/0 has no value; "
            "1e-5 is usual"
        )
    return std


def _finish(centred, std, x, split, axes, is_centred, weight, bias, shared):
    """(y, cache) from the values less their mean, in their split shape, and their std."""
    normalized = (centred / std).reshape(x.shape)
    y = normalized if weight is None else normalized * weight
    y = y if bias is None else y + bias
    cache = Cache(normalized, std, split, axes, is_centred, weight, bias, shared, x.dtype)
    return y.astype(x.dtype), cache


def _backward(dy, cache):
    if not isinstance(cache, Cache):
        raise ValueError(
            f"cache must be what the forward pass returned, got {_validate._short(cache)}: "
            "y, cache = batch_norm(x), say"
        )
    normalized = cache.normalized
    dy = _floats("dy", dy, "it is ∂L/∂y, in the shape of y", normalized.shape)
    dy = dy.astype(np.float64)
    dweight, dbias, g = None, None, dy
    if cache.weight is not None:
        dweight = (dy * normalized).sum(axis=cache.shared).astype(cache.weight.dtype)
        g = dy * cache.weight
    if cache.bias is not None:
        dbias = dy.sum(axis=cache.shared).astype(cache.bias.dtype)
    g, normalized = g.reshape(cache.split), normalized.reshape(cache.split)
    dx = g
    if cache.axes:
        dx = dx - normalized * _mean(g * normalized, cache.axes)
        if cache.centred:
            dx = dx - _mean(g, cache.axes)
    return (dx / cache.std).reshape(dy.shape).astype(cache.dtype), dweight, dbias


def _input(x):
    return _floats("x", x, "convert with .astype(np.float32), or .detach().numpy()")


def _batch(x):
    x = _input(x)
    if x.ndim < 2:
        raise ValueError(
            f"x must have axes (batch, channels, ...), got shape {x.shape}: x[None] is a "
            "batch of one"
        )
    return x


def _floats(name, value, remedy, shape=None):
    """Return value as an array of finite floats, empty or not, and of that shape."""
    try:
        out = np.asarray(value)
        ok = out.dtype.kind == "f" and bool(np.all(np.isfinite(out)))
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor that needs grad
        ok = False
    if not ok:
        raise ValueError(
            f"{name} must be an array of finite floats, got {_validate._short(value)}: "
            f"{remedy}"
        )
    if shape is not None and out.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got shape {out.shape}: {remedy}")
    return out


def _parameters(weight, bias, shape, spread, names):
    """Scale and shift, checked to have that shape, as they broadcast against x."""
    remedy = "one value for each that it scales or shifts, or None"
    return [
        None if value is None else _floats(name, value, remedy, shape).reshape(spread)
        for name, value in zip(names, (weight, bias), strict=True)
    ]


def _eps(eps):
    return _validate.number(
        "eps", eps, "it is added to a variance; 1e-5 is usual", at_least=0
    )


def _running(mean, var, channels):
    if (mean is None) != (var is None):
        name, other = ("running_mean", "var") if mean is None else ("running_var", "mean")
        raise ValueError(
            f"{name} must be given with running_{other}, got None: pass both or neither"
        )
    if mean is None:
        return None, None
    remedy = "start with np.zeros and np.ones, one value a channel"
    mean = _floats("running_mean", mean, remedy, (channels,))
    var = _floats("running_var", var, remedy, (channels,))
    if np.any(var < 0):
        raise ValueError(
            f"running_var must be at least 0, got {_validate._short(var)}: it is a "
            "variance; is running_mean in its place?"
        )
    return mean.copy(), var.copy()


def _factor(momentum, batches, tracks):
    """The share of this batch in the running statistics, and batches with this one."""
    if batches is not None:
        remedy = "it is 0 before the first batch"
        batches = 1 + _validate.integer("num_batches_tracked", batches, remedy, at_least=0)
    if momentum is None:
        if tracks and batches is None:
            raise ValueError(
                "num_batches_tracked must be given where momentum is None, got None: it is "
                "0 before the first batch, then cache.num_batches_tracked"
            )
        return 1 / (batches or 1), batches
    remedy = "it is the share of the new batch, such as 0.1"
    momentum = _validate.number("momentum", momentum, remedy, at_least=0)
    if momentum > 1:
        raise ValueError(f"momentum must be at most 1, got {momentum:g}: {remedy}")
    return momentum, batches


def _mixed(old, batch, factor):
    return ((1 - factor) * old.astype(np.float64) + factor * batch).astype(old.dtype)

"""What all norms share: exact moments, one core forward, and its gradients."""

import math

import numpy as np

from nbcode import _validate


def moments(x, axes):
    """(mean, x − mean, variance) in float64, as if the mean had no rounding error.

    A mean of 10⁸ standard deviations is rounded at 10⁻⁸ of one, many times over in a long
    sum. That error is in every centred entry alike, so that their own mean shows it: Chan,
    Golub and LeVeque 1983, equation 1.7. E[x²] − E[x]² would lose all digits there.
    """
    x = x.astype(np.float64)
    first = mean(x, axes)
    x = x - first
    error = mean(x, axes)
    values = x - error
    return first + error, values, mean(values**2, axes)


def mean(a, axes):
    """The mean over axes, kept with length 1; zero over no entries."""
    count = math.prod(a.shape[i] for i in axes)
    return a.sum(axis=axes, keepdims=True) / max(count, 1)


def scale(
    x, values, variance, axes, own, weight, bias, eps, centred=True
) -> tuple[np.ndarray, list]:
    """(y, a cache's first fields) from x's values less their mean.

    They are split so that the variance is over whole ``axes``.
    ``own`` are the axes of x along which entries have a weight and bias of their own.
    """
    remedy = "it is added to a variance; 1e-5 is usual"
    std = np.sqrt(variance + _validate.number("eps", eps, remedy, at_least=0))
    if x.size and not std.all():
        raise ValueError(
            f"eps must be above 0 where a variance is 0, got {eps:g}: 0/0 has no value; "
            "1e-5 is usual"
        )
    shape, remedy = tuple(x.shape[i] for i in own), "one value for each, or None"
    spread = [n if i in own else 1 for i, n in enumerate(x.shape)]
    weight, bias = (
        None if value is None else floats(name, value, remedy, shape).reshape(spread)
        for name, value in (("weight", weight), ("bias", bias))
    )
    normalized = (values / std).reshape(x.shape)
    y = normalized if weight is None else normalized * weight
    y = y if bias is None else y + bias
    shared = tuple(i for i in range(x.ndim) if i not in own)
    kept = [normalized, std, values.shape, axes, centred, weight, bias, shared, x.dtype]
    return y.astype(x.dtype), kept


def backward(dy, cache):
    """(dx, dweight, dbias) of any norm, from what its forward pass kept."""
    normalized = cache.normalized
    dy = floats("dy", dy, "it is ∂L/∂y, in the shape of y", normalized.shape)
    dy = dy.astype(np.float64)
    dweight, dbias, g = None, None, dy
    if cache.weight is not None:
        dweight = (dy * normalized).sum(axis=cache.shared).astype(cache.weight.dtype)
        g = dy * cache.weight
    if cache.bias is not None:
        dbias = dy.sum(axis=cache.shared).astype(cache.bias.dtype)
    dx, normalized = g.reshape(cache.split), normalized.reshape(cache.split)
    if cache.axes:
        along = normalized * mean(dx * normalized, cache.axes)
        dx = dx - along - mean(dx, cache.axes) if cache.centred else dx - along
    return (dx / cache.std).reshape(dy.shape).astype(cache.dtype), dweight, dbias


def floats(name, value, remedy, shape=None) -> np.ndarray:
    """Return value as an array of finite floats, empty or not, and of that shape."""
    out = _validate.array(name, value, remedy, empty=True)
    if shape is not None and out.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got shape {out.shape}: {remedy}")
    return out if out.dtype.kind == "f" else out.astype(np.float64)


def batch(x) -> np.ndarray:
    """Return x as floats with at least the axes (batch, channels)."""
    x = floats("x", x, "convert a tensor with .detach().numpy()")
    if x.ndim < 2:
        raise ValueError(
            f"x must have axes (batch, channels, ...), got shape {x.shape}: x[None] is a "
            "batch of one"
        )
    return x


def running(mean, var, channels):
    """Copies of the running statistics, or None for both."""
    if mean is None and var is None:
        return None, None
    remedy = "np.zeros and np.ones, one value a channel, to start with, or both None"
    mean = floats("running_mean", mean, remedy, (channels,))
    var = floats("running_var", var, remedy, (channels,))
    if np.any(var < 0):
        raise ValueError(
            f"running_var must be at least 0, got {_validate._short(var)}: it is a "
            "variance; is running_mean in its place?"
        )
    return mean.copy(), var.copy()


def mixed(old, new, share):
    """The running statistic after a batch, which has that share in it."""
    exact = (1 - share) * old.astype(np.float64) + share * new.reshape(-1)
    return exact.astype(old.dtype)

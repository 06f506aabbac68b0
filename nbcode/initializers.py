"""Initial weights, from scratch in NumPy, and the same for a whole torch module.

A dense weight has shape (fan_out, fan_in); a convolution's has
(out_channels, in_channels, kernel...). Each function of a shape draws one weight;
:func:`init_` sets all weights of a network by what it reads off the network itself, and
:func:`lsuv` by what it measures on a batch.
"""

import math
from typing import NamedTuple

import numpy as np

from nbcode import _follows, _validate, theory

KINDS = ("dense", "conv", "transposed", "embedding")
MODES = ("fan_in", "fan_out", "fan_avg")
SCHEMES = ("he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "orthogonal")


def fans(
    shape: tuple[int, ...],
    *,
    kind: str | None = None,
    groups: int = 1,
    stride: int | tuple[int, ...] = 1,
) -> tuple[float, float]:
    """(fan_in, fan_out) of a weight: the terms of a sum, and the sums that an input enters.

    Args:
        shape: (fan_out, fan_in) of a dense layer, (out_channels, in_channels / groups,
            kernel...) of a convolution, (in_channels, out_channels / groups, kernel...) of
            a transposed one, (rows, dim) of an embedding: as torch stores them.
        kind: "dense", "conv", "transposed" or "embedding"; None takes two axes for a dense
            weight and more for a convolution's.
        groups: parts of the channels that do not see each other.
        stride: pixels that a convolution moves by (one number, or one an axis of the
            kernel), or that a transposed one moves its output by.

    Returns:
        fan_in and fan_out. A stride divides the fan_out of a convolution and the fan_in of
        a transposed one, on average over pixels away from the border; ints where whole. An
        embedding's fan_in is 1: its sum has one term, the row that was picked.

    Raises:
        ValueError: for a shape that is not one of that kind, or groups and strides that do
            not fit it.

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
    _validate.choice("kind", kind, KINDS)
    if (len(dims) == 2) != (kind in ("dense", "embedding")):
        axes = "two axes" if kind in ("dense", "embedding") else "a kernel's axes too"
        raise ValueError(
            f"shape must have {axes} for kind {kind!r}, got {tuple(dims)}: two axes are "
            "dense, or an embedding; more are conv, or transposed"
        )
    groups = _validate.integer("groups", groups, "1 where every channel sees all others")
    if dims[0] % groups or (groups > 1 and len(dims) == 2):
        raise ValueError(
            f"groups must divide the channels of a convolution, got {groups} for shape "
            f"{tuple(dims)}: torch's layers know theirs, layer.groups"
        )
    strides = [stride] * (len(dims) - 2) if _validate.ndim(stride) == 0 else list(stride)
    if len(strides) != len(dims) - 2 or (len(dims) == 2 and np.any(stride != 1)):
        raise ValueError(
            f"stride must be one number, or one an axis of the kernel, got "
            f"{_validate._short(stride)} for shape {tuple(dims)}: torch's layers know "
            "theirs, layer.stride"
        )
    skip = math.prod(
        _validate.integer("stride", s, "it is a number of pixels, such as 2")
        for s in (strides or [1])
    )
    if kind == "embedding":
        return 1, dims[1]
    area = math.prod(dims[2:])
    # one group's channels of axis 0, and all of axis 1, which torch stores by the group
    first, second = dims[0] // groups * area, dims[1] * area
    if kind == "transposed":  # a convolution's way back: axis 0 comes in, the stride too
        return _whole(first, skip), second
    return second, _whole(first, skip)


def gain(activation: theory.Activation, negative_slope: float | None = None) -> float:
    """The gain 1/√E[φ(z)²] of the activation that follows a weight, z ~ N(0, 1).

    Args:
        activation: a name of :data:`nbcode.theory.ACTIVATIONS` or a vectorized callable.
        negative_slope: slope a of "leaky_relu" below zero, any finite number; None keeps
            its 0.01. For no other activation.

    Returns:
        The gain; √(2/(1+a²)) for leaky ReLU. Torch's ``calculate_gain`` has other numbers
        where it has any, 5/3 for tanh (here 1.59) and 3/4 for SELU (here 1).

    Raises:
        ValueError: for an unknown activation, one without a finite second moment or zero
            everywhere, or a slope with another activation.

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
    slope = _validate.number(
        "negative_slope", negative_slope, "it is the slope below zero, such as 0.2"
    )
    return math.sqrt(2.0) / math.hypot(1.0, slope)


def variance_scaling(
    shape: tuple[int, ...],
    gain: float = 1.0,
    mode: str = "fan_in",
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Normal weights of variance gain²/fan: the one family that the book's schemes share.

    Args:
        shape: as in :func:`fans`, dense or a convolution's.
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
        gain: what the activation needs, as :func:`gain` returns it; positive.
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


def he_uniform(
    shape: tuple[int, ...],
    mode: str = "fan_in",
    negative_slope: float = 0.0,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Uniform weights of variance 2/((1 + a²)·fan), for ReLU and leaky ReLU.

    Args:
        shape: as in :func:`fans`, dense or a convolution's.
        mode: "fan_in" keeps the forward signal, "fan_out" the gradient, "fan_avg" takes the
            mean of both.
        negative_slope: slope a below zero; 0 is ReLU.
        rng: NumPy random generator.

    Returns:
        Array of that shape, float64, uniform between ±√3 standard deviations.

    Raises:
        ValueError: for a shape without fans, an unknown mode, a slope that is no number.

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

    Args, errors, source: as :func:`he_uniform`.

    Returns:
        Array of that shape, float64.

    >>> w = he_normal((300, 200), rng=np.random.default_rng(0))
    >>> round(float(w.std() * 100**0.5), 2)
    1.0
    """
    return variance_scaling(shape, gain("leaky_relu", negative_slope), mode, rng=rng)


def truncated_normal(
    shape: tuple[int, ...], std: float, bound: float = 2.0, *, rng: np.random.Generator
) -> np.ndarray:
    """Normal weights without tails, of exactly that std *after* the tails are cut.

    Args:
        shape: of the result, any axes.
        std: standard deviation of the result; positive.
        bound: where the tails are cut, in standard deviations of the normal that is cut. A
            cut at 2 leaves 0.8796 of the std, so that normal is drawn 1/0.8796 as wide.
            Torch's ``trunc_normal_`` does not enlarge it, and takes its bounds in the units
            of the weight.
        rng: NumPy random generator.

    Returns:
        Array of that shape, float64.

    Raises:
        ValueError: for an axis below 1, an std that is not positive, a bound below 0.01.

    Source: Johnson, Kotz and Balakrishnan 1994, Continuous Univariate Distributions,
    section 10.1 of chapter 13: the variance is 1 − 2bN(b)/(1 − 2Φ(−b)).

    >>> w = truncated_normal((400, 100), std=0.02, rng=np.random.default_rng(0))
    >>> round(float(w.std()), 3), bool(abs(w).max() <= 2 * 0.02 / 0.8796)
    (0.02, True)
    """
    from scipy.special import ndtr, ndtri

    shape = _dims(shape, axes=1)
    std = _validate.number("std", std, "it is the std of a weight, such as 0.02", above=0)
    remedy = "2.0 is usual, and much below 1 the weights are as good as uniform"
    bound = _validate.number("bound", bound, remedy, at_least=0.01)
    tail = ndtr(-bound)
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    shrunk = math.sqrt(1 - 2 * bound * density / (1 - 2 * tail))
    # the inverse of the distribution function: one random number a weight, none rejected
    z = ndtri(_validate.generator("rng", rng).uniform(tail, 1 - tail, shape))
    return std / shrunk * np.clip(z, -bound, bound)  # the ends are rounded, or infinite


def orthogonal(
    shape: tuple[int, ...], gain: float = 1.0, *, rng: np.random.Generator
) -> np.ndarray:
    """A random matrix with orthonormal rows or columns, times the gain.

    Args:
        shape: as in :func:`fans`; a convolution is a matrix (out, in · area), as for torch.
        gain: factor on the matrix, as :func:`gain` returns it; positive.
        rng: NumPy random generator.

    Returns:
        Array of that shape, float64. A tall matrix has orthonormal columns and keeps
        every length, a wide one has orthonormal rows; an entry's mean square is
        gain²/max(rows, columns). Every such matrix is equally likely (Haar's measure).

    Raises:
        ValueError: for fewer than two axes or a gain that is not positive.

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
    # QR fixes columns up to their signs, and the routine that computes it has habits:
    # LAPACK's first entry is never positive. Signs that make r's diagonal positive have
    # none.
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T).reshape(shape)


class Table(list):
    """Rows, each a named tuple, that print as a table, in a notebook as a formatted one."""

    def __str__(self) -> str:
        if not self:
            return "(no parameters)"
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        if not self:
            return str(self)
        head, *rows = ("| " + " | ".join(row) + " |" for row in self._cells())
        return "\n".join([head, "|" + ":--|" * len(self[0]), *rows])

    def _cells(self):
        head = [field.replace("_", " ") for field in self[0]._fields]
        return [head, *([_cell(value) for value in row] for row in self)]


class _Set(NamedTuple):
    """A row of what :func:`init_` returns."""

    name: str
    layer: str
    shape: tuple[int, ...]
    fan_in: float | None = None
    fan_out: float | None = None
    followed_by: str | None = None
    set_to: str = "left alone"


class _Scaled(NamedTuple):
    """A row of what :func:`lsuv` returns."""

    name: str
    layer: str
    std_before: float | None = None
    std_after: float | None = None
    iterations: int = 0
    note: str | None = None


def init_(module, scheme: str = "he_normal", *, rng: np.random.Generator) -> Table:
    """Set every weight of a torch module in place, by its own fans and what follows it.

    The gain of a weight is that of the activation that comes *next*, through norms,
    dropout, pooling, reshaping and sums with a skip connection; it is 1 where another
    layer, a softmax or the end comes next. What comes next is read off the record that
    torch.fx makes of ``forward``, without computing anything. Where an output is used
    twice, the use executed first decides and the table names the other. A ``forward`` that
    cannot be recorded, because it asks a tensor for its value, leaves the order in which
    layers were registered: an activation that was registered next to a layer is taken and
    said to be found so; anything else is treated as linear, and the table says "not seen",
    because such a forward may well call an activation by itself. Look for these words.

    Equation (2.4) of the book gives a weight the gain of the activation *before* it. In a
    network of one activation that moves one factor from the last weight to the first:
    signals then start with E[z²] = gain² instead of 1, and stay so behind ReLU. Where a
    fixed point at 1 repels (GELU, SiLU), divide the first weight by its gain.

    Args:
        module: a torch.nn.Module, on any device and of any floating dtype.
        scheme: "he_normal" or "he_uniform" (std gain/√fan_in), "xavier_normal" or
            "xavier_uniform" (gain·√(2/(fan_in + fan_out))), "orthogonal" (a matrix with
            orthonormal rows or columns times the gain; one a group of a convolution).
        rng: NumPy random generator; torch's own is neither used nor moved.

    Returns:
        A :class:`Table` with a row for each parameter: what it was set to, or that it was
        left alone and why. Biases become 0, norms' scales 1. Embeddings become normal with
        variance 1, for a row is a sum of one term, and a padding row 0. Attention's q, k
        and v are set as a layer each, where torch takes the three for one with three times
        the outputs. A weight that two layers share is set once, by the rule of its first
        Linear or convolution. Frozen parameters, recurrent layers and parameters of
        modules that are not torch's are left alone.

    Raises:
        ValueError: before anything is changed, for a module whose parameters have no values
            or are computed from others: lazy, quantized, on the meta device, with a weight
            norm or another parametrization; for an unknown scheme.

    Source: He et al. 2015, Glorot and Bengio 2010, Saxe et al. 2014; chapter 2 of the book
    for gains and fans, which torch's ``kaiming_normal_`` and its kin read off the shape.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU())
    >>> print(init_(net, rng=np.random.default_rng(0)))
    name      layer   shape      fan in  fan out  followed by  set to
    0.weight  Linear  (128, 64)  64      128      ReLU         normal, std 0.177
    0.bias    Linear  (128,)                                   0
    """
    import torch

    _refuse(module)
    _validate.choice("scheme", scheme, SCHEMES)
    _validate.generator("rng", rng)
    plan = _plan(module, scheme)
    with torch.no_grad():
        for parameter, row, draw in plan:
            if draw is not None:
                parameter.copy_(torch.from_numpy(draw(rng)))
    return Table(row for parameter, row, draw in plan)


def _plan(module, scheme):
    """[(parameter, row, a function of rng that draws its value, or None)]."""
    followers = _follows.followers(module)
    owners = {}  # a tied weight is one parameter, or two of one memory
    for prefix, m in module.named_modules():
        for attribute, p in m._parameters.items():
            if p is not None:
                key = (p.device, p.data_ptr(), p.shape) if p.numel() else id(p)
                name = f"{prefix}.{attribute}".lstrip(".")
                owners.setdefault(key, []).append((name, m, attribute, p))
    plan = []
    for tied in owners.values():
        layers = [owner for owner in tied if _follows.is_layer(owner[1])]
        _, m, attribute, p = (layers or tied)[0]
        name = " = ".join(dict.fromkeys(owner[0] for owner in tied))
        row = _Set(name, type(m).__name__, tuple(p.shape))
        if not p.numel():
            row, draw = row._replace(set_to="left alone: it is empty"), None
        elif not all(owner[3].requires_grad for owner in tied):
            row, draw = row._replace(set_to="left alone: frozen"), None
        else:
            row, draw = _rule(row, m, attribute, scheme, followers)
        padding = {getattr(owner[1], "padding_idx", None) for owner in tied} - {None}
        if draw is not None and padding:
            row = row._replace(set_to=f"{row.set_to}; row {min(padding)} is 0")
            draw = _with_zero_rows(draw, padding)
        plan.append((p, row, draw))
    return plan


def _rule(row, m, attribute, scheme, followers):
    """The row of a parameter of the module m, completed, and a function that draws it."""
    import torch

    nn, shape = torch.nn, row.shape
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    if isinstance(m, norms) and attribute == "weight":
        return row._replace(set_to="1"), lambda rng: np.ones(shape)
    known = _follows.is_layer(m) or isinstance(m, norms)
    attention = isinstance(m, nn.MultiheadAttention)
    if (known and attribute == "bias") or (attention and attribute == "in_proj_bias"):
        return row._replace(set_to="0"), lambda rng: np.zeros(shape)
    if isinstance(m, nn.Embedding) and attribute == "weight":
        row = row._replace(set_to="normal, std 1")._replace(
            **dict(zip(("fan_in", "fan_out"), fans(shape, kind="embedding"), strict=True))
        )
        return row, lambda rng: rng.normal(size=shape)
    if attention and attribute.endswith("proj_weight"):
        # torch draws the three blocks of in_proj_weight as one (xavier_uniform_ in
        # MultiheadAttention._reset_parameters); they are three layers side by side
        blocks = 3 if attribute == "in_proj_weight" else 1
        block = (shape[0] // blocks, *shape[1:])
        fan, follower = fans(block), _follows.Follower(1.0, "linear (attention)")
    elif _follows.is_layer(m) and attribute == "weight":
        fan, blocks = fans(shape), 1
        if not isinstance(m, nn.Linear):
            kind = "transposed" if m.transposed else "conv"
            fan = fans(shape, kind=kind, groups=m.groups, stride=m.stride)
            blocks = m.groups
        block = (shape[0] // blocks, *shape[1:])
        not_called = _follows.Follower(1.0, "linear (not seen: forward does not call it)")
        follower = followers.get(m, not_called)
    else:
        why = f"no rule for {attribute} of {row.layer}"
        return row._replace(set_to=f"left alone: {why}"), None
    set_to, draw = _scheme(scheme, follower.gain, fan, block)
    row = row._replace(
        fan_in=fan[0], fan_out=fan[1], followed_by=follower.text, set_to=set_to
    )
    return row, lambda rng: np.concatenate([draw(rng) for _ in range(blocks)])


def _scheme(scheme, gain, fan, shape):
    """In words, and as a function of rng, what a scheme draws for a weight's block."""
    if scheme == "orthogonal":
        std = gain / math.sqrt(max(shape[0], math.prod(shape[1:])))
        words = f"orthogonal, gain {gain:.3g}, std {std:.3g}"
        return words, lambda rng: orthogonal(shape, gain, rng=rng)
    rule, law = scheme.split("_")
    std = gain / math.sqrt(fan[0] if rule == "he" else sum(fan) / 2)
    if law == "uniform":
        return f"uniform, std {std:.3g}", lambda rng: _uniform(std, shape, rng)
    return f"normal, std {std:.3g}", lambda rng: rng.normal(0.0, std, shape)


def _with_zero_rows(draw, rows):
    def drawn(rng):
        weight = draw(rng)
        weight[list(rows)] = 0.0
        return weight

    return drawn


def lsuv(module, batch, *, tolerance: float = 0.1, max_iterations: int = 10) -> Table:
    """Divide each weight by the std of its layer's output, layer by layer, on one batch.

    The batch is sent through once, in evaluation mode. As it comes to a Linear or a
    convolution, the weight is rescaled in place until the std of all entries of the output
    is 1, and the rescaled output is what goes on. One division is enough where there is no
    bias. Start from weights that have directions, such as :func:`init_`'s orthogonal ones.

    Args:
        module: a torch.nn.Module.
        batch: a tensor, the argument of the module.
        tolerance: largest difference of the std from 1.
        max_iterations: divisions to try at one layer.

    Returns:
        A :class:`Table` with a row for each layer in order of execution: the std of its
        output before and after, and the divisions. A layer that is called twice is set at
        its first call. Frozen weights, and layers that were not called (torch's attention
        uses its out_proj without a call), are left alone and said to be.

    Raises:
        ValueError: for a module without layers or one that :func:`init_` refuses, a batch
            that the module does not take, an output that is constant or not finite, or a
            bias that keeps the std away from 1. The weights are then as they were.

    Changed are weights only: biases, buffers, gradients, hooks, the mode of each module and
    torch's random state are as before. Hooks of your own run, because the module runs.

    Source: Mishkin and Matas 2016, algorithm 1, without its orthogonal start.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False))
    >>> x = torch.eye(8)
    >>> lsuv(net, x)[0].iterations, round(net(x).std(correction=0).item(), 4)
    (1, 1.0)
    """
    import torch

    _refuse(module)
    _tensor("batch", batch)
    tolerance = _validate.number(
        "tolerance", tolerance, "it is a difference from 1, such as 0.1", above=0
    )
    _validate.integer("max_iterations", max_iterations, "10 are plenty")
    layers = {m: name for name, m in module.named_modules() if _follows.is_layer(m)}
    if not layers:
        raise ValueError(
            f"module must have a Linear or a convolution, got {type(module).__name__} "
            "without: pass the model that holds them"
        )
    rows, before = {}, {}  # layer: its row; weight's memory: (weight, its values before)

    def rescale(m, inputs, options, output):
        """A forward hook: what it returns is the output from here on."""
        name = layers[m] or "the module"
        std = first = _std_of(output, m, name)
        if m in rows:
            return None
        note, times = None, 0
        if not m.weight.requires_grad:
            note = "left alone: frozen"
        elif m.weight.data_ptr() in before:
            note = "left alone: shares a weight that is set"
        else:
            before[m.weight.data_ptr()] = m.weight, m.weight.clone()
            while abs(std - 1) > tolerance and times < max_iterations:
                m.weight.div_(std)
                output = m.forward(*inputs, **options)
                std, times = _std_of(output, m, name), times + 1
            if abs(std - 1) > tolerance:
                raise ValueError(
                    f"module must let {type(m).__name__} at {name!r} reach std 1, got "
                    f"{std:.3g} after {times} divisions: set its bias to 0 first, as init_ "
                    "does"
                )
        rows[m] = _Scaled(layers[m], type(m).__name__, first, std, times, note)
        return output

    mode = [(m, m.training) for m in module.modules()]
    hooks = []
    fast = torch.backends.mha.get_fastpath_enabled()
    devices = {p.device.index for p in module.parameters() if p.is_cuda}
    try:
        torch.backends.mha.set_fastpath_enabled(
            False
        )  # it would pass by torch's own layers
        for m, _ in mode:
            m.training = False
        hooks += [m.register_forward_hook(rescale, with_kwargs=True) for m in layers]
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            _run(module, batch)
    except BaseException:
        with torch.no_grad():
            for weight, values in before.values():
                weight.copy_(values)
        raise
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for hook in hooks:
            hook.remove()
        for m, training in mode:
            m.training = training
    return Table(
        [
            *rows.values(),
            *(
                _Scaled(name, type(m).__name__, note="left alone: not called")
                for m, name in layers.items()
                if m not in rows
            ),
        ]
    )


def _run(module, batch):
    """module(batch), with torch's complaints about the batch turned into one line."""
    try:
        module(batch)
    except ValueError:
        raise
    except Exception as error:  # whatever forward raises when it is given a wrong shape
        said = _validate._short(str(error))
        raise ValueError(
            f"batch must be what the module takes, got shape {tuple(batch.shape)}, which "
            f"raises {type(error).__name__} {said}: pass what you train on"
        ) from error


def _std_of(output, m, name):
    std = output.double().std(correction=0).item()
    if not (math.isfinite(std) and std > 0):
        what = "a constant" if std == 0 else "an output that is not finite"
        raise ValueError(
            f"module must vary at {type(m).__name__} {name!r}, got {what}: give the layers "
            "random weights, by init_ say, and a batch of several finite samples"
        )
    return std


def _tensor(name, value):
    import torch

    if not isinstance(value, torch.Tensor) or not value.numel():
        raise ValueError(
            f"{name} must be a tensor with entries, got {_validate._short(value)}: "
            "torch.as_tensor makes one of an array"
        )


def _refuse(module):
    """Raise ValueError unless every parameter of module has values that may be changed."""
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ValueError(
            f"module must be a torch.nn.Module, got {_validate._short(module)}: pass the "
            "model itself"
        )
    for name, m in module.named_modules():
        parameters = [p for p in m._parameters.values() if p is not None]
        computed = torch.nn.utils.parametrize.is_parametrized(m) or (
            _follows.is_layer(m) and "weight" not in m._parameters
        )
        if any(map(torch.nn.parameter.is_lazy, parameters)):
            what, remedy = "know its shapes", "send a batch through it first"
        elif "quantized" in type(m).__module__ or (
            _follows.is_layer(m) and not all(p.is_floating_point() for p in parameters)
        ):
            what, remedy = "have weights of a floating dtype", "initialize, then quantize"
        elif computed:
            what = "own its weights"
            remedy = (
                "its parametrization computes them: remove it, initialize, add it again"
            )
        elif any(p.is_meta for p in parameters):
            what, remedy = "have values", "call module.to_empty(device='cpu') first"
        elif any(p.is_inference() for p in parameters):
            what, remedy = "have weights that may change", "build it outside inference_mode"
        else:
            continue
        where = f"{type(m).__name__} at {name!r}" if name else type(m).__name__
        raise ValueError(f"module must {what}, got {where}: {remedy}")


def _cell(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _dims(shape, axes=2):
    """The axes of a shape as a list of ints, at least that many of them."""
    if _validate.ndim(shape) != 1 or len(shape) < axes:
        if axes == 1:
            raise ValueError(
                f"shape must list the axes of a weight, got {_validate._short(shape)}: "
                "(64, 32), say"
            )
        raise ValueError(
            "shape must have at least two axes, (fan_out, fan_in), got "
            f"{_validate._short(shape)}: a bias or a norm's scale has no fans; "
            "set it by hand"
        )
    remedy = "every axis of a weight has entries"
    return [_validate.integer("shape", n, remedy) for n in shape]


def _whole(a, b):
    """a/b, as an int where it is one."""
    return a // b if a % b == 0 else a / b


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

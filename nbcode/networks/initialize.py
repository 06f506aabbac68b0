"""Initial weights of a whole torch module, read off the module itself or measured."""

import math
from typing import NamedTuple

import numpy as np
import torch

from nbcode import _validate
from nbcode.initializers import _uniform, fans, orthogonal
from nbcode.networks import follows
from nbcode.networks.gate import refuse
from nbcode.networks.table import Table

SCHEMES = ("he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "orthogonal")


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
    refuse(module)
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
    followers = follows.followers(module)
    owners = {}  # a tied weight is one parameter, or two of one memory
    for prefix, m in module.named_modules():
        for attribute, p in m._parameters.items():
            if p is not None:
                key = (p.device, p.data_ptr(), p.shape) if p.numel() else id(p)
                name = f"{prefix}.{attribute}".lstrip(".")
                owners.setdefault(key, []).append((name, m, attribute, p))
    plan = []
    for tied in owners.values():
        layers = [owner for owner in tied if follows.is_layer(owner[1])]
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
    nn, shape = torch.nn, row.shape
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    if isinstance(m, norms) and attribute == "weight":
        return row._replace(set_to="1"), lambda rng: np.ones(shape)
    known = follows.is_layer(m) or isinstance(m, norms)
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
        fan, follower = fans(block), follows.Follower(1.0, "linear (attention)")
    elif follows.is_layer(m) and attribute == "weight":
        fan, blocks = fans(shape), 1
        if not isinstance(m, nn.Linear):
            kind = "transposed" if m.transposed else "conv"
            fan = fans(shape, kind=kind, groups=m.groups, stride=m.stride)
            blocks = m.groups
        block = (shape[0] // blocks, *shape[1:])
        not_called = follows.Follower(1.0, "linear (not seen: forward does not call it)")
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
    refuse(module)
    _tensor("batch", batch)
    tolerance = _validate.number(
        "tolerance", tolerance, "it is a difference from 1, such as 0.1", above=0
    )
    _validate.integer("max_iterations", max_iterations, "10 are plenty")
    layers = {m: name for name, m in module.named_modules() if follows.is_layer(m)}
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
    if not isinstance(value, torch.Tensor) or not value.numel():
        raise ValueError(
            f"{name} must be a tensor with entries, got {_validate._short(value)}: "
            "torch.as_tensor makes one of an array"
        )

"""Initial weights of a whole torch module, read off the module itself."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from nbcode import _validate
from nbcode.initializers import fans, orthogonal
from nbcode.networks.follows import NORMS, Follower, followers, unseen
from nbcode.networks.gate import is_layer, refuse
from nbcode.networks.residual import branch_ends
from nbcode.networks.table import Table

SCHEMES = ("he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "orthogonal")


class _Set(NamedTuple):
    """A row of what :func:`init_` returns."""

    name: str
    layer: str
    shape: tuple[int, ...]
    fan_in: float | None
    fan_out: float | None
    followed_by: str | None
    set_to: str


class _Parameter(NamedTuple):
    """A parameter, or several of one memory, and the module by whose rule it is set."""

    name: str
    value: nn.Parameter
    module: nn.Module
    attribute: str
    frozen: bool
    padding: list[int]  # rows of an embedding


class _Rule(NamedTuple):
    """What a parameter becomes, in words and as draws of a law, one a block of its rows."""

    set_to: str
    law: str = ""  # "constant", "normal", "uniform", "orthogonal"; "" leaves it alone
    scale: float = 0.0  # the constant, the std, the gain
    blocks: int = 1
    fan: tuple[float | None, float | None] = (None, None)  # in and out
    followed_by: str | None = None


def init_(module, scheme: str = "he_normal", *, rng: np.random.Generator) -> Table:
    """Set every weight of a torch module in place, by its own fans and what follows it.

    The gain of a weight is that of the activation that comes *next*, through norms,
    dropout, pooling, reshaping and sums with a skip connection; it is 1 where another
    layer, a softmax or the end comes next. What comes next is read off the record that
    torch.fx makes of ``forward``, without computing anything. Where an output is used
    twice, the use executed first decides and the table names the other. A ``forward`` that
    asks a tensor for its value leaves no record: an activation that was registered next to
    a layer is then taken, and said to be found so. Look for the words "not seen": they
    stand where nothing was, and where a step is neither torch's own nor, by what it does to
    numbers, an activation or a norm. Such a weight is treated as linear.

    A weight that ends a residual branch, x + f(x), is divided by √(number of such sums
    that forward makes), because each sum adds its branch to a signal that nothing shrinks:
    with branches of full size 16 blocks multiply its mean square by 2^16, with this factor
    by (1 + 1/16)^16, about e. Where a norm after the branch or after the sum decides its
    size, the weight is set like any other.

    Equation (2.4) of the book gives a weight the gain of the activation *before* it. In a
    network of one activation that moves one factor from the last weight to the first:
    signals then start with E[z²] = gain² instead of 1, and stay so behind ReLU. Where a
    fixed point at 1 repels (GELU, SiLU), divide the first weight by its gain.

    Args:
        module: a torch.nn.Module, on any device and of any floating dtype. Parameters that
            have no values or are computed from others (lazy, quantized, on the meta
            device, with a weight norm) raise a ValueError before anything is changed.
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

    Source: He et al. 2015, Glorot and Bengio 2010, Saxe et al. 2014; chapter 2 of the book
    for gains and fans, which torch's ``kaiming_normal_`` and its kin read off the shape.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU())
    >>> print(init_(net, rng=np.random.default_rng(0)))
    name      layer   shape      fan in  fan out  followed by  set to
    0.weight  Linear  (128, 64)  64      128      ReLU         normal, std 0.177
    0.bias    Linear  (128,)                                   0
    """
    refuse(module, to_change=True)
    _validate.choice("scheme", scheme, SCHEMES)
    _validate.generator("rng", rng)
    found, graphs = followers(module)
    sums = [ends for pair in graphs for ends in branch_ends(*pair)]
    for layer in {layer for ends in sums for layer in ends}:
        found[layer] = found[layer]._replace(branches=len(sums))
    # all rules first: a weight that has no fans is refused before anything is changed
    plan = [(p, _rule(p, scheme, found)) for p in _parameters(module)]
    table = Table()
    for p, rule in plan:
        said, kind, shape = rule.set_to, type(p.module).__name__, tuple(p.value.shape)
        if rule.law:
            values = _draw(rule, shape, rng)
            if p.padding:
                values[p.padding] = 0.0
                said += f"; row {', '.join(map(str, p.padding))} is 0"
            with torch.no_grad():
                p.value.copy_(torch.from_numpy(values))
        fan_in, fan_out = rule.fan
        table.append(_Set(p.name, kind, shape, fan_in, fan_out, rule.followed_by, said))
    return table


def _parameters(module):
    """The parameters of module, each once, in order of registration."""
    owners: dict[Any, list] = {}  # a tied weight is one parameter, or two of one memory
    for path, m in module.named_modules():
        for name, p in m.named_parameters(path, recurse=False, remove_duplicate=False):
            key = (p.device, p.data_ptr(), p.shape) if p.numel() else id(p)
            owners.setdefault(key, []).append((name, p, m))
    for tied in owners.values():
        padding: set = {getattr(owner[2], "padding_idx", None) for owner in tied}
        name, p, m = next((owner for owner in tied if is_layer(owner[2])), tied[0])
        yield _Parameter(
            name=" = ".join(dict.fromkeys(owner[0] for owner in tied)),
            value=p,
            module=m,
            attribute=name.rpartition(".")[2],
            frozen=not all(owner[1].requires_grad for owner in tied),
            padding=sorted(padding - {None}),
        )


def _rule(p, scheme, found):
    """What becomes of a parameter: the rules of :func:`init_`."""
    m, attribute, shape = p.module, p.attribute, p.value.shape
    attention = isinstance(m, nn.MultiheadAttention)
    if not p.value.numel():
        return _Rule("left alone: it is empty")
    if p.frozen:
        return _Rule("left alone: frozen")
    if isinstance(m, NORMS) and attribute == "weight":
        return _Rule("1", "constant", 1.0)
    known = is_layer(m) or attention or isinstance(m, NORMS)
    if known and attribute in ("bias", "in_proj_bias"):
        return _Rule("0", "constant", 0.0)
    if isinstance(m, nn.Embedding) and attribute == "weight":
        return _Rule("normal, std 1", "normal", 1.0, 1, (1, shape[1]))
    if attention and attribute.endswith("proj_weight"):
        # torch draws the three blocks of in_proj_weight as one (xavier_uniform_ in
        # MultiheadAttention._reset_parameters); they are three layers side by side
        blocks = 3 if attribute == "in_proj_weight" else 1
        fan = fans((shape[0] // blocks, *shape[1:]))
        return _scaled(scheme, shape, fan, Follower(1.0, "linear (attention)"), blocks)
    if is_layer(m) and attribute == "weight":
        follower = found.get(m) or unseen("forward does not call it")
        if isinstance(m, nn.Linear):
            return _scaled(scheme, shape, fans(shape), follower)
        kind = "transposed" if m.transposed else "conv"
        fan = fans(shape, kind=kind, groups=m.groups, stride=m.stride)
        return _scaled(scheme, shape, fan, follower, m.groups)
    return _Rule(f"left alone: no rule for {attribute} of {type(m).__name__}")


def _scaled(scheme, shape, fan, follower, blocks=1):
    """A weight by a scheme, from its fans or, if orthogonal, a block's longer side."""
    branches = follower.branches
    gain = follower.gain / math.sqrt(branches)
    if scheme == "orthogonal":
        law, scale = scheme, gain
        std = scale / math.sqrt(max(shape[0] // blocks, math.prod(shape[1:])))
        words = f"orthogonal, gain {scale:.3g}, std {std:.3g}"
    else:
        kin, law = scheme.split("_")
        scale = gain / math.sqrt(fan[0] if kin == "he" else sum(fan) / 2)
        words = f"{law}, std {scale:.3g}"
    if branches > 1:
        words += f", with 1/√{branches} for {branches} residual branches"
    return _Rule(words, law, scale, blocks, fan, follower.text)


def _draw(rule, shape, rng):
    """The values of a parameter, block by block."""
    if rule.law == "constant":
        return np.full(shape, rule.scale)
    block = (shape[0] // rule.blocks, *shape[1:])
    limit = math.sqrt(3.0) * rule.scale  # of a uniform variable of that std
    draw = {
        "normal": lambda: rng.normal(0.0, rule.scale, block),
        "uniform": lambda: rng.uniform(-limit, limit, block),
        "orthogonal": lambda: orthogonal(block, rule.scale, rng=rng),
    }[rule.law]
    return np.concatenate([draw() for _ in range(rule.blocks)])

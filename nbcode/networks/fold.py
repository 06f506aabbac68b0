"""Batch norms folded into the layers before them."""

import copy
from collections import Counter
from itertools import pairwise

import torch
from torch import nn

from nbcode.networks.gate import part, refuse

_BEFORE: dict[type, tuple[type, ...]] = {
    nn.BatchNorm1d: (nn.Linear, nn.Conv1d, nn.ConvTranspose1d),
    nn.BatchNorm2d: (nn.Conv2d, nn.ConvTranspose2d),
    nn.BatchNorm3d: (nn.Conv3d, nn.ConvTranspose3d),
}


def fold_batch_norm(module):
    """A copy of a torch module whose batch norms are folded into the layers before them.

    With running statistics a batch norm only scales and shifts each channel.

    Args:
        module: a torch.nn.Sequential, nested or not, in eval mode. A batch norm has running
            statistics and stands directly behind a Linear on (batch, features), a Conv1d
            to Conv3d, or a ConvTranspose1d to ConvTranspose3d; neither is used twice or has
            hooks. All other layers are left as they are. A ValueError names the misfit.

    Returns:
        The copy, in eval mode, with an Identity in the place of each batch norm, so that
        layers keep their names. The original is not changed.

    Source: Jacob et al. 2018, section 3.2.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).eval()
    >>> folded, x = fold_batch_norm(net), torch.ones(1, 2)
    >>> folded, torch.allclose(folded(x), net(x))
    (Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Identity()
    ), True)
    """
    refuse(module)
    for name, m in module.named_modules():
        if m.training:
            _stop("be in eval mode", name, m, "in training mode", "call module.eval()")
    folded = copy.deepcopy(module)
    steps = [*_steps(folded)]
    uses = Counter(m for _, step in steps for m in step.modules())
    norms = {m for m in folded.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    neighbours = pairwise([("", None), *steps])
    pairs = [(before, step) for before, step in neighbours if norms & {*step[1].modules()}]
    for before, step in pairs:  # all of them, before the first is folded
        _check(before, step, uses)
    for (_, layer), (name, norm) in pairs:
        _fold(layer, norm)
        parent, _, place = name.rpartition(".")
        setattr(folded.get_submodule(parent), place, nn.Identity().eval())
    return folded


def _steps(m, name=""):
    """(name, module) in the order of calls; a forward or hook of its own makes one step."""
    plain = isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward
    if plain and not _hooked(m):
        for key, child in m._modules.items():
            yield from _steps(child, f"{name}.{key}" if name else key)
    else:
        yield name, m


def _hooked(m):
    return bool(m._forward_hooks or m._forward_pre_hooks)


def _check(before, step, uses):
    """Raise ValueError unless step is a batch norm that can go into the layer before it."""
    (name, norm), layer = step, before[1]
    if [*norm.children()]:
        found, remedy = "around a batch norm", "fold its parts by hand"
        _stop("be made of plain Sequentials", name, norm, found, remedy)
    # by type, not isinstance: a subclass or a parametrization may compute its weight
    if type(layer) not in _BEFORE.get(type(norm), ()):
        found = "first" if layer is None else f"behind {type(layer).__name__}"
        must = "have a BatchNorm1d to 3d directly behind a plain layer of its kind"
        _stop(must, name, norm, found, "keep that norm unfolded")
    if norm.running_mean is None:
        found, remedy = "without running statistics", "track_running_stats=True"
        _stop("normalize by constants", name, norm, found, remedy)
    for name, m in (before, step):
        if uses[m] > 1:
            _stop("use a layer once to fold it", name, m, "twice", "copy it")
        if _hooked(m):
            _stop("have no hooks to fold", name, m, "with one", "remove it first")


def _stop(must, name, m, found, remedy):
    raise ValueError(f"module must {must}, got {part(name, m)} {found}: {remedy}")


@torch.no_grad()
def _fold(layer, norm):
    """Let layer do what it and norm did: W ← sW, b ← s(b − μ) + β, s = γ/√(σ² + eps)."""
    bias, gamma, beta = (
        default if p is None else p.double()
        for p, default in ((layer.bias, 0.0), (norm.weight, 1.0), (norm.bias, 0.0))
    )
    scale = (norm.running_var.double() + norm.eps).rsqrt() * gamma
    shift = (bias - norm.running_mean.double()) * scale + beta
    weight, by = layer.weight.double(), scale[:, None]
    if getattr(layer, "transposed", False):
        # (in, out / groups, kernel...): the inputs of a group are neighbours on axis 0
        by = scale.unflatten(0, (layer.groups, -1))
        by = by.repeat_interleave(layer.in_channels // layer.groups, 0)
    weight = weight * by.reshape(*by.shape, *[1] * (weight.ndim - 2))
    # new parameters: another layer that shares the old ones keeps them as they were
    like, grad = layer.weight.dtype, layer.weight.requires_grad
    layer.weight = nn.Parameter(weight.to(like), grad)
    layer.bias = nn.Parameter(shift.to(like), grad)

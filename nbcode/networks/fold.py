"""Batch norms folded into the layers before them."""

import copy

import torch
from torch import nn

from nbcode import _validate


def fold_batch_norm(module):
    """A copy of a torch module whose batch norms are folded into the layers before them.

    With running statistics a batch norm is γ·(z − μ)/√(σ² + eps) + β, a scale and a shift a
    channel, which the layer that computes z can do itself.

    Args:
        module: a torch.nn.Sequential, nested or not, in eval mode. A batch norm stands
            directly behind a Linear on (batch, features), a Conv1d to Conv3d, or a
            ConvTranspose1d to ConvTranspose3d; all other layers are left as they are.

    Returns:
        The copy, in eval mode, with an Identity in the place of each batch norm, so that
        layers keep their names. The original is not changed.

    Raises:
        ValueError: naming the layer, for a part in training mode, a batch norm without
            running statistics, without a plain layer of its channels directly before it or
            inside an unknown container, a layer to fold that is used twice or has hooks.

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
    if not isinstance(module, torch.nn.Module):
        raise ValueError(
            f"module must be a torch.nn.Module, got {_validate._short(module)}: pass the "
            "model itself"
        )
    for name, m in module.named_modules():
        if m.training:
            _refuse("be in eval mode", m, name, "in training mode", "call module.eval()")
    folded = copy.deepcopy(module)
    steps = list(_steps(folded, ""))
    norm_type = torch.nn.modules.batchnorm._BatchNorm
    uses = {}  # of each layer, also inside what is left alone
    for _, _, m in steps:
        for part in m.modules():
            uses[part] = uses.get(part, 0) + 1
    # all pairs first, so that what follows cannot meet a layer that is already folded
    pairs = []
    for i, (name, _, norm) in enumerate(steps):
        inside = [part for part in norm.modules() if isinstance(part, norm_type)]
        if not inside:
            continue
        if inside[0] is not norm:
            what, found = (
                "be made of plain Sequentials",
                f"around a {type(inside[0]).__name__}",
            )
            _refuse(what, norm, name, found, "fold its parts by hand")
        before, _, layer = steps[i - 1] if i else ("", None, None)
        _refuse_pair(norm, name, layer)
        for m, where in ((layer, before), (norm, name)):
            if uses[m] > 1:
                _refuse("use a layer once to fold it", m, where, "twice", "copy it")
            if m._forward_hooks or m._forward_pre_hooks:
                _refuse("have no hooks to fold", m, where, "with one", "remove it first")
        pairs.append((steps[i], layer))
    for (_, (parent, key), norm), layer in pairs:
        _fold(layer, norm)
        parent._modules[key] = torch.nn.Identity().eval()
    return folded


def _refuse(what, m, name, found, remedy):
    where = f"{type(m).__name__} at {name!r}" if name else type(m).__name__
    raise ValueError(f"module must {what}, got {where} {found}: {remedy}")


def _refuse_pair(norm, name, layer):
    """Raise ValueError unless norm is a plain one that scales layer's outputs."""
    taken = {
        nn.BatchNorm1d: (nn.Linear, nn.Conv1d, nn.ConvTranspose1d),
        nn.BatchNorm2d: (nn.Conv2d, nn.ConvTranspose2d),
        nn.BatchNorm3d: (nn.Conv3d, nn.ConvTranspose3d),
    }
    if type(norm) not in taken:
        _refuse("have plain batch norms", norm, name, "of another kind", "fold it by hand")
    if norm.running_mean is None:
        found = "without running statistics"
        _refuse("normalize by constants", norm, name, found, "track_running_stats=True")
    # by type, not isinstance: a subclass or a parametrization may compute its weight
    if type(layer) not in taken[type(norm)]:
        found = "first" if layer is None else f"behind {type(layer).__name__}"
        _refuse(
            "have a linear layer before a norm",
            norm,
            name,
            found,
            "keep that norm unfolded",
        )
    outputs = layer.out_features if type(layer) is nn.Linear else layer.out_channels
    if outputs != norm.num_features:
        found = f"of {norm.num_features} channels behind {outputs}"
        _refuse("normalize what a layer puts out", norm, name, found, "let them agree")


def _steps(m, name, place=(None, None)):
    """(name, (parent, key), layer) in the order in which Sequentials call their layers."""
    # a subclass with a forward of its own may call its layers in any order, and a hook may
    # change what passes between them
    plain = isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward
    if plain and not (m._forward_hooks or m._forward_pre_hooks):
        for key, child in m._modules.items():
            yield from _steps(child, f"{name}.{key}" if name else key, (m, key))
    else:
        yield name, place, m


def _fold(layer, norm):
    """Let layer do what it and norm did: W ← sW, b ← s(b − μ) + β, s = γ/√(σ² + eps)."""
    weight, bias = layer.weight.detach().double(), layer.bias
    scale = (norm.running_var.detach().double() + norm.eps).rsqrt()
    shift = -norm.running_mean.detach().double()
    if bias is not None:
        shift = shift + bias.detach().double()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    if "Transpose" in type(layer).__name__:
        # (in, out / groups, kernel...): the channels of a group are on axis 1, and the
        # inputs of a group are neighbours on axis 0
        groups, kernel = layer.groups, weight.shape[2:]
        parts = weight.reshape(groups, -1, weight.shape[1], *kernel)
        scaled = parts * scale.reshape(groups, 1, -1, *(1,) * len(kernel))
    else:
        scaled = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    # new parameters: another layer that shares the old ones keeps them as they were
    like, grad = layer.weight.dtype, layer.weight.requires_grad
    layer.weight = torch.nn.Parameter(scaled.reshape(weight.shape).to(like), grad)
    layer.bias = torch.nn.Parameter(shift.to(like), grad)

"""Weights of a whole torch module, rescaled by what a batch makes of them."""

import contextlib
import functools
import math
from typing import NamedTuple

import torch
from torch import nn

from nbcode import _validate
from nbcode.networks.gate import is_layer, part, refuse
from nbcode.networks.table import Table
from nbcode.networks.untouched import untouched


class _Scaled(NamedTuple):
    """A row of what :func:`lsuv` returns."""

    name: str
    layer: str
    std_before: float | None = None
    std_after: float | None = None
    iterations: int = 0
    note: str | None = None


def lsuv(module, batch, *, tolerance: float = 0.1, max_iterations: int = 10) -> Table:
    """Divide each weight by the std of its layer's output, layer by layer, on one batch.

    The batch is sent through once, in evaluation mode. As it comes to a Linear or a
    convolution, the weight is rescaled in place until the std of all entries of the output
    is 1, and the rescaled output is what goes on. One division is enough where there is no
    bias. Start from weights that have directions, such as :func:`init_`'s orthogonal ones.

    Args:
        module: a torch.nn.Module with a layer, and none that :func:`init_` refuses.
        batch: a tensor, the argument of the module.
        tolerance: largest difference of the std from 1.
        max_iterations: divisions to try at one layer.

    Returns:
        A :class:`Table` with a row for each layer in order of execution: the std of its
        output before and after, and the divisions. A layer that is called twice is set at
        its first call. Frozen weights, and layers that were not called (torch's attention
        uses its out_proj without a call), are left alone and said to be.

    An output that is constant or not finite, and a bias that keeps the std away from 1,
    raise a ValueError. Then, and where the module itself raises, the weights are as they
    were. Else weights are all that changes: what running a module may move (buffers that
    count calls, attributes, gradients, modes, random states) is put back. Your hooks run.

    Source: Mishkin and Matas 2016, algorithm 1, without its orthogonal start.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False))
    >>> x = torch.eye(8)
    >>> lsuv(net, x)[0].iterations, round(net(x).std(correction=0).item(), 4)
    (1, 1.0)
    """
    refuse(module, to_change=True)
    remedy = "it is a difference from 1, such as 0.1"
    tolerance = _validate.number("tolerance", tolerance, remedy, above=0)
    _validate.integer("max_iterations", max_iterations, "10 are plenty")
    layers = {m: name for name, m in module.named_modules() if is_layer(m)}
    if not layers:
        raise ValueError(
            f"module must have a Linear or a convolution, got {type(module).__name__} "
            "without: pass the model that holds them"
        )
    rows: dict[nn.Module, _Scaled] = {}
    hook = functools.partial(_rescale, rows, layers, tolerance, max_iterations)
    before = [(m.weight, m.weight.detach().clone()) for m in layers]
    try:
        with (
            untouched([*module.modules()], [*module.parameters()]),
            torch.no_grad(),
            contextlib.ExitStack() as hooks,
        ):
            for m in module.modules():
                m.training = False
            for m in layers:
                hooks.enter_context(m.register_forward_hook(hook, with_kwargs=True))
            module(batch)
    except BaseException:
        with torch.no_grad():
            for weight, values in before:
                weight.copy_(values)
        raise
    for m in [m for m in layers if m not in rows]:
        rows[m] = _Scaled(layers[m], type(m).__name__, note="left alone: not called")
    return Table(rows.values())


def _rescale(rows, layers, tolerance, max_iterations, m, inputs, options, output):
    """A forward hook: what it returns is the output of m from here on."""
    if m in rows:
        return output
    name, note, times = part(layers[m], m), None, 0
    std = first = _std(output, name)
    twins = [layers[r] for r in rows if r.weight.data_ptr() == m.weight.data_ptr()]
    if not m.weight.requires_grad:
        note = "left alone: frozen"
    elif twins:
        note = f"left alone: shares the weight of {twins[0]}"
    while note is None and abs(std - 1) > tolerance:
        if times == max_iterations:
            raise ValueError(
                f"module must let {name} reach std 1, got {std:.3g} after {times} "
                "divisions: set its bias to 0 first, as init_ does"
            )
        m.weight.div_(std)
        output = m.forward(*inputs, **options)
        std, times = _std(output, name), times + 1
    rows[m] = _Scaled(layers[m], type(m).__name__, first, std, times, note)
    return output


def _std(output, name):
    std = output.double().std(correction=0).item()
    if not (math.isfinite(std) and std > 0):
        found = "a constant" if std == 0 else "an output that is not finite"
        raise ValueError(
            f"module must vary in {name}, got {found}: give the layers random weights, by "
            "init_ say, and a batch of several finite samples"
        )
    return std

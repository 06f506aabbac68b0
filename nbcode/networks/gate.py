"""Which modules can be worked on, and what to say of the others."""

import torch
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from nbcode import _validate


def refuse(module, *, to_change: bool = False, name: str = "module") -> None:
    """Raise ValueError unless module has values that can be read or, if asked, changed."""
    if not isinstance(module, torch.nn.Module):
        found, remedy = _validate._short(module), "pass the model itself, not its class"
        raise ValueError(f"{name} must be a torch.nn.Module, got {found}: {remedy}")
    for path, m in module.named_modules():
        if fault := _fault(m, to_change):
            must, remedy = fault
            raise ValueError(f"{name} must {must}, got {part(path, m)}: {remedy}")


def part(path, m) -> str:
    """A part of a module, as messages name it."""
    return f"{type(m).__name__} at {path!r}" if path else type(m).__name__


def is_layer(m) -> bool:
    """Whether m computes Wx + b: a Linear or a convolution."""
    return isinstance(m, torch.nn.Linear | torch.nn.modules.conv._ConvNd)


def _fault(m, to_change):
    """What m must do, and how it comes to; None if it does."""
    held = [*m.parameters(recurse=False), *m.buffers(recurse=False)]
    values = [t for t in held if not is_lazy(t)]
    if any(t.is_meta for t in values):
        return "have values, not be on the meta device", "call to_empty(device='cpu') first"
    if any(t.is_inference() for t in values):
        return "have tensors that may change", "build it outside inference_mode"
    if not to_change:
        return None
    if len(values) < len(held):
        return "know its shapes", "send a batch through it first"
    if is_parametrized(m) or (is_layer(m) and "weight" not in m._parameters):
        return "own its weights", "remove what computes them, initialize, add it again"
    whole = is_layer(m) and not m.weight.is_floating_point()
    if whole or (type(m).__module__.startswith("torch.ao.") and callable(m.weight)):
        return "have weights of a floating dtype", "initialize, then quantize"
    return None

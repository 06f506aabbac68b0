"""Which modules can be worked on, and what to say of the others."""

import torch

from nbcode import _validate
from nbcode.networks import follows


def refuse(module):
    """Raise ValueError unless every parameter of module has values that may be changed."""
    if not isinstance(module, torch.nn.Module):
        raise ValueError(
            f"module must be a torch.nn.Module, got {_validate._short(module)}: pass the "
            "model itself"
        )
    for name, m in module.named_modules():
        parameters = [p for p in m._parameters.values() if p is not None]
        computed = torch.nn.utils.parametrize.is_parametrized(m) or (
            follows.is_layer(m) and "weight" not in m._parameters
        )
        if any(map(torch.nn.parameter.is_lazy, parameters)):
            what, remedy = "know its shapes", "send a batch through it first"
        elif "quantized" in type(m).__module__ or (
            follows.is_layer(m) and not all(p.is_floating_point() for p in parameters)
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

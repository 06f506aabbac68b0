"""A torch module is run, and then is as it was."""

import contextlib
import random
import sys

import numpy as np


@contextlib.contextmanager
def untouched(model):
    """Put back all that running the model may move; yields the parameters to guard."""
    import torch

    containers, tensors, generators = [], {}, []
    lazy = torch.nn.parameter.is_lazy  # of a copy then, which need not be put back
    parameters = {id(p): (p, p.data) for p in model.parameters() if not lazy(p)}
    kept = {}  # id: (parameter, a copy), once forward asks for a way to change it
    torchs = set(vars(torch.nn.Module())) - {"_parameters", "_buffers", "_modules"}
    for m in model.modules():
        containers.append((vars(m), list(vars(m)), list(vars(m).values())))
        held = [v for key, v in vars(m).items() if key not in torchs]
        for inside in [v for v in held if isinstance(v, dict | list)]:
            values = list(inside.values()) if isinstance(inside, dict) else list(inside)
            containers.append((inside, list(inside), values))
            held += values
        for value in held:
            if value is not None:
                if isinstance(value, torch.Tensor):
                    if id(value) not in parameters and not lazy(value):
                        tensors[id(value)] = value, value.detach().clone()
                elif isinstance(value, torch.Generator):
                    generators.append((value.set_state, value.get_state()))
                elif isinstance(value, np.random.Generator):
                    bits = value.bit_generator
                    generators.append((_setter(bits, "state"), bits.state))
                elif isinstance(value, random.Random):
                    generators.append((value.setstate, value.getstate()))
        if getattr(m, "max_norm", None) is not None:  # such an embedding shrinks its rows
            kept |= {id(p): (p, p.detach().clone()) for p in m.parameters(recurse=False)}
    generators.append((np.random.set_state, np.random.get_state()))  # noqa: NPY002
    generators.append((random.setstate, random.getstate()))
    grads = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    devices = {p.device.index for p in model.parameters() if p.is_cuda}
    fast = torch.backends.mha.get_fastpath_enabled()  # it would pass by torch's own layers
    eager = contextlib.nullcontext()
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        eager = torch.compiler.set_stance("force_eager")  # compiled code does not see hooks
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with (
            eager,
            torch.random.fork_rng(devices=list(devices)),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            yield _Kept(parameters, kept)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for held, keys, values in containers:
            _restore(held, keys, values)
        with torch.no_grad():
            for p, alias in parameters.values():
                if p.data_ptr() != alias.data_ptr() or p.shape != alias.shape:
                    p.data = alias
            for tensor, before in [*tensors.values(), *kept.values()]:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)
            for p, grad, requires in grads:
                if p.grad is not grad:
                    p.grad = grad
                p.requires_grad = requires
        for put_back, state in generators:
            put_back(state)


def _setter(owner, name):
    return lambda value: setattr(owner, name, value)


def _restore(held, keys, values):
    """Make a dict or list hold what it held, and leave it alone if it does."""
    now = list(held.values()) if isinstance(held, dict) else held
    same = len(now) == len(values) and all(a is b for a, b in zip(now, values, strict=True))
    if isinstance(held, list) and not same:
        held[:] = values
    elif isinstance(held, dict) and not (same and list(held) == keys):
        held.clear()
        held.update(zip(keys, values, strict=True))


class _Kept:
    """Copies a parameter before something gets hold of it that may change it in place."""

    def __init__(self, parameters, kept):
        self.parameters, self.kept = parameters, kept

    def before(self, tensor):
        if id(tensor) in self.parameters and id(tensor) not in self.kept:
            self.kept[id(tensor)] = tensor, tensor.detach().clone()

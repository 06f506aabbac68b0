"""A torch module is run, and then is as it was."""

import contextlib
import operator
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

# A forward pass can only replace them; and dicts and lists are looked into before.
_PLAIN = {bool, int, float, str, tuple, type(None), dict, list}


@contextlib.contextmanager
def untouched(modules, parameters):
    """Put back all that running the modules may move; yields the parameters to guard."""
    containers: list[tuple[Any, Any]] = []  # each with what to put back, as are these:
    tensors: dict[int, tuple] = {}
    generators: list[tuple[Callable, Any]] = []
    lazy = torch.nn.parameter.is_lazy  # of a copy then, which need not be put back
    grads = [(p, p.grad, p.requires_grad) for p in parameters]
    devices = {p.device.index for p in parameters if p.is_cuda}
    aliases = {id(p): (p, p.data) for p in parameters if not lazy(p)}
    kept: dict[int, tuple] = {}  # id: (parameter, a copy), once forward may change it
    torchs = set(vars(torch.nn.Module())) - {"_parameters", "_buffers", "_modules"}
    for m in modules:
        containers.append((vars(m), dict(vars(m))))
        held = [v for key, v in vars(m).items() if key not in torchs]
        for inside in [v for v in held if isinstance(v, dict | list)]:
            before = dict(inside) if isinstance(inside, dict) else list(inside)
            containers.append((inside, before))
            held += before.values() if isinstance(before, dict) else before
        for value in held:
            if type(value) in _PLAIN or id(value) in aliases:
                continue
            if isinstance(value, torch.Tensor):
                if not lazy(value):
                    tensors[id(value)] = value, value.detach().clone()
            elif isinstance(value, torch.Generator):
                generators.append((value.set_state, value.get_state()))
            elif isinstance(value, np.random.Generator):
                bits = value.bit_generator
                generators.append((_setter(bits, "state"), bits.state))
            elif isinstance(value, random.Random):
                generators.append((value.setstate, value.getstate()))
        if vars(m).get("max_norm") is not None:  # such an embedding shrinks its rows
            kept |= {id(p): (p, p.detach().clone()) for p in m.parameters(recurse=False)}
    generators.append((np.random.set_state, np.random.get_state()))  # noqa: NPY002
    generators.append((random.setstate, random.getstate()))
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
            yield _Kept(aliases, kept)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for held, before in containers:
            _restore(held, before)
        with torch.no_grad():
            for p, alias in aliases.values():
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


def _restore(held, before):
    """Make a dict or list hold what it held, and leave it alone if it does."""
    if isinstance(held, list):
        if not _same(held, before):
            held[:] = before
    elif list(held) != list(before) or not _same(held.values(), before.values()):
        held.clear()
        held.update(before)


def _same(now, before):
    return len(now) == len(before) and all(map(operator.is_, now, before))


class _Kept:
    """Copies a parameter before something gets hold of it that may change it in place."""

    def __init__(self, aliases, kept):
        self.aliases, self.kept = aliases, kept

    def before(self, tensor):
        if id(tensor) in self.aliases and id(tensor) not in self.kept:
            self.kept[id(tensor)] = tensor, tensor.detach().clone()

"""From what a training loop has to a call of the model, and from its output to a loss."""

import contextlib
import copy
import inspect
from collections.abc import Mapping

import torch

from nbcode import _validate


def call(forward, batch, loss):
    """(args, kwargs, targets or None) of the model's call, from what a loader yields."""
    needs_targets = loss is not None and _needs_targets(loss)
    targets = None
    if needs_targets:
        if isinstance(batch, Mapping):
            targets = batch
        elif isinstance(batch, tuple | list) and len(batch) >= 2:
            *inputs, targets = batch
            batch = inputs[0] if len(inputs) == 1 else tuple(inputs)
        else:
            raise ValueError(
                f"batch must be (inputs, targets) for a loss of two arguments, got "
                f"{_kind(batch)}: pass probe(model, (x, y), loss=...)"
            )
    if isinstance(batch, Mapping):
        kwargs = _keywords(forward, batch)
        return ((batch,), {}, targets) if kwargs is None else ((), kwargs, targets)
    if isinstance(batch, tuple | list) and not hasattr(batch, "_fields"):
        if _binds(forward, *batch):
            return tuple(batch), {}, targets
        if not needs_targets and len(batch) == 2 and not _binds(forward, 1, 1):
            return call(forward, batch[0], None)  # (inputs, targets), and no loss for them
    return (batch,), {}, targets


def _needs_targets(loss):
    function = loss.forward if isinstance(loss, torch.nn.Module) else loss
    return _signature(function) is None or not _binds(function, None)


def _signature(function):
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # compiled code does not say
        return None


def _binds(function, *args, **kwargs):
    signature = _signature(function)
    try:
        return signature is None or bool(signature.bind(*args, **kwargs)) or True
    except TypeError:
        return False


def _keywords(forward, batch):
    """Those entries of a dict that forward has arguments for; None if it takes a dict."""
    if not all(isinstance(key, str) for key in batch):
        return None
    if _binds(forward, **batch):
        return dict(batch)
    named = _signature(forward).parameters  # known, or everything would bind
    chosen = {key: value for key, value in batch.items() if key in named}
    return chosen if chosen and _binds(forward, **chosen) else None


def run(model, args, kwargs, targets, loss, batch, record):
    """The loss as a tensor; None if a norm refused the batch."""
    try:
        output = model(*args, **kwargs)
    except Exception as error:  # whatever forward raises when it is given what does not fit
        said = _validate._short(str(error))
        if "Expected more than 1 value" in said:
            record.failed = said
            return None
        raise ValueError(
            f"batch must be what the model takes, got {_kind(batch)}, which raises "
            f"{type(error).__name__} {said}: pass what your training loop passes"
        ) from error
    floats = [t for t in tensors(output) if t.is_floating_point() and t.numel()]
    if loss is None:
        own = output.get("loss") if isinstance(output, Mapping) else None
        own = getattr(output, "loss", own)
        value = own if isinstance(own, torch.Tensor) else _projection(floats, output)
    else:
        try:
            value = loss(output) if targets is None else loss(output, targets)
        except Exception as error:
            said = _validate._short(str(error))
            raise ValueError(
                f"loss must take what the model returns, got {_kind(output)}, which raises "
                f"{type(error).__name__} {said}: pass loss=lambda output: ..., which picks "
                "what it needs"
            ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise ValueError(
            f"loss must return one number as a tensor, got {_kind(value)}: take its mean"
        )
    return value.reshape(())


def _projection(floats, output):
    """Σ r·output over the samples' number, r ~ N(0, 1): a gradient of scale 1 a sample."""
    if not floats:
        raise ValueError(
            f"loss must be given for this model, got an output without tensors of real "
            f"numbers, {_kind(output)}: pass loss=lambda output: ..."
        )
    if len(floats) == 1 and floats[0].dim() == 0:
        return floats[0]  # the model returns its loss
    # a complex or integer output has no gradient; the seed makes two probes agree
    draw = torch.Generator().manual_seed(0)
    total = 0.0
    for t in floats:
        r = torch.randn(t.shape, generator=draw).to(t)
        total = total + (r * t).sum() / max(1, len(t) if t.dim() else 1)
    return total


def tensors(held):
    """The tensors in tensors, sequences, mappings and objects with attributes, in order."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, tuple | list):
        for value in held:
            yield from tensors(value)
    elif isinstance(held, Mapping):
        for value in held.values():
            yield from tensors(value)
    elif hasattr(held, "__dict__") and not isinstance(held, torch.nn.Module | type):
        yield from (v for v in vars(held).values() if isinstance(v, torch.Tensor))


def copied(held, memo):
    """The batch with tensors of its own, for a model may write into what it is given."""
    if isinstance(held, torch.Tensor):
        if id(held) not in memo:
            clone = held.detach().clone()
            memo[id(held)] = clone.requires_grad_() if held.requires_grad else clone
        return memo[id(held)]
    if type(held) in (tuple, list):
        return type(held)(copied(value, memo) for value in held)
    if isinstance(held, tuple):
        return type(held)(*(copied(value, memo) for value in held))
    if isinstance(held, dict):
        return {key: copied(value, memo) for key, value in held.items()}
    with contextlib.suppress(TypeError):
        return copy.copy(held)
    return held  # an iterator, say


def _kind(value):
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}: " + ", ".join(
            map(_kind, value[:3])
        )
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of " + ", ".join(map(str, list(value)[:6]))
    return _validate._short(value)

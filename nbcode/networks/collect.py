"""One batch through a torch module, forward and back, and what each layer did with it.

This file collects; :mod:`nbcode.networks.verdict` judges. The module is left as it was:
what a forward pass may move is put back, and gradients are asked of autograd, which
stores none.
Per layer there is one full pass over the output and one over its gradient, for their norms;
all else comes from a small sample of the entries, which keeps the probe cheap: beside those
passes a layer costs a quarter of a millisecond, more than the pass itself of a tiny one.
"""

import contextlib
import copy
import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from nbcode import _validate
from nbcode.initializers import fans
from nbcode.networks import calls, gate, untouched

SAMPLES, ENTRIES = 32, 128  # of each output: a correlation is then known to about 0.01
# nn.ReLU6 calls hardtanh; one from −1 to 1 is never at rest in [−0.001, 0] by accident
_CAN_DIE = {"relu", "relu6", "hardtanh", "threshold", "gelu", "silu", "mish", "hardswish"}
_SATURATES = {"tanh", "sigmoid"}
_OTHERS = {"leaky_relu", "elu", "selu", "celu", "softplus", "prelu", "softsign"}
_PRODUCTS = {"mul", "__mul__", "__rmul__", "__imul__", "multiply"}
_LOSSES = {"cross_entropy", "nll_loss", "binary_cross_entropy_with_logits"}


@dataclass(eq=False)  # a layer is equal to itself alone, and found at once in a list
class Layer:
    """A row of the report; a layer that is called more than once has one row."""

    name: str
    kind: str  # the class
    module: object
    role: str  # "weight", "norm" or "embedding"
    calls: int = 0
    dtype: str = ""
    signal: float | None = None  # rms of the output
    spread: float | None = None  # rms of what differs between samples
    correlation: float | None = None  # mean cosine of the outputs of two samples
    gradient: float | None = None  # rms of ∂L/∂output
    gradient_norm: float | None = None
    gain: float | None = None  # rms of a weight · √fan_in
    gains: tuple | None = None  # the same with the smaller fan, and with the larger
    update: float | None = None  # norm of one step / norm of the weight
    activation: str = ""  # the first one behind the layer
    gates: bool = False  # its activation is multiplied by something
    dead: float | None = None  # fraction of units
    saturated: float | None = None  # fraction of entries
    units: int = 0
    reads: tuple | None = None  # rms, spread and correlation of the input, where it matters
    reads_batch: bool = False  # the input is a tensor of the batch itself
    per_statistic: float | None = None  # values behind a mean and variance in training mode
    stale: bool = False  # running statistics that no batch has touched are used
    twins: bool = False  # all its units are equal, and get equal gradients
    wakes: bool = False  # its weights are zero, and its gradient is not
    bad_weight: bool = False
    bad_output: bool = False
    bad_gradient: bool = False


@dataclass
class Record:
    """All that the rules of the verdict read."""

    layers: list[Layer] = field(default_factory=list)
    inputs: list[float] = field(default_factory=list)  # norms of the batch's tensors
    samples: int | None = None
    loss: float | None = None
    has_loss: bool = False  # the caller's, not the projection
    first_loss: tuple | None = None  # (classes, cross-entropy a sample)
    in_training: set = field(default_factory=set)  # modes of the modules that have two
    training: bool | None = None
    trainable: int = 0
    backward: bool = False
    failed: str = ""  # a norm that refuses a batch of one


def collect(model, batch, loss, lr, training) -> Record:
    model, forward = _model(model)
    if loss is not None and not callable(loss):
        raise ValueError(
            f"loss must be a function, got {_validate._short(loss)}: pass F.cross_entropy, "
            "say, or lambda output: output['loss']"
        )
    if training not in (None, True, False):
        raise ValueError(
            f"training must be True, False or None, got {_validate._short(training)}: say "
            "whether you are about to train the model or to use it"
        )
    modules, parameters = dict(model.named_modules()), [*model.parameters()]
    rate = _rates(parameters, lr)
    args, kwargs, targets = calls.call(forward, calls.copied(batch, {}), loss)
    record = Record(training=training, has_loss=loss is not None)
    tensors = [t for t in calls.tensors((args, kwargs)) if _is_signal(t)]
    record.inputs = [_norm(t) for t in tensors]
    first = next(calls.tensors((args, kwargs)), None)
    if first is not None and not first.numel():
        raise ValueError(
            f"batch must hold samples, got {calls._kind(first)}: pass one or more"
        )
    record.samples = len(first) if first is not None and first.dim() else None
    record.trainable = sum(p.requires_grad for p in parameters)
    two_modes = torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.dropout._DropoutNd
    record.in_training = {m.training for m in modules.values() if isinstance(m, two_modes)}
    with untouched.untouched(modules.values(), parameters) as kept:
        watch = _Watch(record, {_memory(t) for t in tensors})
        with contextlib.ExitStack() as stack:
            for hook in watch.hooks(modules):
                stack.callback(hook.remove)
            with _intercept(watch, kept):
                value = calls.run(model, args, kwargs, targets, loss, batch, record)
            watch.recording = False  # checkpoints run layers again, to differentiate them
            watch.gates.clear()  # they hold the graph, whose hooks hold them
            trained = [p for p in parameters if p.requires_grad]  # forward may freeze some
            gradients = {}
            if value is not None:
                record.loss = value.item()
                record.backward = bool(trained) and value.requires_grad
            if record.backward:
                gradients = _gradients(value, trained)
        watch.finish()
        with torch.no_grad():
            for layer in record.layers:
                _weights(layer, gradients, rate)
                layer.module = None  # a report is no reason to keep a model
    return record


def _model(model):
    """The module to run, and the forward whose signature says what it takes."""
    model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper has no layers
    gate.refuse(model, name="model")
    if any(map(torch.nn.parameter.is_lazy, [*model.parameters(), *model.buffers()])):
        # its first batch would give it its shapes; a buffer without one cannot be copied
        lazy = torch.nn.parameter.UninitializedBuffer
        fresh = {id(b): lazy() for b in model.buffers() if torch.nn.parameter.is_lazy(b)}
        model = copy.deepcopy(model, fresh)
    return model, model.forward


def _rates(parameters, lr):
    """{id of a parameter: (learning rate, whether steps are scaled like Adam's)}."""
    if lr is None:
        return {}
    if not isinstance(lr, torch.optim.Optimizer):
        remedy = "it is a learning rate such as 0.1, or the optimizer that has it"
        lr = _validate.number("lr", lr, remedy, above=0)
        return {id(p): (lr, False) for p in parameters}
    scaled = ("betas", "alpha", "lr_decay", "rho")  # Adam's kin, RMSprop, Adagrad, Adadelta
    rate = {
        id(p): (float(group["lr"]), any(key in group for key in scaled))
        for group in lr.param_groups
        for p in group["params"]
    }
    if not any(id(p) in rate for p in parameters):
        raise ValueError(
            f"lr must be an optimizer of this model, got {type(lr).__name__} with other "
            "parameters: build it from model.parameters()"
        )
    return rate


def _gradients(value, parameters):
    """{id of a parameter: its gradient, or None}."""
    try:
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        return dict(zip(map(id, parameters), gradients, strict=True))
    except RuntimeError as error:
        said = _validate._short(str(error))
        raise ValueError(
            f"model must be differentiable, got {said}: a checkpoint needs "
            "use_reentrant=False, and a value that the backward pass reads must not be "
            "changed in place"
        ) from error


def _intercept(watch, kept):
    """A mode that sees calls of torch functions: activations and losses have no module."""
    data: Any = torch.Tensor.data
    known = _CAN_DIE | _SATURATES | _OTHERS | _PRODUCTS | _LOSSES

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", "")
            in_place = function == data.__get__ if name == "__get__" else name[-1:] == "_"
            if args and (in_place or name == "detach"):
                kept.before(args[0])
            out = function(*args, **(kwargs or {}))
            name = name if name[:2] == "__" else name.rstrip("_")
            if name in known and watch.recording:
                watch.called(name, args, kwargs or {}, out)
            return out

    return Mode()


class _Watch:
    """Fills in the record while the model runs."""

    def __init__(self, record, memories):
        self.record, self.memories = record, memories
        self.layers, self.gates, self.last, self.recording = {}, {}, None, True
        self.samples, self.inputs = [], []  # (layer, a sample of its output or input)
        self.weighted = False  # whether a layer with weights has been seen

    def hooks(self, modules):
        for name, m in modules.items():
            role = _role(m)
            if role and "parametrizations" not in name:
                name = name.replace("_orig_mod.", "") or type(m).__name__
                self.layers[m] = Layer(name, type(m).__name__, m, role)
                yield m.register_forward_hook(self.forward, with_kwargs=True)

    def forward(self, m, args, kwargs, output):
        if self.recording:
            with torch._C.DisableTorchFunction():  # the mode need not see what is done here
                self.seen(self.layers[m], args, kwargs, output)

    def seen(self, layer, args, kwargs, output):
        outputs = [*filter(_is_signal, calls.tensors(output))]
        if not outputs:
            return
        self.last = layer
        layer.calls += 1
        if layer.calls & (layer.calls - 1):
            return  # of the calls in a loop over time: 1, 2, 4, 8, ...
        norm = _norm(outputs[0])
        layer.bad_output |= not math.isfinite(norm)
        if layer.calls == 1:
            self.first_call(layer, (args, kwargs), outputs[0], norm)
        for t in outputs:  # an RNN's state is read where its output is not
            if t.requires_grad:
                t.register_hook(lambda gradient: self.backward(layer, gradient))

    def first_call(self, layer, call, out, norm):
        m = layer.module
        layer.kind = type(m).__name__  # a lazy one has changed its class by now
        layer.dtype = str(out.dtype).removeprefix("torch.")
        layer.signal = norm / math.sqrt(out.numel())
        self.record.layers.append(layer)
        self.samples.append((layer, _sample(out)))
        if layer.role == "weight":
            inputs = next(filter(_is_signal, calls.tensors(call)), None)
            layer.reads_batch = inputs is not None and _memory(inputs) in self.memories
            if layer.reads_batch or (inputs is not None and not self.weighted):
                self.inputs.append((layer, _sample(inputs)))
            self.weighted = True
        if layer.kind.startswith(("BatchNorm", "SyncBatch")) and hasattr(m, "running_mean"):
            if m.training or m.running_mean is None:
                layer.per_statistic = out.numel() / out.shape[1]
            else:
                layer.stale = (
                    m.num_batches_tracked is not None and not m.num_batches_tracked
                )

    def finish(self):
        """Read the samples."""
        for layer, (_, spread, correlation) in _spreads(self.samples):
            layer.spread, layer.correlation = spread, correlation
        for layer, reads in _spreads(self.inputs):
            layer.reads = reads

    def backward(self, layer, gradient):
        if self.recording:
            return  # a derivative that the model or the loss takes by itself
        norm = _norm(gradient)
        layer.bad_gradient |= not math.isfinite(norm)
        layer.gradient_norm = math.hypot(norm, layer.gradient_norm or 0.0)
        layer.gradient = layer.gradient_norm / math.sqrt(gradient.numel())

    def called(self, name, args, kwargs, out):
        """What a torch function tells: the activation behind a layer, a gate, the loss."""
        if name in _PRODUCTS:
            for factor in filter(_is_signal, args if self.gates else ()):
                if held := self.gates.get(_memory(factor)):
                    held[1].gates = True
        elif name in _LOSSES:
            self.first_loss(name, args, kwargs, out)
        else:
            layer = self.last
            if layer is None or layer.activation or not _is_signal(out):
                return
            layer.activation = name
            if name in _CAN_DIE:
                layer.dead, layer.units = _dead(out.detach(), _unit_axis(layer.module, out))
            elif name in _SATURATES:
                y = _sample(out)
                # where the slope, 1 − y² or y(1 − y), is below a tenth of its largest value
                slope = 1 - y * y if name == "tanh" else 4 * y * (1 - y)
                layer.saturated = int((slope < 0.1).sum()) / y.numel()
                # the output is held as well, for nothing else to get its address
                self.gates[_memory(out)] = out, layer

    def first_loss(self, name, args, kwargs, out):
        inputs = args[0] if args else kwargs["input"]
        targets = args[1] if len(args) > 1 else kwargs["target"]
        if not _is_signal(inputs):
            return
        classes = 2 if name.startswith("binary") else inputs.shape[min(1, inputs.dim() - 1)]
        value = out.detach().double()
        if kwargs.get("reduction") == "sum":
            value = value / max(1, targets.numel())
        self.record.first_loss = classes, value.mean().item()


@functools.cache
def _roles():
    """{role: classes that have it}."""
    nn = torch.nn
    layers = nn.Linear, nn.modules.conv._ConvNd, nn.modules.rnn.RNNBase, nn.Bilinear
    norms = nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm
    return {
        "weight": (*layers, nn.modules.rnn.RNNCellBase, nn.MultiheadAttention),
        "norm": norms,
        "embedding": (nn.Embedding, nn.EmbeddingBag),
        # one scripted takes no hooks
        "": (torch.jit.ScriptModule, nn.PReLU, nn.ParameterList, nn.ParameterDict),
    }


def _role(m):
    """What a module is to the report: "weight", "norm", "embedding" or, not a layer, ""."""
    for role, classes in _roles().items():
        if isinstance(m, classes):
            return role
    if m._modules:
        return ""
    if type(m).__name__.endswith("Norm"):
        return "norm"
    return "weight" if any(p is not None for p in m._parameters.values()) else ""


def _unit_axis(m, out):
    nn = torch.nn
    channels = nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm
    return 1 if isinstance(m, channels) and out.dim() > 1 else out.dim() - 1


def _weights(layer, gradients, rate):
    """What the weights of a layer are, and what a step would do to them."""
    m = layer.module
    held = m.parameters() if m._modules else m._parameters.values()
    own = [p for p in held if p is not None and p.dim() > 1]
    norms = [_norm(p) for p in own]
    layer.bad_weight = not all(map(math.isfinite, norms))
    main: Any = getattr(m, "weight", getattr(m, "in_proj_weight", None))
    shape = getattr(main, "shape", ())
    if layer.role == "weight" and len(shape) > 1:
        norm = norms[0] if own and main is own[0] else _norm(main)
        scale = norm / math.sqrt(main.numel())
        gains = [scale * math.sqrt(fan) for fan in _fans(m, shape)]
        layer.gain, layer.gains = gains[0], (min(gains), max(gains))
        gradient = gradients.get(id(main))
        layer.twins = _twins(m, main, gradient)
        layer.wakes = norm == 0 and gradient is not None and _norm(gradient) > 0
    elif layer.role == "weight" and own:  # an RNN's: the matrix that the state goes through
        layer.gain = max(
            n / math.sqrt(p.numel()) * math.sqrt(p.shape[-1])
            for n, p in zip(norms, own, strict=True)
        )
        layer.gains = layer.gain, layer.gain
    steps = []
    for p in own:
        g = gradients.get(id(p))
        if g is not None and id(p) in rate:
            lr, adaptive = rate[id(p)]
            # the first step of Adam and its kin is lr in every weight with a gradient
            steps.append(lr * (math.sqrt(int(g.count_nonzero())) if adaptive else _norm(g)))
    total = math.hypot(*norms)
    if steps and total > 0:
        layer.update = math.hypot(*steps) / total


def _fans(m, shape):
    if hasattr(m, "in_proj_weight"):
        shape = (shape[0] // 3, *shape[1:])  # three layers side by side
    if hasattr(m, "stride") and hasattr(m, "groups") and len(shape) > 2:
        kind = "transposed" if getattr(m, "transposed", False) else "conv"
        return fans(tuple(shape), kind=kind, groups=m.groups, stride=m.stride)
    return math.prod(shape[1:]), shape[0] * math.prod(shape[2:])


def _twins(m, weight, gradient):
    """Whether all units have equal weights and equal gradients, and so stay equal."""
    if gradient is None or len(weight) < 2 or getattr(m, "transposed", False):
        return False
    if not torch.equal(weight[0], weight[1]):  # which tells nearly always
        return False
    bias = getattr(m, "bias", None)
    rows = (weight, gradient) if bias is None else (weight, gradient, bias)
    return all(bool((t == t[:1]).all()) for t in rows)


def _norm(x):
    """√Σx² as a float, also where the squares leave the range; inf or nan if x does."""
    x = x.detach()
    if not x.numel():
        return 0.0
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    norm = torch.linalg.vector_norm(x, dtype=wide).item()
    if math.isfinite(norm) and norm > 1e-12:
        return norm
    top = x.abs().max().item()
    if top == 0 or not math.isfinite(top):
        return top
    return top * torch.linalg.vector_norm(x.double() / top).item()


def _sample(x):
    """Some entries of some samples (axis 0) as a float64 matrix."""
    x = x.detach()
    x = x.reshape(1, -1) if x.dim() < 2 else x
    x = x[:: -(-x.shape[0] // SAMPLES)].flatten(1)
    # an odd step, not to stay in one column of a picture
    return x[:, :: (x.shape[1] // ENTRIES) | 1].to(torch.float64, copy=True)


def _spreads(samples):
    """(layer, spread of its sample); samples of one shape at once, which costs one call."""
    alike: dict[tuple, list] = {}
    for layer, x in samples:
        alike.setdefault((x.shape, x.device), []).append((layer, x))
    for pairs in alike.values():
        layers, xs = zip(*pairs, strict=True)
        yield from zip(layers, _spread(torch.stack(xs).cpu().numpy()), strict=True)


def _spread(x):
    """(rms, rms of what differs between rows, mean cosine of two rows) of each x[k]."""
    _, n, entries = x.shape
    others = max(n - 1, 1)
    with np.errstate(all="ignore"):  # what is not finite is reported as such
        squares = np.einsum("kij,kij->ki", x, x)
        size = np.sqrt(squares.sum(1) / (n * entries))
        apart = x - x.mean(1, keepdims=True)
        spread = np.sqrt(np.einsum("kij,kij->k", apart, apart) / (others * entries))
        direction = np.einsum("ki,kij->kj", 1 / np.sqrt(squares), x)
        cosine = (np.einsum("kj,kj->k", direction, direction) - n) / (n * others)
    finite = np.isfinite(size) & (n > 1)
    spread = np.where(finite, spread, size)
    # a sample without any signal has no direction
    known = finite & squares.all(1)
    cosine = [c if k else None for c, k in zip(cosine.tolist(), known, strict=True)]
    return zip(size.tolist(), spread.tolist(), cosine, strict=True)


def _dead(y, axis):
    """(fraction of units that no entry wakes, units): ReLU's zeros, GELU's near-zeros."""
    axes = [i for i in range(y.dim()) if i != axis]
    units = y.shape[axis]
    if not axes:
        return 0.0, units  # one sample: nothing tells a unit at rest from a dead one
    # most units wake within a few samples, and only the others are looked at in full
    few = y[: max(1, 2**13 * y.shape[0] // y.numel())] if axis != 0 else y
    highest = few.amax(axes)
    if highest.min() > 0:
        return 0.0, units
    rest = y.index_select(axis, (highest <= 0).nonzero().flatten())
    if not rest.numel():  # no unit but one with nan
        return 0.0, units
    asleep = (rest.amax(axes) <= 0) & (rest.amin(axes) >= -1e-3)
    return int(asleep.sum()) / units, units


def _is_signal(t):
    return (
        isinstance(t, torch.Tensor)
        and t.layout is torch.strided
        and t.is_floating_point()
        and t.dim() > 0
        and t.numel() > 0
        and not t.is_nested
        # inside of vmap and its kin a tensor has no numbers to look at
        and not torch._C._functorch.is_functorch_wrapped_tensor(t)
    )


def _memory(t):
    try:
        return t.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse tensors have none
        return None

"""What follows each layer of a torch module: the activation whose gain its weight needs.

Torch's own modules and functions are known, each by its whole name. All others are
measured, on numbers: what acts on each entry alone is an activation, and what shifts and
scales entries and no more, as norms do, lets the signal through. The rest is unseen.
"""

import builtins
import contextlib
import copy
import inspect
import math
import operator
import re
import warnings
from typing import NamedTuple

import numpy as np
import torch
import torch.fx
import torch.nn.functional as F

from nbcode import theory
from nbcode.networks.gate import is_layer
from nbcode.networks.untouched import untouched


class Follower(NamedTuple):
    """The gain that a weight needs for what follows it, and what that is, in words.

    A weight that ends one of several residual branches is the smaller, the more there are.
    """

    gain: float
    text: str
    branches: int = 1


# What the sum of a unit may pass on its way to the activation: it is moved, picked, scaled
# or added to. Whole names of torch's own functions and methods, and files of its modules.
_THROUGH = re.compile(
    r"i?(add|sub)|cat|concat|stack|chunk|split|unbind|getitem|narrow|roll|t|T|mT|H|mH|data"
    r"|transpose|swapaxes|permute|movedim|(un)?(flatten|squeeze|fold)|(view|reshape)(_as)?"
    r"|expand(_as)?|repeat|tile|clone|detach|to|type_as|mean|sum|amax|max|masked_fill|pad"
    r"|interpolate|upsample|pixel_(un)?shuffle|(native_)?channel_shuffle|normalize"
    r"|(feature_)?(alpha_)?dropout([123]d)?|(batch|layer|group|instance|rms)_norm"
    r"|local_response_norm|(adaptive_|fractional_)?(max|avg|lp)_(un)?pool[123]d"
)
_THROUGH_FILES = re.compile(
    r"batchnorm|instancenorm|normalization|dropout|pooling|padding|flatten|fold|pixelshuffle"
    r"|channelshuffle|upsampling"
)
_TIMES = re.compile(r"i?mul|i?(true)?div|multiply|(true_)?divide")
# They mix the units of a signal, or end the network: the derivation's linear case.
_LINEAR = re.compile(
    r"(log_|gumbel_)?softmax|softmin|i?matmul|b?mm|einsum|(bi)?linear|conv(_transpose)?[123]d"
    r"|scaled_dot_product_attention|\w+_loss|kl_div|(binary_)?cross_entropy(_with_logits)?"
)
_LINEAR_CLASSES = {"Softmax", "Softmax2d", "LogSoftmax", "Softmin"}
# What comes of these is a number, a shape or noise, no signal.
_ASIDE = re.compile(
    r"size|shape|n?dim|numel|len|device|dtype|requires_grad|is_cuda|_?assert|arg(max|min)"
    r"|eq|ne|lt|gt|le|ge|(zeros|ones|empty|rand|randn)_like"
)

_BATCH = torch.nn.modules.batchnorm._NormBase
NORMS = _BATCH, torch.nn.GroupNorm, torch.nn.LayerNorm, torch.nn.RMSNorm
_PROBE = np.array([-2.0, 1.0, -0.5, 3.0, 0.25, -1.0])  # exact in every dtype


def followers(module) -> tuple[dict[torch.nn.Module, Follower], list[tuple]]:
    """({layer: Follower}, the graphs that it was read off, each with its module).

    A Follower for each Linear, convolution and attention's out_proj in module.
    """
    found: dict[torch.nn.Module, Follower] = {}
    graphs: list[tuple] = []
    end = Follower(1.0, "linear (end)")
    _follow(module, end, "its order is not known", found, graphs)
    return found, graphs


def _follow(module, end, why, found, graphs):
    """Enter the layers of module into found; ``end`` follows module as a whole.

    ``why`` says what hides the order in which a list, which has no forward, is called.
    """
    nn = torch.nn
    if not _has_layers(module):
        return
    if is_layer(module):
        found.setdefault(module, end)  # of a layer that is called twice, the first call
    elif isinstance(module, nn.MultiheadAttention):
        found.setdefault(module.out_proj, end)
    elif isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        after = Follower(1.0, "linear (residual sum)")
        phi = module.activation
        name = getattr(phi, "__name__", type(phi).__name__)
        found.setdefault(module.linear1, _measured(phi, name) or after)
        for m in filter(is_layer, module.modules()):
            found.setdefault(m, after)
    elif (graph := _trace(module)) is not None:
        graphs.append((graph, module))
        for node in graph.nodes:
            if node.op == "call_module":
                after = _after(node, module, end)
                _follow(module.get_submodule(node.target), after, why, found, graphs)
    else:
        if not _is_torchs(module):
            why = f"the forward of {type(module).__name__} cannot be traced"
        children = [m for m in module._modules.values() if m is not None]
        for i, child in enumerate(children, 1):
            after = _registered_next(children[i:]) or unseen(why)
            _follow(child, after, why, found, graphs)


def _registered_next(modules):
    """The activation that was registered next, before any other layer, or None."""
    inside = (pair for m in modules for pair in m.named_modules(remove_duplicate=False))
    met = (_of_module(m) for _, m in inside if not [*m.children()])
    role = next(filter(None, met), None)
    if role is None or role.text.startswith("linear"):
        return None  # for forward may still call an activation in between
    return Follower(role.gain, f"{role.text} (registered next)")


def _trace(module):
    """The graph of module's forward, or None if it has no forward that can be traced."""
    if _is_torchs(module):
        return None

    class Tracer(torch.fx.Tracer):
        proxy_buffer_attributes = True  # a causal mask is sliced by the length of the input

        def call_module(self, m, forward, args, kwargs):
            path = self.path_of_module(m)
            if not _is_leaf(m):
                start = len(self.graph.nodes)
                try:
                    return m.forward(*args, **kwargs)  # `forward` would run hooks too
                except Exception:  # whatever user code may raise: m stays closed
                    for node in reversed(list(self.graph.nodes)[start:]):
                        self.graph.erase_node(node)
            return self.create_proxy("call_module", path, args, kwargs)

    # optional arguments such as targets=None keep their defaults
    simple = bool | int | float | None
    try:
        arguments = inspect.signature(module.forward).parameters.values()
        constants = {a.name: a.default for a in arguments if isinstance(a.default, simple)}
        with untouched([*module.modules()], [*module.parameters()]), _quiet():
            return Tracer().trace(module, constants)
    except Exception:  # user code meets a stand-in for a tensor: anything may be raised
        return None


def _after(node, root, end):
    """What the output of a node of root's graph meets first.

    Branches may meet different things: the one that is executed first decides.
    """
    found, todo = {}, [node]
    while todo:
        source = todo.pop()
        for user in source.users:
            if user not in found and not aside(user):
                ends = user.op == "output"
                found[user] = end if ends else _of_node(user, source, root)
                if found[user] is None:
                    todo.append(user)
    ordered = [found[n] for n in node.graph.nodes if found.get(n)]
    if not ordered:
        return unseen("its output is not used")
    for follower in ordered:
        if "not seen" in follower.text:  # it may be a gate: x·σ(x) is no sigmoid
            return follower
    text, *others = dict.fromkeys(follower.text for follower in ordered)
    text = f"{text}, also {', '.join(others)}" if others else text
    return Follower(ordered[0].gain, text)


def _has_layers(module) -> bool:
    return any(map(is_layer, module.modules()))


def unseen(why) -> Follower:
    return Follower(1.0, f"linear (not seen: {why})")


def _is_torchs(module):
    """One of torch's own modules, whose forward is not to be looked into."""
    own = type(module).__module__.startswith("torch.nn.")
    return own and not isinstance(module, torch.nn.Sequential)


def _is_leaf(module):
    """Whether a module is one step: torch's own, a layer, an activation or a norm."""
    if _is_torchs(module) or is_layer(module):
        return True
    if _has_layers(module):
        return False
    return _elementwise(module) is not None or _only_scales(module)


def called(node):
    """What a node calls, if that is torch's or Python's own; without the _ of add_."""
    if node.op == "call_method":
        return node.target.strip("_")
    name = getattr(node.target, "__name__", "")
    spaces = torch, F, operator, builtins
    if not any(getattr(space, name, None) is node.target for space in spaces):
        return ""
    return node.args[1] if name == "getattr" else name.rstrip("_")


def aside(node):
    return bool(_ASIDE.fullmatch(called(node)))


def _of_node(node, source, root):
    """The Follower that a signal from source meets in a node; None if it goes through."""
    if node.op == "call_module":
        return _of_module(root.get_submodule(node.target))
    name = called(node)
    others = [n for n in node.all_input_nodes if n is not source]
    scaled = _TIMES.fullmatch(name) and all(n.op == "get_attr" for n in others)
    places = [i for i, a in enumerate(node.args) if a is source]
    scaled = scaled and (places == [0] or (places == [1] and "div" not in name))
    if scaled or _THROUGH.fullmatch(name):
        return None
    if _LINEAR.fullmatch(name):
        return Follower(1.0, f"linear ({name})")

    def call(z):
        args, options = torch.fx.node.map_arg(
            (node.args, node.kwargs), lambda n: z if n is source else n
        )
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **options)
        return node.target(*args, **options)

    return _measured(call, name or getattr(node.target, "__name__", "").strip("_"))


def _of_module(module):
    """The Follower that a signal meets in a module; None if it goes through."""
    name = type(module).__name__
    if type(module) is torch.nn.PReLU:
        slope = module.weight.detach().double().square().mean().sqrt().item()
        return Follower(math.sqrt(2) / math.hypot(1, slope), name)
    linear = is_layer(module)
    if _is_torchs(module):
        file = type(module).__module__.removeprefix("torch.nn.modules.")
        if _THROUGH_FILES.fullmatch(file):
            return None
        linear = file == "loss" or name in _LINEAR_CLASSES or bool([*module.parameters()])
    if linear:
        return Follower(1.0, f"linear ({name})")
    return unseen(name) if _has_layers(module) else _measured(module, name)


def _measured(call, name):
    """The same of any function or module, by what it does to numbers."""
    f = _elementwise(call)
    if f is None:
        through = isinstance(call, torch.nn.Module) and _only_scales(call)
        return None if through else unseen(name)
    if _on_lines(_PROBE, f(_PROBE)):
        return None
    try:
        return Follower(theory.gain(f), name)
    except ValueError:  # zero everywhere, say
        return unseen(name)


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        yield


def _of_arrays(call):
    """A function or module as a function of arrays."""
    if isinstance(call, torch.nn.Module):
        # a copy: eval mode takes chance out of it, and forward alone runs no hooks
        call = copy.deepcopy(call).to("cpu").double().eval().forward

    def f(z):
        with _quiet(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return np.asarray(call(torch.tensor(z)).double())

    return f


def _elementwise(call):
    """A function or module as one of arrays, if it acts on each entry alone, else None."""
    try:
        f = _of_arrays(call)
        together = f(_PROBE)
        alone = np.concatenate([f(z) for z in np.split(_PROBE, len(_PROBE))])
    except Exception:  # user code, given one vector: anything may be raised
        return None
    same = together.shape == alone.shape == _PROBE.shape
    return f if same and np.allclose(together, alone, atol=1e-12, equal_nan=True) else None


def normalizes(module) -> bool:
    """Whether a module is a norm: torch's, or one that no scale of its input changes."""
    if isinstance(module, NORMS):
        return True
    if _is_torchs(module) or is_layer(module) or (fits := _of_rows(module)) is None:
        return False
    x, f = fits
    return bool(np.ptp(f(x)) > 0) and np.allclose(f(10 * x), f(x), rtol=1e-2)


def _only_scales(module):
    """Whether a module shifts and scales entries by statistics, as norms do, and no more.

    Rows of the same numbers in other orders have the same statistics, so that an entry of
    the output is then on one line with that of the input; behind an activation it is not.
    """
    fits = _of_rows(module)
    return fits is not None and _on_lines(fits[0], fits[1](fits[0]))


def _of_rows(module):
    """(rows of the same numbers in other orders, a module as their function), or None."""
    held = [*module.parameters(), *module.buffers()]
    n = max((size for t in held for size in t.shape), default=0)
    n = n if n > 2 else 12  # as wide as its scale, or any
    row, rows = np.resize(_PROBE, n), len(_PROBE)
    x = np.stack([np.roll(row, k) for k in range(rows)])
    for shape in ((rows, n), (rows, n, 1, 1), (rows, 1, n), (rows, n, 1)):
        with contextlib.suppress(Exception):  # user code, given a shape that may not fit
            f = _of_arrays(module)
            if f(x.reshape(shape)).shape == shape:
                return x, lambda v: f(v.reshape(shape)).reshape(v.shape)  # noqa: B023
    return None


def _on_lines(x, y):
    """Whether y = ax + b along axis 0, and not y = b everywhere."""
    if not np.isfinite(y).all():
        return False
    x, y = x - x.mean(0), y - y.mean(0)
    largest = np.abs(y).max()
    slope = (x * y).sum(0) / (x * x).sum(0)
    return largest > 0 and np.allclose(y, slope * x, rtol=0, atol=1e-6 * largest)

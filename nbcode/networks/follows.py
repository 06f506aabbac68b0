"""What follows each layer of a torch module: the activation whose gain its weight needs.

The order of a model is that of its forward, which torch.fx writes down by calling it with
stand-ins for tensors: nothing is computed. Where forward asks a tensor for its value there
is no such record, and only the order in which layers were registered is left.
"""

import contextlib
import copy
import inspect
import math
import re
import warnings
from typing import NamedTuple

import numpy as np
import torch
import torch.fx

from nbcode import theory


class Follower(NamedTuple):
    """The gain that a weight needs for what follows it, and what that is, in words."""

    gain: float
    text: str


# What the sum of a unit may pass on its way to the activation: it is moved, picked, scaled
# or added to.
_THROUGH = re.compile(
    r"norm|pool|drop|pad|flatten|shuffle|upsampl|interpolate|fold|view|shape|permute"
    r"|transpose|squeeze|^i?(add|sub)$|^(cat|concat|stack|chunk|split|unbind|getitem|roll"
    r"|narrow|expand|repeat|tile|clone|detach|mean|sum|amax|max|masked_fill|swapaxes"
    r"|movedim|t|identity)$"
)
_TIMES = re.compile(r"^(i?mul|i?(true)?div|multiply|divide)$")
# They mix the units of a signal, or end the network: the derivation's linear case.
_LINEAR = re.compile(
    r"softmax|softmin|matmul|^b?mm$|einsum|linear$|^conv|attention|loss|entropy"
)
# What comes of these is a number or a shape, no signal.
_ASIDE = re.compile(r"^(size|dim|numel|len|getattr|eq|ne|lt|gt|le|ge|assert|arg(max|min))$")
_PASS, _SIDE = "pass", "side"


def followers(module) -> dict:
    """{layer: Follower} for each Linear, convolution and attention's out_proj in module."""
    found = {}
    _follow(module, Follower(1.0, "linear (end)"), "", found)
    return found


def is_layer(module):
    return isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd)


def _follow(module, end, owner, found):
    """Enter the layers of module into found; ``end`` follows module as a whole."""
    nn = torch.nn
    if not any(is_layer(m) for m in module.modules()):
        return
    if is_layer(module):
        found.setdefault(module, end)  # of a layer that is called twice, the first call
    elif isinstance(module, nn.MultiheadAttention):
        found.setdefault(module.out_proj, end)
    elif isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        for m in filter(is_layer, module.modules()):
            found.setdefault(m, Follower(1.0, "linear (residual sum)"))
        phi = module.activation
        read = _role_of_module if isinstance(phi, nn.Module) else _role_of_function
        if (role := read(phi)) is not _PASS:
            found[module.linear1] = role
    elif (graph := _trace(module)) is not None:
        for node in graph.nodes:
            if node.op == "call_module":
                after = _after(node, module, end)
                _follow(module.get_submodule(node.target), after, owner, found)
    else:
        if not type(module).__module__.startswith("torch.nn."):  # a list has no forward
            owner = type(module).__name__
        why = "its order is not known"
        if owner:
            why = f"the forward of {owner} cannot be traced"
        unseen = Follower(1.0, f"linear (not seen: {why})")
        children = [m for m in module._modules.values() if m is not None]
        for i, child in enumerate(children):
            _follow(child, _registered_next(children[i + 1 :], unseen), owner, found)


def _registered_next(modules, unseen):
    """The activation that was registered next, before any other layer."""
    for module in modules:
        for _, leaf in module.named_modules(remove_duplicate=False):
            role = _PASS if list(leaf.children()) else _role_of_module(leaf)
            if role is not _PASS:
                if role.text.startswith("linear"):
                    return unseen  # for forward may still call an activation in between
                return Follower(role.gain, f"{role.text} (registered next)")
    return unseen


def _trace(module):
    """The graph of module's forward, or None if it has no forward that can be traced."""
    if _is_torchs(module):
        return None

    class Tracer(torch.fx.Tracer):
        proxy_buffer_attributes = True  # a causal mask is sliced by the length of the input

        def is_leaf_module(self, m, name):
            return _is_leaf(m)

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
    try:
        arguments = inspect.signature(module.forward).parameters.values()
        defaults = {a.name: a.default for a in arguments}
        constants = {
            k: v
            for k, v in defaults.items()
            if v is None or isinstance(v, bool | int | float)
        }
        with _untouched(module):
            return Tracer().trace(module, constants)
    except Exception:  # user code meets a stand-in for a tensor: anything may be raised
        return None


@contextlib.contextmanager
def _untouched(module):
    """Undo what user code does on the side: attributes that it sets, numbers it draws."""
    attributes = [(m, dict(vars(m))) for m in module.modules()]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for m, saved in attributes:
                vars(m).clear()
                vars(m).update(saved)


def _is_torchs(module):
    """One of torch's own modules, whose forward is not to be looked into."""
    own = type(module).__module__.startswith("torch.nn.")
    return own and not isinstance(module, torch.nn.Sequential)


def _is_leaf(module):
    if _is_torchs(module) or is_layer(module) or "norm" in type(module).__name__.lower():
        return True
    # a module without parameters that acts on each entry alone is an activation
    return next(module.parameters(), None) is None and _elementwise(module) is not None


def _after(node, root, end):
    """What the output of a node of root's graph meets first.

    Branches may meet different things: the one that is executed first decides.
    """
    found, reached, todo = {}, set(), [node]
    while todo:
        source = todo.pop()
        for user in source.users:
            if user not in reached:
                reached.add(user)
                role = end if user.op == "output" else _role_of_node(user, source, root)
                if role is _PASS:
                    todo.append(user)
                elif role is not _SIDE:
                    found[user] = role
    ordered = [found[n] for n in node.graph.nodes if n in found]
    unseen = [f for f in ordered if "not seen" in f.text]
    if not ordered:
        return Follower(1.0, "linear (not seen: its output is not used)")
    # A branch that cannot be read may be a gate: x·σ(x) is no sigmoid.
    first = (unseen or ordered)[0]
    others = dict.fromkeys(f.text for f in ordered if f.text != first.text)
    if unseen or not others:
        return first
    return Follower(first.gain, f"{first.text}, also {', '.join(others)}")


def _role_of_node(node, source, root):
    """What a node does to a signal that comes from source: _PASS, _SIDE or a Follower."""
    if node.op == "call_module":
        return _role_of_module(root.get_submodule(node.target))
    name = node.target if node.op == "call_method" else node.target.__name__
    name = name.strip("_")
    if name == "getattr" and node.args[1] in ("T", "mT"):
        return _PASS
    if _ASIDE.search(name):
        return _SIDE
    others = [n for n in node.all_input_nodes if n is not source]
    scaled = _TIMES.search(name) and all(n.op == "get_attr" for n in others)
    places = [i for i, a in enumerate(node.args) if a is source]
    if scaled and (places == [0] or (places == [1] and "div" not in name)):
        return _PASS

    def call(z):
        args = [z if a is source else a for a in node.args]
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **node.kwargs)
        return node.target(*args, **node.kwargs)

    return _role_of_function(call, name)


def _role_of_module(module):
    name = type(module).__name__
    if isinstance(module, torch.nn.PReLU):
        slope = module.weight.detach().double().square().mean().sqrt().item()
        return Follower(math.sqrt(2) / math.hypot(1, slope), name)
    if "norm" not in name.lower() and next(module.parameters(), None) is not None:
        known = _is_torchs(module) or is_layer(module)
        return Follower(1.0, f"linear ({name})" if known else f"linear (not seen: {name})")
    return _role_of_function(module, name)


def _role_of_function(call, name=None):
    name = name or getattr(call, "__name__", type(call).__name__)
    if _THROUGH.search(name.lower()):
        return _PASS
    if _LINEAR.search(name.lower()):
        return Follower(1.0, f"linear ({name})")
    f = _elementwise(call)
    if f is not None:
        if np.allclose(f(_PROBE), _PROBE):
            return _PASS
        with contextlib.suppress(ValueError):  # zero everywhere, say
            return Follower(theory.gain(f), name)
    return Follower(1.0, f"linear (not seen: {name})")


_PROBE = np.array([-2.0, -1.0, -0.5, 0.25, 1.0, 3.0])  # exact in every dtype


def _elementwise(call):
    """A function or module, of arrays, if it acts on each entry alone, else None."""

    def f(z):
        with torch.no_grad():
            return np.asarray(call(torch.tensor(z)).double())

    try:
        if isinstance(call, torch.nn.Module):
            # a copy: eval mode takes chance out of it, and forward alone runs no hooks
            call = copy.deepcopy(call).to("cpu").double().eval().forward
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = f(_PROBE)
            alone = y.shape == _PROBE.shape and np.allclose(f(_PROBE[:1]), y[:1])
            return f if alone and np.allclose(f(_PROBE[::-1].copy()), y[::-1]) else None
    except Exception:  # user code, given one vector: anything may be raised
        return None

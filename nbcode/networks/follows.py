"""What follows each layer of a torch module: the activation whose gain its weight needs.

The order of a model is that of its forward, which torch.fx writes down by calling it with
stand-ins for tensors: nothing is computed. Where forward asks a tensor for its value there
is no such record, and only the order in which layers were registered is left.
"""

import inspect

import torch
import torch.fx

from nbcode.networks import roles
from nbcode.networks.untouched import untouched


def followers(module) -> dict[torch.nn.Module, roles.Follower]:
    """{layer: Follower} for each Linear, convolution and attention's out_proj in module."""
    found: dict[torch.nn.Module, roles.Follower] = {}
    end = roles.Follower(1.0, "linear (end)")
    _follow(module, end, "its order is not known", found)
    return found


def _follow(module, end, why, found):
    """Enter the layers of module into found; ``end`` follows module as a whole.

    ``why`` says what hides the order in which a list is called, which has no forward.
    """
    nn = torch.nn
    if not roles.has_layers(module):
        return
    if roles.is_layer(module):
        found.setdefault(module, end)  # of a layer that is called twice, the first call
    elif isinstance(module, nn.MultiheadAttention):
        found.setdefault(module.out_proj, end)
    elif isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        after = roles.Follower(1.0, "linear (residual sum)")
        phi = module.activation
        name = getattr(phi, "__name__", type(phi).__name__)
        found.setdefault(module.linear1, roles.measured(phi, name) or after)
        for m in filter(roles.is_layer, module.modules()):
            found.setdefault(m, after)
    elif (graph := _trace(module)) is not None:
        for node in graph.nodes:
            if node.op == "call_module":
                after = _after(node, module, end)
                _follow(module.get_submodule(node.target), after, why, found)
    else:
        if not roles.is_torchs(module):
            why = f"the forward of {type(module).__name__} cannot be traced"
        children = [m for m in module._modules.values() if m is not None]
        for i, child in enumerate(children, 1):
            after = _registered_next(children[i:]) or roles.unseen(why)
            _follow(child, after, why, found)


def _registered_next(modules):
    """The activation that was registered next, before any other layer, or None."""
    inside = (pair for m in modules for pair in m.named_modules(remove_duplicate=False))
    met = (roles.of_module(m) for _, m in inside if not [*m.children()])
    role = next(filter(None, met), None)
    if role is None or role.text.startswith("linear"):
        return None  # for forward may still call an activation in between
    return roles.Follower(role.gain, f"{role.text} (registered next)")


def _trace(module):
    """The graph of module's forward, or None if it has no forward that can be traced."""
    if roles.is_torchs(module):
        return None

    class Tracer(torch.fx.Tracer):
        proxy_buffer_attributes = True  # a causal mask is sliced by the length of the input

        def call_module(self, m, forward, args, kwargs):
            path = self.path_of_module(m)
            if not roles.is_leaf(m):
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
        with untouched([*module.modules()], [*module.parameters()]), roles.quiet():
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
            if user not in found and not roles.ASIDE.fullmatch(roles.called(user)):
                ends = user.op == "output"
                found[user] = end if ends else roles.of_node(user, source, root)
                if found[user] is None:
                    todo.append(user)
    ordered = [found[n] for n in node.graph.nodes if found.get(n)]
    if not ordered:
        return roles.unseen("its output is not used")
    for follower in ordered:
        if "not seen" in follower.text:  # it may be a gate: x·σ(x) is no sigmoid
            return follower
    text, *others = dict.fromkeys(follower.text for follower in ordered)
    text = f"{text}, also {', '.join(others)}" if others else text
    return roles.Follower(ordered[0].gain, text)

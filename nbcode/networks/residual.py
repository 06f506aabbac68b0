"""Residual sums in the record that torch.fx makes of forward: where a branch ends."""

import contextlib

import torch
from torch import nn

from nbcode.networks.gate import is_layer

_NORMS = nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm


def branch_ends(graph, root, called, aside):
    """The last layers of each residual branch, a list of them a sum, in order of execution.

    A sum is residual where both terms come from one tensor, and one has more layers on its
    way than the other, which is the shortcut. A branch whose scale a norm decides,
    after its last layer or after the sum, has no entry.

    Args:
        graph: the torch.fx graph of root's forward.
        root: the torch.nn.Module that it was made of.
        called: a function of a node: the name of what it calls, if that is torch's own.
        aside: a function of a node: whether its output is a number or a shape, no signal.
    """
    before: dict = {}  # all nodes on which a node's signal depends, and itself
    for node in graph.nodes:
        sources = [] if aside(node) else node.all_input_nodes
        before[node] = {node}.union(*(before[source] for source in sources))

    def module(node):
        return root.get_submodule(node.target) if node.op == "call_module" else None

    def layers(nodes):
        return [m for m in map(module, nodes) if is_layer(m) or _attends(m)]

    def branch(a, b):
        own = len(layers(before[a] - before[b])), len(layers(before[b] - before[a]))
        if not before[a] & before[b] or own[0] == own[1]:
            return None  # no common source, or two paths that are equals
        return a if own[0] > own[1] else b

    def last(node, source):
        m = module(node)
        if is_layer(m) or _attends(m):
            return [m.out_proj if _attends(m) else m]
        if node is source or aside(node) or _normalizes(m, called(node)):
            return []
        return [end for n in node.all_input_nodes for end in last(n, source)]

    found = []
    for node in graph.nodes:
        if called(node) not in ("add", "iadd") or len(node.all_input_nodes) != 2:
            continue
        a, b = node.all_input_nodes
        if (end := branch(a, b)) is None:
            continue
        if node.users and all(_normalizes(module(n), called(n)) for n in node.users):
            continue
        if ends := last(end, b if end is a else a):
            found.append(ends)
    return found


def _attends(module):
    return isinstance(module, nn.MultiheadAttention)


def _normalizes(module, name):
    """Whether a step is a norm: torch's own, or one that no scale of its input changes."""
    if module is None:
        return name.endswith("_norm")
    if isinstance(module, _NORMS):
        return True
    with contextlib.suppress(Exception), torch.no_grad():  # user code, given any shape
        n = max((size for t in module.parameters() for size in t.shape), default=12)
        x = torch.linspace(-1, 2, 6 * n).reshape(6, n)
        y = module(x)
        return bool(y.std() > 0) and torch.allclose(module(10 * x), y, rtol=1e-2)
    return False

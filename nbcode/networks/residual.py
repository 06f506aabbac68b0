"""Residual sums in the record that torch.fx makes of forward: where a branch ends."""

from torch import nn

from nbcode.networks.follows import aside, called, normalizes
from nbcode.networks.gate import is_layer


def branch_ends(graph, root):
    """The last layers of each residual branch, a list of them a sum, in order of execution.

    A sum is residual where both terms come from one tensor, and one has more layers on its
    way than the other, which is the shortcut. A branch whose scale a norm decides,
    after its last layer or after the sum, has no entry.

    Args:
        graph: the torch.fx graph of root's forward.
        root: the torch.nn.Module that it was made of.
    """
    before: dict = {}  # one bit for each node on which a node's signal depends, and its own
    layers = 0
    for i, node in enumerate(graph.nodes):
        before[node] = 1 << i
        layers |= bool(_layer(node, root)) << i
        for source in [] if aside(node) else node.all_input_nodes:
            before[node] |= before[source]

    found = []
    for node in graph.nodes:
        if called(node) not in ("add", "iadd") or len(node.all_input_nodes) != 2:
            continue
        if node.users and all(_is_norm(user, root) for user in node.users):
            continue
        a, b = (before[n] for n in node.all_input_nodes)
        more = (layers & a & ~b).bit_count() - (layers & b & ~a).bit_count()
        if not a & b or not more:
            continue  # no common source, or two paths that are equals
        end, shortcut = (0, b) if more > 0 else (1, a)
        if ends := _last(node.all_input_nodes[end], shortcut, before, root):
            found.append(ends)
    return found


def _last(end, shortcut, before, root):
    """The layers that a branch ends with: those met first on the way back."""
    ends, todo, met = [], [end], set()
    while todo:
        node = todo.pop()
        if node in met:
            continue
        met.add(node)
        if layer := _layer(node, root):
            ends.append(layer)
        elif not (before[node] & ~shortcut == 0 or aside(node) or _is_norm(node, root)):
            todo += node.all_input_nodes
    return ends


def _layer(node, root):
    """The layer whose output a node is, if it is one's."""
    m = root.get_submodule(node.target) if node.op == "call_module" else None
    if isinstance(m, nn.MultiheadAttention):
        return m.out_proj
    return m if is_layer(m) else None


def _is_norm(node, root):
    if node.op == "call_module":
        return normalizes(root.get_submodule(node.target))
    return called(node).endswith("_norm")

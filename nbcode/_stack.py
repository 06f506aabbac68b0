"""A stack of multilayer perceptrons, one run beside the other: forward, gradients, a step.

Tensors of a stack have the runs as their first axis. A state is what the networks are made
of, by name: one tensor a layer, weights of shape (runs, fan_in, fan_out), the others
(runs, 1, units).
"""

import numpy as np
import torch

State = dict[str, list[torch.Tensor]]

EPS, SHARE = 1e-5, 0.1  # torch's defaults: added to a variance; of a batch in the running
BETA1, BETA2 = 0.9, 0.999  # those of torch.optim.Adam


def state(weights, biases, norm, **place) -> State:
    """A stack as it starts: norms scale by 1 and shift by 0, for unit running variances."""
    hidden = [w.shape[:2] for w in weights[:-1]] if norm else []
    tracked = hidden if norm == "batch" else []
    return {
        # transposed, as h @ W.T reads them: the gradients come in the same memory order
        "weights": [torch.tensor(w, **place).mT.contiguous() for w in weights],
        "biases": [torch.tensor(b, **place)[:, None] for b in biases],
        "gammas": [torch.ones(runs, 1, n, **place) for runs, n in hidden],
        "betas": [torch.zeros(runs, 1, n, **place) for runs, n in hidden],
        "running_means": [torch.zeros(runs, 1, n, **place) for runs, n in tracked],
        "running_vars": [torch.ones(runs, 1, n, **place) for runs, n in tracked],
    }


def forward(state: State, x, *, phi, norm, training):
    """(logits of shape (runs, samples, classes), batch norm's running statistics after)."""
    h = x
    last = len(state["weights"]) - 1
    running: State = {"running_means": [], "running_vars": []}
    for i, (w, b) in enumerate(zip(state["weights"], state["biases"], strict=True)):
        h = torch.baddbmm(b, h.expand(len(w), -1, -1), w)
        if i == last:
            break
        if norm == "layer":
            h = torch.nn.functional.layer_norm(h, h.shape[2:], eps=EPS)
        if norm == "batch":
            mean, var = state["running_means"][i], state["running_vars"][i]
            h, mean, var = _batch_norm(h, mean, var, training)
            running["running_means"].append(mean)
            running["running_vars"].append(var)
        if norm:
            h = h * state["gammas"][i] + state["betas"][i]
        h = phi(h)
    return h, running


def _batch_norm(h, running_mean, running_var, training):
    """(h normalized over its samples, axis 1, running mean and variance after it)."""
    if not training:
        return (h - running_mean) * (running_var + EPS).rsqrt(), running_mean, running_var
    samples = h.shape[1]
    if samples == 1:
        raise ValueError(
            "batch_size must be 2 samples or more with norm='batch', got 1: a single value "
            "is its own mean"
        )
    mean = h.mean(dim=1, keepdim=True)
    h = h - mean  # torch.var_mean takes ten times as long
    var = h.square().mean(dim=1, keepdim=True)
    unbiased = var.detach() * (samples / (samples - 1))
    running_mean = (1 - SHARE) * running_mean + SHARE * mean.detach()
    running_var = (1 - SHARE) * running_var + SHARE * unbiased
    return h * (var + EPS).rsqrt(), running_mean, running_var


def gradients(network, state: State, trained, x, y):
    """(gradients of what is trained, loss of each run, running statistics after).

    One backward pass serves all runs: no run's loss depends on another's parameters.
    """
    parameters = [t.requires_grad_() for name in trained for t in state[name]]
    logits, running = network(state, x, training=True)
    labels = y.expand(len(logits), -1)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    loss = loss.view_as(labels).mean(-1)
    grads = iter(torch.autograd.grad(loss.sum(), parameters))
    by_name = {name: [next(grads) for _ in state[name]] for name in trained}
    return by_name, loss.detach(), running


def accuracy(network, state: State, x, y):
    """Share of right answers of each run, a NumPy array; nan is no answer."""
    logits, _ = network(state, x, training=False)
    right = (logits.argmax(-1) == y) & torch.isfinite(logits).all(-1)
    return right.float().mean(-1).cpu().numpy()


def rms(grads):
    """Of each layer's gradient and each run, shape (layers, runs), a NumPy array."""
    return np.array([g.cpu().double().square().mean((1, 2)).sqrt().numpy() for g in grads])


def split(state: State, parts: int) -> list[State]:
    """The runs in so many parts."""
    cut = {name: [t.tensor_split(parts) for t in state[name]] for name in state}
    return [{name: [t[i] for t in cut[name]] for name in cut} for i in range(parts)]


def join(parts: list[State]) -> State:
    """The runs side by side again."""
    layers = {name: zip(*(part[name] for part in parts), strict=True) for name in parts[0]}
    return {name: [torch.cat(layer) for layer in layers[name]] for name in layers}


def step(state: State, memory, grads: State, number, direction):
    """(state, the optimizer's memory) after step ``number``; it uses the gradients up.

    Nothing that it is given but the gradients changes: a Ctrl-C leaves no half step.
    """
    state, memory, (rate,) = dict(state), dict(memory), state["rates"]
    for name, slopes in grads.items():
        moves = [direction(g, m, number) for g, m in zip(slopes, memory[name], strict=True)]
        memory[name] = [remembered for _, remembered in moves]
        # Into the gradient's place, which is free now: new memory would cost a tenth of
        # the time. Detached, not under no_grad, which Ctrl-C might leave switched on.
        state[name] = [
            torch.addcmul(t.detach(), rate, move, value=-1, out=g)
            for t, g, (move, _) in zip(state[name], slopes, moves, strict=True)
        ]
    return state, memory


def sgd(grad, memory, number, momentum):
    """(direction, memory) as torch.optim.SGD has it: v ← momentum·v + gradient."""
    if not momentum:
        return grad, memory
    velocity = momentum * memory[0] + grad
    return velocity, (velocity,)


def adam(grad, memory, number, eps):
    """(direction, memory) by Kingma and Ba (2015), algorithm 1; steps count from 1."""
    mean, square = memory
    if number == 1:
        mean = square = torch.zeros_like(grad)
    # What is not remembered is computed in place: passes over memory cost the time here.
    mean = mean.lerp(grad, 1 - BETA1)
    square = (BETA2 * square).addcmul_(grad, grad, value=1 - BETA2)
    root = (square / (1 - BETA2**number)).sqrt_().add_(eps)
    return torch.div(mean, root, out=root).div_(1 - BETA1**number), (mean, square)

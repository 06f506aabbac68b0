"""Train many small networks at once: one batched matmul a layer.

A map too large for one call is a list of tiles that know nothing of each other, and joblib,
which scikit-learn brings, trains them on all cores:

>>> x, y = np.eye(2, dtype="float32"), np.array([0, 1])
>>> tiles = [{"weights": [np.eye(2)[None]], "learning_rate": [rate]} for rate in (0.1, 1.0)]
>>> from joblib import Parallel, delayed
>>> runs = Parallel(n_jobs=2)(delayed(train)(x=x, y=y, steps=3, **tile) for tile in tiles)
>>> np.stack([r.loss[:, 0] for r in runs], axis=1).round(3).tolist()
[[0.313, 0.313], [0.306, 0.248], [0.299, 0.204]]

The same line uses all machines of a Dask cluster (``pip install nbcode[cluster]``), which
trains the tiles of a lost worker again::

    client = dask.distributed.Client("scheduler:8786")
    with joblib.parallel_config("dask"):
        runs = Parallel()(delayed(train)(x=x, y=y, steps=3, **tile) for tile in tiles)

A tile that draws batches needs a generator of its own: ``rng.spawn(len(tiles))[i]``, say.
"""

import math
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from nbcode import _progress, _validate, theory

if TYPE_CHECKING:
    import torch

NORMS = ("batch", "layer")
DTYPES = ("float32", "float64")
EPS, SHARE = 1e-5, 0.1  # torch's defaults: added to a variance; of a batch in the running
CACHE_LINE = 16  # numbers of 4 bytes


@dataclass
class Runs:
    """What training left behind, one entry a run, on the CPU.

    Attributes:
        loss: training loss before each step, shape (steps, runs), in nats; nan or inf
            where a run diverged, nan for steps that were not taken.
        weights: the trained [W^1, ..., W^L], W^l of shape (runs, n_l, n_{l-1}).
        biases: the trained [b^1, ..., b^L], b^l of shape (runs, n_l).
        grad_rms: rms of each layer's weight gradient at the first step, (L, runs).
        activation: the name that the hidden layers used.
        steps: how many steps were taken: fewer than asked for after a Ctrl-C.
        norm: the normalization before each hidden activation.
        gammas: its trained scales, one for each hidden layer, each (runs, n_l).
        betas: its trained shifts, likewise.
        running_means: batch norm's running means, likewise, empty for others.
        running_vars: its running variances, likewise.
        curve: accuracy on ``watch`` before step 0, every, 2·every, ..., one row each, of
            shape (rows, runs); 0 where a run diverged, None if nothing was watched.
    """

    loss: np.ndarray
    weights: "list[torch.Tensor]"
    biases: "list[torch.Tensor]"
    grad_rms: np.ndarray
    activation: str
    steps: int
    norm: str | None = None
    gammas: "list[torch.Tensor]" = field(default_factory=list)
    betas: "list[torch.Tensor]" = field(default_factory=list)
    running_means: "list[torch.Tensor]" = field(default_factory=list)
    running_vars: "list[torch.Tensor]" = field(default_factory=list)
    curve: np.ndarray | None = None

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Share of samples that each run classifies correctly, shape (runs,).

        Batch norm uses its running statistics.

        >>> x, y = np.eye(2, dtype="float32"), np.array([0, 1])
        >>> w = [np.stack([np.eye(2), -np.eye(2)])]
        >>> train(w, x, y, learning_rate=[0.0, 0.0], steps=1).accuracy(x, y).tolist()
        [1.0, 0.0]
        """
        inputs, classes = self.weights[0].shape[2], self.weights[-1].shape[1]
        x, y = _data(x, y, inputs, classes, dtype=self.weights[0].dtype, device="cpu")
        state = {"weights": [w.mT for w in self.weights]}
        for name in PER_UNIT:
            state[name] = [t[:, None] for t in getattr(self, name)]
        return _accuracy(state, x, y, _torch_activation(self.activation), self.norm)


PER_UNIT = ("biases", "gammas", "betas", "running_means", "running_vars")


def train(
    weights: list[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    *,
    learning_rate: np.ndarray,
    steps: int,
    activation: str = "relu",
    bias: bool = True,
    biases: list[np.ndarray] | None = None,
    batch_size: int | None = None,
    rng: np.random.Generator | None = None,
    norm: str | None = None,
    momentum: float = 0.0,
    watch: tuple[np.ndarray, np.ndarray] | None = None,
    every: int = 10,
    dtype: str = "float32",
    device: str = "cpu",
) -> Runs:
    """Train a stack of multilayer perceptrons by gradient descent on the cross-entropy.

    All runs share the architecture and the batches; they differ in initial weights and
    learning rate. A run that diverges does not touch the others, and soon takes no more
    time. Ctrl-C ends training early and returns what is done so far. From two seconds on, a
    terminal or a notebook shows how far it is.

    Args:
        weights: initial [W^1, ..., W^L], W^l of shape (runs, n_l, n_{l-1}); not changed.
        x: inputs, (samples, n_0).
        y: class numbers 0 to n_L − 1, (samples,).
        learning_rate: one a run, shape (runs,); not negative.
        steps: number of gradient steps.
        activation: of the hidden layers: a name that both :mod:`nbcode.theory` and torch
            know (linear, relu, tanh, sigmoid, gelu, silu, ...).
        bias: whether biases are trained; if not, they stay what they were at the start.
        biases: initial [b^1, ..., b^L], b^l of shape (runs, n_l), not changed; default 0.
        batch_size: samples a step, drawn without replacement; all of them if None.
        rng: NumPy random generator; needed with batch_size, to draw the batches.
        norm: before each hidden activation: None, "batch" or "layer" as torch.nn has them,
            with scale 1 and shift 0 at the start, both trained.
        momentum: of SGD, from 0 to below 1, as torch has it: v ← momentum·v + gradient.
        watch: (x, y) like the first two, such as a test set, whose accuracy is followed.
        every: steps from one such accuracy to the next.
        dtype: of the arithmetic, "float32" or "float64".
        device: where torch computes, such as "cuda"; what is returned is on the CPU.

    Raises:
        ValueError: for shapes that do not fit, labels or numbers out of range, a batch_size
            without rng, batches of one with batch norm, or a device that is not there.

    >>> w = [np.ones((2, 3, 1)), np.ones((2, 2, 3))]
    >>> x, y = np.array([[1.0], [-1.0]], "float32"), np.array([0, 1])
    >>> train(w, x, y, learning_rate=[0.1, 0.2], steps=5).loss.shape
    (5, 2)
    """
    import torch

    remedy = "stack the runs along a first axis, (runs, fan_out, fan_in)"
    weights = [
        _validate.array(f"weights[{i}]", w, remedy, ndim=(3,), finite=False)
        for i, w in enumerate(_validate.arrays("weights", weights, remedy))
    ]
    runs = len(weights[0])
    for i, w in enumerate(weights):
        before = weights[i - 1].shape[1] if i else w.shape[2]
        if w.shape[0] != runs or w.shape[2] != before:
            raise ValueError(
                f"weights[{i}] must have shape ({runs}, fan_out, {before}), got "
                f"{w.shape}: its fan_in is the layer before"
            )
    place = {"dtype": _torch_dtype(dtype), "device": _torch_device(device)}
    sizes = weights[0].shape[2], weights[-1].shape[1]
    x, y = _data(x, y, *sizes, **place)
    if watch is not None:
        if len(_validate.arrays("watch", watch, "pass (x, y)")) != 2:
            raise ValueError(f"watch must be two arrays, got {len(watch)}: pass (x, y)")
        watch = _data(*watch, *sizes, **place, names=("watch[0]", "watch[1]"))
    every = _validate.integer("every", every, "it is a number of steps, such as 10")
    if norm is not None:
        _validate.choice("norm", norm, NORMS)
    momentum = _validate.number("momentum", momentum, "0.9 is usual", at_least=0)
    if momentum >= 1:
        raise ValueError(f"momentum must be below 1, got {momentum:g}: 0.9 is usual")
    lr = _validate.array("learning_rate", learning_rate, "one number a run", ndim=(1,))
    if lr.shape != (runs,) or (lr < 0).any():
        raise ValueError(
            f"learning_rate must be {runs} numbers of at least 0, one a run, got {lr!r}"
        )
    steps = _validate.integer("steps", steps, "it is a number of gradient steps")
    phi = _torch_activation(activation)
    if batch_size is not None:
        batch_size = _validate.integer(
            "batch_size", batch_size, "samples a step, such as 64"
        )
        if batch_size > len(x):
            raise ValueError(
                f"batch_size must be at most {len(x)} samples, got {batch_size}"
            )
        _validate.generator("rng", rng)
    samples = len(x) if batch_size is None else batch_size
    if norm == "batch" and samples == 1:
        name = "x" if batch_size is None else "batch_size"
        raise ValueError(
            f"{name} must be 2 samples or more with norm='batch', got 1: a single value is "
            "its own mean"
        )

    shapes = [w.shape[:2] for w in weights]
    if biases is None:
        biases = [np.zeros(shape) for shape in shapes]
    remedy = "one array of shape (runs, fan_out) a layer"
    if len(_validate.arrays("biases", biases, remedy)) != len(weights):
        raise ValueError(
            f"biases must be {len(weights)}, one a layer, got {len(biases)}: {remedy}"
        )
    for i, (v, shape) in enumerate(zip(biases, shapes, strict=True)):
        if _validate.array(f"biases[{i}]", v, remedy, finite=False).shape != shape:
            raise ValueError(
                f"biases[{i}] must have shape {shape}, got {np.shape(v)}: {remedy}"
            )

    hidden = shapes[:-1] if norm else []
    tracked = hidden if norm == "batch" else []
    state = {
        # transposed, as h @ W.T reads them: the gradients come in the same memory order
        "weights": [torch.tensor(w, **place).mT.contiguous() for w in weights],
        "biases": [torch.tensor(v, **place)[:, None] for v in biases],
        "gammas": [torch.ones(r, 1, n, **place) for r, n in hidden],
        "betas": [torch.zeros(r, 1, n, **place) for r, n in hidden],
        "running_means": [torch.zeros(r, 1, n, **place) for r, n in tracked],
        "running_vars": [torch.ones(r, 1, n, **place) for r, n in tracked],
        "rates": [torch.tensor(lr, **place)[:, None, None]],
    }
    trained = ["weights", "gammas", "betas"] + ["biases"] * bias
    if momentum:
        state["velocities"] = [torch.zeros_like(t) for name in trained for t in state[name]]

    # Runs that died are taken out of the arrays: places are the runs that are still in.
    whole, places, done = _map(torch.clone, state), np.arange(runs), 0
    period = _period([w[0].size for w in weights] + [samples * n for _, n in shapes])
    losses = np.full((steps, runs), np.nan)
    first_grad = np.full((len(weights), runs), np.nan)
    curve = None if watch is None else np.zeros((math.ceil(steps / every), runs))
    denormal = bool(torch.tensor(1e-38, device="cpu") * 0.01 != 0)
    flushed = torch.set_flush_denormal(True)  # vanishing signals slow a CPU tenfold
    try:
        for step in _progress.shown(range(steps), steps, "steps"):
            if watch is not None and step % every == 0:
                curve[step // every, places] = _accuracy(state, *watch, phi, norm)
            batch = slice(None)
            if batch_size is not None:
                batch = torch.from_numpy(rng.choice(len(x), batch_size, replace=False))
            grads, loss, running = _gradients(state, x[batch], y[batch], trained, phi, norm)
            losses[step, places] = loss.cpu().numpy()
            if step == 0:
                first_grad[:] = [_rms_by_run(g) for g in grads[: len(weights)]]
            after = _descend(state | running, grads, trained, momentum)
            state, done = after, step + 1  # at once, so that Ctrl-C leaves no half step
            # A loss that is inf may recover; from nan on, all of W^L is nan for good.
            kept = _kept(np.isnan(losses[step, places]), period)
            if len(kept) < len(places):
                _put(whole, places, state)
                places, state = places[kept], _map(itemgetter(kept), state)
            if not len(kept):
                done = steps
                break
    except KeyboardInterrupt:
        losses[done:] = np.nan
        if curve is not None:
            curve[math.ceil(done / every) :] = np.nan
    finally:
        if flushed and denormal:
            torch.set_flush_denormal(False)
    _put(whole, places, state)
    whole = _map(torch.Tensor.cpu, whole)
    per_unit = {name: [t[:, 0] for t in whole[name]] for name in PER_UNIT}
    return Runs(
        loss=losses,
        weights=[w.mT.contiguous() for w in whole["weights"]],
        grad_rms=first_grad,
        activation=activation,
        steps=done,
        norm=norm,
        curve=curve,
        **per_unit,
    )


def _gradients(state, x, y, trained, phi, norm):
    """(gradients of what is trained, loss of each run, batch norm's running statistics)."""
    import torch

    parameters = [t.requires_grad_() for name in trained for t in state[name]]
    logits, running = _forward(state, x, phi, norm, training=True)
    runs = len(logits)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), y.expand(runs, -1).flatten(), reduction="none"
    )
    loss = loss.view(runs, -1).mean(-1)
    return torch.autograd.grad(loss.sum(), parameters), loss.detach(), running


def _descend(state, grads, trained, momentum):
    """The state after a step, in new tensors; it uses the gradients up."""
    import torch

    # detached, not under no_grad: Ctrl-C at the wrong moment would leave that switched on
    (rate,) = state["rates"]
    if momentum:
        pairs = zip(state["velocities"], grads, strict=True)
        velocities = [g.add_(v, alpha=momentum) for v, g in pairs]
        state = state | {"velocities": velocities}
    moves = iter(velocities if momentum else grads)
    return state | {
        name: [torch.addcmul(t.detach(), rate, next(moves), value=-1) for t in state[name]]
        for name in trained
    }


def _forward(state, x, phi, norm, *, training):
    """(logits, batch norm's running statistics after it)."""
    import torch

    h, running = x, {"running_means": [], "running_vars": []}
    last = len(state["weights"]) - 1
    for i, (w, b) in enumerate(zip(state["weights"], state["biases"], strict=True)):
        h = torch.baddbmm(b, h.expand(len(w), -1, -1), w)
        if i == last:
            return h, running
        if norm == "layer":
            h = torch.nn.functional.layer_norm(h, h.shape[2:], eps=EPS)
        if norm == "batch":
            h, *after = _batch_norm(h, *(state[name][i] for name in running), training)
            for name, statistic in zip(running, after, strict=True):
                running[name].append(statistic)
        if norm:
            h = h * state["gammas"][i] + state["betas"][i]
        h = phi(h)


def _batch_norm(h, running_mean, running_var, training):
    """(h normalized over its samples, axis 1, running mean and variance after it)."""
    if not training:
        return (h - running_mean) * (running_var + EPS).rsqrt(), running_mean, running_var
    samples = h.shape[1]
    mean = h.mean(dim=1, keepdim=True)
    h = h - mean  # torch.var_mean takes ten times as long
    var = h.square().mean(dim=1, keepdim=True)
    unbiased = var.detach() * (samples / (samples - 1))
    running_mean = (1 - SHARE) * running_mean + SHARE * mean.detach()
    running_var = (1 - SHARE) * running_var + SHARE * unbiased
    return h * (var + EPS).rsqrt(), running_mean, running_var


def _accuracy(state, x, y, phi, norm):
    import torch

    logits, _ = _forward(state, x, phi, norm, training=False)
    right = (logits.argmax(-1) == y) & torch.isfinite(logits).all(-1)
    return right.float().mean(-1).cpu().numpy()


def _map(f, state):
    return {name: [f(t) for t in tensors] for name, tensors in state.items()}


def _put(whole, places, state):
    """Write the runs that are in state to their places among all."""
    for name, tensors in state.items():
        for all_runs, some in zip(whole[name], tensors, strict=True):
            all_runs[places] = some.detach()


def _period(sizes):
    """After how many runs a matrix of each size starts at a cache line's start again."""
    return max(CACHE_LINE // math.gcd(CACHE_LINE, size) for size in sizes)


def _kept(dead, period):
    """Which runs stay when the dead go, in their new order.

    The last bit of a matmul may depend on where in a cache line the matrix starts, and
    training can blow it up. So a run moves only by a multiple of the period, and where the
    living leave holes, some of the dead stay.
    """
    rows = np.bincount(np.flatnonzero(~dead) % period).max(initial=0)
    if rows * period >= len(dead):
        return np.arange(len(dead))
    columns = [np.argsort(dead[i::period], kind="stable")[:rows] for i in range(period)]
    return (np.stack(columns, axis=1) * period + np.arange(period)).ravel()


def _rms_by_run(grad):
    return grad.cpu().double().square().mean(dim=(1, 2)).sqrt().numpy()


def _data(x, y, inputs, classes, *, dtype, device, names=("x", "y")):
    import torch

    name, labels = names
    x = _validate.array(name, x, f"pass inputs of shape (samples, {inputs})", ndim=(2,))
    y = _validate.array(labels, y, "pass class numbers of shape (samples,)", ndim=(1,))
    if x.shape[1] != inputs:
        raise ValueError(
            f"{name} must have {inputs} columns, the fan_in of W^1, got {x.shape}"
        )
    if y.dtype.kind not in "iu" or len(y) != len(x) or y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"{labels} must be {len(x)} whole numbers from 0 to {classes - 1}, got "
            f"{y.dtype} of shape {y.shape} from {y.min()} to {y.max()}"
        )
    return (
        torch.tensor(x, dtype=dtype, device=device),
        torch.tensor(y, dtype=torch.long, device=device),
    )


def _torch_dtype(name):
    import torch

    return getattr(torch, _validate.choice("dtype", name, DTYPES))


def _torch_device(device):
    import torch

    try:
        torch.zeros((), device=device).cpu()
    except (RuntimeError, AssertionError, TypeError) as error:  # the second without CUDA
        raise ValueError(
            f"device must be one that torch can compute on here, got "
            f"{_validate._short(device)}: 'cpu', or 'cuda' with a GPU and its driver"
        ) from error
    return torch.device(device)


def _torch_activation(name):
    import torch

    _validate.choice("activation", name, theory.ACTIVATIONS)
    own = {"linear": torch.nn.Identity(), "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    return own.get(name) or getattr(torch.nn.functional, name)

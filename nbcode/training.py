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

from __future__ import annotations  # so that the API page says ArrayLike

import itertools
import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from tqdm import tqdm

from nbcode import _stack, _validate, theory

PER_UNIT = ("biases", "gammas", "betas", "running_means", "running_vars")


@dataclass
class Runs:
    """What training left behind, one entry a run, on the CPU; a list has one a layer."""

    #: Training loss before each step, (steps, runs), in nats; nan or inf where a run
    #: diverged, nan for steps that were not taken.
    loss: np.ndarray
    weights: list[torch.Tensor]  #: trained, each of shape (runs, fan_out, fan_in)
    biases: list[torch.Tensor]  #: trained, each of shape (runs, fan_out)
    grad_rms: np.ndarray  #: rms of each weight's gradient at the first step, (L, runs)
    activation: str  #: the name that the hidden layers used
    steps: int  #: how many were taken: fewer than asked for after a Ctrl-C
    norm: str | None = None  #: the normalization before each hidden activation
    gammas: list[torch.Tensor] = field(default_factory=list)  #: its scales, (runs, units)
    betas: list[torch.Tensor] = field(default_factory=list)  #: its shifts, likewise
    running_means: list[torch.Tensor] = field(default_factory=list)  #: batch norm's
    running_vars: list[torch.Tensor] = field(default_factory=list)  #: batch norm's
    #: Accuracy on ``watch`` before step 0, every, 2·every, ..., shape (rows, runs); 0 where
    #: a run diverged, None if nothing was watched.
    curve: np.ndarray | None = None

    def accuracy(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Share of samples that each run classifies correctly, shape (runs,).

        Batch norm uses its running statistics.

        >>> x, y = np.eye(2, dtype="float32"), np.array([0, 1])
        >>> w = [np.stack([np.eye(2), -np.eye(2)])]
        >>> train(w, x, y, learning_rate=[0.0, 0.0], steps=1).accuracy(x, y).tolist()
        [1.0, 0.0]
        """
        sizes = self.weights[0].shape[2], self.weights[-1].shape[1]
        place = {"dtype": self.weights[0].dtype, "device": "cpu"}
        state = {name: [t[:, None] for t in getattr(self, name)] for name in PER_UNIT}
        state["weights"] = [w.mT for w in self.weights]
        network = _network(self.activation, self.norm)
        return _stack.accuracy(network, state, *_data(x, y, sizes, place))


def train(
    weights: Sequence[ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    *,
    learning_rate: ArrayLike,
    steps: int,
    activation: str = "relu",
    bias: bool = True,
    biases: Sequence[ArrayLike] | None = None,
    batch_size: int | None = None,
    rng: np.random.Generator | None = None,
    norm: str | None = None,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    eps: float = 1e-8,
    watch: tuple[ArrayLike, ArrayLike] | None = None,
    every: int = 10,
    dtype: str = "float32",
    device: str = "cpu",
) -> Runs:
    """Train a stack of multilayer perceptrons by gradient descent on the cross-entropy.

    All runs share the architecture and the batches; they differ in initial weights and
    learning rate. A run that diverges does not touch the others. Ctrl-C ends training early
    and returns what is done so far. From two seconds on a bar shows how far it is, unless
    ``TQDM_DISABLE=1`` is in the environment or this is a worker process.

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
        optimizer: "sgd" or "adam", as torch.optim has them; Adam with β1 = 0.9, β2 = 0.999.
        momentum: of SGD, from 0 to below 1, as torch has it: v ← momentum·v + gradient.
        eps: Adam's ε, below whose size a gradient hardly moves a weight; positive.
        watch: (x, y) like the first two, such as a test set, whose accuracy is followed.
        every: steps from one such accuracy to the next.
        dtype: of the arithmetic, "float32" or "float64".
        device: where torch computes, such as "cuda"; what is returned is on the CPU.

    What does not fit raises a ValueError; what torch says of a missing device passes.

    >>> w = [np.ones((2, 3, 1)), np.ones((2, 2, 3))]
    >>> x, y = np.array([[1.0], [-1.0]], "float32"), np.array([0, 1])
    >>> train(w, x, y, learning_rate=[0.1, 0.2], steps=5).loss.shape
    (5, 2)
    """
    start, start_biases = _start(weights, biases)
    sizes = start[0].shape[2], start[-1].shape[1]
    place = {
        "dtype": getattr(torch, _validate.choice("dtype", dtype, ("float32", "float64"))),
        "device": device,
    }
    inputs, labels = _data(x, y, sizes, place)
    watched = None
    if watch is not None:
        watched = _data(*watch, sizes, place, names=("watch[0]", "watch[1]"))
    network = _network(activation, norm)
    state = _stack.state(start, start_biases, norm, **place)
    state["rates"] = [_rates(learning_rate, len(start[0]), place)]
    state, done, loss, grad_rms, curve = _descend(
        network,
        state,
        ["weights", "gammas", "betas"] + ["biases"] * bias,
        _direction(optimizer, momentum, eps),
        _batches(inputs, labels, batch_size, rng),
        _validate.integer("steps", steps, "it is a number of gradient steps"),
        watched,
        _validate.integer("every", every, "it is a number of steps, such as 10"),
    )
    state = {name: [t.detach().cpu() for t in state[name]] for name in state}
    per_unit = {name: [t[:, 0] for t in state[name]] for name in PER_UNIT}
    return Runs(
        loss=loss,
        weights=[w.mT.contiguous() for w in state["weights"]],
        grad_rms=grad_rms,
        activation=activation,
        steps=done,
        norm=norm,
        curve=curve if watched else None,
        **per_unit,
    )


def _descend(network, state, trained, direction, batches, steps, watched, every):
    """(last state, steps taken, losses, rms of the first gradients, accuracies).

    Runs that diverge stay in: a nan costs what a number costs, and takes part in no other
    run's arithmetic.
    """
    layers, runs = len(state["weights"]), len(state["weights"][0])
    losses, grad_rms = np.full((steps, runs), np.nan), np.full((layers, runs), np.nan)
    curve = np.full((math.ceil(steps / every), runs), np.nan)
    on_cpu = state["weights"][0].device.type == "cpu"
    cores = min(torch.get_num_threads(), runs) if on_cpu else 1
    start = {name: [(0.0, 0.0)] * len(state[name]) for name in trained}
    parts, done = [(part, start) for part in _stack.split(state, cores)], 0

    def advance(part, x, y, i):
        """(part after step i, its losses, rms of its gradients, its accuracies)."""
        state, memory = part
        right = watched and i % every == 0 and _stack.accuracy(network, state, *watched)
        grads, loss, running = _stack.gradients(network, state, trained, x, y)
        size = i == 0 and _stack.rms(grads["weights"])
        part = _stack.step(state | running, memory, grads, i + 1, direction)
        return part, loss.cpu().numpy(), size, right

    with _threads(cores) as threads:
        try:
            # Steps first: zip draws no batch after the last of them.
            for i, (x, y) in zip(_shown(steps), batches, strict=False):
                told = threads.map(partial(advance, x=x, y=y, i=i), parts)
                after, loss, size, right = map(list, zip(*told, strict=True))
                losses[i] = np.concatenate(loss)
                if i == 0:
                    grad_rms[:] = np.concatenate(size, axis=1)
                if watched and i % every == 0:
                    curve[i // every] = np.concatenate(right)
                parts, done = after, i + 1  # in one line: no half step is left
        except KeyboardInterrupt:
            losses[done:] = np.nan
            curve[math.ceil(done / every) :] = np.nan
    return _stack.join([part for part, _ in parts]), done, losses, grad_rms, curve


def _shown(steps):
    """The numbers of the steps; from two seconds on a bar shows how far they are."""
    if multiprocessing.parent_process():  # the bars of several workers would mix
        return range(steps)
    return tqdm(range(steps), delay=2, leave=False)


@contextmanager
def _threads(count):
    """Threads with a core each: the runs share no work, so none waits inside an operation.

    Vanishing signals make denormal numbers, which slow a CPU tenfold: there they are 0.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count, "", torch.set_flush_denormal, (True,)) as threads:
            yield threads
    finally:
        torch.set_num_threads(before)


# What is asked for, checked and made ready.


def _start(weights, biases):
    """The initial weights and biases as arrays, if they are a stack of networks."""
    remedy = "stack the runs along a first axis, (runs, fan_out, fan_in)"
    weights = _validate.layers(weights, remedy, ndim=3)
    shapes = [w.shape[:2] for w in weights]
    if biases is None:
        return weights, [np.zeros(shape) for shape in shapes]
    remedy = "one array of shape (runs, fan_out) a layer"
    named = ((f"biases[{i}]", b) for i, b in enumerate(biases))
    biases = [_validate.array(name, b, remedy, finite=False) for name, b in named]
    if (got := [b.shape for b in biases]) != shapes:
        raise ValueError(f"biases must have the shapes {shapes}, got {got}: {remedy}")
    return weights, biases


def _data(x, y, sizes, place, names=("x", "y")):
    """Inputs and class numbers as tensors, if they fit networks with these ends."""
    (inputs, classes), (name, labels) = sizes, names
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
    return torch.tensor(x, **place), torch.tensor(y, **place | {"dtype": torch.long})


def _network(activation, norm):
    """The forward pass, a function of state and x."""
    _validate.choice("activation", activation, theory.ACTIVATIONS)
    if norm is not None:
        _validate.choice("norm", norm, ("batch", "layer"))
    own = {"linear": torch.nn.Identity(), "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    phi = own.get(activation) or getattr(torch.nn.functional, activation)
    return partial(_stack.forward, phi=phi, norm=norm)


def _batches(x, y, batch_size, rng):
    """What each step trains on, without end."""
    if batch_size is None:
        return itertools.repeat((x, y))
    size = _validate.integer("batch_size", batch_size, "samples a step, such as 64")
    if size > len(x):
        raise ValueError(f"batch_size must be at most {len(x)} samples, got {size}")
    _validate.generator("rng", rng)
    draws = (rng.choice(len(x), size, replace=False) for _ in itertools.count())
    return ((x[rows], y[rows]) for rows in map(torch.from_numpy, draws))


def _rates(learning_rate, runs, place):
    rates = _validate.array("learning_rate", learning_rate, "one number a run", ndim=(1,))
    if len(rates) != runs or (rates < 0).any():
        raise ValueError(
            f"learning_rate must be {runs} numbers of at least 0, one a run, got {rates!r}"
        )
    return torch.tensor(rates, **place)[:, None, None]


def _direction(optimizer, momentum, eps):
    """Where the optimizer steps, a function of gradient, memory and the step's number."""
    _validate.choice("optimizer", optimizer, ("sgd", "adam"))
    _validate.number("momentum", momentum, "0.9 is usual", at_least=0, below=1)
    _validate.number("eps", eps, "1e-8 is usual", above=0)
    if optimizer == "sgd":
        return partial(_stack.sgd, momentum=momentum)
    if momentum:
        raise ValueError(
            f"momentum must be 0 with 'adam', got {momentum}: only 'sgd' takes one"
        )
    return partial(_stack.adam, eps=eps)

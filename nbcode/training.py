"""Train many small networks at once: one batched matmul a layer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nbcode import _validate, theory

if TYPE_CHECKING:
    import torch


@dataclass
class Runs:
    """What training left behind, one entry a run.

    Attributes:
        loss: training loss before each step, shape (steps, runs), in nats; nan or inf
            where a run diverged.
        weights: the trained [W^1, ..., W^L], W^l of shape (runs, n_l, n_{l-1}).
        biases: the trained [b^1, ..., b^L], b^l of shape (runs, n_l).
        grad_rms: rms of each layer's weight gradient at the first step, (L, runs).
        activation: the name that the hidden layers used.
    """

    loss: np.ndarray
    weights: "list[torch.Tensor]"
    biases: "list[torch.Tensor]"
    grad_rms: np.ndarray
    activation: str

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Share of samples that each run classifies correctly, shape (runs,).

        >>> x, y = np.eye(2, dtype="float32"), np.array([0, 1])
        >>> w = [np.stack([np.eye(2), -np.eye(2)])]
        >>> train(w, x, y, learning_rate=[0.0, 0.0], steps=1).accuracy(x, y).tolist()
        [1.0, 0.0]
        """
        import torch

        x, y = _data(x, y, self.weights[0].shape[2], self.weights[-1].shape[1])
        with torch.no_grad():
            logits = _logits(
                x, self.weights, self.biases, _torch_activation(self.activation)
            )
        right = (logits.argmax(-1) == y) & torch.isfinite(logits).all(-1)
        return right.float().mean(-1).numpy()


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
) -> Runs:
    """Train a stack of multilayer perceptrons by gradient descent on the cross-entropy.

    All runs share the architecture and the batches; they differ in initial weights and
    learning rate. A run that diverges does not touch the others.

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

    Raises:
        ValueError: for shapes that do not fit, labels out of range, or a batch_size without
            rng.

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
    x, y = _data(x, y, weights[0].shape[2], weights[-1].shape[1])
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

    W = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in weights]
    b = [torch.tensor(v, dtype=torch.float32)[:, None].requires_grad_() for v in biases]
    trained = W + b if bias else W
    rate = torch.tensor(lr, dtype=torch.float32)[:, None, None]
    losses, first_grad = np.empty((steps, runs)), None
    denormal = bool(torch.tensor(1e-38) * 0.01 != 0)
    flushed = torch.set_flush_denormal(True)  # vanishing signals slow a CPU tenfold
    try:
        for step in range(steps):
            batch = slice(None)
            if batch_size is not None:
                batch = torch.from_numpy(rng.choice(len(x), batch_size, replace=False))
            logits = _logits(x[batch], W, b, phi)
            labels = y[batch].expand(runs, -1)
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), reduction="none"
            )
            loss = loss.view(runs, -1).mean(-1)
            grads = torch.autograd.grad(loss.sum(), trained)
            if step == 0:
                first_grad = np.array([_rms_by_run(g) for g in grads[: len(W)]])
            losses[step] = loss.detach().numpy()
            with torch.no_grad():
                for parameter, grad in zip(trained, grads, strict=True):
                    parameter -= rate * grad
    finally:
        if flushed and denormal:
            torch.set_flush_denormal(False)
    detached = [w.detach() for w in W], [v.detach()[:, 0] for v in b]
    return Runs(losses, *detached, first_grad, activation)


def _logits(x, weights, biases, phi):
    h = x
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        h = h @ w.mT + b.view(b.shape[0], 1, -1)
        if i < len(weights) - 1:
            h = phi(h)
    return h


def _rms_by_run(grad):
    return grad.double().square().mean(dim=(1, 2)).sqrt().numpy()


def _data(x, y, inputs, classes):
    import torch

    x = _validate.array("x", x, f"pass inputs of shape (samples, {inputs})", ndim=(2,))
    y = _validate.array("y", y, "pass class numbers of shape (samples,)", ndim=(1,))
    if x.shape[1] != inputs:
        raise ValueError(f"x must have {inputs} columns, the fan_in of W^1, got {x.shape}")
    if y.dtype.kind not in "iu" or len(y) != len(x) or y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"y must be {len(x)} whole numbers from 0 to {classes - 1}, got {y.dtype} of "
            f"shape {y.shape} from {y.min()} to {y.max()}"
        )
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.long)


def _torch_activation(name):
    import torch

    _validate.choice("activation", name, theory.ACTIVATIONS)
    own = {"linear": torch.nn.Identity(), "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    return own.get(name) or getattr(torch.nn.functional, name)

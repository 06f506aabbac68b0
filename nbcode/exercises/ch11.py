"""Judges of chapter 11: they train what a reader has mended, and probe it if it fails."""

import contextlib
import math
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import nn

from nbcode import signals
from nbcode.exercises._judge import Function, NotYet, Number, refuse
from nbcode.exercises._torch import linears, seeded

STEPS, BATCH = 100, 32


def _losses(model, optimizer, x, y):
    """Plain training; stops where the loss is no number."""
    draw = torch.Generator().manual_seed(0)
    losses: list[float] = []
    while len(losses) < STEPS and all(map(math.isfinite, losses)):
        i = torch.randint(len(x), (BATCH,), generator=draw)
        loss = F.cross_entropy(model(x[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _mended(*row, **more):
    """The row of a network to mend."""
    return Function("build", seeded(lambda answer: _trains(answer, *row, **more)))


def _trains(answer, sick, goal, praise, hint, blind, layers=0, first=math.inf):
    """Judges a network by its loss: below ``goal`` once trained, else what the probe sees.

    ``sick`` is the cause of the network as it was sent, ``hint`` where to look then, and
    ``blind`` what to say of one that does not train and has no finding. ``layers`` is how
    many linear layers there should be at least, ``first`` the largest first loss.
    """
    built = answer()
    if not isinstance(built, tuple | list) or len(built) != 4:
        raise NotYet("build should return model, optimizer, x, y.")
    model, optimizer, x, y = built
    if not isinstance(model, nn.Module):
        raise NotYet("the first that build returns should be the model.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise NotYet("the second that build returns should be the optimizer.")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    linear = len(linears(model))
    refuse(
        (held.isdisjoint(map(id, model.parameters())), "the optimizer has parameters of "
            "another model: make a new one for yours."),
        (linear < layers, f"{layers} layers are to train, and yours has {linear}."),
    )  # fmt: skip
    report = signals.probe(
        model, (x[:64], y[:64]), loss=F.cross_entropy, lr=optimizer, training=True
    )
    losses = _losses(*built)
    end = fmean(losses[-10:])
    if end < goal and losses[0] <= first:
        return praise
    seen = f"after {STEPS} steps the loss is above {goal:g}"
    if not math.isfinite(end):
        seen = "the loss is not finite"
    at = next((f" at {f.where}" for f in report.findings[:1] if f.where), "")
    cause = report.cause.replace("_", " ")
    refuse(
        (end < goal, f"it gets there, but its first loss is {losses[0]:.0f}: a higher rate "
            f"hides the cause. {hint}"),
        (report.cause == sick, f"{seen}. {hint}"),
        (report.healthy, f"{seen}, and the probe finds nothing. {blind}"),
        (True, f"{seen}, and of your network the probe says: {cause}{at} (chapter "
            f"{report.chapter})."),
    )  # fmt: skip


class _Say(nn.Module):  # applies a function
    def __init__(self, function):
        super().__init__()
        self.forward = function


def _first_bad(answer):
    def hooks(model):
        return any(m._forward_hooks for m in model.modules())

    def fails(x):
        raise RuntimeError

    x = torch.linspace(-1, 1, 12).reshape(3, 4)  # negative and positive, and no zero
    fine = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    if answer(fine, x) is not None:
        raise NotYet("of a model whose outputs are all finite it should return None.")
    last = nn.Sequential(_Say(torch.log), nn.Identity())  # once bad, always bad
    got = answer(last, x)
    refuse(
        (got == "1", "the first is asked for, and that is the last."),
        (got is None, "nan is not finite either: that is the log of a negative number."),
    )  # fmt: skip
    infinite = _Say(lambda x: x / 0.0 * x)
    model = nn.Sequential(nn.Identity(), nn.Sequential(infinite), _Say(lambda x: x - x))
    got = answer(model, x)
    refuse(
        (got in ("2", "1.0") and hooks(model), "hooks are left on the model: remove the "
            "handles."),
        (got == "2", "infinite is not finite either: the nan of 2 comes from 1.0."),
        (got in ("", "1"), "a module with children says less than its child, 1.0."),
        (got != "1.0", f"the first bad output is that of 1.0; yours is {got!r}."),
    )  # fmt: skip
    late, early = _Say(torch.sqrt), _Say(torch.log)
    swapped = _Say(lambda x: late(early(x)))
    swapped.late, swapped.early = late, early
    raising = nn.Sequential(nn.Identity(), _Say(fails))
    with contextlib.suppress(RuntimeError):
        answer(raising, x)
    refuse(
        (answer(swapped, x) != "early", "the order is that of execution, not of "
            "definition."),
        (hooks(raising), "hooks are left when the model raises: remove them in finally."),
    )  # fmt: skip
    return "the first module that puts out inf or nan, and no hook is left."


SLOW = "Is the rate too low for a hundred steps?"

CHECKS = {
    "11.1": _mended("input_scale", 0.4, "the wines are told apart.",
        "The first thing that goes wrong is the first thing there is: look at x.",
        "It looks at the input as a whole. Look at its features one by one: each should "
        "have mean 0 and standard deviation 1."),
    "11.2": _mended("missing_norm", 1.7, "twenty layers train.",
        "Compare signal and spread, layer by layer.",
        "Is it the rate, or the momentum, of which the probe sees only the first step? Or "
        "PyTorch's scale, which a norm does not mend altogether?", layers=20),
    "11.3": _mended("last_layer", 2.5, "it has begun to count.",
        "Compare the first row of the table with the last. What do they share?",
        SLOW, first=8.0),
    "11.4": _mended("missing_norm", 0.8, "the stream keeps its size, and the loss falls.",
        "Read the first finding, not the one about the rate.", SLOW),
    "11.5": _mended("lr_large", 1.0, "each step is small beside the weights, or a norm "
        "bears it.",
        "Give the probe what you give to the training loop, before the first step.", SLOW),
    "11.6": _mended("forgotten_train", 1.0, "it is in the mode in which it is to be "
        "trained.",
        "Probe what photos() returns, with training=True.", SLOW),
    "11.7": Function("first_bad", seeded(_first_bad)),
    "11.8": Number(math.log(math.e + 999) - 1,
        "log(e + 999) − 1: a perfect answer is still given with little conviction.", {
        math.log(1000): "that is the first loss, of guessing.",
        math.log(math.e + 999): "from this the true class's own output, 1, is taken.",
        0: "that is the lowest with one softmax; the second gets inputs of 0 to 1.",
        math.log(math.e + 9) - 1: "that is for ten classes.",
        math.log(math.e + 999) - math.e: "the true class's logit is 1, not e.",
    }, "the second softmax gets at best 1 for the true class and 0 for the other "
       "999.", rtol=1e-4),
}  # fmt: skip

"""Judges of chapter 11: they train what a reader has mended, and probe it if it fails."""

import contextlib
import math

from nbcode.exercises import _judge

STEPS, BATCH = 100, 32


def _losses(built):
    """Plain training on what a build() returned; stops where the loss is no number."""
    import torch

    model, optimizer, x, y = built
    draw, losses = torch.Generator().manual_seed(0), []
    for _ in range(STEPS):
        i = torch.randint(len(x), (BATCH,), generator=draw)
        loss = torch.nn.functional.cross_entropy(model(x[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            break
    return losses


def _complaint(built):
    """What keeps a built network from being trained at all, or None."""
    import torch

    if not isinstance(built, tuple | list) or len(built) != 4:
        return "build should return model, optimizer, x, y."
    model, optimizer, _, _ = built
    if not isinstance(model, torch.nn.Module):
        return "the first that build returns should be the model."
    if not isinstance(optimizer, torch.optim.Optimizer):
        return "the second that build returns should be the optimizer."
    mine = {id(p) for p in model.parameters()}
    if not mine & {id(p) for group in optimizer.param_groups for p in group["params"]}:
        return "the optimizer has parameters of another model: make a new one for yours."
    return None


def _mended(number, sick, goal, praise, hint, blind, layers=0, first=math.inf):
    """A judge: below ``goal`` after training; else what the probe sees.

    ``sick`` is the cause of the network as it was sent, ``hint`` where to look then, and
    ``blind`` what to say of one that does not train and has no finding. ``layers`` is how
    many linear layers there should be at least, ``first`` the largest first loss.
    """

    def judge(answer):
        import torch

        from nbcode import signals

        complaint = _judge.function(answer, f'check.exercise("{number}", build)')
        if complaint:
            return False, complaint
        with _judge.seeded():
            built = answer()
            complaint = _complaint(built)
            if complaint:
                return False, complaint
            model, optimizer, x, y = built
            report = signals.probe(
                model, (x[:64], y[:64]), loss=torch.nn.functional.cross_entropy,
                lr=optimizer, training=True,
            )  # fmt: skip
            losses = _losses(built)
        linear = sum(isinstance(m, torch.nn.Linear) for m in model.modules())
        if linear < layers:
            return False, f"{layers} layers are to train, and yours has {linear}."
        end = sum(losses[-10:]) / len(losses[-10:])
        if end < goal and losses[0] > first:
            return False, (
                f"it gets there, but its first loss is {losses[0]:.0f}: a higher rate "
                f"hides the cause. {hint}"
            )
        if end < goal:
            return True, praise
        seen = (
            f"after {STEPS} steps the loss is above {goal:g}"
            if math.isfinite(end)
            else "the loss is not finite"
        )
        if report.cause == sick:
            return False, f"{seen}. {hint}"
        if report.healthy:
            return False, f"{seen}, and the probe finds nothing. {blind}"
        where = f" at {report.findings[0].where}" if report.findings[0].where else ""
        cause = report.cause.replace("_", " ")
        return False, (
            f"{seen}, and of your network the probe says: {cause}{where} "
            f"(chapter {report.chapter})."
        )

    return judge


def _first_bad(answer):
    import torch
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("11.7", first_bad)')
    if complaint:
        return False, complaint

    class Say(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    x = torch.linspace(-1, 1, 12).reshape(3, 4)
    fine = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    if answer(fine, x) is not None:
        return False, "of a model whose outputs are all finite it should return None."
    infinite = Say(lambda x: x / 0.0 * x)  # no nan: every entry of x differs from 0
    model = nn.Sequential(nn.Identity(), nn.Sequential(infinite), Say(lambda x: x - x))
    got = answer(model, x)
    if got in ("2", "1.0") and any(m._forward_hooks for m in model.modules()):
        return False, "hooks are left on the model: remove the handles."
    if got == "2":
        return False, "infinite is not finite either: the nan of 2 comes from 1.0."
    if got in ("", "1"):
        return False, "a module with children says less than its child, 1.0."
    if got != "1.0":
        return False, f"the first bad output is that of 1.0; yours is {got!r}."
    last = nn.Sequential(Say(torch.log), nn.Identity())  # once bad, always bad
    if answer(last, x) == "1":
        return False, "the first is asked for, and that is the last."
    swapped = nn.Module()
    swapped.late, swapped.early = Say(torch.sqrt), Say(torch.log)
    swapped.forward = lambda x: swapped.late(swapped.early(x))
    if answer(swapped, x) != "early":
        return False, "the order is that of execution, not of definition."

    def fails(x):
        raise RuntimeError

    model = nn.Sequential(nn.Identity(), Say(fails))
    with contextlib.suppress(RuntimeError):
        answer(model, x)
    if any(m._forward_hooks for m in model.modules()):
        return False, "hooks are left when the model raises: remove them in finally."
    return True, "the first module that puts out inf or nan, and no hook is left."


def _lowest(answer):
    return _judge.number(
        answer,
        math.log(math.e + 999) - 1,
        "log(e + 999) − 1: a perfect answer is still given with little conviction.",
        {
            math.log(1000): "that is the first loss, of guessing.",
            math.log(math.e + 999): "from this the true class's own output, 1, is taken.",
            0: "that is the lowest with one softmax; the second gets inputs of 0 to 1.",
            math.log(math.e + 9) - 1: "that is for ten classes.",
            math.log(math.e + 999) - math.e: "the true class's logit is 1, not e.",
        },
        "the second softmax gets at best 1 for the true class and 0 for the other 999.",
        rtol=1e-4,
    )


CHECKS = {
    "11.1": _mended(
        "11.1", "input_scale", 0.4,
        "the wines are told apart.",
        "The first thing that goes wrong is the first thing there is: look at x.",
        "It looks at the input as a whole. Look at its features one by one: each should "
        "have mean 0 and standard deviation 1.",
    ),
    "11.2": _mended(
        "11.2", "missing_norm", 1.7,
        "twenty layers train.",
        "Compare signal and spread, layer by layer.",
        "Is it the rate, or the momentum, of which the probe sees only the first step? Or "
        "PyTorch's scale, which a norm does not mend altogether?",
        layers=20,
    ),
    "11.3": _mended(
        "11.3", "last_layer", 2.5,
        "it has begun to count.",
        "Compare the first row of the table with the last. What do they share?",
        "Is the rate too low for a hundred steps?",
        first=8.0,
    ),
    "11.4": _mended(
        "11.4", "missing_norm", 0.8,
        "the stream keeps its size, and the loss falls.",
        "Read the first finding, not the one about the rate.",
        "Is the rate too low for a hundred steps?",
    ),
    "11.5": _mended(
        "11.5", "lr_large", 1.0,
        "each step is small beside the weights, or a norm bears it.",
        "Give the probe what you give to the training loop, before the first step.",
        "Is the rate too low for a hundred steps?",
    ),
    "11.6": _mended(
        "11.6", "forgotten_train", 1.0,
        "it is in the mode in which it is to be trained.",
        "Probe what photos() returns, with training=True.",
        "Is the rate too low for a hundred steps?",
    ),
    "11.7": _first_bad,
    "11.8": _lowest,
}  # fmt: skip

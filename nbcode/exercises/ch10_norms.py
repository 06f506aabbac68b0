"""Judges of chapter 10, pitfalls 9 to 16: each uses what was mended and measures it."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nbcode.exercises._judge import Function, NotYet, refuse
from nbcode.exercises._torch import linears, rms, seeded


def _normal(rng, mean, std, *size):
    return torch.from_numpy(rng.normal(mean, std, size)).float()


def _moved(state, model):
    """The names of parameters and buffers that are not what they were in a state_dict."""
    now = model.state_dict()
    return [key for key in now if not torch.equal(state[key], now[key])]


def _batches(answer):
    for samples, size in ((1437, 4), (1441, 32), (5, 2), (6, 3), (8, 3)):
        rng, orders = np.random.default_rng(0), set()
        said = f"{samples} samples in batches of {size}"
        for _ in range(60):
            epoch = [np.asarray(batch).tolist() for batch in answer(samples, size, rng)]
            flat = tuple(index for batch in epoch for index in batch)
            lengths = [len(batch) for batch in epoch] or [0]
            refuse(
                (min(lengths) == 0, f"{said}: an epoch or a batch is empty."),
                (len(epoch) > 1 and min(lengths) == 1, f"{said} leave a batch of one, "
                    "which batch norm refuses."),
                (not set(flat) <= set(range(samples)), f"{said}: indices should lie "
                    f"between 0 and {samples - 1}."),
                (len(set(flat)) < len(flat), f"{said}: a sample came twice in an epoch."),
                (len(flat) <= samples - size, f"{said}: more is left out than the last "
                    "short batch."),
                (max(lengths) > size + 1, f"{said}: a batch of {max(lengths)} is too "
                    "large."),
            )  # fmt: skip
            orders.add(flat)
        never = samples - len(set().union(*orders))
        refuse(
            (len(orders) == 1, f"{said}: all epochs have one order; shuffle before you "
                "cut."),
            (never, f"{said}: {never} never came; shuffle all, then cut."),
        )  # fmt: skip
    return "no batch of one, and whoever is left out comes in another epoch."


@torch.no_grad()
def _block(answer):
    x, block = _normal(np.random.default_rng(0), 0, 1, 8, 24), answer(24, 32).train()
    for parameter in block.parameters():
        if parameter.ndim == 1:  # a bias would hide that a norm ignores the scale
            parameter.copy_((parameter == 1).float())
    out, pair, tenfold = block(x), block(x[:2]), block(10 * x)
    if tuple(out.shape) != (8, 32):
        shape = tuple(out.shape)
        raise NotYet(f"block(24, 32) should give 32 values a sample, got shape {shape}.")
    refuse(
        (not torch.allclose(out[:2], pair, atol=1e-4), "in training mode a sample's output "
            "changes when its company does: the statistics still cross the batch."),
        (out.abs().max() < 1e-3, "all outputs are 0: a group of one channel has nothing "
            "but its mean."),
        (out.min() < 0, "outputs below zero: the ReLU belongs to the block."),
        (not torch.allclose(tenfold, out, atol=0.05), "ten times the input gives another "
            "output: nothing is normalized."),
    )  # fmt: skip
    return "alone or in company, the same output, and normalized."


def _accumulated(answer):
    def close(a, b):
        return torch.allclose(a, b, rtol=1e-4, atol=1e-5)

    x, y = _normal(np.random.default_rng(0), 0, 1, 30, 6), torch.arange(30) % 3
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    whole, sizes = torch.cat([g.flatten() for g in gradients]), []
    model.register_forward_hook(lambda m, x, out: sizes.append(len(out)))
    for parts in (2, 15, 4):  # the last leaves a shorter batch
        sizes.clear()
        got = answer(model, x, y, parts)
        largest = max(sizes, default=0)
        refuse(
            (largest > -(-30 // parts), f"for {parts} parts a batch of {largest} of 30 "
                "went through the model: memory does not hold so many."),
            (got.shape != whole.shape, "accumulated should return all gradients in one "
                "vector."),
        )  # fmt: skip
        ratio = (got.norm() / whole.norm()).item()
        right, again = close(got, whole), close(answer(model, x, y, parts), whole)
        refuse(
            (right and not again, "the second call adds to the first: the gradients start "
                "at zero."),
            (close(got, parts * whole), f"in {parts} parts the gradient is {ratio:.1f} "
                "times that of the whole batch: backward adds, and the loss is a mean."),
            (parts == 4 and not right and abs(ratio - 1) < 0.3, "30 samples in 4 parts are "
                "8, 8, 8 and 6: weigh each part by its samples."),
            (not right, f"in {parts} parts the gradient has {ratio:.3g} times the length "
                "that the whole batch's has."),
        )  # fmt: skip
    return "the whole batch's gradient, in parts of any size."


@torch.no_grad()
def _predict(answer):
    x = _normal(np.random.default_rng(0), 1, 2, 64, 6)
    model = nn.Sequential(
        nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 5)
    )
    for _ in range(20):
        model(x)
    right = copy.deepcopy(model).eval()(x).argmax(1)
    for training, frozen in ((True, False), (False, False), (True, True)):
        model.train(training)
        model[1].train(training and not frozen)  # a norm that is frozen
        modes = [part.training for part in model.modules()]
        before = copy.deepcopy(model.state_dict())
        found = "training" if training else "eval"
        got = answer(model, x)
        if tuple(got.shape) != (64,):
            raise NotYet(f"predict should return 64 classes, got shape {tuple(got.shape)}.")
        moved, alike = _moved(before, model), torch.equal(got, answer(model, x))
        refuse(
            (moved and alike, "the running statistics moved: the norm is not in eval "
                "mode."),
            (moved, "asked twice, it gives different answers, and the running statistics "
                "have moved. Which mode is the model in?"),
            (not alike, "asked twice, it gives different answers: dropout is still on."),
            (not torch.equal(got, right), "some answers are not those of eval mode."),
            (model.training != training, "right answers, but the model was found in "
                f"{found} mode."),
            (modes != [part.training for part in model.modules()], "right answers, but a "
                "norm that was found frozen, in eval mode, is in training mode now: "
                "remember each module's."),
        )  # fmt: skip
    return "each its own answer, and the model as it was found."


@torch.no_grad()
def _stack(answer):
    g, model = torch.Generator().manual_seed(0), answer(2, 256, 0.5)
    norms = [m for m in model.modules() if "Norm" in type(m).__name__]
    refuse((not norms, "there is no norm left in the stack."))
    for norm in norms:
        norm.momentum = None
    sizes, x = [], torch.randn(512, 64, generator=g)
    norms[-1].register_forward_hook(lambda m, x, out: sizes.append(rms(out)))
    out, again = model.train()(x), model(x)
    for _ in range(20):
        model(torch.randn(512, 64, generator=g))
    model.eval()(x)
    ratio, layers = sizes[-1] / sizes[-2], len(linears(model))
    refuse(
        (torch.equal(out, again), "two passes in training mode agree: no dropout is left."),
        (abs(ratio - 1) > 0.05, f"what leaves the last norm has in eval mode {ratio:.1f} "
            "of its size in training: a dropout still comes before a norm."),
        (tuple(out.shape) != (512, 256), "stack(2, 256, 0.5) should give 256 values a "
            "sample."),
        (layers != 3 or len(norms) != 3, f"3 layers with a norm each, yours are {layers} "
            f"and {len(norms)}."),
    )  # fmt: skip
    return "the same size in both modes, and dropout is still there."


def _fine_tune(answer):
    rng, modes, off = np.random.default_rng(0), [], [0.0]
    batches = [
        (_normal(rng, 2, 0.5, 32, 6), torch.from_numpy(rng.integers(3, size=32)))
        for _ in range(20)
    ]
    backbone = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU())
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 3))
    reference, old_head = copy.deepcopy(backbone).eval(), copy.deepcopy(head.state_dict())
    head[0].register_forward_hook(lambda m, x, out: modes.append(m.training))
    backbone.register_forward_hook(
        lambda m, x, out: off.append((out - reference(x[0])).abs().max().item())
    )
    answer(backbone, head, batches)
    was, now = reference.state_dict(), backbone.state_dict()
    moved = _moved(was, backbone)
    way = reference[0](torch.cat([x for x, _ in batches])).mean(0)  # it starts from zero
    gone = (now["1.running_mean"] @ way / (way @ way)).item()
    refuse(
        (not _moved(old_head, head), "the head has not been trained."),
        ("0.weight" in moved, "the backbone's weights have been trained."),
        ({"1.weight", "1.bias"} & set(moved), "γ and β of the backbone have been "
            "trained."),
        ("1.running_mean" in moved, f"after {len(batches)} batches the running means of "
            f"the backbone have gone {gone:.0%} of the way to the new data: which mode "
            "is it in when a batch comes?"),
        ("1.running_var" in moved, "a running variance of the backbone has moved."),
        (max(off) > 1e-4, "the running statistics stay, but training uses the batch's: the "
            "head learns from features that eval mode does not have."),
        (not modes or not all(modes), "the backbone is frozen, but so is the head's "
            "dropout."),
    )  # fmt: skip
    return "the head is trained, and nothing in the backbone has changed."


@torch.no_grad()
def _two_views(answer):
    g, model = torch.Generator().manual_seed(0), answer(6, 8)

    def views(n):
        return torch.randn(n, 6, generator=g), 3 + 2 * torch.randn(n, 6, generator=g)

    def close(a, b):
        return torch.allclose(a, b, atol=1e-4)

    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    refuse((matrices > 6 * 8, "there are two matrices now; the views should share one."))
    for _ in range(100):
        model.train()(*views(256))
    a, b = views(2048)
    refuse((len(model(a, b)) != 2, "forward should return two views."))
    used, alone, trained = model.eval()(a, b), model(a[:32], b[:32]), model.train()(a, b)
    refuse(
        (not all(close(u[:32], v) for u, v in zip(used, alone, strict=True)), "in eval "
            "mode the answer depends on the company."),
        (abs(torch.cat(trained).square().mean() - 1) > 0.2, "the views are not normalized "
            "any more."),
    )  # fmt: skip
    for name, t, u in zip(("first", "second"), trained, used, strict=True):
        shift = (u - t).mean(0).abs().max().item()
        size = (u.std(0) / t.std(0)).mean().item()
        refuse((
            shift > 0.15 or abs(size - 1) > 0.15, f"in eval mode the {name} view leaves "
            f"with {size:.2f} of the spread that it has in training, and means off by up "
            f"to {shift:.2f}: two views, and one pair of running statistics."
        ))  # fmt: skip
    return "one matrix, and each view is in eval mode as in training."


def _by_hand(answer):
    def off(got, given):
        return (got.double() - F.layer_norm(given, (64,))).abs().max().item()

    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 64)))
    got = answer(x)
    if got.shape != x.shape:
        raise NotYet(f"a row of 64 should stay one, got shape {tuple(got.shape)}.")
    refuse(
        (got.dtype != x.dtype, f"float64 came in, and {got.dtype} out."),
        (not off(got, x) < 1e-3, "rows of mean 0 and variance 1, float64, come out "
            "otherwise."),
    )  # fmt: skip
    large, flat = (1000 * x).half(), answer(torch.full((1, 64), 3.0).half())
    got, small = answer(large), answer((1e-4 * x).half())
    refuse(
        (not torch.isfinite(flat).all(), "a constant row in float16 gives nan: what is eps "
            "in float16?"),
        (got.dtype != torch.float16, f"float16 came in, and {got.dtype} out."),
        ((got == 0).float().mean() > 0.5, "the constant row is mended, but one of size "
            "1000 comes out as zeros: its squares are beyond 65504."),
        (not off(got, large) < 0.02, "a float16 row of size 1000 is off: squares need a "
            "wider dtype."),
        (not torch.isfinite(small).all(), "a float16 row of size 0.0001 is not finite: its "
            "squares are zero."),
        (small.abs().max() > 5 or flat.any(), "a constant row should come out as zeros, a "
            "small one near them."),
    )  # fmt: skip
    return "constant, small and large rows, each in its own dtype."


CHECKS = {
    "10.9": Function("batches", seeded(_batches)),
    "10.10": Function("block", seeded(_block)),
    "10.11": Function("accumulated", seeded(_accumulated)),
    "10.12": Function("predict", seeded(_predict)),
    "10.13": Function("stack", seeded(_stack)),
    "10.14": Function("fine_tune", seeded(_fine_tune)),
    "10.15": Function("TwoViews", seeded(_two_views)),
    "10.16": Function("by_hand", seeded(_by_hand)),
}

"""Judges of chapter 10: each runs a program and says what it measured."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nbcode import datasets
from nbcode.exercises._judge import Function, NotYet, number, refuse
from nbcode.exercises._torch import seeded


def _module(model, call):
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise NotYet(f"{call} should be a torch.nn.Module, yours is {kind}.")
    return model


def _digits():
    data = datasets.digits(rng=np.random.default_rng(0))
    return torch.from_numpy(data.x_train[:512]), torch.from_numpy(data.y_train[:512])


def _normal(rng, mean, std, *size):
    return torch.from_numpy(rng.normal(mean, std, size)).float()


def _rms(a):
    return a.double().square().mean().sqrt().item()


def _linears(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear)]


def _moved(state, model):
    """The names of parameters and buffers that are not what they were in a state_dict."""
    return [key for key, now in model.state_dict().items() if not torch.equal(state[key], now)]


def _classifier(answer):
    x, y = _digits()
    for width in (1280, 64):
        model, read = _module(answer(width), f"classifier({width})"), []
        readout = _linears(model)[-1]
        hook = readout.register_forward_pre_hook(lambda m, x, to=read: to.append(x[0]))
        loss = F.cross_entropy(model(x), y).item()
        hook.remove()
        first = f"at width {width} the first loss is {loss:.1f}"
        refuse(
            (2.65 < loss < 3.2, f"{first}: logits of size s = 1 cost s²/2 more than ln 10 = "
                "2.3. That does little harm; go smaller."),
            (not loss < 2.65, f"{first}, and ln 10 is 2.3; measure the logits, and see which "
                "matrix no norm divides by."),
            (read[0].std(dim=0).max() < 0.1, f"the first loss is {loss:.1f}, but all digits "
                "look alike to the last layer: zeros are safe in that layer alone."),
        )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(80):
        optimizer.zero_grad()
        after = F.cross_entropy(model(x), y)
        after.backward()
        optimizer.step()
    refuse((
        not after.item() < 1.5, f"the first loss is {loss:.1f}, and 80 steps later still "
        f"{after.item():.1f}: nothing gets through to what it could learn with."
    ))  # fmt: skip
    return f"the first loss is {loss:.1f}, and it falls."


@torch.no_grad()
def _mlp(answer):
    x, spread = _digits()[0].double(), {}
    for depth in (3, 15, 30):
        outs = [_module(answer(depth), f"mlp({depth})").double()(x) for _ in range(5)]
        spread[depth] = np.median([_rms(out - out.mean(dim=0)) for out in outs])
    if all(0.03 < s < 30 for s in spread.values()):
        return f"at 30 layers the output varies by {spread[30]:.1g}."
    said = f"at 30 layers the output varies by {spread[30]:.0e} from digit to digit; "
    a_layer = (spread[30] / spread[15]) ** (1 / 15) if spread[15] else 0.0
    larger = "larger" if a_layer > 1 else "smaller"
    refuse(
        (0.33 < a_layer < 0.5, f"{said}a layer leaves 1/√6, so the variance is still "
            "PyTorch's 1/(3n)."),
        (0.6 < a_layer < 0.8, f"{said}a layer leaves 1/√2, so ReLU's half is not made up "
            "for."),
        (True, f"{said}each layer makes the signal {larger}; find its factor, and (10.2)."),
    )  # fmt: skip


def _kaiming(answer):
    W = np.asarray(answer(400, 100, np.random.default_rng(0)), dtype=float)
    refuse(
        (W.shape != (400, 100), f"kaiming(400, 100, rng) should have shape (400, 100), not "
            f"{W.shape}."),
        (abs(W.mean()) > 0.1 * W.std(), "the weights have a mean; they should be as often "
            "below zero as above."),
        (not W.any(), "all weights are zero."),
    )  # fmt: skip
    share = W.var() * 100
    turns = {
        6: "√(6/n) is a bound, of numbers whose standard deviation is √3 times smaller.",
        2 / 3: "√(2/n) is a standard deviation; a bound is √3 times larger.",
        0.5: "that divides by the fan-out; fan_in is the second argument.",
        1.5: "that is a uniform bound with the fan-out; fan_in is the second argument.",
        1: "that leaves ReLU's half out.",
        0.4: "that is Xavier's variance, 2/(fan_in + fan_out).",
        0.04: "take the root: 2/n is a variance.",
    }
    otherwise = "a layer multiplies the mean square by half of it."
    said = f"fan-in times variance is {share:.2g} and should be 2: "
    number(share, 2, turns, otherwise, rtol=0.03, prefix=said)
    return "fan-in times variance is 2, which ReLU halves."


@torch.no_grad()
def _language_model(answer):
    for width in (256, 512):
        model = _module(answer(1000, width), f"LanguageModel(1000, {width})")
        text, root = torch.randint(1000, (1025,)), width**0.5
        logits = model(text[:-1])
        shared = sum(1000 in p.shape and p.ndim == 2 for p in model.parameters())
        refuse((shared != 1, f"there should be one matrix of 1000 tokens, not {shared}."))
        loss = F.cross_entropy(logits, text[1:]).item()
        own = logits.gather(1, text[:-1, None]).mean().item()
        size = logits.std(dim=1).median().item()
        seen = own / (size * root) if size else 0.0
        refuse(
            (abs(own / root - 1) < 0.1 and loss > 10, f"the first loss is {loss:.0f}: the "
                "logits are of size 1, but for the present token's own, which is √d = "
                f"{root:.0f}."),
            (not loss < np.log(1000) + 0.5, f"at width {width} the first loss is {loss:.0f}, "
                f"and ln V is 6.9; the present token's own logit is {own:.0f}, by (10.4) "
                "σ·d."),
            (not seen > 0.5, f"the first loss is {loss:.1f}, but the present token's logit is "
                f"{seen:.0%} of what its embedding alone would give: the stream has lost "
                "it."),
        )  # fmt: skip
    return f"the first loss is {loss:.1f}, and the token is in the stream."


def _builder(answer):
    bias = []
    for norm in (nn.BatchNorm1d, nn.LayerNorm, nn.Identity):
        call = f"block(8, 16, nn.{norm.__name__})"
        model = _module(answer(8, 16, norm), call)
        shapes = [linear.weight.shape for linear in _linears(model)]
        refuse(
            (shapes != [(16, 8)], "a block should have one nn.Linear, from 8 units to 16."),
            (not any(isinstance(m, norm) for m in model.modules()), f"{call} has lost its "
                "norm."),
        )  # fmt: skip
        bias.append(_linears(model)[0].bias is not None)
    batch, layer, none = bias
    refuse(
        (batch and not (layer and none), "upside down: the bias is dead in front of batch "
            "norm."),
        (batch, "in front of batch norm there are still 16 biases, whose gradient is zero; "
            "ask what isinstance says of a class."),
        (not none, "without a norm behind it the bias is needed, and here it is gone."),
        (not layer, "in front of layer norm the bias is alive, and here it is gone."),
    )  # fmt: skip
    return "no bias in front of batch norm, and one everywhere else."


def _optimizer_for(answer):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(6, 5), nn.LayerNorm(5)
    )
    optimizer, named = answer(model), dict(model.named_parameters())
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        raise NotYet(f"optimizer_for should return a torch optimizer, yours is {kind}.")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, p in named.items():
        refuse((
            id(p) not in held, f"{name} is in no group, so that it is not trained at all."
        ))  # fmt: skip
        p.grad = torch.zeros_like(p)
        p.data.fill_(1.0)
    optimizer.step()
    decays = {name: bool((p < 1).any()) for name, p in named.items()}
    for name in sorted(named):
        refuse((
            named[name].ndim >= 2 and not decays[name],
            f"{name} is a matrix or a kernel, and it does not decay.",
        ))  # fmt: skip
    wrong = sorted(name for name, p in named.items() if p.ndim < 2 and decays[name])
    biases = any(name.endswith("bias") for name in wrong)
    if wrong and not biases:
        raise NotYet(f"{wrong[0]} still decays: the γ of a norm is called weight.")
    refuse((
        wrong, f"without any gradient {len(wrong)} tensors shrink that are no matrices: "
        f"{', '.join(wrong)}."
    ))  # fmt: skip
    for group in optimizer.param_groups:
        left = 1 - group["lr"] * group.get("weight_decay", 0)
        refuse((
            any((p - left).abs().max() > 1e-6 for p in group["params"]),
            f"a weight of 1 without a gradient should become {left:.6g}; is this decay, or a "
            "term of the gradient that Adam divides by its size?",
        ))  # fmt: skip
    return "without a gradient the matrices shrink, and nothing else does."


def _deep_norm(answer):
    def norm(z):
        return F.layer_norm(z, (6,))

    x, g = torch.randn(4, 6), torch.randn(4, 6)
    module = _module(answer(6, 3.0), "DeepNorm(6, 3.0)")
    got = module(x.clone(), g.clone()).detach()
    if got.shape != x.shape:
        raise NotYet(f"the output should have shape {tuple(x.shape)}, as x has.")
    turns = [
        (norm(x + 3 * g), "with α = 3 the branch has the larger share; in the paper x has "
            "it."),
        (3 * x + g, "the sum is right, and the norm is missing."),
        (x + 3 * g, "the branch is weighed by α, and the norm is missing."),
        (norm(x + g), "α multiplies both sides, which a norm takes out again."),
        (3 * norm(x) + g, "the norm belongs around the sum, not on x."),
        (3 * x + norm(g), "the norm belongs around the sum, not on the branch."),
        (3 * norm(x + g), "α belongs inside the norm, on x alone."),
        (norm(3 * x) + g, "the norm belongs around the sum, and α is lost in a norm of αx "
            "alone."),
        (x + norm(3 * g), "the norm belongs around the sum, and α beside x."),
    ]  # fmt: skip

    def same(turn):
        return torch.allclose(got, turn, rtol=1e-3, atol=1e-3)

    refuse(
        *((same(turn), why) for turn, why in turns),
        (not same(norm(3 * x + g)), "compare with LN(αx + G), term by term."),
        (all(p.numel() != 6 for p in module.parameters()), "the function is right, but the "
            "norm's γ and β are not trained."),
    )  # fmt: skip
    return "LN(αx + G)."


def _half_network(answer):
    for depth in (40, 2):
        out = answer(torch.randn(64, 128), depth)
        if not isinstance(out, torch.Tensor):
            kind = type(out).__name__
            raise NotYet(f"half_network should return a tensor, not {kind}.")
        dtype, size = str(out.dtype).removeprefix("torch."), _rms(out)
        varies = _rms(out - out.float().mean(dim=0))
        refuse(
            (not torch.isfinite(out).all(), f"at {depth} layers the output of {dtype} is not "
                "finite; a layer multiplies the signal by 11.3, which is √(256/2)."),
            (out.dtype != torch.float16, f"the output is {dtype}, of size {size:.0e} at "
                f"{depth} layers; mend the scale, in float16."),
            (out.max() > 6e4, f"at {depth} layers entries stand at float16's end, 65504: held "
                "there, they say nothing about the input."),
            (0 < size < 1e-3, f"of size {size:.0e} at {depth} layers: the half that ReLU "
                "takes from the mean square is not made up for."),
            (not varies > 1e-3 * (1 + size), f"at {depth} layers all inputs give the same "
                "output."),
            (depth == 40 and not 1e-2 < size < 1e2, f"finite, but of size {size:.0e} at 40 "
                "layers: it is on its way."),
        )  # fmt: skip
    return "finite at 40 layers, and of a size near 1."


def _batches(answer):
    for samples, size in ((1437, 4), (1441, 32), (5, 2), (6, 3), (64, 32), (7, 3)):
        rng, orders = np.random.default_rng(0), set()
        said = f"{samples} samples in batches of {size}"
        for _ in range(60):
            epoch = [np.asarray(batch).tolist() for batch in answer(samples, size, rng)]
            flat = tuple(index for batch in epoch for index in batch)
            lengths = [len(batch) for batch in epoch] or [0]
            refuse(
                (min(lengths) == 0, f"{said}: an epoch or a batch is empty."),
                (len(epoch) > 1 and min(lengths) == 1, f"{said} leave a batch of one, which "
                    "batch norm refuses."),
                (not set(flat) <= set(range(samples)), f"{said}: indices should lie between 0 "
                    f"and {samples - 1}."),
                (len(set(flat)) < len(flat), f"{said}: a sample came twice in an epoch."),
                (len(flat) <= samples - size, f"{said}: more is left out than the last short "
                    "batch."),
                (max(lengths) > size + 1, f"{said}: a batch of {max(lengths)} is too large."),
            )  # fmt: skip
            orders.add(flat)
        never = samples - len(set().union(*orders))
        who = f"{never}" if samples > 100 else "in 60 epochs a sample"
        refuse(
            (len(orders) == 1, f"{said}: all epochs have one order; shuffle before you cut."),
            (never, f"{said}: {who} never came; shuffle all, then cut."),
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
        raise NotYet(f"block(24, 32) should give 32 values a sample, got {out.shape}.")
    refuse(
        (not torch.allclose(out[:2], pair, atol=1e-4), "in training mode a sample's output "
            "changes when its company does: the statistics still cross the batch."),
        (out.abs().max() < 1e-3, "all outputs are 0: a group of one channel has nothing but "
            "its mean."),
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
            (largest > -(-30 // parts), f"for {parts} parts a batch of {largest} of 30 went "
                "through the model: memory does not hold so many."),
            (got.shape != whole.shape, "accumulated should return all gradients in one "
                "vector."),
        )  # fmt: skip
        ratio = (got.norm() / whole.norm()).item()
        right, again = close(got, whole), close(answer(model, x, y, parts), whole)
        refuse(
            (right and not again, "the second call adds to the first: the gradients start at "
                "zero."),
            (close(got, parts * whole), f"in {parts} parts the gradient is {ratio:.1f} times "
                "that of the whole batch: backward adds, and the loss is a mean."),
            (parts == 4 and not right and abs(ratio - 1) < 0.3, "30 samples in 4 parts are 8, "
                "8, 8 and 6: weigh each part by its samples."),
            (not right, f"in {parts} parts the gradient has {ratio:.3g} times the length that "
                "the whole batch's has."),
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
        before, found = copy.deepcopy(model.state_dict()), "training" if training else "eval"
        got = answer(model, x)
        if tuple(got.shape) != (64,):
            raise NotYet(f"predict should return 64 classes, got shape {tuple(got.shape)}.")
        moved, alike = _moved(before, model), torch.equal(got, answer(model, x))
        refuse(
            (moved and alike, "the running statistics moved: the norm is not in eval mode."),
            (moved, "asked twice, it gives different answers, and the running statistics have "
                "moved. Which mode is the model in?"),
            (not alike, "asked twice, it gives different answers: dropout is still on."),
            (not torch.equal(got, right), "some answers are not those of eval mode."),
            (model.training != training, f"right answers, but the model was found in {found} "
                "mode."),
            (modes != [part.training for part in model.modules()], "right answers, but a norm "
                "that was found frozen, in eval mode, is in training mode now: remember each "
                "module's."),
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
    norms[-1].register_forward_hook(lambda m, x, out: sizes.append(_rms(out)))
    out, again = model.train()(x), model(x)
    for _ in range(20):
        model(torch.randn(512, 64, generator=g))
    model.eval()(x)
    ratio, layers = sizes[-1] / sizes[-2], len(_linears(model))
    refuse(
        (torch.equal(out, again), "two passes in training mode agree: no dropout is left."),
        (abs(ratio - 1) > 0.05, f"what leaves the last norm has in eval mode {ratio:.1f} of "
            "its size in training: a dropout still comes before a norm."),
        (tuple(out.shape) != (512, 256), "stack(2, 256, 0.5) should give 256 values a "
            "sample."),
        (layers != 3 or len(norms) != 3, f"3 layers with a norm each, yours are {layers} and "
            f"{len(norms)}."),
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
    moved, mean = _moved(reference.state_dict(), backbone), reference[1].running_mean
    way = reference[0](torch.cat([x for x, _ in batches])).mean(0) - mean
    gone = ((backbone[1].running_mean - mean) @ way / (way @ way)).item()
    refuse(
        (not _moved(old_head, head), "the head has not been trained."),
        ("0.weight" in moved, "the backbone's weights have been trained."),
        ({"1.weight", "1.bias"} & set(moved), "γ and β of the backbone have been trained."),
        ("1.running_mean" in moved, f"after {len(batches)} batches the running means of the "
            f"backbone have gone {gone:.0%} of the way to the new data: which mode is it in "
            "when a batch comes?"),
        ("1.running_var" in moved, "a running variance of the backbone has moved."),
        (max(off) > 1e-4, "the running statistics stay, but training uses the batch's: the "
            "head learns from features that eval mode does not have."),
        (not modes or not all(modes), "the backbone is frozen, but so is the head's dropout."),
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
        (not all(close(u[:32], v) for u, v in zip(used, alone, strict=True)), "in eval mode "
            "the answer depends on the company."),
        (abs(torch.cat(trained).square().mean() - 1) > 0.2, "the views are not normalized any "
            "more."),
    )  # fmt: skip
    for name, t, u in zip(("first", "second"), trained, used, strict=True):
        shift = (u - t).mean(0).abs().max().item()
        size = (u.std(0) / t.std(0)).mean().item()
        refuse((
            shift > 0.15 or abs(size - 1) > 0.15, f"in eval mode the {name} view leaves with "
            f"{size:.2f} of the spread that it has in training, and means off by up to "
            f"{shift:.2f}: two views, and one pair of running statistics."
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
        (not torch.isfinite(flat).all(), "a constant row in float16 gives nan: what is eps in "
            "float16?"),
        (got.dtype != torch.float16, f"float16 came in, and {got.dtype} out."),
        ((got == 0).float().mean() > 0.5, "the constant row is mended, but one of size 1000 "
            "comes out as zeros: its squares are beyond 65504."),
        (not off(got, large) < 0.02, "a float16 row of size 1000 is off: squares need a wider "
            "dtype."),
        (not torch.isfinite(small).all(), "a float16 row of size 0.0001 is not finite: its "
            "squares are zero."),
        (small.abs().max() > 5 or flat.any(), "a constant row should come out as zeros, a "
            "small one near them."),
    )  # fmt: skip
    return "constant, small and large rows, each in its own dtype."


CHECKS = {
    "10.1": Function("classifier", seeded(_classifier)),
    "10.2": Function("mlp", seeded(_mlp)),
    "10.3": Function("kaiming", seeded(_kaiming)),
    "10.4": Function("LanguageModel", seeded(_language_model)),
    "10.5": Function("block", seeded(_builder)),
    "10.6": Function("optimizer_for", seeded(_optimizer_for)),
    "10.7": Function("DeepNorm", seeded(_deep_norm)),
    "10.8": Function("half_network", seeded(_half_network)),
    "10.9": Function("batches", seeded(_batches)),
    "10.10": Function("block", seeded(_block)),
    "10.11": Function("accumulated", seeded(_accumulated)),
    "10.12": Function("predict", seeded(_predict)),
    "10.13": Function("stack", seeded(_stack)),
    "10.14": Function("fine_tune", seeded(_fine_tune)),
    "10.15": Function("TwoViews", seeded(_two_views)),
    "10.16": Function("by_hand", seeded(_by_hand)),
}

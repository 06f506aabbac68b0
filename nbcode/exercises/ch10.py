"""Judges of chapter 10: each runs a program and says what it measured."""

import copy

import numpy as np

from nbcode import datasets
from nbcode.exercises import _judge


def _digits():
    import torch

    data = datasets.digits(rng=np.random.default_rng(0))
    return torch.from_numpy(data.x_train[:512]), torch.from_numpy(data.y_train[:512])


def _no_module(model, call):
    import torch

    if isinstance(model, torch.nn.Module):
        return None
    return f"{call} should be a torch.nn.Module, yours is {type(model).__name__}."


def _loud_readout(answer):
    import torch
    import torch.nn.functional as F

    complaint = _judge.function(answer, 'check.exercise("10.1", classifier)')
    if complaint:
        return False, complaint
    x, y = _digits()
    with _judge.seeded():
        for width in (1280, 64):
            model = answer(width)
            complaint = _no_module(model, f"classifier({width})")
            if complaint:
                return False, complaint
            readout = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
            read = []
            handle = readout.register_forward_hook(lambda m, i, o, to=read: to.append(i[0]))
            loss = F.cross_entropy(model(x), y).item()
            handle.remove()
            if 2.65 < loss < 3.2:
                return False, (
                    f"at width {width} the first loss is {loss:.1f}: logits of size s = 1 "
                    "cost s²/2 more than ln 10 = 2.3. That does little harm; go smaller."
                )
            if not loss < 2.65:
                return False, (
                    f"at width {width} the first loss is {loss:.1f}, and ln 10 is 2.3; "
                    "measure the logits, and see which matrix no norm divides by."
                )
            if read[0].std(dim=0).max() < 0.1:
                return False, (
                    f"the first loss is {loss:.1f}, but all digits look alike to the last "
                    "layer: zeros are safe in that layer alone."
                )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(80):
            optimizer.zero_grad()
            after = F.cross_entropy(model(x), y)
            after.backward()
            optimizer.step()
    if not after.item() < 1.5:
        return False, (
            f"the first loss is {loss:.1f}, and 80 steps later still {after.item():.1f}: "
            "nothing gets through to what it could learn with."
        )
    return True, f"the first loss is {loss:.1f}, and it falls."


def _silent(answer):
    import torch

    complaint = _judge.function(answer, 'check.exercise("10.2", mlp)')
    if complaint:
        return False, complaint
    x, _ = _digits()
    spread = {}
    with _judge.seeded():
        for depth in (3, 15, 30):
            sizes = []
            for _ in range(5):
                model = answer(depth)
                complaint = _no_module(model, f"mlp({depth})")
                if complaint:
                    return False, complaint
                with torch.no_grad():
                    out = model.double()(x.double())
                sizes.append((out - out.mean(dim=0)).square().mean().sqrt().item())
            spread[depth] = float(np.median(sizes))
    if all(0.03 < s < 30 for s in spread.values()):
        return True, f"at 30 layers the output varies by {spread[30]:.1g}."
    said = f"at 30 layers the output varies by {spread[30]:.0e} from digit to digit"
    a_layer = (spread[30] / spread[15]) ** (1 / 15) if spread[15] else 0.0
    if 0.33 < a_layer < 0.5:
        why = "a layer leaves 1/√6, so the variance is still PyTorch's 1/(3n)."
    elif 0.6 < a_layer < 0.8:
        why = "a layer leaves 1/√2, so ReLU's half is not made up for."
    elif a_layer > 1:
        why = "each layer makes the signal larger; find its factor, and (10.2)."
    else:
        why = "each layer makes the signal smaller; find its factor, and (10.2)."
    return False, f"{said}; {why}"


def _kaiming(answer):
    complaint = _judge.function(answer, 'check.exercise("10.3", kaiming)')
    if complaint:
        return False, complaint
    W = np.asarray(answer(400, 100, np.random.default_rng(0)), dtype=float)
    if W.shape != (400, 100):
        return False, f"kaiming(400, 100, rng) should have shape (400, 100), not {W.shape}."
    if abs(W.mean()) > 0.1 * W.std():
        return (
            False,
            "the weights have a mean; they should be as often below zero as above.",
        )
    share = W.var() * 100
    if not share > 0:
        return False, "all weights are zero."
    if abs(share - 2) < 0.06:
        return True, "fan-in times variance is 2, which ReLU halves."
    turns = {
        6: "√(6/n) is a bound, of numbers whose standard deviation is √3 times smaller.",
        2 / 3: "√(2/n) is a standard deviation; a bound is √3 times larger.",
        0.5: "that divides by the fan-out; fan_in is the second argument.",
        1.5: "that is a uniform bound with the fan-out; fan_in is the second argument.",
        1: "that leaves ReLU's half out.",
        0.4: "that is Xavier's variance, 2/(fan_in + fan_out).",
        0.04: "take the root: 2/n is a variance.",
    }
    why = next((w for v, w in turns.items() if abs(share / v - 1) < 0.04), None)
    layers = f"fan-in times variance is {share:.2g} and should be 2"
    return False, f"{layers}: {why or 'a layer multiplies the mean square by half of it.'}"


def _tied(answer):

    complaint = _judge.function(answer, 'check.exercise("10.4", LanguageModel)')
    if complaint:
        return False, complaint
    for width in (256, 512):
        right, why = _tied_at(answer, 1000, width)
        if not right:
            break
    return right, why


def _tied_at(answer, vocabulary, width):
    import torch
    import torch.nn.functional as F

    with _judge.seeded():
        model = answer(vocabulary, width)
        complaint = _no_module(model, f"LanguageModel({vocabulary}, {width})")
        if complaint:
            return False, complaint
        text = torch.randint(vocabulary, (1025,))
        with torch.no_grad():
            logits = model(text[:-1])
    shared = sum(vocabulary in p.shape and p.ndim == 2 for p in model.parameters())
    if shared != 1:
        return False, f"there should be one matrix of {vocabulary} tokens, not {shared}."
    loss = F.cross_entropy(logits, text[1:]).item()
    own = logits.gather(1, text[:-1, None]).mean().item()
    size = logits.std(dim=1).median().item()
    if abs(own / width**0.5 - 1) < 0.1 and loss > 10:
        return False, (
            f"the first loss is {loss:.0f}: the logits are of size 1, but for the present "
            f"token's own, which is √d = {width**0.5:.0f}."
        )
    if not loss < np.log(vocabulary) + 0.5:
        return False, (
            f"at width {width} the first loss is {loss:.0f}, and ln V is 6.9; the present "
            f"token's own logit is {own:.0f}, by (10.4) σ·d."
        )
    seen = own / (size * width**0.5) if size else 0.0
    if not seen > 0.5:
        return False, (
            f"the first loss is {loss:.1f}, but the present token's logit is {seen:.0%} of "
            "what its embedding alone would give: the stream has lost it."
        )
    return True, f"the first loss is {loss:.1f}, and the token is in the stream."


def _builder(answer):
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("10.5", block)')
    if complaint:
        return False, complaint
    biases = {}
    for norm in (nn.BatchNorm1d, nn.LayerNorm, nn.Identity):
        model = answer(8, 16, norm)
        complaint = _no_module(model, f"block(8, 16, nn.{norm.__name__})")
        if complaint:
            return False, complaint
        linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
        if len(linear) != 1 or linear[0].weight.shape != (16, 8):
            return False, "a block should have one nn.Linear, from 8 units to 16."
        if not any(isinstance(m, norm) for m in model.modules()):
            return False, f"block(8, 16, nn.{norm.__name__}) has lost its norm."
        biases[norm.__name__] = linear[0].bias is not None
    if biases["BatchNorm1d"] and not (biases["LayerNorm"] and biases["Identity"]):
        return False, "upside down: the bias is dead in front of batch norm."
    if biases["BatchNorm1d"]:
        return False, (
            "in front of batch norm there are still 16 biases, whose gradient is zero; "
            "ask what isinstance says of a class."
        )
    if not biases["Identity"]:
        return False, "without a norm behind it the bias is needed, and here it is gone."
    if not biases["LayerNorm"]:
        return False, "in front of layer norm the bias is alive, and here it is gone."
    return True, "no bias in front of batch norm, and one everywhere else."


def _decay(answer):
    import torch
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("10.6", optimizer_for)')
    if complaint:
        return False, complaint
    with _judge.seeded():
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(6, 5), nn.LayerNorm(5)
        )
    optimizer = answer(model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        return False, f"optimizer_for should return a torch optimizer, yours is {kind}."
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    lost = [name for name, p in model.named_parameters() if id(p) not in held]
    if lost:
        return False, f"{lost[0]} is in no group, so that it is not trained at all."
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
        p.data.fill_(1.0)
    optimizer.step()
    decayed = {name for name, p in model.named_parameters() if (p < 1).any()}
    matrices = {name for name, p in model.named_parameters() if p.ndim >= 2}
    if matrices - decayed:
        name = sorted(matrices - decayed)[0]
        return False, f"{name} is a matrix or a kernel, and it does not decay."
    wrong = sorted(decayed - matrices)
    for group in optimizer.param_groups:
        left = 1 - group["lr"] * group.get("weight_decay", 0)
        if not wrong and any((p - left).abs().max() > 1e-6 for p in group["params"]):
            return False, (
                f"a weight of 1 without a gradient should become {left:.6g}; is this "
                "decay, or a term of the gradient that Adam divides by its size?"
            )
    if not wrong:
        return True, "without a gradient the matrices shrink, and nothing else does."
    if not any(name.endswith("bias") for name in wrong):
        return False, f"{wrong[0]} still decays: the γ of a norm is called weight."
    return False, (
        f"without any gradient {len(wrong)} tensors shrink that are no matrices: "
        f"{', '.join(wrong)}."
    )


def _deep_norm(answer):
    import torch
    import torch.nn.functional as F

    complaint = _judge.function(answer, 'check.exercise("10.7", DeepNorm)')
    if complaint:
        return False, complaint
    alpha, width = 3.0, 6
    with _judge.seeded():
        x, g = torch.randn(4, width), torch.randn(4, width)
        module = answer(width, alpha)
        complaint = _no_module(module, "DeepNorm(6, 3.0)")
        if complaint:
            return False, complaint
        got = module(x.clone(), g.clone()).detach()

    def norm(z):
        return F.layer_norm(z, (width,))

    if got.shape != x.shape:
        return False, f"the output should have shape {tuple(x.shape)}, as x has."
    turns = {
        "with α = 3 the branch has the larger share; in the paper x has it.": norm(
            x + alpha * g
        ),
        "the sum is right, and the norm is missing.": alpha * x + g,
        "the branch is weighed by α, and the norm is missing.": x + alpha * g,
        "α multiplies both sides, which a norm takes out again.": norm(x + g),
        "the norm belongs around the sum, not on x.": alpha * norm(x) + g,
        "the norm belongs around the sum, not on the branch.": alpha * x + norm(g),
        "α belongs inside the norm, on x alone.": alpha * norm(x + g),
        "the norm belongs around the sum, and α is lost in a norm of αx alone.": (
            norm(alpha * x) + g
        ),
        "the norm belongs around the sum, and α beside x.": x + norm(alpha * g),
    }
    for why, value in turns.items():
        if torch.allclose(got, value, rtol=1e-3, atol=1e-3):
            return False, why
    if not torch.allclose(got, norm(alpha * x + g), rtol=1e-3, atol=1e-3):
        return False, "compare with LN(αx + G), term by term."
    if not any(p.numel() == width for p in module.parameters()):
        return False, "the function is right, but the norm's γ and β are not trained."
    return True, "LN(αx + G)."


def _half(answer):
    import torch

    complaint = _judge.function(answer, 'check.exercise("10.8", half_network)')
    if complaint:
        return False, complaint
    sizes = {}
    for depth in (40, 2):
        with _judge.seeded():
            out = answer(torch.randn(64, 128), depth)
        if not isinstance(out, torch.Tensor):
            return False, f"half_network should return a tensor, not {type(out).__name__}."
        if not torch.isfinite(out).all():
            return False, (
                f"at {depth} layers the output of {str(out.dtype)[6:]} is not finite; a "
                "layer multiplies the signal by 11.3, which is √(256/2)."
            )
        if out.dtype != torch.float16:
            return False, (
                f"the output is {str(out.dtype)[6:]}, of size {_rms(out):.0e} at {depth} "
                "layers; mend the scale, in float16."
            )
        if out.max() > 6e4:
            return False, (
                f"at {depth} layers entries stand at float16's end, 65504: held there, "
                "they say nothing about the input."
            )
        if 0 < _rms(out) < 1e-3:
            return False, (
                f"of size {_rms(out):.0e} at {depth} layers: the half that ReLU takes from "
                "the mean square is not made up for."
            )
        if not _rms(out - out.float().mean(dim=0)) > 1e-3 * (1 + _rms(out)):
            return False, f"at {depth} layers all inputs give the same output."
        sizes[depth] = _rms(out)
    if not 1e-2 < sizes[40] < 1e2:
        return False, f"finite, but of size {sizes[40]:.0e} at 40 layers: it is on its way."
    return True, "finite at 40 layers, and of a size near 1."


def _rms(a):
    return a.double().square().mean().sqrt().item()


def _loader(answer):
    complaint = _judge.function(answer, 'check.exercise("10.9", batches)')
    if complaint:
        return False, complaint
    for samples, size in ((1437, 4), (1441, 32), (5, 2), (6, 3), (64, 32), (7, 3)):
        said = f"{samples} samples in batches of {size}"
        rng, met, orders = np.random.default_rng(0), set(), set()
        for _ in range(60):
            epoch = [np.asarray(batch).tolist() for batch in answer(samples, size, rng)]
            flat = [index for batch in epoch for index in batch]
            if not epoch or min(map(len, epoch)) == 0:
                return False, f"{said}: an epoch or a batch is empty."
            if len(epoch) > 1 and min(map(len, epoch)) == 1:
                return False, f"{said} leave a batch of one, which batch norm refuses."
            if not set(flat) <= set(range(samples)):
                return False, f"{said}: indices should lie between 0 and {samples - 1}."
            if len(set(flat)) < len(flat):
                return False, f"{said}: a sample came twice in an epoch."
            if len(flat) <= samples - size:
                return False, f"{said}: more is left out than the last short batch."
            if max(map(len, epoch)) > size + 1:
                return False, f"{said}: a batch of {max(map(len, epoch))} is too large."
            met |= set(flat)
            orders.add(tuple(flat))
        if len(orders) == 1:
            return False, f"{said}: all epochs have one order; shuffle before you cut."
        if len(met) < samples and samples < 100:
            return (
                False,
                f"{said}: in 60 epochs a sample never came; shuffle all, then cut.",
            )
        if len(met) < samples:
            return False, f"{said}: {samples - len(met)} never came; shuffle all, then cut."
    return True, "no batch of one, and whoever is left out comes in another epoch."


def _block(answer):
    import torch

    complaint = _judge.function(answer, 'check.exercise("10.10", block)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(8, 24))).float()
    with _judge.seeded(), torch.no_grad():
        block = answer(24, 32).train()
        for parameter in block.parameters():
            if parameter.ndim == 1:  # a bias would hide that a norm ignores the scale
                parameter.copy_((parameter == 1).float())
        out, pair = block(x), block(x[:2])
        if tuple(out.shape) != (8, 32):
            return False, f"block(24, 32) should give 32 values a sample, got {out.shape}."
        if not torch.allclose(out[:2], pair, atol=1e-4):
            return False, (
                "in training mode a sample's output changes when its company does: the "
                "statistics still cross the batch."
            )
        if out.abs().max() < 1e-3:
            return (
                False,
                "all outputs are 0: a group of one channel has nothing but its mean.",
            )
        if out.min() < 0:
            return False, "outputs below zero: the ReLU belongs to the block."
        if not torch.allclose(block(10 * x), out, atol=0.05):
            return False, "ten times the input gives another output: nothing is normalized."
    return True, "alone or in company, the same output, and normalized."


def _accumulate(answer):
    import torch
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("10.11", accumulated)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(30, 6))).float()
    y = torch.from_numpy(rng.integers(3, size=30))
    with _judge.seeded():
        model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))

        def whole():
            loss = nn.functional.cross_entropy(model(x), y)
            return torch.cat(
                [g.flatten() for g in torch.autograd.grad(loss, model.parameters())]
            )

        for parts in (2, 15, 4):  # the last leaves a shorter batch
            sizes, target = [], whole()
            hook = model.register_forward_hook(lambda m, i, o, to=sizes: to.append(len(o)))
            got = answer(model, x, y, parts)
            hook.remove()
            if max(sizes, default=0) > -(-30 // parts):
                return False, (
                    f"for {parts} parts a batch of {max(sizes)} of 30 went through the "
                    "model: memory does not hold so many."
                )
            if got.shape != target.shape:
                return False, "accumulated should return all gradients in one vector."
            ratio = (got.norm() / target.norm()).item()
            close = torch.allclose(got, target, rtol=1e-4, atol=1e-6)
            if close and torch.allclose(
                answer(model, x, y, parts), target, rtol=1e-4, atol=1e-6
            ):
                continue
            if close:
                return (
                    False,
                    "the second call adds to the first: the gradients start at zero.",
                )
            if torch.allclose(got, parts * target, rtol=1e-4, atol=1e-5):
                return False, (
                    f"in {parts} parts the gradient is {ratio:.1f} times that of the whole "
                    "batch: backward adds, and the loss is a mean."
                )
            if parts == 4 and abs(ratio - 1) < 0.3:
                return False, (
                    "30 samples in 4 parts are 8, 8, 8 and 6: weigh each part by its "
                    "samples."
                )
            return False, (
                f"in {parts} parts the gradient has {ratio:.3g} times the length that the "
                "whole batch's has."
            )
    return True, "the whole batch's gradient, in parts of any size."


def _predict(answer):
    import torch
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("10.12", predict)')
    if complaint:
        return False, complaint
    x = torch.from_numpy(np.random.default_rng(0).normal(1, 2, size=(64, 6))).float()
    with _judge.seeded(), torch.no_grad():
        model = nn.Sequential(
            nn.Linear(6, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(32, 5),
        )
        for _ in range(20):
            model(x)
        target = copy.deepcopy(model).eval()(x).argmax(1)
        for training, frozen in ((True, False), (False, False), (True, True)):
            model.train(training)
            model[1].train(training and not frozen)  # a norm that is frozen
            modes = [part.training for part in model.modules()]
            before = copy.deepcopy(model.state_dict())
            got = answer(model, x)
            if tuple(got.shape) != (64,):
                return (
                    False,
                    f"predict should return 64 classes, got shape {tuple(got.shape)}.",
                )
            same = all(torch.equal(before[k], v) for k, v in model.state_dict().items())
            alike = torch.equal(got, answer(model, x))
            if not same and alike:
                return False, "the running statistics moved: the norm is not in eval mode."
            if not same:
                return False, (
                    "asked twice, it gives different answers, and the running statistics "
                    "have moved. Which mode is the model in?"
                )
            if not alike:
                return (
                    False,
                    "asked twice, it gives different answers: dropout is still on.",
                )
            if not torch.equal(got, target):
                return False, "some answers are not those of eval mode."
            if training and not model.training:
                return False, "right answers, but the model was found in training mode."
            if not training and model.training:
                return False, "right answers, but the model was found in eval mode."
            if modes != [part.training for part in model.modules()]:
                return False, (
                    "right answers, but a norm that was found frozen, in eval mode, is in "
                    "training mode now: remember each module's."
                )
    return True, "each its own answer, and the model as it was found."


def _dropout(answer):
    import torch
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("10.13", stack)')
    if complaint:
        return False, complaint
    g = torch.Generator().manual_seed(0)
    with _judge.seeded(), torch.no_grad():
        model = answer(2, 256, 0.5)
        norms = [
            m
            for m in model.modules()
            if type(m).__name__.endswith("Norm")
            or isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        if not norms:
            return False, "there is no norm left in the stack."
        for norm in norms:
            norm.momentum = None
        sizes, x = {}, torch.randn(512, 64, generator=g)
        norms[-1].register_forward_hook(
            lambda _m, _x, out: sizes.update(now=out.square().mean().sqrt())
        )
        outputs = [model.train()(x) for _ in range(2)]
        if torch.equal(*outputs):
            return False, "two passes in training mode agree: no dropout is left."
        for _ in range(20):
            model(torch.randn(512, 64, generator=g))
        trained = sizes["now"].item()
        model.eval()(x)
        ratio = sizes["now"].item() / trained
        if abs(ratio - 1) > 0.05:
            return False, (
                f"what leaves the last norm has in eval mode {ratio:.1f} of its size in "
                "training: a dropout still comes before a norm."
            )
        if tuple(outputs[0].shape) != (512, 256):
            return False, "stack(2, 256, 0.5) should give 256 values a sample."
        hidden = sum(isinstance(m, nn.Linear) for m in model.modules())
        if hidden != 3 or len(norms) != 3:
            return False, f"3 layers with a norm each, yours are {hidden} and {len(norms)}."
    return True, "the same size in both modes, and dropout is still there."


def _frozen(answer):
    import torch
    from torch import nn

    complaint = _judge.function(answer, 'check.exercise("10.14", fine_tune)')
    if complaint:
        return False, complaint
    rng, modes, seen = np.random.default_rng(0), [], []
    batches = [
        (
            torch.from_numpy(rng.normal(2, 0.5, (32, 6))).float(),
            torch.from_numpy(rng.integers(3, size=32)),
        )
        for _ in range(20)
    ]
    with _judge.seeded():
        backbone = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU())
        head = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 3))
        reference = copy.deepcopy(backbone).eval()
        old_head = copy.deepcopy(head.state_dict())
        head[0].register_forward_hook(lambda m, _x, _y: modes.append(m.training))
        backbone.register_forward_hook(
            lambda _m, given, out: seen.append(
                (out - reference(given[0])).abs().max().item()
            )
        )
        answer(backbone, head, batches)
    was, now = reference.state_dict(), backbone.state_dict()
    if all(torch.equal(v, old_head[k]) for k, v in head.state_dict().items()):
        return False, "the head has not been trained."
    if not torch.equal(was["0.weight"], now["0.weight"]):
        return False, "the backbone's weights have been trained."
    if not (
        torch.equal(was["1.weight"], now["1.weight"])
        and torch.equal(was["1.bias"], now["1.bias"])
    ):
        return False, "γ and β of the backbone have been trained."
    if not torch.equal(was["1.running_mean"], now["1.running_mean"]):
        new = reference[0](torch.cat([x for x, _ in batches])).mean(0).detach()
        way, moved = (m - was["1.running_mean"] for m in (new, now["1.running_mean"]))
        return False, (
            f"after {len(batches)} batches the running means of the backbone have gone "
            f"{(moved @ way / (way @ way)).item():.0%} of the way to the new data: which "
            "mode is it in when a batch comes?"
        )
    if not torch.equal(was["1.running_var"], now["1.running_var"]):
        return False, "a running variance of the backbone has moved."
    if seen and max(seen) > 1e-4:
        return False, (
            "the running statistics stay, but training uses the batch's: the head learns "
            "from features that eval mode does not have."
        )
    if not modes or not all(modes):
        return False, "the backbone is frozen, but so is the head's dropout."
    return True, "the head is trained, and nothing in the backbone has changed."


def _shared(answer):
    import torch

    complaint = _judge.function(answer, 'check.exercise("10.15", TwoViews)')
    if complaint:
        return False, complaint
    g = torch.Generator().manual_seed(0)

    def views(n=256):
        return torch.randn(n, 6, generator=g), 3 + 2 * torch.randn(n, 6, generator=g)

    with _judge.seeded(), torch.no_grad():
        model = answer(6, 8)
        matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
        if matrices > 6 * 8:
            return False, "there are two matrices now; the views should share one."
        for _ in range(100):
            model.train()(*views())
        a, b = views(2048)
        if len(model(a, b)) != 2:
            return False, "forward should return two views."
        used, alone = model.eval()(a, b), model(a[:32], b[:32])
        trained = model.train()(a, b)
        if not all(
            torch.allclose(u[:32], v, atol=1e-4) for u, v in zip(used, alone, strict=True)
        ):
            return False, "in eval mode the answer depends on the company."
        if abs(torch.cat(trained).square().mean() - 1) > 0.2:
            return False, "the views are not normalized any more."
        for name, t, u in zip(("first", "second"), trained, used, strict=True):
            shift = (u - t).mean(0).abs().max().item()
            size = (u.std(0) / t.std(0)).mean().item()
            if shift > 0.15 or abs(size - 1) > 0.15:
                return False, (
                    f"in eval mode the {name} view leaves with {size:.2f} of the spread "
                    f"that it has in training, and means off by up to {shift:.2f}: two "
                    "views, and one pair of running statistics."
                )
    return True, "one matrix, and each view is in eval mode as in training."


def _half_norm(answer):
    import torch

    complaint = _judge.function(answer, 'check.exercise("10.16", by_hand)')
    if complaint:
        return False, complaint
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(4, 64)))
    got, target = answer(x), torch.nn.functional.layer_norm(x, (64,))
    if got.shape != x.shape:
        return False, f"a row of 64 should stay one, got shape {tuple(got.shape)}."
    if got.dtype != x.dtype:
        return False, f"float64 came in, and {got.dtype} out."
    if not torch.allclose(got, target, atol=1e-3):
        return False, "rows of mean 0 and variance 1, float64, come out otherwise."
    flat = answer(torch.full((1, 64), 3.0).half())
    if not torch.isfinite(flat).all():
        return False, "a constant row in float16 gives nan: what is eps in float16?"
    large = (1000 * x).half()
    got, target = answer(large), torch.nn.functional.layer_norm(large, (64,))
    if got.dtype != torch.float16:
        return False, f"float16 came in, and {got.dtype} out."
    if (got == 0).float().mean() > 0.5:
        return False, (
            "the constant row is mended, but one of size 1000 comes out as zeros: its "
            "squares are beyond 65504."
        )
    if not torch.allclose(got.float(), target.float(), atol=0.02):
        return False, "a float16 row of size 1000 is off: squares need a wider dtype."
    small = answer((1e-4 * x).half())
    if not torch.isfinite(small).all():
        return False, "a float16 row of size 0.0001 is not finite: its squares are zero."
    if small.abs().max() > 5 or not torch.equal(flat, torch.zeros_like(flat)):
        return False, "a constant row should come out as zeros, a small one near them."
    return True, "constant, small and large rows, each in its own dtype."


CHECKS = {
    "10.1": _loud_readout,
    "10.2": _silent,
    "10.3": _kaiming,
    "10.4": _tied,
    "10.5": _builder,
    "10.6": _decay,
    "10.7": _deep_norm,
    "10.8": _half,
    "10.9": _loader,
    "10.10": _block,
    "10.11": _accumulate,
    "10.12": _predict,
    "10.13": _dropout,
    "10.14": _frozen,
    "10.15": _shared,
    "10.16": _half_norm,
}

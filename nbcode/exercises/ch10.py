"""Judges of chapter 10, pitfalls 1 to 8: each builds what was mended and measures it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nbcode import datasets
from nbcode.exercises import ch10_norms
from nbcode.exercises._judge import Function, NotYet, number, refuse
from nbcode.exercises._torch import linears, module, rms, seeded


def _digits():
    data = datasets.digits(rng=np.random.default_rng(0))
    return torch.from_numpy(data.x_train[:512]), torch.from_numpy(data.y_train[:512])


def _classifier(answer):
    x, y = _digits()
    for width in (1280, 64):
        model = module(answer(width), f"classifier({width})")
        readout, read = linears(model)[-1], dict[str, torch.Tensor]()
        readout.register_forward_pre_hook(lambda m, x, to=read: to.update(x=x[0]))
        loss = F.cross_entropy(model(x), y).item()
        first = f"at width {width} the first loss is {loss:.1f}"
        refuse(
            (2.65 < loss < 3.2, f"{first}: logits of size s = 1 cost s²/2 more than ln 10 "
                "= 2.3. That does little harm; go smaller."),
            (not loss < 2.65, f"{first}, and ln 10 is 2.3; measure the logits, and see "
                "which matrix no norm divides by."),
            (read["x"].std(dim=0).max() < 0.1, f"the first loss is {loss:.1f}, but all "
                "digits look alike to the last layer: zeros are safe in that layer alone."),
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
        outs = [module(answer(depth), f"mlp({depth})").double()(x) for _ in range(5)]
        spread[depth] = np.median([rms(out - out.mean(dim=0)) for out in outs])
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
    said = f"fan-in times variance is {share:.2g} and should be 2: "
    number(share, 2, turns, "a layer multiplies the mean square by half of it.", 0.03, said)
    return "fan-in times variance is 2, which ReLU halves."


@torch.no_grad()
def _language_model(answer):
    for width in (256, 512):
        model = module(answer(1000, width), f"LanguageModel(1000, {width})")
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
            (not loss < np.log(1000) + 0.5, f"at width {width} the first loss is "
                f"{loss:.0f}, and ln V is 6.9; the present token's own logit is {own:.0f}, "
                "by (10.4) σ·d."),
            (not seen > 0.5, f"the first loss is {loss:.1f}, but the present token's "
                f"logit is {seen:.0%} of what its embedding alone would give: the stream "
                "has lost it."),
        )  # fmt: skip
    return f"the first loss is {loss:.1f}, and the token is in the stream."


def _builder(answer):
    bias = []
    for norm in (nn.BatchNorm1d, nn.LayerNorm, nn.Identity):
        call = f"block(8, 16, nn.{norm.__name__})"
        model = module(answer(8, 16, norm), call)
        shapes = [linear.weight.shape for linear in linears(model)]
        refuse(
            (shapes != [(16, 8)], "a block should have one nn.Linear, from 8 units to 16."),
            (not any(isinstance(m, norm) for m in model.modules()), f"{call} has lost its "
                "norm."),
        )  # fmt: skip
        bias.append(linears(model)[0].bias is not None)
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
        if id(p) not in held:
            raise NotYet(f"{name} is in no group, so that it is not trained at all.")
        p.grad = torch.zeros_like(p)
        p.data.fill_(1.0)
    optimizer.step()
    decays = {name: bool((p < 1).any()) for name, p in named.items()}
    for name in sorted(named):
        if named[name].ndim >= 2 and not decays[name]:
            raise NotYet(f"{name} is a matrix or a kernel, and it does not decay.")
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
            f"a weight of 1 without a gradient should become {left:.6g}; is this decay, or "
            "a term of the gradient that Adam divides by its size?",
        ))  # fmt: skip
    return "without a gradient the matrices shrink, and nothing else does."


def _deep_norm(answer):
    def norm(z):
        return F.layer_norm(z, (6,))

    x, g = torch.randn(4, 6), torch.randn(4, 6)
    block = module(answer(6, 3.0), "DeepNorm(6, 3.0)")
    got = block(x.clone(), g.clone()).detach()
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
        (all(p.numel() != 6 for p in block.parameters()), "the function is right, but the "
            "norm's γ and β are not trained."),
    )  # fmt: skip
    return "LN(αx + G)."


def _half_network(answer):
    for depth in (40, 2):
        out = answer(torch.randn(64, 128), depth)
        if not isinstance(out, torch.Tensor):
            kind = type(out).__name__
            raise NotYet(f"half_network should return a tensor, not {kind}.")
        dtype, size = str(out.dtype).removeprefix("torch."), rms(out)
        varies = rms(out - out.float().mean(dim=0))
        refuse(
            (not torch.isfinite(out).all(), f"at {depth} layers the output of {dtype} is "
                "not finite; a layer multiplies the signal by 11.3, which is √(256/2)."),
            (out.dtype != torch.float16, f"the output is {dtype}, of size {size:.0e} at "
                f"{depth} layers; mend the scale, in float16."),
            (out.max() > 6e4, f"at {depth} layers entries stand at float16's end, 65504: "
                "held there, they say nothing about the input."),
            (0 < size < 1e-3, f"of size {size:.0e} at {depth} layers: the half that ReLU "
                "takes from the mean square is not made up for."),
            (not varies > 1e-3 * (1 + size), f"at {depth} layers all inputs give the same "
                "output."),
            (depth == 40 and not 1e-2 < size < 1e2, f"finite, but of size {size:.0e} at 40 "
                "layers: it is on its way."),
        )  # fmt: skip
    return "finite at 40 layers, and of a size near 1."


CHECKS = {
    "10.1": Function("classifier", seeded(_classifier)),
    "10.2": Function("mlp", seeded(_mlp)),
    "10.3": Function("kaiming", seeded(_kaiming)),
    "10.4": Function("LanguageModel", seeded(_language_model)),
    "10.5": Function("block", seeded(_builder)),
    "10.6": Function("optimizer_for", seeded(_optimizer_for)),
    "10.7": Function("DeepNorm", seeded(_deep_norm)),
    "10.8": Function("half_network", seeded(_half_network)),
    **ch10_norms.CHECKS,
}

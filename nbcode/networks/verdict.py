"""From the record of a probe to a verdict: rules in the order of causes.

What goes in comes before what is done with it, weights before the signal that they carry,
the signal before the gradient, and the gradient before the step. So of several findings the
first is the cause to look at, and the others may follow from it.
"""

import math
from statistics import median
from typing import NamedTuple


class Finding(NamedTuple):
    """Something that keeps a network from training."""

    cause: str  # a word to test for, such as "weights_large"
    chapter: int
    where: str  # a layer's name, or ""
    words: str  # the cause; the evidence; the remedy


# --- Bounds, and where they come from ----------------------------------------------------

# Data of mean 0 and std 1 have rms 1, pictures in [0, 1] about 0.3 to 0.6, and dark ones in
# [0, 255] about 80. The upper bound is the geometric middle between 1.2 and 80; the lower
# one lies between 0.3 and that divided by 255 a second time, 0.0012.
INPUT_RANGE = 0.02, 10.0
# Mean over spread of the input: the samples' correlation is then 1 − 1/101 to begin with.
INPUT_OFFSET = 10.0
# He's gain is √2 and tanh's 1.59, at the smaller of the fans no scheme exceeds them; ten
# times torch's default is 5.8. The bound is the geometric middle between √2 and that.
GAIN_LARGE = 2.0 * math.sqrt(2)
# Torch's default has gain 1/√3, at the larger of the fans no scheme is below; a tenth of
# He's is 0.14. The bound is the geometric middle.
GAIN_SMALL = math.sqrt(math.sqrt(1 / 3) * math.sqrt(2) / 10)
# Behind layer norms a std of 0.02 is usual at any width: 0.16 at width 64; a tenth of
# torch's default is 0.058. Again the middle.
GAIN_SMALL_NORMED = math.sqrt(0.02 * math.sqrt(64) * math.sqrt(1 / 3) / 10)
# Finite width makes log q^l stray with variance 5L/n (2.12): three standard deviations at
# L = 50, n = 64 are a factor of e^(3·1.98/2) = 20 of the rms.
GROWTH = 30.0
# Torch's default loses √6 a ReLU layer (chapter 4), which "nobody notices" at 3 layers, and
# which no learning rate repairs at 8: 6^(-8/2) = 1/1300.
DECAY = 1e-3
# The difference between two samples is √(2(1 − c)) of their size: one percent.
ALIKE = 5e-5
# Schoenholz et al.'s six depth scales, by which 1 − c has fallen from where it was.
SIX_SCALES = math.exp(-6)
# Behind norms a weight only has a direction, and a step of u turns it by an angle of u.
# After 1/u² steps in random directions it has forgotten where it was: 44 steps. (On the
# models of tests/nbcode/probe_models.py the best rates have u from 0.01 to 0.15, and from
# 0.1 to 0.8 on it is too much.)
# Without norms a step of u in each of L layers multiplies the signal by (1 + u)^L and its
# gradient by as much (1.7), so that 2Lu must stay below 1.
STEP = 0.15
# Half of all weights' last digits in float32: smaller steps are rounded away (chapter 1).
ROUNDED = 2.0**-25


def judge(record) -> list[Finding]:
    """All findings, the earliest cause first; none for a healthy network."""
    found = [finding for rule in RULES if (finding := rule(record)) is not None]
    # what is not finite makes every later number meaningless
    return found[:1] if found and found[0].cause.startswith("not_finite") else found


# --- What is counted as what -------------------------------------------------------------


def _weights(record):
    """Layers with weights that are not all zero, in order of execution."""
    return [x for x in record.layers if x.role == "weight" and x.gain != 0]


def _hidden(record):
    return _weights(record)[:-1]


def _norms(record):
    return [x for x in record.layers if x.role == "norm"]


def _batch_normed(record):
    return [x for x in _norms(record) if "BatchNorm" in x.kind]


def _behind(record, layer):
    """Whether a layer with weights comes after this one."""
    later = record.layers[record.layers.index(layer) + 1 :]
    return any(x.role == "weight" for x in later)


def _acting(record, names):
    """Layers whose activation is one of names and feeds other layers, as no gate."""
    return [
        x
        for x in record.layers
        if x.activation in names and not x.gates and _behind(record, x)
    ]


def _source(record):
    """Spread of what the first layer with weights reads."""
    return next((x.reads[1] for x in record.layers if x.reads and x.role == "weight"), None)


def _path(record):
    """(layer, spread relative to the input) for the hidden layers."""
    source = _source(record)
    if not source:
        return []
    return [(x, x.spread / source) for x in _hidden(record) if x.spread is not None]


def _scheme(record):
    """The initialization that suits what most often follows a layer with weights."""
    behind = [x.activation for x in record.layers if x.activation]
    saturating = sum(name in {"tanh", "sigmoid"} for name in behind)
    if not behind or 2 * saturating > len(behind):
        return "Xavier's scheme"
    return "He's scheme, as what mostly follows is a rectifier"


def _normed(record, text):
    """What is to be said only of a network with norms."""
    return text if _norms(record) else ""


def _n(value):
    """A number as it is read: three digits, powers of ten where they are needed."""
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


# --- The rules ---------------------------------------------------------------------------


def _not_finite(record):
    bad = next((x for x in record.layers if x.bad_output), None)
    broken = bad or (record.loss is not None and not math.isfinite(record.loss))
    if broken and not all(map(math.isfinite, record.inputs)):
        return Finding(
            "not_finite_input",
            10,
            "",
            "The input is not finite: the batch holds nan or inf before any layer has "
            "seen it. Mend the data: look for divisions by zero and for missing values.",
        )
    wrong = next((x for x in record.layers if x.bad_weight), None)
    if wrong is not None:
        return Finding(
            "not_finite_weight",
            1,
            wrong.name,
            f"The weights of {wrong.name} are not finite. An earlier step has destroyed "
            "them: start again from fresh weights, with a smaller learning rate.",
        )
    if bad is not None:
        before = [x for x in record.layers if not x.bad_output and x.signal]
        grown = f", after an rms of {_n(before[-1].signal)} at {before[-1].name}"
        return Finding(
            "not_finite_signal",
            1,
            bad.name,
            f"The signal leaves the numbers at {bad.name} ({bad.kind}, "
            f"{bad.dtype}){grown if before else ''}: it has overflowed, or a division by "
            "zero has made a nan. Look at the scale of the weights up to there, or use a "
            "dtype of a wider range.",
        )
    if broken:
        return Finding(
            "not_finite_loss",
            1,
            "",
            "The loss is not finite, and all layers' outputs are: look for the logarithm "
            "of 0 or an exp without a bound; F.cross_entropy of the logits has neither.",
        )
    back = [x for x in record.layers if x.bad_gradient]
    if back:
        return Finding(
            "not_finite_gradient",
            1,
            back[-1].name,
            f"The gradient is not finite from {back[-1].name} on back, and the signal is: "
            "look for a root or a logarithm of 0 behind that layer, or a gradient beyond "
            "the range of its dtype.",
        )


def _batch_of_one(record):
    few = [x for x in record.layers if x.per_statistic is not None and x.per_statistic <= 2]
    if not record.failed and not few:
        return None
    # x̂ of two values is ±1, whatever they are; of one value it is 0
    where = few[0].name if few else ""
    return Finding(
        "batch_of_one",
        6,
        where,
        f"Batch normalization in training mode{f', {where},' if where else ''} has one or "
        "two values to take a mean and a variance of, and its output says nothing about "
        "its input. Call model.eval() to use the model; to train it, use larger batches, "
        "or layer or group normalization (chapter 8).",
    )


def _mode(record):
    if len(record.in_training) == 1:
        (now,) = record.in_training
        alone = record.samples == 1 and not record.has_loss and record.training is None
        if now and (record.training is False or (alone and _batch_normed(record))):
            why = "with a batch of one" if alone else "while it is used, as you say"
            return Finding(
                "forgotten_eval",
                6,
                "",
                f"The model is in training mode {why}: dropout draws, and batch "
                "normalization makes each answer depend on the batch and moves its "
                "running statistics. Call model.eval() first.",
            )
        if not now and record.training:
            return Finding(
                "forgotten_train",
                6,
                "",
                "The model is in evaluation mode while it is trained, as you say: dropout "
                "is off, and batch normalization uses running statistics and does not "
                "move them. Call model.train() first.",
            )
    stale = [x for x in record.layers if x.stale]
    if stale:
        return Finding(
            "stale_statistics",
            6,
            stale[0].name,
            "The model is in evaluation mode, and no batch has ever touched the running "
            f"statistics of {stale[0].name}: it divides by 1 and subtracts 0, as if it "
            "were not there. Train in training mode (model.train()), or load the "
            "statistics with the weights.",
        )


def _input(record):
    for x in record.layers:
        if not x.reads or x.role != "weight":
            continue
        size, spread, _ = x.reads
        if _norms(record) and not x.reads_batch and x is not record.layers[0]:
            continue  # a norm or an embedding stands between the batch and this layer
        low, high = INPUT_RANGE
        if size == 0 or low <= size <= high:
            if (
                record.samples is None
                or record.samples < 4
                or size <= INPUT_OFFSET * spread
            ):
                continue
            what = f"its mean is {_n(size / max(spread, 1e-300))} times its spread"
        else:
            what = f"its rms is {_n(size)}"
        return Finding(
            "input_scale",
            2,
            x.name,
            f"The input is not normalized: {what} as {x.name} reads it, where weights are "
            "made for about 1. Subtract the mean and divide by the standard deviation of "
            "the training set, feature by feature or channel by channel.",
        )


def _twins(record):
    # Branches of zeros before a readout of zeros have no gradient yet (Fixup starts so).
    # They get one as soon as the readout has moved, which it does.
    wait = any(x.wakes for x in record.layers)
    twins = [
        x
        for x in record.layers
        if x.twins and _behind(record, x) and not (wait and x.gain == 0)
    ]
    if twins:
        return Finding(
            "symmetry",
            1,
            twins[0].name,
            f"All units of {twins[0].name} have equal weights and equal gradients: they "
            "stay equal for ever, and the layer is worth one unit. Draw its weights at "
            "random.",
        )


def _scale(record):
    layers = [x for x in _weights(record) if x.gains]
    if not layers:
        return None
    layers = layers[:-1] or layers
    # the lower median: of two layers the smaller must be large; of two the larger small
    large = sorted(x.gains[0] for x in layers)[(len(layers) - 1) // 2]
    small = sorted(x.gains[1] for x in layers)[len(layers) // 2]
    normed = any("BatchNorm" not in x.kind for x in _norms(record))
    if large > GAIN_LARGE:
        return Finding(
            "weights_large",
            2,
            layers[0].name,
            "The weights are too large: half of the layers have std·√fan above "
            f"{_n(large)}, where √2 is He's and 1 Xavier's. In a chain the signal explodes"
            + _normed(
                record,
                "; behind a norm nothing shows, but each step turns the weights too "
                "little (chapter 9)",
            )
            + f". Initialize again, with {_scheme(record)}.",
        )
    if small < (GAIN_SMALL_NORMED if normed else GAIN_SMALL):
        return Finding(
            "weights_small",
            2,
            layers[0].name,
            "The weights are too small: half of the layers have std·√fan below "
            f"{_n(small)}, where √2 is He's and 1 Xavier's. In a chain the signal vanishes"
            + _normed(
                record,
                "; behind a norm nothing shows, but each step turns the weights too far "
                "(chapter 9)",
            )
            + f". Initialize again, with {_scheme(record)}.",
        )


def _sigmoids(record):
    names = {x.activation for x in record.layers} - {""}
    sigmoids, all_of_them = _acting(record, {"sigmoid"}), _acting(record, names)
    n = len(sigmoids)
    if n < 2 or 2 * n <= len(all_of_them):
        return None
    back = [x.gradient_norm for x in _weights(record) if x.gradient_norm]
    ratio = back[0] / back[-1] if back else None
    # σ' ≤ 1/4 costs four a layer, and a norm before it buys that back: between them, two
    if n < 3 and (ratio is None or ratio > 0.5**n):
        return None
    shrunk = f", and the gradient is {_n(ratio)} of its size at the first" if back else ""
    return Finding(
        "sigmoid",
        3,
        sigmoids[0].name,
        f"{n} layers in a row end in a sigmoid, whose slope is at most 1/4 and whose mean "
        f"is 1/2{shrunk}. Use ReLU with He's initialization, or tanh with Xavier's.",
    )


def _dead(record):
    dead = []
    for x in record.layers:
        # With samples all alike a unit is asleep by the toss of a coin, and four standard
        # deviations of a binomial of n units are 2√n of them. Less than 8 coins can all be
        # tails.
        if x.dead is None or x.units < 8 or not _behind(record, x):
            continue
        if x.dead >= min(1.0, 0.5 + 2 / math.sqrt(x.units)):
            dead.append(x)
    if dead:
        x, others = dead[0], ", ".join(other.name for other in dead[1:])
        return Finding(
            "dead",
            4,
            x.name,
            f"{x.dead:.0%} of the {x.units} units behind {x.name} are dead: their "
            f"{x.activation} is zero for every sample, and so is their gradient."
            + (f" So are most of those behind {others}." if others else "")
            + f" Look at the bias of {x.name}, which is far below zero, or was driven "
            "there by too large a step; set it to zero"
            + (", and those of the others." if others else "."),
        )


def _last_layer(record):
    layers = [x for x in _weights(record) if x.gain]
    if not layers:
        return None
    last, others = layers[-1], [x.gain for x in layers[:-1]]
    alone = others and last.gain > GAIN_LARGE and last.gain > 2 * median(others)
    classes, loss = record.first_loss or (0, 0.0)
    # logits of std s cost log C + s²/2: the outputs cost more than the answer is worth
    costly = classes > 1 and loss > 2 * math.log(classes)
    path = _path(record)
    grown = path and max(ratio for _, ratio in path) > 10 and last.gain < GAIN_LARGE
    if not alone and (not costly or grown):
        return None
    said = f"its std·√fan_in is {_n(last.gain)}" if alone else "the outputs are too large"
    if costly:
        said += f", and the loss is {_n(loss)} where guessing costs log {classes} = "
        said += _n(math.log(classes))
    return Finding(
        "last_layer",
        10,
        last.name,
        f"The network starts out far too sure: {said}. The first steps are spent on "
        f"unlearning that. Make {last.name}, or the embedding that it is tied to, smaller, "
        "or start it at zero.",
    )


def _saturated(record):
    flat = [x for x in _acting(record, {"tanh", "sigmoid"}) if x.saturated > 0.5]
    if flat:
        x = flat[0]
        return Finding(
            "saturated",
            3,
            x.name,
            f"{x.saturated:.0%} of the {x.activation} behind {x.name} are saturated: their "
            "slope is below a tenth of its largest, and the gradient stops there. What "
            f"{x.name} puts out has rms {_n(x.signal)} and should have about 1: make its "
            "weights or its input smaller.",
        )


def _signal(record):
    path = _path(record)
    if len(path) < 2:
        return None
    classes, loss = record.first_loss or (0, 0.0)
    bound = 10 if classes > 1 and loss > 2 * math.log(classes) else GROWTH
    large = [x for x, ratio in path if ratio > bound]
    small: list = []  # the last layers: what a skip connection brings back was not lost
    for x, ratio in reversed(path):
        if ratio >= DECAY:
            break
        small.insert(0, x)
    if large:
        how, cause, where = "explodes", "exploding", large[0]
    elif small:
        how, cause, where = "vanishes", "vanishing", small[0]
    else:
        return None
    ratio = {x.name: ratio for x, ratio in path}[where.name]
    evidence = (
        f"what differs between samples has {_n(ratio)} times the size of the input's at "
        f"{where.name}, layer {[x for x, _ in path].index(where) + 1} of {len(path) + 1}"
    )
    if _norms(record):
        chapter = 2
        advice = f"Initialize with {_scheme(record)}."
    else:
        cause, chapter = "missing_norm", 4 if how == "vanishes" else 5
        advice = (
            "There is no normalization to mend what adds up over depth: put one behind "
            "each layer (chapters 6 and 8), or take the exact gain: He's for ReLU, and "
            "residual branches that start at zero."
        )
        if _scale(record) is None:
            advice = "No single weight is far off. " + advice
    return Finding(cause, chapter, where.name, f"The signal {how}: {evidence}. {advice}")


def _collapse(record):
    first = next((x.reads for x in record.layers if x.reads and x.role == "weight"), None)
    if first is None or first[2] is None:
        return None
    apart = max(1 - first[2], 1e-12)
    # the last hidden layers: what comes back behind a skip connection was not lost
    hidden = [x for x in _hidden(record) if x.correlation is not None]
    last = hidden[-2:]
    # Torch's biases alone are left where its default has decayed, at 1/√n of the first
    # layer's size: less than a quarter from n = 16 on. That is no collapse but a decay.
    kept = last and last[-1].signal > hidden[0].signal / 4
    if kept and all(1 - x.correlation < min(ALIKE, SIX_SCALES * apart) for x in last):
        x = last[0]
        return Finding(
            "rank_collapse",
            5,
            x.name,
            f"All samples look alike at {x.name}: the cosine of two outputs is 1 − "
            f"{_n(max(1 - x.correlation, 0.0))}, and that of two inputs was "
            f"{_n(first[2])}. The loss cannot tell them apart. Start at the edge of chaos, "
            "with biases at zero, or add residual connections or normalization.",
        )


def _gradient(record):
    back = [x for x in _weights(record) if x.gradient_norm]
    if len(back) < 3:
        return None
    ratio = back[0].gradient_norm / back[-1].gradient_norm
    evidence = f"at {back[0].name} it is {_n(ratio)} times that at {back[-1].name}"
    if ratio > 1 / DECAY and len(_batch_normed(record)) > 9:
        return Finding(
            "batch_norm_depth",
            7,
            back[0].name,
            f"The gradient explodes on its way back: {evidence}. Batch normalization does "
            "that, by 1.21 a ReLU layer, where no residual connection passes it by. Add "
            "those, or use layer normalization.",
        )
    if not DECAY / 10 < ratio < 10 / DECAY:
        how = "explodes" if ratio > 1 else "vanishes"
        return Finding(
            f"gradient_{how}",
            1,
            back[0].name,
            f"The gradient {how} on its way back: {evidence}. Look at the slopes of the "
            "activations and at the scale of the weights, or add residual connections.",
        )


def _no_gradient(record):
    if not record.trainable or record.failed:
        return None
    if not record.backward:
        return Finding(
            "no_gradient",
            10,
            "",
            "The loss does not depend on any parameter that wants a gradient: something "
            "on the way is detached, under no_grad, converted to NumPy or has no slope "
            "(argmax, round). Nothing would be learned.",
        )
    gradients = [x.gradient_norm for x in record.layers if x.gradient_norm is not None]
    if gradients and not any(gradients):
        return Finding(
            "no_gradient",
            4,
            "",
            "The gradient is zero in every layer: the loss is flat here. Look at what the "
            "output passes on its way to the loss; a ReLU or a clamp there is dead for all "
            "samples at once.",
        )


def _rate(record):
    updates = [x.update for x in record.layers if x.update]
    if not updates:
        return None
    step, layers = median(updates), len(updates)
    if _norms(record):
        over, bound = step > STEP, STEP
    else:
        over, bound = 2 * layers * step > 1, 1 / (2 * layers)
    if over and layers >= 8 and step < STEP:
        return Finding(
            "missing_norm",
            9,
            "",
            f"The network has {layers} layers, no normalization, and a learning rate that "
            f"only a normalized one bears: a step of {_n(step)} of a weight's size, where "
            f"{_n(bound)} is the most. Put a normalization behind each layer, or divide "
            "the rate by 10 and probe again.",
        )
    if over:
        return Finding(
            "lr_large",
            9,
            "",
            "The learning rate is too large: one step would change the weights of half of "
            f"the {layers} layers by {_n(step)} of their size or more, and {_n(bound)} is "
            "the most that such a network bears. Divide the rate by 10 and probe again; a "
            "hundredth to a thousandth is usual.",
        )
    if max(updates) < ROUNDED and not (_signal(record) or _gradient(record)):
        return Finding(
            "lr_small",
            9,
            "",
            f"The steps are too small: at most {_n(max(updates))} of a weight, which "
            "float32 rounds to nothing. Multiply the learning rate.",
        )


RULES = (
    _not_finite,
    _batch_of_one,
    _mode,
    _no_gradient,
    _input,
    _twins,
    _scale,
    _sigmoids,
    _dead,
    _last_layer,
    _saturated,
    _collapse,
    _signal,
    _gradient,
    _rate,
)

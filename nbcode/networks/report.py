"""What a reader sees of a probe: the table, the picture and the verdict."""

import html
import math
import textwrap
from typing import Any

from nbcode.networks import collect, verdict
from nbcode.networks.table import aligned, cell

CHAPTERS = {
    1: "A signal through a deep network",
    2: "Deriving variance preservation",
    3: "Xavier initialization",
    4: "He initialization",
    5: "Beyond variance",
    6: "Batch normalization: forward",
    7: "Batch normalization: backward, and why it works",
    8: "Layer normalization and its relatives",
    9: "Initialization × normalization × learning rate",
    10: "Pitfalls",
}
_HEAD = ("layer", "kind", "gain", "signal", "spread", "alike", "gradient", "update",
         "then", "dead", "saturated")  # fmt: skip


class Report:
    """What :func:`probe` found out.

    Attributes:
        layers: a row a layer, in order of execution, with ``name``, ``kind``, ``calls``,
            ``signal`` (rms of the output), ``spread`` (rms of its differences from the
            mean over samples), ``correlation`` (mean cosine of two samples' outputs),
            ``gradient`` (rms of ∂L/∂output), ``gain`` (rms of a weight · √fan_in),
            ``update`` (norm of a step over norm of the weights), ``activation``, ``dead``
            (fraction of units) and ``saturated`` (fraction of entries). None where there
            is nothing to say.
        findings: what is wrong, the earliest cause first; each has ``cause`` (a word),
            ``chapter``, ``where`` (a layer's name) and ``words``.
        loss: value of the loss; None if there was none to compute.
    """

    def __init__(self, record):
        self.layers, self.loss = record.layers, record.loss
        self.findings = verdict.judge(record)
        self._record = record

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def cause(self) -> str:
        """The first finding's cause, or "healthy"."""
        return self.findings[0].cause if self.findings else "healthy"

    @property
    def chapter(self) -> int | None:
        """The chapter to read, or None."""
        return self.findings[0].chapter if self.findings else None

    @property
    def verdict(self) -> str:
        """The first finding in words, with its evidence, its remedy and its chapter."""
        if not self.findings:
            what = f"Healthy: nothing stands out in {len(self.layers)} layers."
            if not self.layers:
                what = "Nothing to say: no layer was seen (scripted code shows none)."
            if not self._record.trainable:
                what += " There is nothing to train, so no gradient was looked at."
            return what
        return f"{self.findings[0].words} Read {_chapter(self.chapter)}."

    def plot(self):
        """Draw signal, gradient and update by layer on a logarithmic axis.

        Returns:
            A matplotlib figure in the book's style; ``nbcode.figures.show`` shows it.
        """
        from nbcode import figures

        ax: Any  # of one panel
        fig, ax = figures.subplots(height=3.6)
        ends = []
        for name in ("signal", "spread", "gradient", "update"):
            values = enumerate((getattr(layer, name) for layer in self.layers), 1)
            points = [(i, v) for i, v in values if v and math.isfinite(v)]
            if points:  # a logarithmic axis has no zero, and no layer without a number
                (line,) = ax.plot(*zip(*points, strict=True), marker="o", ms=3)
                ends.append((math.log(points[-1][1]), line, name))
        if ends:
            ax.set_yscale("log")
        last = -math.inf
        for height, line, label in sorted(ends, key=lambda end: end[0]):
            low, high = (math.log(v) for v in ax.get_ylim())
            place = 190 * (height - low) / (high - low)  # on an axis 190 points high
            dy = max(0.0, last + 13 - place)  # labels are 13 points apart
            figures.end_label(ax, label, line, dy=dy)
            last = place + dy
        where = self.findings[0].where if self.findings else ""
        for i, layer in enumerate(self.layers, 1):
            if layer.name == where:
                ax.axvline(i, color=figures.COLORS["muted"], ls=":")
        title = self.cause.replace("_", " ")
        ax.set(xlabel="layer, in order of execution", ylabel="rms; of a weight (update)",
               title=f"{title} at {where}" if where else title)  # fmt: skip
        return fig

    def __str__(self) -> str:
        lines = [self._opening(), ""] if self._opening() else []
        lines.append(aligned([_HEAD, *map(_row, self.layers)]))
        for i, text in enumerate(self._sentences()):
            lines += ["", *textwrap.wrap(("Also: " if i else "") + text, 88)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in _row(layer)) + "</tr>"
            for layer in self.layers
        ]
        head = "".join(f"<th>{c}</th>" for c in _HEAD)
        table = (
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )
        first, *others = map(html.escape, self._sentences())
        also = "".join(f"<li>{text}</li>" for text in others)
        also = f"<p>Also, perhaps in consequence:</p><ul>{also}</ul>" if also else ""
        loss = f"<p>{self._opening()}</p>" if self._opening() else ""
        return f"<p><strong>{first}</strong></p>{also}{loss}{table}"

    def _sentences(self):
        """The verdict and what else was found, each behind its cause in one word."""
        said = [f"[{f.cause}] {f.words} Read {_chapter(f.chapter)}." for f in self.findings]
        return said or [self.verdict]

    def _opening(self):
        """The caller's loss, and what guessing costs where that is known."""
        if self.loss is None or not self._record.has_loss:
            return ""
        classes, _ = self._record.first_loss or (0, 0.0)
        guess = (
            f"; guessing among {classes} costs {math.log(classes):.2f}" if classes else ""
        )
        return f"loss {self.loss:.3g}{guess}"


def _chapter(number):
    return f"chapter {number}, {CHAPTERS[number]}"


def _row(layer):
    name = layer.name if layer.calls == 1 else f"{layer.name} (×{layer.calls})"
    return (
        name,
        layer.kind,
        *(cell(v, ".2g") for v in (layer.gain, layer.signal, layer.spread)),
        cell(layer.correlation, ".3f"),
        *(cell(v, ".2g") for v in (layer.gradient, layer.update)),
        layer.activation,
        *(cell(v, ".0%") for v in (layer.dead, layer.saturated)),
    )


def probe(model, batch, loss=None, *, lr=None, training: bool | None = None) -> Report:
    """Look into a torch module on one batch: what each layer does, and what is wrong.

    The model runs forward and back once, your own hooks with it, and is then as it was:
    parameters, gradients, buffers (running statistics and counters too), modes, hooks,
    attributes and the states of torch's, NumPy's and Python's random generators, also when
    it raises. The batch is copied before the model gets it.

    Args:
        model: any torch.nn.Module. Compiled code runs as it was before it was compiled; of
            a model with lazy modules a copy is probed, with shapes of this batch.
        batch: what your training loop has. A tensor is the model's argument; a tuple or
            list its arguments; a dict its keyword arguments (those that it has), or its one
            argument if it takes a dict. With a loss of two arguments the last part of a
            tuple is the targets, ``(x, y)`` say, and a dict is inputs and targets in one.
            Axis 0 counts the samples.
        loss: ``loss(output, targets)`` or ``loss(output)``, returning one number, such as
            ``F.cross_entropy`` or ``lambda out: out["loss"]``. None takes the output's own
            ``loss`` if it has one, or else the sum of r·output over the number of samples,
            with a fixed draw r ~ N(0, 1): every output then has a gradient of scale 1.
        lr: learning rate of plain gradient descent, or the optimizer, whose rates are then
            taken, group by group; for Adam and its kin a first step of lr in each weight.
            None leaves the update out, and the verdict on it.
        training: True if you are training the model, False if you are using it; whether
            its mode is the right one is then judged too.

    Returns:
        A report: print it for the table and the verdict, show it in a notebook for the
        same as HTML, ``.plot()`` it; ``.verdict``, ``.cause``, ``.chapter``, ``.healthy``,
        ``.layers`` and ``.findings`` are its parts. Signals are in units of activations,
        gradients in units of the loss over those, updates are fractions of a weight's norm.
        Norms are of all entries; spread, correlation and saturation come from at most 32
        samples of about 128 entries.

    Raises:
        ValueError: for a model that is no module or has no values, a batch that it does not
            take, a loss that does not take its output or returns more than one number, a
            learning rate that is not positive, an optimizer of another model.

    The rules and where their bounds come from are in ``nbcode/networks/verdict.py``.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(),
    ...                             torch.nn.Linear(64, 10))
    >>> x, y = torch.randn(32, 64), torch.arange(32) % 10
    >>> probe(model, (x, y), loss=torch.nn.functional.cross_entropy, lr=0.1).cause
    'healthy'
    >>> report = probe(model, (100 * x, y), loss=torch.nn.functional.cross_entropy)
    >>> report.cause, report.chapter, report.findings[0].where
    ('input_scale', 2, '0')
    """
    return Report(collect.collect(model, batch, loss, lr, training))

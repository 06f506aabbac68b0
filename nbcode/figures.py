"""The book's figures: one SVG that reads in light and in dark, in any notebook viewer.

A figure is drawn once, in the light palette. :func:`show` then replaces each of the
palette's colours by a variable, and the SVG itself says what it stands for in either colour
scheme. Alt text and caption belong to the cell that draws the figure (its ``mystnb``
metadata).
"""

from __future__ import annotations  # so that the API page says ArrayLike

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

# name: (on light, on dark). Okabe and Ito's colours, which stay apart for colour-blind
# readers, made darker or lighter until each has a contrast of 3:1 or more to its paper.
_PALETTE = {
    "paper": ("#fefefe", "#14181e"),
    "ink": ("#1c1d1f", "#e4e6e9"),
    "muted": ("#62666c", "#a3a8af"),
    "grid": ("#dfe1e4", "#333a43"),
    "blue": ("#0068a8", "#6cbcf0"),
    "orange": ("#c75200", "#ff9a57"),
    "green": ("#007a58", "#3fd0a4"),
    "purple": ("#a14a83", "#e59bca"),
    "yellow": ("#927200", "#e8cf4b"),
    "pale_blue": ("#cfe3f1", "#1f3d54"),
    "pale_orange": ("#f8dcc6", "#57351d"),
    "pale_green": ("#cdeade", "#1b4638"),
}

#: Name of each colour and the value to draw with, such as ``COLORS["blue"]``.
COLORS = {name: light for name, (light, _) in _PALETTE.items()}

#: The colours of lines, in the order in which axes use them.
CYCLE = [COLORS[name] for name in ("blue", "orange", "green", "purple", "yellow")]


def _style():
    from cycler import cycler

    c = COLORS
    return {
        "figure.facecolor": c["paper"],
        "axes.facecolor": c["paper"],
        "savefig.facecolor": c["paper"],
        "axes.edgecolor": c["muted"],
        "axes.labelcolor": c["ink"],
        "axes.titlecolor": c["ink"],
        "text.color": c["ink"],
        "xtick.color": c["muted"],
        "ytick.color": c["muted"],
        "grid.color": c["grid"],
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=CYCLE),
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "font.size": 11.5,
        "svg.fonttype": "path",
        "svg.hashsalt": "nbcode",
        "figure.constrained_layout.use": True,
    }


def subplots(
    ncols: int = 1, *, width: float = 6.0, height: float = 3.6, **kwargs
) -> tuple[matplotlib.figure.Figure, matplotlib.axes.Axes | np.ndarray]:
    """(figure, axes) in the book's style: as ``matplotlib.pyplot.subplots`` in one row.

    Args:
        ncols: panels side by side, which come as an array of axes if there are several;
            two are the most that a phone can show.
        width: in inches, all panels together; 6 keeps the text legible on a phone.
        height: in inches.
        **kwargs: passed on to ``matplotlib.pyplot.subplots``, such as ``sharey=True``.

    >>> fig, ax = subplots(height=3)
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(_style()):
        return plt.subplots(1, ncols, figsize=(width, height), **kwargs)


def to_svg(fig: matplotlib.figure.Figure) -> str:
    """The figure as SVG text that follows its reader's colour scheme.

    It is an ``<svg>`` element, without dates or names, of a figure of :func:`subplots`.

    >>> fig, ax = subplots()
    >>> "prefers-color-scheme: dark" in to_svg(fig)
    True
    """
    from io import StringIO

    import matplotlib.pyplot as plt

    out = StringIO()
    with plt.rc_context(_style()):
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # five digits are a hundredth of a pixel; the rest is file size
    svg = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.5g}", svg)
    for name, (light, _) in _PALETTE.items():
        svg = svg.replace(light, f"var(--{name}, {light})")
    light, dark = (
        "".join(f"--{name}:{pair[i]};" for name, pair in _PALETTE.items()) for i in (0, 1)
    )
    rule = f"svg{{{light}}}@media (prefers-color-scheme: dark){{svg{{{dark}}}}}"
    # what has no colour of its own is black to matplotlib, and unseen on dark paper
    ink = f"var(--ink, {COLORS['ink']})"
    head, tail = svg.replace("#000000", ink).split(">", 1)
    return f'{head} style="fill: {ink}"><style>{rule}</style>{tail}'


def show(fig: matplotlib.figure.Figure) -> None:
    """Display a figure, made by :func:`subplots`, below the cell and close it.

    >>> show(subplots()[0])  # in a notebook, this draws
    <IPython.core.display.SVG object>
    """
    import matplotlib.pyplot as plt
    from IPython.display import SVG, display

    display(SVG(to_svg(fig)))
    plt.close(fig)


def end_label(ax: matplotlib.axes.Axes, text: str, line=None, *, dy: float = 0.0) -> None:
    """Write a line's name at its right end, in its colour, instead of a legend.

    line is a ``Line2D`` with a finite point, the one drawn last if None; dy shifts the
    text, in points, where two ends meet.

    >>> fig, ax = subplots()
    >>> _ = ax.plot([1, 2, 3])
    >>> end_label(ax, "rising")
    """
    line = ax.lines[-1] if line is None else line
    x, y = (np.asarray(v, dtype=float) for v in line.get_data())
    finite = np.flatnonzero(np.isfinite(y))
    if not finite.size:
        raise ValueError(f"line must have a finite point to end at, got y = {y}")
    last = finite[-1]
    ax.annotate(
        text,
        (x[last], y[last]),
        xytext=(5, dy),
        textcoords="offset points",
        color=line.get_color(),
        va="center",
        annotation_clip=False,
    )


def band(ax: matplotlib.axes.Axes, x: ArrayLike, runs: ArrayLike, **kwargs) -> None:
    """Draw the median of several runs and, shaded, their range from 10 to 90 percent.

    x has shape (points,) and runs (runs, points); kwargs are for the median's ``ax.plot``.

    >>> fig, ax = subplots()
    >>> band(ax, [0, 1], [[0, 1], [2, 3], [4, 9]])
    >>> ax.lines[0].get_ydata().tolist()
    [2.0, 3.0]
    """
    low, middle, high = np.quantile(np.asarray(runs), [0.1, 0.5, 0.9], axis=0)
    (line,) = ax.plot(x, middle, **kwargs)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)

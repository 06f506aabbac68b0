"""Figures: one SVG for both colour schemes, the same every time, legible for all."""

import getpass
import re
import socket
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from nbcode import figures

TEXT, LINES = ("ink", "muted"), ("blue", "orange", "green", "purple", "yellow")


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    mpl.use("agg")
    yield
    plt.close("all")


def drawn():
    """A figure with everything that a chapter draws: lines, text, a band, a grid, ticks."""
    fig, (left, right) = figures.subplots(2, width=7)
    for name in LINES:
        left.plot([0, 1], [0, LINES.index(name) + 1], color=figures.COLORS[name])
        figures.end_label(left, name)
    figures.band(right, [0, 1, 2], np.random.default_rng(0).normal(size=(9, 3)), label="b")
    right.set(title="A title", xlabel="layer", ylabel="rms")
    right.axhspan(0, 1, color=figures.COLORS["pale_blue"])
    return fig


def luminance(color):
    """Relative luminance, as WCAG 2 defines it."""
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(
        channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.005
    )  # its known example


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", sorted(figures._PALETTE))
def test_every_colour_stands_out_from_its_paper(name, scheme):
    paper, color = figures._PALETTE["paper"][scheme], figures._PALETTE[name][scheme]
    if name == "paper":
        assert color == paper
    elif name in TEXT:
        assert contrast(color, paper) >= 4.5
    elif name == "grid" or name.startswith("pale_"):
        assert 1.1 <= contrast(color, paper) < 3  # meant to stand back, not to vanish
        assert contrast(figures._PALETTE["ink"][scheme], color) >= 4.5  # text lies on it
    else:
        assert contrast(color, paper) >= 3


def test_colours_are_six_digit_lower_case_and_no_two_are_the_same():
    colors = [color for pair in figures._PALETTE.values() for color in pair]
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)
    for scheme in (0, 1):
        assert len({pair[scheme] for pair in figures._PALETTE.values()}) == len(
            figures._PALETTE
        )
    assert [figures.COLORS[name] for name in LINES] == figures.CYCLE


def test_papers_are_light_and_dark():
    light, dark = figures._PALETTE["paper"]
    assert luminance(light) > 0.8 and luminance(dark) < 0.05


def colors_in(svg, scheme):
    """Each variable and the value that it has in one scheme, read as a browser would."""
    style = re.search("<style>(.*?)</style>", svg)[1]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    block = (light, dark)[scheme]
    return dict(re.findall(r"--([\w-]+):\s*(#\w+)", block))


def test_svg_says_what_each_colour_is_in_both_schemes():
    svg = figures.to_svg(drawn())
    used = set(re.findall(r"var\(--([\w-]+)", svg))
    assert {"paper", "ink", "grid", "pale_blue", *LINES} <= used
    for scheme in (0, 1):
        expected = {name: pair[scheme] for name, pair in figures._PALETTE.items()}
        assert colors_in(svg, scheme) == expected
    body = svg.split("</style>", 1)[1]
    plain = re.sub(r"var\([^()]*\)", "", body)
    assert re.findall("#[0-9a-f]{6}", plain, re.IGNORECASE) == []  # none stays as it was
    for name, fallback in re.findall(r"var\(--([\w-]+), ?(#\w+)\)", body):
        assert fallback == figures.COLORS[name]


def test_what_has_no_colour_of_its_own_is_drawn_in_ink():
    fig, ax = figures.subplots()
    ax.text(0, 0, "black")
    ax.plot([0, 1], [0, 1], "k")
    svg = figures.to_svg(fig)
    assert "#000000" not in svg
    assert "var(--ink" in ElementTree.fromstring(svg).attrib["style"]


def test_svg_is_one_well_formed_element():
    svg = figures.to_svg(drawn())
    assert svg.startswith("<svg")
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and root[0].tag.endswith("style")
    assert "viewBox" in root.attrib
    text = ElementTree.tostring(root, encoding="unicode")
    assert "<script" not in text and "metadata" not in text


def test_svg_has_no_date_and_no_trace_of_a_machine():
    svg = figures.to_svg(drawn())
    assert not re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", svg)
    named = re.sub(r'id="matplotlib\.axis_\d+"', "", svg).lower()
    assert "matplotlib" not in named and "creator" not in named
    places = [str(Path(plt.__file__).parent), str(Path.cwd()), str(Path.home())]
    for place in [*places, socket.gethostname(), f"/{getpass.getuser()}"]:
        assert len(place) < 3 or place not in svg


def test_the_same_figure_gives_the_same_svg():
    assert figures.to_svg(drawn()) == figures.to_svg(drawn())


def test_rounding_moves_nothing_that_can_be_seen():
    """Path data is within a hundredth of a pixel of matplotlib's own."""

    def plain():
        fig, ax = figures.subplots()
        ax.plot(np.linspace(0, 1, 50), np.random.default_rng(0).normal(size=50))
        return fig

    out = StringIO()
    with plt.rc_context(figures._style()):
        plain().savefig(out, format="svg", metadata={"Date": None, "Creator": None})

    def numbers(svg):
        paths = " ".join(re.findall(r'\bd="([^"]*)"', svg))
        return np.array(re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", paths), dtype=float)

    theirs, ours = numbers(out.getvalue()), numbers(figures.to_svg(plain()))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=6e-5, atol=6e-4)


@pytest.mark.parametrize("ncols", [1, 2, 3])
def test_subplots_have_the_size_and_the_number_asked_for(ncols):
    fig, axes = figures.subplots(ncols, width=5, height=2.5, sharey=True)
    assert fig.get_size_inches().tolist() == [5, 2.5]
    assert len(fig.axes) == ncols
    assert np.size(axes) == ncols and (ncols > 1) == isinstance(axes, np.ndarray)
    colors = [fig.axes[0].plot([0])[0].get_color() for _ in LINES]
    assert colors == figures.CYCLE


def test_show_displays_the_svg_and_closes_that_figure_only(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things: shown.extend(things))
    fig, other = drawn(), drawn()
    figures.show(fig)
    assert not plt.fignum_exists(fig.number) and plt.fignum_exists(other.number)
    (picture,) = shown
    root, expected = map(
        ElementTree.fromstring, (picture._repr_svg_(), figures.to_svg(drawn()))
    )
    assert ElementTree.tostring(root) == ElementTree.tostring(expected)


def labels(ax):
    return [child for child in ax.get_children() if isinstance(child, mpl.text.Annotation)]


def test_end_label_stands_at_the_end_of_the_last_line_in_its_colour():
    _, ax = figures.subplots()
    ax.plot([0, 1, 2], [5, 6, 7])
    (second,) = ax.plot([0, 1, 4], [1, 2, 3], color=figures.COLORS["green"])
    figures.end_label(ax, "second", dy=4)
    (label,) = labels(ax)
    assert label.get_text() == "second"
    assert label.xy == (4, 3)
    assert label.get_color() == second.get_color() == figures.COLORS["green"]
    x, y = label.get_position()
    assert x > 0 and y == 4  # right of the end, shifted by dy points
    assert label.get_va() == "center"


def test_end_label_of_a_chosen_line_and_of_one_that_ends_early():
    _, ax = figures.subplots()
    (first,) = ax.plot([0, 1, 2, 3], [5, 6, np.nan, np.inf])
    ax.plot([0, 1], [1, 2])
    figures.end_label(ax, "first", first)
    (label,) = labels(ax)
    assert label.xy == (1, 6) and label.get_color() == first.get_color()


def test_end_label_is_drawn_even_outside_the_axes():
    fig, ax = figures.subplots()
    ax.plot([0, 1], [0, 1])
    ax.set_xlim(0, 1)
    bare = figures.to_svg(fig)
    figures.end_label(ax, "outside")
    (label,) = labels(ax)
    assert label.get_annotation_clip() is False
    assert len(figures.to_svg(fig)) > len(bare)


def test_band_is_the_median_and_the_middle_eighty_percent():
    _, ax = figures.subplots()
    x, runs = np.arange(4), np.random.default_rng(0).normal(size=(101, 4))
    figures.band(ax, x, runs, label="many", color=figures.COLORS["purple"])
    (line,) = ax.lines
    ordered = np.sort(runs, axis=0)  # of 101 runs the 10th, 50th and 90th are exact
    assert np.array_equal(line.get_xdata(), x)
    np.testing.assert_allclose(line.get_ydata(), ordered[50], rtol=1e-12)
    assert line.get_label() == "many" and line.get_color() == figures.COLORS["purple"]
    (shade,) = ax.collections
    corners = shade.get_paths()[0].vertices
    for i in range(4):
        heights = corners[corners[:, 0] == i, 1]
        assert heights.min() == pytest.approx(ordered[10, i], rel=1e-12)
        assert heights.max() == pytest.approx(ordered[90, i], rel=1e-12)
    assert 0 < shade.get_alpha() < 0.5
    color = mpl.colors.to_hex(shade.get_facecolor()[0])
    assert color == line.get_color()


def test_band_of_one_run_is_the_run():
    _, ax = figures.subplots()
    figures.band(ax, [1, 2, 3], [[4, 9, 1]])
    assert ax.lines[0].get_ydata().tolist() == [4, 9, 1]

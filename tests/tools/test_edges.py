"""A number that other arithmetic may print otherwise is found; others may be printed."""

import math

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import book
import edges

CELL = """
import numpy as np
from nbcode import check
digits, unseen = 2, f"{0.987:.2f}"
print(f"{1 / 3:.{digits}f} {np.float32(0.5):>8.1%} {7:.2f} {'text':.2}", f"{-2e-5:.1e}")
check.predicted_measured(("a row", 0.25, 0.251, "luck"))
f"{math.nan:.1f}" if "math" in dir() else f"{np.inf:.1f}"
"""
NEXT = """
import os
print("0.33", f"{8.25:.2f}", os.environ["TQDM_DISABLE"])
"""
PRINTED = [(1 / 3, ".2f"), (0.5, ">8.1%"), (-2e-5, ".1e"), (0.25, "#.3g"), (0.251, "#.3g")]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The cell, executed as it is and watched."""
    path = tmp_path_factory.mktemp("chapter") / "01.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(CELL), new_code_cell(NEXT)]), path)
    return [book.execute(path, watch=watch).cells for watch in (False, True)]


def test_what_a_cell_and_nbcode_format_is_taken_out_of_the_outputs(executed):
    (plain, _), (watched, following) = executed
    assert edges.taken(watched) == PRINTED
    assert edges.taken(watched) == []
    assert len(plain.outputs) == 3
    assert watched.outputs == plain.outputs
    assert edges.taken(following) == [(8.25, ".2f")]
    assert following.outputs[0].text == "0.33 8.25 1\n"


@pytest.mark.parametrize(
    "number, spec, unit",
    [
        (2.34, ".1f", 0.1),
        (-2.34, "+8.2f", 0.01),
        (0.0, ".3f", 0.001),
        (0.0, ".3g", 0.001),
        (0.234, ".1%", 0.001),
        (234.0, ".2g", 10),
        (0.0234, "#.3g", 0.0001),
        (0.0234, ".1e", 0.001),
        (0.0234, ".1E", 0.001),
    ],
)
def test_unit_is_one_of_the_last_digit(number, spec, unit):
    assert edges.unit(number, spec) == pytest.approx(unit, rel=1e-12)


def found(a, b, spec=".1f"):
    return list(edges.problems([(a, spec)], [(b, spec)]))


@pytest.mark.parametrize(
    "a, b",
    [
        (2.4501, 2.4499),  # flips
        (2.4501, 2.4502),
        (2.459, 2.4595),  # nearer than a tenth of 0.1, and moved by a thirtieth of the way
        (-2.459, -2.4595),
        (2.42, 2.4235),  # further, and moved by a tenth
    ],
)
def test_number_next_to_an_edge_is_refused(a, b):
    (problem,) = found(a, b)
    assert f"prints {a:.1f} for {a:.9g}, which is {b:.9g}" in problem


@pytest.mark.parametrize(
    "a, b",
    [
        (2.5, 2.5),
        (2.45, 2.45),  # the same to the bit
        (2.459, 2.4592),  # moved by less than a thirtieth
        (2.461, 2.4615),  # further than a tenth, and moved by less than a tenth
        (2.42, 2.4225),
    ],
)
def test_number_far_from_an_edge_may_be_printed(a, b):
    assert found(a, b) == []


def test_other_numbers_under_other_arithmetic_are_told():
    for there in ([], [(1.0, ".2f")], [(1.0, ".1f")] * 2):
        (problem,) = edges.problems([(1.0, ".1f")], there)
        assert "other numbers" in problem


def chapter(number, text="2.5\n"):
    """As an execution leaves it: a set-up cell, and a cell that prints one number."""
    sent = new_output("display_data", {edges.KIND: [[number, ".1f"]]})
    cell = new_code_cell("...", outputs=[new_output("stream", text=text), sent])
    return new_notebook(cells=[new_code_cell("set-up"), cell])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs 01.ipynb, whose two executions are given; returns what book.run says."""
    monkeypatch.setattr(book, "ROOT", tmp_path)
    monkeypatch.setattr(book, "COVER", "cover.svg")
    monkeypatch.setattr(book, "cover", lambda: "<svg/>")
    monkeypatch.setattr(book, "write_pages", lambda: 0)
    monkeypatch.setattr(book, "check", lambda files: 0)
    (tmp_path / "01.ipynb").write_text("before")

    def run(here, there):
        def execute(path, watch, **how):
            done = there if how == edges.PLAIN else here
            if isinstance(done, Exception):
                raise done
            return done

        monkeypatch.setattr(book, "execute", execute)
        return book.run([str(tmp_path / "01.ipynb")])

    return run


def stored():
    return (book.ROOT / "01.ipynb").read_text(encoding="utf-8")


def test_chapter_that_is_the_same_everywhere_is_stored_without_its_numbers(run):
    assert run(chapter(2.5), chapter(2.5)) == 0
    assert "2.5\\n" in stored() and edges.KIND not in stored()


@pytest.mark.parametrize(
    "here, there, says",
    [
        (chapter(2.4501), chapter(2.4502), "cell 2 prints 2.5 for 2.4501"),
        (chapter(2.5), chapter(2.5, "2.5 more\n"), "cell 2 shows something else"),
        (chapter(2.5), ValueError("no"), "01.ipynb under other arithmetic: no"),
        (ValueError("no"), chapter(2.5), "01.ipynb: no"),
    ],
)
def test_chapter_that_is_not_the_same_everywhere_is_not_stored(
    run, capsys, here, there, says
):
    assert run(here, there) == "1 of the chapters are not stored: see above."
    assert says in capsys.readouterr().out
    assert stored() == "before"


def test_formats_without_a_number_are_left_alone():
    edges.printed.clear()
    for value, spec in ((7, ".2f"), ("text", ".2"), (math.nan, ".1f"), (1.5, ">8")):
        assert edges.seen(value, spec) is value
    assert edges.printed == []

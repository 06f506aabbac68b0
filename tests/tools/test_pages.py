"""The pages of claims and of reproductions say what the chapters' outputs say, or the check
tells where they do not."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import book

CLAIM = {
    "statement": "a < b, ReLU halves it",
    "who": "many courses",
    "predicted": "half.",
    "measured": "a third.",
    "verdict": "fails",
    "anchor": "claim-a-b-relu-halves-it",
}
FIGURE = {
    "figure": "Figure 6, activations",
    "paper": "Someone 2010",
    "here": "fig-six",
    "theirs": "wide.",
    "ours": "0.63.",
}


def chapter(title, **recorded):
    """A notebook with a cell for each thing recorded, as nbcode.check stores it."""
    cells = [new_markdown_cell(f"# {title}\n\nText.")]
    for kind, all_of_them in recorded.items():
        for said in all_of_them:
            output = new_output("display_data", metadata={kind: dict(said)})
            cells.append(new_code_cell("...", outputs=[output]))
    return new_notebook(cells=cells)


def verdict(word):
    return {**CLAIM, "verdict": word, "statement": f"it {word}"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three small chapters, one of which records nothing, and the pages made from them."""
    monkeypatch.setattr(book, "ROOT", tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    in_part = [verdict("holds in part")] * 2
    save("02_second", chapter("Second", claim=in_part, reproduced=[FIGURE, FIGURE]))
    save("01_first", chapter("First", claim=[CLAIM, verdict("holds")]))
    save("03_third", chapter("Third"))
    book.write_pages()
    return tmp_path


def save(stem, nb):
    nbformat.write(nb, book.ROOT / f"notebooks/{stem}.ipynb")


def place(stem):
    return book.ROOT / f"notebooks/{stem}.ipynb"


def change(path, was, becomes):
    before = path.read_text(encoding="utf-8")
    assert was in before
    path.write_text(before.replace(was, becomes, 1), encoding="utf-8")


def test_fresh_pages_have_no_problem(project):
    assert list(book.page_problems()) == []


def test_a_claim_is_a_definition_with_a_link_to_its_cell(project):
    text = book.text("book/claims.md")
    entry = (
        '<a href="../notebooks/01_first.html#claim-a-b-relu-halves-it">'
        "a &lt; b, ReLU halves it</a>\n"
        ": **Fails.** Who says so: many courses.\\\n"
        "  Predicted: half.\\\n  Measured: a third.\n"
    )
    assert entry in text


def test_chapters_stand_in_their_order_and_those_without_claims_nowhere(project):
    heads = re.findall("^## (.*)$", book.text("book/claims.md"), re.M)
    assert heads == ["1. First", "2. Second"]
    heads = re.findall("^## (.*)$", book.text("book/reproductions.md"), re.M)
    assert heads == ["2. Second"]


def test_verdicts_are_shown_and_counted(project):
    text = book.text("book/claims.md")
    assert "\n4 claims" in text
    assert "**1 hold**, **2 hold in part**, and **1 fail**" in text
    words = re.findall(r"^: \*\*(.*?)\.\*\*", text, re.M)
    assert words == ["Fails", "Holds", "Holds in part", "Holds in part"]


def test_a_reproduction_has_their_number_beside_ours(project):
    text = book.text("book/reproductions.md")
    assert "\n2 figures and tables of 1 papers" in text
    assert (
        '<a href="../notebooks/02_second.html#fig-six">Figure 6, activations</a>\n'
        ": Someone 2010\\\n  Theirs: wide.\\\n  Ours: 0.63.\n"
    ) in text


def test_a_changed_verdict_is_told(project):
    change(place("01_first"), '"fails"', '"holds in part"')
    (problem,) = book.page_problems()
    assert re.match(r"book/claims.md, line \d+: is not what .* outputs say", problem)
    assert "`.venv/bin/python tools/book.py claims`" in problem


def test_a_chapter_that_is_gone_is_told(project):
    save("03_third", chapter("Third", reproduced=[FIGURE]))
    book.write_pages()
    place("02_second").unlink()
    claims, reproductions = book.page_problems()
    assert claims.startswith("book/claims.md, line")
    assert reproductions.startswith("book/reproductions.md, line")


def test_chapters_that_record_nothing_are_told(project):
    for path in book.chapters():
        save(path.stem, chapter("Silent"))
    (problem,) = book.page_problems()
    assert "no chapter records a claim" in problem


@pytest.mark.parametrize("was", ['"anchor"', '"cells"'])
def test_outputs_that_no_page_can_be_made_of_are_told(project, was):
    change(place("01_first"), was, '"other"')
    (problem,) = book.page_problems()
    assert problem.startswith("book/claims.md, book/reproductions.md: cannot be made")


@pytest.mark.parametrize(
    "page, was", [("book/claims.md", "a third"), ("book/reproductions.md", "0.63")]
)
def test_an_edited_page_is_told_with_its_line(project, page, was):
    line = book.text(page)[: book.text(page).index(was)].count("\n") + 1
    change(project / page, was, "something else")
    (problem,) = book.page_problems()
    assert problem.startswith(f"{page}, line {line}:")


@pytest.mark.parametrize("spoil", [lambda text: text[:-10], lambda text: text + "More.\n"])
def test_a_page_that_ends_early_or_late_is_told(project, spoil):
    path = project / "book/claims.md"
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert len(list(book.page_problems())) == 1


def test_a_page_that_is_gone_is_told_and_made_anew(project):
    (project / "book/claims.md").unlink()
    assert [p.split(":")[0] for p in book.page_problems()] == ["book/claims.md, line 1"]
    book.write_pages()
    assert list(book.page_problems()) == []

"""The checks are checked: a good notebook, broken in exactly one way each, is told so."""

import copy
import shutil
import subprocess

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbformat.validator import iter_validate

import book
import rules

REPOSITORY, VERSION = "some-one/some-book", "1.2.3"
GLUED = {"application/papermill.record/text/plain": "16.0"}
SCRAPBOOK = {"scrapbook": {"name": "growth"}}
FIGURE = {"figure": {"caption": "It grows.", "name": "fig"}, "image": {"alt": "A line."}}
COLAB = "https://colab.research.google.com/github"
BADGE = f"{COLAB}/{REPOSITORY}/blob/main/notebooks/01.ipynb"
INSTALL = f"%pip install git+https://github.com/{REPOSITORY}@v{VERSION}"
PROSE = """The growth is <span data-glue="growth">16.0</span>.

:::{exercise} A title
:label: ex-1
Show [this](https://arxiv.org/abs/1502.01852).
:::

<details><summary>Solution</summary>

:::{solution} ex-1
So.
:::

</details>
"""


@pytest.fixture
def good():
    def picture(kind):
        return new_output("display_data", {kind: "<svg/>"})

    cells = [
        new_markdown_cell(f"# Title\n\n[Open in Colab]({BADGE})"),
        new_code_cell(INSTALL, execution_count=1, metadata={"tags": ["setup"]}),
        new_code_cell("print(1)", execution_count=2),
        new_markdown_cell(PROSE),
        new_code_cell("glue()", execution_count=3),
        new_code_cell("draw()", execution_count=4, metadata={"mystnb": FIGURE}),
    ]
    cells[2].outputs = [new_output("stream", text="1\n")]
    cells[4].outputs = [new_output("display_data", GLUED, metadata=SCRAPBOOK)]
    cells[5].outputs = [picture("image/svg+xml")]
    return new_notebook(cells=cells, metadata=copy.deepcopy(rules.METADATA))


def found(nb, size=1000, other=None):
    return [
        (cell and nb.cells.index(cell), what)
        for cell, what in [
            *rules.file_rules(nb, size),
            *rules.code_rules(nb),
            *rules.output_rules(nb),
            *rules.exercise_rules(nb),
            *rules.prose_rules(nb, "url = {https://arxiv.org/abs/1502.01852}"),
            *rules.glue_rules(nb),
            *rules.name_rules(nb, "01.ipynb", REPOSITORY, VERSION),
            *rules.setup_rules(nb, other or nb),
        ]
    ]


def replace(cell, was, becomes):
    def change(nb):
        assert was in nb.cells[cell].source
        nb.cells[cell].source = nb.cells[cell].source.replace(was, becomes)

    return change


def stream(name, text):
    def change(nb):
        nb.cells[2].outputs = [new_output("stream", name=name, text=text)]

    return change


def set_count(count):
    return lambda nb: nb.cells[2].update(execution_count=count)


def error(nb):
    nb.cells[2].outputs = [new_output("error", ename="KeyError", evalue="", traceback=[])]


def old_format(nb):
    nb.nbformat_minor = 4
    for cell in nb.cells:
        del cell["id"]


def glue_twice(nb):
    nb.cells[4].outputs *= 2


BROKEN = {
    "valid": (lambda nb: nb.cells[2].pop("outputs"), None, "no valid notebook"),
    "same id": (lambda nb: nb.cells[2].update(id=nb.cells[4].id), None, "share an id"),
    "format": (old_format, None, "older than format 4.5"),
    "metadata": (lambda nb: nb.metadata.update(widgets={}), None, "one machine"),
    "cell metadata": (lambda nb: nb.cells[2].metadata.update(time={}), 2, "['time']"),
    "empty": (replace(2, "print(1)", "\n"), 2, "is empty"),
    "long": (replace(2, "print(1)", "print(1)\n" * 31), 2, "31 lines"),
    "unexecuted": (set_count(None), 2, "is not executed"),
    "order": (set_count(7), 2, "out of order"),
    "error": (error, 2, "stored an error, KeyError"),
    "stderr": (stream("stderr", "careful\n"), 2, "stderr"),
    "path": (stream("stdout", "/home/" + "me/book\n"), 2, "a name of one machine"),
    "alt": (lambda nb: nb.cells[5].metadata.mystnb.pop("image"), 5, "without alt text"),
    "caption": (lambda nb: nb.cells[5].metadata.mystnb.pop("figure"), 5, "with no caption"),
    "label": (replace(3, ":label: ex-1\n", ""), 3, "no `:label:`"),
    "solution": (replace(3, "{solution} ex-1", "{note}"), 3, "exercise ex-1 has no"),
    "solves": (replace(3, "{solution} ex-1", "{solution} ex-2"), 3, "solves 'ex-2'"),
    "tag": (replace(3, "</details>", ""), 3, "opens <details> 1 times"),
    "formula": (replace(3, "So.", "$$a\\\\b\\tag{1}$$"), 3, "several lines"),
    "paper": (replace(3, "1502.01852", "1502.01853"), 3, "add that paper"),
    "glue": (replace(3, "16.0", "17.0"), 3, "says 17.0 for 'growth', which is 16.0"),
    "glue key": (replace(3, '"growth"', '"grwth"'), 3, "which no cell glues"),
    "glue span": (replace(3, 'glue="growth"', "glue=growth"), 3, "broken glue span"),
    "glue unused": (replace(3, '<span data-glue="growth">16.0</span>', ""), 4, "no prose"),
    "glue twice": (glue_twice, 4, "a second time"),
    "badge": (replace(0, "01.ipynb", "02.ipynb"), 0, "no link *Open in Colab*"),
    "badge's name": (replace(0, "some-one", "other"), 0, "no link *Open in Colab*"),
    "set-up": (lambda nb: nb.cells[1].metadata.tags.clear(), 1, "tagged `setup`"),
    "set-up's name": (replace(1, "some-one", "other"), 1, "does not install"),
    "set-up's tag": (replace(1, "v1.2.3", "v1.2.2"), 1, "does not install"),
}
# What these break breaks another rule as well.
TWO_RULES = {"label", "solves", "glue key", "glue span"}


def test_good_notebook_has_no_problem(good):
    assert found(good) == []


@pytest.mark.parametrize("name", BROKEN)
def test_broken_notebook_is_told_where_and_what(good, name):
    change, cell, message = BROKEN[name]
    change(good)
    problems = found(good)
    assert any(at == cell and message in what for at, what in problems), problems
    assert len(problems) == 1 or name in TWO_RULES, problems


def test_notebook_with_nothing_to_check_is_told(good):
    good.cells = good.cells[:1]
    told = {what for at, what in found(good) if at is None}
    assert told == {
        "has no set-up cell: copy the first chapter's.",
        "has no exercise: see another chapter's for the form.",
    }


def test_large_file(good):
    assert "larger than 1 MB" in found(good, size=1_000_001)[0][1]


def test_different_setup_cell(good):
    other = copy.deepcopy(good)
    good.cells[1].source += "\n# changed"
    assert found(good, other=other) == [
        (1, "is not the first chapter's set-up cell: copy that one.")
    ]


def test_glue_role_counts_as_use(good):
    replace(3, '<span data-glue="growth">16.0</span>', "{glue:text}`growth:.1f`")(good)
    assert found(good) == []


def test_place_names_file_and_cell(good):
    path = book.ROOT / "notebooks/01.ipynb"
    assert book.where(path, good, good.cells[2]) == "notebooks/01.ipynb, cell 3 (In [2])"


def test_clean_fills_numbers_and_drops_what_is_volatile(good):
    good.metadata.widgets = {}
    good.cells[2].metadata.execution = {}
    replace(3, "16.0", "0")(good)
    assert found(book.clean(good)) == []


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the project for `make name` to change."""
    for file in book.own_files():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(book.ROOT / file, tmp_path / file)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(book, "ROOT", tmp_path)
    return tmp_path


def test_name_is_changed_everywhere_and_nothing_else_is(copied):
    old, new = book.repository(), "new-owner/" + "new.book"  # this file names neither
    near = " ".join([f"x{old}", f"{old}2", f"{old}-two", old.replace("/", "/x")])
    (copied / "near.txt").write_text(f"{near} <{old}> ({old}).\n")
    before = dict(book.own_texts())
    book.rename(new)
    assert book.repository() == new
    assert book.text("near.txt") == f"{near} <{new}> ({new}).\n"
    (copied / "near.txt").unlink()
    assert [file for file, content in book.own_texts() if old in content] == []
    assert list(book.name_problems()) == []
    for path in book.chapters():
        assert list(iter_validate(book.read(path))) == []
    book.rename(old)
    del before["near.txt"]
    assert dict(book.own_texts()) == before


def test_what_is_no_text_stays_as_it_is(copied):
    picture = b"\x89PNG\x00" + book.repository().encode() + b"\xff"
    (copied / "picture.png").write_bytes(picture)
    book.rename("new-owner/" + "new.book")
    assert (copied / "picture.png").read_bytes() == picture


def test_text_in_another_encoding_is_refused_before_anything_is_changed(copied):
    (copied / "zz.txt").write_bytes("Glühend".encode("latin-1"))
    before = (copied / "README.md").read_bytes()
    with pytest.raises(SystemExit, match=r"zz\.txt is no text in UTF-8"):
        book.rename("new-owner/" + "new.book")
    assert (copied / "README.md").read_bytes() == before


def test_no_chapter_at_all_is_told(copied):
    shutil.rmtree(copied / "notebooks")
    with pytest.raises(SystemExit, match="holds no chapter"):
        book.check([])


@pytest.mark.parametrize(
    "file, message",
    [("CITATION.cff", "names"), ("README.md", "names"), ("pyproject.toml", "names")],
)
def test_one_other_name_is_told(copied, file, message):
    repo = book.repository().split("/")[1]
    (copied / file).write_text(
        book.text(file) + f"\n# https://github.com/stranger/{repo}\n"
    )
    assert [p for p in book.name_problems() if p.startswith(file) and message in p]


@pytest.mark.parametrize("bad", ["book", "a/b/c", "https://github.com/a/b", "a b/c"])
def test_no_repository_name(copied, bad):
    with pytest.raises(SystemExit, match="no repository's name"):
        book.rename(bad)


def test_version_is_raised_everywhere(copied):
    book.raise_version("9.8.7")
    assert book.version() == "9.8.7"
    assert list(book.name_problems()) == []
    for path in book.chapters():
        assert f"{book.repository()}@v9.8.7" in book.text(path)


def test_no_version(copied):
    with pytest.raises(SystemExit, match="no version"):
        book.raise_version("1.2")


# the template of the second edition


@pytest.fixture
def told_anew():
    def folded(source, tag, **metadata):
        cell = new_code_cell(source, metadata={"tags": [tag], **metadata})
        cell.metadata.update(rules.folding(cell))
        return cell

    return new_notebook(
        cells=[
            folded("# @title Set-up\n%pip install it", "hide-input"),
            folded("# @title Figure: it grows\nx = 1", "hide-input", mystnb=FIGURE),
            new_code_cell("import numpy as np\n\n\ndef double(a):\n    return 2 * a"),
            new_code_cell("y = [double(a) for a in (1, 2)]\ny = np.array(y)\nprint(y)"),
            folded("# @title Check: it grows\nassert y[0] == 2\nz = 3", "hide-cell"),
            new_markdown_cell("## The chapter in 25 lines"),
            new_code_cell("import torch\n\nprint(torch.ones(1))"),
        ]
    )


def test_a_chapter_told_anew_keeps_to_its_template(told_anew):
    assert list(rules.template_rules(told_anew)) == []
    assert told_anew.cells[4].metadata["jupyter"]["outputs_hidden"]


def add(cell, line):
    def change(nb):
        nb.cells[cell].source += "\n" + line

    return change


OFF_TEMPLATE = {
    "assert": (add(3, "assert y[0] == 2"), 3, "shows 'assert'"),
    "glue": (add(3, "check.glue(a='1')"), 3, "shows 'glue('"),
    "noqa": (add(3, "y.any()  # noqa"), 3, "shows '# noqa'"),
    "title": (replace(4, "# @title Check: it grows\n", ""), 4, "has no title"),
    "fold": (lambda nb: nb.cells[4].metadata.pop("cellView"), 4, "not in JupyterLab"),
    "hidden name": (add(3, "print(x)"), 3, "['x'], which only a folded cell makes"),
    "hidden in function": (replace(2, "2 * a", "x * a"), 2, "['x'], which only a folded"),
    "twice": (replace(3, "y = [", "double = double\ny = ["), 3, "['double']: run twice"),
    "counts up": (add(6, "y += 1"), 6, "['y']: run twice"),
    "two things": (add(6, "double = 3"), 6, "the name 'double' for another thing"),
    "before": (lambda nb: nb.cells[1].metadata.pop("mystnb"), None, "before its first"),
    "script": (replace(6, "import torch", "import nbcode"), 6, "no script of 25 lines"),
    "long script": (add(6, "1\n" * 30), 6, "no script of 25 lines"),
    "no script": (replace(5, "25 lines", "short"), None, "has no '## The chapter in 25"),
}


@pytest.mark.parametrize("name", OFF_TEMPLATE)
def test_what_is_off_the_template_is_told(told_anew, name):
    change, cell, message = OFF_TEMPLATE[name]
    change(told_anew)
    problems = [
        (at and told_anew.cells.index(at), what)
        for at, what in rules.template_rules(told_anew)
    ]
    assert any(at == cell and message in what for at, what in problems), problems

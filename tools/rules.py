"""What every chapter's notebook must keep to.

Each rule takes a notebook and yields (cell, what is wrong and what to do about it), where
the cell is None if it is the whole file that breaks the rule.
"""

import ast
import builtins
import re
import symtable

from nbformat.validator import iter_validate

MAX_LINES, MAX_FOLDED, MAX_BYTES = 30, 60, 1_000_000
SCRIPT, SCRIPT_LINES = "## The chapter in 25 lines", 25
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = {"tags", "mystnb", "jupyter", "cellView"}
SPAN = re.compile(r'<span data-glue="([^"]*)">([^<]*)</span>')
GLUE_ROLE = re.compile(r"\{glue:?\w*\}`([^`:]+)(?::[^`]*)?`")
DIRECTIVE = re.compile(
    r"^(?::{3,}|`{3,})\{(exercise|solution)\}(.*)\n((?::[\w-]+:.*\n)*)", re.MULTILINE
)
FORMULA = re.compile(r"\$\$(.*?)\$\$", re.DOTALL)
PAPER = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})|doi\.org/(10\.[^\s)>\"]+)")
MACHINE = re.compile(
    r"/(?:work|root|tmp|home|Users)/\w+|[A-Z]:\\\w+|/site-packages/"
    r"|\b(?:pypi\.org|pythonhosted\.org|npmjs\.org)"
)


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def prose_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "markdown"]


def outputs(nb):
    return [(cell, output) for cell in code_cells(nb) for output in cell.get("outputs", [])]


def tags(cell):
    return cell.metadata.get("tags", [])


def lines(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def folded(cell):
    return bool({"hide-input", "hide-cell"} & set(tags(cell)))


def folding(cell):
    """The metadata by which JupyterLab and Colab fold what the book folds."""
    if not folded(cell) or not cell.source.startswith("# @title "):
        return {}
    hidden = {"source_hidden": True}
    if "hide-cell" in tags(cell):
        hidden["outputs_hidden"] = True
    return {"jupyter": hidden, "cellView": "form"}


def glued(nb):
    """The glued numbers: a list of (key, value, the cell that glues it)."""
    return [
        (name, output.data.get("application/papermill.record/text/plain"), cell)
        for cell, output in outputs(nb)
        if (name := output.get("metadata", {}).get("scrapbook", {}).get("name"))
    ]


def file_rules(nb, size):
    for error in iter_validate(nb):
        yield None, f"is no valid notebook: {error.message}"
    if (nb.nbformat, nb.nbformat_minor) < (4, 5):
        yield None, "is older than format 4.5, so cells have no ids: save it in JupyterLab."
    elif len({cell.get("id") for cell in nb.cells}) < len(nb.cells):
        yield None, "two cells share an id: delete one's, JupyterLab gives it another."
    if size > MAX_BYTES:
        yield None, f"larger than {MAX_BYTES / 1e6:.0f} MB: draw fewer points."
    if nb.metadata != METADATA:
        yield None, "holds metadata of one machine: `make run` takes it out."
    for cell in nb.cells:
        if extra := sorted(cell.metadata.keys() - CELL_METADATA):
            yield cell, f"holds the metadata {extra}: `make run` takes them out."


def code_rules(nb):
    for expected, cell in enumerate(code_cells(nb), 1):
        if lines(cell) == 0:
            yield cell, "is empty: delete it."
        if lines(cell) > (most := MAX_FOLDED if folded(cell) else MAX_LINES):
            yield cell, f"has {lines(cell)} lines of code, at most {most} fit: split it."
        if cell.execution_count is None:
            yield cell, "is not executed: `make run` executes all, top to bottom."
        elif cell.execution_count != expected:
            yield (cell, f"was executed out of order, not as In [{expected}]: `make run`.")


def output_rules(nb):
    for cell, output in outputs(nb):
        data = output.get("data", {})
        if output.output_type == "error" and "raises-exception" not in tags(cell):
            yield cell, f"stored an error, {output.ename}: mend it, then `make run`."
        if output.get("name") == "stderr":
            yield cell, "stored a warning on stderr: mend its cause, then `make run`."
        written = [v for kind, v in data.items() if kind not in ("image/png", "image/jpeg")]
        written += [output.get("text"), *output.get("traceback", [])]
        if found := MACHINE.search(str(written)):
            yield cell, f"shows {found[0]!r}, a name of one machine: print less."
        if any(kind.startswith("image/") for kind in data):
            book = cell.metadata.get("mystnb", {})
            if not book.get("image", {}).get("alt", "").strip():
                yield cell, "draws a picture without alt text: set mystnb.image.alt."
            if not book.get("figure", {}).get("caption", "").strip():
                yield cell, "draws a picture with no caption: set mystnb.figure.caption."


def exercise_rules(nb):
    labels, solved = {}, {}
    for cell in prose_cells(nb):
        for kind, argument, options in DIRECTIVE.findall(cell.source):
            found = re.search(r"^:label: *(\S+)", options, re.MULTILINE)
            if kind == "solution":
                solved[argument.strip()] = cell
            elif found:
                labels[found[1]] = cell
            else:
                yield cell, f"exercise{argument} has no `:label:` for a solution to name."
    if not labels and not solved:
        yield None, "has no exercise: see another chapter's for the form."
    for name in labels.keys() - solved.keys():
        yield labels[name], f"exercise {name} has no `:::{{solution}} {name}`."
    for name in solved.keys() - labels.keys():
        yield solved[name], f"solves {name!r}, which no exercise here has as `:label:`."


def prose_rules(nb, bibliography):
    for cell in prose_cells(nb):
        for tag in ("details", "summary", "div", "span"):
            opened = len(re.findall(rf"<{tag}\b", cell.source))
            if opened != cell.source.count(f"</{tag}>"):
                yield cell, f"opens <{tag}> {opened} times, closes it another number."
        for formula in FORMULA.findall(cell.source):
            if "\\tag" in formula and "\\\\" in formula:
                yield cell, "numbers a formula of several lines: MathJax takes one line."
        for arxiv, doi in PAPER.findall(cell.source):
            paper = (arxiv or doi).rstrip(".,;")
            if paper.lower() not in bibliography.lower():
                yield cell, f"links {paper}: add that paper to references.bib."


def glue_rules(nb):
    values, used = {}, set()
    for key, value, cell in glued(nb):
        if key in values:
            yield cell, f"glues {key!r} a second time: choose another key."
        values[key] = value
    for cell in prose_cells(nb):
        spans = SPAN.findall(cell.source)
        used |= {key for key, _ in spans} | set(GLUE_ROLE.findall(cell.source))
        if len(spans) != cell.source.count("data-glue"):
            yield cell, 'has a broken glue span: write <span data-glue="key">0</span>.'
        for key, shown in spans:
            if key not in values:
                yield cell, f"shows {key!r}, which no cell glues: call glue with that key."
            elif shown != values[key]:
                yield cell, f"says {shown} for {key!r}, which is {values[key]}: `make run`."
    for key, _, cell in glued(nb):
        if key not in used:
            yield cell, f"glues {key!r}, which no prose shows: use it or drop it."


def name_rules(nb, file, repository, version):
    colab = (
        f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{file}"
    )
    install = f"git+https://github.com/{repository}@v{version}"
    if not any(colab in cell.source for cell in prose_cells(nb)[:1]):
        yield nb.cells[0], f"has no link *Open in Colab* to {colab}."
    if not code_cells(nb):
        yield None, "has no set-up cell: copy the first chapter's."
    for number, cell in enumerate(code_cells(nb)):
        if (number == 0) != ("setup" in tags(cell)):
            yield cell, "the first code cell, and only it, is set-up and tagged `setup`."
        elif number == 0 and install not in cell.source:
            yield cell, f"does not install {install}: `make name REPO={repository}`."


def setup_rules(nb, other):
    """The set-up cell is the same in all chapters, so mending it once mends them all."""
    known = [cell.source for cell in code_cells(other) if "setup" in tags(cell)]
    for cell in code_cells(nb):
        if "setup" in tags(cell) and cell.source not in known:
            yield cell, "is not the first chapter's set-up cell: copy that one."


def names(code):
    """The global names that a piece of code binds, and those that it uses."""
    table = symtable.symtable(code, "chapter", "exec")
    symbols = table.get_symbols()
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in symbols if s.is_referenced()}
    inner = table.get_children()
    while inner:
        part = inner.pop()
        used |= {s.get_name() for s in part.get_symbols() if s.is_global()}
        inner += part.get_children()
    return bound, used


def read_and_bound(source):
    """(names that a cell reads before it binds them, names it binds as what)."""
    read: set[str] = set()
    bound: dict[str, str] = {}
    for statement in ast.parse(re.sub(r"^(\s*)%.*", r"\1pass", source, flags=re.M)).body:
        new, used = names(ast.unparse(statement))
        if isinstance(statement, ast.AugAssign):
            used |= new
        elif not isinstance(statement, ast.Assign):
            used -= new  # a loop or a function binds before it reads
        read |= used - bound.keys()
        made = isinstance(statement, ast.FunctionDef | ast.ClassDef)
        bound = dict.fromkeys(new, "function" if made else "value") | bound
    return read - set(dir(builtins)), bound


def template_rules(nb):
    """What a chapter of the second edition keeps to: what is seen is for the reader."""
    seen: set[str] = set()
    anywhere: set[str] = set()
    kinds: dict[str, str] = {}
    before, drawn = 0, False
    for cell in code_cells(nb):
        yield from seen_rules(cell)
        drawn = drawn or bool(cell.metadata.get("mystnb", {}).get("figure"))
        before += folded(cell) and not drawn
        read, bound = read_and_bound(cell.source)
        if "setup" in tags(cell) or "solution" in tags(cell):
            continue
        if again := sorted(read & bound.keys()):
            yield cell, f"changes what it reads, {again}: run twice, it shows otherwise."
        for name, kind in bound.items():
            if {kinds.setdefault(name, kind), kind} == {"function", "value"}:
                yield cell, f"takes the name {name!r} for another thing: choose another."
        if folded(cell):
            anywhere |= bound.keys()
            continue
        if hidden := sorted((read & anywhere) - seen):
            yield cell, f"uses {hidden}, which only a folded cell makes: show that one."
        seen |= bound.keys()
    if before > 1:
        yield None, f"has {before} folded cells before its first figure: one is set-up."
    yield from script_rules(nb)


def seen_rules(cell):
    if folded(cell):
        title, how = cell.source.splitlines()[0], "`# @title Check: what it checks`"
        if not title.startswith("# @title "):
            yield cell, f"is folded and has no title: its first line is {how}, say."
        elif any(cell.metadata.get(key) != value for key, value in folding(cell).items()):
            yield cell, "is folded in the book, but not in JupyterLab or Colab: `make run`."
    elif found := re.search(
        r"^\s*assert\b|\bglue\(|# noqa|# fmt:|predicted_measured\(|\bclaim\(",
        cell.source,
        re.M,
    ):
        yield cell, f"shows {found[0].strip()!r} to the reader: put it in a folded Check."


def script_rules(nb):
    heads = [i for i, cell in enumerate(nb.cells) if SCRIPT in cell.source.splitlines()]
    if not heads:
        yield None, f"has no {SCRIPT!r}: a script in plain PyTorch, without nbcode."
        return
    script = next((c for c in nb.cells[heads[0] :] if c.cell_type == "code"), None)
    if script is None or lines(script) > SCRIPT_LINES or "nbcode" in script.source:
        yield script, f"is no script of {SCRIPT_LINES} lines without nbcode."

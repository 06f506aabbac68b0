"""The answers that stand in the chapters: each exercise's own cell, and its solution's."""

import ast
import functools
import json
from pathlib import Path

from rules import names

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@functools.cache
def cells(chapter):
    """Source and printed output of a chapter's code cells, but for Colab's installation."""
    (path,) = NOTEBOOKS.glob(f"{int(chapter):02d}_*.ipynb")
    return [
        ("".join(cell["source"]), "".join(map(printed, cell["outputs"])))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code" and "%pip" not in "".join(cell["source"])
    ]


def printed(output):
    return "".join(output.get("text", ""))


def exercises():
    """The numbers of all exercises that have a cell, in the book's order."""
    calls = [call(source) for k in range(1, 12) for source, _ in cells(k)]
    return list(dict.fromkeys(number for number, _ in filter(None, calls)))


def call(source):
    """Number and answer, both as code, of a cell that calls check.exercise; or None."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "check.exercise":
            return ast.literal_eval(node.args[0]), ast.unparse(node.args[1])
    return None


def find(number, *, solved):
    """The place of an exercise's own cell, or of its solution's: None if that is prose."""
    for place, (source, _) in enumerate(cells(number.split(".")[0])):
        is_solution = source.startswith("# @title Solution")
        if is_solution == solved and (call(source) or ("", ""))[0] == number:
            return place
    return None


def said(number, *, solved):
    """What check.exercise printed when the chapter was run."""
    _, output = cells(number.split(".")[0])[find(number, solved=solved)]
    (line,) = [line for line in output.split("\n") if line.startswith(f"{number} ")]
    return line


def answer(number, *changes, solved=True):
    """What a cell hands to check.exercise, run with the part of the chapter that it needs.

    ``changes`` are pairs (from, to) in the cell's text: a wrong turn that shares its code.
    """
    place, chapter = find(number, solved=solved), cells(number.split(".")[0])
    source = chapter[place][0]
    for old, new in changes:
        assert old in source, f"{old!r} is not in the cell of {number}"
        source = source.replace(old, new)
    _, expression = call(source)
    before = [text for text, _ in chapter[:place]]
    statements = [s for text in (*before, source) for s in ast.parse(text).body]
    needed, kept = names(expression)[1], []
    for statement in reversed(statements):
        bound, used = names(ast.unparse(statement))
        if bound & needed:
            kept.append(statement)
            needed = needed - bound | used
    namespace = {"__name__": "chapter"}
    exec(compile(ast.Module(kept[::-1], []), f"exercise {number}", "exec"), namespace)
    return eval(expression, namespace)

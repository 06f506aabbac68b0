"""The pages that are made from what the chapters record, and never typed.

Each takes the chapters in their order, as pairs (stem, notebook) like ("03_xavier", nb),
reads what `check.claim` and `check.reproduced` stored in the outputs, and returns Markdown.
A page is a list of definitions and no table, because five columns do not fit a phone.
"""

from html import escape

import rules

VERDICTS = {"holds": "hold", "holds in part": "hold in part", "fails": "fail"}
MADE = "% Made from the outputs of notebooks/ by tools/book.py claims: edit it there.\n\n"


def claims(chapters):
    found = recorded(chapters, "claim")
    verdicts = [claim["verdict"] for claims in found.values() for claim in claims]
    counts = [f"**{verdicts.count(v)} {plural}**" for v, plural in VERDICTS.items()]
    return (
        f"{MADE}# Claims put to the test\n\n"
        f"{len(verdicts)} claims that papers, courses, manuals and this book make, as the "
        f"chapters measured them: {counts[0]}, {counts[1]}, and {counts[2]}. Each leads to "
        "the end of its chapter, whose cells made the measurement. Numbers of equations "
        "are the chapter's. What holds in part needs a condition that the claim leaves "
        "out; the measurement says which.\n"
        + sections(
            found,
            lambda stem, claim: (
                link(stem, claim["anchor"], claim["statement"]),
                f"**{claim['verdict'].capitalize()}.** Who says so: {claim['who']}.",
                f"Predicted: {claim['predicted']}",
                f"Measured: {claim['measured']}",
            ),
        )
    )


def reproductions(chapters):
    found = recorded(chapters, "reproduced")
    all_of_them = [figure for figures in found.values() for figure in figures]
    papers = {figure["paper"] for figure in all_of_them}
    return (
        f"{MADE}# Published figures, reproduced\n\n"
        f"{len(all_of_them)} figures and tables of {len(papers)} papers, in miniature: on "
        "handwritten digits or random data, in seconds, on a processor. Each leads to "
        "ours. The paper's number stands where the chapter has it, and else its finding in "
        "words; what is quoted from memory says so.\n"
        + sections(
            found,
            lambda stem, figure: (
                link(stem, figure["here"], figure["figure"]),
                figure["paper"],
                f"Theirs: {figure['theirs']}",
                f"Ours: {figure['ours']}",
            ),
        )
    )


PAGES = {"book/claims.md": claims, "book/reproductions.md": reproductions}


def recorded(chapters, kind):
    """{(stem, title): what the chapter records}, of those that record something."""
    found = {}
    for stem, nb in chapters:
        said = [output.get("metadata", {}).get(kind) for _, output in rules.outputs(nb)]
        if any(said):
            title = nb.cells[0].source.splitlines()[0].removeprefix("# ")
            found[stem, title] = list(filter(None, said))
    if not found:
        raise ValueError(f"no chapter records a {kind}")
    return found


def sections(found, entry):
    """A section for each chapter, in it a term for each entry, a line for each detail."""
    lines = []
    for (stem, title), entries in found.items():
        lines += ["", f"## {int(stem[:2])}. {title}"]
        for said in entries:
            term, *details = entry(stem, said)
            lines += ["", term, ": " + "\\\n  ".join(details)]
    return "\n".join(lines) + "\n"


def link(stem, anchor, text):
    """As HTML, because Sphinx knows no anchors of outputs; tools/build.py checks them."""
    return f'<a href="../notebooks/{stem}.html#{anchor}">{escape(text, quote=False)}</a>'

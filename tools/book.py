"""Executes, checks and renames the chapters.

    python tools/book.py run [FILES]       execute, store the outputs, fill in glued numbers
    python tools/book.py claims            make the pages of claims and of reproductions
    python tools/book.py check [FILES]     say what is wrong, where, and what to do about it
    python tools/book.py name OWNER/REPO   change the repository's name wherever it stands
    python tools/book.py version NUMBER    raise the version wherever it stands

Without FILES, all of notebooks/. A cell is named by its place among all cells of the file,
from 1, and by its execution count, as in "cell 7 (In [4])".
"""

import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import nbformat

import edges
import pages
import rules

ROOT = Path(__file__).resolve().parent.parent
COVER = "book/_static/cover.svg"
# Chapters of the second edition, which keep to its template.
TOLD_ANEW = ("01", "02", "03", "04")
# One core each, since two chapters are executed at a time; and no bars of progress.
QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def text(file):
    """What a file says, to the byte, so that it can be written back."""
    try:
        return (ROOT / file).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        sys.exit(f"{file} is no text in UTF-8: {error}. Save it as such.")


def repository():
    return re.findall(r"^  url: https://github\.com/(\S+)$", text("_config.yml"), re.M)[0]


def version():
    return tomllib.loads(text("pyproject.toml"))["project"]["version"]


def own_files():
    """Every file that belongs to the project, committed yet or not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def own_texts():
    """Of these files all that are text, which has no zero bytes: pairs (file, text)."""
    for file in own_files():
        if b"\0" not in (ROOT / file).read_bytes():
            yield file, text(file)


def chapters(files=()):
    found = [Path(f) for f in files] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    return found or sys.exit(f"{ROOT / 'notebooks'} holds no chapter.")


def shown(path):
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def where(path, nb, cell):
    if cell is None:
        return shown(path)
    count = f" (In [{cell.execution_count}])" if cell.get("execution_count") else ""
    return f"{shown(path)}, cell {nb.cells.index(cell) + 1}{count}"


def read(path):
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))  # as it is, nothing repaired


def execute(path, folder=None, watch=False, **environment):
    """The notebook with new outputs, executed top to bottom in a fresh kernel.

    With `watch`, the numbers that its cells format are among the outputs: edges.taken.
    """
    from nbclient import NotebookClient

    nb = read(path)
    arguments = ["--log-level=ERROR"]
    if watch:
        arguments.append("--IPKernelApp.extra_extensions=edges")
        tools = [str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, tools))
    NotebookClient(
        nb,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder or Path(path).parent)}},
        extra_arguments=arguments,
        coalesce_streams=True,
        record_timing=False,
    ).execute(env=os.environ | QUIET | environment)
    for cell, output in rules.outputs(nb):
        if output.get("name") == "stderr":
            place = where(path, nb, cell)
            raise RuntimeError(f"{place} wrote to stderr, mend its cause:\n{output.text}")
    return nb


def clean(nb):
    """Take out what differs from run to run, and fill in the glued numbers."""
    nb.metadata = nbformat.from_dict(rules.METADATA)
    values = {key: value for key, value, _ in rules.glued(nb)}

    def fill(span):
        return f'<span data-glue="{span[1]}">{values.get(span[1], span[2])}</span>'

    for cell in nb.cells:
        for key in cell.metadata.keys() - rules.CELL_METADATA:
            del cell.metadata[key]
        if cell.cell_type == "code":
            cell.metadata.update(nbformat.from_dict(rules.folding(cell)))
        if cell.cell_type == "markdown":
            cell.source = rules.SPAN.sub(fill, cell.source)
    return nb


def differences(path, nb, other):
    """What two executions of a chapter, under two arithmetics, show differently."""
    for cell, second in zip(rules.code_cells(nb), rules.code_cells(other), strict=True):
        found = list(edges.problems(edges.taken(cell), edges.taken(second)))
        if not found and edges.compared(cell) != edges.compared(second):
            found = ["shows something else under other arithmetic: print less."]
        yield from (f"{where(path, nb, cell)} {what}" for what in found)


def run(files):
    """Execute each chapter under two arithmetics, and store it if they agree."""
    jobs = [(path, how) for path in chapters(files) for how in ({}, edges.PLAIN)]
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(execute, path, watch=True, **how) for path, how in jobs]
        for (path, _), *both in zip(jobs[::2], runs[::2], runs[1::2], strict=True):
            try:
                nb, other = (done.result() for done in both)
                problems = list(differences(path, nb, other))
            except Exception as error:
                under = "" if both[0].exception() else " under other arithmetic"
                problems = [f"{shown(path)}{under}: {error}"]
            if not problems:
                nbformat.write(clean(nb), path)
            failed += bool(problems)
            print(*problems or [f"{shown(path)}: executed"], sep="\n", flush=True)
    if failed:
        return f"{failed} of the chapters are not stored: see above."
    (ROOT / COVER).write_bytes(cover().encode("utf-8"))
    write_pages()
    return check(files)


def made_pages():
    """The pages that are made from all chapters' stored outputs: {file: text}."""
    found = [(path.stem, read(path)) for path in chapters()]
    return {file: make(found) for file, make in pages.PAGES.items()}


def write_pages():
    for file, made in made_pages().items():
        (ROOT / file).write_bytes(made.encode("utf-8"))
    return 0


def page_problems():
    try:
        all_made = made_pages()
    except Exception as error:
        yield f"{', '.join(pages.PAGES)}: cannot be made, {error!r}: `make run`."
        return
    for file, made in all_made.items():
        there = text(file) if (ROOT / file).is_file() else ""
        pairs = enumerate(zip_longest(there.splitlines(), made.splitlines()), 1)
        if line := next((number for number, (a, b) in pairs if a != b), None):
            yield (
                f"{file}, line {line}: is not what the chapters' stored outputs say: "
                "`.venv/bin/python tools/book.py claims` makes the page anew."
            )


def cover():
    """The README's picture: the first figure of the first chapter."""
    shows = (output.get("data", {}) for _, output in rules.outputs(read(chapters()[0])))
    return next(data["image/svg+xml"] for data in shows if "image/svg+xml" in data)


def readme_problems():
    if not (ROOT / COVER).is_file() or text(COVER) != cover():
        yield f"{COVER}: is not the first chapter's first figure: `make run` writes it."
    for file in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#\s]+)|(?:src|href)=\"([^\"#]+)", text(file)):
            name = "".join(target)
            if "://" not in name and not (ROOT / name).exists():
                yield f"{file}: links {name}, which does not exist."


def chapter_problems(path):
    try:
        nb = read(path)
    except Exception as error:
        return [f"{shown(path)}: no notebook that can be read: {error}"]
    found = [
        *rules.file_rules(nb, path.stat().st_size),
        *rules.code_rules(nb),
        *rules.output_rules(nb),
        *rules.exercise_rules(nb),
        *rules.prose_rules(nb, text("references.bib")),
        *rules.glue_rules(nb),
        *rules.name_rules(nb, path.name, repository(), version()),
        *rules.setup_rules(nb, read(chapters()[0])),
        *(rules.template_rules(nb) if path.name.startswith(TOLD_ANEW) else ()),
    ]
    return [f"{where(path, nb, cell)}: {what}" for cell, what in found]


def name_problems():
    """Whatever repeats the repository's name or the version agrees with its one source."""
    owner, repo = repository().split("/")
    names = {f"{owner}/{repo}", f"{owner}.github.io/{repo}"}
    mention = re.compile(
        r"(?:colab\.research\.google\.com/github|git\+https://github\.com)/([\w.-]+/[\w.-]+)"
        rf"|([\w.-]+/{re.escape(repo)})(?![\w-])"
    )
    for file, content in own_texts():
        for number, line in enumerate(content.splitlines(), 1):
            for match in mention.finditer(line):
                if (name := match[1] or match[2]) not in names:
                    yield (
                        f"{file}, line {number}: names {name}, but _config.yml names "
                        f"{owner}/{repo}: `make name REPO=...` sets all at once."
                    )
    for file, line in (
        ("CITATION.cff", f"repository-code: https://github.com/{owner}/{repo}"),
        ("CITATION.cff", f"version: {version()}"),
        ("pyproject.toml", f'Repository = "https://github.com/{owner}/{repo}"'),
        ("nbcode/__init__.py", f'__version__ = "{version()}"'),
    ):
        if line not in text(file).splitlines():
            yield f"{file}: has no line `{line}`."


def check(files):
    problems = [p for path in chapters(files) for p in chapter_problems(path)]
    problems += [*name_problems(), *readme_problems(), *page_problems()]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def replace_everywhere(pairs):
    for file, before in list(own_texts()):  # before any is changed: one may be refused
        after = before
        for pattern, becomes in pairs:
            after = re.sub(pattern, becomes, after, flags=re.M)
        if after != before:
            (ROOT / file).write_bytes(after.encode("utf-8"))
            print(f"changed {file}")
    return 0


def rename(new):
    if not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", new):
        sys.exit(f"{new!r} is no repository's name: write make name REPO=owner/repo.")
    old = repository()
    page = {name: name.replace("/", ".github.io/") for name in (old, new)}
    names = [(old, new), (page[old], page[new])]
    return replace_everywhere(
        [(rf"(?<![\w.-]){re.escape(was)}(?![\w-])", becomes) for was, becomes in names]
    )


def raise_version(new):
    if not re.fullmatch(r"\d+\.\d+\.\d+", new):
        sys.exit(f"{new!r} is no version: write three numbers, as in 0.2.0.")
    old = re.escape(version())
    places = (r'^version = "', "^version: ", r'^__version__ = "', rf"{repository()}@v")
    return replace_everywhere([(rf"({place}){old}\b", rf"\g<1>{new}") for place in places])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", *files]:
            sys.exit(run(files))
        case ["claims"]:
            sys.exit(write_pages())
        case ["check", *files]:
            sys.exit(check(files))
        case ["name", new]:
            sys.exit(rename(new))
        case ["version", new]:
            sys.exit(raise_version(new))
        case _:
            sys.exit(__doc__)

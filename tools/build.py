"""Builds the site strictly and checks every link, anchor and picture of the result.

The site is built anew, so that no warning hides behind a cached page. What is wrong is
named by its source: the page's file and, in a notebook, the cell, counted from 1.
"""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build/strict/_build/html"


def build():
    """Build with every warning an error; True if there was none."""
    shutil.rmtree(ROOT / "_build/strict", ignore_errors=True)
    program = Path(sys.executable).with_name("jupyter-book")
    options = ["-q", "-W", "-n", "--keep-going", "--path-output", "_build/strict"]
    done = subprocess.run(
        [program, "build", ".", *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    # MyST-NB counts 10,000 lines for each cell.
    cell = re.compile(r"\.ipynb:(\d+)(\d{4}):")
    errors = re.sub(r"\x1b\[[\d;]*m", "", done.stderr).strip().replace(f"{ROOT}/", "")
    print(cell.sub(lambda m: f".ipynb, cell {m[1]}, line {int(m[2])}:", errors))
    return done.returncode == 0


class Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loads = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        if tag == "a":
            self.links.append(attributes.get("href"))
        elif tag == "link" and attributes.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(attributes.get("href"))
        elif tag in ("img", "script", "iframe", "source", "video"):
            self.loads.append(attributes.get("src"))


def source(page, target):
    """The file that a page was made from and, in a notebook, the cell that names target."""
    name = page.relative_to(SITE).with_suffix("").as_posix()
    found = [f for f in (f"{name}.md", f"{name}.ipynb") if (ROOT / f).is_file()]
    if not found or not found[0].endswith(".ipynb"):
        return found[0] if found else f"{name}.html"
    stem = re.sub(r"\.html(?=#|$)", "", target.rsplit("/", 1)[-1])
    for number, cell in enumerate(json.loads((ROOT / found[0]).read_bytes())["cells"], 1):
        if stem in "".join(cell["source"]):
            return f"{found[0]}, cell {number}"
    return found[0]


def link_problems():
    paths = [path for path in SITE.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path) for path in sorted(paths)}
    if not pages:
        yield SITE / "index.html", "", "was not built, nor any other page"
    for path, page in pages.items():
        for target in filter(None, page.links + page.loads):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loads and parts.scheme != "data":
                    yield path, target, "comes from a third party: ship it with the site"
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not file.is_file():
                yield path, target, "does not exist"
            elif anchor and file in pages and anchor not in pages[file].anchors:
                yield path, target, "names an anchor that its page does not have"


if __name__ == "__main__":
    good = build()
    for page, target, what in link_problems():
        good = False
        print(f"{source(page, target)}: {target} {what}.")
    sys.exit(0 if good else 1)

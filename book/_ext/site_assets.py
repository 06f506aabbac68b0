"""Serves from the site what it needs, and takes out what it does not.

A page asks no third party for anything. MathJax comes from the package
sphinx-mathjax-offline, which carries all of it, 24 MB; the book needs one script and its
fonts. sphinx-thebe, which Jupyter Book always loads, adds its script twice to every page,
an error in the browser's console, though no page of this book runs code on a server.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path


def copy_mathjax(app, exception):
    if exception is None and app.builder.format == "html":
        source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
        target = Path(app.outdir, "_static/mathjax")
        fonts = "output/chtml/fonts/woff-v2"
        shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
        shutil.copy(source / "tex-chtml.js", target)


def drop_thebe(app, pagename, templatename, context, doctree):
    for files in (context["script_files"], context["css_files"]):
        files[:] = [f for f in files if "thebe" not in f"{f.filename}{f.attributes}"]


def setup(app):
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    if not find_spec("torch"):  # the API page needs the names of torch alone
        app.config.autodoc_mock_imports = ["torch"]
    app.connect("html-page-context", drop_thebe)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Serves MathJax from the site itself, so that a page asks no third party for anything.

The package sphinx-mathjax-offline carries all of MathJax, 24 MB. The book needs one script
and its fonts, and every visit pays for what is shipped, so only they are copied.
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


def setup(app):
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

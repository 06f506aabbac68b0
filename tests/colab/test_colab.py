"""Every chapter runs in Google Colab, tested without Colab.

A new environment holds what Colab has: its Python packages in its published versions, an
old IPython among them, and a module google.colab. A chapter's notebook is put alone into
an empty folder and executed unchanged. Its set-up cell installs nbcode from the address
and tag that it names; git is told to find that address in a copy of the present work tree.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version as installed

import pytest
from nbclient import NotebookClient

import book
import rules

# Colab's list of August 2026. Its torch is older; ours is the one that the lock pins.
COLAB = {
    "ipykernel": "6.17.1",
    "ipython": "7.34.0",
    "matplotlib": "3.10.0",
    "numpy": "2.1.3",
    "scikit-learn": "1.6.1",
    "scipy": "1.16.3",
    "tqdm": "4.67.1",
}
NEWEST_PYTHON = (3, 13)  # Colab's own; later ones have no builds of these versions
REPOSITORY = f"https://github.com/{book.repository()}"


def call(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment like Colab's."""
    folder = tmp_path_factory.mktemp("colab")
    call(sys.executable, book.ROOT / "tools/environment.py", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pinned = sys.version_info[:2] <= NEWEST_PYTHON
    wanted = [f"{name}=={pin}" if pinned else name for name, pin in COLAB.items()]
    wanted.append(f"torch=={installed('torch').partition('+')[0]}")
    # Where uv is told which torch to take (a small one), it has to do the installing.
    pip = [python, "-m", "pip", "install", "-q"]
    # --no-config: the lock holds another torch than Colab.
    uv = ["uv", "pip", "install", "-q", "--no-config", "--python", python]
    call(*(uv if "UV_TORCH_BACKEND" in os.environ else pip), *wanted)
    packages = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    stand_in = os.path.join(packages.strip(), "google", "colab")
    os.makedirs(stand_in)
    open(os.path.join(stand_in, "__init__.py"), "w").close()
    return python


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The work tree as it is now, committed or not, in a repository, with the tag."""
    folder = tmp_path_factory.mktemp("published")
    call("git", "init", "-q", folder)
    git = ["git", f"--git-dir={folder}/.git", f"--work-tree={book.ROOT}"]
    for setting in (
        "user.name=test",
        "user.email=test@example.org",
        "commit.gpgsign=false",
    ):
        git += ["-c", setting]
    call(*git, "add", "--all", cwd=book.ROOT)
    call(*git, "commit", "-q", "-m", "as it is now", cwd=book.ROOT)
    call(*git, "tag", f"v{book.version()}", cwd=book.ROOT)
    return folder


@pytest.fixture
def kernel(python, published, tmp_path, monkeypatch):
    """The name of a kernel in that environment, for which the published copy is GitHub."""
    call(python, "-m", "pip", "uninstall", "-q", "-y", "nbcode")
    spec = {
        "display_name": "Colab",
        "language": "python",
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "env": {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{published.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": REPOSITORY,
        },
    }
    folder = tmp_path / "jupyter/kernels/colab"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return "colab"


def packages(python):
    listed = json.loads(call(python, "-m", "pip", "list", "--format", "json"))
    return {package["name"]: package["version"] for package in listed}


def kinds(nb):
    """What each cell shows, the set-up cell aside: a stream's name or the media types."""
    return [
        [output.get("name") or sorted(output.get("data", {})) for output in cell.outputs]
        for cell in rules.code_cells(nb)
        if "setup" not in rules.tags(cell)
    ]


@pytest.mark.parametrize("chapter", book.chapters(), ids=lambda path: path.name)
def test_chapter_runs_in_colab(chapter, python, kernel, tmp_path):
    before = packages(python)
    folder = tmp_path / "content"
    folder.mkdir()
    shutil.copy(chapter, folder)

    nb = book.read(folder / chapter.name)
    stored = kinds(nb)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(nb, timeout=600, kernel_name=kernel, resources=where)
    client.coalesce_streams = True
    client.execute()

    assert packages(python) == before | {"nbcode": book.version()}, "moved Colab's packages"
    for number, (shows, stores) in enumerate(zip(kinds(nb), stored, strict=True), 2):
        assert shows == stores, f"{chapter.name}, In [{number}] shows other kinds of output"
    home = call(python, "-c", "import nbcode; print(nbcode.__file__)", cwd=folder)
    assert home.startswith(str(python.parent.parent)), "nbcode came from elsewhere"

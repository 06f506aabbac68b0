"""A browser that looks at the built site, and a server that shows it the site.

python tools/browser.py   installs a browser where there is none
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

import book
from build import SITE

TOOLS = Path(__file__).resolve().parent
CHAPTERS = [f"notebooks/{path.stem}.html" for path in book.chapters()]
NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
PLACES = (  # where macOS and Windows keep theirs, off the PATH
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
FLAGS = [  # without a sandbox, as root in a container; and silent towards its maker
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
REMEDY = (
    "No Chromium, Chrome or Edge starts here: install one (as root on Debian, `apt-get "
    "install chromium`), or set CHROMIUM to the path of one."
)


def installed() -> list[str | None]:
    """The browsers to try, best first; None is the one that Playwright installs."""
    if chosen := os.environ.get("CHROMIUM"):
        return [chosen]
    found = [*map(shutil.which, NAMES), *PLACES]
    return [*(path for path in found if path and Path(path).is_file()), None]


def ways() -> Iterator[list[str]]:
    """Commands that bring a browser, in the order in which they are worth a try."""
    playwright = [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]
    yield playwright
    if shutil.which("apt-get") and os.geteuid() == 0:
        apt = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        yield ["apt-get", "update", "-qq"]
        yield [*apt, "chromium", "libatomic1"]  # the second is Playwright's own need
        yield [*playwright, "--with-deps"]  # Ubuntu has no package of that name


def start(playwright: Playwright) -> Browser | None:
    for path in installed():
        try:
            return playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error:  # no such file, or one that needs what this system lacks
            continue
    return None


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield start(playwright) or sys.exit(REMEDY)


def starts() -> bool:
    """Asked in a process of its own: Playwright itself may lack a library of the system."""
    check = [sys.executable, "-c", "import browser\nwith browser.chromium(): pass"]
    return subprocess.run(check, cwd=TOOLS, capture_output=True).returncode == 0


def install():
    """Bring a browser where there is none, or say what to do."""
    quick = {  # no questions, and no long wait where the network is closed
        "DEBIAN_FRONTEND": "noninteractive",
        "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "10000",
    }
    to_try = ways()
    while not starts():
        command = next(to_try, None) or sys.exit(REMEDY)
        print("No browser starts:", *command, flush=True)
        subprocess.run(command, env=quick | os.environ, capture_output=True)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served_site(folder: Path = SITE) -> Iterator[str]:
    """The address of the site on a server of our own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def open_page(page: Page, address: str):
    page.goto(address)
    page.evaluate("() => window.MathJax?.startup?.promise")


if __name__ == "__main__":
    install()

"""Tells a person who waits how far it is, and writes nothing where nobody watches."""

import multiprocessing
import sys
import threading
import time

PATIENCE = 2.0  # seconds without a word
INTERVAL = 0.2  # seconds between two words


def shown(items, total, what):
    """Yield the items, and where that takes long, show how many of the total are done."""
    write = _writer()
    start = time.monotonic()
    due, written = start + PATIENCE, False
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if write and now >= due:
                left = (now - start) * (total - done) / max(done, 1)
                bar = "█" * (20 * done // total)
                write(f"{bar:░<20} {what} {done} of {total}, {left:.0f} s left")
                due, written = now + INTERVAL, True
            yield item
    finally:
        if written:
            write("")


def _writer():
    """What shows a line in the place of the one before it; None if nobody would see it."""
    # several workers would write over each other
    if (
        multiprocessing.parent_process() is not None
        or threading.current_thread() is not threading.main_thread()
    ):
        return None
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    if kernel is not None:
        # A front end with a person before it can be asked for input. What executes
        # notebooks to store their outputs cannot (nbclient, nbval, jupyter execute).
        return _notebook_writer() if getattr(kernel, "_allow_stdin", False) else None
    if sys.stderr is not None and sys.stderr.isatty():
        return lambda text: print(f"\r{text:<60}\r{text}", end="", file=sys.stderr)
    return None


def _notebook_writer():
    from IPython.display import display

    place = None

    def write(text):
        nonlocal place
        shown = {"text/plain": text}
        if place is None:
            place = display(shown, raw=True, display_id=True)
        else:
            place.update(shown, raw=True)

    return write

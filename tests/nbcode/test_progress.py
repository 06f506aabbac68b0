"""A bar for a person who waits; not a byte for a file, a pipe or a stored notebook."""

import contextlib
import io
import multiprocessing
import sys
import threading
import time

import nbformat
import pytest
from nbclient import NotebookClient

from nbcode import _progress

CELL = """
from nbcode import _progress
_progress.PATIENCE = _progress.INTERVAL = 0
for step in _progress.shown(range(3), 3, "steps"):
    pass
print("done")
"""


EMPTY = "\r" + " " * 60 + "\r"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watched(function, *arguments):
    """What function shows on a terminal."""
    with contextlib.redirect_stderr(Terminal()) as stderr:
        function(*arguments)
    return stderr.getvalue()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_progress, "PATIENCE", 0)
    monkeypatch.setattr(_progress, "INTERVAL", 0)


def run(count=4):
    return list(_progress.shown(range(count), count, "steps"))


def test_a_terminal_shows_how_far_it_is_and_ends_as_an_empty_line(impatient):
    assert run() == [0, 1, 2, 3]
    text = watched(run)
    shown = [line for line in text.split("\r") if line and not line.endswith("  ")]
    assert [line.split(",")[0][-12:] for line in shown] == [
        f"steps {i} of 4" for i in range(4)
    ]
    assert shown[2].startswith("█" * 10 + "░" * 10 + " ") and shown[2].endswith("s left")
    assert text.endswith(EMPTY)


def test_two_seconds_pass_without_a_word(monkeypatch):
    clock = iter([0.0, 0.5, 1.9, 2.0, 2.1, 2.3])  # at the start, then before each item
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    text = watched(run, 5)
    assert [f"{i} of 5" in text for i in range(5)] == [False, False, True, False, True]
    assert "2 of 5, 3 s left" in text  # two of five took two seconds


def test_what_is_quick_is_silent():
    assert watched(run) == ""


def test_the_line_is_taken_away_when_a_loop_is_left(impatient):
    def leave():
        with contextlib.suppress(KeyboardInterrupt):
            for step in _progress.shown(range(9), 9, "steps"):
                if step == 2:
                    raise KeyboardInterrupt

    assert "2 of 9" in watched(leave) and watched(leave).endswith(EMPTY)


def test_a_file_a_pipe_and_no_stderr_at_all_get_nothing(impatient, capfd, monkeypatch):
    run()
    monkeypatch.setattr(sys, "stderr", None)
    run()
    assert capfd.readouterr() == ("", "")


def test_workers_are_silent(impatient, monkeypatch):
    def in_a_thread():
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    assert watched(run)
    assert watched(in_a_thread) == ""
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    assert watched(run) == ""


class Recorder(NotebookClient):
    """Keeps what the kernel sends, and says, if told so, that a person can be asked."""

    def __init__(self, nb, person):
        super().__init__(nb, kernel_name="python3", timeout=60)
        self.person, self.sent = person, []

    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        client.allow_stdin = self.person or client.allow_stdin
        return client

    def process_message(self, msg, cell, cell_index):
        self.sent.append((msg["msg_type"], msg["content"].get("data")))
        return super().process_message(msg, cell, cell_index)


def executed(person):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = Recorder(nb, person)
    client.execute()
    return nb.cells[0].outputs, client.sent


def test_a_stored_notebook_holds_no_trace():
    """As nbclient executes it; nbval also says that nobody can be asked."""
    outputs, _ = executed(person=False)
    assert [output.get("text") for output in outputs] == ["done\n"]


def test_a_notebook_with_a_person_before_it_shows_one_line_and_empties_it():
    outputs, sent = executed(person=True)
    shown = [(kind, data) for kind, data in sent if data]
    assert [kind for kind, _ in shown] == ["display_data", *["update_display_data"] * 3]
    texts = [data["text/plain"] for _, data in shown]
    assert [f"steps {i} of 3" in text for i, text in enumerate(texts)] == [True] * 3 + [
        False
    ]
    assert texts[-1] == ""
    assert not [output for output in outputs if output.get("name") == "stderr"]

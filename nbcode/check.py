"""What a chapter uses to check itself, and a reader to check an exercise."""

from __future__ import annotations  # so that the API page says ArrayLike

import dis
import re
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from nbcode import _validate

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def predicted_measured(
    *rows: tuple[str, float, float, str], rtol: float = 0.05, digits: int = 3
) -> None:
    """Show *predicted · measured · why they differ* as a table, and assert the agreement.

    An AssertionError names the row whose numbers differ by more than rtol.

    Args:
        *rows: (what, predicted, measured, why), one a line of the table. Text is Markdown
            in one line without vertical bars, which would end a table's cell.
        rtol: largest difference, relative to what was predicted, that counts as agreement.
        digits: significant digits to show. Show no more than another machine gets too.

    >>> predicted_measured(("ReLU keeps", 0.5, 0.498, "500 samples"))
    <IPython.core.display.Markdown object>
    """
    from IPython.display import Markdown, display

    _validate.number("rtol", rtol, "it is a relative difference, such as 0.05", above=0)
    _validate.integer("digits", digits, "it is a number of digits, such as 3")
    if not rows:
        raise ValueError("rows must be one or more, got (): pass (what, predicted, ...)")
    lines = ["| what | predicted | measured | why they differ |", "|:--|--:|--:|:--|"]
    for what, predicted, measured, why in rows:
        if "|" in f"{what}{why}" or "\n" in f"{what}{why}":
            raise ValueError(
                f"what and why must be cells of a table, got {what!r} and {why!r}: write "
                "|a| as \\lvert a\\rvert, on one line"
            )
        for name, value in (("predicted", predicted), ("measured", measured)):
            name, remedy = f"{name} of row {what!r}", "compute it before the table"
            _validate.number(name, value, remedy)
        if abs(measured - predicted) > rtol * abs(predicted):
            raise AssertionError(
                f"row {what!r}: predicted {predicted:.6g}, measured {measured:.6g}; they "
                f"differ by more than rtol = {rtol:g}"
            )
        shown = [_show(value, digits) for value in (predicted, measured)]
        lines.append(f"| {what} | {' | '.join(shown)} | {why} |")
    display(Markdown("\n".join(lines)))


def agree(name: str, mine: ArrayLike, reference: ArrayLike, *, atol: float) -> None:
    """Assert that two results have one shape and agree, and print so in one line.

    An entry that is nan agrees with nothing.

    Args:
        name: what is compared.
        mine: the chapter's own result: an array, a number or a torch tensor.
        reference: what it should be, of exactly the same shape (nothing is broadcast).
        atol: largest absolute difference allowed, in the units of the result.

    >>> agree("two sums", [0.1 + 0.2], [0.3], atol=1e-12)
    two sums: agree to 1e-12
    """
    _validate.number("atol", atol, "it is an absolute difference, say 1e-12", above=0)
    mine, reference = _plain(mine), _plain(reference)
    if mine.shape != reference.shape:
        raise AssertionError(f"{name}: shapes differ, {mine.shape} and {reference.shape}")
    with np.errstate(invalid="ignore"):  # inf − inf, which is nan, and no agreement
        largest = float(np.max(np.abs(mine - reference), initial=0.0))
    if not largest <= atol:
        raise AssertionError(
            f"{name}: largest difference {largest:.3g}, more than {atol:g}"
        )
    print(f"{name}: agree to {atol:g}")


def glue(**values: str) -> None:
    """Record numbers that the prose quotes, so that no number is typed there.

    The text of a chapter writes ``<span data-glue="key">…</span>``; whoever executes the
    notebook copies the value in, and a test fails when the two differ.

    Each value is text, to as many digits as are stable, such as ``deep=f"{layer:.0f}"``.

    >>> glue(answer="42")
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import publish_display_data

    for key, value in values.items():
        if not isinstance(value, str):
            raise ValueError(
                f"{key} must be text, got {value!r}: format it, f'{{x:.2f}}' say"
            )
        if InteractiveShell.initialized():  # else there is no prose to quote it
            prefix = "application/papermill.record/"
            scrap = {"name": key, "mime_prefix": prefix}
            publish_display_data(
                {f"{prefix}text/plain": value}, metadata={"scrapbook": scrap}
            )


def claim(statement: str, *, who: str, predicted: str, measured: str, verdict: str) -> None:
    """Record a claim that the chapter has tested, and show it as a line.

    Args:
        statement: the claim, in a sentence; and who makes it.
        predicted: what it would mean here, with a number; and what came out as measured.
        verdict: "holds", "holds in part" or "fails".

    >>> claim("2 is even", who="Euclid", predicted="0", measured="0", verdict="holds")
    <IPython.core.display.Markdown object>
    """
    _validate.choice("verdict", verdict, ("holds", "holds in part", "fails"))
    anchor = "claim-" + re.sub("[^a-z0-9]+", "-", str(statement).lower()).strip("-")
    line = (
        f'<span id="{anchor}"></span>**{statement}** ({who}) Predicted: {predicted} '
        f"Measured: {measured} Verdict: **{verdict}**."
    )
    said = {"statement": statement, "who": who, "predicted": predicted}
    _record("claim", line, **said, measured=measured, verdict=verdict, anchor=anchor)


def reproduced(figure: str, *, paper: str, here: str, theirs: str, ours: str) -> None:
    """Record that the chapter repeats a published figure, and show it as a line.

    Args:
        figure: the paper's figure or table, such as "Figure 6, activations by layer".
        paper: whose it is, such as "Glorot and Bengio 2010".
        here: where the chapter shows it: the name of a figure, or a heading as in a link.
        theirs: what the paper shows, with its number if the chapter has one.
        ours: what came out here, with a number.

    >>> reproduced("Figure 1", paper="Euclid", here="fig-1", theirs="2.", ours="2.")
    <IPython.core.display.Markdown object>
    """
    line = f"**{figure}** ({paper}), reproduced. Theirs: {theirs} Ours: {ours}"
    _record(
        "reproduced", line, figure=figure, paper=paper, here=here, theirs=theirs, ours=ours
    )


def exercise(number: str, answer: object) -> None:
    """Say whether an answer to an exercise is right, and if not, why.

    Args:
        number: chapter and exercise, such as "1.2".
        answer: a number or a function, as the exercise says; ``...`` or None if there is
            none yet.

    >>> exercise("1.1", 24)
    1.1 right: 23.6 layers to the limit, so layer 24 is the first past it.
    >>> exercise("1.1", ...)
    1.1 waits for your answer: replace the ... and run it again.
    """
    from nbcode import exercises

    row = exercises.find(number) if isinstance(number, str) else None
    if row is None:
        raise ValueError(
            f"number must be chapter and exercise, such as '1.2', got {number!r}: it "
            "stands in the cell below the exercise"
        )
    if answer is None or answer is ... or _is_stub(answer):
        print(f"{number} waits for your answer: replace the ... and run it again.")
        return
    try:
        said = f"right: {exercises.judge(number, row, answer)}"
    except exercises.NotYet as why:
        said = f"not yet: {why}"
    except Exception as error:  # a reader's function may raise anything; show what it was
        said = f"not yet: your answer raised {type(error).__name__}: {error}"
    print(f"{number} {said}")


def _record(kind, line, **said):
    """Show a line whose metadata, kept in the notebook, a page of the book is made from."""
    from IPython.display import Markdown, display

    for name, text in said.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name} must be a sentence, got {text!r}: say it in words")
    display(Markdown(line), metadata={kind: said})


def _is_stub(answer):
    """True for a function that does nothing but return ``...`` or None, said or unsaid.

    Compiled, a body of ``...``, ``pass`` or a docstring alone returns None: that constant
    is loaded and returned, in one step or two, depending on the release of Python.
    """
    if not hasattr(answer, "__code__"):
        return False
    steps = dis.get_instructions(answer.__code__)
    done = [s for s in steps if s.opname not in ("RESUME", "NOP")]
    names = {s.opname for s in done}
    constant = names <= {"LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return constant and done[0].argval in (..., None)


def _show(value, digits):
    if isinstance(value, Integral):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        if abs(value) >= 10 ** (digits - 1):
            return f"{value:.0f}"
        return f"{value:#.{digits}g}".rstrip(".")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def _plain(value) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()  # NumPy has no bfloat16
    return np.asarray(value, dtype=np.float64)

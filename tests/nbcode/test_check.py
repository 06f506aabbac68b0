"""Self-checks: they pass what agrees, refuse what does not, and say which."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from nbcode import check


@pytest.fixture
def shell():
    """A real IPython shell, whose history stays out of the reader's own."""
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    InteractiveShell.clear_instance()


def run(shell, code):
    """The outputs of a cell, as a notebook would store them."""
    with capture_output() as captured:
        result = shell.run_cell(f"from nbcode import check\n{code}")
    result.raise_error()
    return captured.outputs


def table(*rows, **options):
    """The Markdown that predicted_measured displays."""
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "IPython.display.display", lambda thing, **_: shown.append(thing.data)
        )
        check.predicted_measured(*rows, **options)
    (text,) = shown
    return text


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_is_markdown_with_a_line_for_each_row(shell):
    (output,) = run(
        shell,
        'check.predicted_measured(("what $q$", 0.5, 0.498, "500 samples"), '
        '("layers", 32, 32, "whole"))',
    )
    head, rule, *rows = output.data["text/markdown"].split("\n")
    assert cells(head)[1:] == ["predicted", "measured", "why they differ"]
    assert cells(rule) == [":--", "--:", "--:", ":--"]
    assert [cells(row) for row in rows] == [
        ["what $q$", "0.500", "0.498", "500 samples"],
        ["layers", "32", "32", "whole"],
    ]


def test_rows_hold_any_real_number():
    text = table(*((f"row {i}", np.float32(i), np.int64(i), "same") for i in range(1, 4)))
    assert text.count("\n") == 4


@given(
    value=st.floats(1e-250, 1e250) | st.floats(-1e250, -1e-250), digits=st.integers(1, 8)
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_a_shown_number_is_the_number_to_its_digits(value, digits):
    text = table(("x", value, value, "same"), digits=digits).split("\n")[-1]
    shown = cells(text)[1]
    assert shown == cells(text)[2]
    powers = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    plain = re.sub("·10(.*)", lambda m: "e" + m[1].translate(powers), shown)
    assert float(plain) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))
    mantissa = re.sub(r"·10.*|\D", "", shown).lstrip("0")
    # as many digits as were asked for; more only in front of the decimal point
    assert len(mantissa) == digits or ("." not in shown and len(mantissa) > digits)


def test_zero_and_whole_numbers_are_shown_plainly():
    text = table(("zero", 0.0, 0.0, "same"), ("many", 1_234_567, 1_234_567, "same"))
    assert [cells(row)[1] for row in text.split("\n")[2:]] == ["0.00", "1234567"]


@given(
    predicted=st.floats(0.01, 100) | st.floats(-100, -0.01),
    off=st.floats(-2, 2),
    rtol=st.floats(0.001, 1),
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_disagreement_is_relative_to_the_prediction_and_names_the_row(predicted, off, rtol):
    rows = [("fine", 1.0, 1.0, "same"), ("of $q$", predicted, predicted * (1 + off), "no")]
    if abs(off) > rtol * 1.0001:
        with pytest.raises(AssertionError, match=r"of \$q\$") as error:
            table(*rows, rtol=rtol)
        said = str(error.value)
        assert f"{predicted:.6g}" in said and f"{predicted * (1 + off):.6g}" in said
        assert f"rtol = {rtol:g}" in said and "fine" not in said
    elif abs(off) < rtol * 0.9999:
        assert "of $q$" in table(*rows, rtol=rtol)


def test_disagreement_shows_no_table(shell):
    with capture_output() as captured, pytest.raises(AssertionError):
        check.predicted_measured(("a", 1.0, 1.0, "same"), ("b", 1.0, 2.0, "not"))
    assert not captured.outputs and not captured.stdout


def test_nothing_but_zero_agrees_with_a_prediction_of_zero():
    assert "0.00" in table(("a", 0.0, 0.0, "same"))
    with pytest.raises(AssertionError, match="row 'a'"):
        table(("a", 0.0, 1e-12, "not"))


def test_agree_prints_one_line(capsys):
    check.agree("mine and torch's", np.ones((2, 3)), torch.ones(2, 3), atol=1e-12)
    assert capsys.readouterr().out == "mine and torch's: agree to 1e-12\n"


@pytest.mark.parametrize(
    ("mine", "reference"),
    [
        (1.5, 1.5),
        ([1, 2], (1.0, 2.0)),
        (np.float32(0.5), 0.5),
        (torch.ones(2, requires_grad=True), np.ones(2)),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.float64)),
        (np.arange(3), torch.arange(3)),
    ],
)
def test_agree_takes_numbers_lists_arrays_and_tensors(mine, reference):
    check.agree("these", mine, reference, atol=1e-12)


@given(
    values=st.lists(st.floats(-100, 100), min_size=1, max_size=6),
    off=st.floats(-1, 1),
    data=st.data(),
)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_agree_goes_by_the_largest_difference(values, off, data):
    mine, reference = np.array(values), np.array(values)
    mine[data.draw(st.integers(0, len(values) - 1))] += off
    largest = np.max(np.abs(mine - reference))
    check.agree("these", mine, reference, atol=largest * 1.0001 + 1e-300)
    if largest > 1e-9:
        with pytest.raises(AssertionError, match="these: largest difference") as error:
            check.agree("these", mine, reference, atol=largest * 0.9999)
        assert f"{largest:.3g}" in str(error.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((3,), (1, 3)),
        ((3,), ()),
        ((2, 3), (3,)),
        ((1,), (3,)),
        ((2, 3), (3, 2)),
        ((0,), (1,)),
    ],
)
def test_agree_broadcasts_nothing(one, other):
    for a, b in ((one, other), (other, one)):
        with pytest.raises(AssertionError, match="these: shapes differ") as error:
            check.agree("these", np.ones(a), np.ones(b), atol=10.0)
        assert str(a) in str(error.value) and str(b) in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_agrees_with_nothing_not_even_itself(value):
    for mine, reference in (
        ([1, value], [1, value]),
        ([1, value], [1, 1]),
        ([1, 1], [1, value]),
    ):
        with pytest.raises(AssertionError, match="largest difference"):
            check.agree("these", mine, reference, atol=1e300)


def test_glue_publishes_what_a_notebook_stores(shell):
    outputs = run(shell, 'check.glue(growth="16.0", layer="32")')
    assert [output.data for output in outputs] == [
        {"application/papermill.record/text/plain": "16.0"},
        {"application/papermill.record/text/plain": "32"},
    ]
    prefix = "application/papermill.record/"
    assert [output.metadata["scrapbook"] for output in outputs] == [
        {"name": "growth", "mime_prefix": prefix},
        {"name": "layer", "mime_prefix": prefix},
    ]


def test_glue_outside_a_notebook_shows_nothing(capsys):
    assert not InteractiveShell.initialized()
    check.glue(growth="16.0")
    assert capsys.readouterr() == ("", "")


def test_a_claim_shows_and_records_all_that_was_said(shell):
    said = {
        "who": "many courses",
        "predicted": "half of it.",
        "measured": "a third, 0.34.",
        "verdict": "holds in part",
    }
    arguments = ", ".join(f"{key}={value!r}" for key, value in said.items())
    (output,) = run(shell, f'check.claim("ReLU halves the variance", {arguments})')
    recorded = {"statement": "ReLU halves the variance", **said}
    anchor = "claim-relu-halves-the-variance"
    assert output.metadata["claim"] == {**recorded, "anchor": anchor}
    line = output.data["text/markdown"]
    assert "\n" not in line and f'<span id="{anchor}"></span>' in line
    assert all(text in line for text in recorded.values())


def test_an_anchor_is_plain_letters_digits_and_hyphens(shell):
    code = 'check.claim("LN(αx) ≈ **it**, 2.0/n?", who="w", predicted="p", measured="m", '
    (output,) = run(shell, code + 'verdict="holds")')
    assert output.metadata["claim"]["anchor"] == "claim-ln-x-it-2-0-n"


def test_a_reproduction_shows_and_records_all_that_was_said(shell):
    said = {
        "figure": "Figure 6, activations",
        "paper": "Glorot and Bengio 2010",
        "here": "fig-glorot6",
        "theirs": "no number.",
        "ours": "0.63 to 0.32.",
    }
    arguments = ", ".join(f"{key}={value!r}" for key, value in said.items())
    (output,) = run(shell, f"check.reproduced({arguments})")
    assert output.metadata["reproduced"] == said
    line = output.data["text/markdown"]
    assert "\n" not in line
    assert all(text in line for key, text in said.items() if key != "here")


@pytest.mark.parametrize("verdict", ["holds", "holds in part", "fails"])
def test_a_claim_has_one_of_three_verdicts(shell, verdict):
    code = f'check.claim("s", who="w", predicted="p", measured="m", verdict={verdict!r})'
    (output,) = run(shell, code)
    assert output.metadata["claim"]["verdict"] == verdict

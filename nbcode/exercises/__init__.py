"""The judges of the exercises: CHECKS of a chapter's module has a row an exercise.

A number is judged by data, which stands in the row:

    "1.5": Number(target, praise, {wrong value: how one gets there, ...}, otherwise),

It is right within rtol of the target, 1 % unless the row says more; within rtol of a wrong
value it is told the sentence beside it; any other number is told ``otherwise``.

A function is judged by code, a function of the answer that stands above the rows:

    "1.4": Function("weight_gradient", _weight_gradient),

First comes the name that the exercise's cell passes. The judge returns the praise, or
raises NotYet with the sentence that the reader is told.
"""

from importlib import import_module

from nbcode.exercises._judge import Function, NotYet, Number

CHAPTERS = {str(k): f"nbcode.exercises.ch{k:02d}" for k in range(1, 12)}


def find(number: str) -> Number | Function | None:
    """The row of an exercise, if there is one; loads the chapter, which may need torch."""
    chapter = number.partition(".")[0]
    if chapter not in CHAPTERS:
        return None
    return import_module(CHAPTERS[chapter]).CHECKS.get(number)


def judge(number: str, row: Number | Function, answer: object) -> str:
    """The praise of a right answer; NotYet, with what is wrong, for another one."""
    if isinstance(row, Function) and not callable(answer):
        call = f'check.exercise("{number}", {row.name})'
        raise NotYet(f"pass the function itself, without brackets: {call}")
    return row.judge(answer)

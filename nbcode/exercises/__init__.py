"""The judges of the exercises: one function an exercise, found by its number.

A judge takes a reader's answer and returns (right, why). It compares with an obviously
right slow computation or a property, and recognizes the usual wrong turns by their value.
"""

from nbcode.exercises import (
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch08,
    ch09,
    ch10,
    ch11,
)

CHECKS = {}
for _chapter in (ch01, ch02, ch03, ch04, ch05, ch06, ch07, ch08, ch09, ch10, ch11):
    CHECKS |= _chapter.CHECKS

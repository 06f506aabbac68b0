"""Rows that print as a table."""


class Table(list):
    """Rows, each a named tuple, that print as a table, in a notebook as a formatted one."""

    def __str__(self) -> str:
        return aligned(self._cells()) if self else "(no parameters)"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        if not self:
            return str(self)
        head, *rows = ("| " + " | ".join(row) + " |" for row in self._cells())
        return "\n".join([head, "|" + ":--|" * len(self[0]), *rows])

    def _cells(self):
        head = [field.replace("_", " ") for field in self[0]._fields]
        return [head, *([cell(value) for value in row] for row in self)]


def aligned(rows) -> str:
    """Rows of strings as lines, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def cell(value, spec: str = ".4g") -> str:
    """Nothing for None, a float by its format, and all else as it is."""
    if value is None:
        return ""
    return format(value, spec) if isinstance(value, float) else str(value)

"""Rows that print as a table."""


class Table(list):
    """Rows, each a named tuple, that print as a table, in a notebook as a formatted one."""

    def __str__(self) -> str:
        if not self:
            return "(no parameters)"
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        if not self:
            return str(self)
        head, *rows = ("| " + " | ".join(row) + " |" for row in self._cells())
        return "\n".join([head, "|" + ":--|" * len(self[0]), *rows])

    def _cells(self):
        head = [field.replace("_", " ") for field in self[0]._fields]
        return [head, *([_cell(value) for value in row] for row in self)]


def _cell(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

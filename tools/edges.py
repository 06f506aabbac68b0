"""Refuses a number that another processor might print otherwise.

What is stored of a number is its rounded text, so the number itself is caught where it is
formatted: `make run` loads this module into a chapter's kernel as an extension of IPython,
which sends the numbers along with each cell's outputs. Two executions under different
arithmetic then tell how far a number moves, and whether it moves across a rounding edge.
"""

import ast
import builtins
import math
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder, SourceFileLoader

# Two threads, and code that a processor of 2005 could run: torch's own kernels, oneDNN,
# MKL and NumPy's OpenBLAS each have a switch. They round otherwise than this processor's.
PLAIN = {
    "OMP_NUM_THREADS": "2",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Prescott",
}
# Within a tenth of its last digit from an edge a number must not have moved by more than a
# thirtieth of its way there, and further off by no more than a tenth. A number that does
# not move, of exact arithmetic or in float64, lies safely however near.
MARGIN, NEAR, FAR = 0.1, 30, 10
KIND = "application/x-printed+json"
DIGITS = re.compile(r"\.(\d+)([efg%])$", re.IGNORECASE)

printed: list[tuple[float, str]] = []  # by the cell so far: the number and its format


def seen(value, spec):
    """Note a number on its way into its format, and hand it on."""
    number = value.item() if hasattr(value, "item") else value  # NumPy's and torch's
    if DIGITS.search(spec) and isinstance(number, float) and math.isfinite(number):
        printed.append((number, spec))
    return value


class Watched(ast.NodeTransformer):
    """Turns ``{x:.2f}`` of an f-string into ``{seen(x, ".2f"):.2f}``."""

    def visit_FormattedValue(self, node):
        self.generic_visit(node)
        if node.format_spec and node.conversion == -1:
            arguments = [node.value, node.format_spec]
            node.value = ast.Call(ast.Name("__seen__", ast.Load()), arguments, [])
        return ast.fix_missing_locations(node)


class Loader(SourceFileLoader):
    """Compiles a module as the cells are compiled, and leaves no file of it."""

    def get_code(self, fullname):
        tree = Watched().visit(ast.parse(self.get_data(self.path)))
        return compile(tree, self.path, "exec", dont_inherit=True)


class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        # figures formats the coordinates of pictures, which are not compared
        if name.startswith("nbcode.") and name != "nbcode.figures":
            spec = PathFinder.find_spec(name, path)
            if spec and spec.origin:
                spec.loader = Loader(name, spec.origin)
            return spec


def send(result):
    from IPython.display import publish_display_data

    publish_display_data({KIND: list(printed)})
    printed.clear()


def load_ipython_extension(shell):
    vars(builtins)["__seen__"] = seen
    sys.meta_path.insert(0, Finder)
    shell.ast_transformers.append(Watched())
    shell.events.register("post_run_cell", send)


def taken(cell) -> list[tuple[float, str]]:
    """The numbers that an executed cell formatted and shows, taken out of its outputs."""
    sent = [output for output in cell.outputs if KIND in output.get("data", {})]
    cell.outputs = [output for output in cell.outputs if output not in sent]
    text = str(compared(cell))
    numbers = [tuple(pair) for output in sent for pair in output.data[KIND]]
    return [pair for pair in numbers if format(*pair).split("e")[0].strip(" .") in text]


def compared(cell) -> list:
    """What a cell shows that is the same on every machine: all but its pictures."""
    shown = []
    for output in cell.outputs:
        data = output.get("data", {})
        written = {kind: data[kind] for kind in data if not kind.startswith("image/")}
        shown.append((output.get("text"), written))
    return shown


def unit(number: float, spec: str) -> float:
    """One of the last digit that is shown."""
    ((digits, kind),) = DIGITS.findall(spec.lower())
    if kind in "f%" or number == 0:
        return 10.0 ** -(int(digits) + 2 * (kind == "%"))
    return 10.0 ** (math.floor(math.log10(abs(number))) - int(digits) + (kind == "g"))


def problems(here: list, there: list) -> Iterator[str]:
    """What the numbers of a cell, formatted under two arithmetics, say of it."""
    if [spec for _, spec in here] != [spec for _, spec in there]:
        yield "shows other numbers under other arithmetic: print what is always there."
        return
    for (a, spec), (b, _) in zip(here, there, strict=True):
        last = unit(a, spec)
        edge, moved = abs(abs(a) / last % 1 - 0.5), abs(a - b) / last
        if edge < max(min(MARGIN, NEAR * moved), FAR * moved):
            yield (
                f"prints {format(a, spec)} for {a:.9g}, which is {b:.9g} under other "
                "arithmetic: print fewer digits or another quantity."
            )

"""Helpers of the book *How Signals Survive Depth*.

Each module is small enough to read at one sitting. What a chapter builds in its cells
stands here in its finished form, under the same name, for later chapters to import.
Importing the package loads NumPy and nothing heavier: torch, SciPy, scikit-learn and
matplotlib are loaded by the functions that need them.
"""

import os

# Two notebooks at once have more torch threads than cores, and GNU OpenMP's threads wait
# for each other in busy loops, so that half a minute becomes many. This ends a wait after
# a thousand turns. OpenMP reads it once, when torch loads it: import nbcode before torch.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.5.0"

"""Helpers of the book *How Signals Survive Depth*.

Each module is small enough to read at one sitting. What a chapter builds in its cells
stands here in its finished form, under the same name, for later chapters to import.
Importing the package loads NumPy and nothing heavier: torch, SciPy, scikit-learn and
matplotlib are loaded by the functions that need them.
"""

__version__ = "0.4.0"

"""Small data that comes with a package: nothing is downloaded."""

from typing import NamedTuple

import numpy as np

from nbcode import _validate


class Split(NamedTuple):
    """Inputs and labels for training and testing."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits(test_fraction: float = 0.2, *, rng: np.random.Generator) -> Split:
    """Scikit-learn's 1797 handwritten digits of 8×8 pixels, standardized as a whole.

    One mean and one standard deviation, those of the training pixels, are used for all
    pixels: E[x²] over the training set is 1, and no pixel is divided by its own spread,
    which is zero in the corners.

    Args:
        test_fraction: share of each class that is held out, between 0 and 1, so that both
            sets keep a sample of each.
        rng: NumPy random generator; draws the split.

    Returns:
        x of shape (samples, 64), float32, and y of shape (samples,), int64, classes 0–9.

    >>> data = digits(rng=np.random.default_rng(0))
    >>> data.x_train.shape, data.x_test.shape
    ((1437, 64), (360, 64))
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    remedy = "it is a share such as 0.2"
    _validate.number("test_fraction", test_fraction, remedy, above=0, below=1)
    _validate.generator("rng", rng)
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=test_fraction, stratify=y, random_state=int(rng.integers(2**31))
    )
    mean, std = x_train.mean(), x_train.std()
    x_train, x_test = (((x - mean) / std).astype(np.float32) for x in (x_train, x_test))
    return Split(x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64))

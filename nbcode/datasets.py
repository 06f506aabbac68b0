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
        test_fraction: share of each class that is held out; between 0 and 1.
        rng: NumPy random generator; draws the split.

    Returns:
        x of shape (samples, 64), float32, and y of shape (samples,), int64, classes 0–9.

    Raises:
        ValueError: for a fraction that leaves the training or the test set without a class.

    >>> data = digits(rng=np.random.default_rng(0))
    >>> data.x_train.shape, data.x_test.shape
    ((1437, 64), (360, 64))
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    test_fraction = _validate.number(
        "test_fraction", test_fraction, "it is a share such as 0.2", at_least=0.01
    )
    if test_fraction > 0.9:
        raise ValueError(
            f"test_fraction must be at most 0.9, got {test_fraction:g}: try 0.2"
        )
    _validate.generator("rng", rng)
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=test_fraction, stratify=y, random_state=int(rng.integers(2**31))
    )
    mean, std = x_train.mean(), x_train.std()
    x_train, x_test = (
        ((part - mean) / std).astype(np.float32) for part in (x_train, x_test)
    )
    return Split(x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64))

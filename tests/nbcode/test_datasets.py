"""The digits: standardized by the training set alone, split fairly, by the generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from nbcode import datasets


@pytest.fixture(scope="module")
def split():
    return datasets.digits(rng=np.random.default_rng(0))


def rows(x):
    return {row.tobytes() for row in np.round(x, 3)}


def test_shapes_types_and_names(split):
    x_train, y_train, x_test, y_test = split
    assert x_train is split.x_train and y_test is split.y_test
    assert x_train.shape == (len(y_train), 64) and x_test.shape == (len(y_test), 64)
    assert x_train.dtype == x_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert len(y_train) + len(y_test) == 1797


def test_the_training_set_has_mean_0_and_mean_square_1(split):
    x = split.x_train.astype(np.float64)
    assert np.mean(x) == pytest.approx(0, abs=1e-6)
    assert np.mean(x**2) == pytest.approx(1, abs=1e-6)


def test_the_test_set_is_standardized_by_the_training_sets_numbers(split):
    """One line, x = (pixel − m)/s, maps all pixels of both sets; m and s are training's."""
    pixels = load_digits().data
    for part in (split.x_train, split.x_test):
        assert part.min() == split.x_train.min()  # pixel 0
        assert part.max() == split.x_train.max()  # pixel 16
    low, high = float(split.x_train.min()), float(split.x_train.max())
    scale = (high - low) / 16
    back = np.round((np.concatenate([split.x_train, split.x_test]) - low) / scale)
    assert rows(back.astype(np.float64)) == rows(pixels)
    mean, std = -low / scale, 1 / scale
    trained = np.round((split.x_train - low) / scale)
    assert mean == pytest.approx(trained.mean(), rel=1e-5)
    assert std == pytest.approx(trained.std(), rel=1e-5)
    assert mean != pytest.approx(pixels.mean(), rel=1e-5)  # else the above shows nothing


def test_pixels_keep_their_own_spread(split):
    """Corners stay constant: nothing was divided by a pixel's own standard deviation."""
    spread, raw = split.x_train.std(axis=0), load_digits().data.std(axis=0)
    np.testing.assert_allclose(spread / spread.max(), raw / raw.max(), atol=0.05)


def test_labels_go_with_their_pictures(split):
    """The nearest training picture has the same label for nearly every test picture."""
    distance = (
        (split.x_test**2).sum(1)[:, None]
        - 2 * split.x_test @ split.x_train.T
        + (split.x_train**2).sum(1)
    )
    nearest = split.y_train[distance.argmin(1)]
    assert np.mean(nearest == split.y_test) > 0.95


@given(fraction=st.floats(0.006, 0.99), seed=st.integers(0, 2**32))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_every_class_is_split_in_the_same_proportion(fraction, seed):
    split = datasets.digits(fraction, rng=np.random.default_rng(seed))
    train, test = (
        np.bincount(split.y_train, minlength=10),
        np.bincount(split.y_test, minlength=10),
    )
    assert np.array_equal(train + test, np.bincount(load_digits().target))
    assert train.min() > 0 and test.min() > 0
    # no class is off by more than rounding: a picture for it, and one for the whole
    assert np.max(np.abs(test - fraction * (train + test))) <= 2
    assert len(split.y_test) == pytest.approx(fraction * 1797, abs=1)


def test_a_fifth_is_held_out_by_default(split):
    assert np.array_equal(split.y_test, digits(0.2).y_test)


def digits(fraction):
    return datasets.digits(fraction, rng=np.random.default_rng(0))


@pytest.mark.parametrize("fraction", [0.001, 0.005, 0.995, 0.999])
def test_a_set_too_small_for_ten_classes_is_refused(fraction):
    with pytest.raises(ValueError, match="number of classes = 10"):
        digits(fraction)


def test_no_picture_is_in_both_sets(split):
    """All 1797 pictures differ, so each of them can be told."""
    assert len(rows(load_digits().data)) == 1797
    assert len(rows(split.x_train)) == len(split.x_train)
    assert not rows(split.x_train) & rows(split.x_test)


def test_the_generator_alone_decides(split):
    def digits(rng):
        return datasets.digits(rng=rng)

    again, other = digits(np.random.default_rng(0)), digits(np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(split, again, strict=True))
    assert not np.array_equal(split.y_train, other.y_train)
    rng = np.random.default_rng(0)
    assert np.array_equal(digits(rng).y_train, split.y_train)
    assert not np.array_equal(digits(rng).y_train, split.y_train)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    digits(np.random.default_rng(0))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_split_can_be_changed_without_changing_the_next(split):
    again = datasets.digits(rng=np.random.default_rng(0))
    again.x_train[:] = 0
    assert np.array_equal(
        datasets.digits(rng=np.random.default_rng(0)).x_train, split.x_train
    )

"""Handwritten digits: 1,797 pictures of 8x8 pixels, installed with scikit-learn and so always at hand."""

from __future__ import annotations

import numpy as np

from hybrid_model.data.dataset import DataMissingError, Dataset, Split
from hybrid_model.data.splits import stratified, three_ways

CLASSES = tuple("0123456789")
_TEST_SHARE = 0.2
_HELD_OUT_SHARE = 0.1


def load(*, progress: bool = True) -> Dataset:
    """The digits, x (N, 8, 8, 1) uint8 in 0..255 (the original sixteen grey levels, stretched).

    A fifth of the samples is the test split; a tenth of the rest each is for tuning and for calibration.
    Raises DataMissingError if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataMissingError(
            "digits: they come with scikit-learn; install it: pip install 'dewpoint[demo]'"
        ) from error
    values, labels = load_digits(return_X_y=True)
    x = np.rint(values.reshape(-1, 8, 8, 1) * (255.0 / 16.0)).astype(np.uint8)
    everything = Split(x=x, y=labels.astype(np.int64))
    tested = stratified(everything.y, count=round(_TEST_SHARE * len(x)))
    rest = everything.take(~tested)
    held_out = round(_HELD_OUT_SHARE * len(rest))
    train, tuning, calibration = three_ways(rest.y, tuning=held_out, calibration=held_out)
    return Dataset(
        name="digits",
        classes=CLASSES,
        kind="image",
        train=rest.take(train),
        tuning=rest.take(tuning),
        calibration=rest.take(calibration),
        test=everything.take(tested),
    )

"""The mean over frames, which GOT-10k's metrics are: from the per-item table, and without some of its rows."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.errors import RecordError
from results.statistics.statistic_functions import STATISTIC_FUNCTIONS, evaluate_statistic


def test_each_frame_counts_the_same() -> None:
    """4 frames at .512 and 9 at .294 give .3611, and not the mean of the two."""
    columns = {"AO": np.array([51.2, 29.4]), "counted": np.array([4.0, 9.0])}
    assert evaluate_statistic("frame_mean", columns) == pytest.approx((4 * 51.2 + 9 * 29.4) / 13)
    assert STATISTIC_FUNCTIONS.get_origin("frame_mean") == "bench"


def test_no_frame_that_counts_is_no_number() -> None:
    with pytest.raises(RecordError, match="no frame counts"):
        evaluate_statistic("frame_mean", {"AO": np.zeros(2), "counted": np.zeros(2)})

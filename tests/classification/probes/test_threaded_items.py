"""Items that several threads read."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from classification.probes.threaded_items import ThreadedItems
from foundation.errors import DataError
from tests.limits import HANG_SECONDS


class SlowFirst:
    """Item 0 is ready only once item 1 was read; the items from 2 on are damaged."""

    labels = (0,) * 4

    def __init__(self) -> None:
        self.is_second_read = threading.Event()

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index > 1:
            raise DataError(f"image {index} is damaged")
        if index == 0:
            assert self.is_second_read.wait(HANG_SECONDS), "another thread reads item 1 meanwhile"
        self.is_second_read.set()
        return {"item": index}

    def get_preprocessing(self) -> dict[str, Any]:
        return {}


def test_items_come_in_order_though_a_later_one_is_ready_first() -> None:
    assert [row["item"] for row in ThreadedItems(SlowFirst(), 2).__getitems__([0, 1])] == [0, 1]


@pytest.mark.parametrize("num_threads", [1, 2])
def test_of_several_damaged_images_the_first_is_named(num_threads: int) -> None:
    with pytest.raises(DataError, match="image 2"):
        ThreadedItems(SlowFirst(), num_threads).__getitems__([1, 2, 3])

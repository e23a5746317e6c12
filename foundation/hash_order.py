"""An order of items that looks random and is the same everywhere: by the SHA-256 of each item's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

ItemT = TypeVar("ItemT")


def order_by_hash(items: Iterable[ItemT], salt: str, to_text: Callable[[ItemT], str] = str) -> list[ItemT]:
    """Order items by the SHA-256 of ``salt:item``.

    Splits and draws are cut from such an order. It depends on no library's random numbers, so it is the same under
    every version and on every machine, and the place of an item does not depend on which other items there are: of
    two draws from one order the smaller is a part of the larger.

    Args:
        items: what is ordered, each once.
        salt: another one gives another order. It stands in published splits: never change one that is in use.
        to_text: an item as the text that is hashed.

    >>> order_by_hash(range(5), "digits-split-1")
    [1, 4, 2, 3, 0]
    """

    def hash_text(item: ItemT) -> bytes:
        # surrogateescape: an item may be a file, whose name need not be UTF-8
        return hashlib.sha256(f"{salt}:{to_text(item)}".encode("utf-8", "surrogateescape")).digest()

    return sorted(items, key=hash_text)

"""How numbers in label files become class numbers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IGNORED = 255
"""The class number of pixels that are neither trained on nor scored (mmseg's ``ignore_index``)."""

MOST_CLASSES = 255
"""Class numbers 0 to 254 fit beside ``IGNORED`` into one byte."""


@dataclass(frozen=True)
class LabelSpace:
    """The numbers that may stand in a label file.

    Attributes:
        classes: how many there are.
        first: the number that class 0 has in files; class k has ``first + k``.
        ignored: numbers of pixels that are neither trained on nor scored.
        names: class names, in order; empty where they are only known with mmseg at hand.
    """

    classes: int
    first: int
    ignored: tuple[int, ...]
    names: Sequence[str] = ()

    def table(self) -> list[int]:
        """The class number of each number 0..255 in a file; -1 where a file may not have it.

        >>> LabelSpace(classes=2, first=1, ignored=(0,)).table()[:4]
        [255, 0, 1, -1]
        """
        allowed: Mapping[int, int] = {
            **{self.first + number: number for number in range(self.classes)},
            **dict.fromkeys(self.ignored, IGNORED),
        }
        return [allowed.get(value, -1) for value in range(256)]

    def meaning(self) -> str:
        """The space in words, for messages."""
        last = self.first + self.classes - 1
        ignored = " or ".join(map(str, self.ignored))
        return f"labels are {self.first} to {last}, and {ignored} for pixels that do not count"

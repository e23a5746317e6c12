"""How numbers in label files become class numbers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IGNORE_INDEX = 255
"""The class number of pixels that are neither trained on nor scored (mmseg's ``ignore_index``)."""

MAX_CLASSES = 255
"""Class numbers 0 to 254 fit beside ``IGNORE_INDEX`` into one byte."""


@dataclass(frozen=True)
class LabelSpace:
    """The numbers that may stand in a label file.

    Attributes:
        num_classes: how many there are.
        first_label: the number that class 0 has in files; class k has ``first_label + k``.
        ignored_labels: numbers of pixels that are neither trained on nor scored.
        class_names: class names, in order; empty where they are only known with mmseg at hand.
    """

    num_classes: int
    first_label: int
    ignored_labels: tuple[int, ...]
    class_names: Sequence[str] = ()

    def make_lookup_table(self) -> list[int]:
        """The class number of each number 0..255 in a file; -1 where a file may not have it.

        >>> LabelSpace(num_classes=2, first_label=1, ignored_labels=(0,)).make_lookup_table()[:4]
        [255, 0, 1, -1]
        """
        allowed: Mapping[int, int] = {
            **{self.first_label + number: number for number in range(self.num_classes)},
            **dict.fromkeys(self.ignored_labels, IGNORE_INDEX),
        }
        return [allowed.get(value, -1) for value in range(256)]

    def describe_labels(self) -> str:
        """The space in words, for messages."""
        last = self.first_label + self.num_classes - 1
        ignored = " or ".join(map(str, self.ignored_labels))
        return f"labels are {self.first_label} to {last}, and {ignored} for pixels that do not count"

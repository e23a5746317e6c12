"""Map the label values in files to class indices. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IGNORE_INDEX = 255
"""The class index of pixels that are neither trained on nor scored (mmseg's ``ignore_index``)."""

MAX_CLASSES = 255
"""Class indices 0 to 254 and ``IGNORE_INDEX`` fit into one byte."""


@dataclass(frozen=True)
class LabelSpace:
    """The label values that may occur in the label files of a data set.

    Attributes:
        num_classes: number of classes.
        first_label: label value of class 0; class k has the value ``first_label + k``.
        ignored_labels: label values of pixels that are neither trained on nor scored.
        class_names: name of each class, by class index; empty if only mmseg has the list (ADE20K).
    """

    num_classes: int
    first_label: int
    ignored_labels: tuple[int, ...]
    class_names: Sequence[str] = ()

    def make_lookup_table(self) -> list[int]:
        """Return the class index of each label value 0..255; -1 for a value that is not allowed in a file.

        >>> LabelSpace(num_classes=2, first_label=1, ignored_labels=(0,)).make_lookup_table()[:4]
        [255, 0, 1, -1]
        """
        # ignored values come last, so that they win should one of them lie within the range of the classes
        allowed: Mapping[int, int] = {
            **{self.first_label + index: index for index in range(self.num_classes)},
            **dict.fromkeys(self.ignored_labels, IGNORE_INDEX),
        }
        return [allowed.get(value, -1) for value in range(256)]

    def describe_labels(self) -> str:
        """Describe the allowed label values, for messages."""
        last = self.first_label + self.num_classes - 1
        ignored = " or ".join(map(str, self.ignored_labels))
        return f"labels are {self.first_label} to {last}, and {ignored} for ignored pixels"

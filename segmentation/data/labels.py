"""Map the label values in files to class indices. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORE_INDEX = 255
"""The class index of pixels that are neither trained on nor scored (mmseg's ``ignore_index``)."""

MAX_CLASSES = 255
"""Class indices 0 to 254 and ``IGNORE_INDEX`` fit into one byte."""

RgbTriple = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class LabelSpace:
    """The label values that may occur in the label files of a data set.

    Attributes:
        num_classes: number of classes.
        first_label: label value of class 0; class k has the value ``first_label + k``.
        ignored_labels: label values of pixels that are neither trained on nor scored.
        class_names: name of each class, by class index; empty if only mmseg has the list (ADE20K).
        label_map: label value and class index of every label that means a class, where these are not the consecutive
            values from ``first_label`` on.
        colors: color that stands for label value k in the label files; empty if they hold the values themselves.
        color_table: name of the file that lists the colors, for messages.
        takes_options: whether ``--ignore`` and ``--map`` can say what a label value means.
    """

    num_classes: int
    first_label: int
    ignored_labels: tuple[int, ...]
    class_names: Sequence[str] = ()
    label_map: tuple[tuple[int, int], ...] = ()
    colors: tuple[RgbTriple, ...] = ()
    color_table: str = ""
    takes_options: bool = False

    def list_class_labels(self) -> list[tuple[int, int]]:
        """Return label value and class index of every label that means a class."""
        if self.label_map:
            return list(self.label_map)
        return [(self.first_label + index, index) for index in range(self.num_classes)]

    def make_prediction_space(self) -> LabelSpace:
        """Return the label space of predictions: class k has the value ``first_label + k``, whatever the files hold."""
        return LabelSpace(self.num_classes, self.first_label, (), self.class_names)

    def count_class_pixels(self, histogram: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels of each class, (classes,).

        Args:
            histogram: pixels of each label value 0..255, (256,).
        """
        counts = np.zeros(self.num_classes, np.int64)
        for value, index in self.list_class_labels():
            # as in the lookup table, where ignored values win
            if value not in self.ignored_labels:
                counts[index] += histogram[value]
        return counts

    def make_lookup_table(self) -> list[int]:
        """Return the class index of each label value 0..255; -1 for a value that is not allowed in a file.

        >>> LabelSpace(num_classes=2, first_label=1, ignored_labels=(0,)).make_lookup_table()[:4]
        [255, 0, 1, -1]
        """
        # ignored values come last, so that they win should one of them lie within the range of the classes
        allowed: Mapping[int, int] = {
            **dict(self.list_class_labels()),
            **dict.fromkeys(self.ignored_labels, IGNORE_INDEX),
        }
        return [allowed.get(value, -1) for value in range(256)]

    def describe_labels(self) -> str:
        """Describe the allowed label values, for messages."""
        last = self.first_label + self.num_classes - 1
        ignored = " or ".join(map(str, self.ignored_labels))
        allowed = f"{self.first_label} to {last}"
        if self.label_map:
            values = sorted(value for value, _ in self.label_map)
            allowed = ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
        return f"labels are {allowed}, and {ignored} for ignored pixels" if ignored else f"labels are {allowed}"

"""Say what probably went wrong with labels, and which option or file says what they mean.

The values that occur choose the words only. What a label means is never guessed from them: masks of 0 to N may have a
background that the list lacks, or pixels that do not count, and both look the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.data.decode import open_image, read_image_file
from foundation.errors import DataError
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.labels import IGNORE_INDEX, LabelSpace

_SAMPLED_FILES = 20
_MAX_NAMED = 8


def explain_wrong_labels(wrong: Sequence[int], label_space: LabelSpace, total: NDArray[np.int64] | None) -> str:
    """Return the end of a sentence on label values that are not allowed; "" if nothing is known.

    Args:
        wrong: these values.
        label_space: the allowed ones.
        total: pixels of each label value in all label files, (256,); ``None`` if only one file was read.
    """
    if not label_space.takes_options:
        if label_space.first_label == 1 and IGNORE_INDEX in wrong:
            return " (255 looks like labels that were already shifted by one: use the data set's original files)"
        return ""
    first, count = wrong[0], label_space.num_classes
    # no option can name them, as class indices and what is not scored have to fit into 8 bits
    if not 0 <= first <= IGNORE_INDEX:
        return " (values outside of 0 to 255 are not read: number the labels within that, and save 8-bit files)"
    if list(wrong) == [count] and not label_space.label_map:
        # one file without a 0 proves nothing, all of them do
        if total is not None and not total[0]:
            return (
                " (no pixel has label 0: if your labels begin with 1, put a line for label 0 before the others in "
                "classes.txt and add --ignore 0)"
            )
        return (
            f" (if label {count} marks pixels that do not count, add --ignore {count}; if 0 is a background that the "
            "list lacks, put its line before the others)"
        )
    # a few values too many are classes or void; many are no labels at all
    if len(wrong) > max(count, 8):
        return (
            f" ({len(wrong)} values are not allowed: masks that were scaled, smoothed or turned from colour into gray "
            "have such values, so export them again)"
        )
    names = label_space.class_names
    return (
        f" (if it marks pixels that do not count, add --ignore {first}; if it is one of the classes, add --map "
        f"{first}={names[-1] if names else count - 1})"
    )


def explain_unseen_class(index: int, total: NDArray[np.int64], label_space: LabelSpace) -> str:
    """Return the end of a sentence on a class that no pixel has; "" if it has pixels in another split.

    Args:
        index: the class.
        total: pixels of each label value in all label files, (256,).
        label_space: the classes.
    """
    pixels = label_space.count_class_pixels(total)
    never = [each for each in range(label_space.num_classes) if not pixels[each]]
    if never and total[IGNORE_INDEX] and IGNORE_INDEX in label_space.ignored_labels:
        # masks of 0 and 255 are what most tools write for two classes
        shown = label_space.class_names[never[0]] if label_space.class_names else never[0]
        return f"255 is ignored: if it marks {shown!r}, add --map 255={never[0]}"
    # with two classes one label alone may also be a mask without its object
    if never == [0] and label_space.num_classes > 2 and not label_space.colors:
        return (
            f"if {label_space.class_names[0]!r} is a background that no pixel has, add --ignore 0; if your labels "
            "begin with 1, put a line for label 0 before it and add --ignore 0"
        )
    if index in never:
        if label_space.colors:
            return "label some pixels with it in train and in test, or take its line out of the table"
        return (
            "label some pixels with it in train and in test, or leave it out with --ignore "
            f"{find_class_value(index, label_space)}"
        )
    return ""


def describe_class_labels(index: int, label_space: LabelSpace) -> str:
    """Return the label values or the color of a class, in words."""
    values = [value for value, each in label_space.list_class_labels() if each == index]
    if label_space.colors:
        return "colour " + " or ".join(str(label_space.colors[value]) for value in values)
    return "label " + " or ".join(map(str, values))


def find_class_value(index: int, label_space: LabelSpace) -> int:
    """Return the first label value of a class."""
    return next(value for value, each in label_space.list_class_labels() if each == index)


def describe_found_labels(pairs: Sequence[ImageLabelPair]) -> str:
    """Say what label files without a list of classes hold, and which list to write.

    Args:
        pairs: images and label files, of which some are opened.
    """
    values: set[int] = set()
    chosen = [pairs[place] for place in np.linspace(0, len(pairs) - 1, min(len(pairs), _SAMPLED_FILES)).astype(int)]
    for pair in chosen:
        try:
            with open_image(read_image_file(pair.label_path), pair.label_path) as picture:
                mode, pixels = picture.mode, np.asarray(picture)
                colors = picture.getcolors(256)
        except DataError:
            continue  # a file that cannot be decoded has its own sentence, once there is a list
        if pixels.ndim != 2:
            shown = f" with {len(colors)} colours in {pair.label_path.name}" if colors else ""
            return (
                f"the label files are colour images ({mode}){shown}, so put a class_dict.csv with name,r,g,b in each "
                "line there, or name such a table with --colours FILE"
            )
        values.update(np.unique(pixels).tolist())
    found = sorted(values)
    shown = ", ".join(map(str, found[:_MAX_NAMED])) + (", ..." if len(found) > _MAX_NAMED else "")
    advice = "write classes.txt with one class name per line (line k, counted from 0, is label k)"
    if found == [0, IGNORE_INDEX]:
        advice += " and add --map 255=1 if 255 is the second class"
    return f"label files of the values {shown or '(none could be read)'} need one, so {advice}"

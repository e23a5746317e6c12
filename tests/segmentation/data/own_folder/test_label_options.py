"""What ``--ignore`` and ``--map`` make of a list of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.data_options import make_data_options
from foundation.errors import UserError
from segmentation.data.labels import LabelSpace
from segmentation.data.own_folder.class_lists import ClassList
from segmentation.data.own_folder.label_options import make_own_label_space

CLASSES = ClassList(Path("classes.txt"), ("sky", "road", "void"), (0, 1, 2))
COLORS = CLASSES._replace(file=Path("t.csv"), colors=((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def map_values(space: LabelSpace, *values: int) -> list[int]:
    table = space.make_lookup_table()
    return [table[value] for value in values]


@pytest.mark.parametrize(
    ("options", "names", "expected"),
    [
        ({}, ["sky", "road", "void"], [0, 1, 2, -1, 255]),
        ({"ignore": [2]}, ["sky", "road"], [0, 1, 255, -1, 255]),
        ({"ignore": [0]}, ["road", "void"], [255, 0, 1, -1, 255]),
        ({"ignore": [7]}, ["sky", "road", "void"], [0, 1, 2, 255, 255]),
        ({"map": ["255=road"]}, ["sky", "road", "void"], [0, 1, 2, -1, 1]),
        ({"map": ["255=1", "7=0"]}, ["sky", "road", "void"], [0, 1, 2, 0, 1]),
        ({"map": ["2=road"]}, ["sky", "road"], [0, 1, 1, -1, 255]),
        ({"map": ["1=0", "2=1", "7=2"]}, ["sky", "road", "void"], [0, 0, 1, 2, 255]),
        ({"ignore": [0], "map": ["7=sky"]}, ["sky", "road", "void"], [255, 1, 2, 0, 255]),
    ],
)
def test_every_label_value_has_one_meaning(options: dict[str, Any], names: list[str], expected: list[int]) -> None:
    space, notes = make_own_label_space(CLASSES, make_data_options(options))
    assert list(space.class_names) == names
    assert map_values(space, 0, 1, 2, 7, 255) == expected
    assert sum(len(values) for values in options.values()) == sum(note.startswith("--") for note in notes)
    histogram = np.zeros(256, np.int64)
    histogram[[0, 1, 2, 7, 255]] = 1, 10, 100, 1000, 10000
    by_hand = [sum(10**k for k, index in enumerate(expected) if index == each) for each in range(len(names))]
    assert space.count_class_pixels(histogram).tolist() == by_hand


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map": ["road"]}, r"--map road is not VALUE=CLASS; write for example --map 255=1"),
        ({"map": ["7=tree"]}, r"--map 7=tree: classes.txt has no class tree; it has sky, road, void \(0 to 2\)"),
        ({"map": ["7=3"]}, "has no class 3"),
        ({"map": ["256=1"]}, "label values are 0 to 255"),
        ({"ignore": [-1]}, "label values are 0 to 255"),
        ({"ignore": [7], "map": ["7=1"]}, "--ignore 7 and --map 7=1 contradict each other"),
        ({"ignore": [1, 2]}, "leave 1 of the 3 classes"),
    ],
)
def test_an_option_without_a_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_own_label_space(CLASSES, make_data_options(options))


def test_of_colors_the_line_is_the_value() -> None:
    space, _ = make_own_label_space(COLORS, make_data_options({"ignore": [2]}))
    assert (space.colors, map_values(space, 0, 1, 2, 255)) == (COLORS.colors, [0, 1, 255, -1])
    with pytest.raises(UserError, match=r"--ignore 255: t.csv numbers its colours 0 to 2"):
        make_own_label_space(COLORS, make_data_options({"ignore": [255]}))


def test_a_class_that_is_called_void_is_pointed_at() -> None:
    _, notes = make_own_label_space(CLASSES, make_data_options({}))
    assert notes == ["class 'void' is learned and scored like any other; --ignore 2 leaves it out"]


def test_two_classes_named_by_numbers_are_not_mixed_up() -> None:
    classes = CLASSES._replace(names=("1", "0", "2"))
    with pytest.raises(UserError, match="has a class named 0 at number 1"):
        make_own_label_space(classes, make_data_options({"map": ["255=0"]}))

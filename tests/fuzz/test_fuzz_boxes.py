"""Readers of boxes, labels and annotations meet files that are changed at random."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.random_files import FUZZ_SECONDS_VAR, fuzz_reader, mutate_bytes
from tracking.data.box_files import read_box_file, read_flag_file, read_label_file, read_predicted_boxes
from tracking.data.sequence_folders.annotations import read_annotation
from tracking.data.sequence_folders.mot_rows import read_mot_tracks

_BOXES = b"4,5,10,8\n5.5,5,10,8\n6,5,1e1,8\nNaN,NaN,NaN,NaN\n"
_TABS = b"4\t5\t10\t8\r\n5\t5\t10\t8\r\n"
_POLYGONS = b"9,5,14,9,9,13,4,9\n" * 4
_MASKS = b"m4,5,3,2,1,2,3\nm0,0,2,2,0,4\n"
_ROWS = b"1,1,5,5,10,8,1,1,1\n2,1,6,5,10,8,1,1,1\n2,2,20,5,9,9,1,1,0.5\n"

READERS: dict[str, tuple[Callable[[Path], object], tuple[bytes, ...]]] = {
    "boxes": (lambda path: read_box_file(path, allow_nan=True), (_BOXES, _TABS, _POLYGONS)),
    "fields": (lambda path: read_box_file(path, first_field=1), (_ROWS, _BOXES)),
    "predicted boxes": (read_predicted_boxes, (_BOXES, _TABS)),
    "labels": (lambda path: read_label_file(path, 4), (b"0,0,1,0", b"0\n1\n8\n0\n")),
    "flags": (lambda path: read_flag_file(path, 4), (b"0,0,1,0", b"0\n1\n1\n0\n")),
    "annotations": (lambda path: read_annotation(path, (64, 48)), (_BOXES, _POLYGONS, _MASKS)),
    "rows of MOT": (lambda path: read_mot_tracks(path, (64, 48)), (_ROWS,)),
}


def fuzz(name: str, folder: Path, **limits: float | int | None) -> int:
    read, samples = READERS[name]

    def make_next(generator: random.Random) -> bytes:
        return mutate_bytes(generator.choice(samples), generator)

    return fuzz_reader(read, make_next, folder / "boxes.txt", **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", READERS)
def test_a_few_changed_files(name: str, tmp_path: Path) -> None:
    assert fuzz(name, tmp_path, max_files=150) == 150


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_many_changed_files(name: str, tmp_path: Path) -> None:
    seconds = float(os.environ.get(FUZZ_SECONDS_VAR, "60"))
    assert fuzz(name, tmp_path, seconds=seconds, seed=1) > 0

"""Sheets of test images: of a large set the most confident answers, within the size that readers accept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from classification.visualize import IMAGE_SIDE, NUM_RIGHT, NUM_WRONG, draw_test_items
from engine.task import Task
from results.records.picture_manifest import MAX_PICTURE_BYTES
from results.records.record import Record

NUM_ITEMS = 900


class NoiseImages:
    """Images that JPEG cannot make small."""

    labels = [0] * NUM_ITEMS

    def __len__(self) -> int:
        return NUM_ITEMS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"images": np.random.default_rng(index).random((3, IMAGE_SIDE, IMAGE_SIDE))}


def draw_items(folder: Path, text: str) -> list[Any]:
    (folder / "items.csv").write_text(text)
    items = SimpleNamespace(file="items.csv", sha256=hashlib.sha256(text.encode()).hexdigest())
    record = SimpleNamespace(result=SimpleNamespace(items=items, metrics={}, details={}), status="complete", config={})
    task = SimpleNamespace(load_images=lambda *_: NoiseImages())
    return draw_test_items(cast(Task, task), folder, cast(Record, record), folder, IMAGE_SIDE)


def test_of_a_large_set_the_most_confident_answers_are_drawn(tmp_path: Path) -> None:
    rows = [f"{item},0,{int(item < 300)},{item / 1000 + 0.001:.3f},0" for item in range(NUM_ITEMS)]
    pictures = draw_items(tmp_path, "item,label,prediction,confidence,place\n" + "\n".join(rows) + "\n")
    wrong, right = (picture.entry for picture in pictures)
    assert wrong.items == tuple(str(item) for item in range(299, 299 - NUM_WRONG, -1))
    assert right.items == tuple(str(item) for item in range(899, 899 - NUM_RIGHT, -1))
    assert wrong.title == "the 100 most confident of 300 wrong answers"
    assert all(len(picture.content) <= MAX_PICTURE_BYTES for picture in pictures)


def test_a_small_set_is_drawn_whole_in_sheets(tmp_path: Path) -> None:
    rows = [f"{item},0,{int(item < 3)},0.5,0" for item in range(203)]
    pictures = draw_items(tmp_path, "item,label,prediction,confidence,place\n" + "\n".join(rows) + "\n")
    assert [picture.entry.title for picture in pictures] == [
        "3 wrong answers",
        "200 right answers, sheet 1 of 2",
        "200 right answers, sheet 2 of 2",
    ]
    assert sorted(int(item) for picture in pictures for item in picture.entry.items) == list(range(203))
    assert sum(len(picture.content) for picture in pictures) < 1_000_000


def test_an_item_of_several_draws_has_one_tile(tmp_path: Path) -> None:
    rows = ["0,0,0,0,0.9,0", "0,1,0,0,0.9,0", "1,0,0,1,0.8,1", "1,1,0,0,0.7,0"]
    pictures = draw_items(tmp_path, "draw,item,label,prediction,confidence,place\n" + "\n".join(rows) + "\n")
    assert [picture.entry.items for picture in pictures] == [("0",), ("1",)], "wrong in one of its draws"

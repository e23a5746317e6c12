"""Point 16 for trackers and segmentation: a table that was improved does not follow from the stored predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.task_registry import TASKS
from benchmarks.verify.stored_predictions import check_stored_predictions
from results.records.record import Record
from segmentation.data.files import read_raw_labels
from segmentation.metrics import ImageScores
from segmentation.scoring import rescore_predictions
from segmentation.tasks import SegmentationTask
from tests.results.make import make_record
from tracking.inference.result_files import TrackedSequence, write_tracked_sequence
from tracking.inference.sequential import SequenceMetrics, score_result_files
from tracking.tasks import TrackingTask

Rows = list[dict[str, Any]]
Forge = Callable[[Rows], Rows]


def write_table(folder: Path, rows: Rows, details: dict[str, Any] | None = None) -> Record:
    """A complete record with this table."""
    lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
    text = "\n".join([",".join(rows[0]), *lines, ""])
    (folder / "items.csv").write_text(text)
    content = make_record().model_dump() | {"done": len(rows), "expected": len(rows)}
    items = {"file": "items.csv", "sha256": hashlib.sha256(text.encode()).hexdigest(), "rows": len(rows)}
    content["result"] |= {"items": items, "details": details or {}}
    return Record.model_validate(content)


def judge_predictions(folder: Path, record: Record, task: str) -> str:
    (check,) = check_stored_predictions(folder, record, TASKS.get(task), folder)
    return check.state


def keep_rows(rows: Rows) -> Rows:
    return rows


def track_sequences(folder: Path, forge: Forge = keep_rows) -> Record:
    """Result files of a tracker that stands still, and the table that follows from them."""
    task = TASKS.get("mini_lasot")
    assert isinstance(task, TrackingTask)
    videos = task.read_test_videos(folder)
    (folder / "tracked").mkdir()
    for video in videos:
        count = len(video.frames)
        still = TrackedSequence(np.tile(video.boxes[0], (count, 1)), np.ones(count), np.ones((count, 2)))
        write_tracked_sequence(folder / "tracked", video, still)
    rows = [
        dict(zip(SequenceMetrics._fields, row, strict=True)) for row in score_result_files(videos, folder / "tracked")
    ]
    return write_table(folder, forge(rows))


def test_a_table_that_follows_from_its_boxes_holds(tmp_path: Path) -> None:
    assert judge_predictions(tmp_path, track_sequences(tmp_path), "mini_lasot") == "holds"


@pytest.mark.parametrize(
    "forge",
    [
        lambda rows: [rows[0] | {"AUC": 100.0}, *rows[1:]],
        lambda rows: rows[1:],
        lambda rows: [
            rows[0] | {"sequence": rows[1]["sequence"]},
            rows[1] | {"sequence": rows[0]["sequence"]},
            *rows[2:],
        ],
    ],
    ids=["better", "fewer", "swapped"],
)
def test_a_better_table_than_its_boxes_fails(forge: Forge, tmp_path: Path) -> None:
    assert judge_predictions(tmp_path, track_sequences(tmp_path, forge), "mini_lasot") == "fails"


def test_boxes_that_were_removed_are_unchecked(tmp_path: Path) -> None:
    record = track_sequences(tmp_path, lambda rows: rows[::-1])
    assert judge_predictions(tmp_path, record, "mini_lasot") == "holds", "the order of rows is free"
    next((tmp_path / "tracked").glob("*_confidence.txt")).unlink()
    assert judge_predictions(tmp_path, record, "mini_lasot") == "unchecked"


def segment_images(folder: Path, forge: Forge = keep_rows, areas: Callable[[Any], Any] = lambda areas: areas) -> Record:
    """Predictions that call every pixel the first class, and the table and areas that follow from them."""
    task = TASKS.get("mini_ade")
    assert isinstance(task, SegmentationTask)
    dataset = task.find_dataset(folder)
    (folder / "predictions").mkdir()
    for pair in dataset.splits["test"]:
        first = np.full_like(read_raw_labels(pair.label_path), dataset.label_space.first_label)
        Image.fromarray(first.astype(np.uint8)).save(folder / "predictions" / f"{pair.name}.png")
    scored = list(rescore_predictions(dataset, folder / "predictions"))
    np.save(folder / "areas.npy", areas(np.stack([counts for _, counts in scored])))
    digest = hashlib.sha256((folder / "areas.npy").read_bytes()).hexdigest()
    rows = [dict(zip(ImageScores._fields, row, strict=True)) for row, _ in scored]
    return write_table(folder, forge(rows), {"areas": {"file": "areas.npy", "sha256": digest}})


def test_a_table_that_follows_from_its_label_images_holds(tmp_path: Path) -> None:
    assert judge_predictions(tmp_path, segment_images(tmp_path), "mini_ade") == "holds"


def test_a_better_row_than_its_label_image_fails(tmp_path: Path) -> None:
    record = segment_images(tmp_path, lambda rows: [rows[0] | {"mIoU": 100.0}, *rows[1:]])
    assert judge_predictions(tmp_path, record, "mini_ade") == "fails"


def test_better_areas_than_the_label_images_fail(tmp_path: Path) -> None:
    def make_right(areas: Any) -> Any:
        return np.repeat(areas[:, 2:], 3, axis=1)  # intersection and prediction as the truth

    assert judge_predictions(tmp_path, segment_images(tmp_path, areas=make_right), "mini_ade") == "fails"

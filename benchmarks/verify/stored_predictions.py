"""Score the predictions that a run has stored again: boxes of a tracker, label images, detections.

They are what the network said; the per-item table holds what followed from it. Somebody who improves the table has to
forge them, too. Classification stores no predictions besides its table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.verify.compare_tables import count_differing_rows
from detection.tasks import DetectionTask
from engine.data.item_limits import read_limit
from engine.task import Task
from foundation.errors import BenchError, RecordError
from results.records.record import Record
from results.records.verification import VerificationCheck
from results.statistics.average_precision.match_tables import join_match_tables
from results.statistics.item_files import DEFAULT_AREAS_ENTRY, read_areas, read_item_table, read_matches
from segmentation.tasks import SegmentationTask
from tracking.tasks import TrackingTask


def check_stored_predictions(folder: Path, record: Record, task: Task, root: Path) -> Iterator[VerificationCheck]:
    """Check that the per-item table follows from the stored predictions and the data at hand.

    Args:
        folder: the run's folder.
        record: its record.
        task: the record's task.
        root: folder of the data sets; the data have the record's fingerprint.
    """
    if record.result is None:
        return
    what = "stored predictions"
    try:
        if isinstance(task, TrackingTask):
            differing = _compare_boxes(folder, record, task, root)
        elif isinstance(task, SegmentationTask):
            differing = _compare_label_images(folder, record, task, root)
        elif isinstance(task, DetectionTask):
            differing = _compare_detections(folder, record, task, root)
        else:
            return
    except RecordError:  # reported with the per-item files
        return
    except (BenchError, OSError) as error:
        yield VerificationCheck(what, "unchecked", str(error))
        return
    if differing:
        text = f"scored again, {differing} of {record.done} items are not what the table and what stands beside it say"
        yield VerificationCheck(what, "fails", text)
    else:
        yield VerificationCheck(what, "holds", f"scored again, they give the same {record.done} items")


def _compare_boxes(folder: Path, record: Record, task: TrackingTask, root: Path) -> int:
    """Return for how many sequences the stored boxes do not give the row of the table."""
    from tracking.as_is.scoring import score_videos
    from tracking.data.readers.sequence import limit_videos

    videos = limit_videos(task.read_test_videos(root), record.config.get("recipe"))
    # by the rules of the set, which need not be LaSOT's
    scored = score_videos(task, videos, folder / "tracked")
    table = read_item_table(folder, record).columns
    return _count_wrong_rows(table, scored.columns, scored.rows, "sequence")


def _compare_label_images(folder: Path, record: Record, task: SegmentationTask, root: Path) -> int:
    """Return for how many images the stored predictions do not give the row of the table and the areas."""
    from segmentation.metrics import ImageScores
    from segmentation.run import PREDICTIONS_FOLDER
    from segmentation.scoring import rescore_predictions

    dataset = task.find_dataset(root).limit_items(read_limit(record.config.get("recipe")))
    scored = list(rescore_predictions(dataset, folder / PREDICTIONS_FOLDER))
    table = read_item_table(folder, record).columns
    wrong = _count_wrong_rows(table, ImageScores._fields, [scores for scores, _ in scored], "name")
    # the areas are in the order of the rows, from which their items are known
    places = {scores.name: areas for scores, areas in scored}
    stored = read_areas(folder, record, DEFAULT_AREAS_ENTRY, len(table["name"]))
    wrong_areas = sum(
        name not in places or not np.array_equal(areas, places[name])
        for name, areas in zip(table["name"], stored, strict=True)
    )
    return max(wrong, wrong_areas)


def _compare_detections(folder: Path, record: Record, task: DetectionTask, root: Path) -> int:
    """Return for how many images the stored detections do not give the row of the table and what stands beside it.

    Matches, AP by class and counts belong to no image alone: if one of them differs, those of all images do.
    """
    from detection.scoring.image_scores import ImageScores
    from detection.scoring.metric_names import MATCHES_ENTRY
    from detection.scoring.rescore import rescore_detections, select_images

    dataset = task.find_dataset(root, test_only=True)
    table = read_item_table(folder, record).columns
    names = table.get("name", ())
    # a run with a limit was tested on a part
    split = select_images(dataset.splits["test"], names)
    # matching takes a minute on 5,000 images, as it did in the run
    found = rescore_detections(split, dataset.categories, dataset.has_masks, folder)
    wrong = _count_wrong_rows(table, ImageScores._fields, found.rows, "name")
    stored, _ = read_matches(folder, record, MATCHES_ENTRY, len(names))
    is_same = np.array_equal(join_match_tables(stored), join_match_tables(found.matches))
    details = record.result.details if record.result is not None else {}
    # through JSON, in which the record has them; what it does not have, it does not claim
    facts = json.loads(json.dumps(found.facts))
    is_same = is_same and all(_is_close(details[name], facts[name]) for name in facts if name in details)
    return wrong if is_same else max(wrong, len(names))


def _is_close(stated: object, found: object) -> bool:
    """Return whether two values of JSON are equal, with numbers within 1e-9: sums may round otherwise elsewhere."""
    if isinstance(stated, dict) and isinstance(found, dict):
        return stated.keys() == found.keys() and all(_is_close(stated[key], found[key]) for key in found)
    if isinstance(stated, int | float) and isinstance(found, int | float):
        return abs(stated - found) <= 1e-9
    return stated == found


def _count_wrong_rows(
    table: dict[str, tuple[str, ...]], columns: Sequence[str], scored: Sequence[Sequence[object]], key: str
) -> int:
    """Return how many rows of a table differ from those that were scored again, whatever the order of its rows."""
    index = columns.index(key)
    order = {name: place for place, name in enumerate(table.get(key, ()))}
    if set(order) != {str(row[index]) for row in scored} or list(table) != list(columns):
        return max(len(order), len(scored))
    by_place = sorted(scored, key=lambda row: order[str(row[index])])
    texts = zip(*(["" if cell is None else str(cell) for cell in row] for row in by_place), strict=True)
    return count_differing_rows(table, dict(zip(columns, texts, strict=True)))

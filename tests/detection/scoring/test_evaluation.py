"""The metric that mmengine calls, the files that a run keeps, and what follows from them without torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.verify.stored_predictions import check_stored_predictions
from detection.data.annotation_file import AnnotationFile, read_annotations
from detection.data.ground_truth import DetectionDataset
from detection.data.samples import ImageDetections
from detection.evaluation import DetectionMetric
from detection.scoring.coco_metric import score_split
from detection.scoring.detection_files import DETECTIONS_FILE, write_matches
from detection.scoring.detections import DetectionColumns
from detection.scoring.image_scores import ImageScores
from detection.scoring.metric_names import CLASS_SCORES_ENTRY, COUNTS_ENTRY, MATCHES_ENTRY, make_metric_specs
from detection.scoring.rescore import select_images
from detection.scoring.results_file import read_results
from detection.tasks import COCOFOLDER, CocofolderTask
from foundation.errors import BenchError, DataError, IncompleteError, NonFiniteError, RecordError
from results.records.record import Record
from results.statistics.average_precision.scores import compute_without_groups
from results.statistics.comparison import compare_backbones
from results.statistics.per_item_outcomes import read_item_outcomes
from results.statistics.ranking import StoredRun, build_row_sample
from tests.detection.scoring.make import make_run_lengths, make_truth, write_json
from tests.results.make import write_table_run


@pytest.fixture
def truth(tmp_path: Path) -> AnnotationFile:
    """The ground truth of three images."""
    path = write_json(tmp_path / "truth.json", make_truth())
    return read_annotations(path, tmp_path, needs_images=False)


def make_answers(with_masks: bool = True) -> list[ImageDetections]:
    """Detections of the three images as a detector gives them; the last has none."""
    boxes = [[[0, 0, 10, 10], [20, 5, 30, 15]], [[0, 0, 10, 10], [20, 20, 30, 30]], []]
    corners = [[(0, 0), (20, 5)], [(0, 0), (20, 20)], []]
    labels, scores = [[0, 0], [0, 1], []], [[0.9, 0.8], [0.7, 0.7], []]
    answers = []
    for item in range(3):
        packed = [make_run_lengths(*corner) for corner in corners[item]]
        masks = [{**each, "counts": each["counts"].encode()} for each in packed] if with_masks else None
        answers.append(
            ImageDetections(
                item,
                torch.tensor(boxes[item], dtype=torch.float32).reshape(-1, 4),
                torch.tensor(scores[item], dtype=torch.float32),
                torch.tensor(labels[item], dtype=torch.int64),
                masks,
            )
        )
    return answers


def evaluate(truth: AnnotationFile, answers: list[ImageDetections], **options: Any) -> DetectionMetric:
    """Collect the answers in two batches and compute."""
    metric = DetectionMetric(truth.split, truth.categories, options.pop("has_masks", True), **options)
    metric.process(None, answers[1:])
    metric.process(None, answers[:1])
    metric.compute_metrics([tuple(each) for each in metric.results])
    return metric


CAT = (34 + 33 * 2 / 3) / 101
"""AP of the first class, by hand: see test_command."""


def test_both_kinds_from_batches_in_any_order(truth: AnnotationFile, tmp_path: Path) -> None:
    metric = evaluate(truth, make_answers(), result_file=tmp_path / "run" / DETECTIONS_FILE)
    assert metric.scores["box_AP"] == metric.scores["mask_AP"] == pytest.approx(50 * (CAT + 1))
    # no object is large, so the number is not there; it is not 0
    assert "box_AP_small" in metric.scores and "box_AP_large" not in metric.scores
    assert metric.class_scores["mask"] == pytest.approx({"cat": 100 * CAT, "dog": 100.0})
    assert metric.second_implementation["box"]["largest_difference"] < 1e-10
    assert [row.name for row in metric.image_scores] == ["a.png", "b.png", "c.png"]
    assert metric.counts == {
        "images": 3, "images_without_detections": 1, "detections": 4, "tied_detections": 0,
        "classes_with_objects": 2, "objects": 4,
    }  # fmt: skip
    rows = json.loads((tmp_path / "run" / DETECTIONS_FILE).read_text())
    # equal scores of an image in the order of the categories; ids are those of the file
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(5, 3), (5, 3), (9, 3), (9, 7)]
    assert rows[1]["bbox"] == [20, 5, 10, 10] and set(rows[0]) == {
        "image_id", "category_id", "bbox", "segmentation", "score",
    }  # fmt: skip


def test_the_written_file_is_read_back_as_it_was(truth: AnnotationFile, tmp_path: Path) -> None:
    metric = evaluate(truth, make_answers(), result_file=tmp_path / DETECTIONS_FILE)
    again = read_results(tmp_path / DETECTIONS_FILE, truth.split, truth.categories)
    # float32 scores are written with all their digits
    assert again.scores.tolist() == [float(np.float32(each)) for each in (0.9, 0.8, 0.7, 0.7)]
    found = score_split(truth.split, truth.categories, again, "segm")
    assert found.scores["AP"] == metric.scores["mask_AP"]


def test_boxes_alone_have_no_mask_ap(truth: AnnotationFile) -> None:
    metric = evaluate(truth, make_answers(with_masks=False), has_masks=False)
    assert {name.partition("_")[0] for name in metric.scores} == {"box"}
    assert set(metric.match_tables) == {"box"}


def test_each_image_once(truth: AnnotationFile) -> None:
    answers = make_answers()
    with pytest.raises(IncompleteError, match=r"2 outcomes for 3 images: c.png was there 0 times"):
        evaluate(truth, answers[:2])
    with pytest.raises(IncompleteError, match=r"4 outcomes for 3 images: b.png was there 2 times"):
        evaluate(truth, [*answers, answers[1]])


def test_masks_that_are_scored_must_be_there(truth: AnnotationFile) -> None:
    with pytest.raises(BenchError, match=r"2 detections of image b.png do not come with a mask each"):
        evaluate(truth, make_answers(with_masks=False))


@pytest.mark.parametrize("what", ["flag", "boxes", "scores"])
def test_outputs_that_are_not_finite_are_no_detections(truth: AnnotationFile, what: str) -> None:
    answer = make_answers()[0]
    changes: dict[str, Any] = {"flag": {"is_finite": False}}
    for name in ("boxes", "scores"):
        changes[name] = {name: getattr(answer, name) / 0}
    with pytest.raises(NonFiniteError, match=r"the outputs for image a.png are not finite"):
        evaluate(truth, [answer._replace(**changes[what])])


def test_two_implementations_that_differ_give_no_number(truth: AnnotationFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.scoring.coco_metric._evaluate_second", lambda *_: np.full(12, 0.5))
    with pytest.raises(BenchError, match="pycocotools and faster-coco-eval do not agree on bbox"):
        evaluate(truth, make_answers())


def test_a_ground_truth_that_gives_no_number(truth: AnnotationFile) -> None:
    rows, none = truth.split.annotations, np.zeros(0)
    empty = DetectionColumns(none.astype(np.int64), none.astype(np.int64), none, np.zeros((0, 4)), None)
    for changed, text in (
        ({"ids": rows.ids - 1}, "annotation with id 0"),
        ({"is_crowd": np.ones(len(rows), np.bool_)}, "no object other than crowds"),
    ):
        split = replace(truth.split, annotations=replace(rows, **changed))
        with pytest.raises(DataError, match=text):
            score_split(split, truth.categories, empty, "bbox")


def store_run(folder: Path, metric: DetectionMetric, name: str = "a") -> StoredRun:
    """A run with the table, the matches and the detections of an evaluated metric."""
    columns = {field: [row[place] for row in metric.image_scores] for place, field in enumerate(ImageScores._fields)}
    statistics = {spec.name: spec.statistic for spec in make_metric_specs()}
    metrics = {key: (value, statistics[key]) for key, value in metric.scores.items()}
    folder, record = write_table_run(folder, name, columns, metrics, unit="%")
    assert record.result is not None
    entry = {
        MATCHES_ENTRY: write_matches(folder, metric.match_tables),
        CLASS_SCORES_ENTRY: metric.class_scores,
        COUNTS_ENTRY: metric.counts,
    }
    return folder, record.model_copy(update={"result": record.result.model_copy(update={"details": entry})})


def test_every_number_follows_from_the_files_of_the_run(truth: AnnotationFile, tmp_path: Path) -> None:
    metric = evaluate(truth, make_answers(), result_file=tmp_path / "detections.json")
    folder, record = store_run(tmp_path / "run", metric)
    for name in metric.scores:
        assert read_item_outcomes(folder, record, name).matches is not None
    sample = build_row_sample([(folder, record)], "box_AP").sample
    assert sample.mean == metric.scores["box_AP"] == pytest.approx(float(sample.item_values.mean()))
    without = compute_without_groups(metric.match_tables["box"], "AP", np.arange(3))
    deviation = np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert np.sqrt((sample.scaled_deviations**2).sum()) == pytest.approx(deviation)
    assert record.result is not None
    value = record.result.metrics["box_AP"].model_copy(update={"value": 70.0})
    wrong = record.result.model_copy(update={"metrics": {"box_AP": value}})
    with pytest.raises(RecordError, match="the record says box_AP 70, its items give 77"):
        read_item_outcomes(folder, record.model_copy(update={"result": wrong}), "box_AP")
    (folder / "matches.npy").write_bytes(b"")
    with pytest.raises(RecordError, match="another SHA-256"):
        read_item_outcomes(folder, record, "box_AP")


def test_two_runs_are_compared_by_their_matches(truth: AnnotationFile, tmp_path: Path) -> None:
    answers = make_answers()
    worse = [answers[0], answers[1]._replace(boxes=answers[1].boxes + 9), answers[2]]
    one = store_run(tmp_path / "one", evaluate(truth, answers), "a")
    other = store_run(tmp_path / "other", evaluate(truth, worse), "b")
    found = compare_backbones([one], [other])
    assert found.difference > 0 and found.resampling_unit == "items only"
    # three images are left out one by one; the second makes the difference
    assert found.better[0].item == "b.png"
    assert found.uses_pseudo_values and found.num_groups is None


def check(folder: Path, record: Record, truth: AnnotationFile) -> list[tuple[str, str]]:
    """Return state and text of the check of stored detections."""
    dataset = DetectionDataset("cocofolder", folder, {"test": truth.split}, truth.categories, has_masks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CocofolderTask, "find_dataset", lambda self, root, test_only: dataset)
        return [(each[1], each[2]) for each in check_stored_predictions(folder, record, COCOFOLDER, folder)]


def test_stored_detections_are_scored_again(truth: AnnotationFile, tmp_path: Path) -> None:
    metric = evaluate(truth, make_answers(), result_file=tmp_path / "detections.json")
    folder, record = store_run(tmp_path / "run", metric)
    ((state, text),) = check(folder, record, truth)
    assert state == "unchecked" and "cannot read" in text
    rows = json.loads((tmp_path / "detections.json").read_text())
    write_json(folder / DETECTIONS_FILE, rows)
    assert check(folder, record, truth) == [("holds", "scored again, they give the same 3 items")]
    # what stands beside the metrics follows from the detections too
    assert record.result is not None
    details, (kind, by_name) = record.result.details, next(iter(metric.class_scores.items()))
    better = {**metric.class_scores, kind: {name: value + 0.01 for name, value in by_name.items()}}
    for changed in ({CLASS_SCORES_ENTRY: better}, {COUNTS_ENTRY: {**metric.counts, "detections": 99}}):
        result = record.result.model_copy(update={"details": {**details, **changed}})
        ((state, _),) = check(folder, record.model_copy(update={"result": result}), truth)
        assert state == "fails"
    rows[0]["score"] = 0.75
    write_json(folder / DETECTIONS_FILE, rows)
    # the same images are right, but in another order
    ((state, _),) = check(folder, record, truth)
    assert state == "fails"


def test_the_part_that_a_limited_run_was_tested_on(truth: AnnotationFile) -> None:
    part = select_images(truth.split, ["b.png"])
    assert [image.id for image in part.images] == [9]
    assert part.annotations.images.tolist() == [0, 0] and part.annotations.ids.tolist() == [4, 5]
    assert part.annotations.masks is not None and len(part.annotations.masks) == 2


def test_the_jackknife_of_the_official_pair(shared_data: Path) -> None:
    """Standard error and the first three values of the facts of the data, which pycocotools gave image by image."""
    folder = shared_data / "coco_results" / "val2014_100"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found = read_annotations(folder / "instances_val2014_100.json", folder, needs_images=False)
    detections = read_results(folder / "instances_val2014_fakebbox100_results.json", found.split, found.categories)
    matches = score_split(found.split, found.categories, detections, "bbox").matches
    without = compute_without_groups(matches, "AP", np.arange(100))
    assert without[:3].tolist() == pytest.approx([50.4821, 50.6023, 50.2488], abs=5.1e-5)
    assert np.sqrt(99 / 100 * ((without - without.mean()) ** 2).sum()) == pytest.approx(2.555, abs=5.1e-4)

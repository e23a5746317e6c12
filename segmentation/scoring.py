"""Score label PNGs of any network against a set's truth, by the same counting as our own runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data.decode import HEADER_ERRORS, open_header
from engine.data.image_formats import is_image_name
from engine.data.tree_files import is_litter
from engine.progress_bar import log_message
from foundation.environment import resolve_data_root
from foundation.errors import DataError, UserError
from foundation.files import write_atomic
from results.score_request import ScoreRequest
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import read_label_map, read_raw_labels
from segmentation.data.labels import IGNORE_INDEX, LabelSpace
from segmentation.data.own_folder.pair_files import IMAGE_ENDINGS, MASK_ENDINGS
from segmentation.evaluation import compare_with_mmseg, count_areas_twice
from segmentation.label_shift import LabelShiftTrial
from segmentation.metrics import (
    ClassAreas,
    ImageScores,
    compute_segmentation_scores,
    count_class_areas,
    map_class_iou,
    score_image,
)
from segmentation.tasks import ADE20K, CAMVID, MINI_ADE, SEGFOLDER, SegmentationTask

LOG_INTERVAL = 250


class SegmentationScoreReport(NamedTuple):
    """A scored folder: plain data for a record or ``--json``, and lines for people."""

    data: dict[str, Any]
    lines: list[str]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def score_segmentation_set(request: ScoreRequest) -> SegmentationScoreReport:
    """``bench score`` of a segmentation set; writes the JSON to ``out_file`` where asked.

    Raises:
        UserError: options that only trackers have, or several folders.
    """
    if idle := [option for option in request.list_given_options() if option != "--partial"]:
        raise UserError(f"bench score {request.test_set} has no {idle[0]}")
    if len(request.results) != 1:
        raise UserError(f"bench score {request.test_set} takes one folder of predictions, not {len(request.results)}")
    task = {each.name: each for each in (ADE20K, MINI_ADE, CAMVID, SEGFOLDER)}[request.test_set]
    report = score_label_images(task, request.results[0], resolve_data_root(request.data_root), request.partial)
    if request.out_file is not None:
        write_atomic(request.out_file, json.dumps(report.data, indent=2, allow_nan=False) + "\n")
    return report


def score_label_images(
    task: SegmentationTask, results: Path, data_root: Path, partial: bool = False
) -> SegmentationScoreReport:
    """Score label PNGs against the test split of a task, of which only that split need be there.

    Args:
        task: the task.
        results: the folder of predictions, one PNG an image, at the label file's size and with its label values.
        data_root: folder of the data sets.
        partial: accept predictions for a part of the images; the numbers are then marked as of a part.

    Raises:
        DataError: no or too few predictions, one of no image or another size, with a number that is no class, or all
            shifted by one.
    """
    # the training images are not needed, and often not at hand where predictions are scored
    found = task.find_dataset(data_root, test_only=True)
    pairs = list(found.splits["test"])
    # without official counts, the images that are there are the set
    expected = task.expected["test"] if task.has_official_counts else len(pairs)
    chosen = _match_predictions(task, data_root, results, pairs, None if partial else expected)
    counted, theirs, rows = [], np.zeros((4, found.label_space.num_classes)), []
    trial = LabelShiftTrial(found.label_space.num_classes)
    for item, (prediction, pair) in enumerate(chosen):
        truth = read_label_map(pair.label_path, found.label_space)
        predicted = _read_prediction(prediction, pair, truth, found.label_space)
        trial.add_image(predicted, truth)
        labels = torch.from_numpy(predicted)
        ours, mmseg = count_areas_twice(labels, torch.from_numpy(truth), found.label_space.num_classes)
        counted.append(ours)
        theirs += mmseg  # float64, so that the sum is exact
        rows.append(score_image(item, pair.name, ours)._asdict())
        if (item + 1) % LOG_INTERVAL == 0:
            log_message(f"{item + 1:,} of {len(chosen):,} images scored")
    if shifted := trial.describe_shift():
        raise DataError(f"the predictions in {results} look shifted by one: {shifted} and score again")
    total = np.stack(counted).sum(0)
    result = compute_segmentation_scores(total)
    data = {
        "task": task.name,
        "results": str(results),
        "partial": len(chosen) != expected,
        "images": len(chosen),
        "expected": expected,
        "metrics": {name: getattr(result, name) for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")},
        "unit": "%",
        "data_notes": list(found.notes),
        "classes": found.label_space.num_classes,
        "classes_present": result.num_present,
        "iou_by_class": map_class_iou(result, task.get_class_names(found)),
        "second_implementation": compare_with_mmseg(total, theirs.astype(np.float32)),
        "items": rows,
    }
    return SegmentationScoreReport(data, _format_lines(data))


def rescore_predictions(dataset: SegmentationDataset, folder: Path) -> Iterator[tuple[ImageScores, ClassAreas]]:
    """Score the predictions that a run has stored, image by image, in the order of the test split.

    Args:
        dataset: the data that the run was scored on.
        folder: the run's folder of predictions.

    Yields:
        The row of the per-item table, and the pixel counts (3, classes).

    Raises:
        DataError: a prediction is missing, has another size than its label file, or a number that is no class.
    """
    space = dataset.label_space
    for item, pair in enumerate(dataset.splits["test"]):
        truth = read_label_map(pair.label_path, space)
        prediction = _read_prediction(folder / f"{pair.name}.png", pair, truth, space)
        areas = count_class_areas(prediction, truth, space.num_classes)
        yield score_image(item, pair.name, areas), areas


def _match_predictions(
    task: SegmentationTask, data_root: Path, results: Path, pairs: list[ImageLabelPair], expected: int | None
) -> list[tuple[Path, ImageLabelPair]]:
    """Predictions with their pairs; the completeness gate, which ``expected`` of ``None`` leaves open."""
    if not results.is_dir():
        raise DataError(f"there is no folder of predictions at {results}; name it with --results")
    found = [path for path in sorted(results.iterdir()) if not is_litter(path.name)]
    files = {path.stem: path for path in found if path.suffix == ".png"}
    if not files:
        inside = f", only {found[0].name}{' ...' if found[1:] else ''}" if found else ""
        raise DataError(
            f"{results} holds no PNG files{inside}; predictions are one label PNG an image, {pairs[0].name}.png"
        )
    # with --partial nobody would miss what is not read
    if unread := [path for path in found if path.suffix != ".png" and (path.is_dir() or is_image_name(path.name))]:
        raise DataError(
            f"{unread[0]} is not read, and {len(files):,} PNG files beside it are; predictions are one label PNG an "
            f"image, {pairs[0].name}.png, so write it as one or move it away"
        )
    names = {pair.name for pair in pairs}
    if strange := sorted(files.keys() - names):
        raise DataError(_explain_strange_file(task, data_root, files[strange[0]], len(pairs)))
    if expected is not None and len(files) < expected:
        missing = sorted(names - files.keys())
        first = f", the first missing is {missing[0]}" if missing else "; the data themselves are not whole"
        raise DataError(
            f"{results} has {len(files):,} of {expected:,} predictions{first}; an incomplete set has no "
            "number (--partial scores what is there)"
        )
    return [(files[pair.name], pair) for pair in pairs if pair.name in files]


def _explain_strange_file(task: SegmentationTask, data_root: Path, path: Path, count: int) -> str:
    """Say what is wrong with a prediction that belongs to no test image; it may be one for another split."""
    try:
        splits = task.find_dataset(data_root).splits
    except DataError:  # the other splits need not be there
        splits = task.find_dataset(data_root, test_only=True).splits
    # tools that write overlays and masks side by side tell them apart by an ending
    names = {pair.name for pair in splits.get("test", ())}
    ending = next(
        (each for each in (*MASK_ENDINGS, *IMAGE_ENDINGS) if each and path.stem.removesuffix(each) in names), None
    )
    if ending is not None:
        return f"{path} is named after image {path.stem.removesuffix(ending)} with {ending}; remove the ending"
    for split, pairs in splits.items():
        if split != "test" and path.stem in {pair.name for pair in pairs}:
            return (
                f"{path} is a prediction for an image of the {split} split of {task.name}, and the test split is "
                f"scored ({count:,} images); segment that one"
            )
    return (
        f"{path} belongs to no image of the test split of {task.name} ({count:,} images); take it away, or name the "
        "data with --data-root"
    )


def _read_prediction(
    path: Path, pair: ImageLabelPair, truth: NDArray[np.uint8], label_space: LabelSpace
) -> NDArray[np.int64]:
    """Class numbers 0..classes-1 of a prediction; any number where truth does not count is passed as class 0."""
    if label_space.colors:
        _require_numbers(path)
    numbers, shape = read_raw_labels(path), truth.shape
    if numbers.shape != shape:
        raise DataError(
            f"{path} is {numbers.shape[1]} x {numbers.shape[0]} px but its label file is {shape[1]} x {shape[0]}; "
            "predictions are scored at the label's own size, so resize the logits before the argmax"
        )
    counts = truth != IGNORE_INDEX
    last = label_space.first_label + label_space.num_classes - 1
    wrong = np.unique(numbers[counts & ((numbers < label_space.first_label) | (numbers > last))])
    if wrong.size:
        hint = f"; if the network writes 0 to {last - 1}, add 1" if wrong[0] == 0 and label_space.first_label else ""
        if wrong[0] == last + 1 and not label_space.first_label:
            hint = f"; if the network writes 1 to {last + 1}, subtract 1"
        elif wrong.tolist() == [255] and last == 1:
            hint = "; if 255 is the second class, write it as 1"
        raise DataError(f"{path} has label {int(wrong[0])}; predictions are {label_space.first_label} to {last}{hint}")
    return np.where(counts, numbers - label_space.first_label, 0)


def _require_numbers(path: Path) -> None:
    """Refuse a prediction that is colored like the label files of its data."""
    try:
        with open_header(path) as picture:
            mode = picture.mode
    except HEADER_ERRORS:
        return  # reading it says better what is wrong with it
    if mode in ("RGB", "RGBA"):
        raise DataError(
            f"{path} is a color image; predictions are class numbers from 0, in the order of the table of colours, "
            "whatever the label files hold, so write the argmax as an 8-bit gray PNG"
        )


def _format_lines(data: dict[str, Any]) -> list[str]:
    metrics, present, classes = data["metrics"], data["classes_present"], data["classes"]
    lines = [
        *(f"data: {note}" for note in data["data_notes"]),
        f"mIoU {metrics['mIoU']:.2f} % over the {present} classes present, "
        f"{metrics['mIoU_all']:.2f} % over all {classes}",
        f"aAcc {metrics['aAcc']:.2f} %, mAcc {metrics['mAcc']:.2f} %",
        f"{data['images']:,} of {data['expected']:,} images, at native label size; mmseg's IoUMetric differs by "
        f"{data['second_implementation']['largest_difference']:.1g} points",
    ]
    if data["partial"]:
        lines.append("PARTIAL: not a number of the benchmark")
    if present < classes:
        lines.append("the two means of IoU differ where classes are absent; published numbers are over all images")
    return lines

"""``bench score`` for detection: a results file of any detector against an annotation file. Imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.data.annotation_file import AnnotationFile, read_annotations
from detection.data.coco_layout import COCO_CATEGORIES, OFFICIAL_OBJECTS, find_coco_folder
from detection.data.mini_coco import make_mini_coco
from detection.data.mini_shapes import make_mini_shapes
from detection.scoring.coco_metric import KindScores
from detection.scoring.detections import DetectionColumns
from detection.scoring.doubts import list_doubts, list_warnings
from detection.scoring.image_scores import score_images
from detection.scoring.results_file import read_results
from detection.scoring.score_kinds import count_detections, list_scores, name_class_scores, score_kinds
from foundation.environment import get_cache_dir, resolve_data_root
from foundation.errors import DataError, UserError
from foundation.files import write_atomic
from results.score_request import ScoreRequest
from results.statistics.average_precision.metric_names import SCORE_NAMES
from results.statistics.average_precision.sample import sample_from_precisions
from results.statistics.average_precision.scores import compute_without_groups
from results.statistics.estimates import compute_interval
from results.statistics.group_jackknife import assign_groups

OFFICIAL_IMAGES = 5_000
"""Images of val2017."""

_PAIR_BYTES = 10_000
_DETECTION_BYTES = 2_500
"""What pycocotools and faster-coco-eval take for a pair of image and category, and for a detection (measured: 12 kB in
all with one detection in a pair, and 60 kB for a pair of 13)."""

_VAL_FILE = Path("annotations") / "instances_val2017.json"
_MINIATURES = {"mini_coco": make_mini_coco, "mini_shapes": make_mini_shapes}


class DetectionScoreReport(NamedTuple):
    """A scored results file: plain data for ``--json``, and lines for people."""

    data: dict[str, Any]
    lines: list[str]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def score_detection_set(request: ScoreRequest) -> DetectionScoreReport:
    """Score one results file; writes the JSON to ``out_file`` where asked.

    Args:
        request: ``coco``, ``cocofolder``, ``mini_coco`` or ``mini_shapes``, the results file, and the annotations.

    Raises:
        UserError: options that detection does not have, or several files.
        DataError: annotations or detections that cannot be used, or that look like something else than COCO's.
    """
    idle = [option for option in request.list_given_options() if option not in ("--partial", "--annotations")]
    if idle:
        raise UserError(f"bench score {request.test_set} has no {idle[0]}")
    if len(request.results) != 1:
        raise UserError(f"bench score {request.test_set} takes one file of detections, not {len(request.results)}")
    path = _find_annotations(request)
    # only the truth is needed; people who compare detectors often have no images at hand
    truth = read_annotations(path, path.parent, needs_images=False)
    # what may be meant but looks wrong: refused, unless the user insists
    doubts = _list_departures(request, truth)
    detections = read_results(request.results[0], truth.split, truth.categories)
    _require_memory(request.results[0], truth, detections)
    doubts += list_doubts(truth.split, truth.categories, detections)
    if doubts and not request.partial:
        raise DataError(
            f"{request.results[0]}: {'; '.join(doubts)} (--partial scores them as they are and marks the number)"
        )
    report = _make_report(request, path, truth, detections, doubts)
    if request.out_file is not None:
        write_atomic(request.out_file, json.dumps(report.data, indent=2, allow_nan=False) + "\n")
    return report


def _find_annotations(request: ScoreRequest) -> Path:
    """Return the annotation file; images are not needed."""
    if request.annotations is not None:
        if request.test_set in _MINIATURES:
            raise UserError(f"bench score {request.test_set} has annotations of its own; leave --annotations out")
        return request.annotations
    if request.test_set == "cocofolder":
        raise UserError("bench score cocofolder needs the ground truth; name it with --annotations FILE")
    if make := _MINIATURES.get(request.test_set):
        return make(get_cache_dir()) / _VAL_FILE
    return find_coco_folder(resolve_data_root(request.data_root)) / _VAL_FILE


def _list_departures(request: ScoreRequest, truth: AnnotationFile) -> list[str]:
    """Return in which way a ground truth that is called COCO is not val2017."""
    if request.test_set != "coco":
        return []
    # counts and categories identify val2017 well enough: a part or a corrected edition has others
    images, objects = len(truth.split), len(truth.split.annotations)
    if tuple(truth.categories) != tuple(COCO_CATEGORIES):
        found = f"{len(truth.categories)} categories that are not the 80 of COCO"
    elif (images, objects) != (OFFICIAL_IMAGES, OFFICIAL_OBJECTS["test"]):
        found = f"{images:,} images with {objects:,} objects"
    else:
        return []
    return [
        f"the ground truth has {found}, and val2017 has {OFFICIAL_IMAGES:,} images with {OFFICIAL_OBJECTS['test']:,} "
        "objects; score any other with bench score cocofolder --annotations FILE"
    ]


def _require_memory(path: Path, truth: AnnotationFile, detections: DetectionColumns) -> None:
    """Refuse what fills the memory of this machine: the system would end the process, or another one, without a word.

    Raises:
        DataError: scoring needs more memory than there is.
    """
    rows, count = truth.split.annotations, len(truth.categories)
    # pycocotools keeps tables for each pair of an image and a category that has objects or detections
    pairs = len(np.unique(np.r_[rows.images * count + rows.labels, detections.images * count + detections.labels]))
    needed = pairs * _PAIR_BYTES + len(detections) * _DETECTION_BYTES
    available = _read_memory()
    if needed > available:
        raise DataError(
            f"scoring {len(detections):,} detections of {path} in {len(truth.split):,} images needs about "
            f"{needed / 1e9:.0f} GB of memory, and this machine has {available / 1e9:.0f} GB; keep the 100 best of "
            "each image, which is what COCO allows, or use a larger machine"
        )


def _read_memory() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _make_report(
    request: ScoreRequest, path: Path, truth: AnnotationFile, detections: DetectionColumns, doubts: Sequence[str]
) -> DetectionScoreReport:
    split, categories = truth.split, truth.categories
    warnings = [*doubts, *list_warnings(split, detections)]
    if split.annotations.masks is None and detections.masks is not None:
        if detections.boxes is None:
            raise DataError(f"{path} has no masks, and {request.results[0]} no boxes; there is nothing to compare")
        warnings.append("the ground truth has no masks, so the masks of the detections are not scored")
        detections = DetectionColumns(detections.images, detections.labels, detections.scores, detections.boxes, None)
    # detections with boxes alone have no mask AP, and those with masks alone no box AP
    found = score_kinds(split, categories, detections)
    scores = list_scores(found)
    matches = found["box" if "box" in found else "mask"].matches
    data = {
        "task": request.test_set,
        "results": str(request.results[0]),
        "annotations": str(path),
        "partial": bool(doubts),
        **count_detections(split, detections),
        "classes": len(categories),
        # null, not 0, where no object has the range of sizes
        "metrics": {f"{kind}_{name}": scores.get(f"{kind}_{name}") for kind in found for name in SCORE_NAMES},
        "unit": "%",
        "intervals": {f"{kind}_AP": _compute_interval(each, split.images) for kind, each in found.items()},
        "ap_by_class": name_class_scores(found, categories),
        "second_implementation": {kind: each.second for kind, each in found.items()},
        "data_notes": list(truth.notes),
        "warnings": warnings,
        "items": [each._asdict() for each in score_images(split, detections, matches)],
    }
    return DetectionScoreReport(data, _format_lines(data, found))


def _compute_interval(found: KindScores, images: Sequence[Any]) -> list[float] | None:
    """Return the 95 % interval of AP over other images, in percent; ``None`` for a single image."""
    value = found.scores["AP"]
    if value is None or len(images) < 2:
        return None
    # groups follow from the names, so that the interval of a run on the same images is the same
    names = [image.name for image in images]
    without = compute_without_groups(found.matches, "AP", assign_groups(names))
    if np.isnan(without).any():  # a group holds all objects
        return None
    interval = compute_interval(sample_from_precisions(np.array([value]), without[None], names))
    return [max(interval.low, 0.0), min(interval.high, 100.0)]


def _format_lines(data: Mapping[str, Any], found: Mapping[str, KindScores]) -> list[str]:
    lines = [f"data: {note}" for note in data["data_notes"]]
    for kind, each in found.items():
        texts = [f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in each.scores.items()]
        reach = data["intervals"][f"{kind}_AP"]
        over = f" (95 % over images: {reach[0]:.1f} to {reach[1]:.1f})" if reach else ""
        lines += [f"{kind} {texts[0]} %{over}", f"  {', '.join(texts[1:6])}", f"  {', '.join(texts[6:])}"]
    # the second implementation is always named, so that a reader can ask it himself
    apart = max(each.second["largest_difference"] for each in found.values())
    lines += [
        f"{data['images']:,} images, {data['images_without_detections']:,} of them without detections, which counts as "
        f"searched; {data['classes_with_objects']} of {data['classes']} classes have objects",
        f"{data['detections']:,} detections, {data['tied_detections']:,} with the score of another one of their class: "
        "their order decides",
        f"pycocotools' numbers; {next(iter(found.values())).second['by']} differs by {apart:.1g} points",
        *(f"warning: {warning}" for warning in data["warnings"]),
    ]
    return [*lines, "PARTIAL: not a number of the benchmark"] if data["partial"] else lines

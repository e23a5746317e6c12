"""COCO's box and mask AP: pycocotools gives the number, and a second implementation counts beside it.

What pycocotools does silently wrong is kept away from it: it is never asked for a part of the images (it then takes the
first ones), annotation ids are from 1 (id 0 counts as no match), and mask detections have no box (their area would be
the box's). Its tables of matches are kept, from which ``results`` accumulates the same AP without it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.data.ground_truth import Category, DetectionSplit, InstanceMask
from detection.recipe import DetectionKind
from detection.scoring.detections import DetectionColumns
from foundation.errors import BenchError, DataError
from results.statistics.average_precision.match_tables import MatchTable
from results.statistics.average_precision.metric_names import SCORE_NAMES
from results.statistics.average_precision.scores import compute_class_scores, compute_detection_score

KIND_OF_PREFIX: dict[str, DetectionKind] = {"box": "bbox", "mask": "segm"}
"""What pycocotools calls the kind that metric names begin with."""

MAX_DIFFERENCE = 1e-6
"""Largest difference between two implementations on the scale from 0 to 1; they were seen to agree to 2e-16."""

SECOND_IMPLEMENTATION = "faster-coco-eval"


class KindScores(NamedTuple):
    """The outcome for boxes or for masks.

    Attributes:
        scores: the twelve numbers in percent by name without prefix; ``None`` where no object has the range of areas.
        class_scores: AP in percent by label, of the classes with objects.
        matches: the matches of all images.
        second: the same numbers by the second implementation, in percent, and ``largest_difference`` in percentage
            points.
    """

    scores: dict[str, float | None]
    class_scores: dict[int, float]
    matches: MatchTable
    second: dict[str, Any]


def score_split(
    split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns, kind: DetectionKind
) -> KindScores:
    """Score detections of all images of a split by boxes or by masks.

    Args:
        split: the images, by ascending id, and their objects.
        categories: in ascending order of their ids; labels are indices into them.
        detections: the detections in the order of their file; images without any count as evaluated with none.
        kind: ``bbox`` or ``segm``.

    Raises:
        DataError: no object counts, or there are no masks to compare.
        BenchError: two implementations differ by more than rounding.
    """
    if (split.annotations.ids == 0).any():
        raise DataError(
            "the ground truth has an annotation with id 0, which the official evaluation counts as never found; "
            "number the annotations from 1"
        )
    if kind == "segm" and (split.annotations.masks is None or detections.masks is None):
        raise DataError("there are no masks to compare; only boxes can be scored")
    if split.annotations.is_crowd.all():
        raise DataError("the ground truth has no object other than crowds, so there is no AP")
    # built from our columns, not from the file: what was read and checked is what is scored
    truth = _build_truth(split, categories, kind)
    results = _list_results(split, categories, detections, kind)
    # nothing to print: the callers say what was found
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _evaluate(truth, results, kind)
        matches = _collect_matches(evaluator, split, categories)
        stated = _summarize(evaluator)
        theirs = _evaluate_second(truth, results, kind)
    # from the matches alone, as everybody will compute it later who has the run's folder
    scores = {name: compute_detection_score(matches, name) for name in SCORE_NAMES}
    ours = np.array([-1.0 if scores[name] is None else float(scores[name] or 0.0) / 100 for name in SCORE_NAMES])
    _require_agreement(kind, "bench's accumulation", stated, ours)
    apart = _require_agreement(kind, SECOND_IMPLEMENTATION, stated, theirs)
    second: dict[str, Any] = {"by": SECOND_IMPLEMENTATION}
    second |= {name: 100 * float(value) for name, value in zip(SCORE_NAMES, theirs, strict=True) if value > -1}
    # pycocotools' own values are the number
    named = {name: None if value == -1 else 100 * float(value) for name, value in zip(SCORE_NAMES, stated, strict=True)}
    classes = compute_class_scores(matches, "AP")
    return KindScores(named, classes, matches, {**second, "largest_difference": 100 * apart})


def _require_agreement(kind: str, who: str, stated: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the largest difference of two implementations, from 0 to 1.

    Raises:
        BenchError: it is more than rounding.
    """
    apart = float(np.abs(stated - found).max())
    if not apart <= MAX_DIFFERENCE:  # "not <=" also catches NaN
        raise BenchError(
            f"pycocotools and {who} do not agree on {kind}: AP {stated[0]:.6f} and {found[0]:.6f}, and they differ by "
            f"up to {apart:.2g}, so there is no number; please report this"
        )
    return apart


def _build_truth(split: DetectionSplit, categories: Sequence[Category], kind: DetectionKind) -> dict[str, Any]:
    """Build the ground truth as the content of an annotation file, with annotation ids from 1."""
    rows = split.annotations
    images = [{"id": each.id, "height": each.height, "width": each.width} for each in split.images]
    annotations: list[dict[str, Any]] = []
    # lists at once: converting numpy numbers one by one takes minutes on large sets
    columns = zip(
        *(rows.images.tolist(), rows.labels.tolist(), rows.boxes.tolist(), rows.areas.tolist()),
        rows.is_crowd.tolist(),
        strict=True,
    )
    for place, (image, label, box, area, is_crowd) in enumerate(columns):
        one = {"id": place + 1, "image_id": split.images[image].id, "category_id": categories[label].id}
        annotations.append({**one, "bbox": box, "area": area, "iscrowd": int(is_crowd)})
        if kind == "segm":
            assert rows.masks is not None
            annotations[-1]["segmentation"] = _convert_mask(rows.masks[place])
    names = [{"id": each.id, "name": each.name} for each in categories]
    # faster-coco-eval reads "info"
    return {"info": {}, "images": images, "annotations": annotations, "categories": names}


def _convert_mask(mask: InstanceMask) -> Any:
    """Return a mask as the libraries take it: polygons as flat lists of numbers."""
    return mask if isinstance(mask, dict) else [outline.ravel().tolist() for outline in mask]


def _list_results(
    split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns, kind: DetectionKind
) -> list[dict[str, Any]]:
    """List the detections as a results file has them, with boxes or with masks and never with both."""
    found = []
    columns = zip(detections.images.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True)
    for place, (image, label, score) in enumerate(columns):
        one = {"image_id": split.images[image].id, "category_id": categories[label].id, "score": score}
        if kind == "bbox":
            assert detections.boxes is not None
            one["bbox"] = detections.boxes[place].tolist()
        else:
            assert detections.masks is not None
            one["segmentation"] = dict(detections.masks[place])
        found.append(one)
    return found


def _evaluate(truth: dict[str, Any], results: list[dict[str, Any]], kind: DetectionKind) -> Any:
    """Match and accumulate with pycocotools."""
    whole = COCO()
    whole.dataset = truth
    whole.createIndex()
    if results:
        # it writes into the dicts that it is given
        found = whole.loadRes([dict(each) for each in results])
    else:  # loadRes looks at the first result, and fails without one
        found = COCO()
        found.dataset = {**truth, "annotations": []}
        found.createIndex()
    evaluator = COCOeval(whole, found, kind)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator


def _summarize(evaluator: Any) -> NDArray[np.float64]:
    """Return pycocotools' twelve numbers, from 0 to 1; -1 where there is none."""
    evaluator.summarize()
    return np.asarray(evaluator.stats, np.float64)


def _evaluate_second(truth: dict[str, Any], results: list[dict[str, Any]], kind: DetectionKind) -> NDArray[np.float64]:
    """Return the twelve numbers of the second implementation, from 0 to 1."""
    # imported here, because it takes a second
    import faster_coco_eval

    # pycocotools has added fields of its own to the annotations
    kept = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")
    plain = [{name: each[name] for name in kept if name in each} for each in truth["annotations"]]
    whole = faster_coco_eval.COCO({**truth, "annotations": plain})
    if results:
        found = whole.loadRes([dict(each) for each in results])
    else:
        found = faster_coco_eval.COCO({**truth, "annotations": []})
    evaluator = faster_coco_eval.COCOeval_faster(whole, found, kind)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return np.asarray(evaluator.stats, np.float64)[: len(SCORE_NAMES)]


def _collect_matches(evaluator: Any, split: DetectionSplit, categories: Sequence[Category]) -> MatchTable:
    """Collect the matches of pycocotools, which it lists by class, then range of areas, then image."""
    num_images, num_areas = len(split), len(evaluator.params.areaRng)
    detections: list[tuple[Any, ...]] = []
    objects: list[tuple[int, int, list[int]]] = []
    weights = 1 << np.arange(len(evaluator.params.iouThrs))
    # pycocotools sorts category ids and image ids, which is our order already
    for label in range(len(categories)):
        start = label * num_areas * num_images
        for image in range(num_images):
            # one entry for each range of areas; there are none without objects and detections
            areas = [evaluator.evalImgs[start + area * num_images + image] for area in range(num_areas)]
            if areas[0] is None:
                continue
            counts = [int(np.count_nonzero(each["gtIgnore"] == 0)) for each in areas]
            if any(counts):
                objects.append((label, image, counts))
            if areas[0]["dtScores"]:
                ignored = np.stack([each["dtIgnore"] for each in areas]).astype(bool)  # (areas, thresholds, n)
                matched = np.stack([each["dtMatches"] for each in areas]) > 0
                found, wrong = (
                    np.einsum("atn,t->na", each & ~ignored, weights).astype(np.uint16) for each in (matched, ~matched)
                )
                detections.append((label, image, areas[0]["dtScores"], found, wrong))
    return _join_matches(num_images, num_areas, detections, objects)


def _join_matches(
    num_images: int, num_areas: int, detections: list[tuple[Any, ...]], objects: list[tuple[int, int, list[int]]]
) -> MatchTable:
    sizes = [len(each[2]) for each in detections]
    empty = np.zeros((0, num_areas), np.uint16)
    return MatchTable(
        num_images,
        np.repeat(np.array([each[0] for each in detections], np.int64), sizes),
        np.repeat(np.array([each[1] for each in detections], np.int64), sizes),
        np.concatenate([np.zeros(0), *(each[2] for each in detections)]),
        np.concatenate([empty, *(each[3] for each in detections)]),
        np.concatenate([empty, *(each[4] for each in detections)]),
        np.array([each[0] for each in objects], np.int64),
        np.array([each[1] for each in objects], np.int64),
        np.array([each[2] for each in objects], np.int64).reshape(len(objects), num_areas),
    )

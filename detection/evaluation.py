"""The metric that mmengine calls: collects the detections of every image and scores them as COCO does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric

from detection.data.ground_truth import Category, DetectionSplit, RleMask
from detection.data.samples import ImageDetections
from detection.scoring.detection_files import write_detections
from detection.scoring.detections import DetectionColumns, sort_detections
from detection.scoring.image_scores import ImageScores, score_images
from detection.scoring.score_kinds import count_detections, list_scores, name_class_scores, score_kinds
from foundation.array_types import FloatArray, IntArray
from foundation.errors import BenchError, IncompleteError, NonFiniteError
from results.statistics.average_precision.match_tables import MatchTable


class _ImageRows(NamedTuple):
    """The detections of an image as arrays, which processes exchange: tensors would need shared memory."""

    item: int
    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    masks: list[RleMask] | None


class DetectionMetric(BaseMetric):
    """Scores boxes and masks, and requires that each image is there exactly once; it may have no detections.

    Args:
        split: the images, by ascending id, and their objects.
        categories: in ascending order of their ids; labels are indices into them.
        has_masks: whether masks are compared too.
        result_file: where the detections are written as COCO's results file, in a fixed order; ``None`` writes nothing.

    Attributes:
        scores: the numbers in percent, ``box_AP`` and so on; those without objects in their range of areas are left
            out. This and the next are set on the main process after an evaluation.
        image_scores: one row per image.
        match_tables: the matches by kind, ``box`` and ``mask``; ``write_matches`` writes them.
        class_scores: AP in percent by kind and name of the class, of the classes with objects.
        second_implementation: the second implementation's numbers by kind, and the largest difference in points.
        counts: numbers of images, detections, images without detections, classes with objects, tied detections.
    """

    default_prefix = "detection"

    def __init__(
        self,
        split: DetectionSplit,
        categories: Sequence[Category],
        has_masks: bool,
        result_file: Path | None = None,
    ) -> None:
        super().__init__(collect_device="cpu")  # several processes exchange their rows through files, not GPU memory
        self.split = split
        self.categories = categories
        self.has_masks = has_masks
        self.result_file = result_file
        self.scores: dict[str, float] = {}
        self.image_scores: list[ImageScores] = []
        self.match_tables: dict[str, MatchTable] = {}
        self.class_scores: dict[str, dict[str, float]] = {}
        self.second_implementation: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def process(self, data_batch: Any, data_samples: Sequence[ImageDetections]) -> None:
        """Keep the detections of a batch; mmengine calls this after each forward pass.

        Raises:
            NonFiniteError: an output of the network is not finite.
            BenchError: masks are scored, and the detector gives none.
        """
        for sample in data_samples:
            boxes = sample.boxes.double().numpy().reshape(-1, 4)
            scores = sample.scores.double().numpy()
            if not (sample.is_finite and np.isfinite(boxes).all() and np.isfinite(scores).all()):
                raise NonFiniteError(
                    f"the outputs for image {self.split.images[sample.item].name} are not finite, so it has no "
                    "detections; the weights are too large (lower optimizer.lr) or damaged"
                )
            if self.has_masks and (sample.masks is None or len(sample.masks) != len(scores)):
                raise BenchError(
                    f"{len(scores)} detections of image {self.split.images[sample.item].name} do not come with a mask "
                    "each; masks are scored, so the detector must give them"
                )
            # corners to left, top, width and height: in float64, so that nothing is rounded
            boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
            self.results.append(_ImageRows(sample.item, boxes, scores, sample.labels.numpy(), sample.masks))

    def compute_metrics(self, results: Sequence[_ImageRows]) -> dict[str, float]:
        """Compute COCO's numbers in percent from the detections of all processes.

        Raises:
            IncompleteError: an image is missing or was there twice.
        """
        # mmengine gathers named tuples as plain ones
        rows = sorted((_ImageRows(*each) for each in results), key=lambda each: each.item)
        # with several processes the last batch may be filled up; mmengine cuts that, and this makes sure
        self._require_complete([each.item for each in rows])
        detections = sort_detections(_join_rows(rows, self.has_masks))
        if self.result_file is not None:
            self.result_file.parent.mkdir(parents=True, exist_ok=True)
            # in one fixed order, so that two runs of one model write the same file
            write_detections(self.result_file, self.split, self.categories, detections)
        found = score_kinds(self.split, self.categories, detections)
        self.scores = list_scores(found)
        self.match_tables = {prefix: each.matches for prefix, each in found.items()}
        self.class_scores = name_class_scores(found, self.categories)
        self.second_implementation = {prefix: each.second for prefix, each in found.items()}
        # a found object is one with a box at IoU 0.50, also where masks are compared
        self.image_scores = score_images(self.split, detections, found["box"].matches)
        self.counts = count_detections(self.split, detections)
        return dict(self.scores)

    def _require_complete(self, items: Sequence[int]) -> None:
        times = Counter(items)
        wrong = [item for item in range(len(self.split)) if times[item] != 1]
        if wrong or len(items) != len(self.split):
            first = f": {self.split.images[wrong[0]].name} was there {times[wrong[0]]} times" if wrong else ""
            raise IncompleteError(
                f"{len(items)} outcomes for {len(self.split)} images{first}, so there is no score; run it again"
            )


def _join_rows(rows: Sequence[_ImageRows], has_masks: bool) -> DetectionColumns:
    sizes = [len(each.scores) for each in rows]
    return DetectionColumns(
        np.repeat(np.array([each.item for each in rows], np.int64), sizes),
        np.concatenate([np.zeros(0, np.int64), *(each.labels for each in rows)]),
        np.concatenate([np.zeros(0), *(each.scores for each in rows)]),
        np.concatenate([np.zeros((0, 4)), *(each.boxes for each in rows)]),
        [mask for each in rows for mask in each.masks or ()] if has_masks else None,
    )

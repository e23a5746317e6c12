"""mmengine's metric: gathers the areas of every image, and lets mmseg's IoUMetric count beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from PIL import Image

from foundation.errors import BenchError
from segmentation.data.labels import IGNORE_INDEX, LabelSpace
from segmentation.metrics import (
    ClassAreas,
    ImageScores,
    compute_segmentation_scores,
    count_class_areas,
    require_complete_items,
    score_image,
)
from segmentation.models.mmseg_imports import IoUMetric

MAX_SCORE_DIFFERENCE = 0.01
"""Percentage points by which the two implementations may differ (mmseg sums in float32)."""


class ImagePrediction(NamedTuple):
    """One segmented image: its number, class numbers found and true, (height, width) at native size, on the CPU."""

    item: int
    predicted: torch.Tensor
    truth: torch.Tensor


class ImageAreas(NamedTuple):
    """Areas of one image, by us and by mmseg (intersection, union, prediction, truth)."""

    item: int
    bench_areas: ClassAreas
    mmseg_areas: NDArray[np.float32]


def count_areas_twice(
    predicted: torch.Tensor, truth: torch.Tensor, num_classes: int
) -> tuple[ClassAreas, NDArray[np.float32]]:
    """Areas of one image (class numbers, 255 ignored in truth) by us, and by mmseg's ``intersect_and_union``."""
    theirs = IoUMetric.intersect_and_union(predicted.long(), truth.long(), num_classes, IGNORE_INDEX)
    return count_class_areas(predicted.numpy(), truth.numpy(), num_classes), torch.stack(theirs).numpy()


def compare_with_mmseg(bench_areas: ClassAreas, mmseg_areas: NDArray[np.float32]) -> dict[str, float | str]:
    """mmseg's numbers on the summed areas, and how far ours are from them (percentage points).

    Raises:
        BenchError: they differ by more than rounding, so one of them is wrong.
    """
    mine = compute_segmentation_scores(bench_areas)
    table = IoUMetric.total_area_to_metrics(*(torch.from_numpy(each) for each in mmseg_areas))
    values = {
        "mIoU": 100 * float(np.nanmean(table["IoU"])),
        "mIoU_all": 100 * float(np.nan_to_num(table["IoU"]).mean()),
        "aAcc": 100 * float(table["aAcc"]),
        "mAcc": 100 * float(np.nanmean(table["Acc"])),
    }
    apart = max(abs(values[name] - getattr(mine, name)) for name in values)
    if not apart <= MAX_SCORE_DIFFERENCE:
        raise BenchError(
            f"our mIoU {mine.mIoU:.4f} and mmseg's {values['mIoU']:.4f} do not agree, so there is no number; "
            "please report this"
        )
    return {"by": "mmseg IoUMetric", **values, "largest_difference": apart}


class SegmentationMetric(BaseMetric):
    """Demands every image once, counts it at native label size, and keeps its areas.

    Args:
        image_names: of the images, by item number.
        label_space: the label space.
        prediction_folder: where predictions are written as label PNGs in the set's own numbers; ``None`` for nowhere.

    Attributes:
        image_scores, image_areas, mmseg_check: after an evaluation, on the main process: a row an image,
            (images, 3, classes), and mmseg's numbers beside ours.
    """

    default_prefix = "segmentation"

    def __init__(
        self, image_names: Sequence[str], label_space: LabelSpace, prediction_folder: Path | None = None
    ) -> None:
        super().__init__(collect_device="cpu")
        self.image_names = image_names
        self.label_space = label_space
        self.prediction_folder = prediction_folder
        self.image_scores: list[ImageScores] = []
        self.image_areas: NDArray[np.int64] = np.empty(0, np.int64)
        self.mmseg_check: dict[str, float | str] = {}

    def process(self, data_batch: Any, data_samples: Sequence[ImagePrediction]) -> None:
        """Count a batch."""
        for sample in data_samples:
            self.results.append(
                ImageAreas(
                    sample.item, *count_areas_twice(sample.predicted, sample.truth, self.label_space.num_classes)
                )
            )
            if self.prediction_folder is not None:
                self._write_prediction(sample)

    def _write_prediction(self, sample: ImagePrediction) -> None:
        assert self.prediction_folder is not None
        path = self.prediction_folder / f"{self.image_names[sample.item]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.predicted.numpy().astype(np.uint8) + np.uint8(self.label_space.first_label)).save(path)

    def compute_metrics(self, results: Sequence[ImageAreas]) -> dict[str, float]:
        """The four scores in percent.

        Raises:
            IncompleteError: an image is missing or was scored twice.
        """
        counted = sorted(
            (ImageAreas(*each) for each in results), key=lambda each: each.item
        )  # gathered as plain tuples
        require_complete_items([each.item for each in counted], self.image_names)
        self.image_scores = [score_image(each.item, self.image_names[each.item], each.bench_areas) for each in counted]
        self.image_areas = np.stack([each.bench_areas for each in counted])
        theirs = torch.from_numpy(np.stack([each.mmseg_areas for each in counted])).sum(0).numpy()
        self.mmseg_check = compare_with_mmseg(self.image_areas.sum(0), theirs)
        total = compute_segmentation_scores(self.image_areas.sum(0))
        return {name: getattr(total, name) for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")}

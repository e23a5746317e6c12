"""The metric that mmengine calls: collects the pixel counts of every image and cross-checks them with mmseg.

mmseg's ``IoUMetric`` counts the same images independently. A run has a score only if the two implementations agree.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from PIL import Image

from foundation.errors import BenchError, NonFiniteError
from foundation.files import write_atomic
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
"""Largest difference between the two implementations, in percentage points (mmseg sums in float32)."""


class ImagePrediction(NamedTuple):
    """One segmented image: its index, and its predicted and true class indices (height, width) on the CPU.

    Both maps have the size of the label file. ``is_finite`` says whether all logits were finite numbers.
    """

    item: int
    predicted: torch.Tensor
    truth: torch.Tensor
    is_finite: bool = True


class ImageAreas(NamedTuple):
    """Pixel counts of one image: ours (3, classes) and mmseg's (4, classes: intersection, union, prediction, truth)."""

    item: int
    bench_areas: ClassAreas
    mmseg_areas: NDArray[np.float32]


def count_areas_twice(
    predicted: torch.Tensor, truth: torch.Tensor, num_classes: int
) -> tuple[ClassAreas, NDArray[np.float32]]:
    """Count one image with our code and with mmseg's ``intersect_and_union``.

    Args:
        predicted: class indices, (height, width).
        truth: class indices, (height, width); 255 where a pixel is not scored.
        num_classes: number of classes.

    Returns:
        Our counts (3, classes: intersection, prediction, truth) and mmseg's (4, classes: the union comes second).
    """
    theirs = IoUMetric.intersect_and_union(predicted.long(), truth.long(), num_classes, IGNORE_INDEX)
    return count_class_areas(predicted.numpy(), truth.numpy(), num_classes), torch.stack(theirs).numpy()


def compare_with_mmseg(bench_areas: ClassAreas, mmseg_areas: NDArray[np.float32]) -> dict[str, float | str]:
    """Compute the scores with mmseg's code and require that ours agree.

    Args:
        bench_areas: our counts summed over the images, (3, classes).
        mmseg_areas: mmseg's counts summed over the images, (4, classes).

    Returns:
        mmseg's scores in percent, and the largest difference to ours in percentage points.

    Raises:
        BenchError: the two differ by more than rounding, so one of them is wrong.
    """
    mine = compute_segmentation_scores(bench_areas)
    table = IoUMetric.total_area_to_metrics(*(torch.from_numpy(each) for each in mmseg_areas))
    values = {
        "mIoU": 100 * float(np.nanmean(table["IoU"])),  # mmseg's IoU of an absent class is 0 / 0 = NaN
        "mIoU_all": 100 * float(np.nan_to_num(table["IoU"]).mean()),  # NaN becomes 0: an absent class counts 0
        "aAcc": 100 * float(table["aAcc"]),
        "mAcc": 100 * float(np.nanmean(table["Acc"])),
    }
    apart = max(abs(values[name] - getattr(mine, name)) for name in values)
    if not apart <= MAX_SCORE_DIFFERENCE:  # "not <=" also catches NaN, which compares false either way
        raise BenchError(
            f"our mIoU {mine.mIoU:.4f} and mmseg's {values['mIoU']:.4f} do not agree, so there is no score; "
            "please report this"
        )
    return {"by": "mmseg IoUMetric", **values, "largest_difference": apart}


class SegmentationMetric(BaseMetric):
    """Counts every image at the size of its label file, and requires that each image is counted exactly once.

    Args:
        image_names: name of each image, by index.
        label_space: the classes and how label files number them.
        prediction_folder: where predictions are written as label PNGs; class k has the value ``first_label + k``,
            whatever the data set's own label files hold. ``None`` writes nothing.

    Attributes:
        image_scores: one row per image. This and the next two are set on the main process after an evaluation.
        image_areas: pixel counts, (images, 3, classes), int64.
        mmseg_check: mmseg's scores in percent and their largest difference to ours in percentage points.
    """

    default_prefix = "segmentation"

    def __init__(
        self, image_names: Sequence[str], label_space: LabelSpace, prediction_folder: Path | None = None
    ) -> None:
        super().__init__(collect_device="cpu")  # several processes exchange their rows through files, not GPU memory
        self.image_names = image_names
        self.label_space = label_space
        self.prediction_folder = prediction_folder
        self.image_scores: list[ImageScores] = []
        self.image_areas: NDArray[np.int64] = np.empty(0, np.int64)
        self.mmseg_check: dict[str, float | str] = {}

    def process(self, data_batch: Any, data_samples: Sequence[ImagePrediction]) -> None:
        """Count the images of a batch; mmengine calls this after each forward pass.

        Raises:
            NonFiniteError: a logit is not finite; argmax would call it the first class.
        """
        for sample in data_samples:
            if not sample.is_finite:
                raise NonFiniteError(
                    f"the outputs for image {self.image_names[sample.item]} are not finite, so it has no score; the "
                    "weights are too large (lower optimizer.lr) or damaged"
                )
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
        # as `bench score` reads predictions back
        stream = io.BytesIO()
        values = sample.predicted.numpy().astype(np.uint8) + np.uint8(self.label_space.first_label)
        Image.fromarray(values).save(stream, "PNG")
        write_atomic(path, stream.getvalue())

    def compute_metrics(self, results: Sequence[ImageAreas]) -> dict[str, float]:
        """Compute the four scores in percent from the rows of all processes.

        Raises:
            IncompleteError: an image is missing or was scored twice.
        """
        counted = sorted(
            (ImageAreas(*each) for each in results), key=lambda each: each.item
        )  # mmengine gathers named tuples as plain ones
        require_complete_items([each.item for each in counted], self.image_names)
        self.image_scores = [score_image(each.item, self.image_names[each.item], each.bench_areas) for each in counted]
        self.image_areas = np.stack([each.bench_areas for each in counted])  # (images, 3, classes)
        # summed in float32, as mmseg's own compute_metrics does; MAX_SCORE_DIFFERENCE allows for its rounding
        theirs = torch.from_numpy(np.stack([each.mmseg_areas for each in counted])).sum(0).numpy()
        self.mmseg_check = compare_with_mmseg(self.image_areas.sum(0), theirs)
        total = compute_segmentation_scores(self.image_areas.sum(0))
        return {name: getattr(total, name) for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")}

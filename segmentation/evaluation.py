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
from segmentation.data.labels import IGNORED, LabelSpace
from segmentation.metrics import Areas, Row, areas, require_all, row, scores
from segmentation.models.mmseg_imports import IoUMetric

MOST_APART = 0.01
"""Percentage points by which the two implementations may differ (mmseg sums in float32)."""


class Prediction(NamedTuple):
    """One segmented image: its number, class numbers found and true, (height, width) at native size, on the CPU."""

    item: int
    found: torch.Tensor
    truth: torch.Tensor


class Counted(NamedTuple):
    """Areas of one image, by us and by mmseg (intersection, union, prediction, truth)."""

    item: int
    ours: Areas
    mmseg: NDArray[np.float32]


def count_twice(found: torch.Tensor, truth: torch.Tensor, classes: int) -> tuple[Areas, NDArray[np.float32]]:
    """Areas of one image (class numbers, 255 ignored in truth) by us, and by mmseg's ``intersect_and_union``."""
    theirs = IoUMetric.intersect_and_union(found.long(), truth.long(), classes, IGNORED)
    return areas(found.numpy(), truth.numpy(), classes), torch.stack(theirs).numpy()


def compare(ours: Areas, theirs: NDArray[np.float32]) -> dict[str, float | str]:
    """mmseg's numbers on the summed areas, and how far ours are from them (percentage points).

    Raises:
        BenchError: they differ by more than rounding, so one of them is wrong.
    """
    mine = scores(ours)
    table = IoUMetric.total_area_to_metrics(*(torch.from_numpy(each) for each in theirs))
    values = {
        "mIoU": 100 * float(np.nanmean(table["IoU"])),
        "mIoU_all": 100 * float(np.nan_to_num(table["IoU"]).mean()),
        "aAcc": 100 * float(table["aAcc"]),
        "mAcc": 100 * float(np.nanmean(table["Acc"])),
    }
    apart = max(abs(values[name] - getattr(mine, name)) for name in values)
    if not apart <= MOST_APART:
        raise BenchError(
            f"our mIoU {mine.mIoU:.4f} and mmseg's {values['mIoU']:.4f} do not agree, so there is no number; "
            "please report this"
        )
    return {"by": "mmseg IoUMetric", **values, "largest_difference": apart}


class SegmentationMetric(BaseMetric):
    """Demands every image once, counts it at native label size, and keeps its areas.

    Args:
        names: of the images, by item number.
        space: the label space.
        folder: where predictions are written as label PNGs in the set's own numbers; ``None`` for nowhere.

    Attributes:
        rows, areas, check: after an evaluation, on the main process: a row an image, (images, 3, classes), and
            mmseg's numbers beside ours.
    """

    default_prefix = "segmentation"

    def __init__(self, names: Sequence[str], space: LabelSpace, folder: Path | None = None) -> None:
        super().__init__(collect_device="cpu")
        self.names = names
        self.space = space
        self.folder = folder
        self.rows: list[Row] = []
        self.areas: NDArray[np.int64] = np.empty(0, np.int64)
        self.check: dict[str, float | str] = {}

    def process(self, data_batch: Any, data_samples: Sequence[Prediction]) -> None:
        """Count a batch."""
        for sample in data_samples:
            self.results.append(Counted(sample.item, *count_twice(sample.found, sample.truth, self.space.classes)))
            if self.folder is not None:
                self._write(sample)

    def _write(self, sample: Prediction) -> None:
        assert self.folder is not None
        path = self.folder / f"{self.names[sample.item]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.found.numpy().astype(np.uint8) + np.uint8(self.space.first)).save(path)

    def compute_metrics(self, results: Sequence[Counted]) -> dict[str, float]:
        """The four scores in percent.

        Raises:
            IncompleteError: an image is missing or was scored twice.
        """
        counted = sorted((Counted(*each) for each in results), key=lambda each: each.item)  # gathered as plain tuples
        require_all([each.item for each in counted], self.names)
        self.rows = [row(each.item, self.names[each.item], each.ours) for each in counted]
        self.areas = np.stack([each.ours for each in counted])
        theirs = torch.from_numpy(np.stack([each.mmseg for each in counted])).sum(0).numpy()
        self.check = compare(self.areas.sum(0), theirs)
        total = scores(self.areas.sum(0))
        return {name: getattr(total, name) for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")}

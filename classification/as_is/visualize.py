"""Draw the test images of an evaluation, which may be others than those that a run of the task is tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.card import BackboneCard
from classification.as_is.preprocessing import Preprocessing, TransformedImages
from classification.visualize import IMAGE_SIDE, draw_test_items
from engine.data.item_limits import read_limit
from engine.data.task_images import TaskImages
from foundation.errors import DataError
from results.records.picture_manifest import DrawnPicture
from results.records.record import Record

if TYPE_CHECKING:
    from classification.data.dataset_splits import PreparedDataset


@dataclass(frozen=True)
class _EvaluatedImages:
    """Offers the images of the test split that a record was made on.

    Attributes:
        record: the record.
        load_test_split: as ``open_image_evaluation`` takes it.
    """

    record: Record
    load_test_split: Callable[[bool], PreparedDataset]

    def load_images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """Return the images, of whose center a square is taken.

        Raises:
            DataError: the data have changed since.
        """
        limit = read_limit(self.record.config.get("recipe"))
        # the record does not say which part of class folders it is, but its fingerprint does
        for whole_folder in (True, False):
            data = self.load_test_split(whole_folder)
            if data.limit_items(limit).fingerprint == self.record.data.fingerprint:
                pixels = Preprocessing((img_size, img_size), 1.0, "center", "bicubic", card.mean, card.std)
                return TransformedImages(data.splits[split], pixels)
        raise DataError(f"the test images in {root} are not those of the evaluation; restore the data")


def draw_evaluated_items(
    folder: Path, record: Record, data_root: Path, load_test_split: Callable[[bool], PreparedDataset]
) -> list[DrawnPicture]:
    """Draw sheets of the test images of an evaluation; nothing for ReaL labels, of which an image has several.

    Args:
        folder: the folder of the evaluation.
        record: its record.
        data_root: folder that contains the data sets.
        load_test_split: as ``open_image_evaluation`` takes it.

    Raises:
        DataError: the data have changed since.
    """
    # the rows of its table are numbered without the images that have no label
    if record.config.get("recipe", {}).get("labels") is not None:
        return []
    return draw_test_items(_EvaluatedImages(record, load_test_split), folder, record, data_root, IMAGE_SIDE)

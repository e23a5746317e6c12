"""Draw the test images of a finished run on sheets of small tiles: wrong answers, then right ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageOps

from backbones.card import BackboneCard
from classification.data.subset_sampling import LabeledDataset, LabeledSubset
from engine.data.item_limits import balance_indices, read_limit
from engine.data.task_images import TaskImages
from engine.pictures.encoding import make_picture
from engine.pictures.layout import BACKGROUND_COLOR, arrange_grid
from foundation.errors import DataError
from foundation.plural import format_count
from results.records.picture_manifest import DrawnPicture
from results.records.record import Record
from results.statistics.item_files import ItemTable, read_item_table

IMAGE_SIDE = 44
"""Side of a photograph on a sheet, pixels; smaller images are enlarged to at most this side."""
BORDER = 2
"""Pixels of white around each image, which belong to its tile."""
MAX_COMPLETE_ITEMS = 400
"""Of a larger test set, only the most confident wrong and right answers are drawn."""
NUM_WRONG, NUM_RIGHT = 100, 50
PHOTOS_PER_SHEET = 100
"""About 150 kB, below the limit of a file."""
_PIXEL_CARD = BackboneCard("pixels", "none", "", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Leaves pixel values in 0..1, so that the images which a task offers need not be converted back."""


class _AnsweredItem(NamedTuple):
    """A test item: its index, its class, in how many answers it was wrong, and the mean confidence of its answers."""

    item: int
    label: int
    num_wrong: int
    confidence: float


class ImageSource(Protocol):
    """What offers test images: a task, or the test split of an evaluation."""

    def load_images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """Return the images, as ``engine.task.Task`` does."""


def draw_test_items(
    source: ImageSource, folder: Path, record: Record, data_root: Path, img_size: int
) -> list[DrawnPicture]:
    """Draw all test items of a small test set, or those of a large one that the run was most sure of.

    Args:
        source: offers the images.
        folder: the run's folder.
        record: the run's record.
        data_root: folder that contains the data sets.
        img_size: side at which the task's images are read, pixels, at most ``IMAGE_SIDE``.

    Raises:
        DataError: the test images are no longer those that the run was scored on.
    """
    items = _sort_items(read_item_table(folder, record))
    all_images = source.load_images(data_root, "test", _PIXEL_CARD, img_size)
    images = LabeledSubset(all_images, balance_indices(all_images.labels, read_limit(record.config.get("recipe"))))
    for each in items:
        if not 0 <= each.item < len(images) or images.labels[each.item] != each.label:
            raise DataError(
                f"test image {each.item} is no longer the one that the run was scored on, so it cannot be drawn; "
                "restore the data, or run again with --fresh"
            )
    pictures = []
    limits = {"wrong": NUM_WRONG, "right": NUM_RIGHT} if len(items) > MAX_COMPLETE_ITEMS else {}
    for name in ("wrong", "right"):
        group = [each for each in items if (each.num_wrong > 0) == (name == "wrong")]
        drawn = group[: limits.get(name, len(group))]
        share = f"the {len(drawn)} most confident of " if len(drawn) < len(group) else ""
        title = f"{share}{format_count(len(group), f'{name} answer')}"
        size = PHOTOS_PER_SHEET if img_size == IMAGE_SIDE else MAX_COMPLETE_ITEMS
        sheets = [drawn[start : start + size] for start in range(0, len(drawn), size)]
        for number, sheet in enumerate(sheets, start=1):
            part = f", sheet {number} of {len(sheets)}" if len(sheets) > 1 else ""
            pictures.append(_draw_sheet(images, sheet, f"{name}_{number}", title + part))
    return pictures


def _sort_items(table: ItemTable) -> list[_AnsweredItem]:
    """Return each test item once: those with the most wrong answers first, among equals the most confident first."""
    answers: dict[tuple[int, int], list[tuple[bool, float]]] = {}
    columns = (table.columns[name] for name in ("item", "label", "prediction", "confidence"))
    for item, label, prediction, confidence in zip(*columns, strict=True):
        # a low-shot run answers each item once per draw
        answers.setdefault((int(item), int(label)), []).append((prediction != label, float(confidence)))
    items = [
        _AnsweredItem(item, label, sum(is_wrong for is_wrong, _ in given), sum(sure for _, sure in given) / len(given))
        for (item, label), given in answers.items()
    ]
    return sorted(items, key=lambda each: (-each.num_wrong, -each.confidence, each.item))


def _draw_sheet(images: LabeledDataset, items: Sequence[_AnsweredItem], stem: str, title: str) -> DrawnPicture:
    tiles = [_make_tile(images, each.item) for each in items]
    return make_picture(
        arrange_grid(tiles, num_columns=20 if len(items) > PHOTOS_PER_SHEET else 10),
        stem,
        "item_sheet",
        title,
        caption="Row by row, the most confident answer first.",
        items=tuple(str(each.item) for each in items),
        tile_size=tiles[0].size,
    )


def _make_tile(images: LabeledDataset, index: int) -> Image.Image:
    # (3, S, S) in 0..1 to (S, S, 3) in 0..255; bicubic interpolation can leave this range
    pixels = np.asarray(images[index]["images"]).transpose(1, 2, 0).clip(0, 1) * 255
    # every pixel of a small image becomes a square of equal size
    factor = max(1, IMAGE_SIDE // pixels.shape[0])
    large = pixels.round().astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    return ImageOps.expand(Image.fromarray(large), BORDER, BACKGROUND_COLOR)

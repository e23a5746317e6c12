"""The items of training and inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from detection.data.augmentation import ObjectColumns, draw_jitter, fit_size, transform_image, transform_objects
from detection.data.ground_truth import DetectionImage, DetectionSplit
from detection.data.read_image import read_rgb_image
from detection.data.samples import ImageTargets, InferenceImage, TrainingImage
from detection.recipe import DetectionRecipe

ImageReader = Callable[[DetectionImage], Image.Image]
"""Reads an image as RGB; negative controls read something else."""


def list_training_images(split: DetectionSplit) -> list[int]:
    """Return the indices of the images that have an object to train on: one that is no crowd, and has an area.

    Args:
        split: the split.
    """
    found = split.annotations
    usable = ~found.is_crowd & (found.boxes[:, 2] > 0) & (found.boxes[:, 3] > 0)
    return [int(image) for image in np.unique(found.images[usable])]


class DetectionTrainDataset:
    """Augmented training images. Images without an object to train on are left out, crowds too, as in detectron2.

    Args:
        split: images and objects.
        recipe: gives the side of the square and the augmentation.
        read_image: reads an image.

    Attributes:
        indices: index in the split of each item.
    """

    def __init__(
        self, split: DetectionSplit, recipe: DetectionRecipe, read_image: ImageReader = read_rgb_image
    ) -> None:
        self.split, self.recipe, self.read_image = split, recipe, read_image
        self.indices = list_training_images(split)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> TrainingImage:
        item = self.indices[index]
        entry = self.split.images[item]
        image = self.read_image(entry)
        plan = draw_jitter(entry.height, entry.width, self.recipe.size, self.recipe.train)
        objects = transform_objects(select_objects(self.split, item), plan)
        # a copy, since a crop is a view of the whole resized image, which workers would send along
        pixels = torch.from_numpy(transform_image(image, plan).copy()).permute(2, 0, 1).contiguous()
        targets = ImageTargets(
            torch.from_numpy(objects.boxes.astype(np.float32)), torch.from_numpy(objects.labels), objects.masks
        )
        return TrainingImage(item, pixels, targets)


def select_objects(split: DetectionSplit, image: int) -> ObjectColumns:
    """Return the objects of an image to train on, as corners.

    Args:
        split: images and objects.
        image: index of the image in the split.
    """
    found = split.annotations
    rows = np.arange(len(found))[found.find_rows(image)]
    # a crowd's box is no object's box, and an empty box gives regressions of infinity
    rows = rows[~found.is_crowd[rows] & (found.boxes[rows, 2:] > 0).all(1)]
    boxes = found.boxes[rows]
    masks = None if found.masks is None else [found.masks[row] for row in rows]
    return ObjectColumns(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1), found.labels[rows], masks)


class DetectionTestDataset:
    """Whole images, resized so that the longer side has a given length.

    Args:
        split: images and objects.
        size: length of the longer side, pixels.
        read_image: reads an image.
    """

    __test__ = False  # pytest would collect this class because of its name

    def __init__(self, split: DetectionSplit, size: int, read_image: ImageReader = read_rgb_image) -> None:
        self.split, self.size, self.read_image = split, size, read_image

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> InferenceImage:
        entry = self.split.images[index]
        return make_inference_image(index, self.read_image(entry), self.size)


def make_inference_image(item: int, image: Image.Image, size: int) -> InferenceImage:
    """Resize an image to detect in, bilinearly with antialiasing, as in training.

    Args:
        item: its index in the split.
        image: RGB.
        size: length of the longer side, pixels.
    """
    height, width = fit_size(image.height, image.width, size)
    # the size follows from the image as it was read, which may be turned
    small = image if (width, height) == image.size else image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(small, np.uint8)).permute(2, 0, 1).contiguous()
    return InferenceImage(item, pixels, (image.height, image.width))


def collate_as_lists(samples: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
    """Return a batch as the detector takes it, a list of samples: images differ in size."""
    return {"samples": list(samples)}

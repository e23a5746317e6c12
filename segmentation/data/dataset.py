"""Training and test items of any labeled data set, made by the transforms of mmseg and mmcv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mmcv
import torch
from mmcv.transforms import Compose, RandomFlip, RandomResize
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.files import ImageArray, read_image_pair
from segmentation.data.labels import LabelSpace
from segmentation.models.mmseg_imports import PackSegInputs, PhotoMetricDistortion, RandomCrop
from segmentation.recipe import InferenceSettings, SegmentationAugmentation

PairReader = Callable[[ImageLabelPair, LabelSpace], tuple[ImageArray, ImageArray]]
"""Reads an image (height, width, 3), uint8 BGR, and its class indices (height, width), uint8."""


def build_train_transforms(augmentation: SegmentationAugmentation, crop_size: int) -> Compose:
    """Build the training augmentation of mmseg's ADE20K configurations.

    The steps are RandomResize, RandomCrop, RandomFlip, PhotoMetricDistortion and packing. They draw from numpy's global
    random state, which ``engine.seeding.SeededDataset`` seeds for each item.

    Args:
        augmentation: the settings of the steps.
        crop_size: side of the crop, pixels.
    """
    with DefaultScope.overwrite_default_scope("mmseg"):
        # the order is part of the protocol: cropping before resizing would show other scales of the image
        steps = [
            RandomResize(scale=tuple(augmentation.scale), ratio_range=tuple(augmentation.ratio), keep_ratio=True),
            RandomCrop(crop_size=(crop_size, crop_size), cat_max_ratio=augmentation.cat_max_ratio),
            RandomFlip(prob=augmentation.flip),
            *([PhotoMetricDistortion()] if augmentation.photometric else []),
            PackSegInputs(),
        ]
        return Compose(steps)


class SegmentationTrainDataset:
    """Augmented training crops.

    An item has ``inputs`` (3, height, width), uint8 BGR, with sides of at most ``crop_size`` pixels, and
    ``data_samples`` with the label map ``gt_sem_seg``. Smaller crops are padded later, when the batch is put together.

    Args:
        pairs: the images and their label files.
        label_space: the classes and how label files number them.
        augmentation: the settings of the augmentation.
        crop_size: side of the crop, pixels.
        read_pair: reads an image with its labels.
    """

    def __init__(
        self,
        pairs: Sequence[ImageLabelPair],
        label_space: LabelSpace,
        augmentation: SegmentationAugmentation,
        crop_size: int,
        read_pair: PairReader = read_image_pair,
    ) -> None:
        self.pairs = pairs
        self.label_space = label_space
        self.read_pair = read_pair
        self.transforms = build_train_transforms(augmentation, crop_size)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs[index]
        image, labels = self.read_pair(pair, self.label_space)
        # what mmseg's own loading transforms would put there; seg_fields lists the maps to crop and flip with the image
        shape = image.shape[:2]
        content = {"img": image, "gt_seg_map": labels, "seg_fields": ["gt_seg_map"]}
        packed: dict[str, Any] = self.transforms({**content, "img_shape": shape, "ori_shape": shape})
        return packed


class SegmentationTestDataset:
    """Complete images for validation and testing.

    An item has ``inputs`` (3, h, w), uint8 BGR, resized to the protocol's scale; ``truth`` (height, width), uint8 class
    indices at the size of the label file; and ``item``, the index of the image.

    Args:
        pairs: the images and their label files.
        label_space: the classes and how label files number them.
        inference: gives the scale.
        read_pair: reads an image with its labels.
    """

    __test__ = False  # pytest would collect this class because of its name

    def __init__(
        self,
        pairs: Sequence[ImageLabelPair],
        label_space: LabelSpace,
        inference: InferenceSettings,
        read_pair: PairReader = read_image_pair,
    ) -> None:
        self.pairs = pairs
        self.label_space = label_space
        self.read_pair = read_pair
        self.scale = None if inference.scale is None else (inference.scale[0], inference.scale[1])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, truth = self.read_pair(self.pairs[index], self.label_space)
        if self.scale is not None:
            # the aspect ratio is kept; the truth is never resized, because that would change what is scored
            image = mmcv.imrescale(image, self.scale)
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return {"inputs": pixels, "truth": torch.from_numpy(truth), "item": index}


collate_as_lists = pseudo_collate
"""Puts items together to a batch: a mapping of lists and not of stacked tensors, since images differ in size."""

"""Training and test items of any labelled set, through mmseg's and mmcv's own transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmcv
import torch
from mmcv.transforms import Compose, RandomFlip, RandomResize
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.files import read_image_pair
from segmentation.data.labels import LabelSpace
from segmentation.models.mmseg_imports import PackSegInputs, PhotoMetricDistortion, RandomCrop
from segmentation.recipe import InferenceSettings, SegmentationAugmentation


def build_train_transforms(augmentation: SegmentationAugmentation, crop_size: int) -> Compose:
    """RandomResize, RandomCrop, RandomFlip, PhotoMetricDistortion and packing, as in mmseg's ADE20K configurations.

    They draw from numpy's global state, which ``engine.seeding.SeededDataset`` sets for each item.
    """
    with DefaultScope.overwrite_default_scope("mmseg"):
        steps = [
            RandomResize(scale=tuple(augmentation.scale), ratio_range=tuple(augmentation.ratio), keep_ratio=True),
            RandomCrop(crop_size=(crop_size, crop_size), cat_max_ratio=augmentation.cat_max_ratio),
            RandomFlip(prob=augmentation.flip),
            *([PhotoMetricDistortion()] if augmentation.photometric else []),
            PackSegInputs(),
        ]
        return Compose(steps)


class SegmentationTrainDataset:
    """Augmented crops: ``inputs`` (3, <= crop, <= crop) uint8 BGR, ``data_samples`` with ``gt_sem_seg``."""

    def __init__(
        self,
        pairs: Sequence[ImageLabelPair],
        label_space: LabelSpace,
        augmentation: SegmentationAugmentation,
        crop_size: int,
    ) -> None:
        self.pairs = pairs
        self.label_space = label_space
        self.transforms = build_train_transforms(augmentation, crop_size)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs[index]
        image, labels = read_image_pair(pair, self.label_space)
        shape = image.shape[:2]
        content = {"img": image, "gt_seg_map": labels, "seg_fields": ["gt_seg_map"]}
        packed: dict[str, Any] = self.transforms({**content, "img_shape": shape, "ori_shape": shape})
        return packed


class SegmentationTestDataset:
    """Whole images, resized as the protocol says: ``inputs`` (3, h, w) uint8 BGR, ``truth`` at native size."""

    __test__ = False  # not pytest's

    def __init__(self, pairs: Sequence[ImageLabelPair], label_space: LabelSpace, inference: InferenceSettings) -> None:
        self.pairs = pairs
        self.label_space = label_space
        self.scale = None if inference.scale is None else (inference.scale[0], inference.scale[1])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, truth = read_image_pair(self.pairs[index], self.label_space)
        if self.scale is not None:
            image = mmcv.imrescale(image, self.scale)
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return {"inputs": pixels, "truth": torch.from_numpy(truth), "item": index}


collate_as_lists = pseudo_collate
"""Items to a batch: a mapping of lists, since sizes differ."""

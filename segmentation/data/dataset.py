"""Training and test items of any labelled set, through mmseg's and mmcv's own transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmcv
import torch
from mmcv.transforms import Compose, RandomFlip, RandomResize
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from segmentation.data.files import read_pair
from segmentation.data.labels import LabelSpace
from segmentation.data.dataset_layout import Pair
from segmentation.models.mmseg_imports import PackSegInputs, PhotoMetricDistortion, RandomCrop
from segmentation.recipe import Augmentation, Testing


def augmentations(train: Augmentation, crop: int) -> Compose:
    """RandomResize, RandomCrop, RandomFlip, PhotoMetricDistortion and packing, as in mmseg's ADE20K configurations.

    They draw from numpy's global state, which ``engine.seeding.SeededItems`` sets for each item.
    """
    with DefaultScope.overwrite_default_scope("mmseg"):
        steps = [
            RandomResize(scale=tuple(train.scale), ratio_range=tuple(train.ratio), keep_ratio=True),
            RandomCrop(crop_size=(crop, crop), cat_max_ratio=train.cat_max_ratio),
            RandomFlip(prob=train.flip),
            *([PhotoMetricDistortion()] if train.photometric else []),
            PackSegInputs(),
        ]
        return Compose(steps)


class TrainItems:
    """Augmented crops: ``inputs`` (3, <= crop, <= crop) uint8 BGR, ``data_samples`` with ``gt_sem_seg``."""

    def __init__(self, pairs: Sequence[Pair], space: LabelSpace, train: Augmentation, crop: int) -> None:
        self.pairs = pairs
        self.space = space
        self.augment = augmentations(train, crop)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs[index]
        image, labels = read_pair(pair, self.space)
        shape = image.shape[:2]
        content = {"img": image, "gt_seg_map": labels, "seg_fields": ["gt_seg_map"]}
        packed: dict[str, Any] = self.augment({**content, "img_shape": shape, "ori_shape": shape})
        return packed


class TestItems:
    """Whole images, resized as the protocol says: ``inputs`` (3, h, w) uint8 BGR, ``truth`` at native size."""

    __test__ = False  # not pytest's

    def __init__(self, pairs: Sequence[Pair], space: LabelSpace, test: Testing) -> None:
        self.pairs = pairs
        self.space = space
        self.scale = None if test.scale is None else (test.scale[0], test.scale[1])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, truth = read_pair(self.pairs[index], self.space)
        if self.scale is not None:
            image = mmcv.imrescale(image, self.scale)
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return {"inputs": pixels, "truth": torch.from_numpy(truth), "item": index}


collate = pseudo_collate
"""Items to a batch: a mapping of lists, since sizes differ."""

"""The miniature has what makes COCO difficult, and its items are what the detector expects."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from detection.data.augmentation import fit_size
from detection.data.checks import check_detection_data, compute_fingerprint
from detection.data.dataset import DetectionTestDataset, DetectionTrainDataset, collate_as_lists
from detection.data.ground_truth import DetectionDataset
from detection.data.instance_masks import measure_mask, pack_mask
from detection.data.item_limits import limit_dataset
from detection.recipe import DetectionRecipe
from detection.tasks import MINI_COCO
from engine.seeding import SeededDataset, SeededIndex
from foundation.environment import resolve_data_root

RECIPE = {
    "iterations": 1,
    "batch_size": 2,
    "optimizer": {"name": "AdamW", "lr": 1e-4},
    "schedule": {"name": "step"},
    "size": 128,
}


@pytest.fixture(scope="module")
def mini() -> DetectionDataset:
    return MINI_COCO.find_dataset(resolve_data_root(None))


def test_it_has_what_makes_coco_difficult(mini: DetectionDataset) -> None:
    assert {name: len(split) for name, split in mini.splits.items()} == dict(MINI_COCO.expected)
    ids = [category.id for category in mini.categories]
    assert ids != list(range(1, len(ids) + 1)), "ids with gaps"
    test, train = mini.splits["test"].annotations, mini.splits["train"].annotations
    assert set(train.labels) - set(test.labels) == {len(ids) - 1}, "a category that is never tested"
    per_image = Counter(test.images.tolist())
    assert max(per_image.values()) > 100 and len(per_image) == len(mini.splits["test"]) - 1
    for objects in (test, train):
        assert objects.is_crowd.sum() == 1 and {1024.0, 9216.0} <= set(objects.areas)
        assert (objects.areas < 1024).any() and (objects.areas > 9216).any() and mini.has_masks
        assert {type(mask) for mask in objects.masks or ()} == {list, dict}, "polygons and run lengths"


def test_boxes_and_areas_are_those_of_the_masks(mini: DetectionDataset) -> None:
    for split in mini.splits.values():
        objects = split.annotations
        assert objects.masks is not None
        for row, mask in enumerate(objects.masks):
            image = split.images[objects.images[row]]
            pixels, box = measure_mask(mask, image.height, image.width)
            assert pixels == objects.areas[row]
            np.testing.assert_allclose(objects.boxes[row], box, atol=0.011)  # rounded to 0.01 px
            assert (objects.boxes[row, :2] + objects.boxes[row, 2:] <= [image.width, image.height]).all()


def test_pycocotools_reads_it(mini: DetectionDataset) -> None:
    file = mini.root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    assert len(content["annotations"]) == len(mini.splits["test"].annotations)
    assert min(each["id"] for each in content["annotations"]) > 0


def test_training_items_fit_into_the_square_and_repeat_by_seed(mini: DetectionDataset) -> None:
    dataset = DetectionTrainDataset(mini.splits["train"], DetectionRecipe.model_validate(RECIPE))
    # the image without objects is left out
    assert len(dataset) == len(mini.splits["train"]) - 1
    for index in range(len(dataset)):
        request = SeededIndex(index, seed=index)
        first, again = SeededDataset(dataset)[request], SeededDataset(dataset)[request]
        assert torch.equal(first.image, again.image) and torch.equal(first.targets.boxes, again.targets.boxes)
        assert first.image.dtype == torch.uint8 and max(first.image.shape[1:]) <= 128
        boxes, masks = first.targets.boxes, first.targets.masks
        assert masks is not None and len(boxes) == len(masks) == len(first.targets.labels)
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        height, width = first.image.shape[1:]
        assert (boxes[:, [2, 0]] <= width + 1e-4).all() and (boxes[:, [3, 1]] <= height + 1e-4).all()
        for box, mask in zip(boxes.numpy(), masks, strict=True):
            left, top, wide, high = coco_mask.toBbox(pack_mask(mask, height, width))
            # a polygon's pixels lie within its box, or round it by a pixel
            assert left >= box[0] - 1 and top >= box[1] - 1
            assert left + wide <= box[2] + 1 and top + high <= box[3] + 1


def test_test_items_are_whole_images(mini: DetectionDataset) -> None:
    dataset = DetectionTestDataset(mini.splits["test"], 128)
    batch = collate_as_lists([dataset[index] for index in range(3)])["samples"]
    for sample, image in zip(batch, mini.splits["test"].images[:3], strict=True):
        assert sample.original_size == (image.height, image.width)
        assert tuple(sample.image.shape[1:]) == fit_size(image.height, image.width, 128)


def test_the_fingerprint_covers_images_and_objects(mini: DetectionDataset) -> None:
    report = check_detection_data(mini, "sample", MINI_COCO.expected)
    assert report.deviations == () and report.duplicates == () and report.coverage == "the bytes of every file"
    digests = {split: [str(index) for index in range(len(each))] for split, each in mini.splits.items()}
    base = compute_fingerprint(mini, digests)
    test = mini.splits["test"]
    for changes in (
        {"boxes": test.annotations.boxes + 0.01},
        {"areas": test.annotations.areas + 1},
        {"labels": test.annotations.labels[::-1]},
        {"is_crowd": ~test.annotations.is_crowd},
        {"masks": list(reversed(test.annotations.masks or ()))},
    ):
        changed = replace(test, annotations=replace(test.annotations, **changes))
        assert compute_fingerprint(replace(mini, splits={**mini.splits, "test": changed}), digests) != base
    other_image = {**digests, "test": [*digests["test"][:-1], "x"]}
    assert compute_fingerprint(mini, other_image) != base
    assert compute_fingerprint(replace(mini, root=mini.root.parent), digests) == base


def test_a_limit_keeps_images_with_their_objects(mini: DetectionDataset) -> None:
    part = limit_dataset(mini, 5).splits["test"]
    assert len(part) == 5
    whole = mini.splits["test"]
    for index, image in enumerate(part.images):
        place = list(whole.images).index(image)
        mine, theirs = part.annotations.find_rows(index), whole.annotations.find_rows(place)
        assert part.annotations.ids[mine].tolist() == whole.annotations.ids[theirs].tolist()

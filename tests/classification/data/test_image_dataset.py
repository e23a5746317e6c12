"""Images as network input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from classification.data.dataset_splits import ImageSplit
from classification.data.image_collections import ImageArrays
from classification.data.image_dataset import ImageDataset
from classification.recipe import ImageRecipe, KnnRecipe
from engine.seeding import SeededDataset, SeededIndex

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def split(count: int = 3, side: int = 48) -> ImageSplit:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side + 16, 3), np.uint8)
    return ImageSplit(ImageArrays(pixels, "x"), range(count), [0, 1, 0])


def recipe(**changes: Any) -> ImageRecipe:
    base: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 2,
        "optimizer": {"name": "SGD", "lr": 0.1},
        "schedule": {"name": "cosine"},
        "img_size": 32,
    }
    return ImageRecipe.model_validate(base | changes)


def test_evaluation_is_resize_crop_normalise_written_out() -> None:
    """Against PIL alone: the shorter side to 32 / 0.8 = 40, bicubic, the centre 32 x 32."""
    images = split()
    item = ImageDataset(images, KnnRecipe(img_size=32, crop_pct=0.8), MEAN, STD)[1]
    whole = Image.fromarray(images.images.pixels[1])  # type: ignore[attr-defined]
    width = int(40 * 64 / 48)
    small = np.asarray(whole.resize((width, 40), Image.Resampling.BICUBIC))
    left, top = round((width - 32) / 2), 4
    crop = small[top : top + 32, left : left + 32].astype(np.float32) / 255
    expected = (crop - np.float32(MEAN)) / np.float32(STD)
    assert np.abs(item["images"].permute(1, 2, 0).numpy() - expected).max() < 1e-5
    assert (item["labels"], item["item"]) == (1, 1)


def test_evaluation_has_the_pixels_of_timms_own_pipeline() -> None:
    """Bit for bit, for images that are enlarged and reduced."""
    for side in (24, 48, 90):
        images = split(side=side)
        items = ImageDataset(images, KnnRecipe(img_size=32, crop_pct=0.9), MEAN, STD)
        wanted = items.transform(Image.fromarray(images.images.pixels[1]))  # type: ignore[attr-defined]
        found = items[1]["images"]
        assert found.dtype == torch.float32
        assert torch.equal(found, wanted)


def test_training_is_timms_own_pipeline() -> None:
    settings = {"scale": [0.2, 0.9], "flip": 0.3, "rand_augment": "rand-m9-mstd0.5-inc1", "erase": 0.25}
    items = SeededDataset(ImageDataset(split(), recipe(**settings), MEAN, STD, augment=True))
    theirs = create_transform(
        32,
        is_training=True,
        scale=(0.2, 0.9),
        hflip=0.3,
        color_jitter=None,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic",
        mean=MEAN,
        std=STD,
        re_prob=0.25,
        re_mode="pixel",
    )

    class Plain:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return theirs(split().images.load_image(index))

    for seed in range(8):
        assert torch.equal(items[SeededIndex(2, seed)]["images"], SeededDataset(Plain())[SeededIndex(2, seed)])


@pytest.mark.parametrize(
    "changed",
    [{"scale": [0.5, 0.6]}, {"flip": 1.0}, {"rand_augment": "rand-m9-mstd0.5-inc1"}, {"erase": 1.0}, {"img_size": 40}],
)
def test_each_setting_changes_the_pixels(changed: dict[str, Any]) -> None:
    plain, other = (SeededDataset(ImageDataset(split(), recipe(**c), MEAN, STD, augment=True)) for c in ({}, changed))
    assert any(
        not torch.equal(plain[SeededIndex(0, s)]["images"], other[SeededIndex(0, s)]["images"]) for s in range(8)
    )


def test_evaluation_draws_nothing_and_says_all_it_does() -> None:
    items = ImageDataset(split(), recipe(rand_augment="rand-m9-mstd0.5-inc1"), MEAN, STD)
    assert torch.equal(items[0]["images"], items[0]["images"])
    for change in ({"crop_pct": 1.0}, {"img_size": 40}):
        assert ImageDataset(split(), recipe(**change), MEAN, STD).get_preprocessing() != items.get_preprocessing()
    assert ImageDataset(split(), recipe(), STD, STD).get_preprocessing() != items.get_preprocessing()
    assert ImageDataset(split(), recipe(), MEAN, MEAN).get_preprocessing() != items.get_preprocessing()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 0.8}, "mixup and cutmix pair the images"),
        ({"cutmix": 1.0, "drop_last": True, "batch_size": 3}, "mixup and cutmix pair the images"),
        ({"scale": [0.5, 0.2]}, "not a range of fractions"),
    ],
)
def test_settings_that_do_not_hold(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


def test_the_strongest_posterization_is_a_black_image() -> None:
    """RandAugment reaches it about once in a thousand images; Pillow from version 13 on refuses to make it."""
    transform = ImageDataset(split(), recipe(rand_augment="rand-m10-inc1"), MEAN, STD, augment=True).transform
    (augment,) = [step for step in transform.transforms if hasattr(step, "ops")]
    (posterize,) = [operation for operation in augment.ops if operation.name == "PosterizeIncreasing"]
    posterize.prob = 1.0
    black = posterize(Image.new("RGB", (4, 3), (200, 100, 50)))
    assert black.size == (4, 3)
    assert not np.asarray(black).any()

"""Small labelled sets and recipes made up for tests."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.config import load_protocol
from segmentation.recipe import SegmentationRecipe
from segmentation.tasks import CONFIG_DIR


def make_recipe(name: str, *changes: str, tier: str = "full") -> SegmentationRecipe:
    """A shipped protocol's recipe with changes."""
    return load_protocol(CONFIG_DIR / f"{name}.py", SegmentationRecipe, tier, changes).recipe


def save_pair(folder: Path, split: str, name: str, labels: Any, size: tuple[int, int] | None = None) -> None:
    """An image of noise and its labels (height, width) in ADEChallengeData2016's layout."""
    labels = np.asarray(labels, np.uint8)
    height, width = size or labels.shape
    noise = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 255, (height, width, 3), np.uint8)
    for part, array, ending in (("images", noise, ".jpg"), ("annotations", labels, ".png")):
        target = folder / "ADEChallengeData2016" / part / split
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(target / (name + ending))


def write_small_ade(root: Path) -> Path:
    """Two training and two validation pairs of 40 x 48 px."""
    for split, stem in (("training", "ADE_train"), ("validation", "ADE_val")):
        for number in (1, 2):
            labels = np.random.default_rng(number).integers(0, 151, (40, 48))
            save_pair(root, split, f"{stem}_{number:08d}", labels)
    return root / "ADEChallengeData2016"

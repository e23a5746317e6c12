"""Small annotation files and images for the tests of the readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def make_content(**changes: Any) -> dict[str, Any]:
    """Return a valid annotation file with three images and two objects, with some tables replaced."""
    images = [{"id": number, "file_name": f"{number}.png", "height": 20, "width": 40} for number in (9, 4, 6)]
    objects = [
        make_object(id=11, image_id=9, segmentation=[[2, 3, 12, 3, 12, 8, 2, 8]]),
        make_object(
            id=12, image_id=4, category_id=7, bbox=[0, 0, 4, 2], area=8, segmentation=[[0, 0, 4, 0, 4, 2, 0, 2]]
        ),
    ]
    categories = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]
    return {"info": {}, "images": images, "annotations": objects, "categories": categories, **changes}


def make_object(**changes: Any) -> dict[str, Any]:
    """Return an object of image 9, with some fields replaced; those that are ``None`` are left out."""
    fields = {"id": 11, "image_id": 9, "category_id": 2, "bbox": [2, 3, 10, 5], "area": 50, "iscrowd": 0, **changes}
    return {key: value for key, value in fields.items() if value is not None}


def write_annotations(folder: Path, content: Mapping[str, Any] | str) -> Path:
    """Write an annotation file, and images of 40 x 20 px for what it lists; return the file."""
    path = folder / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for name in ("9", "4", "6"):
        write_picture(folder / f"{name}.png", int(name))
    return path


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (20, 40)) -> None:
    """Write an image of noise, of the given height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)

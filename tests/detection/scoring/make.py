"""A small ground truth whose AP follows by hand, and files of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

SIDES = (40, 50)
"""Height and width of the images."""


def make_truth() -> dict[str, Any]:
    """Two images and an empty one; categories 3 and 7; a square of 10 px each, one crowd.

    Image 5 has two objects of category 3 and a crowd of category 7; image 9 has one of each category.
    """
    height, width = SIDES
    boxes = [(5, 3, 0, 0, 0), (5, 3, 20, 0, 0), (5, 7, 0, 20, 1), (9, 3, 0, 0, 0), (9, 7, 20, 20, 0)]
    annotations = [
        {
            "id": place + 1,
            "image_id": image,
            "category_id": category,
            "bbox": [left, top, 10, 10],
            "area": 100,
            "iscrowd": crowd,
            "segmentation": make_run_lengths(left, top) if crowd else [make_outline(left, top)],
        }
        for place, (image, category, left, top, crowd) in enumerate(boxes)
    ]
    names = {5: "a.png", 9: "b.png", 12: "c.png"}
    return {
        "images": [{"id": key, "file_name": name, "height": height, "width": width} for key, name in names.items()],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 8, "name": "never there"}],
    }


def make_outline(left: int, top: int) -> list[int]:
    """Return the polygon of a square of 10 px."""
    return [left, top, left + 10, top, left + 10, top + 10, left, top + 10]


def make_run_lengths(left: int, top: int) -> dict[str, Any]:
    """Return the compressed run lengths of a square of 10 px, as a results file has them."""
    packed = coco_mask.frPyObjects([make_outline(left, top)], *SIDES)[0]
    return {"size": list(SIDES), "counts": packed["counts"].decode()}


def make_detection(image: int, category: int, box: list[float], score: float, **more: Any) -> dict[str, Any]:
    """Return one row of a results file."""
    return {"image_id": image, "category_id": category, "bbox": box, "score": score, **more}


def write_json(path: Path, content: Any) -> Path:
    """Write a file and return its path."""
    path.write_text(json.dumps(content))
    return path

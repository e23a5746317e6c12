"""Recipes of the shipped protocols, and small sets of images with objects made up for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from detection.data.ground_truth import DetectionSplit
from detection.data.samples import ImageDetections
from detection.recipe import DetectionRecipe
from detection.tasks import CONFIG_DIR
from engine.config import load_protocol

CATEGORY_IDS = (1, 2, 4, 7)
"""With gaps, as COCO's own."""


def load_recipe(name: str, *changes: str, tier: str = "full") -> DetectionRecipe:
    """A shipped protocol's recipe with changes."""
    return load_protocol(CONFIG_DIR / f"{name}.py", DetectionRecipe, tier, ("loggers=[]", *changes)).recipe


def draw_objects(number: int, height: int, width: int) -> tuple[np.ndarray[Any, Any], list[dict[str, Any]]]:
    """An image of up to three rectangles on noise, by arithmetic alone, and their annotations without ids."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    image = np.stack([(x * 7 + y * 3 + 50 * number) % 97 + k * 20 for k in range(3)], 2).astype(np.uint8)
    annotations = []
    for place in range(1 + number % 3):
        w, h = 24 + 5 * ((number + place) % 4), 20 + 6 * ((number + 2 * place) % 3)
        left, top = (13 * number + 37 * place) % (width - w), (7 * number + 29 * place) % (height - h)
        label = (number + place) % len(CATEGORY_IDS)
        image[top : top + h, left : left + w] = (60 * label, 255 - 60 * label, 128)
        annotations.append(
            {
                "category_id": CATEGORY_IDS[label],
                "bbox": [float(left), float(top), float(w), float(h)],
                "area": float(w * h),
                "iscrowd": 0,
                "segmentation": [[left, top, left + w, top, left + w, top + h, left, top + h]],
            }
        )
    return image, annotations


def write_annotated(images: Path, annotation_file: Path, first: int, count: int) -> None:
    """Images of 96 x 128 px and their annotation file in COCO's format."""
    images.mkdir(parents=True, exist_ok=True)
    annotation_file.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": each, "name": f"class {each}"} for each in CATEGORY_IDS],
    }
    for number in range(first, first + count):
        pixels, annotations = draw_objects(number, 96, 128)
        name = f"{number:012d}.png"
        Image.fromarray(pixels).save(images / name)
        content["images"].append({"id": 3 * number, "file_name": name, "height": 96, "width": 128})
        for each in annotations:
            content["annotations"].append(
                {**each, "image_id": 3 * number, "id": len(content["annotations"]) + 1 + 1000 * first}
            )
    annotation_file.write_text(json.dumps(content))


def write_small_coco(root: Path, count: int = 6) -> None:
    """COCO's layout with a few images in each split."""
    for split, first in (("train2017", 1), ("val2017", 101)):
        folder = root / "coco"
        write_annotated(folder / split, folder / "annotations" / f"instances_{split}.json", first, count)


def make_detections(split: DetectionSplit) -> list[ImageDetections]:
    """Detections of the objects of a split: right, shifted, of the wrong class, with equal scores; image 1 has none."""
    found = []
    for item, image in enumerate(split.images):
        rows = split.annotations.find_rows(item)
        boxes, labels = split.annotations.boxes[rows].copy(), split.annotations.labels[rows].copy()
        places = np.arange(len(boxes))
        boxes[:, 0] += (places + item) % 4 * 2.0
        labels[(places + item) % 5 == 4] = 0
        chosen = places if item != 1 else places[:0]
        scores = np.round(0.95 - 0.1 * ((places + 2 * item) % 7), 2)
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)[chosen]
        outlines = [[x, y, u, y, u, v, x, v] for x, y, u, v in corners.tolist()]
        masks = [coco_mask.frPyObjects([each], image.height, image.width)[0] for each in outlines]
        found.append(
            ImageDetections(
                item,
                torch.tensor(corners, dtype=torch.float32).reshape(-1, 4),
                torch.tensor(scores[chosen], dtype=torch.float32),
                torch.tensor(labels[chosen]),
                masks,
            )
        )
    return found


def write_small_folder(root: Path, count: int = 6) -> None:
    """A user's own images: an annotation file within the folder of each split."""
    for split, first in (("train", 1), ("test", 101)):
        write_annotated(root / split, root / split / "_annotations.coco.json", first, count)

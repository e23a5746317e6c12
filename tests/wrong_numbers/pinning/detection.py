"""What is pinned of the detection protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from backbones.registry import get_card
from detection.data.dataset import DetectionTestDataset, DetectionTrainDataset
from detection.data.ground_truth import Annotations, Category, DetectionImage, DetectionSplit
from detection.evaluation import DetectionMetric
from detection.models.boxes import apply_deltas
from detection.models.input_batch import make_square_batch
from detection.models.paste import paste_masks
from detection.recipe import DetectionRecipe
from detection.tasks import COCO, COCOFOLDER, MINI_COCO, MINI_SHAPES, DetectionTask
from engine.config import load_protocol
from engine.data.decode import open_rgb
from engine.seeding import seed_all
from tests.detection.make import make_detections, write_small_coco, write_small_folder
from tests.wrong_numbers.pinning.first_steps import FirstSteps, run_first_steps
from tests.wrong_numbers.pinning.inputs import describe_pixels, find_jpeg, get_work_folder, make_photo
from tests.wrong_numbers.pinning.recipes import describe_settings, list_config_files, trace_learning_rates

FILES = list_config_files("detection")
TASKS: Mapping[str, DetectionTask] = {task.name: task for task in (COCO, MINI_COCO, MINI_SHAPES, COCOFOLDER)}
SMALL = (
    *("batch_size=4", "norm_group=2", "loggers=[]", "workers=0", "size=96", "precision=fp32", "model.channels=16"),
    *("model.box_channels=16", "model.proposals.per_level=[60, 40]", "model.proposals.per_image=[40, 30]"),
    *("model.proposals.sampled_anchors=32", "model.proposals.sampled_regions=16", "schedule.warmup=0"),
)


def list_sections(name: str) -> Mapping[str, Callable[[str], Any]]:
    """Return what is measured of a protocol, by section."""
    return {
        "settings": lambda each: describe_settings(FILES[each], DetectionRecipe),
        "preprocessing": measure_preprocessing,
        "plan": lambda each: sorted(train_protocol(each).plan.config),
        "optimizer": lambda each: train_protocol(each).optimizer,
        "learning_rates": measure_learning_rates,
        "losses": lambda each: train_protocol(each).losses,
    }


def _load_recipe(name: str) -> DetectionRecipe:
    return load_protocol(FILES[name], DetectionRecipe, "full", ["loggers=[]"]).recipe


def measure_learning_rates(name: str) -> Any:
    """Return the learning rates of a full training at the steps around its changes."""
    recipe = _load_recipe(name)
    if recipe.length > 20_000:  # the steps of the longest are compared with a formula elsewhere, which takes 10 s here
        short = {"iterations": 2_000, "schedule": recipe.schedule.model_copy(update={"milestones": [1_777, 1_925]})}
        recipe = recipe.model_copy(update=short)
    return trace_learning_rates(recipe, train_protocol(name).learning_rates)


def measure_preprocessing(name: str) -> Any:
    """Return a test image and an augmented training image before the network, and the boxes of the latter."""
    recipe = _load_recipe(name)
    folder = get_work_folder("detection-photo")
    Image.fromarray(make_photo()).save(folder / "photo.png")
    split = _make_photo_split(folder / "photo.png")
    tested = DetectionTestDataset(split, recipe.size)[0]
    seed_all(11)
    trained = DetectionTrainDataset(split, recipe)[0]
    card = get_card("vit_nano")
    batch = make_square_batch([tested.image], recipe.size, torch.tensor(card.mean), torch.tensor(card.std))
    return {
        "size": list(tested.image.shape[1:]),
        "pixels": describe_pixels(batch[0]),
        "train_size": list(trained.image.shape[1:]),
        "followed": trained.targets.boxes.flatten().tolist(),
        "decoded": describe_pixels(trained.image),
    }


def _make_photo_split(path: Path) -> DetectionSplit:
    """One image of 180 x 240 px with two objects."""
    outlines = ([[20.0, 30], [90, 40], [60, 100]], [[120.0, 60], [200, 60], [200, 150], [120, 150]])
    annotations = Annotations(
        images=np.zeros(2, np.int64),
        ids=np.array([1, 2]),
        labels=np.array([0, 1]),
        boxes=np.array([[20.0, 30, 70, 70], [120, 60, 80, 90]]),
        areas=np.array([2_300.0, 7_200]),
        is_crowd=np.zeros(2, bool),
        masks=[[np.array(outline)] for outline in outlines],
    )
    return DetectionSplit([DetectionImage(1, "photo.png", path, 180, 240)], annotations)


@cache
def train_protocol(name: str) -> FirstSteps:
    """Run the first steps of a protocol with a small backbone on a small data set in the genuine layout."""
    task_name = next(each for each in TASKS if name.startswith(f"{each}_"))
    protocol, root = name.removeprefix(f"{task_name}_"), get_work_folder(f"data-{task_name}")
    if task_name == "coco":
        write_small_coco(root)
    elif task_name == "cocofolder":
        write_small_folder(root)
    return run_first_steps(TASKS[task_name], protocol, get_card("vit_nano"), SMALL, root, get_work_folder(name))


@cache
def _score_fixed_detections() -> DetectionMetric:
    """Score made-up detections of made-up objects: right, shifted, of the wrong class, with equal scores, none."""
    split, categories = _make_scored_split()
    metric = DetectionMetric(split, categories, True)
    metric.process({}, make_detections(split))
    metric.evaluate(len(split))
    return metric


def _make_scored_split() -> tuple[DetectionSplit, list[Category]]:
    """Twelve images with up to five squares of four classes, one of them a crowd."""
    rows = [(image, place) for image in range(12) for place in range(image % 6)]
    sides = np.array([8.0 + 13 * ((3 * image + place) % 9) for image, place in rows])
    corners = np.array([(5.0 * place + image, 11.0 * place) for image, place in rows])
    boxes = np.concatenate([corners, sides[:, None], sides[:, None]], 1)
    outlines = [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]) for x, y, w, h in boxes]
    annotations = Annotations(
        images=np.array([image for image, _ in rows]),
        ids=np.arange(1, len(rows) + 1),
        labels=np.array([(image + place) % 4 for image, place in rows]),
        boxes=boxes,
        areas=sides**2,
        is_crowd=np.arange(len(rows)) == 7,
        masks=[[each] for each in outlines],
    )
    images = [DetectionImage(3 * k + 1, f"{k}.png", Path(f"{k}.png"), 200, 200) for k in range(12)]
    return DetectionSplit(images, annotations), [Category(id, f"class {id}") for id in (1, 2, 4, 7)]


def measure_scores() -> Any:
    """Return COCO's numbers of fixed detections."""
    return {name: value for name, value in _score_fixed_detections().scores.items() if value is not None}


def measure_second_implementation() -> Any:
    """Return the numbers of the second implementation."""
    found = _score_fixed_detections().second_implementation
    return {
        kind: {name: value for name, value in found[kind].items() if isinstance(value, float) and name[0] == "A"}
        for kind in ("box", "mask")
    }


def measure_geometry() -> Any:
    """Return decoded boxes and pasted masks."""
    boxes = torch.tensor([[10.0, 20, 50, 90], [0, 0, 7, 3]])
    decoded = apply_deltas(boxes, torch.tensor([[0.3, -0.2, 0.5, 0.1], [2.0, 1, 9, -1]]), (10.0, 10.0, 5.0, 5.0))
    cells = np.linspace(0.2, 0.9, 28 * 28, dtype=np.float32).reshape(1, 28, 28)
    (mask,) = paste_masks(cells, np.array([[3.4, 5.1, 40.2, 33.3]], np.float32), (50, 60))
    return {"logits": decoded.flatten().tolist(), "mask": str(mask["counts"])}


def measure_decoding() -> Any:
    """Return what is decoded from a JPEG photograph."""
    return {"decoded": describe_pixels(np.asarray(open_rgb(find_jpeg())).transpose(2, 0, 1))}


SHARED_SECTIONS: Mapping[str, Callable[[], Any]] = {
    "scores": measure_scores,
    "second_implementation": measure_second_implementation,
    "geometry": measure_geometry,
    "decoding": measure_decoding,
}

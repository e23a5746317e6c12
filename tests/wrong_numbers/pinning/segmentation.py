"""What is pinned of the segmentation protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from backbones.registry import get_card
from engine.config import load_protocol
from segmentation.data.dataset import SegmentationTestDataset
from segmentation.data.dataset_layout import ADE20K_LABEL_SPACE, ImageLabelPair, SegmentationDataset
from segmentation.data.files import read_bgr_image
from segmentation.evaluation import compare_with_mmseg, count_areas_twice
from segmentation.metrics import compute_segmentation_scores, score_image
from segmentation.models.pixel_classes import RowRange, average_windows
from segmentation.models.sliding_window import WindowSettings, compute_window_logits, list_window_corners
from segmentation.recipe import SegmentationRecipe
from segmentation.tasks import ADE20K, CAMVID, MINI_ADE, SEGFOLDER, SegmentationTask
from tests.wrong_numbers.pinning.first_steps import FirstSteps, run_first_steps
from tests.wrong_numbers.pinning.inputs import describe_pixels, find_jpeg, get_work_folder, make_photo
from tests.wrong_numbers.pinning.recipes import describe_settings, list_config_files, trace_learning_rates

FILES = list_config_files("segmentation")
TASKS: Mapping[str, SegmentationTask] = {task.name: task for task in (ADE20K, CAMVID, MINI_ADE, SEGFOLDER)}


def list_sections(name: str) -> Mapping[str, Callable[[str], Any]]:
    """Return what is measured of a protocol, by section."""
    return {
        "settings": lambda each: describe_settings(FILES[each], SegmentationRecipe),
        "preprocessing": measure_preprocessing,
        "plan": lambda each: sorted(train_protocol(each).plan.config),
        "optimizer": lambda each: train_protocol(each).optimizer,
        "learning_rates": measure_learning_rates,
        "losses": lambda each: train_protocol(each).losses,
    }


def _load_recipe(name: str) -> SegmentationRecipe:
    return load_protocol(FILES[name], SegmentationRecipe, "full", ["loggers=[]"]).recipe


def measure_learning_rates(name: str) -> Any:
    """Return the learning rates of a full training."""
    return trace_learning_rates(_load_recipe(name), train_protocol(name).learning_rates)


def measure_preprocessing(name: str) -> Any:
    """Return what an image is before the network, how it is cut into windows, and the classes of its label file."""
    recipe = _load_recipe(name)
    dataset = _find_dataset(name)
    folder = get_work_folder("photo")
    Image.fromarray(make_photo()).save(folder / "photo.png")
    labels = _make_labels(np.arange(1, 3), 180, 240)
    Image.fromarray(labels).save(folder / "labels.png")
    pair = ImageLabelPair("photo", folder / "photo.png", folder / "labels.png")
    item = SegmentationTestDataset([pair], dataset.label_space, recipe.test)[0]
    model: Any = train_protocol(name).model
    image = model.data_preprocessor({"inputs": [item["inputs"]]}, False)["inputs"][0]
    height, width = image.shape[1:]
    crop, stride = (recipe.crop, recipe.crop), (recipe.test.stride, recipe.test.stride)
    windows = list_window_corners((max(height, recipe.crop), max(width, recipe.crop)), crop, stride)
    return {
        "size": [height, width],
        "pixels": describe_pixels(image),
        "windows": [list(corner) for corner in windows],
        "classes": np.unique(item["truth"].numpy()).tolist(),
    }


@cache
def train_protocol(name: str) -> FirstSteps:
    """Run the first steps of a protocol with a small backbone on a small data set in the genuine layout."""
    task_name, protocol = _split_name(name)
    small = ["batch_size=4", "schedule.warmup=0", "loggers=[]", "workers=0", "crop=64", "test.stride=32"]
    small.append("train.scale=[128, 96]")
    root = write_dataset(task_name)
    return run_first_steps(TASKS[task_name], protocol, get_card("vit_nano"), small, root, get_work_folder(name))


def _split_name(name: str) -> tuple[str, str]:
    task_name = next(each for each in TASKS if name.startswith(f"{each}_"))
    return task_name, name.removeprefix(f"{task_name}_")


def _find_dataset(name: str) -> SegmentationDataset:
    task_name = _split_name(name)[0]
    return TASKS[task_name].find_dataset(write_dataset(task_name))


@cache
def write_dataset(task_name: str) -> Path:
    """Write a small labeled set in the layout that a task reads, and return its data root."""
    root = get_work_folder(f"data-{task_name}")
    if task_name == "ade20k":
        folder = root / "ADEChallengeData2016"
        for split, prefix in (("training", "ADE_train"), ("validation", "ADE_val")):
            _write_pairs(folder / "images" / split, folder / "annotations" / split, prefix, np.arange(151), ".jpg")
    elif task_name == "camvid":
        for split in ("train", "val", "test"):
            _write_pairs(root / "CamVid" / split, root / "CamVid" / f"{split}annot", split, np.arange(12), ".png")
    elif task_name == "segfolder":
        (root / "classes.txt").write_text("one\ntwo\nthree\n")
        for split in ("train", "test"):
            _write_pairs(root / "images" / split, root / "labels" / split, split, np.array([0, 1, 2, 255]), ".png")
    return root


def _write_pairs(images: Path, labels: Path, prefix: str, values: NDArray[Any], suffix: str) -> None:
    """Six images of 96 x 128 px with labels in cells of 8 px."""
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(1, 7):
        shift = 17 * number + len(prefix)  # splits must not share an image
        name = f"{prefix}_{number:08d}"
        Image.fromarray(make_photo(96 + shift, 128 + shift)[shift:, shift:]).save(images / f"{name}{suffix}")
        classes = np.roll(_make_labels(values, 96, 128), 8 * number, axis=1)
        if number % 2:
            classes[8:, 16:] = values[1]  # crops with little else are drawn again
        Image.fromarray(classes).save(labels / f"{name}.png")


def _make_labels(values: NDArray[Any], height: int, width: int) -> NDArray[np.uint8]:
    """Return a label map in cells of 8 px that go through the values row by row."""
    y, x = np.mgrid[:height, :width] // 8
    return np.asarray(values[(y * (width // 8) + x) % len(values)], np.uint8)


@cache
def _count_areas() -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Count fixed label maps twice, with ignored pixels, an absent class and one that is only predicted."""
    y, x = np.mgrid[:24, :32]
    truths = [((x // (3 + k) + y // 5) % 4).astype(np.uint8) for k in range(3)]
    found = [np.where((x * y + k) % 7 < 4, truth, (truth + k + 1) % 5) for k, truth in enumerate(truths)]
    for k, truth in enumerate(truths):
        truth[(x + 2 * y + k) % 9 == 0] = 255
    return [
        count_areas_twice(torch.from_numpy(each.astype(np.uint8)), torch.from_numpy(truth), 7)
        for each, truth in zip(found, truths, strict=True)
    ]


def measure_scores() -> Any:
    """Return our scores of fixed label maps, over all images and of one."""
    total = np.stack([ours for ours, _ in _count_areas()]).sum(0)
    scores = compute_segmentation_scores(total)
    return {
        "areas": total.tolist(),
        "scores": [scores.mIoU, scores.mIoU_all, scores.aAcc, scores.mAcc, scores.num_present],
        "one image": list(score_image(0, "one", _count_areas()[0][0])),
    }


def measure_second_implementation() -> Any:
    """Return mmseg's scores of the same maps."""
    ours, theirs = (np.stack(each).sum(0) for each in zip(*_count_areas(), strict=True))
    found = compare_with_mmseg(ours, theirs)
    return {"mmseg": [float(found[name]) for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")]}


def measure_sliding_window() -> Any:
    """Return the logits that a fixed function of windows gives for an image, at some pixels."""
    image = torch.from_numpy(make_photo(60, 84).transpose(2, 0, 1).astype(np.float32) / 255)

    def make_logits(windows: torch.Tensor) -> torch.Tensor:
        # the place within the window counts, so that another window or another weight gives other logits
        ramp = torch.linspace(0, 1, windows.shape[3])
        return torch.cat([windows * ramp, windows.mean(1, keepdim=True) * ramp.flip(0)], 1)

    settings = WindowSettings((32, 32), (20, 20), 3, is_filled_up=True)
    windows = list(compute_window_logits(make_logits, lambda pixels: pixels, image, settings))
    logits = average_windows(windows, RowRange(0, 60, 84), slice(None))
    return {"logits": logits[:, ::19, ::23].flatten().tolist()}


def measure_labels() -> Any:
    """Return the class of some label values of ADE20K and CamVid; -1 is refused and 255 is ignored."""
    camvid = CAMVID.find_dataset(write_dataset("camvid"))
    tables = {"ade20k": ADE20K_LABEL_SPACE.make_lookup_table(), "camvid": camvid.label_space.make_lookup_table()}
    return {name: [table[value] for value in (0, 1, 2, 10, 11, 12, 150, 151, 255)] for name, table in tables.items()}


def measure_decoding() -> Any:
    """Return what is decoded from a JPEG photograph, blue first."""
    return {"decoded": describe_pixels(read_bgr_image(find_jpeg()).transpose(2, 0, 1))}


SHARED_SECTIONS: Mapping[str, Callable[[], Any]] = {
    "scores": measure_scores,
    "second_implementation": measure_second_implementation,
    "sliding_window": measure_sliding_window,
    "labels": measure_labels,
    "decoding": measure_decoding,
}

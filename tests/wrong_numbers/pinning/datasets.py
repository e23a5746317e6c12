"""Small image sets in the layouts that the readers of classification and pre-training expect."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from tests.classification.data import make
from tests.wrong_numbers.pinning.inputs import get_work_folder, make_photo

SYNSETS = ("n01440764", "n01443537", "n01484850")


@cache
def write_image_set(name: str) -> Path:
    """Write a small image set and return its data root.

    Args:
        name: name of a task on photographs, or ``folder``; an embedded set needs no files.
    """
    root = get_work_folder(f"images-{name}")
    writers: dict[str, Callable[[], object]] = {
        "cifar10": lambda: _write_cifar(root / "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], 10),
        "cifar100": lambda: _write_cifar(root / "cifar-100-python", ["train"], 4),
        "flowers": lambda: make.write_flowers(root, classes=5, each=2),
        "pets": lambda: make.write_pets(root),
        "aircraft": lambda: make.write_aircraft(root),
        "cars": lambda: make.write_cars(root, each=6),
        "inat18": lambda: make.write_inat(root, each=6),
        "imagenet": lambda: make.write_class_folders(root / "imagenet", ("train", "val"), SYNSETS, each=6),
        "imagefolder": lambda: make.write_class_folders(root, ("train", "test"), ("a", "b", "c"), each=6),
        "folder": lambda: make.write_class_folders(root, ("",), ("a", "b"), each=8),
    }
    if name in writers:
        writers[name]()
        # the helper writes noise by seeds of its own; a change of those must not move a pin
        for number, path in enumerate(sorted(root.rglob("*.jpg"))):
            Image.fromarray(_make_picture(number, 64, 80)).save(path)
    return root


def _make_picture(number: int, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a part of the made-up photograph, another one for each number."""
    down, right = 7 * number, 11 * number
    return make_photo(height + down, width + right)[down:, right:]


def _write_cifar(folder: Path, train_files: list[str], num_classes: int) -> None:
    """Write ten images to each training file of CIFAR (twenty to a single one) and ten to its test file."""
    folder.mkdir()
    number = 0
    is_cifar10 = folder.name == "cifar-10-batches-py"
    for name in [*train_files, "test_batch" if is_cifar10 else "test"]:
        count = 20 if name == "train" else 10
        pixels = [_make_picture(number + k, 32, 32).transpose(2, 0, 1).ravel() for k in range(count)]
        labels = [k % num_classes for k in range(count)]
        content = {"data": np.stack(pixels), "labels" if is_cifar10 else "fine_labels": labels}
        (folder / name).write_bytes(pickle.dumps(content))
        number += count
    key, file, classes = ("label_names", "batches.meta", 10) if is_cifar10 else ("fine_label_names", "meta", 100)
    (folder / file).write_bytes(pickle.dumps({key: [f"class {i}" for i in range(classes)]}))

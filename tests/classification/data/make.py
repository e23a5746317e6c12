"""Small data sets in the genuine layouts: the files are real, the photographs are made up."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def write_noise_image(path: Path, seed: int, mode: str = "RGB", size: tuple[int, int] = (40, 32)) -> Path:
    """An image file of random pixels (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def set_image_brightness(path: Path, number: int) -> None:
    """Make an image dark (0) or light (1)."""
    with Image.open(path) as image:
        pixels = np.asarray(image) // 4
    Image.fromarray((pixels + 190 * number).astype(np.uint8)).save(path)


def write_cifar10(root: Path, train: int = 50, test: int = 20, shift: int = 0) -> Path:
    """Batches of ``train`` and ``test`` images; labels rise in turn, ``shift`` added to them."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in [*((f"data_batch_{i}", train // 5) for i in range(1, 6)), ("test_batch", test)]:
        content = {
            "data": rng.integers(0, 256, (count, 3072), np.uint8),
            "labels": [i % 10 + shift for i in range(count)],
        }
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))
    return folder


def write_flowers(root: Path, classes: int = 102, each: int = 1) -> Path:
    """``each`` images of every class in each of train, val and test."""
    folder = root / "flowers-102"
    labels, ids = [], {"trnid": [], "valid": [], "tstid": []}
    for split in ids:
        for label in range(1, classes + 1):
            for _ in range(each):
                labels.append(label)
                ids[split].append(len(labels))
                write_noise_image(folder / "jpg" / f"image_{len(labels):05d}.jpg", len(labels))
    savemat(folder / "imagelabels.mat", {"labels": np.array(labels)})
    savemat(folder / "setid.mat", {name: np.array(numbers) for name, numbers in ids.items()})
    return folder


def write_pets(root: Path, ids: Iterable[int] = (1, 2, 6), each: int = 5) -> Path:
    """Breeds of these ids, ``each`` images in trainval and in test."""
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for number, split in enumerate(("trainval", "test")):
        lines = []
        for label in ids:
            for index in range(each):
                name = f"Big_breed_{chr(64 + label)}_{number * each + index}"
                write_noise_image(folder / "images" / f"{name}.jpg", label * 100 + number * each + index)
                lines.append(f"{name} {label} 1 1")
        (folder / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_aircraft(root: Path, classes: int = 3, each: int = 2) -> Path:
    """Variants, ``each`` images in train, val and test."""
    folder = root / "fgvc-aircraft-2013b" / "data"
    names = [f"A {number}-10" for number in range(classes)]
    count = 0
    for split in ("train", "val", "test"):
        lines = []
        for name in names:
            for _ in range(each):
                count += 1
                write_noise_image(folder / "images" / f"{count:07d}.jpg", count)
                lines.append(f"{count:07d} {name}")
        (folder / f"images_variant_{split}.txt").write_text("\n".join(lines) + "\n")
    (folder / "variants.txt").write_text("\n".join(names) + "\n")
    return folder


def write_cars(root: Path, classes: int = 3, each: int = 4) -> Path:
    """Models, ``each`` images in train and test."""
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    for split, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = []
        for number in range(classes * each):
            name = f"{number:05d}.jpg"
            write_noise_image(folder / f"cars_{split}" / name, number + 1000 * (split == "test"))
            rows.append((number % classes + 1, name))
        kind = np.dtype([("class", "O"), ("fname", "O")])
        savemat(folder / file, {"annotations": np.array(rows, kind)})
    names = np.array([f"Model {number}" for number in range(classes)], object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    return folder


def write_inat(root: Path, ids: Iterable[int] = (3, 17, 40), each: int = 4) -> Path:
    """Species of these ids, ``each`` images in train and two in val."""
    folder = root / "inat2018"
    for split, count in (("train", each), ("val", 2)):
        images, annotations = [], []
        for label in ids:
            for index in range(count):
                name = f"train_val2018/Insecta/{label}/{split}{index}.jpg"
                write_noise_image(folder / name, label * 100 + 10 * (split == "val") + index)
                images.append({"id": len(images), "file_name": name})
                annotations.append({"id": len(annotations), "image_id": images[-1]["id"], "category_id": label})
        categories = [{"id": label, "name": str(label)} for label in ids]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}2018.json").write_text(json.dumps(content))
    return folder


def write_class_folders(
    root: Path, splits: Iterable[str], classes: Iterable[str], each: int = 10, size: tuple[int, int] = (40, 32)
) -> Path:
    """``split/class/n.jpg``; an empty split name leaves that level out."""
    seed = 0
    for split in splits:
        for name in classes:
            for index in range(each):
                seed += 1
                write_noise_image(root / split / name / f"{split}{index}.jpg", seed, size=size)
    return root


def write_cifar10_subset(root: Path, source: Path, train: int, test: int) -> Path:
    """The first images of the real CIFAR-10 (kept as JPEG in ``source``), in the layout of the set."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    store = np.load(source)
    for split, count in (("train", train), ("test", test)):
        stream, offsets, labels = (store[f"{split}_{part}"] for part in ("jpeg", "offsets", "labels"))
        images = [Image.open(io.BytesIO(stream[offsets[i] : offsets[i + 1]].tobytes())) for i in range(count)]
        rows = np.stack([np.asarray(image.convert("RGB")).transpose(2, 0, 1).ravel() for image in images])
        for part in range(5 if split == "train" else 1):
            size = count // 5 if split == "train" else count
            place = slice(part * size, (part + 1) * size)
            content = {"data": rows[place], "labels": [int(label) for label in labels[:count][place]]}
            name = f"data_batch_{part + 1}" if split == "train" else "test_batch"
            (folder / name).write_bytes(pickle.dumps(content))
    names = [str(name) for name in store["label_names"]]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return folder

"""Make the digests of official labels that the project ships. ``python -m tests.make_label_digests SHARED_DATA``.

``SHARED_DATA`` holds official label files or complete copies of the data sets (its README says from where). No name and
no label of a data set enters the project, only digests of them; see ``engine/data/official/label_digests.py``.

| data set | made from | compared with |
| --- | --- | --- |
| CIFAR-10 | labels in native order, class names | one digest per batch file, one per name |
| CIFAR-100 | class names of its ``meta`` file | one digest per name |
| Flowers-102 | ``imagelabels.mat`` and ``setid.mat``, checked by torchvision's MD5 | split and label of each image |
| Oxford-IIIT Pet | ``test.txt`` | membership in test and label of each test image |
| FGVC-Aircraft | families of test images, OpenOOD's 50 variants | membership in test; images of one group |
| CamVid | the label maps of SegNet's tutorial | split and label map of each image |
| ADE20K | ``objectInfo150.txt`` | one digest per class: its first name |
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from torchvision.datasets import Flowers102

from classification.data.readers.official_labels import CIFAR_BATCH_SIZE, LABEL_DIGITS, hash_batch_labels
from classification.data.readers.official_labels import LABEL_DIGESTS_FILE as CLASSIFICATION_FILE
from engine.data.official.cifar import read_cifar_file
from engine.data.official.label_digests import NAME_DIGITS, hash_text, pack_items
from segmentation.data.ade20k_classes import LABEL_DIGESTS_FILE as SEGMENTATION_FILE
from segmentation.data.ade20k_classes import read_object_info
from segmentation.data.files import decode_raw_labels
from segmentation.data.label_summaries import MAP_DIGITS, summarize_label_map


def make_classification_digests(shared: Path) -> dict[str, Any]:
    """Return the content of classification/data/readers/label_digests.json."""
    return {
        "cifar10": make_cifar10_digests(shared / "cifar10" / "cifar10_jpeg_native_order.npz"),
        "cifar100": {
            "class_names": hash_names(read_cifar_file(shared / "label_files" / "cifar100_meta.pkl")["fine_label_names"])
        },
        "flowers": make_flowers_digests(shared / "flowers102" / "flowers-102_subset192.tar"),
        "pets": make_pets_digests(shared / "label_files" / "oxford_pets_test_37classes.txt"),
        "aircraft": make_aircraft_digests(shared / "label_files"),
    }


def make_segmentation_digests(shared: Path) -> dict[str, Any]:
    """Return the content of segmentation/data/label_digests.json."""
    classes = read_object_info(shared / "ade20k" / "ADEChallengeData2016")
    assert classes is not None, "objectInfo150.txt is missing"
    return {
        "ade20k": {"class_names": hash_names([each.synonyms[0] for each in classes])},
        "camvid": make_camvid_digests(shared / "camvid" / "camvid_480x360.tar"),
    }


def hash_names(names: list[str]) -> list[str]:
    """Return the digest of each class name."""
    return [hash_text(name, NAME_DIGITS) for name in names]


def make_cifar10_digests(file: Path) -> dict[str, Any]:
    """Return digests of the labels of each batch file and of the class names."""
    store = np.load(file)
    batches = {
        split: [
            hash_batch_labels(store[f"{split}_labels"][start : start + CIFAR_BATCH_SIZE].tolist())
            for start in range(0, count, CIFAR_BATCH_SIZE)
        ]
        for split, count in (("train", 50_000), ("test", 10_000))
    }
    return {"batches": batches, "class_names": hash_names([str(name) for name in store["label_names"]])}


def make_flowers_digests(archive: Path) -> dict[str, str]:
    """Return split and label of each of the 8,189 images."""
    content = {}
    with tarfile.open(archive) as tar:
        for kind, member in (("label", "flowers-102/imagelabels.mat"), ("setid", "flowers-102/official/setid.mat")):
            file = tar.extractfile(member)
            assert file is not None
            data = file.read()
            official = Flowers102._file_dict[kind][1]
            assert hashlib.md5(data, usedforsecurity=False).hexdigest() == official, f"{member} is not official"
            content[kind] = loadmat(io.BytesIO(data), squeeze_me=True)
    labels = content["label"]["labels"]
    return {
        split: pack_items(
            ((f"image_{number:05d}", str(labels[number - 1])) for number in content["setid"][key].tolist()),
            LABEL_DIGITS,
        )
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
    }


def make_pets_digests(file: Path) -> dict[str, str]:
    """Return the label of each test image: name, class id, species and breed stand in a line."""
    rows = [line.split() for line in file.read_text().splitlines()]
    return {"test": pack_items(((row[0], row[1]) for row in rows), LABEL_DIGITS)}


def make_aircraft_digests(folder: Path) -> dict[str, str]:
    """Return a group for each test image, and for the training images that OpenOOD lists.

    A group is a variant for OpenOOD's 50 classes, and a family, which may hold several variants, for the rest.
    """
    families = dict(
        line.split(" ", 1) for line in (folder / "fgvc_aircraft_images_family_test.txt").read_text().splitlines()
    )
    variants: dict[str, dict[str, str]] = {}
    for split in ("train", "val", "test"):
        lines = (folder / f"openood_{split}_fgvc-variant_clean.txt").read_text().splitlines()
        for path, number in map(str.split, lines):
            # OpenOOD cut its train and val in its own way
            variants.setdefault("test" if split == "test" else "train+val", {})[Path(path).stem] = number
    assert variants["test"].keys() <= families.keys()
    groups = {name: variants["test"].get(name, family.strip()) for name, family in families.items()}
    return {
        split: " ".join(sorted(hash_text(name, NAME_DIGITS) + hash_text(group, LABEL_DIGITS) for name, group in rows))
        for split, rows in (("test", groups.items()), ("train+val", variants["train+val"].items()))
    }


def make_camvid_digests(archive: Path) -> dict[str, str]:
    """Return the label map of each of the 701 images."""
    splits: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            split = path.parent.name.removesuffix("annot")
            if path.parent.name.endswith("annot") and path.suffix == ".png":
                file = tar.extractfile(member)
                assert file is not None
                splits[split].append((path.stem, summarize_label_map(decode_raw_labels(file.read(), path)).map_digest))
    return {split: pack_items(rows, MAP_DIGITS) for split, rows in splits.items()}


def write_digests(file: Path, content: dict[str, Any]) -> None:
    """Write a digest file: small changes of one data set touch one line."""
    file.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write_digests(CLASSIFICATION_FILE, make_classification_digests(source))
    write_digests(SEGMENTATION_FILE, make_segmentation_digests(source))

"""Image files as pre-training reads them, from folders and archives and with resize=torch, against torchvision."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from engine.seeding import SeededDataset, SeededIndex
from pretraining.data.dataset import ImageFileDataset
from pretraining.data.readers import ImagePool, read_imagenet
from tests.perf.line import SpeedRatio

IMAGES, ROUNDS, SIZE, SCALE = 100, 5, 224, (0.2, 1.0)
WIDTH, HEIGHT = 500, 375  # the usual size in ImageNet


def run_suite() -> list[SpeedRatio]:
    """CPU milliseconds per image in one process, rounds in turn, the shortest of each."""
    with tempfile.TemporaryDirectory() as folder:
        pools = _write_photos(Path(folder))
        crop = transforms.RandomResizedCrop(SIZE, SCALE, interpolation=transforms.InterpolationMode.BICUBIC)
        theirs = ImageFolder(Path(folder, "folder/imagenet/train"), transforms.Compose([crop, transforms.ToTensor()]))
        ways: dict[str, Callable[[int], Any]] = {"torchvision": theirs.__getitem__}
        for name, pool, resize in (
            ("files", pools[0], "pillow"),
            ("files, resize=torch", pools[0], "torch"),
            ("tar archives", pools[1], "pillow"),
        ):
            items = SeededDataset(ImageFileDataset(pool, SIZE, SCALE, "bicubic", 1, False, resize))
            ways[name] = lambda index, items=items: items[SeededIndex(index, index)]
        rounds = [{name: _time_items(read) for name, read in ways.items()} for _ in range(ROUNDS)]
    best = {name: min(each[name] for each in rounds) for name in ways}
    return [
        SpeedRatio(f"reading {name} / ImageFolder + RandomResizedCrop", best[name], best["torchvision"], "ms/image")
        for name in list(ways)[1:]
    ]


def _write_photos(root: Path) -> tuple[ImagePool, ImagePool]:
    """JPEGs as large as ImageNet's, of pieces of a photograph, in a folder and in an archive."""
    photo = Image.open(Path(skimage.__file__).parent / "data" / "motorcycle_left.png").convert("RGB")
    home = root / "folder" / "imagenet" / "train" / "n01440764"
    home.mkdir(parents=True)
    for index, left in enumerate(np.linspace(0, photo.width - WIDTH, IMAGES).astype(int).tolist()):
        photo.crop((left, index, left + WIDTH, index + HEIGHT)).save(home / f"{index}.JPEG", quality=94)
    shard = root / "tar" / "imagenet" / "train" / "n01440764.tar"
    shard.parent.mkdir(parents=True)
    with tarfile.open(shard, "w") as archive:
        for path in sorted(home.iterdir()):
            archive.add(path, path.name)
    return read_imagenet(root / "folder"), read_imagenet(root / "tar")


def _time_items(read: Callable[[int], Any]) -> float:
    torch.set_num_threads(1)
    began = time.process_time()
    for index in range(IMAGES):
        read(index)
    return 1000 * (time.process_time() - began) / IMAGES

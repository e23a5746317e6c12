"""The files of which pages speak, made small: photographs, masks, sequences, tables, a video."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT


def paint(path: Path, color: int = 0, size: tuple[int, int] = (40, 48)) -> None:
    """Write a small noisy image, reddish, greenish or bluish by its number."""
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-4:]).encode()))  # no two files are alike
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 120, (*size, 3)) + np.eye(3, dtype=int)[color % 3] * 120
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def make_photos(folder: Path) -> None:
    """``photos``: class folders of images that differ in their color."""
    for number, name in enumerate(("bus", "car", "tram")):
        for item in range(16):
            paint(folder / "photos" / name / f"{name}{item}.png", number)


def make_label_folders(folder: Path) -> None:
    """``my_data``: images and label images of two classes; ``my_masks``: the same with a label that is no class."""
    for name, odd in (("my_data", 1), ("my_masks", 11)):
        for split, count in (("train", 6), ("val", 3), ("test", 3)):
            for item in range(count):
                label = np.zeros((48, 64), dtype=np.uint8)
                label[8 + item : 30, 10 : 30 + item] = 1
                label[40:, : 20 + item] = odd
                paint(folder / name / "images" / split / f"{item}.png", item, (48, 64))
                (folder / name / "labels" / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(label).save(folder / name / "labels" / split / f"{item}.png")
        (folder / name / "classes.txt").write_text("ground\nthing\n")


def make_class_folders(folder: Path) -> None:
    """``intel``, ``vehicles``, ``fruit``, ``kaggle``: layouts that need an option."""
    for split, count in (("seg_train", 4), ("seg_test", 2)):
        for number, name in enumerate(("sea", "street")):
            for item in range(count):
                paint(folder / "intel" / split / split / name / f"{split}{item}.png", number)
    for item in range(3):
        paint(folder / "intel" / "seg_pred" / f"{item}.png")
        for number, name in enumerate(("train", "bus", "car")):
            paint(folder / "vehicles" / name / f"{name}{item}.png", number)
        for number, name in enumerate(("apple/rot", "apple/fresh", "pear/fresh")):
            paint(folder / "fruit" / name / f"{number}{item}.png", number)
    rows = ["id,breed"]
    for number in range(8):
        paint(folder / "kaggle" / "train" / f"dog{number}.png", number % 2)
        rows.append(f"dog{number},{('collie', 'pug')[number % 2]}")
    (folder / "kaggle" / "labels.csv").write_text("\n".join(rows) + "\n")


def make_convertible(folder: Path) -> None:
    """What three lines of Python convert: tables of labels, boxes as corners, and odd image files."""
    for name in ("cat.0.jpg", "dog.1.jpg"):
        paint(folder / "dogs" / "train" / name)
    (folder / "plants").mkdir()
    (folder / "plants" / "_classes.csv").write_text("filename, rust, scab\na.jpg, 1, 0\nb.jpg, 0, 1\n")
    for number in range(2):
        paint(folder / "cat" / f"{number}.jpg")
    (folder / "cat" / "groundtruth.txt").write_text("10,10,30,40\n12,10,32,40\n")
    Image.fromarray(np.full((8, 8), 2000, dtype=np.uint16)).save(folder / "scan.tif")
    pages = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    paint(folder / "map.tif")
    paint(folder / "photo.jpg")


def make_parquet(folder: Path) -> None:
    """``train.parquet``: images within a table."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    paint(folder / "in_table.png")
    image = {"bytes": (folder / "in_table.png").read_bytes()}
    parquet.write_table(pyarrow.table({"image": [image, image], "label": [0, 1]}), folder / "train.parquet")


def write_sequence(frames: Path, annotation: Path, lines: list[str]) -> None:
    """Frames of a bright box that moves, and the lines of its annotation."""
    rng = np.random.default_rng(3)
    frames.mkdir(parents=True)
    annotation.parent.mkdir(parents=True, exist_ok=True)
    for frame in range(len(lines)):
        pixels = rng.integers(0, 90, (120, 160, 3)).astype(np.uint8)
        pixels[30 + frame : 60 + frame, 40 + 2 * frame : 80 + 2 * frame] = 220
        Image.fromarray(pixels).save(frames / f"{frame + 1:04}.png")
    annotation.write_text("\n".join(lines) + "\n")


def make_sequences(folder: Path) -> None:
    """``sequences``, ``MOT17``, ``vot``: short videos as folders of frames, with boxes in three forms."""
    boxes = [f"{40 + 2 * frame},{30 + frame},40,30" for frame in range(6)]
    for name in ("cat-1", "cat-2"):
        write_sequence(folder / "sequences" / name, folder / "sequences" / name / "groundtruth.txt", boxes)
    rows = [f"{frame + 1},{target},{box},1,1,1.0" for target in (2, 3) for frame, box in enumerate(boxes)]
    video = folder / "MOT17" / "MOT17-04"
    write_sequence(video / "img1", video / "gt" / "gt.txt", boxes)
    (video / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    write_sequence(folder / "vot" / "bag" / "color", folder / "vot" / "bag" / "groundtruth.txt", boxes)
    paint(folder / "vot" / "bag" / "depth" / "0001.png")


def make_video(folder: Path) -> None:
    """``walk.mp4``: a bright box that moves over noise; and an empty folder for what is written of it."""
    rng = np.random.default_rng(4)
    size = (480, 360)
    video = cv2.VideoWriter(str(folder / "walk.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
    for frame in range(6):
        pixels = rng.integers(0, 90, (size[1], size[0], 3)).astype(np.uint8)
        pixels[110:260, 240 + 4 * frame : 300 + 4 * frame] = 220
        video.write(pixels)
    video.release()
    (folder / "empty_folder").mkdir()


def link_reference_runs(folder: Path) -> None:
    """``results/reference_runs``: those of the repository."""
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / "reference_runs").symlink_to(ROOT / "results" / "reference_runs")


FILES: dict[str, Callable[[Path], None]] = {
    "results/reference_runs": link_reference_runs,
    "photos": make_photos,
    "my_data": make_label_folders,
    "my_masks": make_label_folders,
    **dict.fromkeys(("intel", "vehicles", "fruit", "kaggle"), make_class_folders),
    **dict.fromkeys(("dogs/", "plants/", "cat/", "scan.tif", "pages.tif", "map.tif", "photo.jpg"), make_convertible),
    "train.parquet": make_parquet,
    **dict.fromkeys(("sequences", "MOT17", "vot"), make_sequences),
    "walk.mp4": make_video,
}
"""What makes a file or folder that a page names; it makes all that it makes at once."""

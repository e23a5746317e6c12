"""Miniature trees of the public tracking sets, in the layouts in which they ship."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 96, 72


def make_boxes(seed: int, frames: int) -> np.ndarray:
    """Whole boxes that drift by a pixel a frame."""
    start = np.random.default_rng(seed).integers(10, 30, 2)
    steps = np.arange(frames)[:, None]
    return np.hstack([start + steps, np.tile([24.0 + seed % 3, 18.0], (frames, 1))])


def write_frame(path: Path, number: int) -> None:
    """A picture of one textured patch on another, which moves by a pixel a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    back, patch = (rng.integers(0, 255, (side // 6, side // 6, 3), np.uint8) for side in (HEIGHT, 24))
    image = cv2.resize(back, (WIDTH, HEIGHT))
    image[20 + number % 30 : 38 + number % 30, 20 + number % 40 : 44 + number % 40] = cv2.resize(patch, (24, 18))
    assert cv2.imwrite(str(path), image)


def write_frames(folder: Path, numbers: range, pattern: str) -> None:
    for number in numbers:
        write_frame(folder / pattern.format(number), number)


def write_boxes(path: Path, boxes: np.ndarray, delimiter: str = ",", form: str = "%d") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, boxes, form, delimiter)


def make_lasot_ext(root: Path, names: tuple[str, ...] = ("atv-1", "jianzi-10"), frames: int = 6) -> Path:
    for seed, name in enumerate(names):
        folder = root / "LaSOT_extension_subset" / name.rpartition("-")[0] / name
        write_frames(folder / "img", range(1, frames + 1), "{:08d}.jpg")
        write_boxes(folder / "groundtruth.txt", make_boxes(seed, frames))
        for label, flags in (
            ("full_occlusion", "0,0,0,1" + ",0" * (frames - 4)),
            ("out_of_view", "0" + ",0" * (frames - 1)),
        ):
            (folder / f"{label}.txt").write_text(flags)
    return root


def make_got10k_val(root: Path, lengths: tuple[int, ...] = (5, 9)) -> Path:
    names = [f"GOT-10k_Val_{number:06d}" for number in range(1, len(lengths) + 1)]
    for seed, (name, frames) in enumerate(zip(names, lengths, strict=True)):
        folder = root / "got10k" / "val" / name
        write_frames(folder, range(1, frames + 1), "{:08d}.jpg")
        write_boxes(folder / "groundtruth.txt", make_boxes(seed, frames), form="%.4f")
        for label, values in (
            ("cover", [8] * (frames - 1) + [0]),
            ("absence", [0] * frames),
            ("cut_by_image", [0] * frames),
        ):
            (folder / f"{label}.label").write_text("".join(f"{value}\n" for value in values))
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nresolution: ({WIDTH}, {HEIGHT})\n")
    (root / "got10k" / "val" / "list.txt").write_text("\n".join(names) + "\n")
    return root


def make_got10k_test(root: Path, count: int = 3, frames: int = 4) -> Path:
    names = [f"GOT-10k_Test_{number:06d}" for number in range(1, count + 1)]
    for seed, name in enumerate(names):
        folder = root / "got10k" / "test" / name
        write_frames(folder, range(1, frames + 1), "{:08d}.jpg")
        write_boxes(folder / "groundtruth.txt", make_boxes(seed, 1), form="%.4f")
    (root / "got10k" / "test" / "list.txt").write_text("\n".join(names) + "\n")
    return root


def make_trackingnet(root: Path, names: tuple[str, ...] = ("-1a_0", "zz_7"), frames: int = 12) -> Path:
    """More than ten frames: 10.jpg follows 9.jpg and not 1.jpg."""
    for seed, name in enumerate(names):
        write_frames(root / "TrackingNet" / "TEST" / "frames" / name, range(frames), "{}.jpg")
        write_boxes(root / "TrackingNet" / "TEST" / "anno" / f"{name}.txt", make_boxes(seed, 1), form="%.2f")
    return root


def make_otb100(root: Path) -> Path:
    """One video for each delimiter, two targets in a video, an empty annotation, a late start, and surplus frames."""
    otb = root / "OTB100"
    for seed, (name, delimiter) in enumerate({"Basketball": ",", "Crossing": "\t", "Walking2": "  "}.items()):
        write_frames(otb / name / "img", range(1, 6), "{:04d}.jpg")
        write_boxes(otb / name / "groundtruth_rect.txt", make_boxes(seed, 5), delimiter)
    write_frames(otb / "Board" / "img", range(1, 6), "{:05d}.jpg")
    write_boxes(otb / "Board" / "groundtruth_rect.txt", make_boxes(4, 5))
    for video in ("Jogging", "Skating2"):
        write_frames(otb / video / "img", range(1, 6), "{:04d}.jpg")
        for number in (1, 2):
            write_boxes(otb / video / f"groundtruth_rect.{number}.txt", make_boxes(number, 5))
    write_frames(otb / "Human4" / "img", range(1, 6), "{:04d}.jpg")
    (otb / "Human4" / "groundtruth_rect.1.txt").write_text("\n")
    write_boxes(otb / "Human4" / "groundtruth_rect.2.txt", make_boxes(3, 5))
    # real ranges, of images that are only touched where they are not read
    for name, first, last, end in (("BlurCar4", 18, 397, 397), ("David", 300, 770, 771), ("Football1", 1, 74, 80)):
        (otb / name / "img").mkdir(parents=True)
        for number in range(1 if name == "David" else first, end + 1):
            (otb / name / "img" / f"{number:04d}.jpg").touch()
        write_boxes(otb / name / "groundtruth_rect.txt", make_boxes(0, last - first + 1) % 60 + 1)
    return root


def read_uav_ranges() -> dict[str, Any]:
    spec = find_spec("got10k")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "uav123.json"
    ranges: dict[str, Any] = json.loads(path.read_text())["UAV123"]
    return ranges


def make_uav123(root: Path, names: tuple[str, ...] = ("bird1_1", "bird1_2", "car1_s")) -> Path:
    """Two ranges of one folder, and frames that the target leaves."""
    uav = root / "UAV123"
    for seed, name in enumerate(names):
        meta = read_uav_ranges()[name]
        first, last = meta["start_frame"], meta["end_frame"]
        folder = uav / "data_seq" / "UAV123" / meta["folder_name"]
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, last + 1):
            (folder / f"{number:06d}.jpg").touch()
        boxes = np.array(make_boxes(seed, last - first + 1)) % 60 + 1
        boxes[3:5] = np.nan
        write_boxes(uav / "anno" / "UAV123" / f"{name}.txt", boxes, form="%g")
    return root


def make_nfs(root: Path, frames: dict[str, int] | None = None) -> Path:
    """Rows ``id x1 y1 x2 y2 frame ...`` at 240 frames per second beside images at 30, of which one may be surplus."""
    for seed, (name, images) in enumerate((frames or {"bird": 5, "cup": 6}).items()):
        boxes = np.repeat(make_boxes(seed, 5), 8, axis=0)
        write_frames(root / "Nfs" / name / "30" / name, range(1, images + 1), "{:05d}.jpg")
        corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        rows = [
            f'0 {" ".join(f"{value:g}" for value in row)} {number} 0 0 0 "{name}"' for number, row in enumerate(corners)
        ]
        (root / "Nfs" / name / "30" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return root


def make_small_otb100(root: Path) -> Path:
    """Videos of five frames alone, all of which can be read."""
    for seed, (name, delimiter) in enumerate({"Basketball": ",", "Crossing": "\t"}.items()):
        write_frames(root / "OTB100" / name / "img", range(1, 6), "{:04d}.jpg")
        write_boxes(root / "OTB100" / name / "groundtruth_rect.txt", make_boxes(seed, 5), delimiter)
    write_frames(root / "OTB100" / "Jogging" / "img", range(1, 6), "{:04d}.jpg")
    for number in (1, 2):
        write_boxes(root / "OTB100" / "Jogging" / f"groundtruth_rect.{number}.txt", make_boxes(number, 5))
    return root

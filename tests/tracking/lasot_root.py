"""A root in LaSOT's layout made of pieces of ``mini_lasot``: many short sequences; unpacked or zipped."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np

from tracking.data.mini_lasot import CATEGORIES, ensure_mini_lasot
from tracking.data.readers import lasot
from tracking.data.readers.sequence import NumberedFiles, Video


def write_short_sequences(root: Path, tests: int, frames: int = 8) -> Path:
    """Sequences of ``frames`` frames: the first ``tests`` to test, the same number again to train."""
    videos = [*lasot.read_test_videos(ensure_mini_lasot()), *lasot.read_train_videos(ensure_mini_lasot())]
    pieces = [
        (video, start)
        for start in range(0, len(videos[0].frames) - frames + 1, frames)
        for video in videos
        if video.visible[start : start + frames].all()
    ]
    counts = dict.fromkeys(CATEGORIES, 0)
    names = []
    for video, start in pieces[: 2 * tests]:
        category = video.name.rpartition("-")[0]
        counts[category] += 1
        names.append(f"{category}-{counts[category]}")
        _write_sequence(root / category / names[-1], video, slice(start, start + frames))
    assert len(names) == 2 * tests
    (root / "testing_set.txt").write_text("\n".join(names[:tests]) + "\n")
    (root / "training_set.txt").write_text("\n".join(names[tests:]) + "\n")
    return root


def _write_sequence(folder: Path, video: Video, part: slice) -> None:
    (folder / "img").mkdir(parents=True)
    assert isinstance(video.frames, NumberedFiles)
    for number, path in enumerate(video.frames[part], 1):
        shutil.copy(path, folder / "img" / f"{number:08d}.jpg")
    boxes = video.boxes[part].astype(int)
    np.savetxt(folder / "groundtruth.txt", boxes, "%d", ",")
    for label in ("full_occlusion", "out_of_view"):
        (folder / f"{label}.txt").write_text(",".join("0" * len(boxes)))


def zip_categories(root: Path, target: Path, method: int = zipfile.ZIP_STORED) -> Path:
    """The same as LaSOT ships it: a zip a category, the lists beside them."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(root.iterdir()):
        if path.is_dir():
            zip_folders(target / f"{path.name}.zip", root, [path], method)
        else:
            shutil.copy(path, target)
    return target


def zip_folders(archive: Path, root: Path, folders: list[Path], method: int = zipfile.ZIP_STORED) -> None:
    """Some folders and files of a root into one zip."""
    with zipfile.ZipFile(archive, "w", method) as file:
        for folder in folders:
            for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
                file.write(path, path.relative_to(root).as_posix())

"""Find the sequences in a folder: which images and which annotation belong together. No file is read here."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from engine.data.data_options import format_exclusion
from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES, is_image_name
from foundation.errors import DataError
from tracking.data.sequence_folders.layout_names import (
    COVER_FILE,
    HIDDEN_LABEL_FILES,
    IMAGE_FOLDERS,
    RESULT_FOLDERS,
    find_target,
    is_side_file,
)

ANNOTATION_SUFFIXES = (".txt", ".csv")
ONLY_TARGET = ""
"""Stands for the number of a target that has none."""
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".rar", ".7z")
ROW_FOLDERS = ("gt", "det")
"""Folders in a sequence of MOT: the ground truth, and the boxes of a detector, which are no annotation."""
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True)
class FoundSequence:
    """A sequence; all paths are relative to the folder of the data.

    Attributes:
        folder: the folder of the sequence.
        images: its images, in any order.
        annotations: the annotation of each target; the only one has an empty text for its number.
        labels: its files of frames without a target, by name.
        side_files: files that are known to say nothing about where the target is.
        own_name: its name, if that is not made of the folder.
    """

    folder: str
    images: tuple[str, ...]
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    side_files: tuple[str, ...]
    own_name: str | None = None

    def list_files(self) -> list[str]:
        """Return all its files."""
        return [*self.images, *self.annotations.values(), *self.labels.values(), *self.side_files]


def find_sequences(files: Sequence[str], where: str) -> list[FoundSequence]:
    """Return the sequences among the files of a folder, sorted by their folders.

    Args:
        files: paths of the files.
        where: the folder, for messages.

    Raises:
        DataError: images and annotations do not fit together; the message names them and says how to fix it.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in files:
        by_folder[_get_folder(path)].append(path)
    # what is in the folder of its images counts first, then what is called as such a folder
    annotations = _find_annotations(by_folder)
    images = _group_images(by_folder, annotations)
    outside = _match_outside(by_folder, annotations, images)
    own_names = {folder: name for folder, (_, name) in outside.items()}
    annotations = {**annotations, **{folder: {ONLY_TARGET: path} for folder, (path, _) in outside.items()}}
    _require_annotations(images, annotations, where)
    return [
        _gather_sequence(folder, images.get(folder, {}), annotations[folder], by_folder, own_names.get(folder))
        for folder in sorted(annotations, key=lambda text: PurePosixPath(text).parts)
    ]


def describe_unused(path: str) -> str:
    """Return what a file may be that belongs to no sequence, as the end of a sentence; empty if there is no guess.

    Args:
        path: the file.
    """
    lower = path.lower()
    if lower.endswith(ARCHIVE_SUFFIXES):
        return "unpack the archive there and move it away"
    if lower.endswith(VIDEO_SUFFIXES):
        return "write the frames of the video as images (ffmpeg -i VIDEO img/%08d.png), or follow it with bench track"
    if lower.endswith(UNREAD_IMAGE_SUFFIXES):
        return "convert such images to .png, or install litevit-bench[images]"
    if lower.endswith((".json", ".xml", ".mat", ".yaml", ".yml")):
        return "export the boxes as text, one line x,y,w,h for each frame"
    if lower.endswith(ANNOTATION_SUFFIXES):
        return "an annotation is called groundtruth.txt in the folder of its images, or as that folder"
    return "an image belongs into the folder of its sequence, or into its folder img" if is_image_name(lower) else ""


def _get_folder(path: str) -> str:
    folder = PurePosixPath(path).parent.as_posix()
    return "" if folder == "." else folder


def _find_annotations(by_folder: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return the annotations that are in the folders of their sequences, by folder and target.

    Raises:
        DataError: two files annotate the same target.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for folder, paths in by_folder.items():
        place, last = _get_folder(folder), PurePosixPath(folder).name
        for path in paths:
            # <sequence>/gt/gt.txt, as in MOT
            home = place if last in ROW_FOLDERS else folder
            target = find_target(PurePosixPath(path).name) if home != folder else _find_own_target(path, folder)
            if target is None:
                continue
            if target in found[home]:
                raise DataError(
                    f"{found[home][target]} and {path} both annotate the sequence {home or '.'}; leave one out with "
                    "--exclude"
                )
            found[home][target] = path
    return {home: targets for home, targets in found.items() if targets}


def _find_own_target(path: str, folder: str) -> str | None:
    """Return the target that a file annotates in its folder; ``cat/cat.txt`` and ``cat/cat_gt.txt`` are annotations."""
    name = PurePosixPath(path)
    home = PurePosixPath(folder).name
    if home and name.suffix.lower() in ANNOTATION_SUFFIXES and name.stem in (home, f"{home}_gt"):
        return ONLY_TARGET
    return find_target(name.name)


def _group_images(
    by_folder: Mapping[str, Sequence[str]], annotated: Iterable[str]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the folders of images of each sequence, by the folder of the sequence."""
    homes: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for folder, paths in by_folder.items():
        images = tuple(path for path in paths if is_image_name(path))
        if images:
            # an annotation beside the images makes a folder called images the sequence itself
            inner = PurePosixPath(folder).name.lower() in IMAGE_FOLDERS and folder not in annotated
            homes[_get_folder(folder) if inner else folder][folder] = images
    return homes


def _match_outside(
    by_folder: Mapping[str, Sequence[str]], annotations: Mapping[str, object], images: Mapping[str, object]
) -> dict[str, tuple[str, str]]:
    """Return the annotation and the name of sequences whose annotation is called as their folder and is elsewhere.

    Examples are ``anno/cat.txt`` for ``sequences/cat/``, and ``cat.txt`` beside ``cat/``.

    Raises:
        DataError: two files have the name of a folder, or two folders that of a file.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for paths in by_folder.values():
        for path in paths:
            is_result = not RESULT_FOLDERS.isdisjoint(PurePosixPath(path.lower()).parent.parts)
            if PurePosixPath(path).suffix.lower() in ANNOTATION_SUFFIXES and not is_result:
                by_name[_normalize(PurePosixPath(path).stem)].append(path)
    found: dict[str, tuple[str, str]] = {}
    owners: dict[str, str] = {}
    for folder in sorted(set(images) - set(annotations)):
        candidates = by_name.get(_normalize(PurePosixPath(folder).name), []) if folder else []
        if not candidates:
            continue
        lengths = {path: _count_shared_parts(path, folder) for path in candidates}
        # among anno/a/1.txt and anno/b/1.txt, the path that agrees further up with b/1
        closest = [path for path in candidates if lengths[path] == max(lengths.values())]
        if len(closest) > 1:
            raise DataError(f"{closest[0]} and {closest[1]} could both annotate {folder}; leave one out with --exclude")
        (path,) = closest
        if path in owners:
            raise DataError(f"{path} could annotate {owners[path]} and {folder}; rename one folder and its annotation")
        owners[path] = folder
        found[folder] = (path, "/".join(PurePosixPath(folder).parts[-lengths[path] :]))
    return found


def _count_shared_parts(path: str, folder: str) -> int:
    """Return how many parts two paths have in common from the end: 2 for ``anno/a/1.txt`` and ``b/a/1``."""
    pairs = zip(
        reversed(PurePosixPath(path).with_suffix("").parts), reversed(PurePosixPath(folder).parts), strict=False
    )
    count = 0
    for first, second in pairs:
        if _normalize(first) != _normalize(second):
            break
        count += 1
    return count


def _normalize(name: str) -> str:
    """Return a name with letters and accents in one, as most systems but macOS write them."""
    return unicodedata.normalize("NFC", name)


def _require_annotations(
    images: Mapping[str, Mapping[str, Sequence[str]]], annotations: Mapping[str, object], where: str
) -> None:
    """Require that each folder of images has an annotation; images above or in annotated sequences are reported later.

    Raises:
        DataError: one has none.
    """
    bare = [
        folder
        for folder in sorted(images)
        if folder not in annotations and not any(_is_related(folder, home) for home in annotations)
    ]
    # with no annotation at all, the reader says what was found instead
    if not annotations or not bare:
        return
    count = sum(len(paths) for paths in images[bare[0]].values())
    named = ", ".join(bare[:3]) + (f" and {len(bare) - 3:,} more" if len(bare) > 3 else "")
    raise DataError(
        f"{len(annotations):,} of {len(annotations) + len(bare):,} sequences below {where} have an annotation, {named} "
        f"(with {count:,} images) has none; add {bare[0]}/groundtruth.txt, or leave it out with "
        f"{format_exclusion(bare[0])}"
    )


def _is_related(folder: str, home: str) -> bool:
    """Return whether one of two folders contains the other."""
    return not folder or not home or home.startswith(f"{folder}/") or folder.startswith(f"{home}/")


def _gather_sequence(
    folder: str,
    images: Mapping[str, tuple[str, ...]],
    annotations: Mapping[str, str],
    by_folder: Mapping[str, Sequence[str]],
    own_name: str | None,
) -> FoundSequence:
    """Return a sequence with all files that belong to it.

    Raises:
        DataError: it has two folders of images.
    """
    if len(images) > 1:
        first, second = sorted(images)[:2]
        raise DataError(
            f"sequence {folder or '.'} has images in {first or '.'} and in {second}; leave one out with --exclude, "
            f"such as {format_exclusion(second)}"
        )
    (paths,) = images.values() or ((),)
    prefix = f"{folder}/" if folder else ""
    nearby = [path for place in ("", *ROW_FOLDERS) for path in by_folder.get((prefix + place).strip("/"), ())]
    names = {path: path.removeprefix(prefix) for path in nearby}
    labels = {name: path for path, name in names.items() if name in (*HIDDEN_LABEL_FILES, COVER_FILE)}
    side = tuple(path for path, name in names.items() if is_side_file(name))
    return FoundSequence(folder, paths, annotations, labels, side, own_name)

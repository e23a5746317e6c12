"""Read a user's folder with annotation files in COCO's format, wherever the images lie in it. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from detection.data.annotation_file import AnnotationFile, read_annotations
from detection.data.ground_truth import Category, DetectionSplit
from detection.data.own_folder.found_images import FoundFolder, find_path_split
from detection.data.own_folder.other_formats import describe_other_format
from engine.data.image_formats import is_image_name
from engine.data.split_folders import parse_split_name
from engine.data.tree_files import TreeFiles
from foundation.errors import DataError

_MAX_FOLDERS = 5_000

_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
"""Files that COCO ships beside ``instances_*.json``: other annotations of the same images."""


class _ReadFile(NamedTuple):
    """An annotation file: its path below the root, its split, and its content."""

    path: str
    split: str | None
    content: AnnotationFile


def is_coco_tree(tree: TreeFiles) -> bool:
    """Return whether a tree has json files."""
    return any(path.endswith(".json") for path in tree.files)


def read_coco_files(tree: TreeFiles, *, test_only: bool) -> FoundFolder:
    """Read every annotation file of a tree; the name of a file, or of its folder, says which split it is.

    Args:
        tree: the files.
        test_only: read the test split alone (or val, if there is no test).

    Raises:
        DataError: two files are of one split, they have other categories, or images are missing.
    """
    others = [path for path in tree.files if _is_other_task(path)]
    named = {path: _find_split(path) for path in tree.files if path.endswith(".json") and path not in others}
    if not named:
        raise DataError(f"{tree.root / others[0]} has no boxes; add the file of instances (instances_*.json)")
    by_split: dict[str | None, str] = {}
    for path, split in named.items():
        if split in by_split:
            # a tool with one json file for each image is better named than told to rename its files
            raise DataError(
                describe_other_format(tree.root / path)
                or f"{tree.root / by_split[split]} and {path} are both of {split or 'no split'}; name each after its "
                "split (train.json, val.json), or leave one out with --exclude"
            )
        by_split[split] = path
    if test_only and len(by_split) > 1:
        wanted = "test" if "test" in by_split else "val"
        by_split = {split: path for split, path in by_split.items() if split == wanted} or by_split
    files = [_ReadFile(path, split, _read_file(tree, path, split)) for split, path in by_split.items()]
    categories = _require_same_categories(files)
    splits: dict[str | None, DetectionSplit] = {each.split: each.content.split for each in files}
    listed = {image.path.relative_to(tree.root).as_posix() for each in splits.values() for image in each.images}
    pictures = set(filter(is_image_name, tree.files))
    notes = [f"{each.path}: {note}" for each in files for note in each.content.notes]
    if not test_only and (loose := pictures - listed):
        notes.append(f"{len(loose):,} images are in no annotation file and are not used, such as {min(loose)}")
    if others:
        notes.append(f"{len(others):,} annotation files of other tasks are not used, such as {others[0]}")
    return FoundFolder(splits, categories, frozenset([*named, *others]) | pictures, tuple(notes))


def _is_other_task(path: str) -> bool:
    return path.endswith(".json") and PurePosixPath(path).name.startswith(_OTHER_TASKS)


def _find_split(path: str) -> str | None:
    """Return the split of an annotation file: by its own name, else by its folders."""
    found = parse_split_name(PurePosixPath(path).stem)
    return found.split if found is not None else find_path_split(path)


def _read_file(tree: TreeFiles, path: str, split: str | None) -> AnnotationFile:
    """Read a file with the folder in which its images are."""
    try:
        loose = read_annotations(tree.root / path, tree.root, needs_images=False)
    except DataError as error:
        if other := describe_other_format(tree.root / path):
            raise DataError(other) from error
        raise
    names = [image.name for image in loose.split.images]
    present = set(tree.files)
    for folder in _list_places(tree, path, split):
        prefix = "" if folder == "." else f"{folder}/"
        if all(f"{prefix}{name}" in present for name in names):
            return read_annotations(tree.root / path, tree.root / folder)
    raise DataError(
        f"the {len(names):,} images of {tree.root / path}, such as {names[0]}, are not together in one folder of "
        f"{tree.root}; put them into images/{split or ''}, or correct file_name"
    )


def _list_places(tree: TreeFiles, path: str, split: str | None) -> Sequence[str]:
    """Return the folders in which images may be, the most likely first.

    Where folders are named after the split, only these: an image that is missing there is not looked for elsewhere, as
    other splits often have files of the same names.
    """
    folders = {PurePosixPath(file).parent.as_posix() for file in tree.files if is_image_name(file)}
    outer = {parent.as_posix() for folder in folders for parent in PurePosixPath(folder).parents}
    own = PurePosixPath(path).parent.as_posix()

    every = sorted(folders | outer | {own}, key=lambda folder: (folder != own, folder.count("/"), folder))
    named = {folder: find_path_split(f"{folder}/x") for folder in every}
    if split is not None:
        of_split = [folder for folder in every if named[folder] == split]
        every = of_split or [folder for folder in every if named[folder] is None]
    return every[:_MAX_FOLDERS]


def _require_same_categories(files: Sequence[_ReadFile]) -> Sequence[Category]:
    first = files[0]
    for each in files[1:]:
        if list(each.content.categories) != list(first.content.categories):
            raise DataError(
                f"{each.path} and {first.path} list other categories (ids and names must be equal), so a model trained "
                "on one could not be tested on the other; write both with the same list"
            )
    return first.content.categories

"""Read a user's own sequences: every sequence in a folder, in any layout of ``tracking.data.sequence_folders``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.data import image_formats
from engine.data.data_options import format_exclusion, get_data_options
from engine.data.image_formats import is_image_name
from engine.data.split_folders import require_split_names
from engine.data.tree_files import TreeFiles, is_litter, list_tree, require_all_used
from foundation.errors import DataError
from foundation.plural import format_count
from foundation.run_scope import memoize_in_run
from tracking.data.readers.sequence import Video, read_text
from tracking.data.sequence_folders.find_sequences import FoundSequence, describe_unused, find_sequences
from tracking.data.sequence_folders.layout_names import (
    LIST_FILE,
    TEST_LIST_FILE,
    TRAIN_LIST_FILE,
    is_set_file,
)
from tracking.data.sequence_folders.read_sequence import ReadSequence, read_found_sequence

GROUND_TRUTH_FILE = "groundtruth.txt"
IMAGE_SUFFIXES = frozenset(image_formats.IMAGE_SUFFIXES)
TEST_FOLDER, TRAIN_FOLDER = "test", "train"
WAYS_OUT = {
    TEST_FOLDER: "; if its boxes are not public, name the folder of other sequences with --data-root",
    TRAIN_FOLDER: f"; leave the folder out with --exclude {TRAIN_FOLDER}",
}
"""What to do about a split without a sequence, as the end of a sentence."""
RESULT_SUFFIXES = ("_times", "_time", "_confidence")
"""Ends of the names of files that are written beside the boxes of a sequence."""
MAX_NOTES = 6


class FolderContent(NamedTuple):
    """The sequences of a folder.

    Attributes:
        videos: the sequences, sorted by path.
        notes: what was decided about them, one sentence each.
        has_targets: whether one of them numbers its targets.
    """

    videos: list[Video]
    notes: tuple[str, ...]
    has_targets: bool


def read_folder_videos(root: Path, split: str = "") -> list[Video]:
    """Read every sequence of a folder; see ``read_folder_content``.

    Args:
        root: the folder of the data.
        split: the folder in it that is read, such as ``test``; by default all of it.
    """
    return read_folder_content(root, split).videos


@memoize_in_run
def read_folder_content(root: Path, split: str = "") -> FolderContent:
    """Read every sequence of a folder, and account for every file in it.

    Args:
        root: the folder of the data.
        split: the folder in it that is read, such as ``test``; by default all of it.

    Raises:
        DataError: there is no sequence, one is damaged, or a file belongs to none; the message names the file and says
            how to fix it.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; name one with sequences with --data-root")
    tree, place = list_tree(root, split), root / split
    found = find_sequences(tree.files, str(place))
    if not found:
        way_out = WAYS_OUT.get(split, "")
        raise DataError(
            f"there is no sequence at or below {place}: a sequence is a folder of images with a {GROUND_TRUTH_FILE} "
            f"(one box x, y, w, h per line){_describe_found(tree)}{way_out}"
        )
    names = _name_sequences(found, root, split)
    used = {path for each in found for path in each.list_files()} | _find_set_files(tree, found, names, split)
    unused = [path for path in tree.files if path not in used]
    require_all_used(tree, used, describe_unused(unused[0]) if unused else "")
    target = get_data_options().target
    sequences = [read_found_sequence(tree.root, each, name, target) for each, name in zip(found, names, strict=True)]
    has_targets = any(each.has_targets for each in sequences)
    return FolderContent([each.video for each in sequences], _join_notes(sequences), has_targets)


def _join_notes(sequences: Sequence[ReadSequence]) -> tuple[str, ...]:
    """Return what was decided, each decision once with the names of its sequences."""
    names: dict[str, list[str]] = {}
    for each in sequences:
        for decision in each.notes:
            names.setdefault(decision, []).append(each.video.name)
    notes = [
        f"{decision} ({of[0]}{f' and {len(of) - 1:,} more' if len(of) > 1 else ''})" for decision, of in names.items()
    ]
    more = (f"and {len(notes) - MAX_NOTES:,} more such decisions",) if len(notes) > MAX_NOTES else ()
    return (*notes[:MAX_NOTES], *more)


def find_test_split(root: Path) -> str:
    """Return the folder of the data that is tested: ``test`` if there is one, else all of it (an empty text).

    Args:
        root: the folder of the data.

    Raises:
        DataError: a folder has a name under which a split is not found, a file is beside the splits, or there are
            sequences to train on and none to test.
    """
    require_split_names(root)  # beside Test, all of root would be the test, its training sequences too
    if not (root / TEST_FOLDER).is_dir():
        # bench may train on them, and equal frames are found only where every byte is hashed
        if has_files(root, TRAIN_FOLDER):
            raise DataError(
                f"{root} has the folder {TRAIN_FOLDER} and no folder {TEST_FOLDER}, so its training sequences would be "
                f"tested; put what is tested into {root / TEST_FOLDER}, or leave the others out with --exclude "
                f"{TRAIN_FOLDER}"
            )
        return ""
    tree = list_tree(root)
    inside = {path for path in tree.files if path.startswith((f"{TEST_FOLDER}/", f"{TRAIN_FOLDER}/"))}
    # sequences beside the folder test would be left out without a word
    require_all_used(
        tree, inside | _list_set_files(tree), f"only {TEST_FOLDER}/ and {TRAIN_FOLDER}/ are read, so move them there"
    )
    return TEST_FOLDER


def read_test_content(root: Path) -> FolderContent:
    """Read the sequences that are tested.

    Args:
        root: the folder of the data.
    """
    content, target = read_folder_content(root, find_test_split(root)), get_data_options().target
    if target is None or content.has_targets:
        return content
    # it may choose among the targets of training sequences alone
    if not (has_files(root, TRAIN_FOLDER) and read_folder_content(root, TRAIN_FOLDER).has_targets):
        raise DataError(
            f"--target {target} chooses among several targets of a sequence, and each sequence below {root} has a "
            "single one; leave --target out"
        )
    return content


def has_files(root: Path, split: str) -> bool:
    """Return whether there is a file in a split that may belong to the data.

    Args:
        root: the folder of the data.
        split: name of the folder.
    """
    return (root / split).is_dir() and bool(list_tree(root, split).files)


def list_image_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the images in a folder, or in its folder ``img`` if there is one, ordered by the numbers in their names.

    Args:
        folder: the folder.
        suffixes: file name suffixes of images, in lower case.
    """
    place = folder / "img" if (folder / "img").is_dir() else folder
    # a volume of macOS has a file ._0001.jpg beside each 0001.jpg
    images = (path for path in place.iterdir() if path.suffix.lower() in suffixes and not is_litter(path.name))
    return sorted(images, key=_natural_sort_key)


def _natural_sort_key(path: Path) -> tuple[tuple[int, str], ...]:
    """Return a sort key by the numbers in a name, so that 2.jpg comes before 10.jpg."""
    parts = re.split(r"(\d+)", path.stem)
    # pairs, so that text and numbers can be compared; text (-1) comes before any number
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _name_sequences(found: Sequence[FoundSequence], root: Path, split: str) -> list[str]:
    """Return the name of each sequence: its path in the split with _ for each slash, as in names of result files.

    Raises:
        DataError: two sequences would have one name, or would write one result file.
    """
    # a folder that is a sequence itself is named as that folder
    inner = [(each.own_name or f"{each.folder}/").removeprefix(f"{split}/").strip("/") for each in found]
    # resolved, as . and .. have no name of their own
    names = [(name or (root / split).resolve().name).replace("/", "_") for name in inner]
    places: dict[str, str] = {}
    for name, each in zip(names, found, strict=True):
        if name in places:  # the boxes of one would be written over those of the other
            raise DataError(
                f"{root / places[name]} and {root / each.folder} would both be the sequence {name} (a slash becomes "
                "_); rename one of them"
            )
        places[name] = each.folder
    for name, suffix in ((name, suffix) for name in places for suffix in RESULT_SUFFIXES):
        if f"{name}{suffix}" in places:
            raise DataError(
                f"the sequence {name} and the sequence {name}{suffix} would both write the result file "
                f"{name}{suffix}.txt; rename one of them"
            )
    return names


def _find_set_files(tree: TreeFiles, found: Sequence[FoundSequence], names: Sequence[str], split: str) -> set[str]:
    """Return the files above the sequences that describe the set.

    Raises:
        DataError: a list names other sequences than those that are read.
    """
    files = _list_set_files(tree)
    for path in sorted(files):
        # a list is of the sequences below its own folder
        home = PurePosixPath(path).parent.as_posix()
        prefix = "" if home == "." else f"{home}/"
        inner = {
            each.folder: {name, PurePosixPath(each.folder).name, each.folder.removeprefix(prefix)}
            for each, name in zip(found, names, strict=True)
            if f"{each.folder}/".startswith(prefix)
        }
        _require_listed(tree.root / path, path, inner, split)
    return files


def _require_listed(file: Path, path: str, names: Mapping[str, set[str]], split: str) -> None:
    """Require that a list names the sequences that are read, and that no training sequence is tested.

    Args:
        file: the list.
        path: the list, relative to the folder of the data.
        names: by folder of a sequence, the names by which it may be listed.
        split: the folder that is read.

    Raises:
        DataError: it does not.
    """
    kind = PurePosixPath(path).name.lower()
    if kind not in (LIST_FILE, TEST_LIST_FILE, TRAIN_LIST_FILE):
        return
    listed, way_out = read_text(file).split("\n"), f"or leave the list out with {format_exclusion(path)}"
    listed = [line.strip() for line in listed if line.strip()]
    missing = [name for name in listed if all(name not in both for both in names.values())]
    if kind == LIST_FILE and missing:
        raise DataError(
            f"{file} names {format_count(len(listed), 'sequence')}, of which {missing[0]} is not there "
            f"({len(missing):,} are missing); complete the set, {way_out}"
        )
    unlisted = [folder for folder, both in names.items() if not both & set(listed)]
    # the list of the other split names none of the sequences
    other = TEST_LIST_FILE if split == TRAIN_FOLDER else TRAIN_LIST_FILE
    wrong = [folder for folder in names if folder not in unlisted] if kind == other else unlisted
    if wrong:
        does = "names" if kind == other else "does not name"
        more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        fate = "trained on" if split == TRAIN_FOLDER else "tested"
        raise DataError(
            f"{file} {does} the sequence {wrong[0]}{more}, which would be {fate}; leave the sequence out with "
            f"{format_exclusion(wrong[0])}, {way_out}"
        )


def _list_set_files(tree: TreeFiles) -> set[str]:
    return {path for path in tree.files if is_set_file(PurePosixPath(path).name)}


def _describe_found(tree: TreeFiles) -> str:
    """Return what a folder without a sequence holds instead, as the end of a sentence."""
    images = [path for path in tree.files if is_image_name(path)]
    if not images:
        first = tree.files[0] if tree.files else ""
        hint = describe_unused(first)
        return f"; it has no images{f', but {first}: {hint}' if hint else ''}"
    stems = {str(PurePosixPath(path).with_suffix("")) for path in images}
    paired = [
        path for path in tree.files if not is_image_name(path) and str(PurePosixPath(path).with_suffix("")) in stems
    ]
    if paired:
        return (
            f"; {paired[0]} is a file for one image, as in YOLO and VOC: write the boxes of all frames into one "
            f"{GROUND_TRUTH_FILE}, as x,y,w,h in pixels"
        )
    rest = next((path for path in tree.files if not is_image_name(path)), None)
    hint = describe_unused(rest) if rest else ""
    return f"; it has {len(images):,} images, such as {images[0]}" + (f", and {rest}: {hint}" if hint else "")

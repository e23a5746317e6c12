"""Find out which folders of a user are splits and which are classes, or refuse to guess. Imports no torch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from classification.data.own_images.image_tree import ImageTree
from classification.data.own_images.table_content import TABLE_SUFFIXES
from engine.data.data_options import format_exclusion, get_data_options
from engine.data.split_folders import SplitName, parse_split_name
from foundation.errors import DataError
from foundation.plural import format_count

MAX_NAMED_FOLDERS = 6


class FolderLayout(NamedTuple):
    """Which folder is what.

    Attributes:
        base: the folder that holds the class folders, or the splits.
        splits: folder of each split, as they are called there: ``train``, ``val``, ``test``. Empty for class folders
            without splits.
        notes: what was decided, one sentence each.
    """

    base: str
    splits: Mapping[str, str]
    notes: tuple[str, ...] = ()


def find_split_folders(tree: ImageTree, needs_train: bool = True) -> FolderLayout:
    """Find the splits of a user's folder, or that its folders are classes.

    Folders are splits only if the names of all of them say so, one is for training and one for a test, and these share
    class folders. One folder around them, and one of the same name in each, are looked through.

    Args:
        tree: the images.
        needs_train: whether a train split is needed; not to test a finished model.

    Raises:
        DataError: the folders may be either, or hold images without a class.
    """
    base = _skip_outer_folder(tree)
    names = tree.list_folders(base)
    chosen = get_data_options().layout
    if not names:
        raise _make_flat_error(tree, base)
    parsed = {name: found for name in names if (found := parse_split_name(name)) is not None}
    # "in doubt" is decided before anything is read as a split: a wrong guess here is a wrong number that looks right
    if chosen == "classes" or (chosen is None and not _may_hold_splits(names, parsed)):
        return FolderLayout(base, {})
    if len(parsed) < len(names):
        raise _make_mixed_error(tree, base, names, parsed)
    by_split = _require_one_folder_each(tree, base, parsed)
    _require_separate_folders(tree, base, by_split)
    places = {split: _enter_split(tree, _join(base, name)) for split, name in by_split.items()}
    _require_class_folders(tree, base, by_split, places)
    _require_all_sides(tree, base, by_split, places, needs_train)
    if chosen is None:
        _require_one_data_set(tree, base, parsed, places)
    tree.require_filled_folders(base)
    return FolderLayout(base, places, _note_splits(places))


def _skip_outer_folder(tree: ImageTree) -> str:
    """Return the folder that holds the splits or classes: the root, or its only folder if that holds splits.

    Raises:
        DataError: the only folder holds class folders, so the root is the folder above.
    """
    names = tree.list_folders("")
    # a lone folder named train is a data set without a test, and not an outer folder
    if len(names) != 1 or "" in tree.images_in or parse_split_name(names[0]) is not None:
        return ""
    (outer,) = names
    inner = tree.list_folders(outer)
    if not inner or get_data_options().nested_classes is not None:
        return ""
    parsed = {name: found for name in inner if (found := parse_split_name(name)) is not None}
    # archives of Kaggle unpack to archive/train and archive/test
    if outer not in tree.images_in and _may_hold_splits(inner, parsed):
        return outer
    raise DataError(
        f"{tree.root} holds the folder {outer} alone, which has the folders {_list_names(inner)}; if these are the "
        f"classes, name it with --data-root {tree.get_path(outer)}"
    )


def _may_hold_splits(names: Sequence[str], parsed: Mapping[str, SplitName]) -> bool:
    """Return whether folders are splits, or may be: no class folder is called ``train``, but one may be train_station.

    Args:
        names: all folders.
        parsed: what the names say that are names of splits.
    """
    if not parsed:
        return False
    if len(parsed) == len(names) or any(not found.rest for found in parsed.values()):
        return True
    # seg_train and seg_test beside seg_pred, but not driving_test beside bullet_train
    for rest in {found.rest for found in parsed.values()}:
        sides = {found.split for found in parsed.values() if found.rest == rest}
        if "train" in sides and len(sides) > 1:
            return True
    return False


def _make_flat_error(tree: ImageTree, base: str) -> DataError:
    place, loose = tree.get_path(base), len(tree.images_in.get(base, ()))
    if loose:
        return DataError(
            f"{place} holds {loose:,} images and no class folders, so their labels are not known; "
            f"sort them into one folder per class, or name a table of file and label with --labels {_find_table(tree)}"
        )
    return DataError(f"{place} has no class folders; make one folder per class and put its images there")


def _make_mixed_error(tree: ImageTree, base: str, names: Sequence[str], parsed: Mapping[str, SplitName]) -> DataError:
    """Some folders have names of splits, and others have not."""
    others = [name for name in names if name not in parsed]
    place = tree.get_path(base)
    if not parsed:
        return DataError(
            f"{place} has the folders {_list_names(names)}, none of which has the name of a split, as --layout splits "
            "says; name them train, val and test, or leave the option out"
        )
    exclude = format_exclusion(*(_join(base, name) for name in others[:MAX_NAMED_FOLDERS]))
    look = f"{_list_names(list(parsed))} {'looks' if len(parsed) == 1 else 'look'} like "
    look += "a split" if len(parsed) == 1 else "splits"
    found = f"{place} has the folders {_list_names(names)}, of which {look} and {_list_names(others)} "
    found += "does not" if len(others) == 1 else "do not"
    sides = {each.split for each in parsed.values()}
    classes = "add --layout classes if each folder is a class"
    # with a complete pair of splits, the other folder is more likely too much (seg_pred) than all of them are classes
    if "train" in sides and len(sides) > 1 and len(others) <= MAX_NAMED_FOLDERS:
        return DataError(f"{found}; leave {_list_names(others)} out with {exclude}, or {classes}")
    return DataError(f"{found}; {classes}, or name the splits train, val and test")


def _require_one_folder_each(tree: ImageTree, base: str, parsed: Mapping[str, SplitName]) -> dict[str, str]:
    """Return the folder of each split.

    Raises:
        DataError: two folders have names of the same split.
    """
    by_split: dict[str, str] = {}
    for name, found in parsed.items():
        other = by_split.get(found.split)
        # cats_train, dogs_train, cats_test, dogs_test: as classes, they would be scored for guessing the split
        if (
            other is not None
            and found.rest
            and parsed[other].rest not in ("", found.rest)
            and not tree.list_folders(_join(base, name))
        ):
            raise DataError(
                f"{tree.get_path(base)} has {other} and {name}, which look like the {found.split} split of two "
                f"classes; move them to {found.split}/{parsed[other].rest} and {found.split}/{found.rest}, "
                "or add --layout classes if each folder is a class"
            )
        if other is not None:
            raise DataError(
                f"{tree.get_path(base)} has {other} and {name}, and both mean the {found.split} split; "
                f"leave one out with {format_exclusion(_join(base, name))}, put their images together, or add "
                "--layout classes if each folder is a class"
            )
        by_split[found.split] = name
    return {split: by_split[split] for split in ("train", "val", "test") if split in by_split}


def _require_separate_folders(tree: ImageTree, base: str, by_split: Mapping[str, str]) -> None:
    """Require that no split is a link to another one, which would test on the images that were learned.

    Args:
        tree: the images, in which a linked folder stands under one of its names.
        base: the folder that holds the splits.
        by_split: folder of each split.
    """
    place = tree.get_path(base)
    homes = {os.path.realpath(place / name): (split, name) for split, name in by_split.items()}
    for child in sorted(place.iterdir()):
        found = parse_split_name(child.name)
        split, name = homes.get(os.path.realpath(child), ("", ""))
        if found is not None and name not in ("", child.name) and found.split != split:
            raise DataError(f"{child} and {place / name} are one folder; give the {found.split} split its own images")


def _enter_split(tree: ImageTree, place: str) -> str:
    """Return the folder inside a split that holds its class folders: ``seg_train/seg_train``, else the split itself."""
    inner = tree.list_folders(place)
    if len(inner) != 1 or place in tree.images_in:
        return place
    # any other lone folder is a class, or a class of classes: train/animal/cat
    own, within = place.rpartition("/")[2], inner[0]
    split, inner_split = parse_split_name(own), parse_split_name(within)
    same = split is not None and inner_split is not None and split.split == inner_split.split
    return f"{place}/{within}" if same or own.lower() == within.lower() else place


def _require_class_folders(tree: ImageTree, base: str, by_split: Mapping[str, str], places: Mapping[str, str]) -> None:
    """Require that every split has class folders.

    Raises:
        DataError: one holds images alone, as a test split whose labels are secret.
    """
    flat = [split for split, place in places.items() if not tree.list_folders(place)]
    if not flat:
        return
    place = places[flat[0]]
    found = f"{tree.get_path(place)} holds {format_count(len(tree.images_in[place]), 'image')} and no class folders"
    table = f"name a table of file and label with --labels {_find_table(tree)}"
    # without any label in the whole folder, leaving a split out would not help
    labeled = [split for split in places if split not in flat]
    if not labeled:
        # a single folder would be a single class
        other = ", or add --layout classes if the folders are classes" if len(places) > 1 else ""
        raise DataError(
            f"{found}, so their labels are not known; sort them into one folder per class, or {table}{other}"
        )
    if labeled == ["train"]:
        raise DataError(
            f"{found}, so nothing can be tested on them; to test on a fixed fifth of the others, name these with "
            f"--data-root {tree.get_path(places['train'])}"
        )
    raise DataError(
        f"{found}, so nothing can be tested on them; leave them out with --exclude "
        f"{shlex.quote(_join(base, by_split[flat[0]]))}"
    )


def _find_table(tree: ImageTree) -> str:
    """Return the one table below the user's folder, as ``--labels`` names it; ``FILE`` if there is none, or several."""
    tables = [path for path in tree.files.files if path.lower().endswith(TABLE_SUFFIXES)]
    return shlex.quote(tables[0]) if len(tables) == 1 else "FILE"


def _require_all_sides(
    tree: ImageTree, base: str, by_split: Mapping[str, str], places: Mapping[str, str], needs_train: bool
) -> None:
    """Require a train split where it is needed, and a split to test on."""
    split, name = next(iter(by_split.items()))
    lacks = ""
    if set(by_split) == {"train"}:
        lacks = "neither test/ nor val/; add one"
    elif needs_train and "train" not in by_split:
        lacks = "no train/; add it"
    if lacks:
        # seg_train/seg_train: the outer one would be refused again
        inner = tree.get_path(places[split])
        raise DataError(
            f"{tree.get_path(base)} has {name}/ and {lacks}, or name {name}/ itself with --data-root {inner}"
        )


def _require_one_data_set(
    tree: ImageTree, base: str, parsed: Mapping[str, SplitName], places: Mapping[str, str]
) -> None:
    """Require that the splits are parts of one set: their names differ in the split alone, and they share classes.

    Raises:
        DataError: they may be anything; names the options that decide it.
    """
    cure = "add --layout splits if they are splits, or --layout classes if each folder is a class"
    # driving_test and bullet_train are things, seg_test and seg_train parts of one thing
    if len({found.rest for found in parsed.values() if found.rest}) > 1:
        raise DataError(
            f"{tree.get_path(base)} has the folders {_list_names(list(parsed))}, whose names are those of splits of "
            f"different things; {cure}"
        )
    if "train" not in places:
        return
    # one class in common is enough here: a class that train lacks is refused later, with a sentence of its own
    train = set(tree.list_folders(places["train"]))
    for split, place in places.items():
        if split != "train" and not train & set(tree.list_folders(place)):
            raise DataError(
                f"{tree.get_path(places['train'])} ({_list_names(sorted(train))}) and {tree.get_path(place)} "
                f"({_list_names(tree.list_folders(place))}) have no class folder in common; {cure}"
            )


def _note_splits(places: Mapping[str, str]) -> tuple[str, ...]:
    """Say which folders are which splits, where their names are not those of bench."""
    if all(split == place for split, place in places.items()):
        return ()
    return (f"splits: {', '.join(f'{split} is {place}/' for split, place in places.items())}",)


def _list_names(names: Sequence[str]) -> str:
    """Return the first names and, if there are more, their number."""
    more = f", ... ({len(names)})" if len(names) > MAX_NAMED_FOLDERS else ""
    return ", ".join(names[:MAX_NAMED_FOLDERS]) + more


def _join(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name

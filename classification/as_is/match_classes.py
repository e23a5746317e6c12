"""Match the classes of a data set with the columns of a head: every class has exactly one, or the match is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classification.as_is.head_classes import IMAGENET_1K, HeadClasses, list_imagenet_synsets
from classification.as_is.settings import ClassifierSettings
from foundation.errors import ConfigError, DataError, UserError
from foundation.text.user_names import index_names, normalize_name
from foundation.text.user_text import read_user_text

FOLDER_TASK = "imagefolder"
"""The task on a user's own folders."""

IMAGENET_TASK = "imagenet"

_MAX_NAMED = 5


@dataclass(frozen=True)
class ClassColumns:
    """The columns of a head among which a class is chosen.

    Attributes:
        columns: index in the head of each; the first ones are the classes of the data, in the data's order.
        num_head_classes: number of columns of the head.
        notes: how they were matched, where that is not obvious.
    """

    columns: tuple[int, ...]
    num_head_classes: int
    notes: tuple[str, ...] = ()

    @property
    def is_whole_head(self) -> bool:
        """Whether the output is used as it is, with every column in its own place."""
        return self.columns == tuple(range(self.num_head_classes))


def match_classes(
    task: str, class_names: Sequence[str], head: HeadClasses, settings: ClassifierSettings
) -> ClassColumns:
    """Find the column of each class of a task, and the other columns that may be chosen.

    Args:
        task: name of the task.
        class_names: the classes of its test split, in the order of their numbers.
        head: the classes of the head.
        settings: ``class_map`` and ``restrict`` are used.

    Raises:
        UserError: a class has no column, several, or that of another class; names the classes.
    """
    lines = _read_class_map(settings, head)
    if lines is not None:
        # the folder of a Mac's zip and a list that was typed elsewhere may write one accent in two ways
        folders = index_names(class_names, "the data")
        lines = {folders.get(normalize_name(name), name): column for name, column in lines.items()}
        _require_used_lines(settings, lines, class_names)
    if task in (FOLDER_TASK, IMAGENET_TASK):
        matched, notes = _match_named_classes(task, class_names, head, settings, lines)
        if settings.class_map:
            _require_own_names(class_names, matched, head)
    else:
        if lines is not None or settings.class_map:
            raise ConfigError(f"class_map is for the tasks {FOLDER_TASK} and {IMAGENET_TASK}; leave it out for {task}")
        matched, notes = _match_numbered_classes(task, class_names, head)
    # two folders of one class would both count as right for one answer, and the mean over classes would be wrong
    twice = [column for column, count in Counter(matched).items() if count > 1]
    if twice:
        both = [name for name, column in zip(class_names, matched, strict=True) if column == twice[0]]
        raise DataError(
            f"the classes {_list_names(both)} of {task} are all class {twice[0]} of the head; name them apart"
        )
    # by default the whole head competes: an image of a dog may be taken for one of the other 990 classes
    others = () if settings.restrict else _list_other_columns(matched, class_names, head)
    return ClassColumns((*matched, *others), head.num_classes, notes)


def _match_named_classes(
    task: str,
    class_names: Sequence[str],
    head: HeadClasses,
    settings: ClassifierSettings,
    lines: Mapping[str, int] | None,
) -> tuple[list[int], tuple[str, ...]]:
    """Match classes by a class map, by their names, or, where nobody names the head's classes, by their order."""
    if settings.class_map == "index":
        return _match_indices(class_names, head), ("the folders are named by the index of their class",)
    found = {name: [lines[name]] if lines and name in lines else head.find_class(name) for name in class_names}
    ambiguous = [name for name, columns in found.items() if len(columns) > 1]
    if ambiguous:
        raise DataError(
            f"{_list_names(ambiguous)} of {task} may mean several classes of the head ({_list_columns(head, found)}); "
            "name the folders by WordNet id, or give --set class_map=FILE with lines folder,class"
        )
    missing = [name for name, columns in found.items() if not columns]
    if not missing:
        return [found[name][0] for name in class_names], ()
    # A user's file with 1,000 classes may be one of other classes than ImageNet's; then none of the names fit.
    # If only some of them fit, it is more likely that the others are misspelled.
    is_unnamed = head.names is None or (head.origin == "checkpoint" and len(missing) == len(class_names))
    # the order of the outputs of a run is that of its own task's classes
    has_own_numbers = head.origin != "run" or head.task == task
    if is_unnamed and has_own_numbers and not lines and len(class_names) == head.num_classes:
        return list(range(head.num_classes)), (
            f"nobody names the {head.num_classes} classes of the head; they are taken in the order of the data's "
            f"classes: {_list_names(class_names)}",
        )
    raise DataError(_describe_missing(task, class_names, missing, head))


def _match_numbered_classes(
    task: str, class_names: Sequence[str], head: HeadClasses
) -> tuple[list[int], tuple[str, ...]]:
    """Match the classes of an official set, whose order its label files say."""
    if head.origin == "run" and head.task != task:
        if head.names is None or sorted(head.names) != sorted(class_names):
            raise UserError(
                f"the run was trained on {head.task}, whose {head.num_classes} classes are not those of {task}; "
                "evaluate it on data with its own classes"
            )
        return [head.names.index(name) for name in class_names], ()
    if head.num_classes != len(class_names):
        raise UserError(
            f"the head has {head.num_classes:,} classes and {task} has {len(class_names):,} "
            f"({_list_names(class_names)}); choose weights with a head for these classes, or train one with bench run"
        )
    # nothing in a file says what its outputs mean, so the reader is told what was assumed
    note = () if head.origin == "run" else (f"the head's classes are taken in the order of the labels of {task}",)
    return list(range(head.num_classes)), note


def _match_indices(class_names: Sequence[str], head: HeadClasses) -> list[int]:
    wrong = [name for name in class_names if not name.isdecimal() or int(name) >= head.num_classes]
    if wrong:
        raise DataError(
            f"class_map=index takes folders named 0 to {head.num_classes - 1}, and {_list_names(wrong)} are not; "
            "give a file of lines folder,class"
        )
    return [int(name) for name in class_names]


def _list_other_columns(matched: Sequence[int], class_names: Sequence[str], head: HeadClasses) -> list[int]:
    """Return the columns that may be chosen besides those of the data's classes.

    A head of ImageNet-21k on classes of ImageNet-1k chooses among these 1,000 alone, as a head of ImageNet-1k does.
    """
    # the names of the data decide: on folders beyond ImageNet-1k, all of the head competes
    pool: Sequence[int] = range(head.num_classes)
    if head.subset not in (None, IMAGENET_1K) and set(class_names) <= set(list_imagenet_synsets()):
        pool = [column for synset in list_imagenet_synsets() for column in head.find_class(synset)]
    taken = set(matched)
    return [column for column in pool if column not in taken]


def _read_class_map(settings: ClassifierSettings, head: HeadClasses) -> dict[str, int] | None:
    """Read a class map: lines ``folder,class``, with an index or a name as class; or, as timm has it, folders alone.

    Raises:
        ConfigError: the file cannot be read, names a folder twice, or a class that the head does not have.
    """
    path = settings.class_map_file
    if path is None:
        return None
    text = read_user_text(path, ConfigError, cure="give a text file of lines folder,class")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found: dict[str, int] = {}
    # timm's own class maps list the folders alone; the number of the line is the class
    has_classes = any("," in line or "\t" in line for line in lines)
    for number, line in enumerate(lines):
        folder, text = _split_line(line) if has_classes else (line, str(number))
        if folder in found:
            raise ConfigError(f"the class map {path} names the folder {folder} twice; keep one of the lines")
        found[folder] = _resolve_class(path, folder, text, head)
    return found


def _require_used_lines(settings: ClassifierSettings, lines: Mapping[str, int], class_names: Sequence[str]) -> None:
    """Check that a class map is about these folders: it names them all, or nothing but some of them.

    Raises:
        ConfigError: it lacks a folder and has a line for none, so that a name is probably misspelled.
    """
    # a list of all of ImageNet serves a part of its folders, and a single line serves a folder that has no match
    unlisted = [name for name in class_names if name not in lines]
    unused = [name for name in lines if name not in class_names]
    if unlisted and (unused or not lines):
        what = f"the lines of {_list_names(unused)}, which are no folders" if unused else "no lines"
        raise ConfigError(
            f"the class map {settings.class_map} has {what}, and none for {_list_names(unlisted)}; name the folders as "
            "they are on disk"
        )


def _require_own_names(class_names: Sequence[str], matched: Sequence[int], head: HeadClasses) -> None:
    """Check that a class map does not call a class by the name of another one.

    Raises:
        ConfigError: it does; a list that is shifted by a line would give a number near chance.
    """
    # a file of anyone may have its outputs in another order than ImageNet's, which a class map then says
    if head.names is None or head.origin == "checkpoint":
        return
    places = {name: column for column, name in enumerate(head.names)}
    for name, column in zip(class_names, matched, strict=True):
        if places.get(name, column) != column:
            raise ConfigError(
                f"the class map takes the folder {name} for class {column} of the head ({head.name_class(column)}), "
                f"and the head itself says that {name} is its class {places[name]}; correct the map, or leave it out"
            )


def _split_line(line: str) -> tuple[str, str]:
    # the first comma only: ImageNet's descriptions have commas themselves
    folder, _, text = line.partition("\t" if "\t" in line else ",")
    return folder.strip().strip('"'), text.strip().strip('"')


def _resolve_class(path: Path, folder: str, text: str, head: HeadClasses) -> int:
    if text.isdecimal() and int(text) < head.num_classes:
        return int(text)
    columns = head.find_class(text)
    if len(columns) != 1:
        many = "several classes" if columns else "no class"
        raise ConfigError(
            f"the class map {path} gives {folder} the class {text!r}, which is {many} of the head; give an index "
            f"from 0 to {head.num_classes - 1}, or a name that it has"
        )
    return columns[0]


def _describe_missing(task: str, class_names: Sequence[str], missing: Sequence[str], head: HeadClasses) -> str:
    whose = f"ImageNet ({head.subset})" if head.subset else f"the run on {head.task}" if head.task else "the checkpoint"
    has = "class" if head.num_classes == 1 else "classes"
    known = f", such as {_list_names(head.names)}" if head.names else ", whose names nobody says"
    return (
        f"{len(missing)} of {len(class_names)} classes of {task} ({_list_names(missing)}) are none of the "
        f"{head.num_classes:,} {has} of the head of {whose}{known}; name the folders as the head's classes, or give "
        "--set class_map=FILE with lines folder,class"
    )


def _list_columns(head: HeadClasses, found: Mapping[str, list[int]]) -> str:
    first = next(columns for columns in found.values() if len(columns) > 1)
    return ", ".join(f"{column} {head.describe_class(column)}" for column in first[:_MAX_NAMED])


def _list_names(names: Sequence[str]) -> str:
    shown = [name[:80] for name in names[:_MAX_NAMED]]
    return ", ".join(shown) + (", ..." if len(names) > _MAX_NAMED else "")

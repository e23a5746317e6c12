"""Names of splits, in the spellings that people and tools give them. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES, describe_unopened
from foundation.errors import DataError, UserError

SPLIT_ALIASES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names that other tools give to the splits, in lower case, and the name that bench reads."""

# letters of any script; TrainSet and trainSet are two words, TRAIN is one
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")


class SplitName(NamedTuple):
    """What the name of a folder says of a split.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        rest: the other words of the name in lower case: ``seg`` of ``seg_train``; "" of ``Train`` or ``train2017``.
    """

    split: str
    rest: str


def parse_split_name(name: str) -> SplitName | None:
    """Return the split that a name stands for, or ``None`` if it stands for none, or for two (``train_val``).

    Args:
        name: name of a folder, or a cell of a table.

    >>> [parse_split_name(name) for name in ("TESTING", "seg_train", "trainset", "cat")]
    ... # doctest: +NORMALIZE_WHITESPACE
    [SplitName(split='test', rest=''), SplitName(split='train', rest='seg'), SplitName(split='train', rest='set'), None]
    """
    words = [word.lower() for part in _WORD.findall(name) for word in _CAMEL_CASE.split(part)]
    splits: set[str] = set()
    rest = []
    for word in words:
        # trainset, testdata: written as one word
        stem = next((word.removesuffix(end) for end in ("set", "data") if word.endswith(end)), word)
        if stem in SPLIT_ALIASES:
            splits.add(SPLIT_ALIASES[stem])
            rest += [word.removeprefix(stem)] if word != stem else []
        else:
            rest.append(word)
    return SplitName(splits.pop(), " ".join(rest)) if len(splits) == 1 else None


def require_split_names(folder: Path) -> None:
    """Require that no split below a folder has a name under which it is not found, as ``Test`` or ``valid``.

    Args:
        folder: the folder that holds the splits.

    Raises:
        DataError: a folder has such a name; says how to call it.
    """
    for child in sorted(folder.iterdir()) if folder.is_dir() else ():
        split = SPLIT_ALIASES.get(child.name.lower())
        if split is None or child.name == split or not child.is_dir():
            continue
        # a file system that ignores case finds Test as test, and a link may give a split its right name
        if not ((folder / split).is_dir() and (folder / split).samefile(child)):
            raise DataError(
                f"{child} looks like the {split} split, which is read from {folder / split} only; rename it to "
                f"{split}, or move it out of {folder}"
            )


def require_read_formats(paths: Iterable[str]) -> None:
    """Require that none of the files is an image in a format that cannot be opened on this machine.

    Args:
        paths: all files of a data set.

    Raises:
        DataError: some are; names the first one.
    """
    unread = [path for path in paths if path.lower().endswith(UNREAD_IMAGE_SUFFIXES)]
    if unread:
        more = f" ({len(unread):,} such files)" if len(unread) > 1 else ""
        raise DataError(f"{describe_unopened(unread[0])}{more}, or leave it out with --exclude")


def require_split(task: str, split: str, splits: Mapping[str, Any]) -> None:
    """Check that the data have a split.

    Args:
        task: name of the task, for the message.
        split: the requested split.
        splits: the existing splits by name.

    Raises:
        UserError: there is no such split; names the existing ones.
    """
    if split not in splits:
        raise UserError(f"task {task} has no split {split!r}; it has {', '.join(splits)}")

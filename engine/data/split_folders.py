"""Refuse folders of a user's own data that would silently be left out, or taken for something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES, describe_unopened
from foundation.errors import DataError, UserError

SPLIT_ALIASES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names that other tools give to the splits, in lower case, and the name that bench reads."""


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

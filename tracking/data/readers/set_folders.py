"""Find the folder of a test set below a data root: under another case, or wrapped into a folder by its archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.data.tree_files import is_litter

MAX_WRAPPINGS = 3
ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")


def list_set_folders(root: Path, names: Iterable[str]) -> list[Path]:
    """Return the folders below a data root that may be that of a set, the likeliest first; not the root itself.

    A folder that holds nothing but one other folder is followed by that one.

    Args:
        root: the data root.
        names: paths that the set's folder may have, in the order of preference; their case does not count.
    """
    found: dict[Path, None] = {}
    for name in names:
        for folder in _match_path(root, name.split("/")):
            found.update(dict.fromkeys((folder, *_iter_wrapped(folder))))
    return list(found)


def find_set_folder(root: Path, names: Iterable[str], marks: Iterable[str]) -> Path | None:
    """Return the folder of a set below a data root: the first that holds a file or folder by which it is known.

    Args:
        root: the data root.
        names: as for ``list_set_folders``.
        marks: paths in the folder, of which one must be there; ``*`` as in a shell.

    Returns:
        If none holds such a file, the first folder with a name; ``None`` if there is no such folder either.
    """
    folders, wanted = list_set_folders(root, names), tuple(marks)
    known = (folder for folder in folders if any(True for mark in wanted for _ in folder.glob(mark)))
    return next(known, folders[0] if folders else None)


def list_wrapped_folders(folder: Path) -> list[Path]:
    """Return the folder in a folder that holds nothing else, the one in that, and so on.

    Args:
        folder: the outermost folder.
    """
    return list(_iter_wrapped(folder))


def describe_archives(folders: Iterable[Path]) -> str:
    """Return a hint on archives that were not unpacked, as the end of a sentence; empty if there are none.

    Args:
        folders: where the set was looked for.
    """
    archives = (
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith(ARCHIVE_SUFFIXES)
    )
    first = next(archives, None)
    return f"; unpack {first} there" if first is not None else ""


def _match_path(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the folders with a path, the exact one first, then those in another case."""
    if not parts:
        yield folder
        return
    first, *rest = parts
    if not folder.is_dir():
        return
    children = sorted(child for child in folder.iterdir() if child.is_dir() and child.name.lower() == first.lower())
    for child in sorted(children, key=lambda path: path.name != first):
        yield from _match_path(child, rest)


def _iter_wrapped(folder: Path) -> Iterator[Path]:
    for _ in range(MAX_WRAPPINGS):
        children = [child for child in folder.iterdir() if not is_litter(child.name)] if folder.is_dir() else []
        if len(children) != 1 or not children[0].is_dir():
            return
        folder = children[0]
        yield folder

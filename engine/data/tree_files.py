"""Every file below a folder of a user's own data: used, known litter, left out by the user, or refused.

A reader that looks only for what it knows leaves the rest out without a word: images in a format that it does not open,
a fourth of the pairs in a subfolder, a class with another spelling. So a reader of a user's folder lists the whole tree
first and accounts for every file at the end.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.data.data_options import describe_unmatched, format_exclusion, get_data_options
from engine.data.split_folders import parse_split_name
from foundation.errors import DataError
from foundation.plural import format_count
from foundation.run_scope import memoize_in_run
from foundation.text.user_names import normalize_name, require_text_name
from results.records.ledger import LEDGER_FOLDER

LITTER_FOLDERS = frozenset(
    {"__macosx", ".ipynb_checkpoints", ".git", ".svn", ".dvc", ".cache", "__pycache__", "@eadir", ".trash", ".trashes"}
    | {".spotlight-v100", ".fseventsd", ".idea", ".vscode", ".thumbnails", "$recycle.bin", "system volume information"}
)
"""Folders that systems and tools make, in lower case; nothing in them belongs to the data."""

LITTER_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", ".nomedia", ".picasa.ini", "picasa.ini"}
    | {".gitkeep", ".gitignore", ".gitattributes", ".keep", ".dvcignore", "icon\r", "dataset-metadata.json"}
)
"""Files that systems and tools write, in lower case."""

OWN_SHEETS = frozenset(f"runs/check/{task}.png" for task in ("imagefolder", "segfolder", "trackfolder"))
"""The contact sheets of ``bench check data``, where it was called in the folder of the data."""

_STORE_FOLDERS = {LEDGER_FOLDER: ".jsonl", "sweeps": ".lock", "analysis": "analysis.json"}
"""Folders that bench makes in a folder of runs, and what is in each."""

DOCUMENT_STEMS = ("readme", "license", "licence", "copying", "citation", "changelog", "terms", "attribution")
DOCUMENT_SUFFIXES = (".md", ".rst", ".pdf", ".html", ".htm", ".bib", ".docx")
"""Texts for people: files with one of these beginnings or ends."""

MAX_NAMED_FILES = 3


class TreeFiles(NamedTuple):
    """The files at or below a folder, as paths relative to it with forward slashes, sorted.

    Attributes:
        root: the folder.
        files: what may belong to the data.
        litter: what is known not to.
        excluded: what ``--exclude`` leaves out.
    """

    root: Path
    files: tuple[str, ...]
    litter: tuple[str, ...]
    excluded: tuple[str, ...]


@memoize_in_run
def list_tree(root: Path, folder: str = "") -> TreeFiles:
    """List every file at or below a folder. Links are followed, except to a folder that the link lies in.

    A folder that links reach in two places is listed in both: in one alone, a class or split would seem to be empty.
    Two names of one split side by side, as ``val`` that links to ``valid``, are one folder, under the first name.

    Args:
        root: the folder; the patterns of ``--exclude`` are relative to it.
        folder: list only this folder in it, such as ``test``, with paths relative to ``root``.

    Raises:
        DataError: ``--exclude`` names something that is not there, a folder cannot be read, a name is not UTF-8, or
            an entry is neither a file nor a folder.
    """
    patterns = get_data_options().exclude
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    matched: set[str] = set()
    above: dict[str, frozenset[str]] = {}
    stores: set[str] = set()

    def refuse(error: OSError) -> None:
        # without this, a folder that may not be read would be taken for an empty one
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); change its permissions")

    for place, folders, names in os.walk(root / folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        outer = above.get(os.path.dirname(place), frozenset())  # noqa: PTH120 - text, as there may be many folders
        # a link to a folder around it has no end
        if real in outer:
            folders.clear()
            continue
        above[place] = outer | {real}
        folders[:] = _skip_second_names(place, sorted(folders))
        stores |= {f"{_name_folder(place, root)}/"} if _is_run_store(place, folders) else set()
        for name in sorted(names):
            path = PurePosixPath(Path(place, name).relative_to(root)).as_posix()
            hits = [pattern for pattern in patterns if _is_excluded(path, pattern)]
            matched.update(hits)
            group = 2 if hits else 1 if is_litter(path) or path.startswith(tuple(stores)) else 0
            if group == 0:
                require_text_name(path)
                _require_file(place, name)
            groups[group].append(path)
    # what a part of the data does not have, another part may
    unmatched = [pattern for pattern in patterns if pattern not in matched] if not folder else []
    if unmatched:
        raise DataError(describe_unmatched(unmatched[0], root))
    files, litter, excluded = (tuple(sorted(group)) for group in groups)
    return TreeFiles(root, files, litter, excluded)


def require_all_used(tree: TreeFiles, used: Iterable[str], hint: str = "") -> None:
    """Require that every file of a tree that is neither litter nor excluded is used.

    Args:
        tree: the files.
        used: the paths of those that belong to the data, as in ``tree.files``.
        hint: what may have been meant, as the end of the sentence; begins with a word and not with punctuation.

    Raises:
        DataError: some are not used; names the first ones and how to leave them out.
    """
    taken = set(used)
    unused = [path for path in tree.files if path not in taken]
    if not unused:
        return
    named = ", ".join(unused[:MAX_NAMED_FILES])
    more = f" and {len(unused) - MAX_NAMED_FILES:,} more" if len(unused) > MAX_NAMED_FILES else ""
    verb = "belongs" if len(unused) == 1 else "belong"
    cure = f"leave {'it' if len(unused) == 1 else 'them'} out with {_suggest_exclusion(unused, taken)}"
    raise DataError(
        f"{format_count(len(unused), 'file')} below {tree.root} {verb} to nothing that is read: {named}{more}; "
        + (f"{hint}, or {cure}" if hint else cure)
    )


def is_litter(path: str) -> bool:
    """Return whether a file is known not to belong to any data set, by its name and those of its folders.

    Args:
        path: relative to the data's folder, with forward slashes.

    >>> [is_litter(path) for path in ("cat/._0.jpg", "__MACOSX/cat/0.jpg", "README.txt", "cat/0.jpg")]
    [True, True, True, False]
    """
    if path in OWN_SHEETS or is_system_file(path):
        return True
    name = path.lower().rpartition("/")[2]
    # roboflow: README.dataset.txt; a picture named license-plate.png is data
    is_text = name.endswith((".txt", *DOCUMENT_SUFFIXES)) or "." not in name
    return name.endswith(DOCUMENT_SUFFIXES) or (is_text and name.startswith(DOCUMENT_STEMS))


def _skip_second_names(place: str, folders: Sequence[str]) -> list[str]:
    """Return folders without those that are links to, or from, another name of the same split."""
    first: dict[tuple[str, str], str] = {}
    for name in folders:
        found = parse_split_name(name)
        # test that links to train stays, and is refused as two splits with the same images
        split = found.split if found is not None else f"/{name}"
        first.setdefault((os.path.realpath(f"{place}/{name}"), split), name)
    return list(first.values())


def _require_file(place: str, name: str) -> None:
    # whoever opens a pipe waits for a writer without end; a link to nothing is said to be missing when it is read
    mode = os.stat(f"{place}/{name}").st_mode if os.path.exists(f"{place}/{name}") else stat.S_IFREG  # noqa: PTH110, PTH116
    if not stat.S_ISREG(mode):
        raise DataError(f"{place}/{name} is neither a file nor a folder (a pipe, socket or device); remove it")


def is_system_file(path: str) -> bool:
    """Return whether a system or a tool writes such a file where a person makes none; readmes are written by persons.

    Args:
        path: relative to the data's folder, with forward slashes.
    """
    *folders, name = path.lower().split("/")
    return any(folder in LITTER_FOLDERS for folder in folders) or name in LITTER_FILES or name.startswith("._")


def _name_folder(place: str, root: Path) -> str:
    return PurePosixPath(Path(place).relative_to(root)).as_posix()


def _is_run_store(place: str, folders: Iterable[str]) -> bool:
    """Return whether bench keeps runs in a folder, as in ``runs`` if it is called in the folder of the data.

    Without this, a run could not be resumed there, and the cells of a sweep would find the log of their own sweep: the
    pictures and weights of its own folder would be data.
    """
    entries = {name: list(Path(place, name).iterdir()) for name in folders if name in _STORE_FOLDERS}
    ledger = [path.name for path in entries.pop(LEDGER_FOLDER, []) if path.name != ".lock"]
    is_ledger = bool(ledger) and all(name.endswith(".jsonl") for name in ledger)
    # a sweep and an analysis are there before the first run is
    return is_ledger or any(
        paths and all((path / _STORE_FOLDERS[name]).is_file() for path in paths) for name, paths in entries.items()
    )


def _is_excluded(path: str, pattern: str) -> bool:
    """Return whether a pattern names a file or one of the folders that it lies in."""
    # a Mac writes accents in two characters; what is typed has them in one
    parts, wanted = normalize_name(path).split("/"), normalize_name(pattern).split("/")
    # matched part by part, so that * does not cross a slash
    if len(parts) < len(wanted):
        return False
    # only * and ? are patterns: "photo [1].jpg" is the name of many a download
    return all(fnmatch.fnmatchcase(part, each.replace("[", "[[]")) for part, each in zip(parts, wanted, strict=False))


def _suggest_exclusion(unused: list[str], used: set[str]) -> str:
    """Return the option with a pattern that leaves out all unused files and no other, else with the first paths."""
    first = PurePosixPath(unused[0])
    parents = [parent.as_posix() for parent in first.parents][:-1]
    # the folders from the outermost one on, those of one name at one depth (*/.thumbs), then files of one kind in one
    # folder, or at one depth
    folders = first.parent.parts
    candidates = [*reversed(parents), *("*/" * depth + folders[depth] for depth in range(1, len(folders)))]
    candidates += [(first.parent / f"*{first.suffix}").as_posix()]
    candidates.append("*/" * len(parents) + f"*{first.suffix}")
    for pattern in candidates if len(unused) > 1 else ():
        hits_all = all(_is_excluded(path, pattern) for path in unused)
        if hits_all and not any(_is_excluded(path, pattern) for path in used):
            return format_exclusion(pattern)
    return format_exclusion(*unused[:MAX_NAMED_FILES])

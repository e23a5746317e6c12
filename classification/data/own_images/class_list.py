"""Number the classes of a user's images: in the order of ``classes.txt``, else of their sorted names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from classification.data.own_images.image_tree import ImageTree
from foundation.errors import DataError
from foundation.text.user_names import normalize_name
from foundation.text.user_text import read_user_text

CLASS_LIST = "classes.txt"
MAX_NAMED_CLASSES = 6


def find_class_list(tree: ImageTree, base: str = "") -> str | None:
    """Return the path of ``classes.txt`` below a user's folder: at its top, or in the folder that holds the splits.

    Args:
        tree: the images and the other files.
        base: the folder that holds the splits or the class folders.
    """
    wanted = dict.fromkeys((CLASS_LIST, f"{base}/{CLASS_LIST}" if base else CLASS_LIST))
    return next((path for path in wanted if path in tree.files.files), None)


def read_class_list(file: Path) -> list[str]:
    """Read a list of class names, one per line; blank lines and spaces around a name are left out.

    Raises:
        DataError: it is not UTF-8 text, empty, or has a name twice.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_user_text(file).split("\n"), 1)]
    listed = [(number, name) for number, name in lines if name]
    if not listed:
        raise DataError(f"{file} is empty; list one class per line, or remove it")
    first: dict[str, int] = {}
    for number, name in listed:
        # two names that look alike would be two classes, one of them without images
        key = normalize_name(name)
        if key in first:
            raise DataError(f"{file} lists class {name!r} twice, in lines {first[key]} and {number}; keep one")
        first[key] = number
    return [name for _, name in listed]


def number_classes(names: Iterable[str], file: Path | None) -> dict[str, int]:
    """Number the classes from 0.

    Args:
        names: names of the classes that have images; may repeat.
        file: the class list, ``None`` if there is none.

    Raises:
        DataError: two names look alike, or the list and the names differ.
    """
    found = sorted(set(names))
    _require_distinct_forms(found)
    if file is None:
        return {name: number for number, name in enumerate(found)}
    listed = read_class_list(file)
    # also a class without images is refused: the list may belong to another version of the data
    if sorted(listed) != found:
        _explain_difference(file, listed, found)
    return {name: number for number, name in enumerate(listed)}


def _require_distinct_forms(names: Sequence[str]) -> None:
    forms = Counter(map(normalize_name, names))
    twice = next((form for form, count in forms.items() if count > 1), None)
    if twice is not None:
        raise DataError(
            f"two class folders are called {twice}, once with an accent as a letter of its own (NFD, as a Mac writes "
            "it) and once without (NFC); put them together under one name"
        )


def _explain_difference(file: Path, listed: Sequence[str], found: Sequence[str]) -> None:
    """Refuse a class list that is not that of the folders.

    Raises:
        DataError: always; says in what they differ.
    """
    odd = sorted(set(listed) ^ set(found))
    # every odd name has a partner that looks the same
    if len({normalize_name(name) for name in odd}) * 2 == len(odd):
        raise DataError(
            f"{file} and the class folders write the accents of {normalize_name(odd[0])} in two forms (NFC and NFD, as "
            "a Mac writes file names); copy the names of the folders into the list"
        )
    raise DataError(
        f"{file} and the class folders differ: {abbreviate_names(odd)}; list each folder once, one per line"
    )


def note_similar_names(names: Iterable[str]) -> tuple[str, ...]:
    """Say which classes differ in upper and lower case alone; they may be meant, as letters are, or mistyped.

    >>> note_similar_names(["Cat", "cat", "dog"])
    ('the classes Cat and cat differ in upper and lower case alone',)
    """
    first: dict[str, str] = {}
    pairs = [(other, name) for name in sorted(names) if (other := first.setdefault(name.casefold(), name)) != name]
    more = f" ({len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    return tuple(
        f"the classes {other} and {name} differ in upper and lower case alone{more}" for other, name in pairs[:1]
    )


def abbreviate_names(names: Sequence[str]) -> str:
    """Return the first six names and, if there are more, their number."""
    more = f", ... ({len(names)})" if len(names) > MAX_NAMED_CLASSES else ""
    return ", ".join(names[:MAX_NAMED_CLASSES]) + more

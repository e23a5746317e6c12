"""Cut a fixed test and val split from images that come without: by their content, whatever the files are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foundation.errors import DataError
from foundation.hash_order import order_by_hash
from foundation.plural import format_count

CONTENT_SPLIT_SALT = "bench-content-split-2"
"""Part of every hash that decides; raise the number if the rule changes. Rule 1 hashed the paths of the files, so a
renamed file moved to another split, and two copies of one image could lie on both sides."""

TEST_FRACTION = 0.2
"""Fraction of each class that becomes the test split."""

VAL_FRACTION = 0.15
"""Fraction of the others of each class that becomes the val split."""

MIN_CLASS_IMAGES = 3


def split_by_content(labels: Sequence[str], digests: Sequence[str], location: str) -> list[str]:
    """Return ``train``, ``val`` or ``test`` for each image.

    Of each class, the images that come first in the order of the hash of their content are test, the next ones val.
    Images of equal content are together in one split. No seed and no file name has a part in it.

    Args:
        labels: class of each image.
        digests: SHA-256 of the content of each.
        location: the data, for messages.

    Raises:
        DataError: a class has fewer than three images of different content.

    >>> split_by_content(["cat"] * 5, ["1f", "2e", "1f", "3d", "4c"], "photos")
    ['train', 'test', 'train', 'train', 'val']
    """
    # class by class, so that every split has the class frequencies of the whole
    by_class: dict[str, dict[str, list[int]]] = {}
    for item, (label, digest) in enumerate(zip(labels, digests, strict=True)):
        by_class.setdefault(label, {}).setdefault(digest, []).append(item)
    chosen = ["train"] * len(labels)
    for label, contents in by_class.items():
        if len(contents) < MIN_CLASS_IMAGES:
            copies = " of different content" if any(len(items) > 1 for items in contents.values()) else ""
            raise DataError(
                f"class {label!r} in {location} has {format_count(len(contents), 'image')}{copies}; without a test "
                f"folder each class needs {MIN_CLASS_IMAGES} or more, because train, val and test get one each"
            )
        _split_class(contents, chosen)
    return chosen


def _split_class(contents: Mapping[str, Sequence[int]], chosen: list[str]) -> None:
    """Set the split of the images of one class.

    Args:
        contents: the images by their content.
        chosen: split of each image of all classes; changed.
    """
    waiting = order_by_hash(contents, CONTENT_SPLIT_SALT)
    rest = sum(map(len, contents.values()))
    # one content at least is left for each split that comes after
    for split, fraction, num_left in (("test", TEST_FRACTION, 2), ("val", VAL_FRACTION, 1)):
        taken = _take_contents(waiting, contents, max(1, round(fraction * rest)), len(waiting) - num_left)
        for digest in taken:
            for item in contents[digest]:
                chosen[item] = split
        waiting = [digest for digest in waiting if digest not in taken]
        rest -= sum(len(contents[digest]) for digest in taken)


def _take_contents(
    waiting: Sequence[str], contents: Mapping[str, Sequence[int]], wanted: int, max_contents: int
) -> dict[str, None]:
    """Return the first contents that together have at most ``wanted`` images, but at least one content.

    A content with more copies than that is passed over, or it alone would make half of a class the test split.
    """
    taken: dict[str, None] = {}
    count = 0
    for digest in waiting:
        if count + len(contents[digest]) <= wanted and len(taken) < max_contents:
            taken[digest] = None
            count += len(contents[digest])
    return taken or {min(waiting, key=lambda digest: len(contents[digest])): None}


def require_one_label(paths: Sequence[str], labels: Sequence[str], digests: Sequence[str], location: str) -> None:
    """Require that images of equal content have one label.

    Args:
        paths: name of each image.
        labels: class of each.
        digests: SHA-256 of the content of each.
        location: the data, for messages.

    Raises:
        DataError: two files with the same content have two labels; names them.
    """
    # on two sides of a split, the test would ask for one answer after the other one was learned
    first: dict[str, int] = {}
    clashes = []
    for item, digest in enumerate(digests):
        other = first.setdefault(digest, item)
        if labels[other] != labels[item]:
            clashes.append((other, item))
    if clashes:
        other, item = clashes[0]
        more = f" ({len(clashes):,} such pairs)" if len(clashes) > 1 else ""
        raise DataError(
            f"{paths[other]} and {paths[item]} in {location} are one image with two labels, {labels[other]} and "
            f"{labels[item]}{more}; leave the wrong one out with --exclude"
        )

"""Short names of classes, for a line or a legend. Imports nothing heavy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection


def shorten_class_names(names: Collection[str]) -> dict[str, str]:
    """Return a short form of each name: what stands before the first comma, where no other name begins so.

    ADE20K writes "wall" and "building, edifice"; in a user's list, "car, red" and "car, blue" are two classes.

    >>> shorten_class_names(["wall", "building, edifice", "car, red", "car, blue"])
    {'wall': 'wall', 'building, edifice': 'building', 'car, red': 'car, red', 'car, blue': 'car, blue'}
    """
    first = {name: name.split(",")[0] for name in names}
    counts = Counter(first.values())
    return {name: word if counts[word] == 1 else name for name, word in first.items()}

"""What the columns of a classifier's output mean: classes of ImageNet by timm's lists, or those of a run's task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from timm.data import ImageNetInfo, infer_imagenet_subset

IMAGENET_1K = "imagenet-1k"

HeadOrigin = Literal["card", "checkpoint", "run"]
"""Whose head it is: that of a card's own weights, of a user's file, or of a run of bench."""


@dataclass(frozen=True)
class HeadClasses:
    """The classes of a head.

    Attributes:
        num_classes: number of columns.
        origin: whose head it is.
        names: name of each class; ``None`` if nobody says them.
        subset: timm's name of the part of ImageNet that has as many classes (``imagenet-1k``); ``None`` if none has.
        task: the task of the run that trained the head, "" if none did.
    """

    num_classes: int
    origin: HeadOrigin
    names: tuple[str, ...] | None = None
    subset: str | None = None
    task: str = ""

    def find_class(self, text: str) -> list[int]:
        """Return the columns that a text may mean: a name, a WordNet id, or words of ImageNet's description.

        Args:
            text: what a folder or a line of a class map says.

        Returns:
            No column, one, or several if the text is ambiguous.
        """
        # a WordNet id or the name of a run's class is never ambiguous, so it counts before words
        found = _index_names(self.names or ()).get(text)
        if found is None and self.subset is not None:
            found = _index_descriptions(self.subset).get(normalize_words(text))
        return list(found or ())

    def name_class(self, column: int) -> str:
        """Return the name of a class, "" if nobody says it."""
        return self.names[column] if self.names else ""

    def describe_class(self, column: int) -> str:
        """Return a name that people understand."""
        return _get_info(self.subset).index_to_description(column) if self.subset else self.name_class(column)


def make_head_classes(
    num_classes: int, origin: HeadOrigin, names: Sequence[str] | None = None, task: str = ""
) -> HeadClasses:
    """Return what is known of the classes of a head.

    The head of weights that nobody trained here is one of ImageNet if it has as many classes as timm's list of a part
    of ImageNet; a user's file may be another with as many classes, which its folders then show.

    Args:
        num_classes: number of columns.
        origin: whose head it is.
        names: name of each class, as a run states them.
        task: the task of the run that trained it.
    """
    # a run on any other set may happen to have as many classes as a part of ImageNet
    if origin == "run" and task != "imagenet":
        return HeadClasses(num_classes, origin, tuple(names) if names else None, None, task)
    subset = infer_imagenet_subset({"num_classes": num_classes})
    if subset is None:
        return HeadClasses(num_classes, origin, tuple(names) if names else None, None, task)
    return HeadClasses(num_classes, origin, tuple(_get_info(subset).label_names()), subset, task)


def list_imagenet_synsets() -> list[str]:
    """Return the 1,000 WordNet ids of ImageNet-1k in their official order."""
    return list(_get_info(IMAGENET_1K).label_names())


def normalize_words(text: str) -> str:
    """Return a class name as it is compared: in lower case, with spaces in place of underscores.

    >>> normalize_words("Great_White Shark ")
    'great white shark'
    """
    return " ".join(text.replace("_", " ").lower().split())


# timm reads three text files for each, which a table of many folders would repeat
@lru_cache(maxsize=8)
def _get_info(subset: str) -> ImageNetInfo:
    return ImageNetInfo(subset)


@lru_cache(maxsize=8)
def _index_names(names: tuple[str, ...]) -> dict[str, list[int]]:
    found = defaultdict(list)
    for column, name in enumerate(names):
        found[name].append(column)
    return dict(found)


@lru_cache(maxsize=8)
def _index_descriptions(subset: str) -> dict[str, list[int]]:
    """Return the classes by their description, "tench, Tinca tinca", and by each of its words, "tench"."""
    info, whole, parts = _get_info(subset), defaultdict(list), defaultdict(list)
    for column in range(info.num_classes()):
        description = info.index_to_description(column)
        whole[normalize_words(description)].append(column)
        for part in description.split(","):
            parts[normalize_words(part)].append(column)
    # a complete description says more than one of several words: "crane" is a bird and a machine
    return {**parts, **whole}

"""The class names of ADE20K, as mmseg lists them and as the data set's own list has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.data.official.label_digests import compare_class_names, read_label_digests
from foundation.errors import DataError

LABEL_DIGESTS_FILE = Path(__file__).with_name("label_digests.json")


def get_ade20k_classes() -> Sequence[str]:
    """Return the names of ADE20K's 150 benchmark classes, by class index."""
    # imported here because mmseg takes seconds to import, and most commands need no class names
    from segmentation.models.mmseg_imports import ADE20KDataset

    # mmseg's list has names with a trailing space ("bed ")
    return [name.strip() for name in ADE20KDataset.METAINFO["classes"]]


class ClassStatistics(NamedTuple):
    """A line of ``objectInfo150.txt``: the fraction of the pixels that a class covers, and its synonyms."""

    pixel_fraction: float
    synonyms: tuple[str, ...]


def read_object_info(folder: Path) -> list[ClassStatistics] | None:
    """Read ``objectInfo150.txt`` of the data set's folder, one entry per class.

    Returns:
        The entries in the order of the label values; ``None`` if the data set was copied without that file.

    Raises:
        DataError: the file cannot be read.
    """
    table = folder / "objectInfo150.txt"
    if not table.is_file():
        return None
    entries = []
    try:
        for line in table.read_text(encoding="utf-8").splitlines()[1:]:  # the first line is the header
            if line.strip():
                # columns are separated by tabs; the second one is the fraction, the last one the names
                columns = line.split("\t")
                entries.append(ClassStatistics(float(columns[1]), tuple(re.split(r"[,;]\s*", columns[-1].strip()))))
    except (ValueError, IndexError) as error:  # also bytes that are not UTF-8
        raise DataError(f"{table} is not ADE20K's list of classes ({error}); fetch it again, or remove it") from error
    return entries


def compare_ade20k_classes(folder: Path) -> tuple[str, ...]:
    """Compare ``objectInfo150.txt`` with the official class list, in whose order mmseg and bench number the classes.

    Returns:
        One sentence that names the first class that differs; nothing if none does, or there is no such file.
    """
    entries = read_object_info(folder)
    if entries is None:
        return ()
    official: Sequence[str] = read_label_digests(LABEL_DIGESTS_FILE)["ade20k"]["class_names"]
    found = compare_class_names([entry.synonyms[0] for entry in entries], official)
    return tuple(f"objectInfo150.txt: {sentence}" for sentence in found)

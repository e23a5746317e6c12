"""Is a labelled set whole and sound: counts, sizes, labels, classes never seen, and the two classic label traps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.progress import say
from engine.task import DataReport, Decode
from foundation.errors import DataError
from segmentation.data.files import read_image, read_numbers, require_numbers, require_one_size
from segmentation.data.labels import LabelSpace
from segmentation.data.dataset_layout import LabelledSet, Pair

SAMPLE = 50
"""Pairs of each split that a sample opens."""

Names = Callable[[], Sequence[str]]


class Opened(NamedTuple):
    """What was seen in the files of a split that were opened: pixels by number 0..255, and files."""

    histogram: NDArray[np.int64]
    files: int


def check(found: LabelledSet, decode: Decode, official: Mapping[str, int] | None, names: Names) -> DataReport:
    """The report of a set.

    Args:
        found: the set, its files paired.
        decode: how many files are opened.
        official: items of each split of the official set; ``None`` where there is none.
        names: gives the class names.

    Raises:
        DataError: naming the first file at fault and the mend.
    """
    splits = {split: len(pairs) for split, pairs in found.splits.items()}
    opened = {split: _open(split, pairs, found.space, decode) for split, pairs in found.splits.items()}
    notes: list[str] = []
    if decode != "none":
        total = sum((each.histogram for each in opened.values()), np.zeros(256, np.int64))
        require_unshifted(total, found.root)
        notes = [_counted(split, each, found.space) for split, each in opened.items()]
        notes.append(_never_seen(total, found.space, names(), decode))
    departures = [
        f"{split} has {splits.get(split, 0):,} of {count:,} pairs"
        for split, count in (official or {}).items()
        if splits.get(split, 0) != count
    ]
    return DataReport(found.fingerprint(), splits, tuple(notes), tuple(departures))


def _open(split: str, pairs: Sequence[Pair], space: LabelSpace, decode: Decode) -> Opened:
    chosen = list(pairs)
    if decode == "none":
        chosen = []
    elif decode == "sample" and len(chosen) > SAMPLE:
        places = np.linspace(0, len(pairs) - 1, SAMPLE).astype(int)
        chosen = [pairs[place] for place in places]
    histogram = np.zeros(256, np.int64)
    for number, pair in enumerate(chosen, start=1):
        image, numbers = read_image(pair.image), read_numbers(pair.label)
        require_numbers(numbers, pair.label, space)
        require_one_size(image, numbers, pair)
        histogram += np.bincount(numbers.ravel(), minlength=256)
        if number % 1000 == 0:
            say(f"{split}: {number:,} of {len(chosen):,} pairs opened")
    return Opened(histogram, len(chosen))


def _counted(split: str, opened: Opened, space: LabelSpace) -> str:
    ignored = sum(int(opened.histogram[number]) for number in space.ignored)
    seen = int((opened.histogram[space.first : space.first + space.classes] > 0).sum())
    share = 100 * ignored / max(int(opened.histogram.sum()), 1)
    return (
        f"{split}: {opened.files:,} pairs opened, {seen} of {space.classes} classes seen, "
        f"{share:.1f} % of the pixels do not count"
    )


def _never_seen(total: NDArray[np.int64], space: LabelSpace, names: Sequence[str], decode: Decode) -> str:
    missing = [name for number, name in enumerate(names) if not total[space.first + number]]
    where = "anywhere" if decode == "all" else "in the sample"
    if not missing:
        return f"every class was seen {where}"
    shown = ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else "")
    return f"{len(missing)} classes were not seen {where}: {shown}"


def require_unshifted(total: NDArray[np.int64], folder: Path) -> None:
    """Refuse labels that were shifted by one already, found by the share of each class, where the set states them.

    ``objectInfo150.txt`` of ADE20K has every class's share of the pixels. Where the shares found resemble them more
    after a shift of one, the files are not the original ones (mmseg's ``reduce_zero_label`` written to disk), and each
    class would be learned, and scored, under its neighbour's name.

    Raises:
        DataError: the labels are shifted.
    """
    table = folder / "objectInfo150.txt"
    if not table.is_file():
        return
    lines = table.read_text(encoding="utf-8").splitlines()[1:]
    shares = np.array([float(line.split("\t")[1]) for line in lines if line.strip()])
    apart = {shift: _apart(shares, total[1 + shift : 1 + shift + len(shares)]) for shift in (0, -1)}
    # of the whole set the distance is near 0; of a few images both are large and say nothing
    if apart[-1] < apart[0] / 2:
        raise DataError(
            f"the labels under {folder} look shifted by one (class shares are {apart[-1]:.2f} from the official ones "
            f"after a shift, {apart[0]:.2f} without); take the set's own annotation files"
        )


def _apart(shares: NDArray[np.float64], pixels: NDArray[np.int64]) -> float:
    """Sum of absolute differences between two distributions, 0 to 2."""
    return float(np.abs(shares / shares.sum() - pixels / max(int(pixels.sum()), 1)).sum())

"""The parts of GOT-10k's training set on which trackers are trained: OSTrack's lists of indices into ``list.txt``.

OSTrack's trackers for LaSOT are trained on ``vottrain`` (7,086 of the 9,335 sequences), as its file
``experiments/ostrack/vitb_256_mae_ce_32x4_ep300.yaml`` says (``GOT10K_vottrain``, botaoye/OSTrack at 33b5e125). Such a
list is a file of OSTrack, and bench ships only its length and a digest of its numbers: enough to notice another list.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from foundation.errors import DataError
from foundation.files import sha256_chunks
from tracking.data.readers.sequence import read_text

Got10kSplit = Literal["train_full", "train", "vottrain"]
"""Names as in OSTrack's reader of GOT-10k; ``train_full`` is every sequence of ``list.txt``."""

GOT10K_TRAIN_SEQUENCES = 9_335


class Got10kChoice(NamedTuple):
    """Which sequences of GOT-10k's training set are used.

    Attributes:
        split: the split of OSTrack.
        index_file: OSTrack's list of the split; by default it is looked for in the folder of GOT-10k.
        excluded: file with the names of sequences to leave out, one per line (the VOT challenge forbids 1,000 of them).
    """

    split: Got10kSplit = "train_full"
    index_file: Path | None = None
    excluded: Path | None = None


WHOLE_GOT10K = Got10kChoice()


class IndexList(NamedTuple):
    """What is known of a list of OSTrack.

    Attributes:
        file_name: name of the file, in ``lib/train/data_specs`` of OSTrack's code.
        num_sequences: how many sequences it lists.
        digest: of its numbers in ascending order, as ``digest_indices`` makes it.
    """

    file_name: str
    num_sequences: int
    digest: str


INDEX_LISTS: dict[str, IndexList] = {
    "train": IndexList("got10k_train_split.txt", 7_934, "8b7bf20998511297"),
    "vottrain": IndexList("got10k_vot_train_split.txt", 7_086, "e3208ee57bcd4604"),
}


def select_split_names(names: Sequence[str], choice: Got10kChoice, root: Path) -> list[str]:
    """Return the sequences of a split, in the order of GOT-10k's list.

    OSTrack's reader takes an index as the position in ``list.txt``, from 0, and so does this one.

    Args:
        names: the names in ``train/list.txt``.
        choice: which sequences.
        root: folder of GOT-10k, in which OSTrack's list is looked for.

    Raises:
        DataError: OSTrack's list is missing or is another one, or ``list.txt`` is not complete.
    """
    split, index_file = choice.split, choice.index_file
    if split == "train_full":
        if index_file is not None:
            raise DataError(
                f"got10k_list names {index_file}, but got10k_split=train_full uses every sequence; set got10k_split to "
                f"{' or '.join(INDEX_LISTS)}, or leave got10k_list out"
            )
        return list(names)
    if len(names) != GOT10K_TRAIN_SEQUENCES:
        raise DataError(
            f"{root / 'train' / 'list.txt'} names {len(names):,} sequences, GOT-10k's has {GOT10K_TRAIN_SEQUENCES:,}, "
            f"and the split {split} is a list of positions in it; complete it, or train on all that is there with "
            "--set got10k_split=train_full"
        )
    # the order of the numbers is that of a random draw and means nothing: the sequences keep the order of list.txt
    known, listing = INDEX_LISTS[split], _find_index_file(root, split, index_file)
    indices = _read_indices(listing)
    chosen = set(indices)
    if len(indices) != known.num_sequences or digest_indices(indices) != known.digest:
        raise DataError(
            f"{listing} has {len(indices):,} numbers and is not OSTrack's "
            f"{known.file_name}, which has {known.num_sequences:,}; copy that file again from lib/train/data_specs of "
            "github.com/botaoye/OSTrack"
        )
    return [name for index, name in enumerate(names) if index in chosen]


def digest_indices(indices: Sequence[int]) -> str:
    """Return a digest of numbers that does not depend on their order.

    Args:
        indices: the numbers.

    >>> digest_indices([2, 1]) == digest_indices([1, 2])
    True
    """
    return sha256_chunks(f"{index}\n".encode() for index in sorted(indices))[:16]


def _find_index_file(root: Path, split: str, given: Path | None) -> Path:
    name = INDEX_LISTS[split].file_name
    places = [given] if given is not None else [root / name, root / "train" / name, root.parent / name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(
            f"GOT-10k's split {split} needs OSTrack's list {name}, which is not in {places[0].parent}; copy it there "
            "from lib/train/data_specs of github.com/botaoye/OSTrack, name it with --set got10k_list=FILE, or train on "
            f"all {GOT10K_TRAIN_SEQUENCES:,} sequences (another number) with --set got10k_split=train_full"
        )
    return found


def _read_indices(path: Path) -> list[int]:
    words = read_text(path).split()
    wrong = next((word for word in words if not (word.isascii() and word.isdecimal())), None)
    if wrong is not None:
        raise DataError(
            f"{path} holds {wrong[:40]!r}, which is not a position in GOT-10k's list.txt; copy OSTrack's list again"
        )
    return [int(word) for word in words]

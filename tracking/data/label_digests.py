"""Recognise the official ground truth of LaSOT: a digest of the boxes and of the absence labels of each test sequence.

The ground truth of a published test set is fixed, so any other one makes a number that is not comparable. The digests
are taken from the parsed values, so that line ends and separators do not matter.

``lasot_digests.json`` was made from the ground truth of LaSOT's official toolkit with ``format_label_digests``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tracking.data.boxes import BoolArray, FloatArray

LASOT_DIGESTS_FILE = Path(__file__).parent / "lasot_digests.json"
DIGEST_LENGTH = 16
"""Hexadecimal digits of a digest. They are to notice damage, not forgery, and keep the file small."""

MAX_NAMED_SEQUENCES = 5


class SequenceLabels(NamedTuple):
    """The ground truth of one sequence.

    Attributes:
        name: name of the sequence.
        boxes: x, y, width, height in pixels, shape (frames, 4).
        hidden: frames that have no target: fully occluded, out of view, or with a box without area, shape (frames,).
    """

    name: str
    boxes: FloatArray
    hidden: BoolArray


class LabelDigest(NamedTuple):
    """Digests of the boxes and of the hidden frames of a sequence."""

    boxes: str
    hidden: str


def encode_boxes(boxes: FloatArray) -> bytes:
    """Return boxes as bytes that are the same on every machine: 64-bit floats, little endian, one zero and one NaN.

    Args:
        boxes: shape (n, 4).

    Example:
        >>> encode_boxes(np.array([[-0.0, 1, 2, 3]])) == encode_boxes(np.array([[0.0, 1, 2, 3]]))
        True
    """
    # a zero and a NaN can have either sign, and a NaN any content, without any difference to a score
    values = np.where(np.isnan(boxes), np.nan, boxes) + 0.0
    return values.astype("<f8").tobytes()


def digest_labels(labels: SequenceLabels) -> LabelDigest:
    """Return the digests of a sequence's ground truth.

    Args:
        labels: the ground truth.
    """
    hidden = np.asarray(labels.hidden, np.uint8).tobytes()
    boxes, absence = (hashlib.sha256(part).hexdigest()[:DIGEST_LENGTH] for part in (encode_boxes(labels.boxes), hidden))
    return LabelDigest(boxes, absence)


def format_label_digests(labels: Iterable[SequenceLabels]) -> str:
    """Return the digests of a set's ground truth as JSON, one sequence a line, sorted by name.

    Args:
        labels: the ground truth of all sequences of the set.
    """
    digests = {each.name: digest_labels(each) for each in labels}
    lines = (f'  "{name}": {json.dumps(digests[name]._asdict())}' for name in sorted(digests))
    return "{\n" + ",\n".join(lines) + "\n}\n"


@cache
def load_label_digests(path: Path = LASOT_DIGESTS_FILE) -> Mapping[str, LabelDigest]:
    """Return the digests of the official ground truth by sequence.

    Args:
        path: a file that ships with bench, as ``format_label_digests`` makes it.
    """
    return {name: LabelDigest(**digest) for name, digest in json.loads(path.read_text()).items()}


def find_changed_labels(labels: Iterable[SequenceLabels], official: Mapping[str, LabelDigest]) -> tuple[str, ...]:
    """Return one sentence on the sequences whose ground truth is not the official one; empty if there are none.

    Sequences of another set are left out, as other checks report them.

    Args:
        labels: the ground truth that was read.
        official: the digests of the official ground truth.
    """
    changed = []
    for each in labels:
        if each.name in official:
            found, expected = digest_labels(each), official[each.name]
            parts = [
                word
                for word, differs in (
                    ("boxes", found.boxes != expected.boxes),
                    ("absence", found.hidden != expected.hidden),
                )
                if differs
            ]
            changed += [f"{each.name} ({' and '.join(parts)})"] if parts else []
    if not changed:
        return ()
    more = len(changed) - MAX_NAMED_SEQUENCES
    names = ", ".join(changed[:MAX_NAMED_SEQUENCES]) + (f" and {more} more" if more > 0 else "")
    count = f"{len(changed)} sequence{'s' if len(changed) > 1 else ''}"
    return (f"the ground truth of {count} is not the official one: {names}",)

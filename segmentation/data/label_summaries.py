"""What the label files hold: pixels of each value, and a digest of the label map.

A run on labels without a scored pixel has no number, or a wrong one, so all label files are decoded before the first
run. What was found is kept in ``$BENCH_CACHE/label_summaries.sqlite`` by the SHA-256 of the file's content, so a file
is decoded once, wherever it lies.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.cache_table import CacheTable
from engine.data.image_formats import MAX_FILE_BYTES
from engine.progress_bar import ProgressBar
from foundation.errors import DataError
from foundation.run_scope import get_run_scope
from foundation.storage.regular_files import read_regular
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import decode_label_values, require_valid_labels
from segmentation.data.labels import LabelSpace

SUMMARY_FORMAT = 3
"""Raise this when label files are decoded or summarized differently, so that stored summaries are not used any more."""

MAP_DIGITS = 16
"""Hexadecimal digits of the digest of a label map."""

_CHUNK = 500
"""Files between two updates of the progress bar and two commits to the store."""


class LabelSummary(NamedTuple):
    """The content of one label file.

    Attributes:
        histogram: pixels of each label value 0..255, (256,).
        map_digest: digest of the size and the values of the label map, however the file is compressed.
    """

    histogram: NDArray[np.int64]
    map_digest: str


class LabelSummaries(NamedTuple):
    """The summaries of a data set.

    Attributes:
        by_split: image name and summary of each label file, by split.
        is_complete: whether every label file is in it, and not only a sample of a very large set.
    """

    by_split: Mapping[str, Sequence[tuple[str, LabelSummary]]]
    is_complete: bool

    def sum_histograms(self, split: str) -> NDArray[np.int64]:
        """Return the pixels of each label value 0..255 over a split, (256,)."""
        return sum((each.histogram for _, each in self.by_split[split]), np.zeros(256, np.int64))


def summarize_labels(dataset: SegmentationDataset, digests: Sequence[str]) -> LabelSummaries:
    """Summarize the label files; those whose content is in the store are not decoded again.

    Args:
        dataset: the data set with its files paired.
        digests: the content digest of each label file, as ``SegmentationDataset.hash_contents`` returns them. A file
            without a SHA-256, in a very large data set, is left out.

    Raises:
        DataError: a label file cannot be decoded or has a label that is not allowed; the message names the first one.
    """
    hashed = [
        (split, pair, digest)
        for (split, pair), digest in zip(dataset.list_pairs(), digests, strict=True)
        if not digest.startswith("size:")
    ]
    store = _SummaryStore(dataset.label_space)
    known = store.load({digest for _, _, digest in hashed}) if get_run_scope().trusts_caches else {}
    # one file of each content
    missing = {digest: pair for _, pair, digest in hashed if digest not in known}
    for fresh in _decode_files(missing, dataset.label_space):
        store.save(fresh)
        known.update(fresh)
    by_split: dict[str, list[tuple[str, LabelSummary]]] = {split: [] for split in dataset.splits}
    table = np.array(dataset.label_space.make_lookup_table())
    total = sum((known[digest].histogram for _, _, digest in hashed), np.zeros(256, np.int64))
    for split, pair, digest in hashed:
        summary = known[digest]
        if summary.histogram[table < 0].any():
            # a stored summary may come from a data set with other labels
            # all files together choose the advice, so that it does not depend on which file comes first
            wrong = np.flatnonzero(summary.histogram)
            require_valid_labels(wrong, pair.label_path, dataset.label_space, total)
        by_split[split].append((pair.name, summary))
    return LabelSummaries(by_split, len(hashed) == len(digests))


def _decode_files(files: Mapping[str, ImageLabelPair], label_space: LabelSpace) -> Iterator[dict[str, LabelSummary]]:
    """Yield the summaries of some files at a time, by content digest."""
    if not files:
        return
    entries = list(files.items())
    with ThreadPoolExecutor(4) as pool, ProgressBar("label files", "files", len(entries)) as bar:
        for start in range(0, len(entries), _CHUNK):
            chunk = entries[start : start + _CHUNK]
            # threads help, because reading, inflating and hashing release the interpreter's lock
            found = pool.map(lambda entry: _summarize_file(entry[1].label_path, entry[0], label_space), chunk)
            yield dict(zip((digest for digest, _ in chunk), found, strict=True))
            bar.advance(num_items=len(chunk))


def _summarize_file(path: Path, digest: str, label_space: LabelSpace) -> LabelSummary:
    try:
        data = read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    # what is stored under the digest must come from the very bytes that have it
    if hashlib.sha256(data).hexdigest() != digest:
        raise DataError(f"{path} was changed while the data were checked; start again when nothing writes there")
    labels = decode_label_values(data, path, label_space)
    if labels.min() < 0 or labels.max() > 255:  # values that fit no histogram
        require_valid_labels(labels, path, label_space)
    return summarize_label_map(labels)


def summarize_label_map(labels: NDArray[np.int64]) -> LabelSummary:
    """Summarize label values from 0 to 255, (height, width)."""
    # the size is hashed too: the same values in another shape are another map
    content = f"{labels.shape[0]} x {labels.shape[1]} ".encode() + labels.astype(np.uint8).tobytes()
    histogram = np.bincount(labels.ravel(), minlength=256).astype(np.int64)
    return LabelSummary(histogram, hashlib.sha256(content).hexdigest()[:MAP_DIGITS])


class _SummaryStore:
    """The summaries of earlier runs, by the SHA-256 of the label file, and of the colors that stand for classes."""

    def __init__(self, label_space: LabelSpace) -> None:
        columns = "digest TEXT PRIMARY KEY, histogram BLOB, map_digest TEXT"
        # the same file has other label values under another table of colors
        colors = repr(label_space.colors).encode()
        self._key_end = f":{hashlib.sha256(colors).hexdigest()[:MAP_DIGITS]}" if label_space.colors else ""
        self._rows = CacheTable("label_summaries.sqlite", f"summaries_{SUMMARY_FORMAT}", columns)

    def load(self, digests: set[str]) -> dict[str, LabelSummary]:
        """Return the stored summaries of some contents."""
        wanted, found = sorted(digests), {}
        for start in range(0, len(wanted), _CHUNK):  # SQLite takes a limited number of question marks
            chunk = wanted[start : start + _CHUNK]
            marks = ", ".join("?" * len(chunk))
            query = f"SELECT * FROM {self._rows.table} WHERE digest IN ({marks})"  # noqa: S608 - a constant name
            for key, blob, map_digest in self._rows.select_rows(query, [each + self._key_end for each in chunk]):
                try:
                    histogram = np.frombuffer(zlib.decompress(blob), "<i8").astype(np.int64)
                except (zlib.error, ValueError, TypeError):
                    continue  # a damaged row is computed again
                if histogram.shape == (256,):
                    found[key.removesuffix(self._key_end)] = LabelSummary(histogram, map_digest)
        return found

    def save(self, summaries: Mapping[str, LabelSummary]) -> None:
        """Store summaries."""
        self._rows.insert_rows(
            [
                (digest + self._key_end, zlib.compress(each.histogram.astype("<i8").tobytes()), each.map_digest)
                for digest, each in summaries.items()
            ]
        )

"""Check a detection data set: counts, objects, sizes of the images, copies in two splits; and fingerprint it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from detection.data.ground_truth import Annotations, DetectionDataset, DetectionImage, DetectionSplit
from detection.data.read_image import read_rgb_image
from engine.data.decode import HEADER_ERRORS, open_header
from engine.data.duplicates import judge_duplicates
from engine.data.file_hashes import EMPTY_DIGESTS, FileHashes, hash_files
from engine.data.item_limits import spread_indices
from engine.progress_bar import log_message
from engine.task import DataReport, DecodeLevel
from foundation.errors import DataError
from foundation.plural import format_count

SAMPLED_IMAGES = 50
"""Images of each split that are opened when only a sample is checked."""

SAMPLED_HEADERS = 1_000
"""Images of each split whose headers are read before every run: a wrong size would else end it hours later."""

BOXES_ALONE = "boxes alone: there is no mask AP"
"""Note on a data set without masks."""

AnnotationComparer = Callable[[DetectionDataset], Sequence[str]]


def check_detection_data(
    dataset: DetectionDataset,
    decode: DecodeLevel,
    official_counts: Mapping[str, int] | None,
    compare_annotations: AnnotationComparer | None = None,
) -> DataReport:
    """Check a data set and report what was found.

    Args:
        dataset: the data set as read.
        decode: how many images are opened: ``none`` (the headers of a sample alone), ``sample`` or ``all``. An image
            that a run reads is compared with the size that the annotations state, so nothing wrong is trained on or
            scored without that either.
        official_counts: images of each split of the official data set; ``None`` if there is no official one.
        compare_annotations: returns how the annotations differ from the official ones, one sentence each.

    Raises:
        DataError: a file is wrong; the message names the first one and how to fix it.
    """
    hashes = {split: _hash_images(dataset.root, each.images) for split, each in dataset.splits.items()}
    _require_content(dataset, hashes)
    notes = [*dataset.notes, *(_describe_split(name, each) for name, each in dataset.splits.items())]
    if not dataset.has_masks:
        notes.append(BOXES_ALONE)
    # before images are opened, as it is quicker
    for name, each in dataset.splits.items():
        _require_objects(dataset, name, each)
        _open_images(name, each.images, decode)
    counts = {split: len(each) for split, each in dataset.splits.items()}
    deviations = [
        f"{split} has {counts.get(split, 0):,} of {count:,} images"
        for split, count in (official_counts or {}).items()
        if split in counts and counts[split] != count
    ]
    if compare_annotations is not None:
        deviations += compare_annotations(dataset)
    duplicates, repeated = _find_shared_images(dataset, hashes, official_counts is not None)
    return DataReport(
        compute_fingerprint(dataset, {split: each.digests for split, each in hashes.items()}),
        counts,
        (*notes, *repeated),
        tuple(deviations),
        coverage=_describe_coverage(hashes),
        duplicates=duplicates,
    )


def _hash_images(root: Path, images: Sequence[DetectionImage]) -> FileHashes:
    return hash_files(root, [image.path.relative_to(root).as_posix() for image in images])


def _require_content(dataset: DetectionDataset, hashes: Mapping[str, FileHashes]) -> None:
    for split, each in dataset.splits.items():
        for image, digest in zip(each.images, hashes[split].digests, strict=True):
            if digest in EMPTY_DIGESTS:
                raise DataError(f"{image.path} cannot be decoded (0 bytes); fetch it again")


def _require_objects(dataset: DetectionDataset, name: str, split: DetectionSplit) -> None:
    """Refuse a split on which nothing can be trained or scored."""
    found = split.annotations
    if not (~found.is_crowd & (found.boxes[:, 2:] > 0).all(1)).any():
        raise DataError(
            f"{name} of {dataset.name} in {dataset.root} has {format_count(len(split), 'image')} and no single object "
            "with an area (crowds do not count), so there is nothing to train on or to score; add annotations"
        )


def _describe_split(name: str, split: DetectionSplit) -> str:
    found = split.annotations
    empty = len(split) - len(np.unique(found.images))
    crowds = int(found.is_crowd.sum())
    return (
        f"{name}: {format_count(len(found), 'object')} ({crowds:,} of them marked as a crowd) of "
        f"{len(np.unique(found.labels)):,} categories, {format_count(empty, 'image')} without objects"
    )


def _open_images(name: str, images: Sequence[DetectionImage], decode: DecodeLevel) -> None:
    """Open images and compare their sizes with what the annotations state."""
    if decode == "none":
        for index in spread_indices(len(images), SAMPLED_HEADERS):
            require_stated_size(images[index])
        return
    chosen = range(len(images)) if decode == "all" else spread_indices(len(images), SAMPLED_IMAGES)
    for count, index in enumerate(chosen, start=1):
        read_rgb_image(images[index])
        if count % 1000 == 0:
            log_message(f"{name}: {count:,} of {len(chosen):,} images opened")


def require_stated_size(image: DetectionImage) -> None:
    """Require that the header of an image states the size of its annotations, upright or turned.

    Args:
        image: which image.

    Raises:
        DataError: it does not, or the file is no image.
    """
    try:
        with open_header(image.path) as header:
            # sorted: the orientation tag, which exchanges the sides, is not read here
            is_right = sorted(header.size) == sorted((image.width, image.height))
    except HEADER_ERRORS:
        is_right = False
    if not is_right:
        read_rgb_image(image)  # says what is wrong


def compute_fingerprint(dataset: DetectionDataset, digests: Mapping[str, Sequence[str]]) -> str:
    """Return a SHA-256 over categories, images and objects; the root is left out, so that a copy has the same one.

    Args:
        dataset: the data set.
        digests: the content digest of each image, by split.
    """
    # ids too, because results name images and categories by them
    whole = hashlib.sha256(repr([tuple(each) for each in dataset.categories]).encode())
    for split, each in sorted(dataset.splits.items()):
        for image, digest in zip(each.images, digests[split], strict=True):
            line = f"{split} {image.id} {image.name} {image.height} {image.width} {digest}\n"
            # surrogateescape: a file name need not be valid UTF-8
            whole.update(line.encode("utf-8", "surrogateescape"))
        whole.update(digest_annotations(each.annotations).encode())
    return whole.hexdigest()


def digest_annotations(annotations: Annotations) -> str:
    """Return a SHA-256 over all that annotations say, 64 hexadecimal digits.

    Args:
        annotations: of a split.
    """
    digest = hashlib.sha256()
    columns = (annotations.images, annotations.ids, annotations.labels, annotations.boxes, annotations.areas)
    # numbers as they are in memory: a text would round them
    for column in (*columns, annotations.is_crowd):
        digest.update(np.ascontiguousarray(column).tobytes())
    for mask in annotations.masks or ():
        if isinstance(mask, dict):
            digest.update(b"R" + mask["counts"])
        else:  # the number of points separates outlines
            for outline in mask:
                digest.update(f"P{len(outline)} ".encode() + np.ascontiguousarray(outline).tobytes())
        digest.update(b"\n")
    return digest.hexdigest()


def _describe_coverage(hashes: Mapping[str, FileHashes]) -> str:
    """Say which bytes the fingerprint covers."""
    found = {split: each.coverage for split, each in hashes.items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{split}: {coverage}" for split, coverage in found.items())


def _find_shared_images(
    dataset: DetectionDataset, hashes: Mapping[str, FileHashes], is_official: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which images are in two splits: those that make a test worthless, and notes on an official data set."""
    if not all(each.is_complete for each in hashes.values()):  # equal sizes say nothing
        return (), ()
    items = {
        split: [
            (image.path.relative_to(dataset.root).as_posix(), digest)
            for image, digest in zip(each.images, hashes[split].digests, strict=True)
        ]
        for split, each in dataset.splits.items()
    }
    return judge_duplicates(items, is_official)

"""Summarize a detection set for ``bench check data``: sizes, objects by class and area, and drawn samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detection.data.ground_truth import DetectionDataset, DetectionImage, DetectionSplit
from detection.data.read_image import read_rgb_image
from detection.visualize import choose_color, draw_objects, list_true_objects
from engine.data.file_hashes import hash_files
from engine.pictures.palette import get_color, make_palette
from engine.summary.class_names import shorten_class_names
from engine.summary.data_summary import (
    DataSummary,
    SamplePicture,
    SampleSheet,
    SplitSummary,
    describe_misnamed,
    format_quantiles,
    share_samples,
)
from engine.summary.image_headers import ImageHeader, collect_image_facts, read_header, read_headers
from engine.summary.repeated_items import NOT_COMPARED, NamedContent, find_repeated_items
from foundation.hash_order import order_by_hash
from foundation.plural import format_count

_SAMPLE_SALT = "bench-contact-sheet-1"
_MAX_LEGEND = 40
_SAMPLE_WIDTH = 288
_SMALL_AREA, _LARGE_AREA = 32**2, 96**2


def summarize_detection(dataset: DetectionDataset) -> DataSummary:
    """Summarize a detection set.

    Args:
        dataset: the data set as read.

    Raises:
        DataError: an image of the sheet cannot be opened.
    """
    names = [category.name for category in dataset.categories]
    contents = _list_contents(dataset)
    findings = find_repeated_items(contents, "image")
    summaries = {}
    for name, split in dataset.splits.items():
        counts = np.bincount(split.annotations.labels, minlength=len(names))
        facts = {"objects": _describe_objects(split)}
        if not contents:
            facts["twins"] = NOT_COMPARED
        headers = read_headers(partial(_read_image_header, split.images), len(split))
        labels = {each: float(count) for each, count in zip(names, counts, strict=True)}
        summaries[name] = SplitSummary(len(split), collect_image_facts(headers), labels, facts)
        findings += _find_odd_objects(name, split, names)
    samples = _choose_samples(dataset)
    return DataSummary(
        "image",
        "objects",
        summaries,
        (*findings, *describe_misnamed(summaries)),
        tuple(dataset.splits[split].images[place].name for split, place in samples),
        lambda: _draw_samples(samples, dataset, names),
    )


def _list_contents(dataset: DetectionDataset) -> dict[str, list[NamedContent]]:
    """Return name and digest of each image by split; empty where a set is too large to be hashed as a whole."""
    found: dict[str, list[NamedContent]] = {}
    for split, each in dataset.splits.items():
        hashes = hash_files(dataset.root, [image.path.relative_to(dataset.root).as_posix() for image in each.images])
        if not hashes.is_complete:
            return {}
        rows = zip(each.images, hashes.digests, strict=True)
        found[split] = [NamedContent(image.name, digest) for image, digest in rows]
    return found


def _read_image_header(images: Sequence[DetectionImage], place: int) -> ImageHeader:
    return read_header(images[place].path, images[place].name)


def _describe_objects(split: DetectionSplit) -> str:
    found = split.annotations
    if not len(found):
        return "none"
    per_image = np.bincount(found.images, minlength=len(split))
    small, large = int((found.areas < _SMALL_AREA).sum()), int((found.areas > _LARGE_AREA).sum())
    parts = [
        f"{len(found):,}, {format_quantiles(per_image.tolist(), 'an image')}",
        f"{small:,} small (below 32 x 32 px), {large:,} large (above 96 x 96 px)",
    ]
    if crowds := int(found.is_crowd.sum()):
        parts.append(f"{crowds:,} crowds")
    return "; ".join(parts)


def _find_odd_objects(name: str, split: DetectionSplit, names: Sequence[str]) -> list[str]:
    """Return what is unusual about the objects of a split, one sentence each."""
    found, findings = split.annotations, []
    empty = len(split) - len(np.unique(found.images))
    if empty > len(split) // 2:
        findings.append(
            f"{name}: {empty:,} of {format_count(len(split), 'image')} have no object; are annotations missing?"
        )
    seen = np.bincount(found.labels, minlength=len(names)) > 0
    if missing := [each for each, is_seen in zip(names, seen, strict=True) if not is_seen]:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        findings.append(f"{name}: {format_count(len(missing), 'class')} without objects: {shown}")
    sizes = np.array([[each.width, each.height] for each in split.images])[found.images]
    whole = int((found.boxes[:, 2:] >= 0.99 * sizes).all(1).sum()) if len(found) else 0
    if whole > len(found) // 4:
        findings.append(f"{name}: {whole:,} of {len(found):,} boxes cover the whole image")
    return findings


def _choose_samples(dataset: DetectionDataset) -> list[tuple[str, int]]:
    """Choose as many images with objects of each split; the same ones for the same names."""
    with_objects = {split: np.unique(each.annotations.images).tolist() for split, each in dataset.splits.items()}
    shares, chosen = share_samples({split: len(places) for split, places in with_objects.items()}), []
    for split, places in with_objects.items():
        by_name = {dataset.splits[split].images[place].name: int(place) for place in places}
        chosen += [(split, by_name[name]) for name in order_by_hash(by_name, _SAMPLE_SALT)[: shares[split]]]
    return chosen


def _draw_samples(samples: Sequence[tuple[str, int]], dataset: DetectionDataset, names: Sequence[str]) -> SampleSheet:
    pictures, seen = [], set()
    short = shorten_class_names(names)
    for split, place in samples:
        part = dataset.splits[split]
        image = part.images[place]
        objects = list_true_objects(part, place, [short[name] for name in names])
        seen |= {each.label for each in objects}
        caption = (
            f"{split}: {format_count(len(objects), 'object')}",
            f"{image.name}, {image.width} x {image.height} px",
        )
        pictures.append(SamplePicture(draw_objects(np.asarray(read_rgb_image(image)), objects, _SAMPLE_WIDTH), caption))
    colors = make_palette()
    legend = [(get_color(colors, choose_color(label)), short[names[label]]) for label in sorted(seen)[:_MAX_LEGEND]]
    return SampleSheet(pictures, legend, is_outline=True)

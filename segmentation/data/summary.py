"""Summarize a segmentation set for ``bench check data``: sizes, masks, classes by pixel, and overlays. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.data.file_hashes import FileHashes
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
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import ImageArray, read_image_pair
from segmentation.data.label_summaries import LabelSummary, summarize_labels
from segmentation.data.labels import IGNORE_INDEX
from segmentation.visualize import overlay_colors

_SAMPLE_SALT = "bench-contact-sheet-1"
_MAX_LEGEND = 40
_PANEL_WIDTH = 288  # two panels and the gap are half of the sheet
_STRIPE = 6  # pixels of a stripe over what is not scored


class _MaskFacts(NamedTuple):
    """The label files of a split, by class index.

    Attributes:
        pixels: pixels of each class, (classes,).
        ignored: pixels that are not scored.
        flat: names of the images whose scored pixels have one class alone, and that class.
        shares: percent of the pixels of each image that are not scored.
        num_masks: number of label files.
        num_repeated: number of label maps that another image of the split has too.
    """

    pixels: NDArray[np.int64]
    ignored: int
    flat: Sequence[tuple[str, int]]
    shares: Sequence[float]
    num_masks: int
    num_repeated: int


def summarize_segmentation(dataset: SegmentationDataset, class_names: Sequence[str]) -> DataSummary:
    """Summarize a segmentation set.

    Args:
        dataset: the data set with its files paired.
        class_names: name of each class, by class index.

    Raises:
        DataError: a label file cannot be used.
    """
    hashes = dataset.hash_contents()
    masks = summarize_labels(dataset, hashes.labels.digests)
    contents = _list_contents(dataset, hashes.images)
    findings = find_repeated_items(contents, "image")
    summaries = {}
    for name, pairs in dataset.splits.items():
        facts = _collect_mask_facts([(image, summary) for image, summary in masks.by_split[name]], dataset)
        total = max(int(facts.pixels.sum()), 1)
        shares = {class_names[index]: round(100 * int(count) / total, 3) for index, count in enumerate(facts.pixels)}
        label_files = collect_image_facts(read_headers(partial(_read_label_header, dataset, pairs), len(pairs)))
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in label_files.pixels.items()) if label_files else "none"
        lines = {"masks": f"{kinds}; {_describe_masks(facts, class_names)}"}
        if not contents:
            lines["twins"] = NOT_COMPARED
        image_facts = collect_image_facts(read_headers(partial(_read_image_header, dataset, pairs), len(pairs)))
        summaries[name] = SplitSummary(len(pairs), image_facts, shares, lines)
        findings += _find_odd_masks(name, facts, class_names)
    samples = _choose_samples(dataset)
    return DataSummary(
        "image",
        "% of the scored pixels",
        summaries,
        (*findings, *describe_misnamed(summaries)),
        tuple(dataset.get_relative_name(pair.image_path) for _, pair in samples),
        lambda: _draw_samples(samples, dataset, class_names),
    )


def _list_contents(dataset: SegmentationDataset, hashes: FileHashes) -> dict[str, list[NamedContent]]:
    """Return name and digest of each image by split; empty where a set is too large to be hashed as a whole."""
    if not hashes.is_complete:
        return {}
    found: dict[str, list[NamedContent]] = {split: [] for split in dataset.splits}
    for (split, pair), digest in zip(dataset.list_pairs(), hashes.digests, strict=True):
        found[split].append(NamedContent(dataset.get_relative_name(pair.image_path), digest))
    return found


def _read_image_header(dataset: SegmentationDataset, pairs: Sequence[ImageLabelPair], place: int) -> ImageHeader:
    path = pairs[place].image_path
    return read_header(path, dataset.get_relative_name(path))


def _read_label_header(dataset: SegmentationDataset, pairs: Sequence[ImageLabelPair], place: int) -> ImageHeader:
    path = pairs[place].label_path
    return read_header(path, dataset.get_relative_name(path))


def _collect_mask_facts(masks: Sequence[tuple[str, LabelSummary]], dataset: SegmentationDataset) -> _MaskFacts:
    table = np.array(dataset.label_space.make_lookup_table())
    pixels, ignored, flat, shares = np.zeros(dataset.label_space.num_classes, np.int64), 0, [], []
    for name, summary in masks:
        # values of the file to classes; several values may be one class
        counts = np.bincount(table[table >= 0], weights=summary.histogram[table >= 0], minlength=256).astype(np.int64)
        of_classes = counts[: len(pixels)]
        pixels += of_classes
        ignored += int(counts[IGNORE_INDEX])
        shares.append(100 * int(counts[IGNORE_INDEX]) / max(int(counts.sum()), 1))
        present = np.flatnonzero(of_classes)
        if len(present) <= 1:
            flat.append((name, int(present[0]) if len(present) else IGNORE_INDEX))
    # flat masks are equal anyway, and are counted by themselves
    flat_names = {name for name, _ in flat}
    digests = Counter(summary.map_digest for name, summary in masks if name not in flat_names)
    repeated = sum(count - 1 for count in digests.values())
    return _MaskFacts(pixels, ignored, flat, shares, len(masks), repeated)


def _describe_masks(facts: _MaskFacts, class_names: Sequence[str]) -> str:
    seen = int((facts.pixels > 0).sum())
    parts = [f"{seen} of {len(class_names)} classes have pixels"]
    if facts.ignored:
        parts.append(f"not scored: {format_quantiles(facts.shares, '% of an image', 1)}")
    if facts.flat:
        parts.append(f"{format_count(len(facts.flat), 'mask')} of one class alone")
    return "; ".join(parts)


def _find_odd_masks(split: str, facts: _MaskFacts, class_names: Sequence[str]) -> list[str]:
    """Return what is unusual about the masks of a split, one sentence each."""
    findings = []
    # a few images without an object are normal
    if len(facts.flat) > max(1, facts.num_masks // 10):
        kinds = Counter(index for _, index in facts.flat)
        index, count = kinds.most_common(1)[0]
        name = "pixels that are not scored" if index == IGNORE_INDEX else class_names[index]
        findings.append(
            f"{split}: {len(facts.flat):,} of {format_count(facts.num_masks, 'mask')} have one class alone, {count:,} "
            f"of them {name}, as {facts.flat[0][0]}: is the object missing in them?"
        )
    if facts.num_repeated > max(1, facts.num_masks // 10):
        findings.append(f"{split}: {facts.num_repeated:,} images have the very mask of another image")
    scored = int(facts.pixels.sum())
    if facts.ignored > scored:
        share = 100 * facts.ignored / (facts.ignored + scored)
        findings.append(f"{split}: {share:.0f} % of the pixels are not scored; is an ignored value a class?")
    if len(class_names) > 1 and scored and facts.pixels.max() > 0.98 * scored:
        name = class_names[int(facts.pixels.argmax())]
        findings.append(f"{split}: {100 * facts.pixels.max() / scored:.1f} % of the scored pixels are {name}")
    return findings


def _choose_samples(dataset: SegmentationDataset) -> list[tuple[str, ImageLabelPair]]:
    """Choose as many pairs of each split; the same ones for the same names."""
    shares, chosen = share_samples({split: len(pairs) for split, pairs in dataset.splits.items()}), []
    for split, pairs in dataset.splits.items():
        chosen += [
            (split, pair) for pair in order_by_hash(pairs, _SAMPLE_SALT, lambda pair: pair.name)[: shares[split]]
        ]
    return chosen


def _draw_samples(
    samples: Sequence[tuple[str, ImageLabelPair]], dataset: SegmentationDataset, class_names: Sequence[str]
) -> SampleSheet:
    colors, counts, has_ignored, pictures = make_palette(), np.zeros(256, np.int64), False, []
    short = shorten_class_names(class_names)
    for split, pair in samples:
        image, labels = read_image_pair(pair, dataset.label_space)
        here = np.bincount(labels.ravel(), minlength=256)
        counts += here
        ignored = int(here[IGNORE_INDEX])
        has_ignored = has_ignored or ignored > 0
        seen = np.flatnonzero(here[:IGNORE_INDEX])
        classes = short[class_names[seen[0]]] + " alone" if len(seen) == 1 else f"{len(seen)} classes"
        share = f", {100 * ignored / labels.size:.1f} % not scored" if ignored else ""
        caption = (f"{split}: {classes}{share}", f"{pair.name}, {image.shape[1]} x {image.shape[0]} px")
        pictures.append(SamplePicture(_draw_pair(image[:, :, ::-1], labels, colors), caption))
    # the most frequent classes first, as a legend of 150 would fill the sheet
    order = [int(index) for index in np.argsort(-counts[:IGNORE_INDEX], kind="stable") if counts[index]]
    legend = [(get_color(colors, index), short[class_names[index]]) for index in order[:_MAX_LEGEND]]
    if len(order) > _MAX_LEGEND:
        legend.append(((255, 255, 255), f"and {len(order) - _MAX_LEGEND} further classes"))
    if has_ignored:
        legend.append((get_color(colors, IGNORE_INDEX), "striped: not scored"))
    return SampleSheet(pictures, legend, num_columns=2)


def _draw_pair(image: ImageArray, labels: ImageArray, colors: NDArray[np.uint8]) -> Image.Image:
    """Draw an image, and beside it its classes over it; what is not scored is striped.

    Args:
        image: (height, width, 3), uint8 RGB.
        labels: class indices, (height, width).
        colors: color of each class index, (256, 3).
    """
    height = max(1, round(image.shape[0] * _PANEL_WIDTH / image.shape[1]))
    size = (_PANEL_WIDTH, height)
    method = Image.Resampling.NEAREST if image.shape[1] < _PANEL_WIDTH else Image.Resampling.LANCZOS
    photo = Image.fromarray(np.ascontiguousarray(image)).resize(size, method)
    # at the size of the sheet, so that the stripes are equally wide over every image
    small = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    overlay = overlay_colors(np.asarray(photo), colors[small])
    rows, columns = np.indices(small.shape)
    overlay[(small == IGNORE_INDEX) & ((rows + columns) // _STRIPE % 2 == 0)] = 255
    pair = Image.new("RGB", (2 * _PANEL_WIDTH + 4, height), (255, 255, 255))
    pair.paste(photo, (0, 0))
    pair.paste(Image.fromarray(overlay), (_PANEL_WIDTH + 4, 0))
    return pair

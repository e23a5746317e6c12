"""Summarize a labeled image set for ``bench check data``: sizes, formats, repeated images, and samples. No torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from classification.data.dataset_splits import ImageSplit
from engine.summary.data_summary import (
    DataSummary,
    SamplePicture,
    SampleSheet,
    SplitSummary,
    describe_misnamed,
    share_samples,
)
from engine.summary.image_headers import (
    ImageHeader,
    choose_headers,
    collect_image_facts,
    describe_pixels,
    read_header,
    read_headers,
)
from engine.summary.repeated_items import NOT_COMPARED, NamedContent, find_repeated_items
from foundation.hash_order import order_by_hash

_SAMPLE_SALT = "bench-contact-sheet-1"

_SMALL_SIDE = 64
_MIN_TELLING = 3
"""Images of a class from which on it is no chance that all have one format."""

_SPLIT_WORDS = frozenset(
    ("train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing", "trainval", "pred", "predict")
)


class _Sample(NamedTuple):
    """An image on the sheet: its split, and its place in the split."""

    split: str
    place: int


def summarize_images(splits: Mapping[str, ImageSplit], class_names: Sequence[str]) -> DataSummary:
    """Summarize the splits of an image set.

    Args:
        splits: the images and labels of each split.
        class_names: name of each class, by class index.
    """
    contents = _list_contents(splits, class_names)
    findings = find_repeated_items(contents, "image")
    summaries = {}
    for name, split in splits.items():
        counts = Counter(split.labels)
        headers = read_headers(partial(_read_split_header, split), len(split.labels))
        places = choose_headers(len(split.labels))
        classes = [class_names[split.labels[place]] for place in places]
        findings += _find_telling_headers(name, list(zip(classes, headers, strict=True)))
        summaries[name] = SplitSummary(
            len(split.labels),
            collect_image_facts(headers),
            {class_names[number]: counts.get(number, 0) for number in range(len(class_names))},
            {} if contents else {"twins": NOT_COMPARED},
        )
    samples = _choose_samples(splits, len(class_names))
    return DataSummary(
        "image",
        "images",
        summaries,
        (*_find_split_words(class_names), *_find_alike_names(class_names), *findings, *describe_misnamed(summaries)),
        tuple(splits[each.split].images.get_relative_name(splits[each.split].indices[each.place]) for each in samples),
        lambda: _draw_samples(samples, splits, class_names),
    )


def _list_contents(splits: Mapping[str, ImageSplit], class_names: Sequence[str]) -> dict[str, list[NamedContent]]:
    """Return name, digest and class of each image by split; empty where a set is too large to be hashed as a whole."""
    found = {}
    for name, split in splits.items():
        hashes = split.images.hash_contents()
        if not hashes.is_complete:  # equal sizes say nothing
            return {}
        found[name] = [
            NamedContent(split.images.get_relative_name(index), hashes.digests[index], class_names[label])
            for index, label in zip(split.indices, split.labels, strict=True)
        ]
    return found


def _read_split_header(split: ImageSplit, place: int) -> ImageHeader:
    index = split.indices[place]
    name, path = split.images.get_relative_name(index), Path(split.images.get_image_name(index))
    header = read_header(path, name) if path.is_file() else None
    # pixels in memory, members of archives, and formats that Pillow opens with an extra alone
    return header if header and header.file_format else describe_pixels(split.images.load_image(index), name)


def _find_split_words(class_names: Sequence[str]) -> list[str]:
    """Return a sentence if classes are called like splits, as "train" and "seg_test" are."""
    odd = [name for name in class_names if _SPLIT_WORDS & set(name.lower().replace("-", "_").split("_"))]
    # one alone may be a thing, as a train is
    if len(odd) < 2:
        return []
    return [
        f"{len(odd)} of {len(class_names)} classes are called like splits ({', '.join(odd[:4])}): a score would be for "
        "guessing the split; are these folders the splits?"
    ]


def _find_alike_names(class_names: Sequence[str]) -> list[str]:
    """Return a sentence if two classes are probably one in two spellings, as "Cat" and "cat", or "01" and "1"."""
    # single letters stay apart: handwriting has a class for A and one for a
    by_key: dict[str, list[str]] = {}
    for name in class_names:
        key = re.sub(r"[\s_-]+", "", name.casefold()).lstrip("+0") if len(name) > 1 else name
        by_key.setdefault(key, []).append(name)
    alike = [names for names in by_key.values() if len(names) > 1]
    if not alike:
        return []
    more = f" ({len(alike) - 1} more such)" if len(alike) > 1 else ""
    return [f"the classes {' and '.join(map(repr, alike[0]))} are written nearly alike{more}: are they one class?"]


def _find_telling_headers(split: str, headers: Sequence[tuple[str, ImageHeader]]) -> list[str]:
    """Return a sentence if the format, the channels or the size of an image tells its class.

    Args:
        split: name of the split.
        headers: class and header of each image.
    """
    found = []
    for get_value in (lambda header: header.file_format, lambda header: header.pixels, _format_size):
        values: dict[str, set[str]] = {}
        classes: dict[str, set[str]] = {}
        for name, header in headers:
            values.setdefault(name, set()).add(get_value(header))
            classes.setdefault(get_value(header), set()).add(name)
        counts = Counter(name for name, _ in headers)
        for name, own in values.items():
            value = next(iter(own))
            # of one or two images it would be chance
            if len(values) > 1 and len(own) == 1 and classes[value] == {name} and counts[name] >= _MIN_TELLING:
                found.append((name, value))
    if not found:
        return []
    (name, value), others = found[0], len({name for name, _ in found}) - 1
    more = " (the same holds for other classes)" if others else ""
    return [
        f"{split}: every image of {name} is {value} and no other one is{more}: a network may learn that in place of "
        "the class"
    ]


def _format_size(header: ImageHeader) -> str:
    return f"{header.size[0]} x {header.size[1]} px"


def _choose_samples(splits: Mapping[str, ImageSplit], num_classes: int) -> list[_Sample]:
    """Choose images of all splits and of as many classes as there is room for; the same ones for the same names."""
    classes = order_by_hash(range(num_classes), _SAMPLE_SALT)
    shares = share_samples({name: len(split.labels) for name, split in splits.items()})
    chosen, turn = [], 0
    for name, split in splits.items():
        members: dict[int, list[int]] = {}
        for place, label in enumerate(split.labels):
            members.setdefault(label, []).append(place)
        queues: dict[int, list[int]] = {}
        wanted = shares[name]
        while wanted:
            label = classes[turn % num_classes]
            turn += 1
            # only of the classes that are asked for, as ImageNet has a million names to hash
            if label not in queues:
                queues[label] = _order_places(split, members.get(label, []), shares[name])
            if queues[label]:  # the next class takes over where one has no further image
                chosen.append(_Sample(name, queues[label].pop(0)))
                wanted -= 1
    return chosen


def _order_places(split: ImageSplit, places: Sequence[int], count: int) -> list[int]:
    """Return the first few images of a class in the order of the hashes of their names."""
    names = {place: split.images.get_relative_name(split.indices[place]) for place in places}
    return order_by_hash(places, _SAMPLE_SALT, lambda place: names[place])[:count]


def _draw_samples(
    samples: Sequence[_Sample], splits: Mapping[str, ImageSplit], class_names: Sequence[str]
) -> SampleSheet:
    pictures = []
    for each in samples:
        split = splits[each.split]
        image = split.images.load_image(split.indices[each.place])
        name = Path(split.images.get_relative_name(split.indices[each.place])).name
        caption = (class_names[split.labels[each.place]], f"{each.split}, {image.width} x {image.height} px", name)
        pictures.append(SamplePicture(image, caption))
    # images of a few pixels need no large tile
    is_small = all(max(each.image.size) <= _SMALL_SIDE for each in pictures)
    return SampleSheet(pictures, num_columns=6 if is_small else 4)

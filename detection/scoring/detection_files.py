"""Write detections as COCO's results file, and the matches of a run. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.ground_truth import Category, DetectionSplit
from detection.scoring.detections import DetectionColumns
from foundation.files import atomic_writer, sha256_file
from results.statistics.average_precision.match_tables import MatchTable, join_match_tables

DETECTIONS_FILE = "detections.json"
"""Where a run keeps its detections, in its folder."""

MATCHES_FILE = "matches.npy"


def write_detections(
    path: Path, split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns
) -> None:
    """Write a results file with one detection a line, in the order of the columns.

    A detection with box and mask has both fields; evaluations of masks must drop the box first, as ``bench score``
    does, because pycocotools would take the area from it.

    Args:
        path: the file; its folder must exist.
        split: the images.
        categories: in ascending order of their ids.
        detections: what to write.
    """
    with atomic_writer(path) as file:
        # line by line: 500,000 masks as one text would take gigabytes
        for place, one in enumerate(_iter_results(split, categories, detections)):
            file.write(((",\n" if place else "[\n") + json.dumps(one, allow_nan=False)).encode())
        file.write(b"\n]\n" if len(detections) else b"[]\n")


def write_matches(folder: Path, tables: Mapping[str, MatchTable]) -> dict[str, str]:
    """Write the matches to the run's folder, and return the entry for the record's details.

    Args:
        folder: the run's folder.
        tables: by kind, ``box`` and if there are masks ``mask``.
    """
    with atomic_writer(folder / MATCHES_FILE) as file:
        np.save(file, join_match_tables(tables))
    # the hash in the record ties the numbers to this very file
    return {"file": MATCHES_FILE, "sha256": sha256_file(folder / MATCHES_FILE)}


def _iter_results(
    split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns
) -> Iterator[dict[str, Any]]:
    columns = zip(detections.images.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True)
    for place, (image, label, score) in enumerate(columns):
        one = {"image_id": split.images[image].id, "category_id": categories[label].id}
        if detections.boxes is not None:
            one["bbox"] = detections.boxes[place].tolist()
        if detections.masks is not None:
            mask = detections.masks[place]
            counts = mask["counts"]
            # JSON has no bytes; the letters of compressed run lengths are ASCII
            text = counts.decode("ascii") if isinstance(counts, bytes) else counts
            one["segmentation"] = {"size": [int(side) for side in mask["size"]], "counts": text}
        yield {**one, "score": score}

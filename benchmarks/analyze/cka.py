"""``bench analyze cka A B``."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from analysis.cka import LEAST, CkaSums
from analysis.csv_tables import csv_bytes
from analysis.figures import heat_map, save
from analysis.image_subset import require_same_images
from analysis.record import Analysis
from analysis.representations import grams
from analysis.store import Kept
from benchmarks.analyze.common import Found, Setting, answer, settle

METHOD = 1


def run(options: Namespace) -> Kept:
    """Compare every layer of A with every layer of B on the same images."""
    chosen = [(options.first, options.checkpoint_a), (options.second, options.checkpoint_b)]
    setting = settle(options, chosen, LEAST, options.images)
    settings = {"at": options.at, "batch": options.batch}
    return answer(options, "cka", METHOD, setting, settings, lambda: _look(setting, options.at, options.batch))


def _look(setting: Setting, at: str, batch: int) -> Found:
    sums = compare(setting, at, batch)
    values = sums.value()
    labels = [one.label for one in setting.subjects]
    rows = [(row, *line) for row, line in zip(sums.rows, values.tolist(), strict=True)]
    figure = heat_map(values, sums.rows, sums.columns, f"CKA, {setting.caption}\nread at: {at}", (labels[0], labels[1]))
    numbers = {
        "rows": list(sums.rows),
        "columns": list(sums.columns),
        "cka": values.tolist(),
        "images": sums.images,
        "batches": sums.batches,
    }
    return Found(numbers, {"cka.csv": csv_bytes(("layer", *sums.columns), rows), **save(figure, "cka")})


def compare(setting: Setting, at: str, batch: int) -> CkaSums:
    """Both backbones over the images, a batch at a time; of a backbone with itself only once.

    Raises:
        IncompleteError: the two would see other images, or in another order.
    """
    first, second = setting.samples
    require_same_images(first.names(), second.names())
    alike = setting.subjects[0].identity() == setting.subjects[1].identity()
    one = setting.subjects[0].make(setting.device)
    other = setting.subjects[1].make(setting.device)
    sums = CkaSums()
    for left, right in zip(first.batches(batch, "cka"), second.batches(batch), strict=True):
        rows = grams(one, left, at, setting.device)  # type: ignore[arg-type]  # a choice of the parser
        sums.update(rows, rows if alike else grams(other, right, at, setting.device))  # type: ignore[arg-type]
    return sums


def summary(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    values = np.array(numbers["cka"])
    lines = [f"{len(values)} x {len(values[0])} layers, {numbers['images']} images in {numbers['batches']} batches"]
    best = [(numbers["columns"][place], line[place]) for line, place in zip(values, values.argmax(1), strict=True)]
    for row, (column, value) in zip(numbers["rows"], best, strict=True):
        lines.append(f"  {row}: most like {column} ({value:.3f})")
    return lines

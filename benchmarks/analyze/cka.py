"""``bench analyze cka A B``."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from analysis.cka import MIN_BATCH_SIZE, CkaAccumulator
from analysis.csv_tables import encode_csv
from analysis.figures import draw_heatmap, render_figure
from analysis.image_subset import require_same_images
from analysis.record import Analysis
from analysis.representations import compute_layer_grams
from analysis.store import StoredAnalysis
from benchmarks.analyze.common import AnalysisInputs, AnalysisOutput, analyze_images, resolve_inputs

METHOD_VERSION = 1


def run(options: Namespace) -> StoredAnalysis:
    """Compare every layer of A with every layer of B on the same images."""
    chosen = [(options.first, options.checkpoint_a), (options.second, options.checkpoint_b)]
    setting = resolve_inputs(options, chosen, MIN_BATCH_SIZE, options.images)
    settings = {"at": options.at, "batch": options.batch}
    return analyze_images(
        options, "cka", METHOD_VERSION, setting, settings, lambda: _compute_cka(setting, options.at, options.batch)
    )


def _compute_cka(inputs: AnalysisInputs, read_point: str, batch_size: int) -> AnalysisOutput:
    sums = accumulate_cka(inputs, read_point, batch_size)
    values = sums.compute()
    labels = [one.label for one in inputs.backbones]
    rows = [(row, *line) for row, line in zip(sums.row_layers, values.tolist(), strict=True)]
    figure = draw_heatmap(
        values,
        sums.row_layers,
        sums.column_layers,
        f"CKA, {inputs.caption}\nread at: {read_point}",
        (labels[0], labels[1]),
    )
    numbers = {
        "rows": list(sums.row_layers),
        "columns": list(sums.column_layers),
        "cka": values.tolist(),
        "images": sums.num_images,
        "batches": sums.num_batches,
    }
    return AnalysisOutput(
        numbers, {"cka.csv": encode_csv(("layer", *sums.column_layers), rows), **render_figure(figure, "cka")}
    )


def accumulate_cka(inputs: AnalysisInputs, read_point: str, batch_size: int) -> CkaAccumulator:
    """Both backbones over the images, a batch at a time; of a backbone with itself only once.

    Raises:
        IncompleteError: the two would see other images, or in another order.
    """
    first, second = inputs.subsets
    require_same_images(first.image_names(), second.image_names())
    alike = inputs.backbones[0].identity() == inputs.backbones[1].identity()
    one = inputs.backbones[0].build_model(inputs.device)
    other = inputs.backbones[1].build_model(inputs.device)
    sums = CkaAccumulator()
    for left, right in zip(first.iter_batches(batch_size, "cka"), second.iter_batches(batch_size), strict=True):
        rows = compute_layer_grams(one, left, read_point, inputs.device)  # type: ignore[arg-type]  # a choice of the parser
        sums.update(rows, rows if alike else compute_layer_grams(other, right, read_point, inputs.device))  # type: ignore[arg-type]
    return sums


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    values = np.array(numbers["cka"])
    lines = [f"{len(values)} x {len(values[0])} layers, {numbers['images']} images in {numbers['batches']} batches"]
    best = [(numbers["columns"][place], line[place]) for line, place in zip(values, values.argmax(1), strict=True)]
    for row, (column, value) in zip(numbers["rows"], best, strict=True):
        lines.append(f"  {row}: most like {column} ({value:.3f})")
    return lines

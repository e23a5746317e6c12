"""``bench analyze spectrum``, ``pca`` and ``neighbours``: small looks at the features of images."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

from analysis.csv_tables import encode_csv
from analysis.feature_statistics import (
    CovarianceAccumulator,
    NeighborSearch,
    components_to_rgb,
    compute_effective_rank,
    compute_principal_components,
)
from analysis.figures import PlotCurve, draw_curves, render_figure
from analysis.image_figures import RgbImage, denormalize_image, draw_image_rows
from analysis.record import Analysis
from analysis.store import StoredAnalysis
from backbones.features import extract_pooled, extract_tokens
from benchmarks.analyze.common import AnalysisInputs, AnalysisOutput, analyze_images, resolve_inputs
from foundation.errors import UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
SAME_CLASS_COLOR, OTHER_CLASS_COLOR = "#3a8a3f", "#c23b3b"


def run_spectrum(options: Namespace) -> StoredAnalysis:
    """Eigenvalues of the covariance of pooled features, and their effective rank."""
    setting = resolve_inputs(options, [(options.name, options.checkpoint)], 2, options.images)
    return analyze_images(
        options, "spectrum", METHOD_VERSION, setting, {"pool": "avg"}, lambda: _compute_spectrum(setting)
    )


def _compute_spectrum(inputs: AnalysisInputs) -> AnalysisOutput:
    subject = inputs.backbones[0]
    model, sums = subject.build_model(inputs.device), CovarianceAccumulator()
    for batch in inputs.subsets[0].iter_batches(BATCH_SIZE, f"spectrum {subject.card.name}"):
        with torch.inference_mode():
            sums.update(extract_pooled(model, batch.images.to(inputs.device)))
    values = sums.compute_eigenvalues()
    rank = compute_effective_rank(values)
    shares = values / values.sum()
    most = min(len(values), sums.num_images - 1)
    numbers = {"eigenvalues": values.tolist(), "effective_rank": rank, "most": most, "width": len(values)}
    keep = shares > 1e-10
    places = np.flatnonzero(keep) + 1
    line = PlotCurve(places.tolist(), shares[keep].tolist())
    title = f"{subject.label}, {inputs.caption}\neffective rank {rank:.1f} of {most} possible"
    figure = draw_curves({subject.label: line}, title, ("direction", "share of the variance"), log_scale=(False, True))
    rows = [(place, value, share) for place, (value, share) in enumerate(zip(values, shares, strict=True), 1)]
    table = encode_csv(("direction", "eigenvalue", "share"), rows)
    return AnalysisOutput(numbers, {"spectrum.csv": table, **render_figure(figure, "spectrum")})


def run_pca(options: Namespace) -> StoredAnalysis:
    """The first three principal components of patch features as red, green and blue."""
    setting = resolve_inputs(options, [(options.name, options.checkpoint)], 1, options.pictures)
    return analyze_images(options, "pca", METHOD_VERSION, setting, {"components": 3}, lambda: _compute_pca(setting))


def _compute_pca(inputs: AnalysisInputs) -> AnalysisOutput:
    subject, sample = inputs.backbones[0], inputs.subsets[0]
    model = subject.build_model(inputs.device)
    features, images = [], []
    for batch in sample.iter_batches(BATCH_SIZE):
        with torch.inference_mode():
            last = extract_tokens(model, batch.images.to(inputs.device))
        features.append(last.patches.float().cpu().numpy())
        images += list(batch.images)
    found = compute_principal_components(np.concatenate(features))
    colours = components_to_rgb(found).reshape(len(images), *last.grid_size, 3)
    card, rows = subject.card, []
    names = [Path(name).name for name in sample.image_names()]
    for place in range(0, len(images), 4):
        pictures = []
        for number in range(place, min(place + 4, len(images))):
            pictures += [
                (denormalize_image(images[number], card.mean, card.std), names[number], ""),
                (colours[number], "", ""),
            ]
        rows.append(pictures)
    figure = draw_image_rows(rows, f"{subject.label}: principal components 1 to 3 of patch features, {inputs.caption}")
    variance = found.reshape(-1, 3).var(0)
    table = [
        (names[image], patch, *values)
        for image, rows_ in enumerate(found.tolist())
        for patch, values in enumerate(rows_)
    ]
    numbers = {"variance": variance.tolist(), "images": names, "grid": list(last.grid_size)}
    files = {"pca.csv": encode_csv(("image", "patch", "first", "second", "third"), table)}
    return AnalysisOutput(numbers, {**files, **render_figure(figure, "pca", ["png"])})


def run_neighbors(options: Namespace) -> StoredAnalysis:
    """The nearest images to some queries by the cosine of pooled features."""
    setting = resolve_inputs(options, [(options.name, options.checkpoint)], options.neighbours + 1, options.images)
    if options.queries > setting.image_source.images:
        raise UserError(f"--queries {options.queries} are more than the {setting.image_source.images} images looked at")
    settings = {"pool": "avg", "queries": options.queries, "neighbours": options.neighbours}
    return analyze_images(
        options,
        "neighbours",
        METHOD_VERSION,
        setting,
        settings,
        lambda: _compute_neighbors(setting, options.queries, options.neighbours),
    )


def _compute_neighbors(inputs: AnalysisInputs, num_queries: int, k: int) -> AnalysisOutput:
    subject, sample = inputs.backbones[0], inputs.subsets[0]
    model = subject.build_model(inputs.device)
    asked = torch.stack([torch.as_tensor(sample.dataset[member]["images"]) for member in sample.indices[:num_queries]])
    with torch.inference_mode():
        search = NeighborSearch(extract_pooled(model, asked.to(inputs.device)), list(range(num_queries)), k)
        for batch in sample.iter_batches(BATCH_SIZE, f"neighbours {subject.card.name}"):
            search.update(extract_pooled(model, batch.images.to(inputs.device)))
    found = search.compute()
    names, labels = sample.image_names(), [int(sample.dataset.labels[member]) for member in sample.indices]
    table, rows = [], []
    for query in range(num_queries):
        row = [(_load_pixels(inputs, query), "query", "")]
        for place, (number, cosine) in enumerate(zip(found.indices[query], found.cosines[query], strict=True), 1):
            same = labels[number] == labels[query]
            row.append(
                (_load_pixels(inputs, int(number)), f"{cosine:.3f}", SAME_CLASS_COLOR if same else OTHER_CLASS_COLOR)
            )
            table.append((Path(names[query]).name, place, Path(names[number]).name, float(cosine), int(same)))
        rows.append(row)
    share = sum(line[-1] for line in table) / len(table)
    # few images a class bound what any backbone could find
    most = sum(min(labels.count(label) - 1, k) for label in labels[:num_queries]) / (num_queries * k)
    of = f"{100 * share:.0f} % of {100 * most:.0f} % possible"
    title = f"{subject.label}: nearest by cosine, {inputs.caption}\ngreen: same class ({of})"
    numbers = {"same_class": share, "possible": most, "pairs": [list(line) for line in table]}
    columns = ("query", "place", "neighbour", "cosine", "same_class")
    files = {
        "neighbours.csv": encode_csv(columns, table),
        **render_figure(draw_image_rows(rows, title), "neighbours", ["png"]),
    }
    return AnalysisOutput(numbers, files)


def _load_pixels(inputs: AnalysisInputs, index: int) -> RgbImage:
    sample, card = inputs.subsets[0], inputs.backbones[0].card
    return denormalize_image(torch.as_tensor(sample.dataset[sample.indices[index]]["images"]), card.mean, card.std)


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    if analysis.kind == "spectrum":
        return [f"effective rank {numbers['effective_rank']:.2f} of {numbers['most']} possible"]
    if analysis.kind == "neighbours":
        same, most = (100 * numbers[name] for name in ("same_class", "possible"))
        count = len(numbers["pairs"])
        return [f"{same:.1f} % of {count} neighbours are of the query's class ({most:.1f} % possible on these images)"]
    return [f"{len(numbers['images'])} images, grid {numbers['grid'][0]} x {numbers['grid'][1]}"]

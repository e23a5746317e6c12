"""``bench analyze spectrum``, ``pca`` and ``neighbours``: small looks at the features of images."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

from analysis.csv_tables import csv_bytes
from analysis.feature_statistics import CovarianceSums, NeighbourSearch, as_colours, components, effective_rank
from analysis.figures import Curve, curves, save
from analysis.image_figures import Pixels, rows_figure, shown
from analysis.record import Analysis
from analysis.store import Kept
from backbones.features import pooled, tokens
from benchmarks.analyze.common import Found, Setting, answer, settle
from foundation.errors import UserError

METHOD = 1
BATCH = 64
RIGHT, WRONG = "#3a8a3f", "#c23b3b"


def spectrum(options: Namespace) -> Kept:
    """Eigenvalues of the covariance of pooled features, and their effective rank."""
    setting = settle(options, [(options.name, options.checkpoint)], 2, options.images)
    return answer(options, "spectrum", METHOD, setting, {"pool": "avg"}, lambda: _spectrum(setting))


def _spectrum(setting: Setting) -> Found:
    subject = setting.subjects[0]
    model, sums = subject.make(setting.device), CovarianceSums()
    for batch in setting.samples[0].batches(BATCH, f"spectrum {subject.card.name}"):
        with torch.inference_mode():
            sums.update(pooled(model, batch.images.to(setting.device)))
    values = sums.eigenvalues()
    rank = effective_rank(values)
    shares = values / values.sum()
    most = min(len(values), sums.images - 1)
    numbers = {"eigenvalues": values.tolist(), "effective_rank": rank, "most": most, "width": len(values)}
    keep = shares > 1e-10
    places = np.flatnonzero(keep) + 1
    line = Curve(places.tolist(), shares[keep].tolist())
    title = f"{subject.label}, {setting.caption}\neffective rank {rank:.1f} of {most} possible"
    figure = curves({subject.label: line}, title, ("direction", "share of the variance"), log=(False, True))
    rows = [(place, value, share) for place, (value, share) in enumerate(zip(values, shares, strict=True), 1)]
    table = csv_bytes(("direction", "eigenvalue", "share"), rows)
    return Found(numbers, {"spectrum.csv": table, **save(figure, "spectrum")})


def pca(options: Namespace) -> Kept:
    """The first three principal components of patch features as red, green and blue."""
    setting = settle(options, [(options.name, options.checkpoint)], 1, options.pictures)
    return answer(options, "pca", METHOD, setting, {"components": 3}, lambda: _pca(setting))


def _pca(setting: Setting) -> Found:
    subject, sample = setting.subjects[0], setting.samples[0]
    model = subject.make(setting.device)
    features, images = [], []
    for batch in sample.batches(BATCH):
        with torch.inference_mode():
            last = tokens(model, batch.images.to(setting.device))
        features.append(last.patches.float().cpu().numpy())
        images += list(batch.images)
    found = components(np.concatenate(features))
    colours = as_colours(found).reshape(len(images), *last.grid, 3)
    card, rows = subject.card, []
    names = [Path(name).name for name in sample.names()]
    for place in range(0, len(images), 4):
        pictures = []
        for number in range(place, min(place + 4, len(images))):
            pictures += [(shown(images[number], card.mean, card.std), names[number], ""), (colours[number], "", "")]
        rows.append(pictures)
    figure = rows_figure(rows, f"{subject.label}: principal components 1 to 3 of patch features, {setting.caption}")
    variance = found.reshape(-1, 3).var(0)
    table = [
        (names[image], patch, *values)
        for image, rows_ in enumerate(found.tolist())
        for patch, values in enumerate(rows_)
    ]
    numbers = {"variance": variance.tolist(), "images": names, "grid": list(last.grid)}
    files = {"pca.csv": csv_bytes(("image", "patch", "first", "second", "third"), table)}
    return Found(numbers, {**files, **save(figure, "pca", ["png"])})


def neighbours(options: Namespace) -> Kept:
    """The nearest images to some queries by the cosine of pooled features."""
    setting = settle(options, [(options.name, options.checkpoint)], options.neighbours + 1, options.images)
    if options.queries > setting.looked.images:
        raise UserError(f"--queries {options.queries} are more than the {setting.looked.images} images looked at")
    settings = {"pool": "avg", "queries": options.queries, "neighbours": options.neighbours}
    return answer(
        options, "neighbours", METHOD, setting, settings, lambda: _near(setting, options.queries, options.neighbours)
    )


def _near(setting: Setting, queries: int, k: int) -> Found:
    subject, sample = setting.subjects[0], setting.samples[0]
    model = subject.make(setting.device)
    asked = torch.stack([torch.as_tensor(sample.items[member]["images"]) for member in sample.members[:queries]])
    with torch.inference_mode():
        search = NeighbourSearch(pooled(model, asked.to(setting.device)), list(range(queries)), k)
        for batch in sample.batches(BATCH, f"neighbours {subject.card.name}"):
            search.update(pooled(model, batch.images.to(setting.device)))
    found = search.value()
    names, labels = sample.names(), [int(sample.items.labels[member]) for member in sample.members]
    table, rows = [], []
    for query in range(queries):
        row = [(_picture(setting, query), "query", "")]
        for place, (number, cosine) in enumerate(zip(found.numbers[query], found.cosines[query], strict=True), 1):
            same = labels[number] == labels[query]
            row.append((_picture(setting, int(number)), f"{cosine:.3f}", RIGHT if same else WRONG))
            table.append((Path(names[query]).name, place, Path(names[number]).name, float(cosine), int(same)))
        rows.append(row)
    share = sum(line[-1] for line in table) / len(table)
    # few images a class bound what any backbone could find
    most = sum(min(labels.count(label) - 1, k) for label in labels[:queries]) / (queries * k)
    of = f"{100 * share:.0f} % of {100 * most:.0f} % possible"
    title = f"{subject.label}: nearest by cosine, {setting.caption}\ngreen: same class ({of})"
    numbers = {"same_class": share, "possible": most, "pairs": [list(line) for line in table]}
    columns = ("query", "place", "neighbour", "cosine", "same_class")
    files = {"neighbours.csv": csv_bytes(columns, table), **save(rows_figure(rows, title), "neighbours", ["png"])}
    return Found(numbers, files)


def _picture(setting: Setting, number: int) -> Pixels:
    sample, card = setting.samples[0], setting.subjects[0].card
    return shown(torch.as_tensor(sample.items[sample.members[number]]["images"]), card.mean, card.std)


def summary(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    if analysis.what == "spectrum":
        return [f"effective rank {numbers['effective_rank']:.2f} of {numbers['most']} possible"]
    if analysis.what == "neighbours":
        same, most = (100 * numbers[name] for name in ("same_class", "possible"))
        count = len(numbers["pairs"])
        return [f"{same:.1f} % of {count} neighbours are of the query's class ({most:.1f} % possible on these images)"]
    return [f"{len(numbers['images'])} images, grid {numbers['grid'][0]} x {numbers['grid'][1]}"]

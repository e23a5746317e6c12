"""The nearest images to some query images by the cosine of a backbone's pooled features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.answer import AnalysisOutput, answer_question
from analysis.inputs.image_inputs import AnalysisInputs, resolve_image_inputs
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import render_figure
from analysis.output.image_figures import RgbImage, denormalize_image, draw_image_rows
from analysis.record import Analysis
from analysis.request import NeighboursRequest
from analysis.store import StoredAnalysis
from backbones.features import extract_pooled
from foundation.errors import UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
"""Images in one forward pass; it moves last digits only."""

SAME_CLASS_COLOR, OTHER_CLASS_COLOR = "#3a8a3f", "#c23b3b"


class Neighbors(NamedTuple):
    """For each query the indices (queries, k) of its nearest images and their cosines, the nearest first."""

    indices: NDArray[np.int64]
    cosines: NDArray[np.float64]


class NeighborSearch:
    """The nearest images to some queries by cosine, batch by batch; a query is never its own neighbour.

    Args:
        queries: features (q, C).
        query_indices: where the queries stand among all images.
        k: neighbours for each query.
    """

    def __init__(self, queries: Tensor, query_indices: list[int], k: int) -> None:
        self.queries = torch.nn.functional.normalize(queries.double().cpu(), dim=1)
        self.query_indices = query_indices
        self.k = k
        self.num_seen = 0
        self._cosines = torch.empty(len(query_indices), 0, dtype=torch.float64)
        self._indices = torch.empty(len(query_indices), 0, dtype=torch.int64)

    def update(self, features: Tensor) -> None:
        """Add a batch (n, C) of the images, in order."""
        values = torch.nn.functional.normalize(features.double().cpu(), dim=1)
        numbers = torch.arange(self.num_seen, self.num_seen + len(values))
        cosines = self.queries @ values.T  # of unit vectors
        for row, own in enumerate(self.query_indices):
            cosines[row, numbers == own] = -torch.inf
        # Keep the best k of those kept so far and of the new batch: memory does not grow with the images
        cosines = torch.cat([self._cosines, cosines], 1)
        found = torch.cat([self._indices, numbers.expand(len(self.query_indices), -1)], 1)
        # stable: of equal cosines the lower index comes first
        order = cosines.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        self._cosines, self._indices = cosines.gather(1, order), found.gather(1, order)
        self.num_seen += len(values)

    def compute(self) -> Neighbors:
        """The neighbours among all images seen.

        Raises:
            UserError: fewer other images than neighbours are asked for.
        """
        if self.num_seen <= self.k:
            raise UserError(
                f"{self.k} neighbours need more than {self.num_seen} images; raise --images or lower --neighbours"
            )
        return Neighbors(np.asarray(self._indices.numpy()), np.asarray(self._cosines.numpy()))


class NeighborPair(NamedTuple):
    """A query image and one of its neighbours; ``place`` counts from 1, ``same_class`` is 0 or 1."""

    query: str
    place: int
    neighbour: str
    cosine: float
    same_class: int


def run_neighbours(request: NeighboursRequest) -> StoredAnalysis:
    """The nearest images to some queries, and how many of them are of the query's class.

    Raises:
        UserError: fewer images than queries or neighbours need, or something else that is wrong with the request.
    """
    inputs = resolve_image_inputs(request, request.num_neighbours + 1)
    if request.num_queries > inputs.image_source.images:
        raise UserError(
            f"--queries {request.num_queries} are more than the {inputs.image_source.images} images looked at"
        )
    settings = {"pool": "avg", "queries": request.num_queries, "neighbours": request.num_neighbours}
    return answer_question(
        request, inputs.make_question(METHOD_VERSION, settings), lambda: _compute_neighbors(request, inputs)
    )


def _compute_neighbors(request: NeighboursRequest, inputs: AnalysisInputs) -> AnalysisOutput:
    subset, num_queries = inputs.subsets[0], request.num_queries
    found = _search_neighbors(inputs, num_queries, request.num_neighbours)
    names = [Path(name).name for name in subset.image_names()]
    labels = [int(subset.dataset.labels[index]) for index in subset.indices]
    pairs = [
        NeighborPair(names[query], place, names[index], float(cosine), int(labels[index] == labels[query]))
        for query in range(num_queries)
        for place, (index, cosine) in enumerate(zip(found.indices[query], found.cosines[query], strict=True), 1)
    ]
    same_class = sum(pair.same_class for pair in pairs) / len(pairs)
    possible = _bound_same_class(labels, num_queries, request.num_neighbours)
    sheet = []
    for query in range(num_queries):
        row = [(_load_pixels(inputs, query), "query", "")]
        for index, cosine in zip(found.indices[query], found.cosines[query], strict=True):
            color = SAME_CLASS_COLOR if labels[index] == labels[query] else OTHER_CLASS_COLOR
            row.append((_load_pixels(inputs, int(index)), f"{cosine:.3f}", color))
        sheet.append(row)
    share = f"{100 * same_class:.0f} % of {100 * possible:.0f} % possible"
    title = f"{inputs.backbones[0].label}: nearest by cosine, {inputs.caption}\ngreen: same class ({share})"
    numbers = {"same_class": same_class, "possible": possible, "pairs": [list(pair) for pair in pairs]}
    files = {
        "neighbours.csv": encode_csv(NeighborPair._fields, pairs),
        **render_figure(draw_image_rows(sheet, title), "neighbours", ["png"]),
    }
    return AnalysisOutput(numbers, files)


def _search_neighbors(inputs: AnalysisInputs, num_queries: int, k: int) -> Neighbors:
    """The neighbours of the first ``num_queries`` images of the subset among all of it."""
    subset, backbone = inputs.subsets[0], inputs.backbones[0]
    model = backbone.build_model(inputs.device)
    queries = torch.stack([torch.as_tensor(subset.dataset[index]["images"]) for index in subset.indices[:num_queries]])
    with torch.inference_mode():
        search = NeighborSearch(extract_pooled(model, queries.to(inputs.device)), list(range(num_queries)), k)
        for batch in subset.iter_batches(BATCH_SIZE, f"neighbours {backbone.card.name}"):
            search.update(extract_pooled(model, batch.images.to(inputs.device)))
    return search.compute()


def _bound_same_class(labels: Sequence[int], num_queries: int, k: int) -> float:
    """The share of the query's class that a perfect backbone would reach: few images of a class bound any."""
    return sum(min(labels.count(label) - 1, k) for label in labels[:num_queries]) / (num_queries * k)


def _load_pixels(inputs: AnalysisInputs, index: int) -> RgbImage:
    subset, card = inputs.subsets[0], inputs.backbones[0].card
    return denormalize_image(torch.as_tensor(subset.dataset[subset.indices[index]]["images"]), card.mean, card.std)


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    same, most = (100 * analysis.numbers[name] for name in ("same_class", "possible"))
    count = len(analysis.numbers["pairs"])
    return [f"{same:.1f} % of {count} neighbours are of the query's class ({most:.1f} % possible on these images)"]

"""Find the images whose pooled backbone features have the highest cosine similarity to query images."""

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
from analysis.output.figures import render_photo_sheet
from analysis.output.image_figures import RgbImage, denormalize_image, draw_image_rows
from analysis.record import Analysis
from analysis.request import NeighboursRequest
from analysis.store import StoredAnalysis
from backbones.features import extract_pooled
from foundation.errors import UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
"""Images per forward pass; another value changes results only by rounding."""

SAME_CLASS_COLOR, OTHER_CLASS_COLOR = "#0072b2", "#e67800"  # blue and orange, distinct to the color-blind


class Neighbors(NamedTuple):
    """For each query the indices (queries, k) of its nearest images and their cosines (queries, k), nearest first."""

    indices: NDArray[np.int64]
    cosines: NDArray[np.float64]


class NeighborSearch:
    """Search the nearest images to some queries by cosine, batch by batch; a query is never its own neighbour.

    Args:
        queries: features of the queries (queries, channels).
        query_indices: index of each query among all images.
        k: number of neighbours per query.
    """

    def __init__(self, queries: Tensor, query_indices: list[int], k: int) -> None:
        # float64, so that the ranking of nearly equal cosines does not depend on rounding
        self.queries = torch.nn.functional.normalize(queries.cpu().double(), dim=1)
        self.query_indices = query_indices
        self.k = k
        self.num_seen = 0
        self._cosines = torch.empty(len(query_indices), 0, dtype=torch.float64)
        self._indices = torch.empty(len(query_indices), 0, dtype=torch.int64)

    def update(self, features: Tensor) -> None:
        """Add features (n, channels) of the next n images; batches must come in the order of the images."""
        values = torch.nn.functional.normalize(features.cpu().double(), dim=1)
        numbers = torch.arange(self.num_seen, self.num_seen + len(values))
        cosines = self.queries @ values.T  # both have unit length, so the inner product is the cosine: (queries, n)
        for row, own in enumerate(self.query_indices):
            cosines[row, numbers == own] = -torch.inf  # ranks the query itself last
        # Keep only the best k of the earlier candidates and the new batch: memory does not grow with the images
        cosines = torch.cat([self._cosines, cosines], 1)
        found = torch.cat([self._indices, numbers.expand(len(self.query_indices), -1)], 1)
        # a stable sort puts the lower index first when cosines are equal, so the result is reproducible
        order = cosines.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        self._cosines, self._indices = cosines.gather(1, order), found.gather(1, order)
        self.num_seen += len(values)

    def compute(self) -> Neighbors:
        """Return the nearest neighbours among all images that were added.

        Raises:
            UserError: there are fewer than k images besides the query.
        """
        # a query is not its own neighbour, so k neighbours need k + 1 images
        if self.num_seen <= self.k:
            raise UserError(
                f"{self.k} neighbours need more than {self.num_seen} images; raise --images or lower --neighbours"
            )
        return Neighbors(np.asarray(self._indices.numpy()), np.asarray(self._cosines.numpy()))


class NeighborPair(NamedTuple):
    """One row of ``neighbours.csv``: a query image and one of its neighbours.

    ``place`` is the rank of the neighbour, counted from 1; ``same_class`` is 0 or 1.
    """

    query: str
    place: int
    neighbour: str
    cosine: float
    same_class: int


def run_neighbours(request: NeighboursRequest) -> StoredAnalysis:
    """Find the nearest images to some queries, and the fraction of them that belong to the query's class.

    Raises:
        UserError: there are fewer images than the queries or neighbours need, or the request is wrong elsewhere.
    """
    # one image more than neighbours, because the query itself does not count
    inputs = resolve_image_inputs(request, request.num_neighbours + 1)
    if request.num_queries > inputs.image_source.images:
        raise UserError(
            f"--queries {request.num_queries} is more than the {inputs.image_source.images} analyzed images; "
            "lower --queries or raise --images"
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
    # in a small sample a class may have fewer than k other images, so 100 % is often out of reach
    possible = _bound_same_class(labels, num_queries, request.num_neighbours)
    sheet = []
    for query in range(num_queries):
        row = [(_load_pixels(inputs, query), "query", "")]
        for index, cosine in zip(found.indices[query], found.cosines[query], strict=True):
            color = SAME_CLASS_COLOR if labels[index] == labels[query] else OTHER_CLASS_COLOR
            row.append((_load_pixels(inputs, int(index)), f"{cosine:.3f}", color))
        sheet.append(row)
    share = f"{100 * same_class:.0f} %, at most {100 * possible:.0f} % possible"
    title = (
        f"{inputs.backbones[0].label}: nearest by cosine similarity (the numbers), {inputs.caption}\n"
        f"blue frame: same class as the query ({share}); orange frame: another class"
    )
    numbers = {"same_class": same_class, "possible": possible, "pairs": [list(pair) for pair in pairs]}
    files = {
        "neighbours.csv": encode_csv(NeighborPair._fields, pairs),
        **render_photo_sheet(draw_image_rows(sheet, title), "neighbours"),
    }
    return AnalysisOutput(numbers, files)


def _search_neighbors(inputs: AnalysisInputs, num_queries: int, k: int) -> Neighbors:
    """Search the neighbours of the first ``num_queries`` images of the subset among all its images."""
    subset, backbone = inputs.subsets[0], inputs.backbones[0]
    model = backbone.build_model(inputs.device)
    # the subset is in shuffled order, so its first images are a random draw over the classes
    queries = torch.stack([torch.as_tensor(subset.dataset[index]["images"]) for index in subset.indices[:num_queries]])
    with torch.inference_mode():
        search = NeighborSearch(extract_pooled(model, queries.to(inputs.device)), list(range(num_queries)), k)
        for batch in subset.iter_batches(BATCH_SIZE, f"neighbours {backbone.card.name}"):
            search.update(extract_pooled(model, batch.images.to(inputs.device)))
    return search.compute()


def _bound_same_class(labels: Sequence[int], num_queries: int, k: int) -> float:
    """Return the highest possible fraction of same-class neighbours, limited by the images of each class."""
    # minus 1: the query itself is one of the images of its class
    return sum(min(labels.count(label) - 1, k) for label in labels[:num_queries]) / (num_queries * k)


def _load_pixels(inputs: AnalysisInputs, index: int) -> RgbImage:
    subset, card = inputs.subsets[0], inputs.backbones[0].card
    return denormalize_image(torch.as_tensor(subset.dataset[subset.indices[index]]["images"]), card.mean, card.std)


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    same, most = (100 * analysis.numbers[name] for name in ("same_class", "possible"))
    count = len(analysis.numbers["pairs"])
    return [f"{same:.1f} % of {count} neighbours are of the query's class ({most:.1f} % possible on these images)"]

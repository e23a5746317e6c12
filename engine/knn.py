"""k-NN classification on features: the nearest neighbors vote with weights. Nothing is trained or tuned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.training_checks.bank_size import require_enough_voters
from foundation.errors import NonFiniteError

QUERY_BLOCK_SIZE, BANK_BLOCK_SIZE = 1024, 16384
"""Rows of queries and of the bank that are compared at once: 1024 x 16384 float32 similarities are 64 MiB."""


class KnnPredictions(NamedTuple):
    """Results of a k-NN classification.

    Attributes:
        predictions: the class with the most weight for each query, (m,).
        vote_shares: the fraction of the weight that this class has, (m,), 0 to 1.
    """

    predictions: NDArray[np.int64]
    vote_shares: NDArray[np.float64]


def predict_knn(
    bank_features: NDArray[np.float32],
    bank_labels: NDArray[np.int64],
    query_features: NDArray[np.float32],
    k: int,
    temperature: float,
    device: str = "cpu",
    block_sizes: tuple[int, int] = (QUERY_BLOCK_SIZE, BANK_BLOCK_SIZE),
) -> KnnPredictions:
    """Return the class with the most weight for each query; see ``compute_vote_shares`` for the arguments."""
    parts = list(compute_vote_shares(bank_features, bank_labels, query_features, k, temperature, device, block_sizes))
    return KnnPredictions(
        np.concatenate([part.argmax(1) for part in parts]), np.concatenate([part.max(1) for part in parts])
    )


def compute_vote_shares(
    bank_features: NDArray[np.float32],
    bank_labels: NDArray[np.int64],
    query_features: NDArray[np.float32],
    k: int,
    temperature: float,
    device: str = "cpu",
    block_sizes: tuple[int, int] = (QUERY_BLOCK_SIZE, BANK_BLOCK_SIZE),
) -> Iterator[NDArray[np.float64]]:
    """Compute the votes of the ``k`` nearest bank features of each query.

    Nearest means the largest cosine similarity; each neighbor votes for its class with weight
    exp(cosine / temperature). The block sizes bound the memory: the best candidates of each query so far are merged
    with each block of the bank. The search uses float32 and finds twice as many candidates as needed; their
    similarities are computed again in float64. The features of an untrained backbone may differ only in their last
    digits, so both passes have to tell cosines of 1 - 1e-10 apart. Of equal similarities the lower item index comes
    first; of equal votes the lower class wins.

    Args:
        bank_features: features that vote, (n, C).
        bank_labels: classes of the bank features, (n,).
        query_features: features to classify, (m, C).
        k: number of neighbors, 1 to n.
        temperature: divides the cosines in the weights; the lower it is, the more the nearest neighbors count.
        device: where the float32 similarities are computed.
        block_sizes: rows of queries and rows of the bank that are compared at once.

    Yields:
        The fraction of the weight of each class, (rows, classes), one array per block of queries.

    Raises:
        UserError: ``k`` is above the number of features that vote.
        NonFiniteError: a feature is infinite or undefined.

    Source: Wu et al. 2018 (instance discrimination); k = 20 and T = 0.07 as in DINO's evaluation.
    """
    require_enough_voters(k, len(bank_features))
    classes = int(bank_labels.max()) + 1
    center = _average_directions(bank_features, block_sizes[1])
    for start in range(0, len(query_features), block_sizes[0]):
        rows = np.array(query_features[start : start + block_sizes[0]])
        _require_finite_features(torch.from_numpy(rows), "query", start)
        count = min(2 * k, len(bank_features))
        near = _find_candidates(bank_features, rows, center, count, device, block_sizes[1])
        weights, members = _rerank_candidates(bank_features, rows, near, k)
        heap = np.zeros((len(rows), classes))
        # Divided by the weight of the nearest neighbor: a common factor changes no fraction, and exp cannot overflow
        # (at T = 0.07 it would only reach 1.6e6, but T may be set to any value).
        strength = np.exp((weights - weights[:, :1]) / temperature)
        # add.at counts every occurrence of a repeated (row, class); ``heap[...] += `` would count only the last one
        np.add.at(heap, (np.arange(len(rows))[:, None], bank_labels[members]), strength)
        yield heap / heap.sum(1, keepdims=True)


def _average_directions(bank_features: NDArray[np.float32], block_size: int) -> NDArray[np.float64]:
    """Return the mean of the bank's directions (features of length one), (C,).

    Raises:
        NonFiniteError: a feature is infinite or undefined.
    """
    total = np.zeros(bank_features.shape[1])
    for start in range(0, len(bank_features), block_size):
        rows = np.array(bank_features[start : start + block_size])
        _require_finite_features(torch.from_numpy(rows), "bank", start)
        total += _find_directions(rows).sum(0)
    return total / len(bank_features)


def _find_candidates(
    bank_features: NDArray[np.float32],
    query_features: NDArray[np.float32],
    center: NDArray[np.float64],
    num_candidates: int,
    device: str,
    block_size: int,
) -> NDArray[np.int64]:
    """Return the indices of the ``num_candidates`` bank items that are most similar to each query, (rows, count).

    With directions q and b and their center c, the cosine is q b = (q - c)(b - c) + (b - c) c + q c. The last term is
    the same for all b, so the first two decide. Where all directions are nearly the same, these are as small as the
    differences between cosines, and float32 tells them apart; it would round q b itself to one number.
    """
    queries = torch.from_numpy((_find_directions(query_features) - center).astype(np.float32)).to(device)
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank_features), block_size):
        offsets = _find_directions(bank_features[start : start + block_size]) - center
        part, along = (torch.from_numpy(each.astype(np.float32)).to(device) for each in (offsets, offsets @ center))
        similar = queries @ part.T + along
        numbers = torch.arange(start, start + len(part), device=device).expand(len(query_features), -1)
        if best is not None:  # the candidates so far compete with this block
            similar, numbers = torch.cat([best[0], similar], 1), torch.cat([best[1], numbers], 1)
        values, places = similar.topk(min(num_candidates, similar.shape[1]), dim=1)
        best = values, numbers.gather(1, places)
    assert best is not None
    return np.asarray(best[1].cpu().numpy(), np.int64)


def _rerank_candidates(
    bank_features: NDArray[np.float32], query_features: NDArray[np.float32], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the float64 cosines and indices of the ``k`` nearest candidates, the nearest first, (rows, k) each."""
    # Ascending indices and the stable argsort below put the lower index first among equal cosines.
    candidates = np.sort(candidates, axis=1)
    similar = np.empty(candidates.shape)
    for index, members in enumerate(candidates):
        part, row = bank_features[members].astype(np.float64), query_features[index].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1) * np.linalg.norm(row)
        # features of zero length get cosine 0 instead of a division by zero
        similar[index] = part @ row / np.maximum(lengths, np.finfo(np.float64).tiny)
    order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similar, order, 1), np.take_along_axis(candidates, order, 1)


def _require_finite_features(values: Tensor, part: str, first_index: int) -> None:
    """Require finite features: the order of similarities that are undefined is arbitrary, and so is their vote."""
    good = torch.isfinite(values).all(1)
    if not good.all():
        item = first_index + int((~good).nonzero()[0])
        raise NonFiniteError(f"the features of {part} image {item} are not finite; check the weights of the backbone")


def _find_directions(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return features divided by their lengths, in float64; those of zero length stay zero."""
    wide = features.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0))

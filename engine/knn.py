"""k-NN on features: the weighted vote of the nearest. Nothing is trained and nothing chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

QUERY_BLOCK_SIZE, BANK_BLOCK_SIZE = 1024, 16384
"""Rows of the two sides that meet at once: 64 MiB of similarities."""


class KnnPredictions(NamedTuple):
    """The class with the most weight for each query (n,), and its share of the weight (n,), 0 to 1."""

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
    """The winners; see ``compute_vote_shares``."""
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
    """Each of the ``k`` nearest of the bank by cosine votes for its class with weight exp(cosine / temperature).

    Memory is bounded by the blocks: the best so far of each query are merged with each block of the bank. The search is
    in float32; similarities of twice as many candidates as needed are computed again in float64, because the features
    of an untrained backbone differ in their last digits only. Equal similarities go to the lower item number, equal
    votes to the lower class.

    Args:
        bank_features: features that vote, (n, C); all of them do where ``k`` is above n.
        bank_labels: their classes, (n,).
        query_features: features to classify, (m, C).
        k: number of neighbours.
        temperature: of the weights.
        device: where similarities are computed.
        block_sizes: rows of queries and of the bank that meet at once.

    Yields:
        Each class's share of the weight, (rows, classes), for a block of queries after the other.

    Source: Wu et al. 2018 (instance discrimination); k = 20 and T = 0.07 as in DINO's evaluation.
    """
    k = min(k, len(bank_features))
    classes = int(bank_labels.max()) + 1
    for start in range(0, len(query_features), block_sizes[0]):
        rows = np.array(query_features[start : start + block_sizes[0]])
        near = _find_candidates(bank_features, rows, min(2 * k, len(bank_features)), device, block_sizes[1])
        weights, members = _rerank_candidates(bank_features, rows, near, k)
        heap = np.zeros((len(rows), classes))
        # the nearest has weight 1; a common factor changes no vote and nothing overflows
        strength = np.exp((weights - weights[:, :1]) / temperature)
        np.add.at(heap, (np.arange(len(rows))[:, None], bank_labels[members]), strength)
        yield heap / heap.sum(1, keepdims=True)


def _find_candidates(
    bank_features: NDArray[np.float32],
    query_features: NDArray[np.float32],
    num_candidates: int,
    device: str,
    block_size: int,
) -> NDArray[np.int64]:
    """Item numbers of the ``num_candidates`` most similar of the bank for each row, (rows, count)."""
    queries = _l2_normalize(torch.from_numpy(query_features).to(device))
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank_features), block_size):
        part = _l2_normalize(torch.from_numpy(np.array(bank_features[start : start + block_size])).to(device))
        similar = queries @ part.T
        numbers = torch.arange(start, start + len(part), device=device).expand(len(query_features), -1)
        if best is not None:
            similar, numbers = torch.cat([best[0], similar], 1), torch.cat([best[1], numbers], 1)
        values, places = similar.topk(min(num_candidates, similar.shape[1]), dim=1)
        best = values, numbers.gather(1, places)
    assert best is not None
    return np.asarray(best[1].cpu().numpy(), np.int64)


def _rerank_candidates(
    bank_features: NDArray[np.float32], query_features: NDArray[np.float32], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Exact cosines and item numbers of the ``k`` nearest among the candidates, the nearest first."""
    candidates = np.sort(candidates, axis=1)
    similar = np.empty(candidates.shape)
    for index, members in enumerate(candidates):
        part, row = bank_features[members].astype(np.float64), query_features[index].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1) * np.linalg.norm(row)
        similar[index] = part @ row / np.maximum(lengths, np.finfo(np.float64).tiny)
    order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similar, order, 1), np.take_along_axis(candidates, order, 1)


def _l2_normalize(values: Tensor) -> Tensor:
    return torch.nn.functional.normalize(values, dim=1)

"""k-NN on features: the weighted vote of the nearest. Nothing is trained and nothing chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

QUERIES, BANK = 1024, 16384
"""Rows of the two sides that meet at once: 64 MiB of similarities."""


class Votes(NamedTuple):
    """The class with the most weight for each query (n,), and its share of the weight (n,), 0 to 1."""

    predictions: NDArray[np.int64]
    shares: NDArray[np.float64]


def vote(
    bank: NDArray[np.float32],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    k: int,
    temperature: float,
    device: str = "cpu",
    blocks: tuple[int, int] = (QUERIES, BANK),
) -> Votes:
    """The winners; see ``shares``."""
    parts = list(shares(bank, labels, queries, k, temperature, device, blocks))
    return Votes(np.concatenate([part.argmax(1) for part in parts]), np.concatenate([part.max(1) for part in parts]))


def shares(
    bank: NDArray[np.float32],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    k: int,
    temperature: float,
    device: str = "cpu",
    blocks: tuple[int, int] = (QUERIES, BANK),
) -> Iterator[NDArray[np.float64]]:
    """Each of the ``k`` nearest of the bank by cosine votes for its class with weight exp(cosine / temperature).

    Memory is bounded by the blocks: the best so far of each query are merged with each block of the bank. The search is
    in float32; similarities of twice as many candidates as needed are computed again in float64, because the features
    of an untrained backbone differ in their last digits only. Equal similarities go to the lower item number, equal
    votes to the lower class.

    Args:
        bank: features that vote, (n, C); all of them do where ``k`` is above n.
        labels: their classes, (n,).
        queries: features to classify, (m, C).
        k: number of neighbours.
        temperature: of the weights.
        device: where similarities are computed.
        blocks: rows of queries and of the bank that meet at once.

    Yields:
        Each class's share of the weight, (rows, classes), for a block of queries after the other.

    Source: Wu et al. 2018 (instance discrimination); k = 20 and T = 0.07 as in DINO's evaluation.
    """
    k = min(k, len(bank))
    classes = int(labels.max()) + 1
    for start in range(0, len(queries), blocks[0]):
        rows = np.array(queries[start : start + blocks[0]])
        near = _candidates(bank, rows, min(2 * k, len(bank)), device, blocks[1])
        weights, members = _nearest(bank, rows, near, k)
        heap = np.zeros((len(rows), classes))
        # the nearest has weight 1; a common factor changes no vote and nothing overflows
        strength = np.exp((weights - weights[:, :1]) / temperature)
        np.add.at(heap, (np.arange(len(rows))[:, None], labels[members]), strength)
        yield heap / heap.sum(1, keepdims=True)


def _candidates(
    bank: NDArray[np.float32], rows: NDArray[np.float32], count: int, device: str, block: int
) -> NDArray[np.int64]:
    """Item numbers of the ``count`` most similar of the bank for each row, (rows, count)."""
    queries = _unit(torch.from_numpy(rows).to(device))
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank), block):
        part = _unit(torch.from_numpy(np.array(bank[start : start + block])).to(device))
        similar = queries @ part.T
        numbers = torch.arange(start, start + len(part), device=device).expand(len(rows), -1)
        if best is not None:
            similar, numbers = torch.cat([best[0], similar], 1), torch.cat([best[1], numbers], 1)
        values, places = similar.topk(min(count, similar.shape[1]), dim=1)
        best = values, numbers.gather(1, places)
    assert best is not None
    return np.asarray(best[1].cpu().numpy(), np.int64)


def _nearest(
    bank: NDArray[np.float32], rows: NDArray[np.float32], near: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Exact cosines and item numbers of the ``k`` nearest among the candidates, the nearest first."""
    near = np.sort(near, axis=1)
    similar = np.empty(near.shape)
    for index, members in enumerate(near):
        part, row = bank[members].astype(np.float64), rows[index].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1) * np.linalg.norm(row)
        similar[index] = part @ row / np.maximum(lengths, np.finfo(np.float64).tiny)
    order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similar, order, 1), np.take_along_axis(near, order, 1)


def _unit(values: Tensor) -> Tensor:
    return torch.nn.functional.normalize(values, dim=1)

"""k-NN against scikit-learn and against a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from engine.knn import predict_knn

T = 0.07


def clouds(seed: int, n: int, m: int, spread: float = 1.0, offset: float = 0.0) -> Any:
    """Overlapping classes: bank, labels, queries; a large offset makes all cosines nearly 1."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(7, 24))
    labels, hidden = random.integers(0, 7, n), random.integers(0, 7, m)
    bank, queries = (
        (centres[which] + spread * random.normal(size=(len(which), 24)) + offset).astype(np.float32)
        for which in (labels, hidden)
    )
    return bank, labels, queries


def plain(bank: Any, labels: Any, queries: Any, k: int, temperature: float) -> NDArray[np.int64]:
    """One query at a time, all cosines, sorted."""
    answers = []
    for query in queries.astype(float):
        cosines = [float(row @ query / np.sqrt((row @ row) * (query @ query))) for row in bank.astype(float)]
        weight: dict[int, float] = {}
        for place in sorted(range(len(bank)), key=lambda place: -cosines[place])[:k]:
            weight[int(labels[place])] = weight.get(int(labels[place]), 0.0) + np.exp(cosines[place] / temperature)
        answers.append(max(sorted(weight), key=lambda name: weight[name]))
    return np.array(answers)


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_against_scikit_learn(k: int, offset: float) -> None:
    bank, labels, queries = clouds(0, 3000, 2000, offset=offset)
    model = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / T)
    )
    expected = model.fit(bank.astype(float), labels).predict(queries.astype(float))
    votes = predict_knn(bank, labels, queries, k, T)
    assert np.mean(votes.predictions == expected) >= 0.999
    chances = model.predict_proba(queries.astype(float)).max(1)
    assert np.mean(np.abs(votes.vote_shares - chances) < 1e-6) >= 0.999


@pytest.mark.parametrize(("k", "temperature"), [(1, T), (20, T), (20, 0.5), (300, T)])
def test_against_a_plain_loop(k: int, temperature: float) -> None:
    bank, labels, queries = clouds(1, 300, 200)
    votes = predict_knn(bank, labels, queries, k, temperature)
    np.testing.assert_array_equal(votes.predictions, plain(bank, labels, queries, k, temperature))
    assert ((votes.vote_shares > 1 / 7) & (votes.vote_shares <= 1)).all()


@pytest.mark.parametrize("offset", [1e4, 1e5])
def test_cosines_that_float32_cannot_tell_apart(offset: float) -> None:
    """As of a random network: a search in float32 took any forty of the bank, and the vote was one of chance."""
    bank, labels, queries = clouds(3, 400, 100, spread=0.3, offset=offset)
    wide, other = (each.astype(float) / np.linalg.norm(each.astype(float), axis=1)[:, None] for each in (bank, queries))
    assert (1 - other @ wide.T).max() < 3e-8  # float32 has steps of 6e-8 below one
    votes = predict_knn(bank, labels, queries, 20, T, block_sizes=(32, 128))
    np.testing.assert_array_equal(votes.predictions, plain(bank, labels, queries, 20, T))


@pytest.mark.parametrize("blocks", [(1, 7), (33, 64), (1000, 1), (64, 100000)])
def test_blocks_change_nothing(blocks: tuple[int, int]) -> None:
    bank, labels, queries = clouds(2, 500, 100)
    whole, parts = (
        predict_knn(bank, labels, queries, 20, T),
        predict_knn(bank, labels, queries, 20, T, block_sizes=blocks),
    )
    np.testing.assert_array_equal(whole.predictions, parts.predictions)
    np.testing.assert_array_equal(whole.vote_shares, parts.vote_shares)


def test_length_of_features_does_not_matter_and_a_small_temperature_does_not_overflow() -> None:
    bank, labels, queries = clouds(3, 300, 100)
    scaled = predict_knn(bank * 1000, labels, queries * 1e-3, 20, T)
    np.testing.assert_array_equal(scaled.predictions, predict_knn(bank, labels, queries, 20, T).predictions)
    sharp = predict_knn(bank, labels, queries, 20, 1e-5)
    np.testing.assert_array_equal(sharp.predictions, predict_knn(bank, labels, queries, 1, T).predictions)
    assert np.isfinite(sharp.vote_shares).all()


def test_k_and_temperature_do_something() -> None:
    bank, labels, queries = clouds(4, 500, 300, spread=2.0)
    base = predict_knn(bank, labels, queries, 20, T).predictions
    assert (base != predict_knn(bank, labels, queries, 1, T).predictions).any()
    assert (base != predict_knn(bank, labels, queries, 20, 10.0).predictions).any()


def test_a_vote_by_hand() -> None:
    """Two of class 0 at cosine 0.8 outvote one of class 1 at 0.9 when temperature is high, and not when it is low."""
    bank = np.array([[0.9, 0.19**0.5], [0.8, 0.6], [0.8, -0.6]], np.float32)
    labels, query = np.array([1, 0, 0]), np.array([[2.0, 0.0]], np.float32)
    assert predict_knn(bank, labels, query, 3, 1.0).predictions.tolist() == [0]
    assert predict_knn(bank, labels, query, 3, 0.07).predictions.tolist() == [1], "e^(0.1 / 0.07) = 4.2 against 2"
    assert predict_knn(bank, labels, query, 1, 1.0).predictions.tolist() == [1]

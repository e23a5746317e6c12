"""Equal parts of records are kept once, and what differs in any way stays apart."""

from __future__ import annotations

import pytest

from results.records.record import dump_record, parse_record
from results.records.store import PartPool
from tests.results.make import make_record


def test_records_stay_what_they_were_and_share_equal_parts() -> None:
    pool = PartPool()
    texts = [dump_record(make_record(value, seed=seed)) for seed, value in enumerate((50.0, 60.0))]
    first, second = (pool.share_parts(parse_record(text, "made up")) for text in texts)
    assert [dump_record(record) for record in (first, second)] == texts
    assert [first, second] == [parse_record(text, "made up") for text in texts]
    assert first.config is second.config
    assert first.backbone.card is second.backbone.card
    assert first.environment.packages is second.environment.packages
    assert first.data is second.data
    assert first.seed != second.seed


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": 1.0}), ({"a": 1}, {"a": True}), ({"a": 0.0}, {"a": -0.0}), ({"a": 1, "b": 2}, {"b": 2, "a": 1})],
)
def test_equal_numbers_of_other_types_and_another_order_stay_apart(
    one: dict[str, object], other: dict[str, object]
) -> None:
    """Python calls most of these equal, but they are written as other JSON."""
    pool = PartPool()
    records = [make_record(config=config) for config in (one, other)]
    texts = [dump_record(record) for record in records]
    shared = [pool.share_parts(record) for record in records]
    assert [dump_record(record) for record in shared] == texts
    assert shared[0].config is not shared[1].config
